"""Saliency maps: how much a net's score of an AU, or its estimate of an intensity, depends on each pixel.

The saliency of a pixel is the largest |d score / d value| of its colours, as in Simonyan, Vedaldi, Zisserman,
*Deep Inside Convolutional Networks* (2013). The score is the one before the sigmoid, whose slope would make
the maps of confident predictions fade. An intensity is taken before it is clipped to 0 to 5, which would make
the maps of faces at rest 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

__all__ = ["GradientNet", "centre", "focus", "saliency_maps"]


class GradientNet(Protocol):
    """What saliency requires of a network, whatever runs it."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the input."""

    def input_gradients(
        self, images: Sequence[NDArray[np.uint8]], columns: Sequence[int]
    ) -> NDArray[np.float32]:
        """Return d score / d pixel of image n and output ``columns[n]``: shape (N, C, H, W)."""


def saliency_maps(net: GradientNet, image: NDArray[np.uint8], columns: Sequence[int]) -> NDArray[np.float32]:
    """Compute the saliency maps of an image, one per AU.

    Parameters
    ----------
    net : GradientNet
    image : ndarray of uint8, shape (height, width, C)
    columns : sequence of int
        K outputs of the net.

    Returns
    -------
    ndarray of float32, shape (K, H, W)
        0 or more, for the pixels of the net's input, which is the centre crop of the image.
    """
    gradients = net.input_gradients([image] * len(columns), columns)
    return np.asarray(np.abs(gradients).max(axis=1))


def centre(picture: NDArray[Any], shape: tuple[int, int]) -> NDArray[Any]:
    """Return the centre crop of an array (height, width, ...), as a net's input is cropped.

    Parameters
    ----------
    picture : ndarray, shape (height, width, ...)
    shape : tuple of int
        Height and width of the crop.

    Returns
    -------
    ndarray
        A view.

    Examples
    --------
    >>> centre(np.arange(16).reshape(4, 4), (2, 2)).tolist()
    [[5, 6], [9, 10]]
    """
    top, left = ((have - want) // 2 for have, want in zip(picture.shape, shape, strict=False))
    return picture[top : top + shape[0], left : left + shape[1]]


def focus(saliency: NDArray[Any], region: NDArray[np.bool_]) -> float:
    """Return the share of a map's saliency that lies inside a region.

    Parameters
    ----------
    saliency : ndarray, shape (H, W)
    region : ndarray of bool, shape (H, W)

    Returns
    -------
    float
        0 to 1; NaN if the map is 0 everywhere. Uniform saliency gives the region's share of the area.

    Examples
    --------
    >>> focus(np.ones((2, 2)), np.array([[True, False], [False, False]]))
    0.25
    """
    values = np.asarray(saliency, np.float64)
    total = float(values.sum())
    return float(values[region].sum()) / total if total > 0 else float("nan")
