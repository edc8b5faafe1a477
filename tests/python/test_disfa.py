"""The reader of DISFA's folders: every variant, every fault, and that frame n is frame n everywhere."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import disfa_factory as factory
from drml.data.labels import DISFA_AUS
from drml.data.readers import disfa
from drml.data.readers.images import ImageReader
from drml.data.readers.kinds import DATA_SETS
from drml.data.readers.video import VideoFrame
from drml.io.errors import UserError

FRAMES = 8


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One subject of eight frames."""
    factory.write_subject(tmp_path, "SN001", FRAMES, cameras=("left", "right"))
    return tmp_path


def together(scan: disfa.Scan, subject: str = "SN001", lowest: int = 3) -> list[int]:
    """Check that label, image and landmarks of each record are of one frame; return the frames."""
    with ImageReader() as reader:
        for record in scan.records:
            assert factory.number_in(reader.load(record.image)[0]) == record.frame
            np.testing.assert_allclose(
                record.landmarks, factory.landmarks(subject, record.frame)[17:], atol=1e-9
            )
            for au, label in zip(scan.aus, record.labels.tolist(), strict=True):
                intensity = factory.intensities(subject, au, FRAMES)[record.frame - 1]
                assert label == (1 if intensity >= lowest else -1)
    return [record.frame for record in scan.records]


def test_records_hold_what_the_files_say(root: Path) -> None:
    scan = disfa.read(root)
    assert scan.aus == DISFA_AUS == (1, 2, 4, 6, 9, 12, 25, 26)
    assert [record.key for record in scan.records] == [f"SN001_000{n}" for n in range(1, 9)]
    assert not scan.skipped and not scan.incomplete
    third = scan.records[2]
    assert (third.subject, third.task, third.frame, third.video) == ("SN001", "", 3, "SN001")
    assert third.image == VideoFrame(root / "Videos_LeftCamera/LeftVideoSN001_comp.avi", 2)
    assert third.labels.dtype == np.int8 and third.landmarks.dtype == np.float64
    assert third.landmarks.shape == (49, 2)
    assert together(scan) == list(range(1, FRAMES + 1))


@pytest.mark.parametrize("lowest", [1, 2, 3, 5])
def test_the_lowest_intensity_decides_what_is_present(root: Path, lowest: int) -> None:
    scan = disfa.read(root, intensity=lowest)
    assert together(scan, lowest=lowest) == list(range(1, FRAMES + 1))


def test_two_or_three_differ_in_frames_of_level_two_alone(root: Path) -> None:
    two, three = disfa.read(root, intensity=2), disfa.read(root)
    differ = np.stack([r.labels for r in two.records]) != np.stack([r.labels for r in three.records])
    level = np.stack([factory.intensities("SN001", au, FRAMES) for au in DISFA_AUS], axis=1)
    np.testing.assert_array_equal(differ, level == 2)
    assert differ.any()


def test_the_camera_chooses_the_video(root: Path) -> None:
    with ImageReader() as reader:
        for camera in ("left", "right"):
            (first, *_) = disfa.read(root, camera=camera).records
            image = reader.load(first.image)[0].astype(float)
            near = {c: np.abs(image - factory.picture("SN001", 1, c)).mean() for c in ("left", "right")}
            assert min(near, key=near.__getitem__) == camera


def test_landmarks_from_elsewhere(root: Path) -> None:
    factory.write_landmarks(root, "SN001", 4, folder="own")
    scan = disfa.read(root, landmark_folder=root / "own")
    assert together(scan) == [1, 2, 3, 4]
    with pytest.raises(UserError, match=r"none: no such folder; --landmarks names one that holds folders"):
        disfa.read(root, landmark_folder=root / "none")


@pytest.mark.parametrize("from_1", [False, True])
@pytest.mark.parametrize("inner", ["tmp_frame_lm", ""])
@pytest.mark.parametrize("hdf5", [False, True])
def test_variants_of_landmark_files(root: Path, from_1: bool, inner: str, hdf5: bool) -> None:
    shutil.rmtree(root / "Landmark_Points")
    factory.write_landmarks(root, "SN001", FRAMES, from_1=from_1, inner=inner, hdf5=hdf5)
    assert together(disfa.read(root)) == list(range(1, FRAMES + 1))


FOLDERS = {
    "numbers": ("Videos_LeftCamera/SN001", lambda n: f"{n}.png"),
    "padded": ("Videos_LeftCamera/LeftVideoSN001_comp", lambda n: f"{n:04d}.jpg"),
    "prefix": ("Images_LeftCamera/SN001", lambda n: f"SN001_{n:05d}.jpg"),
    "as the video": ("Frames_LeftCamera/LeftVideoSN001", lambda n: f"LeftVideoSN001_comp-{n:04d}.jpeg"),
    "word": ("Images/SN001", lambda n: f"frame{n}.jpg"),
    "from 0": ("Frames/SN001", lambda n: f"{n - 1:04d}.png"),
    "video's name": ("Images/Left/LeftVideoSN001_comp.avi", lambda n: f"frame-{n}.jpg"),
    "frames of the videos": ("Videos_LeftCamera_frames/SN001", lambda n: f"{n:05d}.jpg"),
    "img": ("img/SN001", lambda n: f"{n - 1}.png"),
    "one folder": ("img", lambda n: f"SN001_{n:04d}.png"),
    "one folder from 0": ("Images", lambda n: f"LeftVideoSN001_comp_{n - 1}.jpg"),
    "the root": (".", lambda n: f"SN001_{n:04d}.png"),
    "word from 0": ("Video_LeftCamera/sn001", lambda n: f"img_{n - 1}.JPG"),
}


@pytest.mark.parametrize("variant", FOLDERS)
def test_variants_of_extracted_frames(root: Path, variant: str) -> None:
    shutil.rmtree(root / "Videos_LeftCamera")
    folder, name = FOLDERS[variant]
    written = factory.write_frames(root / folder, "SN001", FRAMES, name)
    for stray in ("._0001.jpg", "Thumbs.db", "SN001.jpg", "notes.txt"):
        (written / stray).write_bytes(b"x")
    assert together(disfa.read(root)) == list(range(1, FRAMES + 1))


def test_whether_frames_count_from_0_is_told_by_the_whole_set_or_by_the_user(tmp_path: Path) -> None:
    for subject in ("SN001", "SN002"):
        factory.write_subject(tmp_path, subject, FRAMES, video=False)
        factory.write_frames(
            tmp_path / "Images_LeftCamera" / subject, subject, FRAMES, lambda n: f"{n - 1:04d}.png"
        )
    (tmp_path / "Images_LeftCamera/SN002/0000.png").unlink()
    records = disfa.read(tmp_path).records
    with ImageReader() as reader:
        for record in records:
            assert factory.number_in(reader.load(record.image)[0]) == record.frame
    assert len(records) == 2 * FRAMES - 1
    (tmp_path / "Images_LeftCamera/SN001/0000.png").unlink()
    assert disfa.read(tmp_path).records[0].frame == 1  # nothing tells any more
    first = disfa.read(tmp_path, first_frame=0).records[0]
    assert first.frame == 2 and factory.number_in(cv2.imread(str(first.image))) == 2


def test_frames_that_lack_something_are_counted_by_reason(root: Path) -> None:
    points = root / "Landmark_Points/SN001/tmp_frame_lm"
    (points / "SN001_0001_lm.mat").unlink()  # frame 2
    lost = factory.landmarks("SN001", 3)
    lost[20] = np.nan
    factory.write_pts(points / "SN001_0002_lm.mat", lost)
    factory.write_pts(points / "SN001_0003_lm.mat", factory.landmarks("SN001", 4)[:40])
    factory.write_pts(points / "SN001_0004_lm.mat", np.full((66, 2), 9.0))
    for au in factory.AUS:  # ten labels for eight frames, and none for frame 8
        values = factory.intensities("SN001", au, FRAMES).tolist()
        path = factory.write_labels(root, "SN001", au, [*values[:7], 9, 0, 0])
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(line for line in lines if not line.startswith("8,")))
    factory.write_subject(root, "SN002", 3)
    shutil.rmtree(root / "Landmark_Points/SN002")
    factory.write_subject(root, "SN003", 4, video=False)
    factory.write_subject(root, "SN004", 5)
    shutil.rmtree(root / "ActionUnit_Labels/SN004")
    scan = disfa.read(root)
    assert [record.frame for record in scan.records] == [1, 6, 7]
    assert scan.skipped == {
        "no landmarks": 1 + 3,  # frame 2; SN002
        "landmarks that are not numbers": 1,
        "landmarks of a wrong count": 1,
        "degenerate landmarks": 1,
        "no image": 2 + 4,  # frames 9 and 10; SN003
        "no coding": 1 + 5,  # frame 8; SN004
    }
    assert scan.examples["landmarks that are not numbers"] == ["SN001_0003"]
    assert "SN002 (whole video)" in scan.examples["no landmarks"]


def test_aus_that_are_not_coded_are_unknown_and_missing_ones_are_counted(root: Path) -> None:
    (root / "ActionUnit_Labels/SN001/SN001_au9.txt").unlink()
    path = root / "ActionUnit_Labels/SN001/SN001_au4.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:5]))
    scan = disfa.read(root, aus=(12, 7, 9, 4))
    labels = np.stack([record.labels for record in scan.records])
    assert len(labels) == FRAMES and (labels[:, 0] != 0).all()
    assert not labels[:, 1].any() and not labels[:, 2].any()
    assert (labels[:5, 3] != 0).all() and not labels[5:, 3].any()
    assert scan.incomplete == {"no label of AU9": FRAMES, "no label of AU4": 3}
    assert not scan.skipped
    with pytest.raises(UserError, match=r"no label file of any AU asked for \(7, 10\); looked for names"):
        disfa.read(root, aus=(7, 10))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("\n \n", "the file is empty"),
        ("1,0\n2,6\n", "line 2: '6' is not an intensity"),
        ("1,0\n2,-1\n", "line 2: '-1' is not an intensity"),
        ("1,0\n2,1.5\n", "line 2: '1.5' is not an intensity"),
        ("1,0\n2,\n", "line 2: '' is not an intensity"),
        ("1,0\n\n2,x\n", "line 3: 'x' is not an intensity"),
        ("1,0\n1.5,0\n", "line 2: '1.5' is not a frame number"),
        ("0,0\n1,0\n", "line 1: '0' is not a frame number"),
        ("1,0\n-2,0\n", "line 2: '-2' is not a frame number"),
        ("1,0\n2,0\n2,0\n", "line 3: frame 2 again, first in line 2"),
        ("1,0\n3,0\n2,0\n", "line 3: frame 2 after frame 3: out of order"),
        ("1,0\n2 0\n", "line 2: '2 0' is not 'frame,intensity'"),
        ("1,0\n2,0,0\n", "line 2: '2,0,0' is not 'frame,intensity'"),
    ],
)
def test_faults_of_label_files_name_line_and_value(root: Path, text: str, said: str) -> None:
    path = root / "ActionUnit_Labels/SN001/SN001_au12.txt"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        disfa.read(root)
    assert str(error.value).startswith(f"{path}: ") and said in str(error.value)


def test_label_files_that_are_odd_but_right(root: Path) -> None:
    path = root / "ActionUnit_Labels/SN001/SN001_au12.txt"
    path.rename(path.with_name("sn001_AU12.TXT"))
    path.with_name("sn001_AU12.TXT").write_bytes("\ufeff1, 5\r\n 2,0 \r\n\r\n7,3".encode())
    labels = [record.labels[5] for record in disfa.read(root).records]
    assert labels == [1, -1, 0, 0, 0, 0, 1, 0]


def spoil_text(root: Path) -> None:
    (root / "ActionUnit_Labels/SN001/SN001_au1.txt").write_bytes(b"\xff\xfe\x00\x81" * 20)


def second_label_file(root: Path) -> None:
    folder = root / "ActionUnit_Labels/SN001"
    shutil.copy(folder / "SN001_au1.txt", folder / "SN001_au01.txt")


def label_file_of_another(root: Path) -> None:
    folder = root / "ActionUnit_Labels/SN001"
    (folder / "SN001_au1.txt").rename(folder / "SN002_au1.txt")


def second_landmark_file(root: Path) -> None:
    folder = root / "Landmark_Points/SN001/tmp_frame_lm"
    shutil.copy(folder / "SN001_0002_lm.mat", folder / "l00003_lm.mat")


def landmarks_of_another(root: Path) -> None:
    folder = root / "Landmark_Points/SN001/tmp_frame_lm"
    (folder / "SN001_0002_lm.mat").rename(folder / "SN002_0002_lm.mat")


def landmark_file_that_is_none(root: Path) -> None:
    (root / "Landmark_Points/SN001/tmp_frame_lm/SN001_0002_lm.mat").write_bytes(b"no landmarks" * 30)


def landmark_file_of_zero_bytes(root: Path) -> None:
    (root / "Landmark_Points/SN001/tmp_frame_lm/SN001_0002_lm.mat").write_bytes(b"")


def landmarks_by_another_name(root: Path) -> None:
    path = root / "Landmark_Points/SN001/tmp_frame_lm/SN001_0002_lm.mat"
    factory.write_pts(path, factory.landmarks("SN001", 3), name="points")


def no_good_landmarks(root: Path) -> None:
    for frame in range(1, FRAMES + 1):
        name = factory.landmark_name("SN001", frame, from_1=False)
        factory.write_pts(root / "Landmark_Points/SN001/tmp_frame_lm" / name, np.zeros((5, 2)))


def video_that_is_none(root: Path) -> None:
    (root / "Videos_LeftCamera/LeftVideoSN001_comp.avi").write_bytes(b"no video" * 200)


def two_images(root: Path) -> None:
    shutil.rmtree(root / "Videos_LeftCamera")
    folder = factory.write_frames(root / "Images/SN001", "SN001", FRAMES, lambda n: f"{n}.png")
    shutil.copy(folder / "3.png", folder / "0003.png")


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (spoil_text, r"SN001_au1\.txt: cannot be read as a label file"),
        (second_label_file, r"SN001_au1\.txt: a second file for AU 1 \(the first is SN001_au01\.txt\)"),
        (label_file_of_another, r"SN002_au1\.txt: a label file of another subject"),
        (
            second_landmark_file,
            r"l00003_lm\.mat: a second file for frame 3 \(the first is SN001_0002_lm\.mat\)",
        ),
        (landmarks_of_another, r"SN002_0002_lm\.mat: landmarks of another subject"),
        (landmark_file_that_is_none, r"SN001_0002_lm\.mat: cannot be read as a MATLAB file"),
        (landmark_file_of_zero_bytes, r"SN001_0002_lm\.mat: cannot be read as a MATLAB file"),
        (landmarks_by_another_name, r"SN001_0002_lm\.mat: no pts in it"),
        (no_good_landmarks, r"SN001: no frame with good landmarks; frame 1: 5 landmarks, 66 needed"),
        (video_that_is_none, r"LeftVideoSN001_comp\.avi: cannot be read as a video"),
        (two_images, r"SN001: frame 3 has two images, 0003\.png and 3\.png"),
    ],
)
def test_files_at_fault_are_named(root: Path, fault: Callable[[Path], None], said: str) -> None:
    fault(root)
    with pytest.raises(UserError, match=said):
        disfa.read(root)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"intensity": 0}, "intensity 0: choose one of 1, 2, 3, 4, 5"),
        ({"intensity": 6}, "intensity 6"),
        ({"camera": "top"}, "camera 'top': choose one of left, right"),
        ({"first_frame": 2}, "first_frame 2"),
    ],
)
def test_wrong_options_are_refused(root: Path, options: dict, said: str) -> None:
    with pytest.raises(UserError, match=said):
        DATA_SETS["disfa"].read(root, **options)


def test_without_landmarks_their_folder_is_not_needed(root: Path) -> None:
    with_them = disfa.read(root)
    shutil.rmtree(root / "Landmark_Points")
    scan = disfa.read(root, landmarks=False)
    assert [(one.key, one.image) for one in scan.records] == [
        (one.key, one.image) for one in with_them.records
    ]
    assert all(one.landmarks is None for one in scan.records)
    assert scan.coded == with_them.coded == dict.fromkeys(scan.coded, FRAMES)
    with pytest.raises(UserError, match=r"it has no landmarks\. Looked for the landmarks"):
        disfa.read(root)
