"""The exported net in ONNX Runtime, held against Caffe."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.io.errors import UserError
from drml.nets.net import CaffeNet
from drml.nets.onnx_metadata import PROBABILITIES, SCORES
from drml.nets.onnx_net import OnnxNet

__all__ = ["TOLERANCE", "Difference", "compare", "pictures"]

# Of probabilities as they are; of scores as a share of the largest, where that is above 1.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Difference:
    """Largest differences between Caffe and the exported net.

    Attributes
    ----------
    images : int
    probabilities : float
    scores : float
        As they are.
    largest_score : float
        In absolute value, in Caffe.
    """

    images: int
    probabilities: float
    scores: float
    largest_score: float

    @property
    def good(self) -> bool:
        """Whether both are within `TOLERANCE`; not so where a value is not finite."""
        return self.probabilities <= TOLERANCE and self.scores <= TOLERANCE * max(1.0, self.largest_score)


def pictures(channels: int, height: int, width: int) -> list[NDArray[np.uint8]]:
    """Return pictures to compare on: noise, and a photograph's face where there are three channels (BGR)."""
    rng = np.random.default_rng(0)
    found = [rng.integers(0, 256, (height, width, channels), dtype=np.uint8) for _ in range(2)]
    if channels == 3:
        from skimage.data import astronaut

        face = astronaut()[0:220, 115:335, ::-1]
        found.append(np.asarray(cv2.resize(face, (width, height)), np.uint8))
    return found


def compare(exported: bytes, caffe: CaffeNet, scores: str, images: list[NDArray[np.uint8]]) -> Difference:
    """Run pictures through both.

    Parameters
    ----------
    exported : bytes
        The ONNX file's content.
    caffe : CaffeNet
        With the mean and the scale that the exported net has inside, or any, where it has none.
    scores : str
        Caffe's blob that goes into the sigmoid.
    images : list of ndarray, height x width x channels
        Of the size of the mean image, or of the net's input.

    Raises
    ------
    UserError
        Caffe's own output is not finite.
    """
    net = OnnxNet(exported)
    _, height, width = net.input_shape
    if net.metadata.mean_folded:
        top, left = (images[0].shape[0] - height) // 2, (images[0].shape[1] - width) // 2
        batch = np.stack([image[top : top + height, left : left + width] for image in images])
        batch = batch.transpose(0, 3, 1, 2).astype(np.float32)
    else:
        batch = np.stack([caffe.preprocess(image) for image in images])
    expected = {
        name: values.reshape(len(images), -1)
        for name, values in caffe.forward(images, ["prob", scores]).items()
    }
    if not all(np.isfinite(values).all() for values in expected.values()):
        raise UserError(
            f"{caffe.deploy}: Caffe's output is not finite with these weights; training has diverged"
        )
    return Difference(
        len(images),
        float(np.abs(net.run(batch, PROBABILITIES) - expected["prob"]).max()),
        float(np.abs(net.run(batch, SCORES) - expected[scores]).max()),
        float(np.abs(expected[scores]).max()),
    )
