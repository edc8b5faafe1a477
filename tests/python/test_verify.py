from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

import bp4d_factory as factory
from drml.data.landmark_files import write_landmarks
from drml.data.lmdb import write_lmdb
from drml.data.register_faces import encode
from drml.data.verify import verify
from drml.io.errors import UserError

AUS = ["AU1", "AU2", "AU12"]
KEYS = [f"{i:08d}_F001_T1_{i:04d}" for i in range(6)]
LABELS = [[1, 0, -1], [1, 1, -1], [-1, -1, -1], [0, 0, 1], [1, -1, 1], [0, 1, 1]]
FACES = [encode(factory.picture(key, height=200, width=200)) for key in KEYS]


def write(
    folder: Path,
    keys: list[str] = KEYS,
    faces: list[bytes] = FACES,
    labels: list[list[int]] = LABELS,
    manifest_labels: list[list[int]] = LABELS,
    manifest_keys: list[str] = KEYS,
) -> Path:
    path = folder / "train_lmdb"
    write_lmdb(path, zip(keys, faces, labels, strict=True))
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "source", "subject", "task", "frame", *AUS])
        for key, row in zip(manifest_keys, manifest_labels, strict=True):
            writer.writerow([key, "a.jpg", "F001", "T1", key[-4:], *row])
    return path


def test_a_good_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path)
    result = verify(path)
    assert result["records"] == 6 and result["aus"] == AUS
    assert result["present"] == {"AU1": 3, "AU2": 2, "AU12": 3}
    assert result["absent"] == {"AU1": 1, "AU2": 2, "AU12": 3}
    assert result["unknown"] == {"AU1": 2, "AU2": 2, "AU12": 0}
    (tmp_path / "train.csv").rename(tmp_path / "other.csv")
    with pytest.raises(UserError, match=r"its manifest train\.csv is missing; give the path"):
        verify(path)
    assert verify(path, tmp_path / "other.csv")["records"] == 6
    (tmp_path / "other.csv").rename(tmp_path / "train.csv")
    monkeypatch.chdir(path)
    assert verify(".")["records"] == 6


def test_landmarks_are_of_the_same_keys(tmp_path: Path) -> None:
    path = write(tmp_path)
    write_landmarks(tmp_path / "train_landmarks.npz", KEYS, np.zeros((6, 49, 2)))
    assert verify(path)["records"] == 6
    write_landmarks(tmp_path / "train_landmarks.npz", KEYS[:5], np.zeros((5, 49, 2)))
    with pytest.raises(UserError, match=r"train_landmarks\.npz: its keys are not those of .*train\.csv"):
        verify(path)


SMALL = encode(factory.picture("small", height=100, width=200))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"faces": [*FACES[:3], b"no image", *FACES[4:]]}, f"record {KEYS[3]}: the image cannot be decoded"),
        ({"faces": [*FACES[:3], FACES[3][:-900], *FACES[4:]]}, f"record {KEYS[3]}: the JPEG is truncated"),
        ({"faces": [*FACES[:3], b"", *FACES[4:]]}, f"record {KEYS[3]}: the image has zero bytes"),
        ({"faces": [*FACES[:5], SMALL]}, f"record {KEYS[5]}: 200x100 pixels, not 200x200"),
        ({"labels": [*LABELS[:2], [1, 1, 1], *LABELS[3:]]}, f"record {KEYS[2]}: label 1 for AU1, "),
        ({"labels": [*LABELS[:2], [2, 1, 1], *LABELS[3:]]}, f"record {KEYS[2]}: label 2 for AU1; labels are"),
        ({"labels": [*LABELS[:2], [1, 1], *LABELS[3:]]}, f"record {KEYS[2]}: 2 labels, "),
        ({"keys": [*KEYS[:5], "9"]}, "record 9 where "),
        ({"manifest_keys": KEYS[:4], "manifest_labels": LABELS[:4]}, f"record {KEYS[4]} is not in "),
        ({"keys": KEYS[:4], "faces": FACES[:4], "labels": LABELS[:4]}, f"the first missing one is {KEYS[4]}"),
        ({"keys": KEYS[1:], "faces": FACES[1:], "labels": LABELS[1:]}, f"record {KEYS[1]} where "),
    ],
)
def test_faults_name_the_record(tmp_path: Path, changes: dict, said: str) -> None:
    path = write(tmp_path, **changes)
    with pytest.raises(UserError) as error:
        verify(path)
    assert said in str(error.value) and str(path) in str(error.value)


def test_a_manifest_in_another_order(tmp_path: Path) -> None:
    path = write(tmp_path, manifest_keys=KEYS[::-1], manifest_labels=LABELS[::-1])
    with pytest.raises(UserError, match="the order differs"):
        verify(path)


def test_a_truncated_database(tmp_path: Path) -> None:
    path = write(tmp_path)
    with (path / "data.mdb").open("r+b") as file:
        file.truncate(20000)
    with pytest.raises(UserError, match=r"data\.mdb: truncated, 20000 bytes of"):
        verify(path)


def test_png_faces_of_another_size(tmp_path: Path) -> None:
    face = np.full((64, 64, 3), 9, np.uint8)
    path = write(tmp_path, faces=[encode(face, "png")] * 6)
    assert verify(path, size=64)["records"] == 6


def test_the_size_is_that_of_the_prepared_folder(tmp_path: Path) -> None:
    (tmp_path / "fold1").mkdir()
    path = write(tmp_path / "fold1", faces=[encode(np.zeros((64, 64, 3), np.uint8))] * 6)
    with pytest.raises(UserError, match="64x64 pixels, not 200x200"):
        verify(path)
    (tmp_path / "summary.json").write_text('{"options": {"size": 64}}')
    assert verify(path)["records"] == 6
    (tmp_path / "summary.json").write_text("{}")
    with pytest.raises(UserError, match=r"summary\.json: cannot be read"):
        verify(path)
