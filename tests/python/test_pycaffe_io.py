"""pycaffe's images, arrays and classifiers, compared with NumPy."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import cv2
import numpy as np
import pytest

from pycaffe_names import caffe, runs

io = caffe.io
from caffe.proto import caffe_pb2  # noqa: E402 -- only importable once import_caffe has set the log level

RNG = np.random.default_rng(0)

# --- arrays and messages


@runs("io.array_to_blobproto", "io.blobproto_to_array")
def test_blobs_keep_values_and_gradients() -> None:
    values, gradients = RNG.standard_normal((2, 2, 3, 4, 5)).astype(np.float32)
    blob = io.array_to_blobproto(values, gradients)
    assert list(blob.shape.dim) == [2, 3, 4, 5]
    np.testing.assert_array_equal(np.array(blob.data, np.float32), values.ravel())
    np.testing.assert_array_equal(io.blobproto_to_array(blob), values)
    np.testing.assert_array_equal(io.blobproto_to_array(blob, return_diff=True), gradients)
    old = caffe_pb2.BlobProto(num=1, channels=2, height=3, width=2, data=range(12))
    np.testing.assert_array_equal(io.blobproto_to_array(old), np.arange(12).reshape(1, 2, 3, 2))


@runs("io.arraylist_to_blobprotovector_str", "io.blobprotovector_str_to_arraylist")
def test_lists_of_arrays_pass_through_a_message() -> None:
    arrays = [RNG.standard_normal(shape).astype(np.float32) for shape in ((2, 3), (4,), (1, 2, 2))]
    found = io.blobprotovector_str_to_arraylist(io.arraylist_to_blobprotovector_str(arrays))
    assert len(found) == 3
    for a, b in zip(found, arrays, strict=True):
        np.testing.assert_array_equal(a, b)


@runs("io.array_to_datum", "io.datum_to_array")
def test_datums_keep_bytes_and_floats() -> None:
    numbers = RNG.integers(0, 256, (3, 4, 5), dtype=np.uint8)
    datum = io.array_to_datum(numbers, 7)
    assert (datum.label, datum.channels, datum.height, datum.width) == (7, 3, 4, 5)
    assert datum.data == numbers.tobytes()
    np.testing.assert_array_equal(io.datum_to_array(datum), numbers)
    floats = numbers / 7
    datum = io.array_to_datum(floats)
    assert not datum.data and not datum.HasField("label")
    np.testing.assert_allclose(io.datum_to_array(datum), floats, rtol=1e-6)
    with pytest.raises(ValueError, match="shape"):
        io.array_to_datum(numbers[0])


# --- images


@runs("io.load_image")
def test_images_of_every_kind_become_rgb_between_0_and_1(tmp_path: Path) -> None:
    bgr = RNG.integers(0, 256, (5, 6, 3), dtype=np.uint8)
    alpha = np.dstack([bgr, np.full((5, 6), 255, np.uint8)])
    wide = RNG.integers(0, 65536, (5, 6, 3), dtype=np.uint16)
    grey = bgr[:, :, 0]
    path = str(tmp_path / "image.png")
    for image, expected, step in (
        (bgr, bgr[:, :, ::-1] / 255, 1e-6),
        (alpha, bgr[:, :, ::-1] / 255, 1e-6),
        (wide, wide[:, :, ::-1] / 65535, 1 / 255),  # Pillow keeps 8 bits of a colour's 16
        (grey, np.repeat(grey[:, :, None], 3, axis=2) / 255, 1e-6),
    ):
        cv2.imwrite(path, image)
        loaded = io.load_image(path)
        assert loaded.dtype == np.float32
        np.testing.assert_allclose(loaded, expected, atol=step)
    cv2.imwrite(path, grey)
    np.testing.assert_allclose(io.load_image(path, color=False), grey[:, :, None] / 255, atol=1e-6)
    cv2.imwrite(path, bgr)
    # ITU-R BT.709, which scikit-image takes for grey.
    expected = (bgr[:, :, ::-1] / 255) @ [0.2125, 0.7154, 0.0721]
    np.testing.assert_allclose(io.load_image(path, color=False), expected[:, :, None], atol=1e-6)


def bilinear(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Interpolate between pixel centres, without smoothing; the outermost half pixels are not looked at."""
    out = np.zeros((height, width, image.shape[2]))
    rows, columns = image.shape[:2]
    for i in range(height):
        for j in range(width):
            y = (i + 0.5) * rows / height - 0.5
            x = (j + 0.5) * columns / width - 0.5
            top, left = int(np.floor(y)), int(np.floor(x))
            for a in (0, 1):
                for b in (0, 1):
                    r, c = min(max(top + a, 0), rows - 1), min(max(left + b, 0), columns - 1)
                    weight = (y - top if a else 1 - y + top) * (x - left if b else 1 - x + left)
                    out[i, j] += weight * image[r, c]
    return out


@runs("io.resize_image")
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [(4, 3), (5, 11), (20, 30), (10, 12)])
def test_images_are_resized_between_their_pixels(channels: int, size: tuple[int, int]) -> None:
    image = RNG.standard_normal((10, 12, channels)).astype(np.float32)
    resized = io.resize_image(image, size)
    assert resized.shape == (*size, channels) and resized.dtype == np.float32
    # Along a border, scikit-image mixes what lies beyond into an enlarged image.
    inner = tuple(slice(2, -2) if new > old else slice(None) for new, old in zip(size, (10, 12), strict=True))
    np.testing.assert_allclose(resized[inner], bilinear(image, *size)[inner], atol=1e-4)


def test_images_of_other_channels_and_of_one_value_are_resized() -> None:
    constant = io.resize_image(np.full((4, 5, 3), 0.25, np.float32), (7, 2))
    np.testing.assert_array_equal(constant, np.full((7, 2, 3), 0.25, np.float32))
    # A plane stays a plane; zoom lays the corners upon each other.
    plane = np.add.outer(np.arange(4.0), np.arange(5.0))[:, :, None] * [1, 2, 3, 4, 5]
    resized = io.resize_image(plane, (7, 9))
    expected = np.add.outer(np.linspace(0, 3, 7), np.linspace(0, 4, 9))[:, :, None] * [1, 2, 3, 4, 5]
    np.testing.assert_allclose(resized, expected, atol=1e-5)


@runs("io.oversample")
def test_ten_crops_are_corners_centre_and_mirrors() -> None:
    images = RNG.standard_normal((2, 9, 8, 3)).astype(np.float32)
    crops = io.oversample(images, (4, 3))
    assert crops.shape == (20, 4, 3, 3)
    for image, ten in zip(images, crops.reshape(2, 10, 4, 3, 3), strict=True):
        five = [
            image[y : y + 4, x : x + 3]
            for y, x in ((0, 0), (0, 5), (5, 0), (5, 5), (2, 2))  # centre: 4.5 - 2, 4 - 1.5, cut off
        ]
        np.testing.assert_array_equal(ten, np.stack(five + [crop[:, ::-1] for crop in five]))


# --- Transformer

SHAPES = {"data": (2, 3, 6, 7)}


def transformer(**settings: object) -> caffe.io.Transformer:
    made = io.Transformer(SHAPES)
    made.set_transpose("data", (2, 0, 1))
    for name, value in settings.items():
        getattr(made, f"set_{name}")("data", value)
    return made


@runs(
    "io.Transformer",
    "io.Transformer.preprocess",
    "io.Transformer.deprocess",
    "io.Transformer.set_transpose",
    "io.Transformer.set_channel_swap",
    "io.Transformer.set_raw_scale",
    "io.Transformer.set_mean",
    "io.Transformer.set_input_scale",
)
@pytest.mark.parametrize("swap", [None, (2, 1, 0), (1, 2, 0)])
@pytest.mark.parametrize("mean", ["none", "channels", "image"])
def test_preprocessing_is_undone(swap: tuple[int, ...] | None, mean: str) -> None:
    means = {"channels": RNG.standard_normal(3), "image": RNG.standard_normal((3, 6, 7))}
    settings: dict[str, object] = {"raw_scale": 255.0, "input_scale": 0.5}
    if swap:
        settings["channel_swap"] = swap
    if mean in means:
        settings["mean"] = means[mean].astype(np.float32)
    used = transformer(**settings)
    image = RNG.random((6, 7, 3)).astype(np.float32)
    kept = image.copy()
    expected = image.transpose(2, 0, 1)[list(swap or (0, 1, 2))] * 255.0
    if mean == "channels":
        expected = expected - means[mean][:, None, None]
    elif mean == "image":
        expected = expected - means[mean]
    for _ in range(2):  # a second call computes the same: the image is not written to
        made = used.preprocess("data", image)
        np.testing.assert_allclose(made, expected * 0.5, rtol=1e-4, atol=1e-4)
        np.testing.assert_array_equal(image, kept)
    np.testing.assert_allclose(used.deprocess("data", made), image, atol=1e-5)
    np.testing.assert_allclose(used.deprocess("data", made[None]), image, atol=1e-5)  # a batch of one


def test_a_grey_image_is_undone_as_well() -> None:
    used = io.Transformer({"data": (1, 1, 4, 5)})
    used.set_transpose("data", (2, 0, 1))
    image = RNG.random((4, 5, 1)).astype(np.float32)
    made = used.preprocess("data", image)
    assert made.shape == (1, 4, 5)
    np.testing.assert_array_equal(used.deprocess("data", made), image)


@pytest.mark.parametrize("value", [0.0, 104.0])
def test_a_mean_image_of_one_value_and_another_size_is_this_value(value: float) -> None:
    used = transformer(mean=np.full((3, 9, 9), value))
    made = used.preprocess("data", np.zeros((6, 7, 3), np.float32))
    np.testing.assert_array_equal(made, np.full((3, 6, 7), -value, np.float32))


def test_a_mean_image_of_another_size_is_resized() -> None:
    mean = RNG.random((3, 12, 14)) * 200
    made = transformer(mean=mean).preprocess("data", np.zeros((6, 7, 3), np.float32))
    # Half the size: a pixel lies in the middle between four.
    expected = mean.reshape(3, 6, 2, 7, 2).mean(axis=(2, 4))
    np.testing.assert_allclose(made, -expected, rtol=1e-4)


def test_transformer_refuses_what_does_not_fit() -> None:
    used = io.Transformer(SHAPES)
    for call in (
        lambda: used.preprocess("other", np.zeros((6, 7, 3))),
        lambda: used.set_transpose("data", (1, 0)),
        lambda: used.set_channel_swap("data", (1, 0)),
        lambda: used.set_mean("data", np.zeros(4)),
        lambda: used.set_mean("data", np.zeros((1, 3, 6, 7))),
    ):
        with pytest.raises(Exception, match=r"not one of|same number|incompatible|invalid"):
            call()


# --- Classifier and Detector

NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 4 dim: 3 dim: 8 dim: 8 } } }
layer { name: "score" type: "InnerProduct" bottom: "data" top: "score"
  inner_product_param { num_output: 4 weight_filler { type: "gaussian" std: 0.05 } } }
"""


@pytest.fixture
def net(tmp_path: Path) -> tuple[str, str]:
    file, weights = tmp_path / "net.prototxt", tmp_path / "w.caffemodel"
    file.write_text(NET)
    caffe.set_random_seed(1)
    caffe.Net(str(file), caffe.TEST).save(str(weights))
    return str(file), str(weights)


def scores(net: caffe.Net, crops: np.ndarray, scale: float = 1.0) -> np.ndarray:
    """Return the scores of crops, N x H x W x RGB, whose channels the net takes as BGR."""
    weights = net.params["score"][0].data.astype(float)
    return np.stack([weights @ (crop[:, :, ::-1] * scale).transpose(2, 0, 1).ravel() for crop in crops])


@runs("classifier.Classifier", "classifier.Classifier.predict")
def test_classifier_averages_the_scores_of_crops(net: tuple[str, str]) -> None:
    classifier = caffe.Classifier(*net, image_dims=(11, 12), raw_scale=255, channel_swap=(2, 1, 0))
    images = RNG.random((5, 11, 12, 3)).astype(np.float32)  # more than a batch, and not a multiple
    centre = scores(classifier, images[:, 1:9, 2:10], 255)  # 5.5 - 4, cut off
    np.testing.assert_allclose(classifier.predict(images, oversample=False), centre, rtol=1e-4, atol=1e-3)
    ten = io.oversample(images, (8, 8)).reshape(5, 10, 8, 8, 3)
    expected = np.stack([scores(classifier, crops, 255).mean(axis=0) for crops in ten])
    for _ in range(2):
        np.testing.assert_allclose(classifier.predict(images), expected, rtol=1e-4, atol=1e-3)
    whole = caffe.Classifier(*net)  # without image_dims: the net's own size, RGB as they are
    small = RNG.random((2, 8, 8, 3)).astype(np.float32)
    expected = scores(whole, small[:, :, :, ::-1])
    np.testing.assert_allclose(whole.predict(small, oversample=False), expected, rtol=1e-4, atol=1e-4)


def save(path: Path, image: np.ndarray) -> str:
    cv2.imwrite(str(path), image)
    return str(path)


@runs("detector.Detector", "detector.Detector.detect_windows", "detector.Detector.configure_crop")
@pytest.mark.parametrize("kind", [list, np.array, iter])
def test_detector_scores_every_window(kind: type, net: tuple[str, str], tmp_path: Path) -> None:
    images = {
        save(tmp_path / f"{i}.png", RNG.integers(0, 256, (20, 16, 3), dtype=np.uint8)): None for i in range(2)
    }
    # Windows of the net's size that overlap, so that no resizing has to be computed again here.
    windows = [np.array([0, 0, 8, 8]), np.array([2, 3, 10, 11]), np.array([12, 8, 20, 16])]
    asked = [
        (path, [list(w) for w in windows]) if kind is list else (path, np.array(windows)) for path in images
    ]
    detector = caffe.Detector(*net, raw_scale=255, channel_swap=(2, 1, 0))
    found = detector.detect_windows(iter(asked) if kind is iter else asked)
    assert [one["filename"] for one in found] == [path for path in images for _ in windows]
    for one, window in zip(found, windows * 2, strict=True):
        np.testing.assert_array_equal(one["window"], window)
        image = io.load_image(one["filename"])
        crop = image[window[0] : window[2], window[1] : window[3]]
        np.testing.assert_allclose(one["prediction"], scores(detector, [crop], 255)[0], rtol=1e-4, atol=1e-3)


def test_windows_are_those_of_the_image_also_where_they_overlap(net: tuple[str, str], tmp_path: Path) -> None:
    """Without a channel swap, a crop shares the memory of its image."""
    path = save(tmp_path / "0.png", RNG.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    detector = caffe.Detector(*net, raw_scale=255)
    first, second = detector.detect_windows([(path, [[0, 0, 8, 8], [0, 0, 8, 8]])])
    np.testing.assert_array_equal(first["prediction"], second["prediction"])


@runs("detector.Detector.crop")
@pytest.mark.parametrize("window", [[4, 4, 7, 7], np.array([4.0, 4.0, 7.0, 7.0])])
def test_a_crop_has_context_around_it(window: object, net: tuple[str, str]) -> None:
    # 8 x 8 with a border of 2: the window becomes the inner 4 x 4, so the crop is twice as large.
    image = RNG.random((12, 12, 3)).astype(np.float32)
    detector = caffe.Detector(*net, context_pad=2)
    np.testing.assert_allclose(detector.crop(image, window), image[2:10, 2:10], atol=1e-6)


def test_context_beyond_the_image_is_the_mean(net: tuple[str, str]) -> None:
    image = RNG.random((12, 12, 3)).astype(np.float32)
    mean = np.array([10.0, 20.0, 30.0])  # in the net's order, BGR, of 0..255
    detector = caffe.Detector(*net, context_pad=2, mean=mean, raw_scale=255, channel_swap=(2, 1, 0))
    made = detector.crop(image, [0, 0, 3, 3])  # the crop begins two pixels before the image
    np.testing.assert_allclose(made[2:, 2:], image[:6, :6], atol=1e-6)
    outside = np.ones((8, 8), bool)
    outside[2:, 2:] = False
    np.testing.assert_allclose(made[outside], np.tile(mean[::-1] / 255, (outside.sum(), 1)), rtol=1e-5)


@runs("detector.Detector.detect_selective_search")
def test_selective_search_gives_the_windows(
    net: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [save(tmp_path / f"{i}.png", RNG.integers(0, 256, (9, 9, 3), dtype=np.uint8)) for i in range(2)]
    search = types.ModuleType("selective_search_ijcv_with_python")
    windows = [np.array([[0, 0, 8, 8]]), np.array([[1, 1, 9, 9], [1, 0, 9, 8]])]

    def get_windows(names: list[str], cmd: str) -> list[np.ndarray]:
        assert names == paths and cmd == "selective_search_rcnn"
        return windows

    search.get_windows = get_windows  # type: ignore[attr-defined] -- a module made here
    monkeypatch.setitem(sys.modules, search.__name__, search)
    monkeypatch.chdir(tmp_path)
    detector = caffe.Detector(*net)
    found = detector.detect_selective_search(["0.png", "1.png"])
    expected = detector.detect_windows(list(zip(paths, windows, strict=True)))
    assert len(found) == 3
    for one, other in zip(found, expected, strict=True):
        assert one["filename"] == other["filename"]
        np.testing.assert_array_equal(one["prediction"], other["prediction"])
