"""Preprocessing: turns images into the input of a trained net, with the mean and the scale of its training.

Settings that the caller gives count first. Otherwise they come from the recipe that the weights carry
(`drml.data.recipe`). For weights without a recipe, which stock Caffe or an older version wrote:

* the scale is that of the net that a .caffemodel contains, or else 1;
* the mean is what the net in the .caffemodel names: values, an image file if it still exists, or else the
  ``mean.binaryproto`` in the folder of the data or of the weights. If the training had a mean image and
  neither is found, it is an error. An .h5 file names nothing: ``mean.binaryproto`` is used if it exists.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.data.lmdb import read_mean
from drml.data.recipe import InputRecipe, Recipe
from drml.io.checks import check_factor
from drml.io.errors import UserError
from drml.nets.prototxt import Transform
from drml.nets.recipe import read_recipe
from drml.nets.shapes import shape_text
from drml.nets.weights import read_weights

__all__ = [
    "MEAN_FILE",
    "Preprocessing",
    "check_input_size",
    "describe_preprocessing",
    "find_preprocessing",
    "find_scale",
    "preprocess",
    "recipe_preprocessing",
]

_RECIPE = "recipe in the weights"
MEAN_FILE = "mean.binaryproto"


@dataclass(frozen=True)
class Preprocessing:
    """How images become the net's input: ``(pixel - mean) * scale``.

    Attributes
    ----------
    scale : float
        Factor of the pixels after the mean is subtracted.
    scale_from : str
        Where the scale comes from, as text for the user.
    mean : ndarray of float32 or None
        The mean image, C x H x W, or C values, in grey levels of 0 to 255.
    mean_from : str
        Where the mean comes from, as text for the user.
    face_size : int or None
        Side in pixels of the registered faces, if an .onnx file contains their mean image.
    """

    scale: float
    scale_from: str
    mean: NDArray[np.float32] | None
    mean_from: str
    face_size: int | None = None

    def net_options(self) -> dict[str, Any]:
        """Return the settings as keyword arguments of `drml.nets.net.CaffeNet`."""
        return {"mean": self.mean, "scale": self.scale, "mean_from": self.mean_from}

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values; ``mean`` is "image", "values" or "none"."""
        mean = "none" if self.mean is None else "image" if self.mean.ndim == 3 else "values"
        return {
            "scale": self.scale,
            "scale_from": self.scale_from,
            "mean": mean,
            "mean_from": self.mean_from,
        }


def describe_preprocessing(settings: Mapping[str, Any]) -> str:
    """Describe, as text, what `Preprocessing.to_dict` returned, or the features of a model without a net.

    Examples
    --------
    >>> describe_preprocessing({"scale": 0.5, "scale_from": "default", "mean_from": "none"})
    'mean: none, scale 0.5 (default)'
    >>> describe_preprocessing({"features": "SIFT"})
    'features: SIFT'
    """
    if "features" in settings:
        return f"features: {settings['features']}"
    return f"mean: {settings['mean_from']}, scale {settings['scale']:.6g} ({settings['scale_from']})"


def find_preprocessing(
    weights: str | Path,
    lmdb: Path | None = None,
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
) -> Preprocessing:
    """Find mean and scale in the order that the documentation of this module gives.

    Parameters
    ----------
    weights : path
        .caffemodel or .h5.
    lmdb : path, optional
        The data that the net is to see. Without data, the mean.binaryproto of weights without a recipe is
        looked for in their folder, and it is an error if nothing says whether a mean was subtracted.
    mean : path, optional, keyword-only
        A mean.binaryproto.
    scale : float, optional, keyword-only
        Finite and not 0.

    Returns
    -------
    Preprocessing

    Raises
    ------
    UserError
        A file is missing or damaged, or the mean image of the training is not found.
    """
    recipe = read_recipe(weights)
    if recipe is not None and recipe.input != InputRecipe():
        return recipe_preprocessing(recipe, mean=mean, scale=scale)
    own = read_weights(weights).transform
    scale, scale_from = _choose_scale(scale, own)
    if mean is not None:
        return Preprocessing(scale, scale_from, read_mean(Path(mean)), str(mean))
    folder = (Path(weights).absolute() if lmdb is None else lmdb).parent
    found, mean_from = _find_mean(weights, folder, own)
    if lmdb is None and found is None and own is None:
        raise UserError(
            f"{weights}: carries no recipe, and there is no {MEAN_FILE} in its folder, so the mean image"
            " that it was trained with is unknown; give --mean"
        )
    return Preprocessing(scale, scale_from, found, mean_from)


def recipe_preprocessing(
    recipe: Recipe, *, mean: str | Path | None = None, scale: float | None = None
) -> Preprocessing:
    """Return mean and scale of a recipe, unless the caller gives others.

    Parameters
    ----------
    recipe : Recipe
    mean, scale : optional, keyword-only
        As in `find_preprocessing`.
    """
    image, mean_from = recipe.input.mean, "none"
    if mean is not None:
        image, mean_from = read_mean(Path(mean)), str(mean)
    elif image is not None:
        mean_from = f"image, {_RECIPE}"
    elif recipe.input.mean_value:
        image, mean_from = np.asarray(recipe.input.mean_value, np.float32), f"values, {_RECIPE}"
    if scale is not None:
        return Preprocessing(check_factor(scale, "scale"), "as given", image, mean_from)
    known = recipe.input.scale
    return Preprocessing(1.0 if known is None else known, _RECIPE, image, mean_from)


def check_input_size(
    weights: str | Path, recipe: Recipe | None, shape: tuple[int, int, int], net: str | Path
) -> None:
    """Check that a net takes the crop of the face on which its weights were trained.

    Parameters
    ----------
    weights : path
        For error messages.
    recipe : Recipe or None
        That of the weights. If it does not tell the size of the crop, nothing is checked.
    shape : tuple
        Channels, height and width of the net's input.
    net : path
        The deploy.prototxt, for error messages.

    Raises
    ------
    UserError
        The sizes differ. Without fully connected layers, such a net runs, and its scores are wrong.
    """
    made = InputRecipe() if recipe is None else recipe.input
    side = made.crop_size or (made.face_size if made.crop_size == 0 else None)
    if side is not None and shape[1:] != (side, side):
        what = f"crops of {side}x{side} pixels" if made.crop_size else f"whole faces of {side}x{side} pixels"
        raise UserError(
            f"{net}: takes an input of {shape[1]}x{shape[2]} pixels, but {weights} was trained on {what};"
            " give the deploy.prototxt of that training"
        )


def find_scale(weights: str | Path, scale: float | None = None) -> tuple[float, str]:
    """Find the scale alone, in the same order; return it and where it comes from."""
    recipe = read_recipe(weights)
    if recipe is not None and recipe.input != InputRecipe():
        found = recipe_preprocessing(recipe, scale=scale)
        return found.scale, found.scale_from
    return _choose_scale(scale, None if scale is not None else read_weights(weights).transform)


def _choose_scale(scale: float | None, own: Transform | None) -> tuple[float, str]:
    if scale is not None:
        return check_factor(scale, "scale"), "as given"
    if own is not None:
        return own.scale, "the weights' own net"
    return 1.0, "default"


def _find_mean(
    weights: str | Path, folder: Path, own: Transform | None
) -> tuple[NDArray[np.float32] | None, str]:
    """Return the mean of weights without a recipe, and where it comes from."""
    if own is not None and not own.mean_file:
        # The net was trained without a mean image, so one in the folder of the data does not belong to it.
        if not own.mean_value:
            return None, "none"
        return np.asarray(own.mean_value, np.float32), "mean values of the net"
    for path in ("" if own is None else own.mean_file, str(folder / MEAN_FILE)):
        if path and Path(path).is_file():
            return read_mean(Path(path)), path
    if own is not None:
        raise UserError(
            f"{weights}: trained with the mean image {own.mean_file}, but neither that nor"
            f" {folder / MEAN_FILE} was found; give --mean"
        )
    return None, "none"


def preprocess(
    image: NDArray[np.uint8],
    shape: tuple[int, int, int],
    *,
    mean: NDArray[np.float32] | None = None,
    scale: float = 1.0,
    net: str | Path = "the net",
    mean_from: str = "the mean image",
) -> NDArray[np.float32]:
    """Crop an image to its centre, subtract the mean and multiply by the scale, as Caffe does in TEST.

    Parameters
    ----------
    image : ndarray, height x width x channels
        Values of 0 to 255, with the channels in OpenCV's order: blue, green, red.
    shape : tuple
        Channels, height and width of the net's input.
    mean : ndarray, optional, keyword-only
        The mean image, C x H x W, of the size of the images or of the net's input; or C values.
    scale : float
        Factor of the pixels after the mean is subtracted.
    net : path-like
        The net, for error messages.
    mean_from : str
        Where the mean comes from, for error messages.

    Returns
    -------
    ndarray of float32, C x H x W

    Raises
    ------
    UserError
        The image is smaller than the input or has other channels, or the mean image has another size.
    """
    channels, height, width = shape
    if image.ndim == 2:
        image = image[:, :, None]
    rows, columns = image.shape[:2]
    if image.shape[2] != channels or rows < height or columns < width:
        raise UserError(
            f"an image of {rows}x{columns} with {image.shape[2]} channels does not fit {net},"
            f" which needs at least {shape_text(shape)}"
        )
    top, left = (rows - height) // 2, (columns - width) // 2
    window = np.s_[:, top : top + height, left : left + width]
    pixels = image.transpose(2, 0, 1)[window].astype(np.float32)
    if mean is not None:
        if mean.ndim == 1:
            pixels -= mean[:, None, None]
        elif mean.shape[1:] == (rows, columns):
            pixels -= mean[window]
        elif mean.shape[1:] == (height, width):
            pixels -= mean
        else:
            raise UserError(
                f"{mean_from}: a mean image of {shape_text(mean.shape[1:])}, but the images are"
                f" {rows}x{columns}; give the mean.binaryproto of data prepared with the same --size (--mean)"
            )
    pixels *= np.float32(scale)
    return pixels
