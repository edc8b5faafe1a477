"""The input of a net: the crop, the mean and the scale, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

from drml.evaluation.saliency import centre
from drml.io.errors import UserError
from drml.nets.preprocessing import preprocess

RNG = np.random.default_rng(0)

# Size of the image and of the input, and where the crop begins: of an odd margin the smaller half is first.
CROPS = [
    ((6, 8), (4, 4), (1, 2)),
    ((7, 9), (4, 4), (1, 2)),
    ((5, 4), (4, 3), (0, 0)),
    ((9, 5), (4, 5), (2, 0)),
    ((4, 4), (4, 4), (0, 0)),
]


@pytest.mark.parametrize(("image_size", "size", "begin"), CROPS)
@pytest.mark.parametrize("mean", ["none", "channels", "of the image", "of the input"])
def test_pixels_are_cropped_less_the_mean_and_scaled(
    image_size: tuple[int, int], size: tuple[int, int], begin: tuple[int, int], mean: str
) -> None:
    image = RNG.integers(0, 256, (*image_size, 3), dtype=np.uint8)
    means = {
        "none": None,
        "channels": RNG.random(3).astype(np.float32) * 200,
        "of the image": RNG.random((3, *image_size)).astype(np.float32) * 200,
        "of the input": RNG.random((3, *size)).astype(np.float32) * 200,
    }[mean]
    found = preprocess(image, (3, *size), mean=means, scale=0.125)
    assert found.shape == (3, *size) and found.dtype == np.float32
    whole = image_size == size or mean == "of the image"
    for c in range(3):
        for y in range(size[0]):
            for x in range(size[1]):
                value = float(image[begin[0] + y, begin[1] + x, c])
                if means is not None and means.ndim == 1:
                    value -= float(means[c])
                elif means is not None:
                    value -= float(means[c, begin[0] + y, begin[1] + x] if whole else means[c, y, x])
                assert found[c, y, x] == pytest.approx(value * 0.125, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(("image_size", "size", "begin"), CROPS)
def test_pictures_of_saliency_are_cropped_like_inputs(
    image_size: tuple[int, int], size: tuple[int, int], begin: tuple[int, int]
) -> None:
    picture = np.arange(image_size[0] * image_size[1]).reshape(image_size)
    rows, columns = (slice(first, first + length) for first, length in zip(begin, size, strict=True))
    np.testing.assert_array_equal(centre(picture, size), picture[rows, columns])


@pytest.mark.parametrize(
    ("image_size", "mean_size", "said"),
    [
        ((3, 8), None, "an image of 3x8 with 3 channels does not fit the net"),
        ((8, 3), None, "an image of 8x3 with 3 channels does not fit the net"),
        ((6, 8), (5, 8), "a mean image of 5x8, but the images are 6x8"),
        ((6, 8), (8, 6), "a mean image of 8x6, but the images are 6x8"),
    ],
)
def test_other_sizes_are_refused(
    image_size: tuple[int, int], mean_size: tuple[int, int] | None, said: str
) -> None:
    mean = None if mean_size is None else np.zeros((3, *mean_size), np.float32)
    with pytest.raises(UserError, match=said):
        preprocess(np.zeros((*image_size, 3), np.uint8), (3, 4, 4), mean=mean)
