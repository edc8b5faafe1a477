"""Preprocessing: turns images into the input of a trained net, with the mean and the scale of its training.

Settings that the caller gives count first. Otherwise they come from the net that a .caffemodel contains, or
from ``transform.json`` in the folder of the weights, which ``drml train`` writes and an .h5 file needs:

* scale: the value in one of these, or 1 if there is neither;
* mean image: the copy that ``transform.json`` names; or else the file that the net in the .caffemodel names;
  or else the ``mean.binaryproto`` in the folder of the LMDB. If the training had a mean image and none of
  these exists, it is an error;
* mean values, or no mean, if the training had that. If nothing says what the training had, the
  ``mean.binaryproto`` in the folder of the LMDB is used if it exists.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.data.lmdb import read_mean
from drml.io.checks import check_factor
from drml.io.errors import UserError
from drml.io.limits import read_json
from drml.nets.prototxt import Transform
from drml.nets.shapes import shape_text
from drml.nets.weights import read_weights

__all__ = [
    "MEAN_FILE",
    "TRANSFORM_FILE",
    "Preprocessing",
    "describe_preprocessing",
    "find_preprocessing",
    "find_scale",
    "preprocess",
    "read_trained_aus",
    "read_transform_file",
    "transform_to_json",
]

TRANSFORM_FILE = "transform.json"
MEAN_FILE = "mean.binaryproto"


def read_transform_file(weights: str | Path) -> Transform | None:
    """Read ``transform.json`` in the folder of the weights, if it exists; `mean_file` becomes absolute."""
    path = Path(weights).with_name(TRANSFORM_FILE)
    if not path.is_file():
        return None
    try:
        content = read_json(path)
        mean_file = str(content.get("mean_file", ""))
        return Transform(
            scale=float(content.get("scale", 1.0)),
            crop_size=int(content.get("crop_size", 0)),
            mean_value=tuple(float(value) for value in content.get("mean_value", ())),
            mean_file=str(path.absolute().parent / mean_file) if mean_file else "",
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not a transform that drml train wrote ({error}); remove or repair it"
        ) from None


def read_trained_aus(weights: str | Path) -> tuple[int, ...] | None:
    """Read the AUs of the net's outputs in ``transform.json`` in the folder of the weights, if it has them.

    Raises
    ------
    UserError
        The file is damaged.
    """
    path = Path(weights).with_name(TRANSFORM_FILE)
    if not path.is_file():
        return None
    try:
        aus = tuple(read_json(path).get("aus", ()))
        if len(set(aus)) != len(aus) or not all(type(au) is int and 0 < au < 10_000 for au in aus):
            raise ValueError("its aus are not a list of different AU numbers")
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not a transform that drml train wrote ({error}); remove or repair it"
        ) from None
    return aus or None


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
    """

    scale: float
    scale_from: str
    mean: NDArray[np.float32] | None
    mean_from: str

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
        The data that the net is to see. Without data, a mean.binaryproto is looked for in the folder of the
        weights, and it is an error if nothing says whether a mean was subtracted in training.
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
    own, saved = read_weights(weights).transform, read_transform_file(weights)
    scale, scale_from = _choose_scale(scale, own, saved)
    if mean is not None:
        return Preprocessing(scale, scale_from, read_mean(Path(mean)), str(mean))
    folder = (Path(weights).absolute() if lmdb is None else lmdb).parent
    found, mean_from = _find_mean(weights, folder, own, saved)
    if lmdb is None and found is None and own is None and saved is None:
        raise UserError(
            f"{weights}: the mean image that it was trained with is unknown, and there is no {MEAN_FILE} in"
            " its folder; give --mean"
        )
    return Preprocessing(scale, scale_from, found, mean_from)


def find_scale(weights: str | Path, scale: float | None = None) -> tuple[float, str]:
    """Find the scale alone, in the same order; return it and where it comes from."""
    if scale is not None:
        return _choose_scale(scale, None, None)
    return _choose_scale(None, read_weights(weights).transform, read_transform_file(weights))


def _choose_scale(scale: float | None, own: Transform | None, saved: Transform | None) -> tuple[float, str]:
    if scale is not None:
        return check_factor(scale, "scale"), "as given"
    if own is not None:
        return own.scale, "the weights' own net"
    if saved is not None:
        return saved.scale, TRANSFORM_FILE
    return 1.0, "default"


def _find_mean(
    weights: str | Path, folder: Path, own: Transform | None, saved: Transform | None
) -> tuple[NDArray[np.float32] | None, str]:
    """Return the mean that was subtracted in training, and where it comes from."""
    trained = own or saved
    if trained is not None and not trained.mean_file:
        # The net was trained without a mean image, so one in the folder of the data does not belong to it.
        if not trained.mean_value:
            return None, "none"
        return np.asarray(trained.mean_value, np.float32), "mean values of the net"
    names = [known.mean_file for known in (saved, own) if known is not None]
    for path in (*names, str(folder / MEAN_FILE)):
        if path and Path(path).is_file():
            return read_mean(Path(path)), path
    if trained is not None:
        raise UserError(
            f"{weights}: trained with the mean image {trained.mean_file}, but neither that nor"
            f" {folder / MEAN_FILE} was found; give --mean"
        )
    return None, "none"


def transform_to_json(transform: Transform, *, aus: Sequence[int] = ()) -> str:
    """Return the text of ``transform.json``; `aus`, if known, are those of the net's outputs, in order."""
    return json.dumps({**asdict(transform), **({"aus": list(aus)} if aus else {})}, indent=2) + "\n"


def preprocess(
    image: NDArray[np.uint8],
    shape: tuple[int, int, int],
    *,
    mean: NDArray[np.float32] | None = None,
    scale: float = 1.0,
    net: str | Path = "the net",
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
                f"the mean image is {shape_text(mean.shape[1:])}, but the images are {rows}x{columns};"
                " give the mean.binaryproto of data prepared with the same --size"
            )
    pixels *= np.float32(scale)
    return pixels
