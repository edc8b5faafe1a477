"""drml.data.split: which split a path stands for, and its contents as arrays."""

import shutil

import cv2
import numpy as np
import pytest

import tiny_net as tiny
from drml.data.lmdb import write_lmdb
from drml.data.split import find_folds, find_split, load_split, open_split
from drml.io.errors import UserError


@pytest.fixture
def prepared(tmp_path):
    """A folder with fold1 (train, test) and fold2, as `drml prepare` names them."""
    fold, *_ = tiny.write_data(tmp_path)
    folder = tmp_path / "prepared"
    shutil.copytree(fold, folder / "fold1")
    shutil.copytree(folder / "fold1" / "test_lmdb", folder / "fold1" / "train_lmdb")
    shutil.copy(folder / "fold1" / "test.csv", folder / "fold1" / "train.csv")
    shutil.copytree(folder / "fold1", folder / "fold2")
    return folder


def test_load_split_gives_images_labels_and_subjects_of_the_lmdb(tmp_path):
    fold, images, labels, _ = tiny.write_data(tmp_path)
    for path in (fold, fold / "test_lmdb", str(fold / "test.csv")):
        X, y, subjects = load_split(path)
        assert X.dtype == np.uint8 and y.dtype == np.int8 and subjects.dtype.kind == "U"
        np.testing.assert_array_equal(X, np.stack(images))
        np.testing.assert_array_equal(y, labels)
        rows = open_split(path).manifest.rows
        assert subjects.tolist() == [row.subject for row in rows.values()]
        assert len(set(subjects)) == 2


def test_manifest_with_fewer_rows_selects_records(tmp_path):
    fold, images, labels, _ = tiny.write_data(tmp_path)
    manifest = fold / "test.csv"
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join([lines[0], lines[3], lines[6]]))
    X, y, subjects = load_split(manifest)
    np.testing.assert_array_equal(X, np.stack(images)[[2, 5]])
    np.testing.assert_array_equal(y, labels[[2, 5]])
    assert len(subjects) == 2


def test_without_a_manifest_subjects_are_empty(tmp_path):
    fold, *_ = tiny.write_data(tmp_path)
    (fold / "test.csv").unlink()
    _, y, subjects = load_split(fold / "test_lmdb")
    assert subjects.tolist() == [""] * len(y)


def test_images_of_different_sizes_are_refused(tmp_path):
    def png(side):
        return cv2.imencode(".png", np.zeros((side, side, 3), np.uint8))[1].tobytes()

    write_lmdb(tmp_path / "test_lmdb", [("a", png(8), [1]), ("b", png(9), [1])])
    with pytest.raises(UserError, match=r"record b is an image of 9x9 pixels, the first one has 8x8"):
        load_split(tmp_path / "test_lmdb")


def test_a_fold_stands_for_its_test_split_unless_another_is_asked_for(prepared):
    fold = prepared / "fold1"
    assert find_split(fold) == fold / "test_lmdb"
    assert find_split(fold, "train") == fold / "train_lmdb"
    assert find_split(fold / "train.csv") == fold / "train.csv"
    assert find_split(fold / "train_lmdb", "test") == fold / "train_lmdb"
    assert open_split(str(fold) + "/").lmdb == fold / "test_lmdb"
    with pytest.raises(UserError, match=r"fold1: has no val split \(no folder val_lmdb\)"):
        find_split(fold, "val")
    with pytest.raises(UserError, match=r"split 'tset': choose one of train, val, test"):
        find_split(fold, "tset")


def test_a_prepared_folder_stands_for_its_folds(prepared):
    assert find_folds(prepared) == [prepared / "fold1", prepared / "fold2"]
    assert find_folds(prepared / "fold2") == [prepared / "fold2"]
    with pytest.raises(UserError, match=r"several folds \(fold1, fold2\) where one is needed; give one"):
        find_split(prepared)
    shutil.rmtree(prepared / "fold1")
    assert find_split(prepared) == prepared / "fold2" / "test_lmdb"


def test_folds_are_ordered_by_number(tmp_path):
    for number in (10, 9, 1):
        (tmp_path / f"fold{number}").mkdir()
    (tmp_path / "fold2").touch()
    assert [fold.name for fold in find_folds(tmp_path)] == ["fold1", "fold9", "fold10"]


def test_what_is_no_prepared_data_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"not prepared data; give a folder of drml prepare, a fold"):
        find_split(tmp_path)
    with pytest.raises(UserError, match=r"none: no such folder; prepare data with drml prepare"):
        find_folds(tmp_path / "none")
    with pytest.raises(UserError, match=r"none: no such LMDB"):
        load_split(tmp_path / "none")
    with pytest.raises(UserError, match=r"none.csv: no such manifest"):
        load_split(tmp_path / "none.csv")
