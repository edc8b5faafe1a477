"""The audit of a copy: what is published, and constant offsets of landmarks, found and named."""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bp4d_factory
from drml import cli
from drml.data import audit_landmarks
from drml.data.audit_counts import audit_counts
from drml.data.audit_landmarks import compare_landmarks
from drml.data.audit_offsets import REACH, VideoSample, fit_coordinates, fit_lag, lag_costs
from drml.data.audit_table import Audit, AuditRow
from drml.data.find_points_task import PointTask
from drml.data.labels import BP4D_AUS, BP4D_BASE_RATES
from drml.data.landmark_check import LandmarkCheck, judge
from drml.data.readers import Record, Scan
from drml.data.readers.fold_lists import shipped_list
from drml.data.readers.kinds import DATA_SETS, recognise
from drml.data.readers.published import BP4D_PUBLISHED, DISFA_PUBLISHED
from drml.data.registration import REFERENCE, five_points
from drml.io.errors import UserError
from drml.synth import write_bp4d
from drml.synth.mat_writer import write_fit

EYES = float(np.linalg.norm(five_points(REFERENCE)[1] - five_points(REFERENCE)[0]))


# --- counts ---------------------------------------------------------------------------------------------


BP4D_FOLDS, DISFA_FOLDS = (shipped_list(name).parts for name in ("bp4d", "disfa"))
FOLDS = tuple(frames // 100 for frames in BP4D_PUBLISHED.fold_frames)
SMALL = dataclasses.replace(
    DATA_SETS["bp4d"], published=dataclasses.replace(BP4D_PUBLISHED, frames=sum(FOLDS), fold_frames=FOLDS)
)
"""BP4D, with a hundredth of its frames."""


def bp4d_scan() -> Scan:
    """All of BP4D's videos with a hundredth of their frames."""
    scan = Scan(BP4D_AUS)
    for subjects, total in zip(BP4D_FOLDS, FOLDS, strict=True):
        videos = [f"{subject}_T{task}" for subject in sorted(subjects) for task in range(1, 9)]
        shares = np.diff(np.linspace(0, total, len(videos) + 1).round().astype(int))
        scan.coded.update(zip(videos, shares.tolist(), strict=True))
    present = {au: round(rate * sum(FOLDS)) for au, rate in BP4D_BASE_RATES.items()}
    for row in range(sum(FOLDS)):
        labels = np.array([1 if row < present[au] else -1 for au in BP4D_AUS], np.int8)
        scan.records.append(Record("F001_T1_0001", Path("x"), "F001", "T1", 1, labels, None))
    return scan


def verdicts(audit: Audit) -> dict[str, bool | None]:
    return {row.what: row.fits for row in audit.rows}


@pytest.fixture(scope="module")
def whole() -> Scan:
    return bp4d_scan()


def test_published_numbers_agree_with_each_other() -> None:
    assert sum(BP4D_PUBLISHED.fold_frames) == BP4D_PUBLISHED.frames
    assert sum(map(len, BP4D_FOLDS)) == BP4D_PUBLISHED.subjects == BP4D_PUBLISHED.videos // 8
    names = [name for fold in DISFA_FOLDS for name in fold]
    lengths = [DISFA_PUBLISHED.other_videos.get(name, DISFA_PUBLISHED.video_frames) for name in names]
    assert len(names) == DISFA_PUBLISHED.subjects == DISFA_PUBLISHED.videos
    assert sum(filter(None, lengths)) == DISFA_PUBLISHED.frames


def test_a_whole_copy_is_as_published(whole: Scan, tmp_path: Path) -> None:
    audit = audit_counts(SMALL, tmp_path, whole, {})
    assert audit.verdict == "as published" and not audit.differences
    found = verdicts(audit)
    assert found.pop("usable frames") is None and set(found.values()) == {True} and len(found) == 6 + 12
    assert re.search(r"^coded frames of fold 2 +501 +501  as expected$", audit.to_text(), re.M)


def test_what_is_missing_is_named(whole: Scan, tmp_path: Path) -> None:
    fewer = dataclasses.replace(whole, coded={v: n for v, n in whole.coded.items() if v[:4] != "F004"})
    audit = audit_counts(SMALL, tmp_path, fewer, {})
    found = verdicts(audit)
    assert [name for name, fits in found.items() if fits is False] == [
        *("subjects", "videos", "coded frames", "coded frames of fold 3")
    ]
    assert audit.differences[0] == "subjects 40, expected 41 (missing F004)"
    assert audit.verdict == "differs from what is published"
    # The same number of subjects, one of them not BP4D's: as in a copy of BP4D+.
    other = {v.replace("F004", "F082"): n for v, n in whole.coded.items()}
    audit = audit_counts(SMALL, tmp_path, dataclasses.replace(whole, coded=other), {})
    assert audit.differences[0] == "subjects 41, expected 41 (missing F004, unknown F082)"


def test_base_rates_of_other_labels_differ(whole: Scan, tmp_path: Path) -> None:
    swapped = np.arange(12)
    swapped[[0, 3]] = [3, 0]  # AU1 and AU6, as if columns were mistaken
    records = [dataclasses.replace(one, labels=one.labels[swapped]) for one in whole.records[::3]]
    scan = dataclasses.replace(whole, records=records * 3)
    audit = audit_counts(SMALL, tmp_path, scan, {})
    wrong = [name for name, fits in verdicts(audit).items() if fits is False]
    assert wrong == ["base rate of AU1", "base rate of AU6"]
    # With most frames missing, a rate says nothing.
    audit = audit_counts(SMALL, tmp_path, dataclasses.replace(whole, records=records), {})
    assert verdicts(audit)["base rate of AU1"] is None and "67% of the frames are missing" in audit.to_text()


def test_the_lengths_of_disfas_videos_are_known(tmp_path: Path) -> None:
    names = [name for fold in DISFA_FOLDS for name in fold]
    scan = Scan((1,), coded={name: 4845 - (name == "SN010") for name in names})
    source = DATA_SETS["disfa"]
    assert audit_counts(source, tmp_path, scan, {}).verdict == "as published"
    scan.coded |= {"SN010": 4845, "SN003": 4844}  # the sum is right
    (said,) = audit_counts(source, tmp_path, scan, {}).differences
    assert said.startswith("coded frames 130,814, expected 130,814 (")
    assert "SN010 has 4845" in said and "SN003 has 4844" in said


def test_lists_have_nothing_published(tmp_path: Path) -> None:
    scan = Scan((1, 12), skipped=Counter({"no known label": 2}))
    scan.records += [Record("a_b_1", Path("x"), "a_b", "", 1, np.array([1, 0], np.int8), None)] * 3
    audit = audit_counts(DATA_SETS["images"], tmp_path / "list.csv", scan, {})
    assert audit.verdict == "nothing is published about these data"
    assert audit.rows[0] == AuditRow("subjects", "", "1", None)
    assert [row.found for row in audit.rows[-2:]] == ["100.0%", "-"]
    json.dumps(audit.to_dict())


def test_a_mark_alone_records_nothing(whole: Scan, tmp_path: Path) -> None:
    (tmp_path / "synthetic.json").write_text('{"seed": 3}')
    audit = audit_counts(SMALL, tmp_path, whole, {})
    assert audit.drawn and audit.verdict == "nothing is recorded about these data"
    for text in (
        "3",
        '{"summary": {}}',
        '{"summary": {"subjects": 0, "videos": 1, "frames": 1, "rates": {}}}',
    ):
        (tmp_path / "synthetic.json").write_text(text)
        with pytest.raises(UserError, match=r"synthetic\.json: cannot be read as the note of drawn data"):
            audit_counts(SMALL, tmp_path, whole, {})


# --- landmarks, by numbers ------------------------------------------------------------------------------


def sample(
    video: str, *, lag: int = 0, speed: float = 0.01, noise: float = 0.015, seed: int = 0, points: int = 49
) -> VideoSample:
    """A face that drifts slowly, and a detector that errs by `noise` of the eye distance.

    The landmarks that a frame has are those of the frame `lag` before.
    """
    draw = np.random.default_rng([seed, *video.encode()])
    frames = 200
    path = np.cumsum(np.cumsum(draw.normal(0, 1, (frames, 2)), axis=0), axis=0)
    path -= np.linspace(0, 1, frames)[:, None] * path[-1]
    path *= speed * EYES / np.abs(np.diff(path, axis=0)).mean()
    like = five_points if points == 5 else np.asarray
    truth = REFERENCE + 300 + path[:, None]
    given = {frame + lag: truth[frame] for frame in range(frames)}
    chosen = list(range(20, 180, 13))
    bias = draw.normal(0, 0.02 * EYES, (points, 2))
    found = np.array(
        [like(truth[frame]) + bias + draw.normal(0, noise * EYES, (points, 2)) for frame in chosen]
    )
    return VideoSample(video, chosen, found, given, frozenset(chosen[:4]))


@pytest.mark.parametrize("points", [49, 5])
@pytest.mark.parametrize("lag", [0, 1, -1, 3, -4])
def test_an_offset_of_slowly_moving_faces_is_found(lag: int, points: int) -> None:
    """The face moves by 1% of the eye distance a frame, less than the detector errs."""
    costs = [lag_costs(sample(f"v{one}", lag=lag, points=points)) for one in range(10)]
    found = fit_lag([one for one in costs if one is not None])
    assert found is not None and found.frames == lag and found.certain == (lag != 0)


def test_faces_that_keep_still_have_no_offset() -> None:
    for seed in range(8):
        costs = [lag_costs(sample(f"v{one}", speed=0.0, seed=seed)) for one in range(6)]
        found = fit_lag([one for one in costs if one is not None])
        assert found is not None and not found.certain


def test_too_few_frames_give_no_offset() -> None:
    one = sample("v")
    assert lag_costs(dataclasses.replace(one, frames=one.frames[:7], found=one.found[:7])) is None
    ends = {frame: points for frame, points in one.given.items() if frame % 10}
    assert lag_costs(dataclasses.replace(one, given=ends)) is None
    assert fit_lag([]) is None


def test_scale_offset_and_mirroring_are_told_apart() -> None:
    draw = np.random.default_rng(5)
    given = five_points(REFERENCE) + draw.normal(0, 30, (50, 1, 2)) + draw.normal(0, 0.5, (50, 5, 2)) + 200
    fit = fit_coordinates(given * 0.5 + [40, -7], given)
    assert fit.scale == pytest.approx(0.5, rel=0.01) and fit.after < 0.02
    np.testing.assert_allclose(fit.offset, [40, -7], atol=1.5)
    fit = fit_coordinates(given + np.array([9, 0]), given)
    assert fit.shift == pytest.approx(9 / EYES, rel=0.03) and fit.scale == pytest.approx(1, abs=0.01)
    mirrored = given * [-1, 1] + [640, 0]
    assert fit_coordinates(given, mirrored).scale == pytest.approx(-1, abs=0.01)


def checked(*samples: VideoSample) -> LandmarkCheck:
    return judge(samples, sum(len(one.drawn) for one in samples))


def moved(one: VideoSample, scale: float = 1, offset: tuple[float, float] = (0, 0)) -> VideoSample:
    given = {frame: points * scale + offset for frame, points in one.given.items()}
    return dataclasses.replace(one, given=given)


def test_faults_are_named() -> None:
    good = [sample(f"v{one}") for one in range(8)]
    assert checked(*good).faults == [] and checked(*good).lag == 0
    assert checked(*(moved(one, offset=(20, -8)) for one in good)).faults == [
        "the landmarks lie beside the face by a constant offset: moved by (-20, +8) pixels, they fit"
    ]
    (fault,) = checked(*(moved(one, scale=2) for one in good)).faults
    assert fault.startswith("the landmarks are those of images of another size: scaled by 0.50 and moved by")
    assert checked(*(sample(f"v{one}", lag=2) for one in range(8))).faults == [
        "the landmarks of frame n fit the image of frame n-2"
    ]
    assert checked(*(sample(f"v{one}", lag=-REACH) for one in range(8))).faults == [
        f"the landmarks of frame n fit the image of frame n+{REACH} or more"
    ]
    # Both at once, and in one video alone.
    both = checked(*(moved(sample(f"v{one}", lag=1), offset=(30, 0)) for one in range(8))).faults
    assert len(both) == 2 and "(-30, +0)" in both[0] and "frame n-1" in both[1]
    one_late = checked(*good[:7], sample("late", lag=-3, speed=0.03))
    assert one_late.faults == ["late: the landmarks of frame n fit the image of frame n+3"]
    (fault,) = checked(*good[:7], moved(good[7], offset=(60, 60))).faults
    assert fault.startswith("the landmarks of v7 lie beside the detected faces")


def test_too_few_faces_give_no_verdict() -> None:
    good = [moved(sample(f"v{one}"), scale=2) for one in range(8)]
    few = [dataclasses.replace(one, drawn=frozenset(one.frames[:1])) for one in good]
    assert judge(few, 32).faults == [] and "too few faces" in judge(few, 32).rows()[0][3]
    nobody = [dataclasses.replace(one, frames=[], found=np.empty(0)) for one in good]
    assert judge(nobody, 32).coordinates is None and judge(nobody, 32).faults == []


# --- on drawn data --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "bp4d"
    write_bp4d(root, subjects=3, tasks=1, frames=26, jobs=1, progress=False)
    return root


def test_drawn_data_are_held_to_their_own_structure(drawn: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(drawn), "--json", "--jobs", "1", "-q"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["drawn"] and result["verdict"] == "as recorded: drawn data"
    found = {row["what"]: (row["expected"], row["found"]) for row in result["rows"]}
    assert found["subjects"] == ("3", "3") and found["coded frames"] == ("78", "78")
    landmarks = result["landmarks"]
    assert landmarks["faces"] >= 45 and landmarks["lag"] == 0 and landmarks["coordinates"]["before"] < 0.06


def test_a_folder_of_no_known_data_set_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", str(tmp_path)]) == 1
    assert "no folders of a known data set; give its KIND before it, bp4d," in capsys.readouterr().err
    assert cli.main(["check", str(tmp_path / "none")]) == 1
    assert "none: cannot be read (No such file or directory)" in capsys.readouterr().err
    (tmp_path / "ActionUnit_Labels").mkdir()
    (tmp_path / "AUCoding").mkdir()
    assert recognise(tmp_path) is None
    (tmp_path / "AUCoding").rmdir()
    assert recognise(tmp_path) == "disfa"
    with pytest.raises(SystemExit, match="2"):
        cli.main(["check", str(tmp_path), "--labels", "01"])


def shifted(drawn: Path, out: Path, *, frames: int = 0, pixels: float = 0) -> Path:
    """Copy a drawn set, with other landmarks."""
    shutil.copytree(drawn, out)
    scan = DATA_SETS["bp4d"].read(drawn)
    for video in scan.coded:
        given = {one.frame: np.asarray(one.landmarks) for one in scan.records if one.video == video}
        changed = {frame + frames: points + pixels for frame, points in given.items()}
        write_fit(out / "2DFeatures" / f"{video}.mat", changed, max(changed))
    return out


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"frames": 2}, "the landmarks of frame n fit the image of frame n-2"),
        ({"frames": -1}, "the landmarks of frame n fit the image of frame n+1"),
        ({"pixels": 14.0}, "by a constant offset: moved by (-1"),
    ],
    ids=str,
)
def test_shifted_landmarks_of_drawn_faces_are_named(
    drawn: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], change: dict[str, Any], said: str
) -> None:
    root = shifted(drawn, tmp_path / "copy", **change)
    assert cli.main(["check", "bp4d", str(root), "--jobs", "1", "-q"]) == 1
    printed = capsys.readouterr()
    assert said in printed.out and said in printed.err and printed.err.startswith("drml: error:")
    # A preparation trusts drawn data; without the mark, it stops before any face is registered.
    (root / "synthetic.json").unlink()
    arguments = ["prepare", "bp4d", str(root), str(tmp_path / "o"), "--jobs", "1", "-q", "--folds", "1"]
    assert cli.main(arguments) == 1 and not (tmp_path / "o").exists()
    error = capsys.readouterr().err
    assert said in error and "--points detector does without these landmarks" in error


def test_a_preparation_reports_what_differs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = bp4d_factory.write_set(tmp_path / "bp4d")
    arguments = ["prepare", "bp4d", str(root), str(tmp_path / "o"), "--jobs", "1", "-q", "--folds", "1"]
    assert cli.main(arguments) == 0
    error = capsys.readouterr().err
    assert "is not as published: subjects 6, expected 41 (missing F007, F008" in error
    audit = json.loads((tmp_path / "o/summary.json").read_text())["audit"]
    assert audit["landmarks"]["faces"] < audit["landmarks"]["frames"] and not audit["faults"]
    assert cli.main([*arguments, "--audit", "off", "--overwrite"]) == 0
    assert "is not as published" not in capsys.readouterr().err


def test_records_without_landmarks_are_not_checked() -> None:
    scan = Scan((1,), [Record("x", Path("x"), "x", "", 1, np.ones(1, np.int8), None)])
    assert compare_landmarks(scan.records, ordered=True) is None


def test_the_sample_of_an_audit_follows_from_the_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, list[int]]] = []

    def find_nothing(tasks: list[PointTask], *_: Any) -> dict[str, list[Any]]:
        asked.append({task.name: [frame for frame, *_ in task.frames] for task in tasks})
        return {task.name: [] for task in tasks}

    monkeypatch.setattr(audit_landmarks, "_detect", find_nothing)
    records = [
        Record(f"v{video}_{frame}", Path("x"), f"v{video}", "", frame, np.ones(1, np.int8), np.zeros((49, 2)))
        for video in range(40)
        for frame in range(30)
    ]
    for seed in (0, 0, 1):
        found = compare_landmarks(records, ordered=False, seed=seed, progress=False)
        assert found is not None
    first, again, other = asked
    assert first == again and first.keys() != other.keys()
    assert len(first) == 25 and {len(frames) for frames in first.values()} == {2}
    # The frames are drawn as well as the videos: the same video has others.
    both = first.keys() & other.keys()
    assert both and any(first[video] != other[video] for video in both)
