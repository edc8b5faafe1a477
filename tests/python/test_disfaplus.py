"""The reader of DISFA+: its layouts, its labels, and its faults."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

import disfa_factory as factory
from drml.data.labels import DISFA_CODED_AUS as CODED_AUS
from drml.data.readers import disfaplus
from drml.data.readers.kinds import DATA_SETS
from drml.io.errors import UsageError, UserError

TRIALS = (
    ("SN001", "A1_AU1_TrailNo_1"),
    ("SN001", "Y_HappyDescribed_TrailNo_2"),
    ("SN027", "A1_AU1_TrailNo_1"),
)
FRAMES = 3


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three trials of three images, as distributed."""
    root = tmp_path / "DISFA+"
    for subject, trial in TRIALS:
        folder = root / "Labels" / subject / trial
        folder.mkdir(parents=True)
        for au in CODED_AUS:
            values = factory.intensities(f"{subject}_{trial}", au, FRAMES)
            lines = [f"{n:03d}.jpg     {value}" for n, value in enumerate(values)]
            (folder / f"AU{au}.txt").write_text("\n".join(lines) + "\n")
        images = root / "Images" / subject / trial
        images.mkdir(parents=True)
        for n in range(FRAMES):
            cv2.imwrite(str(images / f"{n:03d}.jpg"), factory.picture(subject, n))
    return root


def read(root: Path, **options: object) -> disfaplus.Scan:
    return disfaplus.read(root, landmarks=False, **options)


def check(scan: disfaplus.Scan) -> None:
    """Check that each record has the image and the intensities of its key."""
    keys = [f"{subject}_{trial}_{n:04d}" for subject, trial in TRIALS for n in range(FRAMES)]
    assert [record.key for record in scan.records] == keys
    for record in scan.records:
        assert factory.number_in(cv2.imread(str(record.image))) == record.frame
        assert record.landmarks is None and (record.subject, record.task) in TRIALS
        values = [factory.intensities(record.video, au, FRAMES)[record.frame] for au in scan.aus]
        assert record.labels.tolist() == [1 if value >= 3 else -1 for value in values]


def by_subject(root: Path) -> None:
    for part, inner in (("Labels", "Labels"), ("Images", "Trials")):
        for folder in (root / part).iterdir():
            (root / folder.name).mkdir(exist_ok=True)
            folder.rename(root / folder.name / inner)
        (root / part).rmdir()


def together(root: Path) -> None:
    for path in sorted((root / "Labels").rglob("AU*.txt")):
        shutil.move(path, root / "Images" / path.relative_to(root / "Labels"))
    shutil.rmtree(root / "Labels")
    for folder in list((root / "Images").iterdir()):
        folder.rename(root / folder.name)
    (root / "Images").rmdir()


def too_deep(root: Path) -> None:
    for part in ("Labels", "Images"):
        for subject in list((root / part).iterdir()):
            subject.rename(root / "spare")
            subject.mkdir()
            (root / "spare").rename(subject / subject.name)


@pytest.mark.parametrize(
    "variant",
    [
        lambda root: None,
        lambda root: (root / "Images").rename(root / "Trials"),
        by_subject,
        together,
        too_deep,
    ],
    ids=["distributed", "Trials", "by subject", "labels beside the images", "too deep"],
)
def test_all_variants_read_the_same(root: Path, variant: Callable[[Path], object]) -> None:
    variant(root)
    scan = read(root)
    assert scan.aus == CODED_AUS and not scan.skipped and not scan.incomplete
    assert scan.coded == {f"{subject}_{trial}": FRAMES for subject, trial in TRIALS}
    check(scan)


def test_folders_of_any_name_can_be_given(root: Path) -> None:
    (root / "Images").rename(root / "a")
    (root / "Labels").rename(root / "b")
    check(read(root, image_folder=root / "a", coding_folder=root / "b"))
    with pytest.raises(UserError, match=r"not a known layout of DISFA\+: it has no coding and no images\."):
        read(root)


def test_what_is_missing_is_counted(root: Path) -> None:
    (root / "Images/SN001/A1_AU1_TrailNo_1/001.jpg").unlink()
    shutil.rmtree(root / "Labels/SN027")
    path = root / "Labels/SN001/A1_AU1_TrailNo_1/AU4.txt"
    path.write_text("# image and intensity\n" + "\n".join(path.read_text().splitlines()[:2]))
    (root / "Labels/SN001/Y_HappyDescribed_TrailNo_2/AU26.txt").unlink()
    scan = read(root, aus=(4, 26, 7))
    assert scan.skipped == {"no image": 1, "no coding": FRAMES}
    assert scan.incomplete == {"no label of AU4": 1, "no label of AU26": FRAMES}
    assert not any(record.labels[2] for record in scan.records)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "the file is empty"),
        ("000.jpg 6\n", "line 1: '6' is not an intensity"),
        ("000.jpg\n", "line 1: '000.jpg' is not an image and its intensity"),
        ("000.jpg 1\n\nface.jpg 1\n", "line 3: 'face.jpg 1' is not an image"),
        ("000.jpg 1\n0.jpg 1\n", "line 2: image 0 again"),
    ],
)
def test_faults_of_label_files_name_line_and_value(root: Path, text: str, said: str) -> None:
    path = root / "Labels/SN001/A1_AU1_TrailNo_1/AU1.txt"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read(root)
    assert str(error.value).startswith(f"{path}: ") and said in str(error.value)


def test_archives_and_second_files_are_refused(root: Path) -> None:
    (root / "Images/SN003.zip").write_bytes(b"never opened")
    with pytest.raises(UserError, match=r"SN003\.zip: the images of 1 archive are not unpacked"):
        read(root)
    (root / "Images/SN003.zip").unlink()
    folder = root / "Labels/SN001/A1_AU1_TrailNo_1"
    shutil.copy(folder / "AU1.txt", folder / "AU01.txt")
    with pytest.raises(UserError, match=r"AU1\.txt: a second file for AU 1 \(the first is AU01\.txt\)"):
        read(root)


def test_its_landmarks_are_refused_and_the_threshold_can_be_chosen(root: Path) -> None:
    with pytest.raises(UsageError, match=r"cropped faces alone, which do not fit .* with --points detector$"):
        DATA_SETS["disfaplus"].read(root)
    scan = DATA_SETS["disfaplus"].read(root, landmarks=False, intensity=5)
    labels = np.stack([record.labels for record in scan.records])
    levels = [
        [factory.intensities(record.video, au, FRAMES)[record.frame] for au in scan.aus]
        for record in scan.records
    ]
    np.testing.assert_array_equal(labels == 1, np.array(levels) >= 5)
