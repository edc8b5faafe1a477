"""Reads the largest face of a photo and registers it as ``drml detect`` does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from drml.detect.detector import Detector
from drml.detect.frames import read_images
from drml.detect.sources import find_sources
from drml.evaluation.saliency_pictures import RegisteredFace
from drml.io.errors import UserError
from drml.nets.trained import Net

__all__ = ["read_photo_face"]


def read_photo_face(
    deploy: str | Path,
    weights: str | Path,
    photo: str | Path,
    aus: Sequence[int] | None = None,
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
) -> RegisteredFace:
    """Find the largest face of a photo and register it.

    Parameters
    ----------
    deploy, weights : path
        The net that is to see the face: its mean image gives the size of the registered face.
    photo : path
        An image file.
    aus : sequence of int, optional
        AUs of the net's outputs; by default found as in `drml.nets.trained.Net`.
    mean, scale : optional, keyword-only
        As in `drml.nets.trained.Net`.

    Raises
    ------
    UserError
        The photo cannot be read or shows no face, or the net does not fit the weights.
    """
    if not Path(photo).is_file():
        raise UserError(f"{photo}: no such image")
    detector = Detector(weights, net=deploy, aus=aus, mean=mean, scale=scale, largest=True)
    (detected,) = detector.detect_images(read_images(find_sources([str(photo)])))
    if detected.frame.fault is not None:
        raise UserError(f"{photo}: {detected.frame.fault}")
    if not detected.faces:
        raise UserError(f"{photo}: no face found in it")
    if detected.crops[0] is None:
        raise UserError(f"{photo}: its largest face lies mostly outside the image; give another photo")
    assert isinstance(detector.net, Net)
    return RegisteredFace(
        str(photo),
        detected.crops[0],
        detector.aus,
        detector.net.preprocessing,
        intensity_aus=detector.intensity_aus,
    )
