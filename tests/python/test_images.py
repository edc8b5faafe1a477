from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

import bp4d_factory as factory
from drml.data.readers.images import load_bgr
from drml.io.errors import UserError
from drml.io.image_headers import is_cut_image

BGR = factory.picture("image")
RGB = Image.fromarray(BGR[:, :, ::-1])


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


def test_an_orientation_mark_is_not_applied(tmp_path: Path) -> None:
    # Landmarks refer to the stored pixels.
    exif = Image.Exif()
    exif[0x0112] = 6
    RGB.save(tmp_path / "o.jpg", exif=exif)
    assert load_bgr(tmp_path / "o.jpg")[0].shape == BGR.shape


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
