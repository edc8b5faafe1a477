"""Images as Caffe's layers read them, against drml's own reader: turned upright, within the same limits."""

import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from drml.io import limits
from drml.io.opencv import decode_image
from drml.nets.pycaffe import import_caffe

ROOT = Path(__file__).resolve().parents[2]
LAYERS = {
    "MultiLabelImageData": 'multi_label_data_param { source: "LIST" batch_size: 1 }',
    "ImageData": 'image_data_param { source: "LIST" batch_size: 1 }',
}
FORMATS = {
    "webp": {"lossless": True},
    "png": {},
    "tiff": {},
    "jpeg": {"quality": 95},
}


def write_image(path, image, orientation, kind, *, signature=True):
    """Write an image with its orientation in EXIF, in WebP with or without the signature that JPEG has."""
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    data = exif.tobytes()
    if kind == "webp" and not signature:
        data = data.removeprefix(b"Exif\0\0")
    with io.BytesIO() as file:
        options = {} if orientation is None else {"exif": data}
        Image.fromarray(image[..., ::-1]).save(file, kind.upper(), **FORMATS[kind], **options)
        path.write_bytes(file.getvalue())


def read_by(layer, path):
    """Read an image by a layer in the phase TEST; return H x W x 3, BGR."""
    caffe = import_caffe()
    (path.parent / "list.txt").write_text(f"{path} 1\n")
    net = path.parent / "net.prototxt"
    param = LAYERS[layer].replace("LIST", str(path.parent / "list.txt"))
    net.write_text(f'layer {{ name: "data" type: "{layer}" top: "data" top: "label" {param} }}')
    blobs = caffe.Net(str(net), caffe.TEST)
    blobs.forward()
    return blobs.blobs["data"].data[0].transpose(1, 2, 0).copy()  # the memory goes with the net


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("kind", FORMATS)
def test_images_are_turned_upright(tmp_path, kind, layer):
    image = np.random.default_rng(4).integers(0, 256, (5, 8, 3), np.uint8)
    if kind == "jpeg":
        image = np.kron(np.arange(40, dtype=np.uint8).reshape(5, 8), np.full((8, 8), 6, np.uint8))
        image = np.repeat(image[..., None], 3, axis=2)
    upright = {  # written from EXIF's table: what the first row and column of the stored pixels are
        None: image,
        1: image,
        2: image[:, ::-1],
        3: image[::-1, ::-1],
        4: image[::-1],
        5: image.transpose(1, 0, 2),
        6: image[::-1].transpose(1, 0, 2),
        7: image[::-1, ::-1].transpose(1, 0, 2),
        8: image[:, ::-1].transpose(1, 0, 2),
        9: image,  # no orientation
    }
    for orientation, expected in upright.items():
        if kind == "tiff" and orientation == 9:
            continue  # libtiff has its own rule
        path = tmp_path / f"{orientation}.{kind}"
        for signature in (True, False):
            write_image(path, image, orientation, kind, signature=signature)
            found = read_by(layer, path)
            assert found.shape == expected.shape, orientation
            np.testing.assert_allclose(found, expected, atol=3 if kind == "jpeg" else 0)
            np.testing.assert_allclose(
                found, decode_image(path.read_bytes()), atol=3 if kind == "jpeg" else 0
            )


def test_a_damaged_exif_chunk_leaves_the_image_as_it_is(tmp_path):
    image = np.random.default_rng(4).integers(0, 256, (5, 8, 3), np.uint8)
    path = tmp_path / "x.webp"
    write_image(path, image, 6, "webp")
    data = path.read_bytes()
    at = data.index(b"EXIF") + 8
    for length in (0, 1, 6, 8, 14):
        # The structure ends early, and its offsets lead beyond the chunk.
        path.write_bytes(data[:at] + data[at : at + length] + b"\xff" * (len(data) - at - length))
        assert read_by("MultiLabelImageData", path).shape == image.shape


def test_both_sides_have_the_same_limits():
    header = (ROOT / "caffe_ext/limits/limits.hpp").read_text()
    found = dict(re.findall(r"const int64_t (\w+) = ([0-9 *]+);", header))
    pixels = np.prod([int(factor) for factor in found["kMaxImagePixels"].split("*")])
    assert pixels == limits.IMAGE_PIXELS
    assert int(found["kMaxImageSide"]) == limits.IMAGE_SIDE
    assert f"{limits.IMAGE_PIXELS:,}" in (ROOT / "docs/limits.md").read_text()
