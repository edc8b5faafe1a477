"""Copies of DISFA: unpacked folders, folders that the user names, archives, and videos that are too short."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import disfa_factory as factory
from drml.data.readers import Scan, disfa
from drml.data.readers.images import ImageReader
from drml.io.errors import UserError

FRAMES = 4
VIDEO = "Videos_LeftCamera/LeftVideoSN001_comp.avi"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One subject of four frames, as distributed."""
    factory.write_subject(tmp_path / "DISFA", "SN001", FRAMES)
    return tmp_path / "DISFA"


def frames_of(scan: Scan) -> list[int]:
    """Return the numbers that the images of the records show, which have to be those of the records."""
    with ImageReader() as reader:
        shown = [factory.number_in(reader.load(record.image)[0]) for record in scan.records]
    assert shown == [record.frame for record in scan.records]
    return shown


def test_folders_that_are_unpacked_one_level_too_deep(root: Path) -> None:
    for name in ("Landmark_Points", "ActionUnit_Labels", "Videos_LeftCamera"):
        (root / name).rename(root / "spare")
        (root / name).mkdir()
        (root / "spare").rename(root / name / name)
    assert frames_of(disfa.read(root)) == [1, 2, 3, 4]


@pytest.mark.parametrize("case", [str.lower, str.upper])
def test_names_in_another_case(root: Path, case: Callable[[str], str]) -> None:
    usual = disfa.read(root)
    labels = [record.labels.tolist() for record in usual.records]
    points = [record.landmarks for record in usual.records]
    factory.rename_all(root, case)
    scan = disfa.read(root)
    assert frames_of(scan) == [1, 2, 3, 4]
    assert [record.subject for record in scan.records] == ["SN001"] * FRAMES
    assert [record.labels.tolist() for record in scan.records] == labels
    for record, expected in zip(scan.records, points, strict=True):
        np.testing.assert_array_equal(record.landmarks, expected)


def test_folders_of_any_name_can_be_given(root: Path) -> None:
    given = {}
    for part, name in (("coding", "ActionUnit_Labels"), ("image", "Videos_LeftCamera")):
        (root / name).rename(root / part)
        given[f"{part}_folder"] = root / part
    (root / "Landmark_Points").rename(root / "points")
    assert frames_of(disfa.read(root, **given, landmark_folder=root / "points")) == [1, 2, 3, 4]


def test_two_variants_in_one_folder_are_refused_unless_one_is_chosen(root: Path) -> None:
    factory.write_frames(root / "img/SN001", "SN001", 3, lambda n: f"{n - 1}.png")
    with pytest.raises(UserError, match=r"images in 2 places, Videos_LeftCamera and img; keep one"):
        disfa.read(root)
    assert frames_of(disfa.read(root, image_folder=root / "img")) == [1, 2, 3]
    factory.write_frames(root / "img", "SN001", 3, lambda n: f"SN001_{n}.png")
    with pytest.raises(UserError, match=r"img/SN001: the frames of SN001 are also in files such as SN001_1"):
        disfa.read(root, image_folder=root / "img")
    factory.write_frames(root / "Videos_LeftCamera/SN001", "SN001", 3, lambda n: f"{n}.png")
    with pytest.raises(UserError, match=r"SN001: the frames of SN001 are also in .*SN001_comp\.avi; remove"):
        disfa.read(root, image_folder=root / "Videos_LeftCamera")


def test_two_images_of_one_frame_in_one_folder(root: Path) -> None:
    folder = factory.write_frames(root / "img", "SN001", FRAMES, lambda n: f"SN001_{n:04d}.png")
    shutil.copy(folder / "SN001_0002.png", folder / "SN001_2.png")
    with pytest.raises(UserError, match=r"frame 2 of SN001 has two images, SN001_0002\.png and SN001_2\.png"):
        disfa.read(root, image_folder=folder)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (
            lambda root: shutil.rmtree(root / "Videos_LeftCamera"),
            r"it has no images\. Looked for the images \(videos such as LeftVideoSN001_comp\.avi.*It holds"
            r" ActionUnit_Labels/ and Landmark_Points/\. The nearest variant is the data set as distributed,"
            r" which has Videos_LeftCamera/ with the images",
        ),
        (
            lambda root: (root / "Landmark_Points").rename(root / "Landmarks"),
            r"it has no landmarks\. .*Name the folders with --landmarks$",
        ),
        (
            lambda root: (root / VIDEO).rename((root / VIDEO).with_name("LeftVideoSN001_comp.zip")),
            r"LeftVideoSN001_comp\.zip: the images of 1 archive are not unpacked; unpack them with: for z in",
        ),
        (lambda root: shutil.rmtree(root), r"DISFA: no such folder; give DISFA's root"),
    ],
    ids=["images", "landmarks", "archive", "nowhere"],
)
def test_a_folder_that_fits_nothing_is_told_what_was_looked_for(
    root: Path, spoil: Callable[[Path], object], said: str
) -> None:
    spoil(root)
    with pytest.raises(UserError, match=said):
        disfa.read(root)


def test_a_video_that_is_shorter_than_its_header_says_is_known_before_any_registering(root: Path) -> None:
    data = bytearray((root / VIDEO).read_bytes())
    for tag, offset in ((b"avih", 8 + 16), (b"strh", 8 + 32)):
        at = data.index(tag) + offset
        assert int.from_bytes(data[at : at + 4], "little") == FRAMES
        data[at : at + 4] = (FRAMES + 2).to_bytes(4, "little")
    (root / VIDEO).write_bytes(data)
    for au in factory.AUS:
        factory.write_labels(root, "SN001", au, factory.intensities("SN001", au, FRAMES + 2))
    with pytest.raises(
        UserError,
        match=r"comp\.avi: 4 frames can be decoded, its header says 6: .*--short-videos 2 if the",
    ):
        disfa.read(root)
    with pytest.raises(UserError, match="4 frames can be decoded"):
        disfa.read(root, short_videos=1)
    scan = disfa.read(root, short_videos=2)
    assert frames_of(scan) == [1, 2, 3, 4]
    assert scan.skipped == {"no image: the video is shorter than its header says": 2}
    with ImageReader() as reader:
        reader.load(scan.records[-1].image)
        reader.finish(scan.records[-1].image)  # as after the last frame is registered
