"""Codes that a user declares to mean an unknown label: ``drml prepare --unknown 9,999``."""

import csv

import cv2
import numpy as np
import pytest

import bp4d_factory
import disfa_factory
from drml.cli import main
from drml.data.labels import ABSENT, PRESENT, UNKNOWN
from drml.data.manifest import read_manifest
from drml.data.readers import Scan
from drml.data.readers.bp4d_coding import CODES, read_coding
from drml.data.readers.disfa_labels import read_subject
from drml.data.readers.intensities import INTENSITIES
from drml.data.readers.kinds import DATA_SETS
from drml.data.readers.listed import LABELS
from drml.data.readers.unknown_codes import unknown_codes
from drml.data.recipe_text import read_data_recipe
from drml.io.errors import UsageError, UserError


def write_list(folder, rows):
    """Write a list of images with the AUs 1 and 2."""
    for index in range(len(rows)):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((40, 40, 3), 20 * index, np.uint8))
    path = folder / "faces.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(
            [["path", "subject", "AU1", "AU2"], *([f"{i}.png", f"s{i}", *row] for i, row in enumerate(rows))]
        )
    return path


def labels_of(scan):
    return [record.labels.tolist() for record in scan.records]


def test_declared_codes_are_unknown_in_a_list(tmp_path):
    path = write_list(tmp_path, [[1, 999], [-1, 1], [9, -1], ["999.0", 1], [9, 999]])
    with pytest.raises(UserError, match=r"line 2: '999' for AU2"):
        DATA_SETS["images"].read(path)
    scan = DATA_SETS["images"].read(path, unknown="9,999")
    assert labels_of(scan) == [[1, 0], [-1, 1], [0, -1], [0, 1]]
    assert scan.skipped["no known label"] == 1
    with pytest.raises(UserError, match=r"line 4: '9' for AU1; labels are 1, -1, 0, nothing, 999"):
        DATA_SETS["images"].read(path, unknown="999")


def test_minus_one_means_one_thing(tmp_path):
    path = write_list(tmp_path, [[1, -1], [0, 1], [-1, 0]])
    scan = DATA_SETS["images"].read(path, labels="01", unknown="-1")
    assert labels_of(scan) == [[1, 0], [-1, 1], [0, -1]]
    with pytest.raises(UsageError, match=r"unknown -1: -1 means absent in these labels; .*--labels 01"):
        DATA_SETS["images"].read(path, unknown="-1")
    # In signed labels, 0 is unknown already, and -1 absent; a list of 0 and 1 alone stays refused.
    assert labels_of(DATA_SETS["images"].read(path, unknown="0,7")) == [[1, -1], [0, 1], [-1, 0]]
    zeros = write_list(tmp_path, [[1, 0], [0, 9]])
    with pytest.raises(UserError, match="labels 0, and no -1 in the whole list"):
        DATA_SETS["images"].read(zeros, unknown="9")


@pytest.mark.parametrize(
    ("text", "known", "said"),
    [
        ("", LABELS["signed"], "whole numbers"),
        ("9,", LABELS["signed"], "whole numbers"),
        ("nine", LABELS["signed"], "whole numbers"),
        ("9.5", LABELS["signed"], "whole numbers"),
        ("1", LABELS["signed"], "1 means present"),
        ("9,-1", LABELS["signed"], "-1 means absent"),
        ("0", LABELS["01"], "0 means absent"),
        ("1,9", LABELS["01"], "1 means present"),
    ],
)
def test_other_codes_are_wrong_usage(text, known, said):
    with pytest.raises(UsageError, match=said):
        unknown_codes(text, known)


def test_no_codes_and_codes_with_blanks():
    known = {"1": PRESENT, "0": ABSENT, "9": UNKNOWN}
    assert unknown_codes(None, known) == frozenset()
    assert unknown_codes(" 9, -1 ,999", known) == {"9", "-1", "999"}


# --- the data sets --------------------------------------------------------------------------------------


def test_bp4d_with_other_codes_for_unknown(tmp_path):
    path = tmp_path / "F001_T1.csv"
    aus = (1, 2, 4)
    bp4d_factory.write_csv(path, [5, 6], np.array([[1, 999, 0], [-1, 1, 9]]), aus)
    with pytest.raises(UserError, match=r"line 2: '999' for AU 2; codes are 1 \(present\)"):
        read_coding(path, aus)
    rows = read_coding(path, aus, unknown=unknown_codes("999,-1", CODES)).rows
    assert {frame: row.tolist() for frame, row in rows.items()} == {
        5: [PRESENT, UNKNOWN, ABSENT],
        6: [UNKNOWN, PRESENT, UNKNOWN],
    }
    with pytest.raises(UsageError, match="unknown 0: 0 means absent"):
        DATA_SETS["bp4d"].read(tmp_path, unknown="0")


@pytest.mark.parametrize("kind", ["bp4d", "bp4dplus"])
def test_intensities_cannot_mean_unknown(kind, tmp_path):
    with pytest.raises(UsageError, match="unknown 5: 5 means present"):
        DATA_SETS[kind].read(tmp_path, aus=(6, 12), intensity=2, unknown="5")


def test_disfa_with_codes_for_unknown(tmp_path):
    for au in (1, 2):
        disfa_factory.write_labels(tmp_path, "SN001", au, [0, 9, 5, -1])
    folder = tmp_path / "ActionUnit_Labels/SN001"
    scan = Scan((1, 2))
    with pytest.raises(UserError, match=r"SN001_au1.txt: line 2: '9' is not an intensity"):
        read_subject(scan, folder, "SN001", 2)
    rows = read_subject(scan, folder, "SN001", 2, unknown_codes("9,-1", INTENSITIES))
    assert [row.tolist() for row in rows.values()] == [[-1, -1], [0, 0], [1, 1], [0, 0]]


# --- the command ----------------------------------------------------------------------------------------


def test_the_command_says_which_codes_are_unknown(tmp_path, capsys):
    rows = [[1, 999], [-1, 1], [1, -1], [-1, 999], [999, 1], [1, -1], [-1, 1], [1, 999], [-1, -1]]
    path = write_list(tmp_path, rows)
    out = tmp_path / "out"
    arguments = ["prepare", "images", str(path), str(out), "--size", "40", "--jobs", "1"]
    assert main([*arguments, "--unknown", "999"]) == 0
    recipe = read_data_recipe(out / "fold1")
    assert recipe.labels.endswith("unknown (0); 999 unknown (0), too")
    found = {}
    for split in ("train", "val", "test"):
        manifest = read_manifest(out / f"fold1/{split}.csv")
        found |= {row.source: list(row.labels) for row in manifest.rows.values()}
    expected = {f"{i}.png": [0 if code == 999 else code for code in row] for i, row in enumerate(rows)}
    assert found == expected
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--overwrite", "--unknown=-1"])
    assert ended.value.code == 2
    assert "-1 means absent" in capsys.readouterr().err
    assert read_data_recipe(out / "fold1") == recipe
