"""drml.data.manifest: written, read back, and refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from drml.data.manifest import Row, manifest_path, read_manifest, write_manifest
from drml.io.errors import UserError

ROWS = [
    Row("0_F001_T1_0007", 'a, "b".jpg', "F001", "T1", "7", (1, -1)),
    Row("1_F001_T1_0003", "c.jpg", "F001", "T1", "3", (0, 1)),
]


def test_what_is_written_is_read(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    write_manifest(path, (4, 12), ROWS)
    assert path.read_text().splitlines()[0] == "key,source,subject,task,frame,AU4,AU12"
    manifest = read_manifest(path)
    assert (manifest.path, manifest.aus) == (path, (4, 12))
    assert list(manifest.rows.items()) == [(row.key, row) for row in ROWS]


def test_it_lies_beside_its_lmdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert manifest_path(Path("fold1/val_lmdb")) == Path("fold1/val.csv")
    (tmp_path / "test_lmdb").mkdir()
    monkeypatch.chdir(tmp_path / "test_lmdb")
    assert manifest_path(Path()) == tmp_path / "test.csv"


HEADER = "key,source,subject,task,frame,AU1\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a manifest"),
        ("key,AU1\n", "not a manifest"),
        (HEADER.replace("AU1", "AUx"), "not a manifest"),
        (HEADER.replace("AU1", "AU1,AU1"), "an AU has two columns"),
        (HEADER + "a,b,c,d,1,1\na,b,c,d,2,1\n", "line 3: key a appears twice"),
        ("key,source,subject,task,frame\n", "not a manifest"),
        (HEADER + "a,b,c,d,1,1\na,b,c,d,1\n", "line 3: 5 values, the header has 6"),
        (HEADER + "a,b,c,d,1,9\n", "line 2: '9' for AU1; labels are -1, 0 and 1"),
        (HEADER + "a,b,c,d,1,\n", "line 2: '' for AU1"),
    ],
)
def test_faults_of_manifests(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "m.csv"
    path.write_text(text)
    with pytest.raises(UserError) as error:
        read_manifest(path)
    assert str(path) in str(error.value) and said in str(error.value)


def test_missing_and_unreadable_manifests(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"m\.csv: no such manifest"):
        read_manifest(tmp_path / "m.csv")
    (tmp_path / "m.csv").write_bytes(b"\xff\xfe\x81")
    with pytest.raises(UserError, match="cannot be read as a manifest"):
        read_manifest(tmp_path / "m.csv")
