from __future__ import annotations

import base64
import importlib.util
import io
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from PIL import Image

import bp4d_factory as factory
from drml.data.readers.images import decode_bgr, load_bgr
from drml.io.errors import UserError
from drml.io.heif import is_turned_heic
from drml.io.image_headers import image_size, is_cut_image
from drml.io.opencv import decode_image
from drml.io.orientation import orientation, stored_size, turn, turn_points

BGR = factory.picture("image")
RGB = Image.fromarray(BGR[:, :, ::-1])
# How the pixels of an upright image are stored, by their orientation.
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def close(image: np.ndarray, expected: np.ndarray, tolerance: float) -> None:
    assert image.shape == expected.shape and image.dtype == np.uint8
    assert np.abs(image.astype(float) - expected).mean() < tolerance


def test_plain_files_need_no_note(tmp_path: Path) -> None:
    RGB.save(tmp_path / "a.png")
    RGB.save(tmp_path / "a.jpg", quality=95)
    RGB.save(tmp_path / "b.jpg", quality=95, progressive=True)
    image, note = load_bgr(tmp_path / "a.png")
    assert note is None
    np.testing.assert_array_equal(image, BGR)
    for name in ("a.jpg", "b.jpg"):
        image, note = load_bgr(tmp_path / name)
        assert note is None
        close(image, BGR, 3)


@pytest.mark.parametrize("name", ["g.jpg", "g.png"])
def test_greyscale_gets_three_channels(tmp_path: Path, name: str) -> None:
    grey = RGB.convert("L")
    grey.save(tmp_path / name)
    image, note = load_bgr(tmp_path / name)
    assert note == "greyscale"
    close(image, np.repeat(np.asarray(grey)[:, :, None], 3, axis=2), 3)


def test_cmyk_jpeg_is_converted(tmp_path: Path) -> None:
    RGB.convert("CMYK").save(tmp_path / "c.jpg", quality=95)
    image, note = load_bgr(tmp_path / "c.jpg")
    assert note == "CMYK"
    close(image, BGR, 4)


def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "c.png"), BGR.astype(np.uint16) * 257)
    image, note = load_bgr(tmp_path / "c.png")
    assert note == "16 bits"
    np.testing.assert_array_equal(image, BGR)
    cv2.imwrite(str(tmp_path / "g.png"), np.minimum(BGR[:, :, 1], 254).astype(np.uint16) * 257 + 100)
    image, note = load_bgr(tmp_path / "g.png")
    assert note == "greyscale, 16 bits"
    np.testing.assert_array_equal(image[:, :, 2], np.minimum(BGR[:, :, 1], 254))


def test_alpha_is_dropped(tmp_path: Path) -> None:
    rgba = RGB.convert("RGBA")
    rgba.putalpha(60)
    rgba.save(tmp_path / "a.png")
    image, note = load_bgr(tmp_path / "a.png")
    assert note == "alpha"
    np.testing.assert_array_equal(image, BGR)


def test_a_palette_is_resolved(tmp_path: Path) -> None:
    palette = RGB.convert("P")
    palette.save(tmp_path / "p.png")
    image, _ = load_bgr(tmp_path / "p.png")
    np.testing.assert_array_equal(image, np.asarray(palette.convert("RGB"))[:, :, ::-1])


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.webp", "a.tiff", "a.avif"])
@pytest.mark.parametrize("stored", range(1, 9))
def test_images_are_turned_upright_once(tmp_path: Path, name: str, stored: int) -> None:
    picture = RGB.transpose(UNDO[stored]) if stored in UNDO else RGB
    exif = Image.Exif()
    exif[0x0112] = stored
    picture.save(tmp_path / name, exif=exif, **({} if name in ("a.png", "a.tiff") else {"quality": 95}))
    image, note = load_bgr(tmp_path / name)
    close(image, BGR, 3)
    assert note == (None if stored == 1 else "turned upright")
    data = (tmp_path / name).read_bytes()
    assert orientation(data) == stored and stored_size(data) == picture.size
    for flags in (cv2.IMREAD_UNCHANGED, cv2.IMREAD_COLOR, cv2.IMREAD_GRAYSCALE):
        assert decode_image(data, flags).shape[:2] == BGR.shape[:2]
    close(decode_image(data), BGR, 3)


@pytest.mark.parametrize("stored", range(1, 9))
def test_points_go_with_their_pixels(stored: int) -> None:
    rng = np.random.default_rng(stored)
    pixels = np.zeros((7, 5), np.uint8)
    places = rng.permutation(35)[:6]
    for value, place in enumerate(places, 1):
        pixels.flat[place] = value
    points = np.column_stack([places % 5, places // 5]).astype(float)
    turned = turn(pixels, stored)
    for value, (x, y) in enumerate(turn_points(points, stored, 5, 7), 1):
        assert turned[int(y), int(x)] == value


def test_an_orientation_that_is_none_is_not_applied() -> None:
    for value in (0, 9, 65535):
        exif = Image.Exif()
        exif[0x0112] = value
        file = io.BytesIO()
        RGB.save(file, "JPEG", exif=exif)
        assert orientation(file.getvalue()) == 1
    whole = file.getvalue()
    assert all(orientation(whole[:end]) == 1 for end in range(0, 200, 7))


def test_bytes_between_the_segments_of_a_jpeg_do_no_harm() -> None:
    jpeg = bytes(cv2.imencode(".jpg", BGR)[1])
    for pad in (b"\0" * 3, b"\xff" * 5, b"\0\xff\0"):
        second = 4 + int.from_bytes(jpeg[4:6], "big")
        padded = jpeg[:second] + pad + jpeg[second:]
        image, note = decode_bgr(padded)
        close(image, BGR, 4)
        assert note is None and image_size(padded) == BGR.shape[1::-1] and not is_cut_image(padded)


HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAA"
    "AAAAADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAQAAAgAAAAAC7AABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVp"
    "bmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZo"
    "dmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAA"
    "AwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAA"
    "AAAAQAAAAEAAAAAoY2xhcAAAADwAAAABAAAAKAAAAAH////8AAAAAv///+gAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90"
    "AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAASxtZGF0AAAA/CgBrwY48XPn"
    "Lt/Ed///9t5+h/WqOCHv+rsODmU4T1J37Q7Z+DH4i/rC8S+iom0WvNDyy++e9aX0xPbq6Fty9ydiaHmztbd5pedDVN6NgQE9"
    "B0ykWF2tSkAw+sQvOs3f/wv4+YZuVsqF2W2XDVpkKpRueXyfkx9wz5Qn5gz0EFxY4DwgcFOsLkKmM2LgC4xn+g9f21Q6SpqW"
    "RVW///6NMkm3DEA2SS5r4Lc9EZ2BXjDB6rb5AA+FqkGLVOMsgkZkIJLeFvFCIJSvQOcs2KB/nl2rYmQba5/o4ZhaPfAspd6S"
    "Tk5ij68IR/T+J+Hz8jzsnvfDWeT55sdPcQJhAwAAAAZFeGlmAABNTQAqAAAACAABARIAAwAAAAEABgAAAAAAAA=="
)


def test_heic_is_read_where_a_package_for_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    as_stored = HEIC.replace(b"irot\3", b"irot\0")

    class Opened:
        size = (60, 40)

        def to_pillow(self) -> Image.Image:
            return RGB

    def open_heif(file: io.BytesIO, **_: object) -> Opened:
        assert file.read() in (HEIC, as_stored)
        return Opened()

    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"an HEIC image, which needs .*pip install pillow-heif"):
        decode_bgr(HEIC)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(open_heif=open_heif))
    image, note = decode_bgr(HEIC)
    np.testing.assert_array_equal(image, BGR)
    assert note == "turned upright"
    assert decode_bgr(as_stored)[1] is None
    Opened.size = (17_000, 10)
    with pytest.raises(UserError, match="an image of 17000x10 pixels"):
        decode_bgr(HEIC)


def box(name: bytes, *parts: bytes) -> bytes:
    content = b"".join(parts)
    return struct.pack(">I", 8 + len(content)) + name + content


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    ("used", "turned"),
    [([1], False), ([1, 2], False), ([3], True), ([1, 4], True), ([], False), ([9], False)],
)
def test_whether_an_heic_photo_is_turned_its_main_picture_tells(
    used: list[int], turned: bool, wide: bool
) -> None:
    # Picture 8 is the main one; picture 7, a thumbnail, is turned and mirrored.
    number = (lambda n: struct.pack(">I", n)) if wide else (lambda n: struct.pack(">H", n))
    index = (lambda n: struct.pack(">H", 0x8000 | n)) if wide else (lambda n: bytes([0x80 | n]))
    version = bytes([wide, 0, 0, wide])
    table = [
        number(item) + bytes([len(which)]) + b"".join(map(index, which))
        for item, which in ((7, [3, 4]), (8, used))
    ]
    properties = [box(b"ispe", bytes(12)), box(b"irot", b"\0"), box(b"irot", b"\1"), box(b"imir", b"\0")]
    meta = box(
        b"meta",
        bytes(4),
        box(b"pitm", version, number(8)),
        box(b"iprp", box(b"ipco", *properties), box(b"ipma", version, struct.pack(">I", 2), *table)),
    )
    large = struct.pack(">I4sQ", 1, b"free", 20) + bytes(4)  # a box whose size has 64 bits
    data = box(b"ftyp", b"heic", bytes(4)) + large + meta + struct.pack(">I4s", 0, b"mdat") + bytes(9)
    assert is_turned_heic(data) == turned
    assert not any(is_turned_heic(data[:end]) for end in range(0, len(data) - 17 - len(meta)))


def test_a_damaged_heic_photo_is_not_turned() -> None:
    assert is_turned_heic(HEIC) and not is_turned_heic(HEIC + HEIC)
    for end in range(0, 500, 3):
        is_turned_heic(HEIC[:end])  # raises nothing


def test_an_heic_photo_is_upright() -> None:
    pytest.importorskip("pillow_heif")
    image, note = decode_bgr(HEIC)  # 60x40, its upper left quarter red, to be turned to the right
    assert image.shape == (60, 40, 3) and note == "turned upright"
    assert image[5, -5, 2] > 230 and image[5, 5].max() < 30 and image[-5, -5].max() < 30


def test_avif_is_read_without_opencvs_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    file = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    RGB.transpose(UNDO[6]).save(file, "AVIF", quality=95, exif=exif)
    monkeypatch.setattr(cv2, "imdecode", lambda *_: None)
    close(decode_bgr(file.getvalue())[0], BGR, 3)


def test_what_is_no_image_is_refused_by_its_name() -> None:
    dng = b"II*\0\x08\0\0\0" + struct.pack("<HHHIIHHII", 2, 254, 4, 1, 1, 256, 4, 1, 64) + bytes(4)
    for data, said in (
        (b"%PDF-1.4 " + bytes(cv2.imencode(".jpg", BGR)[1]), "is a PDF document, not an image"),
        (b"II*\0\x10\0\0\0CR\x02\0", "is a camera's raw file"),
        (dng, "is a camera's raw file, whose first image is a preview"),
        (b"8BPS\0\x01", "is a Photoshop document"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isomavc1", "is an MP4 or QuickTime file"),
    ):
        with pytest.raises(UserError, match=said):
            decode_bgr(data)


def test_broken_files_are_refused_by_name(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    RGB.save(tmp_path / "a.jpg", quality=95)
    RGB.save(tmp_path / "a.png")
    jpeg, png = (tmp_path / "a.jpg").read_bytes(), (tmp_path / "a.png").read_bytes()
    faults = {
        b"": "zero bytes",
        jpeg[: len(jpeg) // 2]: "truncated",
        jpeg[:20]: "truncated",
        b"\xff\xd8": "truncated",
        b"\xff\xd8" + b"\x00" * 100: "truncated",
        png[: len(png) // 2]: "the PNG is truncated",
        png[:30]: "the PNG is truncated",
        b"just words, no picture": "cannot be decoded",
        bytes(1000): "cannot be decoded",
    }
    path = tmp_path / "broken.jpg"
    for data, said in faults.items():
        path.write_bytes(data)
        with pytest.raises(UserError) as error:
            load_bgr(path)
        assert str(error.value).startswith(f"{path}: ") and said in str(error.value)
    assert capfd.readouterr().err == ""


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jpg: no such image"):
        load_bgr(tmp_path / "none.jpg")
    with pytest.raises(UserError, match="cannot be read"):
        load_bgr(tmp_path)


def _camera_jpeg(image: np.ndarray) -> bytes:
    """A JPEG whose header holds a small one, as cameras write them."""
    jpeg, small = (bytes(cv2.imencode(".jpg", size)[1]) for size in (image, image[::4, ::4]))
    body = b"Exif\0\0" + small
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


def test_truncated_images_are_seen_and_what_follows_the_end_is_not() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 48, 3), np.uint8)
    jpeg, png, bmp = (bytes(cv2.imencode(kind, image)[1]) for kind in (".jpg", ".png", ".bmp"))
    progressive = bytes(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1])
    camera = _camera_jpeg(image)
    assert not any(is_cut_image(whole) for whole in (jpeg, png, bmp, progressive, camera, b"", b"no image"))
    for whole in (jpeg, png, progressive, camera):
        assert not is_cut_image(whole + b"a maker's data")
        assert not is_cut_image(whole + camera[:3000])  # as of an MPO
        for share in (0.01, 0.3, 0.6, 0.9):
            assert is_cut_image(whole[: max(10, int(len(whole) * share))]), share
        assert is_cut_image(whole[:-1])
