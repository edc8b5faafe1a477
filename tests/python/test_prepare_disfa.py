"""DISFA through `prepare`: from videos to verified databases, frame by frame the right one."""

from __future__ import annotations

import csv
import json
import multiprocessing
import shlex
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

import disfa_factory as factory
from drml import cli
from drml.data import registration
from drml.data.lmdb import read_lmdb
from drml.data.prepare import Sampling, prepare
from drml.data.readers import Record, Scan, disfa
from drml.data.readers.exclude import exclude, find_list, read_ranges
from drml.data.readers.fold_lists import shipped_list
from drml.data.readers.kinds import DATA_SETS
from drml.data.register_faces import CHUNK
from drml.data.verify import verify
from drml.io.errors import UserError
from drml.report.data import data_section
from drml.report.origin import _commands

QUIET: dict[str, Any] = {"jobs": 1, "progress": False, "intensity": 3}
FRAMES = CHUNK + 8  # two portions of each video
SPLITS = ("train", "val", "test")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return factory.write_set(tmp_path_factory.mktemp("set") / "DISFA", FRAMES)


@pytest.fixture(scope="module")
def prepared(root: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    out = tmp_path_factory.mktemp("out") / "disfa"
    sampling = Sampling(positives=2, negatives=1, unsampled="keep")
    return out, prepare("disfa", root, out, sampling=sampling, **QUIET)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def faces(lmdb: Path) -> Iterator[tuple[str, np.ndarray, tuple[int, ...]]]:
    for key, data, labels in read_lmdb(lmdb):
        yield key, cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), tuple(labels)


def check_numbers(root: Path, lmdb: Path) -> int:
    """Check that each face is of the frame that its key names, cut out by that frame's landmarks."""
    records = {record.key: record for record in disfa.read(root).records}
    count = 0
    for key, face, labels in faces(lmdb):
        record = records[key[9:]]
        matrix = registration.transform(factory.landmarks(record.subject, record.frame)[17:])
        assert factory.number_in(face, matrix) == record.frame == int(key[-4:])
        assert labels == tuple(record.labels.tolist())
        count += 1
    return count


def test_the_folder_holds_what_it_holds_for_bp4d(prepared: tuple[Path, dict[str, Any]]) -> None:
    out, summary = prepared
    names = sorted(str(path.relative_to(out)) for path in out.rglob("*") if path.is_file())
    expected = ["folds.csv", "summary.json"]
    for fold in (1, 2, 3):
        expected += [f"fold{fold}/mean.binaryproto", f"fold{fold}/recipe.prototxt"]
        expected += [f"fold{fold}/{split}.csv" for split in SPLITS]
        expected += [f"fold{fold}/{split}_lmdb/data.mdb" for split in SPLITS]
        expected += [f"fold{fold}/{split}_landmarks.npz" for split in SPLITS]
    assert names == sorted(expected)
    assert json.loads((out / "summary.json").read_text()) == summary
    assert summary["kind"] == "disfa" and summary["aus"] == [1, 2, 4, 6, 9, 12, 25, 26]
    options = summary["options"]
    assert (options["intensity"], options["camera"], options["positives"]) == (3, "left", 2)
    assert summary["images"] == len(factory.SUBJECTS) * FRAMES and not summary["skipped"]
    for path in out.glob("fold*/*_lmdb"):
        assert verify(path)["records"] == summary["folds"][path.parent.name[4:]][path.name[:-5]]["images"]


def test_every_face_is_of_the_frame_that_its_key_names(
    root: Path, prepared: tuple[Path, dict[str, Any]]
) -> None:
    out, summary = prepared
    checked = sum(check_numbers(root, out / f"fold{fold}/test_lmdb") for fold in (1, 2, 3))
    assert checked == summary["images"]
    assert check_numbers(root, out / "fold1/train_lmdb") == summary["folds"]["1"]["train"]["images"]


def test_processes_and_sampled_frames_change_nothing(
    root: Path, prepared: tuple[Path, dict[str, Any]], tmp_path: Path
) -> None:
    out, summary = prepared
    # One fold alone needs a part of the training subjects' frames only: frames are passed over.
    again = prepare(
        "disfa",
        root,
        tmp_path / "o",
        folds=(2,),
        **{**QUIET, "jobs": 3},
        sampling=Sampling(positives=2, negatives=1, unsampled="keep"),
    )
    assert again["images"] < summary["images"]
    for name in ("train", "val", "test"):
        one, two = (list(read_lmdb(place / f"fold2/{name}_lmdb")) for place in (out, tmp_path / "o"))
        assert one == two
    mean = "fold2/mean.binaryproto"
    assert (out / mean).read_bytes() == (tmp_path / "o" / mean).read_bytes()


def test_subjects_are_in_one_split_and_tested_once(prepared: tuple[Path, dict[str, Any]]) -> None:
    out, _ = prepared
    tested: Counter[str] = Counter()
    for fold in (1, 2, 3):
        of = {split: {row["subject"] for row in rows(out / f"fold{fold}/{split}.csv")} for split in SPLITS}
        assert of["test"] == set(factory.SUBJECTS) & set(shipped_list("disfa").parts[fold - 1])
        assert sorted([*of["train"], *of["val"], *of["test"]]) == sorted(factory.SUBJECTS)
        tested.update(of["test"])
    assert set(tested.values()) == {1}


def test_manifests_name_the_place_in_the_video(root: Path, prepared: tuple[Path, dict[str, Any]]) -> None:
    row = rows(prepared[0] / "fold1/test.csv")[4]
    video = "Videos_LeftCamera/LeftVideoSN001_comp.avi"
    assert (root / video).is_file()
    assert row["key"] == "00000004_SN001_0005" and row["source"] == f"{video}#4"
    assert (row["subject"], row["task"], row["frame"]) == ("SN001", "", "5")


def test_sampling_is_the_papers_and_of_training_data_alone(root: Path, tmp_path: Path) -> None:
    summary = prepare("disfa", root, tmp_path / "o", folds=(1,), **QUIET)
    assert (summary["options"]["positives"], summary["options"]["negatives"]) == (800, 1600)
    few = prepare(
        "disfa",
        root,
        tmp_path / "few",
        folds=(1,),
        sampling=Sampling(positives=1, negatives=2),
        **QUIET,
    )
    for split in ("val", "test"):
        assert few["folds"]["1"][split] == summary["folds"]["1"][split]
    drawn = Counter(
        (key[9:14], column, label)
        for key, _, labels in read_lmdb(tmp_path / "few/fold1/train_lmdb")
        for column, label in enumerate(labels)
        if label
    )
    assert set(drawn.values()) == {1, 2}
    assert all(count == (1 if label == 1 else 2) for (_, _, label), count in drawn.items())


def test_the_lowest_intensity_changes_base_rates(root: Path, tmp_path: Path) -> None:
    rates = {}
    for intensity in (2, 3):
        summary = prepare(
            "disfa", root, tmp_path / str(intensity), folds=(1,), **{**QUIET, "intensity": intensity}
        )
        rates[intensity] = summary["folds"]["1"]["test"]["base_rate"]
    # Intensities 0 to 5 are equally frequent: four or three of six count.
    assert np.mean(list(rates[2].values())) == pytest.approx(4 / 6, abs=0.05)
    assert np.mean(list(rates[3].values())) == pytest.approx(3 / 6, abs=0.05)


def test_labels_of_aus_that_disfa_does_not_code_are_unknown(root: Path, tmp_path: Path) -> None:
    summary = prepare("disfa", root, tmp_path / "o", folds=(1,), aus=(1, 7, 12), **QUIET)
    assert summary["folds"]["1"]["test"]["known"]["AU7"] == 0
    assert summary["folds"]["1"]["test"]["base_rate"]["AU7"] is None
    assert verify(tmp_path / "o/fold1/test_lmdb")["unknown"]["AU7"] > 0


@pytest.fixture
def spoilt(root: Path, tmp_path: Path) -> Path:
    """A copy of the set that a test may spoil."""
    return shutil.copytree(root, tmp_path / "DISFA")


def test_a_video_that_lost_frames_stops_the_run(spoilt: Path, tmp_path: Path) -> None:
    path = spoilt / "Videos_LeftCamera/LeftVideoSN002_comp.avi"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    for jobs in (1, 2):
        with pytest.raises(UserError, match=r"LeftVideoSN002_comp\.avi: \d+ frames can be decoded, its head"):
            prepare("disfa", spoilt, tmp_path / "o", max_broken=1, **{**QUIET, "jobs": jobs})
        # Nobody works on, and no thread is left that could hang the process at its end.
        assert not multiprocessing.active_children()
        assert not [one for one in threading.enumerate() if "ExecutorManager" in type(one).__name__]
    assert not (tmp_path / "o").exists() and not (tmp_path / "o.partial").exists()


def test_a_frame_that_is_damaged_is_skipped_and_named(
    spoilt: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = spoilt / "Videos_LeftCamera/LeftVideoSN001_comp.avi"
    data = bytearray(path.read_bytes())
    at = data.index(b"00dc", data.index(b"movi"))
    for _ in range(5):
        at = data.index(b"00dc", at + 4)
    length = int.from_bytes(data[at + 4 : at + 8], "little")
    data[at + 8 : at + 8 + length] = bytes(length)
    path.write_bytes(data)
    summary = prepare("disfa", spoilt, tmp_path / "o", folds=(1,), **QUIET)
    assert summary["broken"] == [{"image": f"{path}#5", "fault": "the frame cannot be decoded (damaged)"}]
    assert f"skipped: {path}#5: the frame cannot be decoded" in capsys.readouterr().err
    assert check_numbers(spoilt, tmp_path / "o/fold1/test_lmdb") == 2 * FRAMES - 1


def test_what_a_set_lacks_is_in_the_summary(spoilt: Path, tmp_path: Path) -> None:
    (spoilt / "ActionUnit_Labels/SN001/SN001_au9.txt").unlink()
    (spoilt / "Landmark_Points/SN001/tmp_frame_lm/SN001_0002_lm.mat").unlink()
    summary = prepare("disfa", spoilt, tmp_path / "o", folds=(1,), **QUIET)
    assert summary["incomplete"] == {"no label of AU9": FRAMES}
    assert summary["skipped"] == {"no landmarks": 1}
    assert summary["frames"] == len(factory.SUBJECTS) * FRAMES
    page = data_section(summary).body
    assert (
        "from 3 on present (+1)" in page
        and "Folds: DISFA in three folds (3 folds; folds.csv, SHA-256" in page
    )
    assert "Frames kept with an unknown label" in page and "no label of AU9" in page


def test_the_report_tells_the_command_with_what_is_disfas_alone(
    prepared: tuple[Path, dict[str, Any]],
) -> None:
    scores = {"model": "m", "folds": [], "options": {}}
    command = _commands(scores, prepared[1], None, "o")[0]
    assert " prepare disfa " in command and "--intensity 3 --camera left" in command
    arguments = command.split()[1:]
    assert cli.build_parser().parse_args(arguments).intensity == 3


def test_frames_known_to_be_bad_are_left_out(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = tmp_path / "bad frames.csv"
    listed.write_text(
        "\ufeffvideo,first,last\nSN001,2,3\n\nSN001,3,4\nSN002,7,7\nSN099,1,9\n", encoding="utf-8"
    )
    arguments = ["prepare", "disfa", str(root), str(tmp_path / "o"), "--folds", "1", "-q", "--jobs", "1"]
    arguments += ["--intensity", "3"]
    assert cli.main([*arguments, "--exclude", str(listed)]) == 0
    summary = json.loads((tmp_path / "o/summary.json").read_text())
    assert summary["skipped"] == {"excluded by the list": 4}
    keys = {row["key"][9:] for row in rows(tmp_path / "o/fold1/test.csv")}
    left_out = {"SN001_0002", "SN001_0003", "SN001_0004", "SN002_0007"}
    assert not keys & left_out and {"SN001_0001", "SN001_0005", "SN002_0006"} <= keys
    assert (
        f"--exclude {shlex.quote(str(listed))}"
        in _commands({"model": "m", "folds": [], "options": {}}, summary, None, tmp_path / "o")[0]
    )
    for text, said in (
        ("video,first,last\nSN001,3\n", "line 2: 'SN001,3'; give video,first,last"),
        ("video,first,last\nSN001,3,-4\n", "line 2: 'SN001,3,-4'"),
        ("video,first,last\nSN001,3,2\n", "line 2: last frame 2 is before the first, 3"),
        ("SN001,3,4\n", "not a list of frames; its first line is video,first,last"),
        ("video,first,last\nsn001,3,4\n", "the data have none of these frames; videos are named like SN001"),
        ("\xff", "is not text in UTF-8"),
    ):
        listed.write_text(text, encoding="latin-1")
        assert cli.main([*arguments, "--exclude", str(listed), "--overwrite"]) == 1
        assert said in capsys.readouterr().err
    assert cli.main([*arguments, "--exclude", str(tmp_path / "none"), "--overwrite"]) == 1
    assert "none: no such file; give a CSV" in capsys.readouterr().err


def test_the_known_faults_of_disfa_are_a_list_that_comes_along(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = find_list("known", DATA_SETS["disfa"].known_faults)
    ranges = read_ranges(listed)
    assert all(1 <= one.start < one.stop <= 4846 for videos in ranges.values() for one in videos)
    assert ranges.keys() <= shipped_list("disfa").subjects and len(ranges) == 13
    assert sum(len(one) for videos in ranges.values() for one in videos) == 4670
    assert find_list("/data/known", None) == Path("/data/known")
    arguments = ["prepare", "disfa", str(root), str(tmp_path / "o"), "--folds", "1", "-q", "--jobs", "1"]
    # These subjects are so short that they have none of the frames, which is no error of the user's.
    assert cli.main([*arguments, "--intensity", "3", "--exclude", "known"]) == 0
    summary = json.loads((tmp_path / "o/summary.json").read_text())
    assert summary["options"]["exclude"] == "known" and not summary["skipped"]
    arguments[1] = "bp4d"
    with pytest.raises(SystemExit, match="2"):
        cli.main([*arguments, "--exclude", "known"])
    assert "exclude known: no faults of this data set are known" in capsys.readouterr().err


def test_frames_of_the_known_list_are_left_out() -> None:
    scan, labels = Scan((1,)), np.ones(1, np.int8)
    for video, frame in (("SN002", 799), ("SN002", 800), ("SN002", 826), ("SN002", 827), ("SN003", 810)):
        scan.records.append(Record(f"{video}_{frame:04d}", Path("x"), video, "", frame, labels, None))
    exclude(scan, find_list("known", "disfa_known.csv"))
    assert [one.key for one in scan.records] == ["SN002_0799", "SN002_0827", "SN003_0810"]


def test_kinds_are_known() -> None:
    with pytest.raises(UserError, match="data set 'mmi': choose one of bp4d, bp4dplus, disfa"):
        prepare("mmi", "a", "b")


def test_real_data_need_the_intensity_from_which_an_au_counts(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "o"
    with pytest.raises(SystemExit) as ended:
        cli.main(["prepare", "disfa", str(root), str(out), "-q"])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert "intensity is not given (--intensity): intensities are coded from 0 to 5." in said
    assert "Give 2 or 3" in said and not out.exists()
    # A folder that does not exist is the first thing to say.
    assert cli.main(["prepare", "disfa", str(tmp_path / "none"), str(out), "-q"]) == 1
    assert "none" in capsys.readouterr().err
