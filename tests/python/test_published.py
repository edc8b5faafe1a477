"""Constants of the field, written down once more: from the paper, FACS and the data sets, not from drml."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from drml.data import labels
from drml.data.readers.fold_lists import shipped_list
from drml.data.readers.kinds import DATA_SETS
from drml.data.register_task import encode
from drml.training.caffe_log import EXACT

BP4D = [
    "F001 F002 F008 F009 F010 F016 F018 F023 M001 M004 M007 M008 M012 M014",
    "F003 F005 F011 F013 F020 F022 M002 M005 M010 M011 M013 M016 M017 M018",
    "F004 F006 F007 F012 F014 F015 F017 F019 F021 M003 M006 M009 M015",
]
DISFA = ["1 2 9 10 16 26 27 30 32", "6 11 12 13 18 21 24 28 31", "3 4 5 7 8 17 23 25 29"]


def test_the_folds_are_those_in_use_since_the_paper() -> None:
    assert [sorted(part) for part in shipped_list("bp4d").parts] == [sorted(line.split()) for line in BP4D]
    assert [sorted(part) for part in shipped_list("disfa").parts] == [
        sorted(f"SN{int(number):03d}" for number in line.split()) for line in DISFA
    ]


def test_action_units_have_their_names_in_facs() -> None:
    assert labels.AU_NAMES == {
        1: "Inner brow raiser",
        2: "Outer brow raiser",
        4: "Brow lowerer",
        5: "Upper lid raiser",
        6: "Cheek raiser",
        7: "Lid tightener",
        9: "Nose wrinkler",
        10: "Upper lip raiser",
        12: "Lip corner puller",
        14: "Dimpler",
        15: "Lip corner depressor",
        17: "Chin raiser",
        20: "Lip stretcher",
        23: "Lip tightener",
        24: "Lip pressor",
        25: "Lips part",
        26: "Jaw drop",
    }


def test_the_data_sets_code_these_action_units_as_often_as_published() -> None:
    assert DATA_SETS["bp4d"].aus == labels.BP4D_AUS == (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
    assert DATA_SETS["disfa"].aus == labels.DISFA_AUS == (1, 2, 4, 6, 9, 12, 25, 26)
    assert labels.DISFA_CODED_AUS == (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
    percent = [21.0, 17.0, 20.2, 45.9, 54.7, 59.2, 56.0, 46.4, 16.9, 34.2, 16.5, 15.1]
    assert list(labels.BP4D_BASE_RATES) == list(labels.BP4D_AUS)
    assert [100 * rate for rate in labels.BP4D_BASE_RATES.values()] == pytest.approx(percent)


def test_counts_are_exact_as_far_as_six_digits_of_a_float_go() -> None:
    # A mean that was rounded to a float and printed with six digits is wrong by this share of itself at most.
    error = 0.5e-5 + 2.0**-24
    # Below this, rounding the sum gives the count; in whole thousands.
    assert int(0.5 / error) // 1000 * 1000 == EXACT


# Annex K of the JPEG standard: the first row of the table for brightness.
QUANTISATION = np.array([16, 11, 10, 16, 24, 40, 51, 61])


def quality(jpeg: bytes) -> int:
    """Return the quality by which libjpeg scaled the standard's table."""
    row = np.array(Image.open(io.BytesIO(jpeg)).quantization[0][:8])

    def scaled(quality: int) -> np.ndarray:
        factor = 5000 // quality if quality < 50 else 200 - 2 * quality
        return np.clip((QUANTISATION * factor + 50) // 100, 1, 255)

    (found,) = [number for number in range(50, 100) if np.array_equal(scaled(number), row)]
    return found


def test_faces_are_stored_with_little_loss() -> None:
    face = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    assert quality(encode(face)) == 95
