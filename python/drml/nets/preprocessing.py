"""How a picture is turned into a trained net's input: mean and scale, as in its training.

Settings that the caller gives count first. Else, what the weights were trained with is told by the net that
a .caffemodel carries, or by ``transform.json`` beside the weights (``drml train`` writes it), which an .h5
needs:

* scale: what they say; 1 where neither is there;
* mean image: the copy that ``transform.json`` names; the file that the weights' own net names; the
  ``mean.binaryproto`` beside the LMDB. That training had one and none of these is found is an error;
* mean values of the net, or no mean at all, where they say so. Where nothing tells, the ``mean.binaryproto``
  beside the LMDB is taken if it is there.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.data.lmdb import read_mean
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
    """How pictures become the net's input, and where each setting comes from (for the reader).

    Attributes
    ----------
    scale : float
        Factor after the mean is taken off.
    scale_from : str
    mean : ndarray of float32 or None
        C x H x W (an image) or C values, in grey levels of 8 bits.
    mean_from : str
    """

    scale: float
    scale_from: str
    mean: NDArray[np.float32] | None
    mean_from: str

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values; ``mean`` is ``image``, ``values`` or ``none``."""
        mean = "none" if self.mean is None else "image" if self.mean.ndim == 3 else "values"
        return {
            "scale": self.scale,
            "scale_from": self.scale_from,
            "mean": mean,
            "mean_from": self.mean_from,
        }


def describe_preprocessing(settings: Mapping[str, Any]) -> str:
    """Put into words what `Preprocessing.to_dict` gave, or what a model without a net says of its features.

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
    own, beside = read_weights(weights).transform, read_transform_file(weights)
    scale, scale_from = _settle_scale(scale, own, beside)
    if mean is not None:
        return Preprocessing(scale, scale_from, read_mean(Path(mean)), str(mean))
    folder = (Path(weights).absolute() if lmdb is None else lmdb).parent
    found, mean_from = _find_mean(weights, folder, own, beside)
    if lmdb is None and found is None and own is None and beside is None:
        raise UserError(
            f"{weights}: what mean image it was trained with is not known, and no {MEAN_FILE} is beside it;"
            " give --mean"
        )
    return Preprocessing(scale, scale_from, found, mean_from)


def find_scale(weights: str | Path, scale: float | None = None) -> tuple[float, str]:
    """Settle the scale alone, in the same order; return it and where it comes from."""
    if scale is not None:
        return _settle_scale(scale, None, None)
    return _settle_scale(None, read_weights(weights).transform, read_transform_file(weights))


def _settle_scale(scale: float | None, own: Transform | None, beside: Transform | None) -> tuple[float, str]:
    if scale is not None:
        if not math.isfinite(scale) or scale == 0:
            raise UserError(f"scale {scale}: give a finite number other than 0")
        return scale, "as given"
    if own is not None:
        return own.scale, "the weights' own net"
    if beside is not None:
        return beside.scale, TRANSFORM_FILE
    return 1.0, "default"


def _find_mean(
    weights: str | Path, folder: Path, own: Transform | None, beside: Transform | None
) -> tuple[NDArray[np.float32] | None, str]:
    """Return the mean that was subtracted in training, and where it comes from."""
    trained = own or beside
    if trained is not None and not trained.mean_file:
        # A mean image beside the data is then none of this net's.
        if not trained.mean_value:
            return None, "none"
        return np.asarray(trained.mean_value, np.float32), "mean values of the net"
    names = [known.mean_file for known in (beside, own) if known is not None]
    for path in (*names, str(folder / MEAN_FILE)):
        if path and Path(path).is_file():
            return read_mean(Path(path)), path
    if trained is not None:
        raise UserError(
            f"{weights}: trained with the mean image {trained.mean_file}, and neither that nor"
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
    """Centre crop, mean and scale as Caffe's transformer has them in TEST.

    Parameters
    ----------
    image : ndarray, height x width x channels
        BGR, as OpenCV decodes it.
    shape : tuple
        C, H, W of the input.
    mean, scale
        As in `CaffeNet`.
    net : path
        What errors call the net.

    Returns
    -------
    ndarray, C x H x W
    """
    channels, height, width = shape
    if image.ndim == 2:
        image = image[:, :, None]
    rows, columns = image.shape[:2]
    if image.shape[2] != channels or rows < height or columns < width:
        raise UserError(
            f"a picture of {rows}x{columns} with {image.shape[2]} channels does not fit {net},"
            f" whose input is {shape_text(shape)}"
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
                f"the mean image is {shape_text(mean.shape[1:])}, the pictures are {rows}x{columns};"
                " give the mean.binaryproto of data prepared with the same --size"
            )
    pixels *= np.float32(scale)
    return pixels
