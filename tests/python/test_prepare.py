from __future__ import annotations

import csv
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

import bp4d_factory as factory
import drml
from drml import cli
from drml.data import registration
from drml.data.landmark_files import read_landmarks
from drml.data.lmdb import read_lmdb, read_mean
from drml.data.manifest import read_manifest
from drml.data.prepare import Encoding, Sampling, prepare
from drml.data.readers import bp4d
from drml.data.readers.fold_lists import shipped_list
from drml.data.readers.kinds import DATA_SETS
from drml.data.recipe import TrainingRecipe
from drml.data.recipe_text import read_data_recipe
from drml.data.split import load_split
from drml.data.verify import verify
from drml.experiments.protocol import describe
from drml.experiments.settings import data_digest
from drml.io.errors import UserError
from drml.report.data import data_section
from drml.report.origin import _commands
from drml.synth import write_bp4d

QUIET: dict[str, Any] = {"jobs": 1, "progress": False}
# Of eight frames, twelve AUs then draw most, but not all.
FEW: dict[str, Any] = {"positives": 1, "negatives": 0}
FRAMES = 8
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return factory.write_set(tmp_path_factory.mktemp("set") / "BP4D", tasks=2, frames=FRAMES)


@pytest.fixture(scope="module")
def prepared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("out") / "drml"
    return out, prepare("bp4d", root, out, sampling=Sampling(**FEW, unsampled="keep"), **QUIET)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(out: Path) -> dict[str, list[tuple[str, bytes, tuple[int, ...]]]]:
    return {f"{p.parent.name}/{p.name}": list(read_lmdb(p)) for p in sorted(out.glob("fold*/*_lmdb"))}


def copy(root: Path, to: Path) -> Path:
    """A copy of its own for a test that spoils something."""
    for path in root.rglob("*"):
        target = to / path.relative_to(root)
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            os.link(path, target)
    return to


def spoil(path: Path, data: bytes) -> None:
    path.unlink()  # the link, not the original's contents
    path.write_bytes(data)


def test_the_folder_holds_what_is_promised(prepared: tuple[Path, dict[str, Any]]) -> None:
    out, summary = prepared
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*"))
    expected = ["folds.csv", "summary.json"]
    for fold in (1, 2, 3):
        expected += [f"fold{fold}", f"fold{fold}/mean.binaryproto", f"fold{fold}/recipe.prototxt"]
        for split in SPLITS:
            expected += [
                f"fold{fold}/{split}.csv",
                f"fold{fold}/{split}_lmdb",
                f"fold{fold}/{split}_lmdb/data.mdb",
                f"fold{fold}/{split}_landmarks.npz",
            ]
    assert names == sorted(expected)
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    assert json.loads((out / "summary.json").read_text()) == summary


def test_every_database_verifies(prepared: tuple[Path, dict[str, Any]]) -> None:
    out, summary = prepared
    for fold in ("1", "2", "3"):
        for split in SPLITS:
            result = verify(out / f"fold{fold}" / f"{split}_lmdb")
            described = summary["folds"][fold][split]
            assert result["records"] == described["images"]
            for au in result["aus"]:
                known = result["present"][au] + result["absent"][au]
                assert described["known"][au] == known
                assert described["base_rate"][au] == pytest.approx(result["present"][au] / known, abs=1e-4)


def test_subjects_are_in_one_split_and_tested_once(prepared: tuple[Path, dict[str, Any]]) -> None:
    out, summary = prepared
    tested: Counter[str] = Counter()
    for fold in (1, 2, 3):
        of = {split: {row["subject"] for row in rows(out / f"fold{fold}/{split}.csv")} for split in SPLITS}
        assert of["test"] == set(factory.SUBJECTS) & set(shipped_list("bp4d").parts[fold - 1])
        assert sorted([*of["train"], *of["val"], *of["test"]]) == sorted(factory.SUBJECTS)
        assert {split: sorted(names) for split, names in of.items()} == {
            split: summary["folds"][str(fold)][split]["subjects"] for split in SPLITS
        }
        tested.update(row["key"][9:] for row in rows(out / f"fold{fold}/test.csv"))
    assert set(tested.values()) == {1} and len(tested) == summary["images"] == 6 * 2 * FRAMES


def test_manifests_point_to_sources_and_say_what_was_coded(
    root: Path, prepared: tuple[Path, dict[str, Any]]
) -> None:
    out, _ = prepared
    records = {record.key: record for record in bp4d.read(root).records}
    for split in SPLITS:
        for position, row in enumerate(rows(out / f"fold2/{split}.csv")):
            record = records[row["key"][9:]]
            assert row["key"] == f"{position:08d}_{record.key}"
            assert root / row["source"] == record.image
            assert (row["subject"], row["task"], int(row["frame"])) == (
                record.subject,
                record.task,
                record.frame,
            )
            assert [int(row[f"AU{au}"]) for au in factory.BP4D_AUS] == record.labels.tolist()


def test_manifests_and_the_digest_do_not_depend_on_where_the_data_are(
    root: Path, prepared: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = copy(root, tmp_path / "mounted/set")
    monkeypatch.chdir(tmp_path / "mounted")
    # Once by an absolute path, once by one relative to the working directory.
    out, other = prepared[0], tmp_path / "other"
    summary = prepare("bp4d", "set", other, folds=(1,), sampling=Sampling(**FEW, unsampled="keep"), **QUIET)
    assert summary["root"] == str(elsewhere)
    for split in SPLITS:
        manifest = (other / f"fold1/{split}.csv").read_bytes()
        assert manifest == (out / f"fold1/{split}.csv").read_bytes()
        assert str(tmp_path).encode() not in manifest
    assert data_digest(other / "fold1") == data_digest(out / "fold1")
    assert read_data_recipe(other / "fold1") == read_data_recipe(out / "fold1")


def test_the_recipe_describes_the_data(prepared: tuple[Path, dict[str, Any]]) -> None:
    out, summary = prepared
    recipe = read_data_recipe(out / "fold2/train_lmdb")
    assert recipe is not None
    assert recipe.au == factory.BP4D_AUS and recipe.labels == DATA_SETS["bp4d"].describe_labels({})
    assert recipe.input.face_size == summary["options"]["size"] and recipe.input.channels == "BGR"
    assert recipe.registration.points == "49 landmarks" and len(recipe.registration.target) == 98
    assert (recipe.data.name, recipe.data.split) == ("BP4D", "fold 2 of 3")
    assert recipe.data.digest == hashlib.sha256((out / "fold2/train.csv").read_bytes()).hexdigest()
    assert recipe.data.records == summary["folds"]["2"]["train"]["images"]
    drawn = summary["folds"]["2"]["train"]["sampling"]
    assert recipe.data.sampling == (
        "for each AU and video, up to 1 with it and up to 0 without it; labels of AUs for which a frame was"
        f" not drawn are kept; seed 0; drawn: {drawn['frames']['drawn']} of {drawn['frames']['of']} frames,"
        f" {drawn['labels']['drawn']} of {drawn['labels']['of']} labels"
    )
    assert recipe.program[0] == f"drml {drml.__version__} (data)"
    assert recipe.training == TrainingRecipe() and recipe.threshold == ()


def test_faces_are_the_registered_sources(root: Path, prepared: tuple[Path, dict[str, Any]]) -> None:
    out, _ = prepared
    records = {record.key: record for record in bp4d.read(root).records}
    for key, data, _ in list(read_lmdb(out / "fold1/test_lmdb"))[:5]:
        record = records[key[9:]]
        expected = registration.register(cv2.imread(str(record.image)), record.landmarks)
        face = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
        assert data[:2] == b"\xff\xd8"
        assert np.abs(face.astype(float) - expected).mean() < 2


def test_landmarks_are_those_of_the_registered_faces(
    root: Path, prepared: tuple[Path, dict[str, Any]]
) -> None:
    out, _ = prepared
    records = {record.key: record for record in bp4d.read(root).records}
    for split in SPLITS:
        found = read_landmarks(out / f"fold1/{split}_landmarks.npz")
        assert list(found) == [row["key"] for row in rows(out / f"fold1/{split}.csv")]
        for key, points in found.items():
            original = records[key[9:]].landmarks
            matrix = registration.similarity(original, registration.REFERENCE)
            np.testing.assert_allclose(points, original @ matrix[:, :2].T + matrix[:, 2], atol=1e-4)
            assert np.abs(points - registration.REFERENCE).max() < 5


def test_training_is_sampled_and_shuffled_and_the_rest_is_not(prepared: tuple[Path, dict[str, Any]]) -> None:
    out, summary = prepared
    train = [row["key"][9:] for row in rows(out / "fold1/train.csv")]
    assert train != sorted(train) and len(set(train)) == len(train)
    assert len(train) < 2 * FRAMES * len(summary["folds"]["1"]["train"]["subjects"])
    for split in ("val", "test"):
        keys = [row["key"][9:] for row in rows(out / f"fold1/{split}.csv")]
        assert keys == sorted(keys)
        assert len(keys) == 2 * FRAMES * len(summary["folds"]["1"][split]["subjects"])


def test_the_mean_image_is_that_of_the_training_set(prepared: tuple[Path, dict[str, Any]]) -> None:
    out, _ = prepared
    for fold in (1, 2, 3):
        faces = [
            cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
            for _, data, _ in read_lmdb(out / f"fold{fold}/train_lmdb")
        ]
        expected = np.mean(faces, axis=0, dtype=np.float64).transpose(2, 0, 1)
        np.testing.assert_allclose(read_mean(out / f"fold{fold}/mean.binaryproto"), expected, rtol=1e-6)


def test_processes_change_nothing(root: Path, prepared: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    out, summary = prepared
    again = prepare(
        "bp4d", root, tmp_path / "o", jobs=2, progress=False, sampling=Sampling(**FEW, unsampled="keep")
    )
    assert contents(tmp_path / "o") == contents(out)
    for file in (*out.glob("fold*/mean.binaryproto"), *out.glob("fold*/*_landmarks.npz")):
        assert (tmp_path / "o" / file.relative_to(out)).read_bytes() == file.read_bytes()
    assert {**again, "seconds": 0} == {**summary, "seconds": 0}


def test_the_seed_changes_samples_and_order(
    root: Path, prepared: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, _ = prepared
    prepare(
        "bp4d", root, tmp_path / "o", folds=(2,), sampling=Sampling(**FEW, seed=5, unsampled="keep"), **QUIET
    )
    assert [path.name for path in (tmp_path / "o").glob("fold?")] == ["fold2"]
    one, other = contents(out), contents(tmp_path / "o")
    assert one["fold2/train_lmdb"] != other["fold2/train_lmdb"]
    assert one["fold2/test_lmdb"] == other["fold2/test_lmdb"]


def test_the_seed_alone_determines_the_order_of_the_same_training_frames(root: Path, tmp_path: Path) -> None:
    found = []
    for seed in (0, 0, 5):
        out = tmp_path / f"{len(found)}"
        sampling = Sampling(val_share=0, all_frames=True, seed=seed)
        prepare("bp4d", root, out, folds=(2,), sampling=sampling, **QUIET)
        found.append([key.partition("_")[2] for key, *_ in contents(out)["fold2/train_lmdb"]])
    first, again, other = found
    assert first == again and sorted(first) == sorted(other) and first != other
    assert first != sorted(first)  # shuffled


def test_labels_that_were_not_drawn_are_unknown_unless_they_are_kept(
    root: Path, prepared: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, summary = prepared
    made = prepare("bp4d", root, tmp_path / "o", folds=(1,), sampling=Sampling(**FEW), **QUIET)
    kept, masked = contents(out), contents(tmp_path / "o")
    assert kept["fold1/test_lmdb"] == masked["fold1/test_lmdb"]
    assert kept["fold1/val_lmdb"] == masked["fold1/val_lmdb"]
    pairs = list(zip(kept["fold1/train_lmdb"], masked["fold1/train_lmdb"], strict=True))
    assert all(one[:2] == two[:2] for one, two in pairs)
    assert all(b in (a, 0) for one, two in pairs for a, b in zip(one[2], two[2], strict=True))
    assert any(one[2] != two[2] for one, two in pairs)
    # One frame with each AU for each video, none without it.
    by_video = Counter(
        (key[9:16], value) for key, _, labels in masked["fold1/train_lmdb"] for value in labels[:1]
    )
    assert all(count == 1 and value == 1 for (_, value), count in by_video.items() if value)
    # The counts are those of the labels that are left, wherever they are counted.
    counted = verify(tmp_path / "o/fold1/train_lmdb")
    assert counted["records"] == len(pairs)
    train = made["folds"]["1"]["train"]
    _, labels, _ = load_split(tmp_path / "o/fold1", "train")
    for column, au in enumerate(factory.BP4D_AUS):
        known = np.count_nonzero(labels[:, column])
        assert counted["present"][f"AU{au}"] == train["known"][f"AU{au}"] == known
        assert train["sampling"]["positives"][f"AU{au}"]["drawn"] == known
        assert train["sampling"]["negatives"][f"AU{au}"]["drawn"] == 0
    assert train["sampling"]["labels"]["drawn"] == np.count_nonzero(labels)
    assert train["sampling"]["frames"]["drawn"] == len(labels)
    assert train["sampling"]["frames"]["of"] == 2 * FRAMES * len(train["subjects"])
    # The kept labels come with the record of the draw, which is the same.
    assert train["sampling"] == summary["folds"]["1"]["train"]["sampling"]
    kept_rows, masked_rows = (read_manifest(folder / "fold1/train.csv") for folder in (out, tmp_path / "o"))
    np.testing.assert_array_equal(kept_rows.drawn_labels(kept_rows.rows), labels)
    np.testing.assert_array_equal(masked_rows.drawn_labels(masked_rows.rows), labels)
    assert verify(out / "fold1/train_lmdb")["records"] == len(pairs)
    header = (out / "fold1/test.csv").read_text().splitlines()[0]
    assert "drawn" not in header and "drawn" not in (tmp_path / "o/fold1/train.csv").read_text()


def test_all_frames_and_labels_train_if_nothing_is_sampled(root: Path, tmp_path: Path) -> None:
    arguments = ["prepare", "bp4d", str(root), str(tmp_path / "o"), "--folds", "1", "--all-frames", "-q"]
    assert cli.main([*arguments, "--jobs", "1"]) == 0
    summary = json.loads((tmp_path / "o/summary.json").read_text())
    train = summary["folds"]["1"]["train"]
    records = {record.key: record for record in bp4d.read(root).records}
    for key, _, labels in read_lmdb(tmp_path / "o/fold1/train_lmdb"):
        assert list(labels) == records[key[9:]].labels.tolist()
    assert train["images"] == train["sampling"]["frames"]["of"] == 2 * FRAMES * len(train["subjects"])
    assert train["sampling"]["labels"]["share"] == 1
    assert "drawn" not in (tmp_path / "o/fold1/train.csv").read_text()
    assert describe(tmp_path / "o")[2].startswith("Training frames: all frames. Validation, test: all.")
    command = _commands({"model": "m", "folds": [], "options": {}}, summary, None, "o")[0]
    assert " --all-frames" in command and "--positives" not in command
    with pytest.raises(SystemExit):
        cli.main([*arguments, "--overwrite", "--positives", "5"])


def test_captions_and_reports_say_what_was_drawn(
    root: Path, prepared: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, summary = prepared
    lines = describe(out)
    assert lines[2].startswith(
        "Training frames: for each AU and video, up to 1 with it and up to 0 without it; labels of AUs for"
        " which a frame was not drawn are kept. Validation, test: all."
    )
    found = [fold["train"]["sampling"] for fold in summary["folds"].values()]
    drawn, of = (sum(one["labels"][name] for one in found) for name in ("drawn", "of"))
    assert f" frames and {drawn:,} of {of:,} ({round(100 * drawn / of)}%) labels." in lines[3]
    with_au, of = (sum(one["positives"]["AU12"][name] for one in found) for name in ("drawn", "of"))
    assert f"AU12 {round(100 * with_au / of)}/0," in lines[4]
    page = data_section(summary).body
    assert (
        "labels of AUs for which a frame was not drawn are kept" in page
        and "Labels drawn for training, fold 1" in page
    )
    one = found[0]["positives"]["AU12"]
    assert f"{one['drawn']} of {one['of']}" in page
    # Data of an older version, whose manifests do not have the draw.
    for fold in summary["folds"].values():
        fold["train"] = {name: value for name, value in fold["train"].items() if name != "sampling"}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    assert "did not record which labels were drawn" in describe(tmp_path)[3]
    assert "Labels drawn for training" not in data_section(summary).body


def test_png_other_sizes_aus_and_no_validation(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    summary = prepare(
        "bp4d",
        root,
        out,
        folds=(3,),
        aus=(12, 28),
        sampling=Sampling(val_share=0),
        encoding=Encoding(format="png", size=48),
        **QUIET,
    )
    assert sorted(path.name for path in (out / "fold3").glob("*_lmdb")) == ["test_lmdb", "train_lmdb"]
    assert summary["aus"] == [12, 28] and list(summary["folds"]["3"]) == ["train", "test"]
    key, data, labels = next(read_lmdb(out / "fold3/test_lmdb"))
    assert data.startswith(b"\x89PNG") and len(labels) == 2
    record = next(r for r in bp4d.read(root).records if r.key == key[9:])
    expected = registration.register(cv2.imread(str(record.image)), record.landmarks, 48)
    np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), expected)
    points = read_landmarks(out / "fold3/test_landmarks.npz")[key]
    assert np.abs(points - ((registration.REFERENCE + 0.5) * 48 / 200 - 0.5)).max() < 1.2
    assert verify(out / "fold3/train_lmdb")["aus"] == ["AU12", "AU28"]


def test_a_synthetic_set_stays_marked(root: Path, tmp_path: Path) -> None:
    marked = copy(root, tmp_path / "BP4D")
    (marked / "synthetic.json").write_text('{"seed": 3}\n')
    summary = prepare("bp4d", marked, tmp_path / "o", folds=(1,), **QUIET)
    assert summary["synthetic"] is True
    assert (tmp_path / "o/synthetic.json").read_text() == '{"seed": 3}\n'
    recipe = read_data_recipe(tmp_path / "o/fold1")
    assert recipe is not None and recipe.data.name == "BP4D, synthetic"


def test_conversions_and_skips_are_counted_and_said(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mixed = copy(root, tmp_path / "BP4D")
    folder = mixed / "Sequences(2D+3D)/F001/T1"
    picture = Image.open(folder / "0001.jpg")
    (folder / "0001.jpg").unlink()
    picture.convert("L").save(folder / "0001.jpg")
    (folder / "0002.jpg").unlink()
    picture.convert("CMYK").save(folder / "0002.jpg")
    (folder / "0003.jpg").unlink()
    spoil(folder / "0004.jpg", b"")
    spoil(folder / "0005.jpg", b"no picture")
    summary = prepare("bp4d", mixed, tmp_path / "o", folds=(1,), **QUIET)
    assert summary["converted"] == {"greyscale": 1, "CMYK": 1}
    assert summary["skipped"] == {"no image": 1, "broken image": 2}
    assert [Path(entry["image"]).name for entry in summary["broken"]] == ["0004.jpg", "0005.jpg"]
    assert summary["frames"] == 96 and summary["images"] == 96 - 3
    assert summary["folds"]["1"]["test"]["images"] == 32 - 3
    said = capsys.readouterr().err
    assert f"skipped: {folder / '0004.jpg'}: the image has zero bytes" in said
    assert f"converted: 1 image (CMYK), such as {folder / '0002.jpg'}" in said
    assert verify(tmp_path / "o/fold1/test_lmdb")["records"] == 29


def test_landmarks_outside_the_image_break_it(root: Path, tmp_path: Path) -> None:
    moved = copy(root, tmp_path / "BP4D")
    path = moved / "2DFeatures/F001_T1.mat"
    path.unlink()
    points = [factory.landmarks("F001_T1", n) for n in range(1, FRAMES + 1)]
    points[3] = points[3] + 500
    factory.write_mat(path, points)
    (entry,) = prepare("bp4d", moved, tmp_path / "o", folds=(1,), **QUIET)["broken"]
    assert entry["fault"] == "49 of 49 landmarks lie outside the image (100x120)"


def test_too_many_broken_images_stop_the_run(root: Path, tmp_path: Path) -> None:
    broken = copy(root, tmp_path / "BP4D")
    for number in range(1, 6):
        spoil(broken / f"Sequences(2D+3D)/F003/T1/{number:04d}.jpg", b"")
    with pytest.raises(UserError, match=r"0001\.jpg: the image has zero bytes; \d of 96 images are broken"):
        prepare("bp4d", broken, tmp_path / "o", **QUIET)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["BP4D"]
    with pytest.raises(UserError, match=r"more than a share of 0\.004: repair the data set"):
        prepare("bp4d", broken, tmp_path / "o", max_broken=0.004, **QUIET)
    with pytest.raises(
        UserError, match=r": the image .* 5 of 96 images are broken so far, more than a share of 0:"
    ):
        prepare("bp4d", broken, tmp_path / "o", max_broken=0, **QUIET)
    assert not prepare("bp4d", root, tmp_path / "whole", max_broken=0, folds=(1,), **QUIET)["broken"]
    # The limit itself is allowed.
    assert len(prepare("bp4d", broken, tmp_path / "o", max_broken=5 / 96, **QUIET)["broken"]) == 5


def test_a_split_without_images_names_fold_and_reason(root: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"fold 1: .*test list"):
        prepare("bp4d", factory.write_set(tmp_path / "a", ("F003", "F004", "F005")), tmp_path / "o", **QUIET)
    with pytest.raises(UserError, match="fold 1: 1 training subjects at hand, 2 needed"):
        prepare("bp4d", factory.write_set(tmp_path / "b", ("F001", "F003")), tmp_path / "o", **QUIET)
    broken = copy(root, tmp_path / "c")
    for path in broken.glob("Sequences*/F00[12]/*/*.jpg"):
        spoil(path, b"")
    with pytest.raises(
        UserError, match="fold 1: the test split is empty, there is no usable frame of F001, F002"
    ):
        prepare("bp4d", broken, tmp_path / "o", max_broken=1, **QUIET)
    for path in broken.glob("Sequences*/*/*/*.jpg"):
        path.unlink()
    with pytest.raises(UserError, match=r"c: no usable frame \(no image 9\d"):
        prepare("bp4d", broken, tmp_path / "o", **QUIET)
    assert not (tmp_path / "o").exists() and not (tmp_path / "o.partial").exists()


def test_an_existing_folder_is_kept_unless_it_is_to_be_replaced(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "o"
    out.mkdir()
    prepare("bp4d", root, out, folds=(1,), **QUIET)  # empty: fine
    (out / "mine.txt").write_text("x")
    with pytest.raises(UserError, match="o: not empty"):
        prepare("bp4d", root, out, folds=(2,), **QUIET)
    assert (out / "mine.txt").exists()
    with pytest.raises(UserError, match="no such folder"):
        prepare("bp4d", tmp_path / "none", out, overwrite=True, **QUIET)
    assert (out / "mine.txt").exists()
    prepare("bp4d", root, out, folds=(2,), overwrite=True, **QUIET)
    assert sorted(path.name for path in out.iterdir()) == ["fold2", "folds.csv", "summary.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["o"]


def test_the_data_set_itself_is_never_replaced(root: Path) -> None:
    for out in (root, root.parent):
        with pytest.raises(UserError, match="which is an input; choose another"):
            prepare("bp4d", root, out, overwrite=True, **QUIET)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"folds": ()}, "name at least one"),
        ({"folds": (1, 1)}, "each once"),
        ({"folds": (4,)}, "fold 4: there are 3 folds"),
        ({"format": "gif"}, "'gif': choose one of jpg, png"),
        ({"unsampled": "drop"}, "'drop': choose one of mask, keep"),
        ({"positives": -1}, "positives -1: give 0 or more"),
        ({"positives": 0, "negatives": 0}, "there would be no training frames"),
        ({"size": 3}, "size of the faces 3: give 16 to 4096"),
        ({"val_share": 1.5}, "validation share 1.5"),
        ({"max_broken": 2}, "share of broken images"),
    ],
)
def test_wrong_options_are_refused(root: Path, tmp_path: Path, options: dict[str, Any], said: str) -> None:
    def dataclass_of(kind: Any, names: set[str]) -> Any:
        return kind(**{name: value for name, value in options.items() if name in names})

    samplings, encodings = {"unsampled", "positives", "negatives", "val_share"}, {"format", "size"}
    others = {name: value for name, value in options.items() if name not in samplings | encodings}
    with pytest.raises(UserError, match=said):
        prepare(
            "bp4d",
            root,
            tmp_path / "o",
            sampling=dataclass_of(Sampling, samplings),
            encoding=dataclass_of(Encoding, encodings),
            **others,
            **QUIET,
        )
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_the_way(root: Path, tmp_path: Path) -> None:
    (tmp_path / "o").write_text("x")
    with pytest.raises(UserError, match="there is a file of this name"):
        prepare("bp4d", root, tmp_path / "o", **QUIET)
    with pytest.raises(UserError, match=r"cannot be written \(Not a directory: .*/o\)"):
        prepare("bp4d", root, tmp_path / "o" / "deeper", **QUIET)


FULL = """
import importlib, resource, sys
from drml.data import prepare
from drml.io.errors import UserError
from drml.report.data import data_section
from drml.report.origin import _commands
module = importlib.import_module(f"drml.data.{sys.argv[3]}")
stage = getattr(module, sys.argv[4])
def full(*args, **options):
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
    return stage(*args, **options)
setattr(module, sys.argv[4], full)
try:
    prepare.prepare("bp4d", sys.argv[1], sys.argv[2], jobs=1, progress=False)
except UserError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize(
    ("stage", "where"),
    [
        ("prepared_folder register_all", "o: "),
        ("prepared_folder write_fold", "fold1/mean.binaryproto: "),
        ("fold_writer write_split", "fold1/train_lmdb: "),
    ],
)
def test_a_full_disk_is_said_and_nothing_is_left(root: Path, tmp_path: Path, stage: str, where: str) -> None:
    # A limit on the size of files fails a write as a full disk does. It needs a process of its own.
    command = [sys.executable, "-c", FULL, str(root), str(tmp_path / "o"), *stage.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert str(tmp_path / "o") in done.stdout and f"{where}cannot be written (" in done.stdout
    assert list(tmp_path.iterdir()) == []


INTERRUPTED = """
import sys
from drml.data import prepare, prepared_folder
def slow(*args, **options):
    print("writing", flush=True)
    import time
    time.sleep(30)
if __name__ == "__main__":
    prepared_folder.write_fold = slow
    prepare.prepare("bp4d", sys.argv[1], sys.argv[2], jobs=2, progress=False)
"""


def test_an_interrupt_leaves_nothing(root: Path, tmp_path: Path) -> None:
    script = tmp_path / "run.py"
    script.write_text(INTERRUPTED)
    out = tmp_path / "new" / "o"
    command = [sys.executable, str(script), str(root), str(out)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        assert list((tmp_path / "new").glob("o.partial-*"))
        process.send_signal(signal.SIGINT)
        assert process.wait(20) != 0
    assert not (tmp_path / "new").exists()


def test_the_synthetic_set_is_prepared_as_the_real_one(tmp_path: Path) -> None:
    write_bp4d(tmp_path / "BP4D", subjects=6, tasks=1, frames=6, size=120, jobs=1, progress=False)
    summary = prepare("bp4d", tmp_path / "BP4D", tmp_path / "o", **QUIET)
    assert summary["synthetic"] and (tmp_path / "o" / "synthetic.json").is_file()
    assert not summary["broken"] and not summary["converted"]
    assert summary["images"] >= 24
    for path in (tmp_path / "o").glob("fold*/*_lmdb"):
        verify(path)


def test_an_empty_folder_behind_a_link_is_filled(root: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    prepare("bp4d", root, tmp_path / "link", folds=(1,), **QUIET)
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in (tmp_path / "disk").iterdir()) == [
        "fold1",
        "folds.csv",
        "summary.json",
    ]


def test_folders_that_cannot_be_made_anew(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (".", "..", "/"):
        with pytest.raises(UserError, match="name a folder that is to be made"):
            prepare("bp4d", root, name, overwrite=True, **QUIET)


def test_remains_of_a_killed_run_are_cleared(root: Path, tmp_path: Path) -> None:
    remains = tmp_path / "o.partial-0123456789ab" / "fold1"
    remains.mkdir(parents=True)
    prepare("bp4d", root, tmp_path / "o", folds=(2,), **QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["o"]
    assert not (tmp_path / "o" / "fold1").exists()
