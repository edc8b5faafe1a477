"""`Net`: a trained net as a callable, whether Caffe or ONNX Runtime runs it.

caffe is imported when a Caffe net is opened, not before.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from drml.data.labels import LEVELS
from drml.data.lmdb import read_mean
from drml.data.recipe import InputRecipe, Recipe, with_aus
from drml.io.checks import check_factor, check_path, check_whole
from drml.io.errors import UserError
from drml.nets.net import CaffeNet
from drml.nets.onnx_metadata import Metadata
from drml.nets.preprocessing import Preprocessing, find_preprocessing, preprocess, recipe_preprocessing
from drml.nets.shapes import shape_text
from drml.nets.trained_files import find_trained, is_onnx, resolve_aus, resolve_intensity_aus

__all__ = ["Net"]


class _Runner(Protocol):
    """What runs the net: `CaffeNet` or `OnnxNet`."""

    @property
    def name(self) -> str: ...

    @property
    def input_shape(self) -> tuple[int, int, int]: ...

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]: ...


class Net:
    """A trained net as a callable: images in, AU probabilities and intensities out.

    Parameters
    ----------
    path : path-like
        The folder of a training (``drml train``), a .caffemodel or .h5 file, or an .onnx file that ``drml
        export-onnx`` wrote. Only the last runs without Caffe; it needs ONNX Runtime.
    net : path-like, optional, keyword-only
        The deploy.prototxt; by default the one in the folder of the weights, or else that of ``models/drml``.
        An .onnx file needs none.
    mean : path-like, optional
        The mean.binaryproto of the training; by default the one that belongs to the weights.
    scale : float, optional
        Factor of the pixels after the mean is subtracted; by default that of the training.
    aus : sequence of int, optional
        AUs of the net's outputs, in their order; by default those of the recipe that the weights carry.
        Weights without a recipe, such as those of stock Caffe, need them.
    batch : int
        Number of images that run through the net at once, at least 1.

    Attributes
    ----------
    name : str
        The file of the net, for messages.
    aus : tuple of int, length K
        AUs whose probabilities are the first columns of the result.
    intensity_aus : tuple of int, length L
        AUs whose intensities are the columns after those; empty if the net only tells whether an AU occurs.
    recipe : Recipe
        What the weights say of the net, with `aus`; its other fields are empty if they carry no recipe.
    preprocessing : Preprocessing
        Mean and scale, and where each comes from.
    input_shape : tuple of int
        Channels, height and width of the net's input.
    face_size : int or None
        Side in pixels of the registered faces that the net was trained with, if the recipe or the mean image
        tells.
    batch : int

    Raises
    ------
    UserError
        A file is missing or damaged, the weights do not fit the net, the mean image is not found, or the
        weights carry no recipe and `aus` is not given.

    Examples
    --------
    >>> net = Net("build/train")  # doctest: +SKIP
    >>> X, y, subjects = load_split("data/drml/fold1/test_lmdb")  # doctest: +SKIP
    >>> net(X).shape, net.aus  # doctest: +SKIP
    ((1800, 12), (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24))
    """

    def __init__(
        self,
        path: str | Path,
        *,
        net: str | Path | None = None,
        mean: str | Path | None = None,
        scale: float | None = None,
        aus: Sequence[int] | None = None,
        batch: int = 32,
    ) -> None:
        self.batch = check_whole(batch, 1, "batch")
        path = check_path(path, "weights")
        self._runner: _Runner
        if is_onnx(path):
            from drml.nets.onnx_net import OnnxNet

            if net is not None:
                raise UserError(f"{path}: is net and weights in one; leave --net out")
            self._runner = onnx = OnnxNet(path)
            weights, recipe, outputs = path, onnx.metadata.recipe, len(onnx.metadata.aus)
            levels = len(onnx.metadata.intensity_aus)
            self.preprocessing = _onnx_preprocessing(str(path), onnx.metadata, mean, scale)
        else:
            files = find_trained(path, net)
            weights, recipe = files.weights, files.recipe()
            self.preprocessing = find_preprocessing(weights, mean=mean, scale=scale)
            self._runner = caffe = CaffeNet(files.net, weights)
            outputs, levels = caffe.count_outputs()
        self.name = self._runner.name
        self.input_shape = self._runner.input_shape
        self.intensity_aus = resolve_intensity_aus(weights, recipe, levels)
        self.aus = resolve_aus(weights, recipe, outputs, aus, net=self.name)
        self.recipe = with_aus(recipe or Recipe(), self.aus, self.intensity_aus)
        self.face_size = self._find_face_size()

    def _find_face_size(self) -> int | None:
        if self.recipe.input.face_size is not None:
            return self.recipe.input.face_size
        if self.preprocessing.face_size is not None:
            return self.preprocessing.face_size
        image = self.preprocessing.mean
        if image is None or image.ndim != 3:
            return None
        rows, columns = image.shape[1:]
        # A mean image of the input's own size says nothing of the faces around that.
        return int(rows) if rows == columns > max(self.input_shape[1:]) else None

    def __call__(self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the probability, and the intensity, of each AU in each image.

        Parameters
        ----------
        images : ndarray of uint8, shape (N, H, W, 3), or sequence of ndarrays, H x W x 3
            Registered faces as they are in the LMDB, 0 to 255, with the channels in OpenCV's order: blue,
            green, red. The net sees the middle of each; H and W are at least those of its input. N may be 0.

        Returns
        -------
        ndarray of float32, shape (N, K + L)
            Probabilities of 0 to 1, where column k is ``aus[k]``; then intensities of 0 (absent) to 5, where
            column K + l is ``intensity_aus[l]``.

        Raises
        ------
        UserError
            The images have another type or do not fit the net or the mean image; or an output is not a
            probability, or not finite.
        """
        if isinstance(images, np.ndarray) and images.ndim != 4:
            raise UserError(
                f"images of shape {shape_text(images.shape)} do not fit {self.name}; give an array of"
                " N x height x width x 3 (image[None] of a single image)"
            )
        count = len(self.aus)
        found = np.empty((len(images), count + len(self.intensity_aus)), np.float32)
        for start in range(0, len(images), self.batch):
            stop = start + self.batch
            found[start:stop] = self._runner.predict(self.preprocess(images[start:stop]))
        wrong = ~((found >= 0) & (found <= 1))
        wrong[:, count:] = ~np.isfinite(found[:, count:])
        if wrong[:, count:].any():
            row, column = np.argwhere(wrong[:, count:])[0]
            raise UserError(
                f"{self.name}: the intensity of AU{self.intensity_aus[column]} is"
                f" {found[row, count + column]}; the training of these weights has diverged"
            )
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise UserError(
                f"{self.name}: output {column} is {found[row, column]}, which is not a probability;"
                " the training of these weights has diverged, or the net does not end in a Sigmoid layer"
            )
        found[:, count:] = np.clip(found[:, count:], LEVELS[0], LEVELS[-1])
        return found

    def preprocess(self, images: NDArray[np.uint8] | Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Convert images to the net's input.

        Parameters
        ----------
        images : ndarray of uint8, shape (N, H, W, 3), or sequence of ndarrays, H x W x 3
            At least one image, as `__call__` takes them.

        Returns
        -------
        ndarray of float32, shape (N, C, height, width)
            The mean subtracted, cropped to the centre, and scaled as in the training.

        Raises
        ------
        UserError
            There is no image, or the images do not have the size that the mean has.
        """
        settings = self.preprocessing
        inputs = []
        for image in images:
            if image.dtype != np.uint8:
                raise UserError(f"images of type {image.dtype} do not fit {self.name}; give uint8, 0 to 255")
            inputs.append(preprocess(image, self.input_shape, net=self.name, **settings.net_options()))
        return np.stack(inputs)

    def __repr__(self) -> str:
        levels = f", intensity_aus={self.intensity_aus}" if self.intensity_aus else ""
        return f"Net({self.name!r}, aus={self.aus}{levels})"


def _onnx_preprocessing(
    path: str, metadata: Metadata, mean: str | Path | None, scale: float | None
) -> Preprocessing:
    """Find mean and scale for an .onnx file, which may have both inside."""
    if metadata.mean_folded:
        if mean is not None or scale is not None:
            raise UserError(f"{path}: has mean and scale inside; leave --mean and --scale out")
        size = metadata.face_size
        return Preprocessing(1.0, "in the file", None, "in the file", None if size is None else size[0])
    recipe = metadata.recipe
    if recipe is not None and recipe.input != InputRecipe():
        return recipe_preprocessing(recipe, mean=mean, scale=scale)
    if mean is None:
        raise UserError(f"{path}: has no mean image inside; give --mean, or export it with --mean")
    found = read_mean(Path(mean))
    if scale is not None:
        return Preprocessing(check_factor(scale, "scale"), "as given", found, str(mean))
    return Preprocessing(metadata.scale, "the file", found, str(mean))
