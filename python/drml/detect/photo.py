"""Reads the largest face of a photo and registers it as ``drml detect`` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from drml.data.registration import register
from drml.detect.faces import FaceDetector
from drml.detect.frames import read_images
from drml.detect.model import open_recogniser
from drml.detect.sources import find_sources
from drml.evaluation.saliency_pictures import RegisteredFace
from drml.io.errors import UserError

__all__ = ["read_photo_face"]


def read_photo_face(
    deploy: str | Path, weights: str | Path, photo: str | Path, aus: Sequence[int] | None = None
) -> RegisteredFace:
    """Find the largest face of a photo and register it.

    Parameters
    ----------
    deploy, weights : path
        The net that is to see the face: its mean image gives the size of the registered face.
    photo : path
        An image file.
    aus : sequence of int, optional
        AUs of the net's outputs; by default found as in `drml.detect.model.find_aus`.

    Raises
    ------
    UserError
        The photo cannot be read or shows no face, or the net does not fit the weights.
    """
    if not Path(photo).is_file():
        raise UserError(f"{photo}: no such image")
    (frame,) = read_images(find_sources([str(photo)]))
    if frame.image is None:
        raise UserError(f"{photo}: {frame.fault}")
    found = FaceDetector(largest=True).find(frame.image)
    if not found:
        raise UserError(f"{photo}: no face found in it")
    recogniser = open_recogniser(weights, net=deploy, aus=aus)
    image = np.asarray(register(frame.image, found[0].points, recogniser.size), np.uint8)
    return RegisteredFace(str(photo), image, recogniser.aus, recogniser.preparation)
