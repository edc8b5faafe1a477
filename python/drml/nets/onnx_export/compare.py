"""Compares the exported net, in ONNX Runtime, with the net in Caffe."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.io.errors import UserError
from drml.nets.net import CaffeNet
from drml.nets.onnx_net import OnnxNet

__all__ = ["TOLERANCE", "Difference", "compare", "comparison_images"]

TOLERANCE = 1e-4
"""Largest difference allowed in an output, as a share of its largest value if that is above 1."""


@dataclass(frozen=True)
class Difference:
    """Largest differences between Caffe and the exported net.

    Attributes
    ----------
    images : int
        Number of images compared.
    outputs : dict
        The largest difference of each output: ``probabilities``, ``scores``, ``intensities``.
    largest : dict
        The largest absolute value that Caffe computes for each output.
    """

    images: int
    outputs: dict[str, float]
    largest: dict[str, float]

    @property
    def good(self) -> bool:
        """Whether all differences are within `TOLERANCE`; False if a value is not finite."""
        return all(found <= TOLERANCE * max(1.0, self.largest[name]) for name, found in self.outputs.items())


def comparison_images(channels: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Return images to compare on: noise, and for three channels (BGR) also the face of a photograph."""
    rng = np.random.default_rng(0)
    found = [rng.integers(0, 256, (height, width, channels), dtype=np.uint8) for _ in range(2)]
    if channels == 3:
        from skimage.data import astronaut

        face = astronaut()[0:220, 115:335, ::-1]
        found.append(np.asarray(cv2.resize(face, (width, height)), np.uint8))
    return found


def compare(
    exported: bytes, caffe: CaffeNet, blobs: dict[str, str], images: list[NDArray[np.uint8]]
) -> Difference:
    """Run images through both nets, and return the largest differences.

    Parameters
    ----------
    exported : bytes
        The content of the ONNX file.
    caffe : CaffeNet
        With the mean and the scale that the exported net contains; if it contains none, with any.
    blobs : dict
        The blob of the Caffe net for each output of the file.
    images : list of ndarray of uint8, H x W x C
        Images of the size of the mean image, or of the net's input.

    Raises
    ------
    UserError
        The output of Caffe is not finite.
    """
    net = OnnxNet(exported)
    _, height, width = net.input_shape
    if net.metadata.mean_folded:
        top, left = (images[0].shape[0] - height) // 2, (images[0].shape[1] - width) // 2
        batch = np.stack([image[top : top + height, left : left + width] for image in images])
        batch = batch.transpose(0, 3, 1, 2).astype(np.float32)
    else:
        batch = np.stack([caffe.preprocess(image) for image in images])
    computed = caffe.forward(images, list(blobs.values()))
    expected = {name: computed[blob].reshape(len(images), -1) for name, blob in blobs.items()}
    if not all(np.isfinite(values).all() for values in expected.values()):
        raise UserError(
            f"{caffe.deploy}: Caffe's output is not finite with these weights; their training has diverged"
        )
    return Difference(
        len(images),
        {name: float(np.abs(net.run(batch, name) - values).max()) for name, values in expected.items()},
        {name: float(np.abs(values).max()) for name, values in expected.items()},
    )
