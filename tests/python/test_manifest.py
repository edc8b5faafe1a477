"""drml.data.manifest: written, read back, and refused with its line."""

from __future__ import annotations

from pathlib import Path

import pytest

from drml.data.manifest import (
    Row,
    iterate_manifest,
    manifest_path,
    read_aus,
    read_columns,
    read_manifest,
    write_manifest,
)
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


def test_the_labels_that_were_drawn_are_known_also_where_all_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    rows = [
        Row("0_a", "a.jpg", "F001", "T1", "7", (1, -1), (12,)),
        Row("1_b", "b.jpg", "F001", "T1", "3", (1, 0), (4,)),
        Row("2_c", "c.jpg", "F001", "T1", "4", (1, 1), (4, 12)),
        Row("3_d", "d.jpg", "F001", "T1", "5", (1, 1), ()),
    ]
    write_manifest(path, (4, 12), rows, with_draw=True)
    assert path.read_text().splitlines()[0] == "key,source,subject,task,frame,AU4,AU12,drawn"
    manifest = read_manifest(path)
    assert manifest.aus == read_aus(path) == (4, 12)
    assert list(manifest.rows.values()) == rows
    assert manifest.drawn_labels(manifest.rows).tolist() == [[0, -1], [1, 0], [1, 1], [0, 0]]
    assert manifest.drawn_labels(["2_c"]).tolist() == [[1, 1]]
    assert manifest.drawn_labels([]).shape == (0, 2)
    # Without the column, all known labels were drawn.
    write_manifest(path, (4, 12), ROWS)
    assert read_manifest(path).drawn_labels([row.key for row in ROWS]).tolist() == [[1, -1], [0, 1]]


def test_intensities_follow_the_occurrences(tmp_path: Path) -> None:
    path = tmp_path / "train.csv"
    rows = [
        Row("0_a", "a.jpg", "SN001", "", "1", (1, 0, 5, 9, 0)),
        Row("1_b", "b.jpg", "SN001", "", "2", (-1, 1, 0, 3, 2), (12,)),
    ]
    for with_draw, labels in ((False, [[-1, 1], [1, 0]]), (True, [[0, 1], [0, 0]])):
        write_manifest(path, (4, 12), rows, intensity_aus=(4, 6, 12), with_draw=with_draw)
        manifest = read_manifest(path)
        assert read_columns(path) == (manifest.aus, manifest.intensity_aus) == ((4, 12), (4, 6, 12))
        assert [row.labels for row in manifest.rows.values()] == [(1, 0, 5, 9, 0), (-1, 1, 0, 3, 2)]
        assert list(iterate_manifest(path)) == list(manifest.rows.values())
        assert manifest.levels(["1_b", "0_a"]).tolist() == [[0, 3, 2], [5, 9, 0]]
        assert manifest.levels([]).shape == (0, 3)
        # A draw that names no AUs is of none.
        assert manifest.drawn_labels(["1_b", "0_a"]).tolist() == labels
    # Intensities alone.
    write_manifest(path, (), [row._replace(labels=row.labels[2:]) for row in rows], intensity_aus=(4, 6, 12))
    manifest = read_manifest(path)
    assert (manifest.aus, manifest.intensity_aus) == ((), (4, 6, 12))
    assert manifest.levels(["0_a"]).tolist() == [[5, 9, 0]]
    assert manifest.drawn_labels(["0_a"]).shape == (1, 0)


def test_it_lies_beside_its_lmdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert manifest_path(Path("fold1/val_lmdb")) == Path("fold1/val.csv")
    (tmp_path / "test_lmdb").mkdir()
    monkeypatch.chdir(tmp_path / "test_lmdb")
    assert manifest_path(Path()) == tmp_path / "test.csv"


HEADER = "key,source,subject,task,frame,AU1\n"
DRAWN = HEADER.replace("AU1", "AU1,drawn")
GRADED = HEADER.replace("AU1", "AU1,AU1_r")


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
        ("key,source,subject,task,frame,drawn\n", "not a manifest"),
        (HEADER.replace("AU1", "drawn,AU1"), "not a manifest"),
        (DRAWN + "a,b,c,d,1,1\n", "line 2: 6 values, the header has 7"),
        (DRAWN + "a,b,c,d,1,1,2\n", "line 2: '2' in the column drawn; give AUs whose label is known"),
        (DRAWN + "a,b,c,d,1,0,1\n", "line 2: '1' in the column drawn"),
        (GRADED + "a,b,c,d,1,1,6\n", "line 2: '6' for AU1_r; intensities are 0 to 5, and 9 (unknown)"),
        (GRADED + "a,b,c,d,1,5,1\n", "line 2: '5' for AU1; labels are -1, 0 and 1"),
        (HEADER.replace("AU1", "AU1_r,AU1"), "a column of occurrences follows one of intensities"),
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
    (tmp_path / "m.csv").write_bytes(b"key\x81")
    with pytest.raises(UserError, match="is not text in UTF-8"):
        read_manifest(tmp_path / "m.csv")
