"""Intensities as labels: read, sampled per level, prepared, verified and loaded."""

from __future__ import annotations

import csv
import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import bp4d_factory
import disfa_factory
from drml.cli import main
from drml.data.labels import DISFA_CODED_AUS
from drml.data.lmdb import read_lmdb, write_lmdb
from drml.data.manifest import read_columns, read_manifest
from drml.data.prepare import Sampling, prepare
from drml.data.readers.kinds import DATA_SETS
from drml.data.readers.targets import read_target
from drml.data.recipe_text import read_data_recipe
from drml.data.sampling import count_drawn, draw_video, training_labels
from drml.data.split import load_split, open_split
from drml.data.verify import verify
from drml.io.errors import UsageError, UserError

QUIET: dict[str, Any] = {"jobs": 1, "progress": False, "audit": "off"}
LEVEL_AUS = (6, 10, 12, 14, 17)
FRAMES = 12


def level_of(video: str, au: int, frame: int) -> int:
    """The intensity that the copy of BP4D codes: any of 0 to 5, or 9."""
    return int(bp4d_factory.rng_of("level", video, au, frame).choice([0, 1, 2, 3, 4, 5, 9]))


@pytest.fixture(scope="module")
def bp4d(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = bp4d_factory.write_set(tmp_path_factory.mktemp("set") / "BP4D", frames=FRAMES)
    for subject in bp4d_factory.SUBJECTS:
        for au in LEVEL_AUS:
            path = root / "AUCoding" / "AU_INT" / f"AU{au:02d}" / f"{subject}_T1_AU{au:02d}.csv"
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = (f"{frame},{level_of(f'{subject}_T1', au, frame)}\n" for frame in range(1, FRAMES + 1))
            path.write_text("".join(lines))
    return root


@pytest.fixture(scope="module")
def disfa(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disfa_factory.write_set(tmp_path_factory.mktemp("set") / "DISFA", 12)


@pytest.fixture(scope="module")
def both(bp4d: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("out") / "both"
    return out, prepare("bp4d", bp4d, out, target="both", sampling=Sampling(all_frames=True), **QUIET)


def test_bp4d_with_both_has_what_each_of_its_files_codes(
    bp4d: Path, both: tuple[Path, dict[str, Any]]
) -> None:
    out, summary = both
    assert summary["aus"] == list(bp4d_factory.BP4D_AUS) and summary["intensity_aus"] == list(LEVEL_AUS)
    assert summary["options"]["target"] == "both"
    seen = 0
    for fold in (1, 2, 3):
        for split in ("train", "val", "test"):
            lmdb = out / f"fold{fold}" / f"{split}_lmdb"
            counted = verify(lmdb, size=200)
            manifest = read_manifest(out / f"fold{fold}" / f"{split}.csv")
            assert (manifest.aus, manifest.intensity_aus) == (bp4d_factory.BP4D_AUS, LEVEL_AUS)
            levels: dict[str, Counter[int]] = {f"AU{au}_r": Counter() for au in LEVEL_AUS}
            for item in read_lmdb(lmdb):
                subject, task, frame = item.key.split("_")[1:]
                codes = bp4d_factory.codes(f"{subject}_{task}", frames=FRAMES)[int(frame) - 1]
                for at, au in enumerate(bp4d_factory.BP4D_AUS):
                    code = codes[bp4d_factory.CODED_AUS.index(au)]
                    assert item.labels[at] == {0: -1, 1: 1, 9: 0}[int(code)]
                for at, au in enumerate(LEVEL_AUS, len(bp4d_factory.BP4D_AUS)):
                    assert item.labels[at] == level_of(f"{subject}_{task}", au, int(frame))
                    levels[f"AU{au}_r"][item.labels[at]] += 1
                seen += 1
            for name, counts in levels.items():
                assert counted["levels"][name] == {level: counts[level] for level in (0, 1, 2, 3, 4, 5, 9)}
                described = summary["folds"][str(fold)][split]["levels"][name]
                assert described == {str(level): counts[level] for level in (0, 1, 2, 3, 4, 5, 9)}
    assert seen == 3 * 6 * FRAMES
    recipe = read_data_recipe(out / "fold1")
    assert recipe is not None and recipe.au == bp4d_factory.BP4D_AUS and recipe.intensity_au == LEVEL_AUS
    assert recipe.labels is not None and "occurrence codes" in recipe.labels
    assert "0 absent to 5 maximum" in recipe.labels


def test_each_kind_of_label_is_loaded_by_name(both: tuple[Path, dict[str, Any]]) -> None:
    fold = both[0] / "fold1"
    X, occurrences, subjects = load_split(fold)
    X_again, levels, subjects_again = load_split(fold, target="intensity")
    assert (X_again == X).all() and (subjects == subjects_again).all()
    assert occurrences.shape == (len(X), 12) and set(np.unique(occurrences)) == {-1, 0, 1}
    assert levels.shape == (len(X), 5) and set(np.unique(levels)) == {0, 1, 2, 3, 4, 5, 9}
    with pytest.raises(UserError, match="choose one of occurrence, intensity"):
        load_split(fold, target="both")


def test_a_split_without_a_manifest_knows_its_columns_from_the_recipe(
    both: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    fold = both[0] / "fold1"
    moved = tmp_path / "test_lmdb"
    write_lmdb(moved, read_lmdb(fold / "test_lmdb"))
    (tmp_path / "recipe.prototxt").write_text((fold / "recipe.prototxt").read_text())
    assert open_split(moved).manifest is None and open_split(moved).intensity_aus == LEVEL_AUS
    assert (load_split(moved, target="intensity")[1] == load_split(fold, target="intensity")[1]).all()


def test_a_frame_that_one_coding_lacks_is_unknown_there(bp4d: Path, tmp_path: Path) -> None:
    for path in bp4d.rglob("*"):
        target = tmp_path / path.relative_to(bp4d)
        if path.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    occurrences = tmp_path / "AUCoding" / "AU_OCC" / "F001_T1.csv"
    lines = occurrences.read_text().splitlines(keepends=True)
    occurrences.write_text("".join(lines[:1] + lines[3:]))  # frames 1 and 2
    for au in LEVEL_AUS:
        path = tmp_path / "AUCoding" / "AU_INT" / f"AU{au:02d}" / f"F001_T1_AU{au:02d}.csv"
        path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))  # frame 12
    scan = read_target(DATA_SETS["bp4d"], tmp_path, "both")
    labels = {record.frame: record.labels for record in scan.records if record.subject == "F001"}
    assert sorted(labels) == list(range(1, 13))
    assert (labels[1][:12] == 0).all() and (labels[1][12:] != 9).any()
    assert (labels[12][12:] == 9).all() and (labels[12][:12] != 0).any()
    keys = [record.key for record in scan.records]
    assert keys == sorted(keys)


def test_disfa_codes_twelve_aus(disfa: Path, tmp_path: Path) -> None:
    # No threshold is asked for: nothing counts as present.
    summary = prepare("disfa", disfa, tmp_path / "out", target="intensity", **QUIET)
    assert summary["aus"] == [] and tuple(summary["intensity_aus"]) == DISFA_CODED_AUS
    assert "intensity" not in summary["options"]
    assert read_columns(tmp_path / "out" / "fold1" / "test.csv") == ((), DISFA_CODED_AUS)
    for item in read_lmdb(tmp_path / "out" / "fold1" / "test_lmdb"):
        subject, frame = item.key.split("_")[1:]
        for au, level in zip(DISFA_CODED_AUS, item.labels, strict=True):
            coded = au in disfa_factory.AUS
            assert level == (disfa_factory.intensities(subject, au, 12)[int(frame) - 1] if coded else 9)
    with pytest.raises(UserError, match="its labels are intensities, not occurrences"):
        load_split(tmp_path / "out" / "fold1")


def test_occurrences_and_intensities_of_disfa_agree(disfa: Path) -> None:
    scan = read_target(DATA_SETS["disfa"], disfa, "both", aus=(1, 12, 25), intensity=2)
    assert scan.aus == scan.intensity_aus == (1, 12, 25)
    labels = np.stack([record.labels for record in scan.records])
    assert ((labels[:, :3] == 1) == (labels[:, 3:] >= 2)).all() and (labels[:, 3:] >= 2).any()


@pytest.mark.parametrize("unsampled", ["mask", "keep"])
def test_training_frames_are_drawn_per_level(both: Any, bp4d: Path, tmp_path: Path, unsampled: str) -> None:
    sampling = Sampling(positives=1, negatives=2, unsampled=unsampled, val_share=0)
    summary = prepare(
        "bp4d", bp4d, tmp_path / "out", target="intensity", folds=[1], sampling=sampling, **QUIET
    )
    manifest = read_manifest(tmp_path / "out" / "fold1" / "train.csv")
    drawn = summary["folds"]["1"]["train"]["sampling"]["levels"]
    recipe = read_data_recipe(tmp_path / "out" / "fold1")
    assert recipe is not None and recipe.data.sampling is not None
    assert "up to 1 of each level from 1 to 5 and up to 2 of level 0;" in recipe.data.sampling
    for column, au in enumerate(LEVEL_AUS):
        for subject in ("F003", "F005", "F004", "F006"):
            video = f"{subject}_T1"
            there = Counter(level_of(video, au, frame) for frame in range(1, FRAMES + 1))
            kept = Counter(row.labels[column] for row in manifest.rows.values() if row.subject == subject)
            for level in range(6):
                wanted = min(there[level], 1 if level else 2)
                if unsampled == "mask":
                    assert kept[level] == wanted, (subject, au, level)
                else:
                    assert kept[level] >= wanted
        total = Counter(
            level_of(f"{subject}_T1", au, frame)
            for subject in ("F003", "F005", "F004", "F006")
            for frame in range(1, FRAMES + 1)
        )
        assert {level: one["of"] for level, one in drawn[f"AU{au}_r"].items()} == {
            str(level): total[level] for level in range(6)
        }


def test_the_draw_of_levels() -> None:
    labels = np.array([[1, 0], [-1, 5], [1, 5], [0, 9], [-1, 3]], np.int8)
    drawn = draw_video(labels, "v", (12,), positives=1, negatives=1, intensity_aus=(12,))
    assert drawn[:, 0].sum() == 2 and drawn[:, 1].sum() == 3  # of 0, 3 and 5 one each
    assert drawn[[0, 4], 1].all() and not drawn[3].any() and drawn[[1, 2], 1].sum() == 1
    # The draw of an occurrence does not depend on the intensities beside it.
    alone = draw_video(labels[:, :1], "v", (12,), positives=1, negatives=1)
    assert (alone == drawn[:, :1]).all()
    masked = training_labels(labels, drawn, intensities=1)
    assert (masked[~drawn[:, 0], 0] == 0).all() and (masked[~drawn[:, 1], 1] == 9).all()
    assert (masked[drawn] == labels[drawn]).all()
    counts = count_drawn(labels, drawn, (12,), (12,))
    assert counts["levels"]["AU12_r"]["5"] == {"drawn": 1, "of": 2, "share": 0.5}
    assert counts["labels"]["of"] == 8


def write_list(folder: Path, rows: list[list[str]], header: list[str]) -> Path:
    for index in range(len(rows)):
        cv2.imwrite(str(folder / f"{index}.png"), np.full((200, 200, 3), 40 + 9 * index, np.uint8))
    with (folder / "faces.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["path", "subject", *header])
        writer.writerows([f"{index}.png", f"s{index % 6}", *row] for index, row in enumerate(rows))
    return folder / "faces.csv"


def test_a_list_of_own_images_has_columns_of_both(tmp_path: Path) -> None:
    rows = [["1", "-1", str(index % 6), "" if index % 4 else "9"] for index in range(12)]
    path = write_list(tmp_path, rows, ["AU6", "AU12", "AU06_r", "AU25_r"])
    source = DATA_SETS["images"]
    scan = read_target(source, path, "both")
    assert (scan.aus, scan.intensity_aus) == ((6, 12), (6, 25))
    for record in scan.records:
        index = int(Path(str(record.image)).stem)
        assert record.labels.tolist() == [1, -1, index % 6, 9]
    assert read_target(source, path, "intensity", aus=(6,)).intensity_aus == (6,)
    assert read_target(source, path, "occurrence").intensity_aus == ()
    with pytest.raises(UserError, match="no column for AU 12"):
        read_target(source, path, "intensity", aus=(12,))


@pytest.mark.parametrize("cell", ["6", "-1", "2.5", "x", "10"])
def test_a_cell_that_is_no_intensity_is_named(tmp_path: Path, cell: str) -> None:
    path = write_list(tmp_path, [["3"], [cell]], ["AU6_r"])
    with pytest.raises(
        UserError, match=r"line 3: AU6_r: '.*' is not an intensity, a whole number from 0 to 5"
    ):
        read_target(DATA_SETS["images"], path, "intensity")


def test_a_list_without_intensities_says_how_they_are_named(tmp_path: Path) -> None:
    path = write_list(tmp_path, [["1"], ["-1"]], ["AU6"])
    with pytest.raises(UserError, match="no column of an intensity of an AU; they are named AU1_r, AU2_r"):
        read_target(DATA_SETS["images"], path, "intensity")


def test_wrong_targets_are_wrong_usage(bp4d: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    for options, message in (
        ({"target": "levels"}, "choose one of occurrence, intensity, both"),
        ({"target": "intensity", "aus": (1, 2)}, "intensities of the AUs 6,10,12,14,17 alone"),
        ({"target": "intensity", "aus": (6, 1)}, "give --aus 6,10,12,14,17"),
        ({"target": "both", "aus": (1, 2)}, "intensities of the AUs 6,10,12,14,17 alone"),
        ({"target": "intensity", "intensity": 2}, "nothing counts as present there"),
    ):
        with pytest.raises(UsageError, match=message):
            prepare("bp4d", bp4d, out, **options, **QUIET)
    with pytest.raises(SystemExit) as ended:
        main(["prepare", "bp4d", str(bp4d), str(out), "--target", "intensity", "--intensity", "2"])
    assert ended.value.code == 2 and "nothing counts as present" in capsys.readouterr().err
    assert not out.exists()
    scan = read_target(DATA_SETS["bp4d"], bp4d, "both", aus=(1, 6, 12))
    assert (scan.aus, scan.intensity_aus) == ((1, 6, 12), (6, 12))


def test_the_command(bp4d: Path, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    command = ["prepare", "bp4d", str(bp4d), str(out), "--target", "intensity", "--folds", "1", "--json"]
    assert main([*command, "--jobs", "1", "--audit", "off"]) == 0
    assert json.loads(capsys.readouterr().out)["intensity_aus"] == list(LEVEL_AUS)
    assert main(["verify", str(out / "fold1" / "test_lmdb"), "--json"]) == 0
    assert set(json.loads(capsys.readouterr().out)["levels"]) == {f"AU{au}_r" for au in LEVEL_AUS}


@pytest.mark.parametrize(
    ("labels", "fault"),
    [((6,), "intensity 6 for AU6_r"), ((-1,), "intensity -1"), ((2,), "label 2 for AU6_r")],
)
def test_verify_finds_intensities_that_are_none(tmp_path: Path, labels: tuple[int, ...], fault: str) -> None:
    image = cv2.imencode(".png", np.zeros((200, 200, 3), np.uint8))[1].tobytes()
    write_lmdb(tmp_path / "test_lmdb", [("a", image, labels)])
    (tmp_path / "test.csv").write_text("key,source,subject,task,frame,AU6_r\na,a.png,s,,1,3\n")
    with pytest.raises(UserError, match=fault):
        verify(tmp_path / "test_lmdb")


@pytest.mark.parametrize(
    ("header", "cells", "fault"),
    [
        ("AU6_r,AU1", "3,1", "a column of occurrences follows one of intensities"),
        ("AU6_r,AU6_r", "3,1", "an AU has two columns"),
        ("AU6_x", "3", "not a manifest"),
        ("AU1,AU6_r", "1,7", "'7' for AU6_r; intensities are 0 to 5, and 9"),
        ("AU1,AU6_r", "9,3", "'9' for AU1; labels are -1, 0 and 1"),
    ],
)
def test_damaged_manifests(tmp_path: Path, header: str, cells: str, fault: str) -> None:
    path = tmp_path / "test.csv"
    path.write_text(f"key,source,subject,task,frame,{header}\na,a.png,s,,1,{cells}\n")
    with pytest.raises(UserError, match=fault):
        read_manifest(path)
