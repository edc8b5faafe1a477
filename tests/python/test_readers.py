from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drml.data.readers import Record, Scan
from drml.data.readers.folds import BP4D_FOLDS, DISFA_FOLDS, split_subjects
from drml.io.errors import UserError

ALL = [name for fold in BP4D_FOLDS for name in fold]


def test_a_record_cannot_be_changed_and_knows_its_video() -> None:
    record = Record("F001_T2_0007", Path("7.jpg"), "F001", "T2", 7, np.zeros(3, np.int8), np.zeros((49, 2)))
    assert record.video == "F001_T2"
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.frame = 8  # type: ignore[misc]


def test_a_scan_counts_all_and_names_a_few() -> None:
    scan = Scan((1,))
    for number in range(20):
        scan.skip("no image", f"F001_T1_{number:04d}")
    scan.skip("no coding", "F001_T2 (whole video)", 300)
    scan.skip("no landmarks", "F001_T3", 0)
    assert scan.skipped == {"no image": 20, "no coding": 300}
    assert scan.examples["no image"][0] == "F001_T1_0000"
    assert len(scan.examples["no image"]) == 5


def test_bp4d_folds_are_its_41_subjects_each_once() -> None:
    expected = [f"F{n:03d}" for n in range(1, 24)] + [f"M{n:03d}" for n in range(1, 19)]
    assert sorted(ALL) == expected
    assert [len(fold) for fold in BP4D_FOLDS] == [14, 14, 13]
    # One name of each fold by hand: the lists come from sets of numbers.
    assert "M014" in BP4D_FOLDS[0] and "F022" in BP4D_FOLDS[1] and "F021" in BP4D_FOLDS[2]


def test_disfa_folds_are_its_27_subjects_each_once() -> None:
    names = [name for fold in DISFA_FOLDS for name in fold]
    numbers = [*range(1, 14), 16, 17, 18, 21, *range(23, 33)]
    assert sorted(names) == [f"SN{n:03d}" for n in numbers]
    assert [len(fold) for fold in DISFA_FOLDS] == [9, 9, 9]


@given(st.sets(st.sampled_from(ALL)), st.integers(1, 3), st.floats(0, 0.95), st.integers(0, 5))
def test_split_is_subject_exclusive_and_complete(
    subjects: set[str], fold: int, share: float, seed: int
) -> None:
    try:
        train, val, test = split_subjects(subjects, fold, val_share=share, seed=seed)
    except UserError:
        others = subjects - set(BP4D_FOLDS[fold - 1])
        assert others == subjects or len(others) < 2
        return
    assert sorted(train + val + test) == sorted(subjects)
    assert set(test) == subjects & set(BP4D_FOLDS[fold - 1])
    assert train and test and bool(val) == (share > 0)
    assert (train, val, test) == split_subjects(
        sorted(subjects, reverse=True), fold, val_share=share, seed=seed
    )


def test_split_holds_out_the_share_asked_for_and_the_seed_chooses() -> None:
    assert len(split_subjects(ALL, 1, val_share=0.2).val) == round(0.2 * 27)
    assert len(split_subjects(ALL, 3, val_share=0.5).val) == 14
    assert len({split_subjects(ALL, 1, seed=seed).val for seed in range(8)}) == 8
    assert split_subjects([*ALL, "X001"], 1) == split_subjects(ALL, 1)


@pytest.mark.parametrize(
    ("subjects", "fold", "share", "said"),
    [
        (["F003", "F004"], 1, 0.2, "fold 1: none of the 2 subjects"),
        (["F001", "F003"], 1, 0.2, "fold 1: 1 training subjects at hand, 2 needed"),
        (["F001"], 1, 0.0, "fold 1: 0 training subjects at hand, 1 needed"),
        (ALL, 4, 0.2, "fold 4: there are 3 folds"),
        (ALL, 1, 1.0, "validation share 1.0"),
    ],
)
def test_split_says_what_is_missing(subjects: list[str], fold: int, share: float, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        split_subjects(subjects, fold, val_share=share)
