"""The lists of folds, and how the subjects of a fold are split."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drml import cli
from drml.data.prepare import Encoding, Sampling, prepare
from drml.data.readers.fold_choice import make_fold_lists
from drml.data.readers.fold_lists import FOLDER, FoldLists, read_fold_lists, shipped_list
from drml.data.readers.folds import deal_folds, split_subjects
from drml.data.readers.kinds import DATA_SETS
from drml.experiments.protocol import describe
from drml.experiments.settings import fold_folders
from drml.io.errors import UsageError, UserError
from drml.report.origin import _commands

BP4D = shipped_list("bp4d").parts
ALL = [name for fold in BP4D for name in fold]


def test_bp4d_folds_are_its_41_subjects_each_once() -> None:
    expected = [f"F{n:03d}" for n in range(1, 24)] + [f"M{n:03d}" for n in range(1, 19)]
    assert sorted(ALL) == expected
    assert [len(fold) for fold in BP4D] == [14, 14, 13]
    # One name of each fold by hand: the lists come from sets of numbers.
    assert "M014" in BP4D[0] and "F022" in BP4D[1] and "F021" in BP4D[2]


def test_disfa_folds_are_its_27_subjects_each_once() -> None:
    names = [name for fold in shipped_list("disfa").parts for name in fold]
    numbers = [*range(1, 14), 16, 17, 18, 21, *range(23, 33)]
    assert sorted(names) == [f"SN{n:03d}" for n in numbers]
    assert [len(fold) for fold in shipped_list("disfa").parts] == [9, 9, 9]


@given(st.sets(st.sampled_from(ALL)), st.integers(1, 3), st.floats(0, 0.95), st.integers(0, 5))
def test_split_is_subject_exclusive_and_complete(
    subjects: set[str], fold: int, share: float, seed: int
) -> None:
    try:
        train, val, test = split_subjects(subjects, fold, folds=BP4D, val_share=share, seed=seed)
    except UserError:
        others = subjects - set(BP4D[fold - 1])
        assert others == subjects or len(others) < 2
        return
    assert sorted(train + val + test) == sorted(subjects)
    assert set(test) == subjects & set(BP4D[fold - 1])
    assert train and test and bool(val) == (share > 0)
    assert (train, val, test) == split_subjects(
        sorted(subjects, reverse=True), fold, folds=BP4D, val_share=share, seed=seed
    )


def test_split_holds_out_the_share_asked_for_and_the_seed_chooses() -> None:
    assert len(split_subjects(ALL, 1, folds=BP4D, val_share=0.2).val) == round(0.2 * 27)
    assert len(split_subjects(ALL, 3, folds=BP4D, val_share=0.5).val) == 14
    assert len({split_subjects(ALL, 1, folds=BP4D, seed=seed).val for seed in range(8)}) == 8
    assert split_subjects([*ALL, "X001"], 1, folds=BP4D) == split_subjects(ALL, 1, folds=BP4D)


def test_at_least_one_subject_validates_and_one_trains() -> None:
    three = ["F001", "F003", "F004", "F005"]  # of the folds 1, 2, 3, 2
    for share, count in ((0.01, 1), (0.34, 1), (0.6, 2), (0.99, 2)):
        train, val, test = split_subjects(three, 1, folds=BP4D, val_share=share)
        assert (len(train), len(val), test) == (3 - count, count, ("F001",))
    assert split_subjects(["F001", "F003"], 1, folds=BP4D, val_share=0) == (("F003",), (), ("F001",))
    assert split_subjects(three, 1, folds=BP4D, val_share=0).train == ("F003", "F004", "F005")


def test_the_draws_are_those_of_earlier_versions() -> None:
    """Prepared data sets name their seed; the same subjects must follow from it."""
    assert split_subjects(ALL, 2, folds=BP4D).val == ("F008", "F012", "F014", "F018", "M009")
    found = split_subjects(ALL, 2, folds=BP4D, val_share=0.2, seed=3)
    assert found.val == ("F001", "F008", "F015", "F019", "M006")
    assert deal_folds("abcdefg", seed=5) == (("b", "e", "g"), ("c", "d"), ("a", "f"))
    assert deal_folds("abcdefg") == deal_folds("gfedcba", seed=0, folds=3)
    with pytest.raises(UserError, match="2 subjects for 3 folds"):
        deal_folds("aab")
    assert deal_folds("abc", seed=1).count(("a",)) == 1


@pytest.mark.parametrize(
    ("subjects", "fold", "share", "said"),
    [
        (["F003", "F004"], 1, 0.2, "fold 1: none of the 2 subjects"),
        (["F001", "F003"], 1, 0.2, "fold 1: 1 training subjects at hand, 2 needed"),
        (["F001"], 1, 0.0, "fold 1: 0 training subjects at hand, 1 needed"),
        (ALL, 4, 0.2, "fold 4: there are 3 folds"),
        (ALL, 0, 0.2, "fold 0: there are 3 folds"),
        (ALL, 1, 1.0, "validation share 1.0"),
    ],
)
def test_split_says_what_is_missing(subjects: list[str], fold: int, share: float, said: str) -> None:
    with pytest.raises(UserError, match=said.replace("(", r"\(")):
        split_subjects(subjects, fold, folds=BP4D, val_share=share)


def test_fera_2015_trains_with_the_odd_numbers_and_tests_on_the_even_ones() -> None:
    train, val, test = shipped_list("fera2015").split(ALL, 1, val_share=0, seed=0)
    assert set(train) == {f"F{n:03d}" for n in range(1, 24, 2)} | {f"M{n:03d}" for n in range(1, 18, 2)}
    assert set(test) == set(ALL) - set(train) and len(test) == 20 and not val
    with pytest.raises(UserError, match="fold 2: there is 1 fold, counted from 1"):
        shipped_list("fera2015").check_numbers([2])
    shipped_list("bp4d").check_numbers([3, 1])
    for wrong in ([], [1, 2, 1]):
        with pytest.raises(UserError, match="name at least one, each once"):
            shipped_list("bp4d").check_numbers(wrong)
    for wrong in ([0], [1, 4]):
        with pytest.raises(UserError, match=f"fold {wrong[-1]}: there are 3 folds, counted from 1"):
            shipped_list("bp4d").check_numbers(wrong)


def test_bp4dplus_has_its_140_subjects_in_four_folds_of_35() -> None:
    lists = shipped_list("bp4dplus")
    assert lists.subjects == {f"F{n:03d}" for n in range(1, 83)} | {f"M{n:03d}" for n in range(1, 59)}
    assert [len(part) for part in lists.parts] == [35] * 4 and lists.numbers == (1, 2, 3, 4)
    # The first names of each published list.
    first = ["M040 F072 M015", "F074 F012 F034", "F029 F054 F064", "M058 F037 F010"]
    assert all(set(names.split()) <= set(part) for names, part in zip(first, lists.parts, strict=True))


def test_every_shipped_list_belongs_to_a_data_set_and_has_a_title() -> None:
    names = {path.stem for path in FOLDER.glob("*.csv")}
    used = {name for one in DATA_SETS.values() for name in one.fold_lists}
    assert used == names
    assert [shipped_list(name).title for name in ("bp4d", "fera2015")] == [
        "BP4D in three folds",
        "BP4D as in FERA-2015",
    ]


def test_a_file_of_numbers_and_one_of_words(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(
        "# Our folds; the second\n# more\nsubject,part\nb, 2\na,1\n\n# x\nc,2\n", encoding="utf-8"
    )
    found = read_fold_lists(path)
    assert (found.title, found.parts, found.numbers) == (
        "Our folds; the second",
        (("a",), ("b", "c")),
        (1, 2),
    )
    assert found.split("abc", 1, val_share=0.5, seed=0).test == ("a",)
    path.write_text("subject,part\na,train\nb,test\nc,val\nd,train\ne,val\n")
    found = read_fold_lists(path)
    assert found.title == "as in mine.csv" and found.numbers == (1,)
    assert found.split("abcde", 1, val_share=0.9, seed=0) == (("a", "d"), ("c", "e"), ("b",))
    # What is written is read back to the same splits, with the subjects at hand alone.
    found.write(tmp_path / "again.csv", "abcd")
    again = read_fold_lists(tmp_path / "again.csv")
    assert again.split("abcd", 1, val_share=0.9, seed=0) == (("a", "d"), ("c",), ("b",))
    assert again.title == "as in mine.csv"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not a list of folds; its first line, after comments, is subject,part"),
        ("subject,fold\na,1\n", "not a list of folds"),
        ("F001: 1\nF002: 2\n", "not a list of folds"),  # YAML
        ("subject,part\na,1\nb,2\na,2\n", "line 4: subject a is in line 2, too; list each subject once"),
        ("subject,part\na,devel\n", "line 2: 'a,devel'; give a subject, a comma, and the number of the fold"),
        ("subject,part\n,1\n", "line 2: ',1'; give a subject"),
        ("subject,part\na,1,2\n", "line 2: 'a,1,2'; give a subject"),
        ("subject,part\na,0\nb,1\n", "line 2: 'a,0'; give a subject"),
        ("subject,part\na,10000\nb,1\n", "line 2: 'a,10000'; give a subject"),
        ("subject,part\na,2\nb,3\n", "its parts are 2, 3; number the folds"),
        ("subject,part\na,train\nb,val\n", "its parts are train, val; use numbers alone, or train, test"),
        ("subject,part\na,1\nb,3\n", "its parts are 1, 3; number the folds 1, 2 and so on, without a gap"),
        ("subject,part\na,1\n", "its parts are 1; number the folds 1, 2 and so on"),
        ("subject,part\n", "its parts are none; number the folds"),
        ("subject,part\na,1\nb,test\n", "its parts are 1, test; use numbers alone, or train, test"),
        ("subject,part\na,val\nb,test\n", "its parts are test, val; use numbers alone, or train, test"),
    ],
)
def test_files_that_are_no_list_are_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "f.csv"
    path.write_text(text)
    with pytest.raises(UserError, match=f"^{path}: ") as error:
        read_fold_lists(path)
    assert said in str(error.value)


def test_a_missing_file_is_answered_with_the_names_of_the_lists(tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"fera: no such file; give a CSV file of subject,part, or the name of a"
    ):
        DATA_SETS["bp4d"].choose_folds(None, tmp_path / "fera")
    # Lists of another data set are not found: BP4D+ has subjects with the names of BP4D's.
    with pytest.raises(UserError, match=r"bp4dplus: no such file; .* list: bp4d, fera2015"):
        DATA_SETS["bp4d"].choose_folds(None, "bp4dplus")
    with pytest.raises(UserError, match="cannot be read as a list of folds"):
        read_fold_lists(tmp_path)


def test_subjects_of_a_users_file_must_be_in_the_data(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("subject,part\nF001,1\nF0O2,2\nX,1\n")
    choice = DATA_SETS["bp4d"].choose_folds(None, path)
    with pytest.raises(UserError, match=r"f\.csv: the data have no subject F0O2, X; correct .* like F001"):
        choice.lists_of({"F001", "F002"}, seed=0)
    path.write_text("subject,part\nb,1\n" + "".join(f"u{number},2\n" for number in range(6)))
    choice = DATA_SETS["bp4d"].choose_folds(None, path)
    with pytest.raises(UserError, match="no subject u0, u1, u2, u3, u4 and 1 more; correct"):
        choice.lists_of({"b"}, seed=0)
    with pytest.raises(UserError, match="no subject u1, u2, u3, u4, u5; correct"):
        choice.lists_of({"b", "u0"}, seed=0)
    # A list that ships with drml is for incomplete copies, too.
    assert DATA_SETS["bp4d"].choose_folds(None, "fera2015").lists_of({"F001", "F002"}, seed=0).numbers == (1,)


def test_one_subject_is_left_out_and_folds_are_drawn_by_the_seed() -> None:
    names = [f"s{n}" for n in range(11)]
    lists = make_fold_lists("loso", names, seed=0)
    assert lists.numbers == tuple(range(1, 12)) and lists.parts == tuple((name,) for name in sorted(names))
    assert [lists.split(names, k, val_share=0.2, seed=0).test for k in lists.numbers] == list(lists.parts)
    assert make_fold_lists("loso", ["b", "a"], seed=0).parts == (("a",), ("b",))
    drawn = make_fold_lists("random:5", names, seed=3)
    assert sorted(map(len, drawn.parts)) == [2, 2, 2, 2, 3] and drawn.subjects == set(names)
    assert drawn.title == "5 folds drawn at random, seed 3"
    assert drawn == make_fold_lists("random:5", names[::-1], seed=3)
    assert drawn.parts != make_fold_lists("random:5", names, seed=4).parts
    with pytest.raises(UserError, match="1 subject for 5 folds"):
        make_fold_lists("random:5", ["a"], seed=0)
    with pytest.raises(UserError, match="folds loso: the data have 1 subject"):
        make_fold_lists("loso", ["a"], seed=0)


@pytest.mark.parametrize("scheme", ["random:1", "random:0", "random:x", "random:", "LOSO", "three"])
def test_other_schemes_are_wrong_usage(scheme: str) -> None:
    with pytest.raises(UsageError, match=r"give numbers of folds, such as 1,3; loso, .* or random:K"):
        DATA_SETS["bp4d"].choose_folds(scheme)


def test_the_choice_says_which_lists_and_what_the_user_gave(tmp_path: Path) -> None:
    path = tmp_path / "f.csv"
    path.write_text("subject,part\na,1\nb,2\n")
    own = DATA_SETS["bp4d"].choose_folds((2, 3))
    assert (own.numbers, own.scheme, own.file) == ((2, 3), "", None)
    assert own.lists_of(ALL, seed=0) == shipped_list("bp4d")
    given = DATA_SETS["images"].choose_folds(None, path)
    assert (given.numbers, given.scheme, given.file) == (None, "", str(path))
    assert given.lists_of("ab", seed=0).parts == (("a",), ("b",))
    # A list of images has no folds of its own: three are drawn.
    drawn = DATA_SETS["images"].choose_folds((3, 1))
    assert (drawn.numbers, drawn.scheme, drawn.file, drawn.lists) == ((3, 1), "random:3", None, None)
    assert drawn.lists_of("abcdefg", seed=5).parts == (("b", "e", "g"), ("c", "d"), ("a", "f"))
    with pytest.raises(UserError, match="fold 4: there are 3 folds, counted from 1"):
        DATA_SETS["images"].choose_folds((4,))
    with pytest.raises(UserError, match="fold 3: there are 2 folds, counted from 1"):
        DATA_SETS["images"].choose_folds((3,), path)


def test_a_scheme_and_a_file_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["prepare", "bp4d", "a", "b", "--folds", "loso", "--folds-file", "fera2015"])
    assert ended.value.code == 2 and "give one of them" in capsys.readouterr().err


def test_validation_subjects_of_a_list_must_be_at_hand() -> None:
    lists = FoldLists("t", (("a",), ("b",)), 1, ("c",))
    assert lists.split("abc", 1, val_share=0, seed=0) == (("b",), ("c",), ("a",))
    with pytest.raises(UserError, match="none of the 2 subjects at hand is in its validation list"):
        lists.split("ab", 1, val_share=0.2, seed=0)


@pytest.fixture(scope="module")
def faces(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A list of registered faces of 11 subjects, 2 frames each."""
    folder = tmp_path_factory.mktemp("faces")
    lines = ["path,subject,AU1"]
    for subject in range(11):
        for frame in range(2):
            name = f"s{subject:02d}_{frame}.png"
            cv2.imwrite(str(folder / name), np.full((24, 24, 3), 20 * subject + frame, np.uint8))
            lines.append(f"{name},s{subject:02d},{1 if frame else -1}")
    path = folder / "faces.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def _prepare(faces: Path, out: Path, **more: Any) -> dict[str, Any]:
    encoding = Encoding(format="png", size=24)
    return prepare("images", faces, out, encoding=encoding, jobs=1, progress=False, **more)


def _command(summary: dict[str, Any]) -> str:
    return _commands({"model": "m", "folds": [], "options": {}}, summary, None, "o")[0]


def test_eleven_folds_of_one_subject_each(faces: Path, tmp_path: Path) -> None:
    summary = _prepare(faces, tmp_path / "o", folds="loso")
    tested = [summary["folds"][str(fold)]["test"]["subjects"] for fold in range(1, 12)]
    assert tested == [[f"s{n:02d}"] for n in range(11)]
    # In the order of their numbers: fold10 does not come before fold2.
    assert list(fold_folders(tmp_path / "o")) == list(range(1, 12))
    assert summary["fold_lists"]["title"] == "one subject left out" and summary["fold_lists"]["folds"] == 11
    caption = next(line for line in describe(tmp_path / "o") if line.startswith("Folds: "))
    assert caption.startswith("Folds: one subject left out (11 folds; folds.csv, SHA-256 ")
    assert "--folds loso" in _command(summary)
    # The list that was used is kept, and gives the same folds again.
    again = _prepare(faces, tmp_path / "p", folds_file=tmp_path / "o/folds.csv")
    assert again["folds"] == summary["folds"]
    assert f"--folds-file {tmp_path / 'o/folds.csv'}" in _command(again)
    assert (tmp_path / "p/folds.csv").read_bytes() == (tmp_path / "o/folds.csv").read_bytes()


def test_train_val_and_test_subjects_of_a_file(faces: Path, tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("subject,part\ns01,train\ns02,val\ns03,test\n")
    summary = _prepare(faces, tmp_path / "o", folds_file=path, sampling=Sampling(val_share=0.5))
    assert {name: split["subjects"] for name, split in summary["folds"]["1"].items()} == {
        "train": ["s01"],
        "val": ["s02"],
        "test": ["s03"],
    }
    assert summary["skipped"] == {"subject in no fold": 16} and list(summary["folds"]) == ["1"]
    with pytest.raises(UserError, match="fold 2: there is 1 fold"):
        _prepare(faces, tmp_path / "p", folds=(2,), folds_file=path)
    assert not (tmp_path / "p").exists()


def test_a_file_that_does_not_fit_ends_with_one_line(
    faces: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("subject,part\ns01,1\nanna,2\n")
    out = tmp_path / "o"
    assert cli.main(["prepare", "images", str(faces), str(out), "-q", "--folds-file", str(path)]) == 1
    assert "mine.csv: the data have no subject anna; correct" in capsys.readouterr().err
    assert not out.exists()


def test_a_damaged_summary_is_named(faces: Path, tmp_path: Path) -> None:
    _prepare(faces, tmp_path / "o", folds=(1,))
    path = tmp_path / "o/summary.json"
    summary = json.loads(path.read_text())
    path.write_text(json.dumps({**summary, "fold_lists": {"title": 1}}))
    with pytest.raises(UserError, match=r"summary\.json: damaged"):
        describe(tmp_path / "o")
    del summary["fold_lists"]  # as an older version wrote it
    path.write_text(json.dumps(summary))
    assert not any(line.startswith("Folds: ") for line in describe(tmp_path / "o"))
