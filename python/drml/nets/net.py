"""Running a net in Caffe.

Caffe aborts the whole process if a file is wrong (``CHECK`` calls ``abort``), so everything that a user can
get wrong is checked first and raised as a `UserError`.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.io.checks import check_whole
from drml.io.errors import UserError
from drml.nets.intensity_head import INTENSITIES
from drml.nets.preprocessing import check_input_size, preprocess
from drml.nets.probe import probe_net
from drml.nets.prototxt import read_prototxt, write_prototxt
from drml.nets.pycaffe import import_caffe, new_message
from drml.nets.recipe import read_recipe
from drml.nets.shapes import shape_text
from drml.nets.weights import check_weights, read_weights

PROBABILITIES = "prob"
"""The blob of a deploy net with the probabilities of the AUs."""


class CaffeNet:
    """A net in Caffe, with its weights; it takes images as they are in the LMDB.

    `drml.nets.trained.Net` finds mean and scale itself; this class gives access to all blobs.

    Parameters
    ----------
    deploy : path-like
        A prototxt with one input blob, N x C x H x W.
    weights : path-like
        A .caffemodel or .h5 file with the weights of exactly the layers of the net.
    mean : ndarray, optional, keyword-only
        The mean image, C x H x W, of the size of the images or of the net's input; or C values.
    scale : float
        Factor of the pixels after the mean is subtracted: ``(pixel - mean) * scale``.
    mean_from : str
        Where the mean comes from, for error messages.
    batch : int
        Largest number of images in one pass.
    probe : bool
        Build the net in a child process first (1-2 s), so that a net that Caffe refuses raises an error
        instead of aborting this process. Leave it out only for files that are known to be good.

    Attributes
    ----------
    input_shape : tuple
        Channels, height and width.
    blob_names : list of str
    net : caffe.Net

    Raises
    ------
    UserError
        A file is missing or damaged, Caffe refuses the net, or the weights, the size of the faces on which
        they were trained, or the mean do not fit it.

    Examples
    --------
    >>> net = CaffeNet("models/drml/deploy.prototxt", "build/train/final.caffemodel")  # doctest: +SKIP
    >>> face = np.zeros((200, 200, 3), np.uint8)  # doctest: +SKIP
    >>> net.forward([face], ["prob", "fc9"])["prob"].shape  # doctest: +SKIP
    (1, 12)
    """

    def __init__(
        self,
        deploy: str | Path,
        weights: str | Path,
        *,
        mean: NDArray[Any] | None = None,
        scale: float = 1.0,
        mean_from: str = "the mean image",
        batch: int = 32,
        probe: bool = True,
    ) -> None:
        check_whole(batch, 1, "batch")
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
        check_input_size(weights, read_recipe(weights), self.input_shape, deploy)
        self.blob_names: list[str] = list(self.net.blobs)
        self.mean = None if mean is None else np.asarray(mean, np.float32)
        self.scale = float(scale)
        self._mean_from = mean_from
        self.batch = batch
        if self.mean is not None and (
            self.mean.ndim not in (1, 3) or self.mean.shape[0] not in (1, channels)
        ):
            raise UserError(
                f"{mean_from}: a mean of shape {shape_text(self.mean.shape)} does not fit {deploy} with its"
                f" input of {shape_text(self.input_shape)}; give that of its training with --mean"
            )

    @property
    def name(self) -> str:
        """The deploy prototxt, for messages."""
        return str(self.deploy)

    def count_probabilities(self) -> int:
        """Return how many probabilities the net gives; raise a `UserError` if it has no blob ``prob``."""
        if PROBABILITIES not in self.net.blobs:
            if INTENSITIES in self.net.blobs:
                raise UserError(
                    f"{self.deploy}: estimates intensities and gives no probabilities; train a net on data"
                    " with occurrences (drml prepare --target occurrence, or both)"
                )
            raise UserError(
                f"{self.deploy}: no blob '{PROBABILITIES}' with the probabilities (it has"
                f" {', '.join(self.blob_names)}); end the net with a Sigmoid layer of that name"
            )
        return math.prod(self.net.blobs[PROBABILITIES].shape[1:])

    def count_outputs(self) -> tuple[int, int]:
        """Return how many probabilities and how many intensities the net gives.

        It raises a `UserError` if the net has neither a blob ``prob`` nor a blob ``intensity``.
        """
        if INTENSITIES not in self.net.blobs:
            return self.count_probabilities(), 0
        count = self.count_probabilities() if PROBABILITIES in self.net.blobs else 0
        return count, math.prod(self.net.blobs[INTENSITIES].shape[1:])

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities and intensities, N x (K + L), of inputs, N x C x H x W, in one pass."""
        names = [name for name in (PROBABILITIES, INTENSITIES) if name in self.net.blobs]
        found = self.forward_inputs(batch, names or [PROBABILITIES])
        return np.concatenate([values.reshape(len(batch), -1) for values in found.values()], axis=1)

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return the net's input for an image, C x H x W; see `drml.nets.preprocessing.preprocess`."""
        return preprocess(
            image,
            self.input_shape,
            mean=self.mean,
            scale=self.scale,
            net=self.deploy,
            mean_from=self._mean_from,
        )

    def forward(
        self, images: Sequence[NDArray[np.uint8]], blobs: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Run images through the net.

        Parameters
        ----------
        images : sequence of ndarray of uint8, H x W x C
            Any number of images; they run in batches.
        blobs : sequence of str
            Names of the blobs to return; their first axis must be the batch.

        Returns
        -------
        dict
            Name -> ndarray of float32 with one row for each image.
        """
        # Even without images there is one pass, because it determines the shape of the rows.
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
        """Run preprocessed inputs, N x C x H x W, in one pass; apart from that, the same as `forward`."""
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
                    f"{self.deploy}: blob '{name}' has shape {shape_text(data.shape)}, not one row per image"
                )
            found[name] = np.array(data[: len(inputs)], copy=True)
        return found


class CaffeGradientNet(CaffeNet):
    """A `CaffeNet` that also computes the gradients of its outputs with respect to the pixels.

    The outputs are the scores, which are the input of the layer that makes the blob ``prob``, followed by the
    intensities. The parameters are those of `CaffeNet`.
    """

    def __init__(self, deploy: str | Path, weights: str | Path, **options: Any) -> None:
        net = read_prototxt(deploy)
        made = [layer for layer in net.layer if PROBABILITIES in layer.top and len(layer.bottom) == 1]
        estimates = any(INTENSITIES in layer.top for layer in net.layer)
        if not made and not estimates:
            raise UserError(f"{deploy}: no layer makes 'prob' from one blob; saliency needs such a layer")
        self._outputs = [str(made[0].bottom[0])] if made else []
        self._outputs += [INTENSITIES] if estimates else []
        if made and estimates:
            # Behind all others, so that no backward pass that starts at an output goes through it.
            last = new_message("LayerParameter")
            last.CopyFrom(made[0])
            net.layer.remove(made[0])
            net.layer.append(last)
        net.force_backward = True  # Otherwise Caffe computes no gradient for the input.
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / Path(deploy).name
            write_prototxt(net, copy)
            super().__init__(copy, weights, **options)
        self.deploy = Path(deploy)
        makers = [name for name, tops in self.net.top_names.items() if set(self._outputs) & set(tops)]
        self._last = str(makers[-1])

    def input_gradients(
        self, images: Sequence[NDArray[np.uint8]], columns: Sequence[int]
    ) -> NDArray[np.float32]:
        """Return d output / d pixel.

        Parameters
        ----------
        images : sequence of ndarray
            As for `forward`.
        columns : sequence of int
            The output to differentiate, for each image: one of the K scores, or K + l for intensity l.

        Returns
        -------
        ndarray of float32, shape (N, C, H, W)
            With respect to the pixels of the image, 0 to 255; this includes the factor `scale`.
        """
        parts = []
        for start in range(0, len(images), self.batch):
            chunk = columns[start : start + self.batch]
            outputs = self.forward(images[start : start + self.batch], self._outputs)
            first = 0
            for name, values in outputs.items():
                seeds = np.zeros((len(chunk), math.prod(values.shape[1:])), np.float32)
                for row, column in enumerate(chunk):
                    if first <= column < first + seeds.shape[1]:
                        seeds[row, column - first] = 1
                self.net.blobs[name].diff[...] = seeds.reshape(values.shape)
                first += seeds.shape[1]
            self.net.backward(start=self._last)
            parts.append(self.net.blobs[self._input].diff * np.float32(self.scale))
        return np.concatenate(parts)
