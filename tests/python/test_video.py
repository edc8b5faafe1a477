"""Frames out of videos: the very ones that were written, whatever is skipped and whatever is damaged."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

import disfa_factory as factory
from drml.data.readers.images import ImageReader
from drml.data.readers.video import VideoFrame, VideoReader, frame_count
from drml.io.errors import UserError

FRAMES = 40
CODECS = ("MJPG", "XVID", "PIM1")


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("videos")
    pictures = [factory.picture("SN001", frame) for frame in range(1, FRAMES + 1)]
    found = {}
    # XVID has frames that depend on earlier ones; those of MPEG-1 depend on later ones as well, are stored
    # in another order than they are shown in, and in an AVI bear time stamps that do not count them.
    for codec in CODECS:
        found[codec] = folder / f"{codec}.avi"
        factory.write_avi(found[codec], pictures, codec)
    return found


@pytest.mark.parametrize("codec", CODECS)
def test_each_index_is_the_frame_that_was_written_there(videos: dict[str, Path], codec: str) -> None:
    reader = VideoReader(videos[codec])
    assert reader.frames == FRAMES
    numbers = [factory.number_in(reader.read(index)) for index in range(FRAMES)]
    assert numbers == list(range(1, FRAMES + 1))
    assert reader.finish() == FRAMES
    reader.close()


@pytest.mark.parametrize("codec", CODECS)
def test_frames_may_be_passed_over_asked_again_and_asked_backwards(
    videos: dict[str, Path], codec: str
) -> None:
    reader = VideoReader(videos[codec])
    for index in (0, 3, 4, 17, 17, 39, 2, 30):
        assert factory.number_in(reader.read(index)) == index + 1
    with pytest.raises(UserError, match="the video ends after 40 frames"):
        reader.read(FRAMES)
    assert factory.number_in(reader.read(5)) == 6


def test_a_video_is_opened_once_for_all_its_frames(
    videos: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []
    capture = cv2.VideoCapture

    def counted(name: str, backend: int) -> cv2.VideoCapture:
        opened.append(name)
        return capture(name, backend)

    monkeypatch.setattr(cv2, "VideoCapture", counted)
    with ImageReader() as reader:
        for index in range(0, FRAMES, 3):
            image, note = reader.load(VideoFrame(videos["MJPG"], index))
            assert factory.number_in(image) == index + 1 and note is None
        reader.finish(VideoFrame(videos["MJPG"], 0))
    assert len(opened) == 1


def chunks(data: bytes) -> list[tuple[int, int]]:
    """Where each frame of an AVI lies: offset and length of its data."""
    places, at = [], data.index(b"movi") + 4
    while data[at : at + 4] == b"00dc":
        length = int.from_bytes(data[at + 4 : at + 8], "little")
        places.append((at + 8, length))
        at += 8 + length + length % 2
    return places


def test_a_frame_that_cannot_be_decoded_shifts_no_other(
    videos: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    data = bytearray(videos["MJPG"].read_bytes())
    at, length = chunks(bytes(data))[10]
    data[at : at + length] = bytes(length)
    path = tmp_path / "damaged.avi"
    path.write_bytes(data)
    reader = VideoReader(path)
    found = {}
    for index in range(FRAMES):
        try:
            found[index] = factory.number_in(reader.read(index))
        except UserError as error:
            assert str(error) == "the frame cannot be decoded (damaged)"
    assert found == {index: index + 1 for index in range(FRAMES) if index != 10}
    assert reader.finish() == FRAMES
    assert capfd.readouterr().err == ""


def test_a_video_whose_frames_cannot_be_counted_is_refused(videos: dict[str, Path], tmp_path: Path) -> None:
    data = bytearray(videos["MJPG"].read_bytes())
    # The head of a frame is gone as well: what follows is numbered anew, and no time stamp tells.
    at, length = chunks(bytes(data))[10]
    data[at - 8 : at + length] = bytes(length + 8)
    path = tmp_path / "lost.avi"
    path.write_bytes(data)
    reader = VideoReader(path)
    with pytest.raises(UserError, match=r"lost\.avi: \d+ frames can be decoded, its header says 40"):
        reader.finish()
    half = tmp_path / "half.avi"
    half.write_bytes(data[: len(data) // 8])
    with pytest.raises(UserError, match=r"half\.avi: \d frames can be decoded, its header says 40"):
        VideoReader(half).finish()


def test_files_that_are_no_videos(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "x.avi"
    with pytest.raises(UserError, match=r"x\.avi: no such video"):
        VideoReader(path)
    for content in (b"", b"no video" * 1000):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"x\.avi: cannot be read as a video"):
            frame_count(path)
    with ImageReader() as reader, pytest.raises(UserError) as error:
        reader.load(VideoFrame(path, 3))
    assert str(error.value).startswith(f"{path}#3: cannot be read as a video")
    assert capfd.readouterr().err == ""


def test_a_header_that_tells_of_too_few_frames_is_not_believed(
    videos: dict[str, Path], tmp_path: Path
) -> None:
    assert frame_count(videos["MJPG"]) == (FRAMES, 0)
    data = bytearray(videos["MJPG"].read_bytes())
    length = data.index(b"strh") + 8 + 32
    assert int.from_bytes(data[length : length + 4], "little") == FRAMES
    data[length : length + 4] = (25).to_bytes(4, "little")
    path = tmp_path / "less.avi"
    path.write_bytes(data)
    assert frame_count(path) == (FRAMES, 0)
    reader = VideoReader(path)
    assert [factory.number_in(reader.read(index)) for index in (3, 24, 30, 39)] == [4, 25, 31, 40]


def test_a_frame_has_a_name_and_a_place() -> None:
    assert str(VideoFrame(Path("a.avi"), 7)) == "a.avi#7"
    assert np.array_equal(sorted([VideoFrame(Path("a"), 10), VideoFrame(Path("a"), 9)])[0].index, 9)
