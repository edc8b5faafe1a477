"""Running a net in Caffe.

Caffe ends the whole process where a file does not suit it (``CHECK`` calls ``abort``), so everything a user
can get wrong is checked first and raised as a `UserError`.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drml.io.errors import UserError
from drml.nets.preprocessing import preprocess
from drml.nets.probe import probe_net
from drml.nets.prototxt import read_prototxt, write_prototxt
from drml.nets.pycaffe import import_caffe
from drml.nets.shapes import shape_text
from drml.nets.weights import check_weights, read_weights

PROBABILITIES = "prob"
"""The blob of a deploy net with the probabilities of the AUs."""


class NetLike(Protocol):
    """What scoring and feature extraction need of a network, whatever runs it."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the input."""

    @property
    def blob_names(self) -> list[str]:
        """Names of the blobs that `forward` can return."""

    def forward(
        self, images: Sequence[NDArray[np.uint8]], blobs: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Run pictures (height x width x channels, 8 bits) and return the named blobs, one row each."""


class CaffeNet:
    """A deploy network with its weights, fed with pictures as they lie in the LMDB.

    Parameters
    ----------
    deploy : path
        A prototxt with one input blob, N x C x H x W.
    weights : path
        A .caffemodel or .h5; every layer with weights must be in it with the same shapes, and no other.
    mean : ndarray, optional
        C x height x width as the mean image (of the pictures' size, or of the net's input), or C values.
    scale : float
        Factor after the mean is taken off. Caffe's order: ``(pixel - mean) * scale``.
    batch : int
        Pictures per forward pass at most.
    probe : bool
        Build the net in a process of its own first, so that a layer Caffe refuses is an error here and not
        the end of this process. Only for files known to be good is it worth leaving out (1-2 s).

    Attributes
    ----------
    input_shape : tuple
        C, H, W.
    blob_names : list of str
    net : caffe.Net
    """

    def __init__(
        self,
        deploy: str | Path,
        weights: str | Path,
        *,
        mean: NDArray[Any] | None = None,
        scale: float = 1.0,
        batch: int = 32,
        probe: bool = True,
    ) -> None:
        if batch < 1:
            raise UserError(f"a batch of {batch} pictures is not possible; give at least 1")
        caffe = import_caffe()
        text = read_prototxt(deploy)
        if not text.input and not any(layer.type == "Input" for layer in text.layer):
            raise UserError(f"{deploy}: has no Input layer; give a deploy.prototxt, not a train_val.prototxt")
        stored = read_weights(weights)
        if probe:
            probe_net(deploy)
        self.deploy = Path(deploy)
        self.net = caffe.Net(str(deploy), caffe.TEST)
        needed = {name: [tuple(blob.shape) for blob in blobs] for name, blobs in self.net.params.items()}
        check_weights(weights, stored.shapes, deploy, needed)
        self.net.copy_from(str(weights))
        if len(self.net.inputs) != 1 or len(self.net.blobs[self.net.inputs[0]].shape) != 4:
            raise UserError(
                f"{deploy}: needs one input blob of N x C x H x W, has {len(self.net.inputs)} inputs:"
                f" {', '.join(self.net.inputs)}"
            )
        self._input = self.net.inputs[0]
        _, channels, height, width = self.net.blobs[self._input].shape
        self.input_shape: tuple[int, int, int] = (channels, height, width)
        self.blob_names: list[str] = list(self.net.blobs)
        self.mean = None if mean is None else np.asarray(mean, np.float32)
        self.scale = float(scale)
        self.batch = batch
        if self.mean is not None and (
            self.mean.ndim not in (1, 3) or self.mean.shape[0] not in (1, channels)
        ):
            raise UserError(
                f"mean of shape {shape_text(self.mean.shape)} does not fit {deploy}, whose input is"
                f" {shape_text(self.input_shape)}; give its own mean.binaryproto"
            )

    @property
    def name(self) -> str:
        """The deploy prototxt, for messages."""
        return str(self.deploy)

    def count_probabilities(self) -> int:
        """Return how many probabilities the net gives; raise a `UserError` if it has no blob ``prob``."""
        if PROBABILITIES not in self.net.blobs:
            raise UserError(
                f"{self.deploy}: no blob '{PROBABILITIES}' with the probabilities (it has"
                f" {', '.join(self.blob_names)}); end the net with a Sigmoid layer of that name"
            )
        return math.prod(self.net.blobs[PROBABILITIES].shape[1:])

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities, N x K, of inputs, N x C x H x W, in one pass."""
        return self.forward_inputs(batch, [PROBABILITIES])[PROBABILITIES].reshape(len(batch), -1)

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Make this net's input of a picture: see :func:`preprocess`."""
        return preprocess(image, self.input_shape, mean=self.mean, scale=self.scale, net=self.deploy)

    def forward(
        self, images: Sequence[NDArray[np.uint8]], blobs: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Run pictures through the net.

        Parameters
        ----------
        images : sequence of ndarray
            Any number of them; they run in batches.
        blobs : sequence of str
            The blobs wanted; their first axis must be the batch.

        Returns
        -------
        dict
            By name, an array with one row per picture.
        """
        # No picture still makes one pass, over nothing, so that the rows have their shape.
        parts = [
            self.forward_inputs(
                [self.preprocess(image) for image in images[start : start + self.batch]], blobs
            )
            for start in range(0, max(len(images), 1), self.batch)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in blobs}

    def forward_inputs(
        self, inputs: Sequence[NDArray[np.float32]] | NDArray[np.float32], blobs: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Run inputs that are made already, N x C x H x W, in one pass; else as `forward`."""
        for name in blobs:
            if name not in self.net.blobs:
                raise UserError(f"{self.deploy}: no blob '{name}'; it has {', '.join(self.blob_names)}")
        source = self.net.blobs[self._input]
        size = max(len(inputs), 1)
        if source.shape[0] != size:
            source.reshape(size, *self.input_shape)
            self.net.reshape()
        for index, pixels in enumerate(inputs):
            source.data[index] = pixels
        self.net.forward()
        found = {}
        for name in blobs:
            data = self.net.blobs[name].data
            if data.ndim == 0 or data.shape[0] != size:
                raise UserError(
                    f"{self.deploy}: blob '{name}' has shape {shape_text(data.shape)},"
                    " not one row per picture"
                )
            found[name] = np.array(data[: len(inputs)], copy=True)
        return found


class CaffeGradientNet(CaffeNet):
    """A `CaffeNet` that also gives the gradients of its scores by the pixels.

    The scores are what goes into the layer that makes ``prob``. The parameters are those of `CaffeNet`.
    """

    def __init__(self, deploy: str | Path, weights: str | Path, **options: Any) -> None:
        net = read_prototxt(deploy)
        made = [layer for layer in net.layer if "prob" in layer.top and len(layer.bottom) == 1]
        if not made:
            raise UserError(f"{deploy}: no layer makes 'prob' of one blob; saliency is of what goes into it")
        self._scores = str(made[0].bottom[0])
        net.force_backward = True  # Caffe's nets compute no gradient by their input otherwise
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / Path(deploy).name
            write_prototxt(net, copy)
            super().__init__(copy, weights, **options)
        self.deploy = Path(deploy)
        self._last = [str(name) for name, tops in self.net.top_names.items() if self._scores in tops][-1]

    def input_gradients(
        self, images: Sequence[NDArray[np.uint8]], columns: Sequence[int]
    ) -> NDArray[np.float32]:
        """Give d score / d pixel.

        Parameters
        ----------
        images : sequence of ndarray
            As `forward` takes them.
        columns : sequence of int
            For each picture, the score that is derived.

        Returns
        -------
        ndarray of float32, N x C x H x W
            By the pixels as they are in the picture, so with the input's scale.
        """
        parts = []
        for start in range(0, len(images), self.batch):
            chunk = columns[start : start + self.batch]
            self.forward(images[start : start + self.batch], [self._scores])
            scores = self.net.blobs[self._scores]
            scores.diff[...] = 0
            scores.diff.reshape(len(chunk), -1)[np.arange(len(chunk)), chunk] = 1
            self.net.backward(start=self._last)
            parts.append(self.net.blobs[self._input].diff * np.float32(self.scale))
        return np.concatenate(parts)
