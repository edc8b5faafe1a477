from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

import bp4d_factory as factory
from drml.data.labels import BP4D_AUS
from drml.data.readers import bp4d
from drml.io.errors import UserError

CSV = "AUCoding/AU_OCC/F001_T1.csv"
MAT = "2DFeatures/F001_T1.mat"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """One video of six frames."""
    factory.write_video(tmp_path, "F001", "T1")
    return tmp_path


def test_records_hold_what_the_files_say(root: Path) -> None:
    values = factory.codes("F001_T1", frames=6)
    scan = bp4d.read(root)
    assert [record.key for record in scan.records] == [f"F001_T1_000{n}" for n in range(1, 7)]
    assert scan.skipped == {}
    third = scan.records[2]
    assert (third.subject, third.task, third.frame) == ("F001", "T1", 3)
    assert third.image == root / "Sequences(2D+3D)/F001/T1/0003.jpg"
    meaning = {1: 1, 0: -1, 9: 0}
    columns = [factory.CODED_AUS.index(au) for au in BP4D_AUS]
    assert third.labels.tolist() == [meaning[code] for code in values[2, columns].tolist()]
    assert third.labels.dtype == np.int8
    np.testing.assert_allclose(third.landmarks, factory.landmarks("F001_T1", 3))
    assert third.landmarks.dtype == np.float64


def test_aus_come_in_the_order_asked_for(root: Path) -> None:
    forward, backward = bp4d.read(root, aus=(1, 28, 12)), bp4d.read(root, aus=(12, 28, 1))
    assert backward.aus == (12, 28, 1)
    for one, other in zip(forward.records, backward.records, strict=True):
        assert one.labels.tolist() == other.labels.tolist()[::-1]


@pytest.mark.parametrize(
    "variant",
    [
        {"row": True},
        {"transposed": False},
        {"row": True, "transposed": False},
        {"old_mat": True},
    ],
    ids=str,
)
def test_landmark_files_of_all_forms_read_the_same(tmp_path: Path, variant: dict) -> None:
    factory.write_video(tmp_path / "usual", "F001", "T1", first=8, frames=4)
    factory.write_video(tmp_path / "other", "F001", "T1", first=8, frames=4, **variant)
    usual, other = bp4d.read(tmp_path / "usual"), bp4d.read(tmp_path / "other")
    assert len(usual.records) == 4 and not other.skipped
    for one, two in zip(usual.records, other.records, strict=True):
        assert one.key == two.key
        np.testing.assert_allclose(one.landmarks, two.landmarks)


def test_a_video_of_one_frame_stores_its_points_without_references(tmp_path: Path) -> None:
    factory.write_video(tmp_path, "F001", "T1", frames=1, values=np.ones((1, len(factory.CODED_AUS)), int))
    with h5py.File(tmp_path / MAT, "w") as file:
        file["fit/pred"] = (factory.landmarks("F001_T1", 1) + 1).T
    (record,) = bp4d.read(tmp_path).records
    np.testing.assert_allclose(record.landmarks, factory.landmarks("F001_T1", 1))


def test_videos_come_in_order(tmp_path: Path) -> None:
    for subject, task in (("M001", "T1"), ("F002", "T2"), ("F002", "T1")):
        factory.write_video(tmp_path, subject, task, frames=2)
    videos = [record.video for record in bp4d.read(tmp_path).records]
    assert videos == ["F002_T1"] * 2 + ["F002_T2"] * 2 + ["M001_T1"] * 2


def test_frames_that_lack_something_are_counted_by_reason(tmp_path: Path) -> None:
    values = np.ones((8, len(factory.CODED_AUS)), int)
    values[7] = 9
    factory.write_video(tmp_path, "F001", "T1", frames=8, values=values)
    (tmp_path / "Sequences(2D+3D)/F001/T1/0001.jpg").unlink()
    factory.write_csv(tmp_path / CSV, [1, 2, 3, 4, 5, 7, 8], values[[0, 1, 2, 3, 4, 6, 7]])
    good = factory.landmarks("F001_T1", 2)
    lost = good.copy()
    lost[3, 1] = np.nan
    points = [good, good, None, lost, np.full((49, 2), 7.0), good]  # none at all for 7 and 8
    factory.write_mat(tmp_path / MAT, points)
    # A video without coding, one without landmarks, and files that are no frames.
    factory.write_video(tmp_path, "F001", "T2", frames=3)
    (tmp_path / "AUCoding/AU_OCC/F001_T2.csv").unlink()
    factory.write_video(tmp_path, "F001", "T3", frames=4, values=values[:4])
    (tmp_path / "2DFeatures/F001_T3.mat").unlink()
    factory.write_video(tmp_path, "F001", "T4", frames=2, values=values[:2])
    (tmp_path / "Sequences(2D+3D)/F001/T1/Thumbs.db").write_bytes(b"x")
    (tmp_path / "Sequences(2D+3D)/F001/T1/._0002.jpg").write_bytes(b"x")
    (tmp_path / "AUCoding/AU_OCC/readme.txt").write_text("x")

    scan = bp4d.read(tmp_path)
    assert [record.key for record in scan.records] == ["F001_T1_0002", "F001_T4_0001", "F001_T4_0002"]
    assert scan.skipped == {
        "no image": 1,  # frame 1
        "no landmarks": 2 + 4,  # frames 3 (empty), 7 (beyond the end); T3
        "landmarks that are not numbers": 1,  # frame 4
        "degenerate landmarks": 1,  # frame 5
        "no coding": 1 + 3,  # frame 6; T2
        "no known label": 1,  # frame 8
    }
    assert scan.examples["degenerate landmarks"] == ["F001_T1_0005"]
    assert "F001_T3 (whole video)" in scan.examples["no landmarks"]


def test_single_frames_of_a_wrong_count_are_skipped(root: Path) -> None:
    good = factory.landmarks("x")
    factory.write_mat(root / MAT, [good, good[:40], good, good, good, good])
    scan = bp4d.read(root)
    assert len(scan.records) == 5
    assert scan.skipped == {"landmarks of a wrong count": 1}


def test_a_whole_file_of_a_wrong_count_is_an_error(root: Path) -> None:
    factory.write_mat(root / MAT, [np.random.default_rng(0).random((66, 2)) * 90] * 6)
    with pytest.raises(UserError, match=r"F001_T1\.mat: no frame .* frame 1: 66 landmarks, 49 needed"):
        bp4d.read(root)


@pytest.mark.parametrize(("value", "said"), [(np.nan, "not numbers"), (7.0, "degenerate")])
def test_a_whole_file_of_no_use_is_an_error(root: Path, value: float, said: str) -> None:
    factory.write_mat(root / MAT, [None, *[np.full((49, 2), value)] * 5])
    with pytest.raises(UserError, match=rf"F001_T1\.mat: no frame with good landmarks; frame 2: .*{said}"):
        bp4d.read(root)


def test_landmark_files_that_are_none(root: Path) -> None:
    path = root / MAT
    for content in (b"", b"not a matlab file at all" * 20, path.read_bytes()[:700]):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"F001_T1\.mat: .*cannot be read"):
            bp4d.read(root)
    with h5py.File(path, "w") as file:
        file["other"] = [1]
    with pytest.raises(UserError, match=r"F001_T1\.mat: no fit/pred"):
        bp4d.read(root)


GOOD = "0," + ",".join(map(str, BP4D_AUS))
ROW = ",0" * 12


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("\n  \n", "the file is empty"),
        (GOOD + "\n", "no coded frame"),
        ("0,1,2,4\n1,0,0,0\n", "line 1: no column for AU 6, 7, 10, 12, 14, 15, 17, 23, 24"),
        (f"{GOOD}\n1{ROW}\n2,0,0,5{',0' * 9}\n", "line 3: '5' for AU 4; codes are"),
        (f"{GOOD}\n1{ROW}\n2,-1{',0' * 11}\n", "line 3: '-1' for AU 1"),
        (f"{GOOD}\n1{',0' * 11},\n", "line 2: '' for AU 24"),
        (f"{GOOD}\n1{',0' * 11},0.5\n", "line 2: '0.5' for AU 24"),
        (f"{GOOD}\n1{ROW}\n2{ROW}\n\n1{ROW}\n", "line 5: frame 1 again, first in line 2"),
        (f"{GOOD}\n1{ROW}\nx{ROW}\n", "line 3: 'x' is not a frame number"),
        (f"{GOOD}\n1.5{ROW}\n", "line 2: '1.5' is not a frame number"),
        (f"{GOOD}\n-1{ROW}\n", "line 2: -1 is not a frame number"),
        (f"{GOOD}\n1,0,0\n", "line 2: 3 values, the header has 13"),
        (f"{GOOD}\n1{ROW},1\n", "line 2: 14 values, the header has 13"),
        (f"{GOOD},28\n1{ROW}\n", "line 2: 13 values, the header has 14"),
        (f"{GOOD},1\n1{ROW},0\n", "line 1: two columns for AU 1; remove one"),
    ],
)
def test_faults_of_coding_files_name_line_and_value(root: Path, text: str, said: str) -> None:
    (root / CSV).write_text(text)
    with pytest.raises(UserError) as error:
        bp4d.read(root)
    assert str(error.value).startswith(str(root / CSV))
    assert said in str(error.value)


def test_coding_files_that_are_odd_but_right(root: Path) -> None:
    text = f"\ufeff{GOOD.replace(',', ' , ')}\r\n 3{ROW.replace(',', ', ')} \r\n\r\n2,1,9{',0' * 10},\r\n"
    (root / CSV).write_bytes(text.encode())
    records = bp4d.read(root).records
    assert [record.frame for record in records] == [2, 3]
    assert records[0].labels[:3].tolist() == [1, 0, -1]


def test_coding_files_that_are_no_text(root: Path) -> None:
    (root / CSV).write_bytes(b"\xff\xfe\x00\x81" * 50)
    with pytest.raises(UserError, match=r"F001_T1\.csv: cannot be read"):
        bp4d.read(root)


def test_two_images_of_one_frame(root: Path) -> None:
    folder = root / "Sequences(2D+3D)/F001/T1"
    (folder / "3.jpg").write_bytes((folder / "0003.jpg").read_bytes())
    with pytest.raises(UserError, match=r"frame 3 has two images, 0003\.jpg and 3\.jpg"):
        bp4d.read(root)


def test_without_landmarks_their_files_are_not_needed(root: Path) -> None:
    with_them = bp4d.read(root)
    (root / MAT).write_bytes(b"damaged")
    assert [one.key for one in bp4d.read(root, landmarks=False).records] == [r.key for r in with_them.records]
    (root / MAT).unlink()
    (root / "2DFeatures").rmdir()
    scan = bp4d.read(root, landmarks=False)
    assert [one.image for one in scan.records] == [one.image for one in with_them.records]
    assert all(one.landmarks is None for one in scan.records) and not scan.skipped
    with pytest.raises(UserError, match=r"it has no landmarks\. Looked for the landmarks \(files"):
        bp4d.read(root)


def test_the_number_of_coded_frames_includes_those_without_an_image(root: Path) -> None:
    factory.write_video(root, "M001", "T2", frames=3, first=40)
    next((root / "Sequences(2D+3D)/M001/T2").iterdir()).unlink()
    assert bp4d.read(root).coded == {"F001_T1": 6, "M001_T2": 3}
