"""What a video's container says for certain, and frames whose pixels are not square."""

from __future__ import annotations

import struct
from pathlib import Path

import cv2
import numpy as np
import pytest

import detect_data as data
import disfa_factory as factory
from drml.data.readers.images import ImageReader
from drml.data.readers.video import VideoFrame, VideoReader, frame_count
from drml.detect.frames import Unreadable, Video
from drml.detect.sources import Source
from drml.io.errors import UserError
from drml.io.video_headers import _shown, video_header

FRAMES = 20


def write(path: Path, codec: str) -> Path:
    return data.write_video(
        path, [factory.picture("SN001", number) for number in range(1, FRAMES + 1)], codec=codec
    )


def note_of(path: Path) -> tuple[int, str | None]:
    video = Video(Source(str(path), "video", path.stem))
    return sum(1 for _ in video), video.note


def test_a_sound_that_is_longer_than_the_picture_is_no_fault(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mkv", "MJPG")
    raw = path.read_bytes()
    # Duration, in milliseconds, as of a file whose sound goes on.
    duration = b"\x44\x89\x88" + struct.pack(">d", 1000 * FRAMES / 25)
    assert raw.count(duration) == 1
    path.write_bytes(raw.replace(duration, duration[:3] + struct.pack(">d", 3000 * FRAMES / 25)))
    reader = VideoReader(path)
    assert (reader.expected, reader.frames, reader.missing) == (3 * FRAMES, 0, 0)
    assert frame_count(path) == (FRAMES, 0) and note_of(path) == (FRAMES, None)
    # One that breaks off is known by its bytes.
    cut = path.read_bytes()[: len(raw) // 2]
    path.write_bytes(cut)
    found, note = note_of(path)
    assert 3 < found < FRAMES and note == (
        f"ends after {found} frames, {len(raw) - len(cut)} bytes of the file are missing"
    )
    with pytest.raises(UserError, match=rf"a\.mkv: the file is cut short, {len(raw) - len(cut)} bytes of it"):
        frame_count(path)
    assert frame_count(path, short=1)[0] == found


def test_empty_frames_of_an_avi_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.avi", "MJPG")
    assert video_header(path, FRAMES) == (FRAMES, 0)
    raw = bytearray(path.read_bytes())
    index = raw.rindex(b"idx1")
    for entry in (0, 7, 19):
        raw[index + 8 + 16 * entry + 12 : index + 8 + 16 * entry + 16] = bytes(4)
    path.write_bytes(raw)
    assert video_header(path, FRAMES) == (FRAMES - 3, 0)
    path.write_bytes(raw[:-1000])
    assert video_header(path, FRAMES).missing == 1000


def test_frames_that_an_edit_list_leaves_out_do_not_count(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", "mp4v")
    assert video_header(path, FRAMES) == (FRAMES, 0)
    raw = bytearray(path.read_bytes())
    edit = raw.index(b"elst") + 12
    duration, begin = struct.unpack_from(">Ii", raw, edit)
    units = struct.unpack_from(">I", raw, raw.index(b"mdhd") + 16)[0]
    assert begin == 0
    struct.pack_into(">Ii", raw, edit, duration // 2, 5 * units // 25)
    path.write_bytes(raw)
    found, note = note_of(path)
    assert found < FRAMES and note is None
    assert found - 1 <= VideoReader(path).frames <= found
    path.write_bytes(raw[:-100])
    assert video_header(path, FRAMES).missing == 100


def test_damaged_headers_say_nothing(tmp_path: Path) -> None:
    raw = write(tmp_path / "a.mp4", "mp4v").read_bytes()
    path = tmp_path / "b.mp4"
    rng = np.random.default_rng(0)
    for _ in range(100):
        changed = bytearray(raw)
        for at in rng.integers(raw.index(b"moov") - 4, len(raw), 6):
            changed[at] = rng.choice([0, 1, 127, 255])
        path.write_bytes(changed)
        assert (video_header(path, 3).frames or 0) >= 0
    path.write_bytes(b"\0\0\0\x08ftyp" + struct.pack(">I4s", 8 * 5001, b"moov") + b"\0\0\0\x08trak" * 5000)
    assert video_header(path, 3) == (None, 0)
    path.write_bytes(b"\0\0\0\x08ftyp\0\0\0\x01mdat" + b"\xff" * 8)  # 64 bits of length
    assert video_header(path, 3).frames is None
    nested = b""
    for _ in range(5000):
        nested = struct.pack(">I4s", 8 + len(nested), b"trak") + nested
    path.write_bytes(b"\0\0\0\x08ftyp" + struct.pack(">I4s", 8 + len(nested), b"moov") + nested)
    assert video_header(path, 3) == (None, 0)


def box(version: int, *values: int, form: str = "I") -> bytes:
    return bytes([version, 0, 0, 0]) + struct.pack(f">{len(values)}{form}", *values)


@pytest.mark.parametrize("seed", range(20))
def test_shown_frames_against_each_frame_looked_at(seed: int) -> None:
    rng = np.random.default_rng(seed)
    runs = [(int(n), int(d)) for n, d in zip(rng.integers(1, 6, 4), rng.integers(1, 50, 4), strict=True)]
    durations = [d for n, d in runs for _ in range(n)]
    shifts = [int(shift) for shift in rng.integers(-20, 60, len(durations))]
    begin, units, scale, length = (
        int(rng.integers(0, 60)),
        90,
        int(rng.integers(50, 200)),
        int(rng.integers(0, 400)),
    )
    track = {
        b"stsz": box(0, 0, len(durations)),
        b"stts": box(0, len(runs), *(value for run in runs for value in run)),
        b"ctts": box(1, len(shifts), *(value for shift in shifts for value in (1, shift % (1 << 32)))),
        b"elst": box(0, 1, length, begin, 1 << 16),
        b"mdhd": box(0, 0, 0, units, 0),
    }
    at, shown = 0, 0
    for duration, shift in zip(durations, shifts, strict=True):
        start = at + shift
        inside = length == 0 or start + duration <= np.ceil(begin + length * units / scale) + 1
        shown += start >= begin and inside
        at += duration
    assert _shown(track, scale) == shown
    pause = box(0, 2, 10, 0xFFFFFFFF, 1 << 16, length, begin, 1 << 16)
    assert _shown({**track, b"elst": pause}, scale) == shown
    parts = box(0, 2, 10, 3, 1 << 16, length, begin, 1 << 16)
    assert _shown({**track, b"elst": parts}, scale) is None


def oblong(path: Path) -> Path:
    """Write a video whose pixels are shown 1.42 times as wide as high (16:9 in 625 lines)."""
    raw = bytearray(write(path, "PIM1").read_bytes())
    at = raw.find(b"\0\0\1\xb3")  # the head of a sequence, in which a code stands for the aspect
    while at >= 0:
        raw[at + 7] = 3 << 4 | raw[at + 7] & 15
        at = raw.find(b"\0\0\1\xb3", at + 4)
    path.write_bytes(raw)
    return path


def test_frames_have_square_pixels(tmp_path: Path) -> None:
    path = oblong(tmp_path / "a.avi")
    plain = VideoReader(write(tmp_path / "plain.avi", "PIM1"))
    ratio = 1 / 0.7031  # of the table in ISO/IEC 11172-2
    sides = (factory.HEIGHT, round(factory.WIDTH * ratio))
    reader = VideoReader(path)
    assert reader.pixel == pytest.approx((ratio, 1), abs=1e-3) and plain.pixel == (1, 1)
    expected = cv2.resize(plain.read(3), sides[::-1])
    np.testing.assert_array_equal(reader.read(3), expected)
    frames = list(Video(Source(str(path), "video", "a")))
    assert len(frames) == FRAMES and all(frame.image.shape[:2] == sides for frame in frames)
    np.testing.assert_array_equal(frames[3].image, expected)


def test_landmarks_move_with_their_oblong_pixels(tmp_path: Path) -> None:
    path = oblong(tmp_path / "a.avi")
    with ImageReader() as reader:
        picture, note = reader.load(VideoFrame(path, 2))
        assert note == "oblong pixels"
        # The corners of the stored frame are those of the picture.
        corners = np.array([[-0.5, -0.5], [factory.WIDTH - 0.5, factory.HEIGHT - 0.5]])
        placed = reader.place(VideoFrame(path, 2), corners)
        np.testing.assert_allclose(placed[0], (-0.5, -0.5))
        np.testing.assert_allclose(placed[1] + 0.5, picture.shape[1::-1], atol=0.5)
        np.testing.assert_array_equal(reader.place(tmp_path / "a.png", corners), corners)


def test_a_turned_video_is_stretched_along_its_turned_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mp4", "mp4v")
    data.turn_video(path)
    get = cv2.VideoCapture.get

    class Capture:
        def __init__(self, *arguments: object) -> None:
            self.real = capture(*arguments)

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def get(self, what: int) -> float:
            return {cv2.CAP_PROP_SAR_NUM: 4.0, cv2.CAP_PROP_SAR_DEN: 3.0}.get(what, get(self.real, what))

    capture = cv2.VideoCapture
    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    reader = VideoReader(path)
    assert reader.pixel == pytest.approx((1, 4 / 3))
    assert reader.read(0).shape[:2] == (round(factory.WIDTH * 4 / 3), factory.HEIGHT)


def test_a_codec_that_opencv_does_not_decode_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "a.mp4", "mp4v")
    real = cv2.VideoCapture

    class Capture:
        def __init__(self, *arguments: object) -> None:
            self.real = real(*arguments)

        def __getattr__(self, name: str) -> object:
            return getattr(self.real, name)

        def get(self, what: int) -> float:
            code = float(cv2.VideoWriter.fourcc(*"av01"))
            return code if what == cv2.CAP_PROP_FOURCC else self.real.get(what)

        def grab(self) -> bool:
            return False

    monkeypatch.setattr(cv2, "VideoCapture", Capture)
    with pytest.raises(Unreadable, match="its codec is AV1, which this OpenCV does not decode; convert it"):
        Video(Source(str(path), "video", "a"))
