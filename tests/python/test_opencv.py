"""Images and videos are read within limits, and OpenCV's settings of the process stay as they are."""

from __future__ import annotations

import os
import re
import struct
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest

from drml.data.readers import images
from drml.data.readers.video import VideoReader
from drml.io import opencv
from drml.io.errors import UserError
from drml.io.image_headers import image_size

PACKAGE = Path(__file__).parents[2] / "python/drml"
WIDTH, HEIGHT = 36, 40  # JPEG 2000 needs 32 pixels at least
PLANE = np.add.outer(np.arange(HEIGHT), np.arange(WIDTH)).astype(np.uint8)
FACE = np.dstack([PLANE * step for step in (1, 2, 3)])
ENDINGS = "png jpg bmp dib webp tiff jp2 pgm ppm pnm pam sr ras gif avif".split()  # noqa: SIM905


def encoded(ending: str) -> bytes:
    image = PLANE if ending == "pgm" else FACE
    options = [cv2.IMWRITE_WEBP_QUALITY, 90] if ending == "webp" else []
    return bytes(cv2.imencode(f".{ending}", image, options)[1])


@pytest.mark.parametrize("ending", ENDINGS)
def test_every_format_of_opencv_is_read_and_its_size_known(ending: str) -> None:
    data = encoded(ending)
    assert image_size(data) == (WIDTH, HEIGHT)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(opencv.decode_image(data, cv2.IMREAD_UNCHANGED), expected)
    assert images.decode_bgr(data)[0].shape == (HEIGHT, WIDTH, 3)


def test_a_format_whose_size_is_not_known_is_refused() -> None:
    radiance = bytes(cv2.imencode(".hdr", FACE.astype(np.float32))[1])
    assert cv2.imdecode(np.frombuffer(radiance, np.uint8), cv2.IMREAD_UNCHANGED) is not None
    for data in (radiance, b"no image", b"", b"P7\nWIDTH 3\nENDHDR\n"):
        assert opencv.decode_image(data) is None
    with pytest.raises(UserError, match="is an image of floating-point pixels, not an image that drml reads"):
        images.decode_bgr(radiance)


# Where a format keeps the size in its header: what stands before it, and how the numbers are packed. JPEG and
# JPEG 2000 have the height first.
HEADERS = {
    "png": (b"IHDR", ">II"),
    "jpg": (b"\xff\xc0\x00\x11\x08", ">HH"),
    "bmp": (b"\x28\x00\x00\x00", "<ii"),
    "webp": (b"\x9d\x01\x2a", "<HH"),
    "jp2": (b"ihdr", ">II"),
    "sr": (b"\x59\xa6\x6a\x95", ">II"),
    "gif": (b"GIF89a", "<HH"),
    "avif": (b"ispe" + bytes(4), ">II"),
}
HEADERS |= {"dib": HEADERS["bmp"], "ras": HEADERS["sr"]}


def enlarged(ending: str, width: int = 16_000, height: int = 14_000) -> bytes:
    """Return an image whose header claims another size than it has."""
    data = encoded(ending)
    if ending in HEADERS:
        before, form = HEADERS[ending]
        sides = slice(None, None, -1) if ending in ("jpg", "jp2") else slice(None)
        old, new = (before + struct.pack(form, *size[sides]) for size in ((WIDTH, HEIGHT), (width, height)))
        assert old in data
        return data.replace(old, new)
    if ending == "tiff":
        for tag, old_side, side in ((256, WIDTH, width), (257, HEIGHT, height)):
            old, new = (struct.pack("<HHIHH", tag, 3, 1, value, 0) for value in (old_side, side))
            assert old in data
            data = data.replace(old, new)
        return data
    if ending == "pam":
        text = f"WIDTH {WIDTH}\nHEIGHT {HEIGHT}\n", f"WIDTH {width}\nHEIGHT {height}\n"
    else:
        text = f"{WIDTH} {HEIGHT}\n", f"{width} {height}\n"
    assert text[0].encode() in data
    return data.replace(text[0].encode(), text[1].encode(), 1)


@pytest.mark.parametrize("ending", ENDINGS)
def test_too_large_a_size_is_refused_by_the_header(ending: str) -> None:
    said = r"an image of (16000x14000 pixels; at most 201326592, and 16384|too many)"
    with pytest.raises(UserError, match=said):
        opencv.decode_image(enlarged(ending))


def test_the_code_stream_of_a_jpeg_2000_counts() -> None:
    data = encoded("jp2")
    at = data.index(b"\xff\x4f\xff\x51") + 8
    data = data[:at] + struct.pack(">II", 30_000, 30_000) + data[at + 8 :]
    assert image_size(data) == (30_000, 30_000)


PRELOADED = """
import os, sys
import cv2
from drml.data.readers import images
before = dict(os.environ)
try:
    images.load_bgr(sys.argv[1])
except Exception as error:
    print(error)
assert dict(os.environ) == before
"""


def test_limits_hold_if_opencv_was_imported_first(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(enlarged("png"))
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    done = subprocess.run(
        [sys.executable, "-c", PRELOADED, str(path)],
        capture_output=True,
        text=True,
        env=environment,
        check=True,
    )
    assert "a.png: an image of 16000x14000 pixels; at most 201326592" in done.stdout


IMPORTED = """
import os, sys
before = dict(os.environ)
import drml
assert "cv2" not in sys.modules
import drml.cli, drml.data.readers.images, drml.detect, drml.synth, drml.evaluation.scoring, drml.report
import cv2
level = cv2.utils.logging.getLogLevel()
from drml.data.readers.video import VideoReader
from drml.io.opencv import decode_image
decode_image(b"P6 20 24 255 cut")
for name in sys.argv[1:]:
    try:
        VideoReader(drml.io.files.Path(name)).close()
    except drml.io.errors.UserError:
        pass
assert cv2.utils.logging.getLogLevel() == level
changed = {key for key in {*before, *os.environ} if before.get(key) != os.environ.get(key)}
assert not {key for key in changed if "OPENCV" in key}, changed
print("as it was")
"""


def video(path: Path, frames: int = 5) -> Path:
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for index in range(frames):
        writer.write(np.full((48, 64, 3), index * 30, np.uint8))
    writer.release()
    return path


def test_importing_and_reading_leaves_the_environment_alone(tmp_path: Path) -> None:
    (tmp_path / "no.avi").write_bytes(b"no video")
    arguments = [str(video(tmp_path / "a.avi")), str(tmp_path / "no.avi")]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OPENCV_")}
    done = subprocess.run(
        [sys.executable, "-c", IMPORTED, *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert done.stdout == "as it was\n", done.stderr


def frames_of(path: Path) -> int:
    reader = VideoReader(path)
    try:
        return sum(image is not None for _, image in reader.stream())
    finally:
        reader.close()


def test_a_video_of_too_many_pixels_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = video(tmp_path / "a.avi")
    assert frames_of(path) == 5
    monkeypatch.setattr(opencv, "IMAGE_PIXELS", 64 * 48 - 1)
    with pytest.raises(UserError, match=r"a\.avi: a video of 64x48 pixels; at most 3071 are read"):
        VideoReader(path)


def test_a_play_list_is_no_video(tmp_path: Path) -> None:
    video(tmp_path / "secret.avi")
    (tmp_path / "a.avi").write_text("ffconcat version 1.0\nfile secret.avi\n")
    (tmp_path / "b.avi").write_text(
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.avi\n#EXT-X-ENDLIST\n"
    )
    for name in ("a.avi", "b.avi"):
        with pytest.raises(UserError, match="cannot be read as a video"):
            VideoReader(tmp_path / name)


def test_the_users_own_options_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, name = video(tmp_path / "a.avi"), "OPENCV_FFMPEG_CAPTURE_OPTIONS"
    monkeypatch.setenv(name, "format_whitelist;matroska")
    with pytest.raises(UserError, match="cannot be read as a video"):
        VideoReader(path)
    assert os.environ[name] == "format_whitelist;matroska"


def test_options_hold_if_opencv_has_read_a_video_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, name = video(tmp_path / "a.avi"), "OPENCV_FFMPEG_CAPTURE_OPTIONS"
    assert cv2.VideoCapture(str(path)).isOpened()
    monkeypatch.setitem(opencv._FFMPEG, name, "format_whitelist;matroska")
    with pytest.raises(UserError, match="cannot be read as a video"):
        VideoReader(path)
    assert cv2.VideoCapture(str(path)).isOpened()


def test_many_threads_at_once(tmp_path: Path) -> None:
    path, level = video(tmp_path / "a.avi"), cv2.utils.logging.getLogLevel()
    before = dict(os.environ)
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: frames_of(path), range(24))) == {5}
        assert all(image is None for image in pool.map(opencv.decode_image, [b"P6 20 24 255 cut"] * 200))
    assert dict(os.environ) == before and cv2.utils.logging.getLogLevel() == level


def test_one_module_decodes() -> None:
    calls = re.compile(r"cv2\.(imread|imdecode|imreadmulti|imdecodemulti|VideoCapture)\(")
    found = {
        path.relative_to(PACKAGE).as_posix()
        for path in PACKAGE.rglob("*.py")
        if calls.search(path.read_text())
    }
    assert found == {"io/opencv.py"}
