"""Registers the faces of photos and videos as the faces were registered that a net was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.data.face import Face
from drml.data.landmark_model import LandmarkModel
from drml.data.recipe import Recipe, RegistrationRecipe
from drml.data.registration import REFERENCE, SIZE, as_fractions, as_pixels, fault, five_points, register
from drml.detect.pipeline import FaceNet
from drml.io.checks import check_whole
from drml.io.errors import UserError
from drml.nets.trained import Net

__all__ = ["FaceRegistration", "face_size", "find_registration"]


@dataclass(frozen=True, eq=False)
class FaceRegistration:
    """Registers faces that the face detector found.

    Attributes
    ----------
    size : int
        Side of the registered faces in pixels.
    target : tuple of float
        Where the points of a face are brought to, as fractions of the registered face's side: x and y of each
        of its five points, or of the 49 landmarks of `landmark_model`.
    landmark_model : LandmarkModel or None
        Finds the landmarks; None if the five points are used.
    """

    size: int
    target: tuple[float, ...]
    landmark_model: LandmarkModel | None = None

    def __call__(self, image: NDArray[np.uint8], face: Face) -> NDArray[np.uint8] | None:
        """Return the registered face, size x size x 3; None if it lies mostly outside of the image."""
        points = face.points
        try:
            if self.landmark_model is not None:
                known = face.landmarks
                points = self.landmark_model.find(image, points) if known is None else known
            return np.asarray(register(image, points, self.size, self.target), np.uint8)
        # OpenCV cannot warp images with a side above 32,767 pixels. Points that coincide have no transform.
        except (UserError, ValueError, cv2.error):
            return None


def find_registration(net: FaceNet, size: int) -> tuple[FaceRegistration, str | None]:
    """Return how faces are registered for a net, and a note if that is not as in its training.

    Parameters
    ----------
    net : FaceNet
        Its attribute ``recipe``, if it has one, tells how its training faces were registered.
    size : int
        Side of the registered faces in pixels.

    Raises
    ------
    UserError
        The registration in the recipe is damaged.
    """
    recipe: Recipe | None = getattr(net, "recipe", None)
    registered = recipe.registration if recipe else RegistrationRecipe()
    target = registered.target if registered.points == "detector" else registered.detector_target
    reference = FaceRegistration(size, as_fractions(five_points(REFERENCE)))
    if not target:
        note = "its recipe does not say where the face detector's points lie in its training faces"
        return reference, _note(net, note) if isinstance(net, Net) else None
    if len(target) not in (10, 98) or fault(as_pixels(target)):
        raise UserError("the registration in the net's recipe is damaged; give other weights")
    if len(target) == 10:
        return FaceRegistration(size, target), None
    try:
        return FaceRegistration(size, target, LandmarkModel()), None
    except UserError as error:
        return reference, _note(net, str(error))


def _note(net: FaceNet, reason: str) -> str:
    name = net.name if isinstance(net, Net) else type(net).__name__
    return f"{name}: {reason}. Faces are registered by five points alone, on which it may score lower"


def face_size(net: FaceNet, size: int | None) -> int:
    """Return the side of the registered faces: as given, or else as the net was trained, or else 200."""
    size = (net.face_size or SIZE) if size is None else check_whole(size, 16, "size")
    if isinstance(net, Net) and size < max(net.input_shape[1:]):
        rows, columns = net.input_shape[1:]
        raise UserError(
            f"faces of {size} pixels are smaller than the net's input, {rows}x{columns}; give the --size that"
            " its training data were prepared with"
        )
    return size
