"""The folder that `write_disfa` leaves: read back by hand, then by the project's own reader."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io

from drml.data.labels import ALL_AUS, DISFA_AUS
from drml.data.prepare import prepare
from drml.data.readers import disfa
from drml.data.readers.fold_lists import shipped_list
from drml.data.readers.images import ImageReader
from drml.data.verify import verify
from drml.io.errors import UserError
from drml.synth import Subject, SynthSummary, View, disfa_writer, render, video_writer, write_disfa
from drml.synth.behaviour import watching_intensities
from drml.synth.statistics import CORRELATION, WATCHING_RATES, thresholds
from drml.synth.video_writer import write_video
from seed_effects import check_seed_effects
from tiny_net import file_size_limit

SUBJECTS = ("SN001", "SN003", "SN006")
FRAMES = 60


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, SynthSummary]:
    out = tmp_path_factory.mktemp("synth") / "disfa"
    return out, write_disfa(out, subjects=3, frames=FRAMES, size=128, seed=4, jobs=1, progress=False)


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


def levels(out: Path, subject: str, au: int) -> np.ndarray:
    path = out / "ActionUnit_Labels" / subject / f"{subject}_au{au}.txt"
    table = np.array([line.split(",") for line in path.read_text().splitlines()], int)
    assert table[:, 0].tolist() == list(range(1, FRAMES + 1))
    return table[:, 1]


def drawn(out: Path) -> dict[tuple[str, int], dict[int, float]]:
    with (out / "synthetic_intensities.csv").open(newline="") as file:
        return {
            (row["subject"], int(row["frame"])): {au: float(row[f"AU{au}"]) for au in ALL_AUS}
            for row in csv.DictReader(file)
        }


def test_labels_are_the_intensities_that_were_drawn(made: tuple[Path, SynthSummary]) -> None:
    out, summary = made
    intensities = drawn(out)
    assert len(intensities) == summary.frames == 3 * FRAMES
    seen = set()
    for subject in SUBJECTS:
        for au in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26):
            found = levels(out, subject, au)
            seen |= set(found.tolist())
            if au in ALL_AUS:
                strength = np.array([intensities[subject, t][au] for t in range(1, FRAMES + 1)])
                assert np.abs(found - strength).max() <= 0.51
            else:
                assert not found.any()
    assert seen == {0, 1, 2, 3, 4, 5}


def test_videos_and_landmarks(made: tuple[Path, SynthSummary]) -> None:
    out, summary = made
    images = landmarks = 0
    for subject in SUBJECTS:
        for side in ("Left", "Right"):
            path = out / f"Videos_{side}Camera" / f"{side}Video{subject}_comp.avi"
            capture = cv2.VideoCapture(str(path))
            assert int(capture.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG")
            frames = 0
            while (got := capture.read())[0]:
                frames += 1
                assert got[1].shape == (96, 128, 3)
            assert FRAMES - 3 <= frames <= FRAMES
            images += frames if side == "Left" else 0
        names = sorted(p.name for p in (out / "Landmark_Points" / subject / "tmp_frame_lm").iterdir())
        landmarks += len(names)
        numbers = {int(name.split("_")[-2].removeprefix("l")) for name in names}
        if subject == "SN001":
            assert names[0].startswith("SN001_00") and numbers <= set(range(FRAMES))
        else:
            assert names[0].startswith("l000") and numbers <= set(range(1, FRAMES + 1))
        for name in names[::9]:
            path = out / "Landmark_Points" / subject / "tmp_frame_lm" / name
            points = scipy.io.loadmat(path)["pts"]
            assert points.shape == (66, 2) and points.min() > 1 and (points.max(0) < (128, 96)).all()
    assert images == summary.images and landmarks == summary.landmarks < summary.frames


def test_what_is_read_is_what_was_drawn(made: tuple[Path, SynthSummary]) -> None:
    out, summary = made
    intensities = drawn(out)
    scan = disfa.read(out)
    assert len(scan.records) >= summary.frames - 12
    assert set(scan.skipped) <= {"no landmarks", "no image"} and "no landmarks" in scan.skipped
    gaps, openings = [], []
    for record in scan.records:
        aus = intensities[record.subject, record.frame]
        for au, label in zip(scan.aus, record.labels, strict=True):
            assert abs(aus[au] - 2.5) < 0.01 or label == (1 if aus[au] >= 2.5 else -1)
        points = record.landmarks
        eyes = np.linalg.norm(points[25:31].mean(0) - points[19:25].mean(0))
        gaps.append((points[46:49, 1].mean() - points[43:46, 1].mean()) / eyes)
        openings.append(1.6 * aus[25] + 0.5 * aus[26] + 4.4 * aus[25] + 9.5 * aus[26])
    # The landmarks of a frame are those of the mouth that its labels tell of.
    assert np.corrcoef(gaps, openings)[0, 1] > 0.95


def test_pictures_are_those_of_their_frames(made: tuple[Path, SynthSummary]) -> None:
    """Cut out around its own landmarks a face stays put; around another frame's it does not."""
    out, _ = made
    for subject in SUBJECTS:  # landmarks that count from 0, and from 1
        records = [record for record in disfa.read(out).records if record.subject == subject]
        with ImageReader() as reader:
            greys = [cv2.cvtColor(reader.load(r.image)[0], cv2.COLOR_BGR2GRAY) for r in records]

        def spread(shift: int, records: list = records, greys: list = greys) -> float:
            cuts = []
            for k, grey in enumerate(greys):
                x, y = records[(k + shift) % len(records)].landmarks.mean(0)
                cut = cv2.getRectSubPix(grey, (30, 30), (float(x), float(y))).astype(float)
                cuts.append((cut - cut.mean()) / cut.std())
            return float(np.std(cuts, axis=0).mean())

        assert spread(0) < min(spread(1), spread(-1))
        assert spread(0) < 0.9 * spread(12)


def test_it_is_prepared_as_the_real_one_is(tmp_path: Path) -> None:
    write_disfa(tmp_path / "DISFA", subjects=6, frames=12, size=128, jobs=1, progress=False)
    summary = prepare("disfa", tmp_path / "DISFA", tmp_path / "o", jobs=1, progress=False)
    assert summary["synthetic"] and (tmp_path / "o/synthetic.json").is_file()
    assert not summary["broken"] and summary["images"] > 60
    for path in (tmp_path / "o").glob("fold*/*_lmdb"):
        verify(path)


def test_it_says_that_it_is_synthetic(made: tuple[Path, SynthSummary]) -> None:
    out, summary = made
    note = json.loads((out / "synthetic.json").read_text())
    assert note["synthetic"] is True and "DISFA" in note["what"]
    assert note["options"] == {"subjects": 3, "frames": FRAMES, "size": 128, "seed": 4}
    assert note["summary"]["images"] == summary.images
    assert sorted(path.name for path in (out / "ActionUnit_Labels").iterdir()) == list(SUBJECTS)
    assert [sum(name in SUBJECTS for name in fold) for fold in shipped_list("disfa").parts] == [1, 1, 1]


def test_the_same_bytes_whatever_the_number_of_jobs(tmp_path: Path) -> None:
    options = {"subjects": 3, "frames": 5, "size": 96, "progress": False}
    one = write_disfa(tmp_path / "one", seed=1, jobs=1, **options)
    two = write_disfa(tmp_path / "two", seed=1, jobs=2, **options)
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    assert one.rates == two.rates
    write_disfa(tmp_path / "other", seed=2, jobs=1, **options)
    first, other = tree(tmp_path / "one"), tree(tmp_path / "other")
    changed = {name for name in {*first, *other} if first.get(name) != other.get(name)}
    # Each kind of file; the note differs in any case.
    assert "synthetic_intensities.csv" in changed
    for kind in ("Videos_LeftCamera/", "Videos_RightCamera/", "Landmark_Points/", "ActionUnit_Labels/"):
        assert any(name.startswith(kind) for name in changed), kind
    assert all(name in changed for name in first if name.endswith(".avi"))


def test_persons_expressions_and_views_each_follow_from_the_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"subjects": 1, "frames": 3, "size": 96, "jobs": 1, "progress": False}
    check_seed_effects(
        monkeypatch, disfa_writer, lambda seed: write_disfa(tmp_path / str(seed), seed=seed, **options), 6
    )


def test_the_right_camera_sees_each_frame_from_another_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Any, ...]] = []
    draw = disfa_writer.render

    def watched(subject: Any, aus: Any, view: View, **options: Any) -> Any:
        seen.append((subject, aus, view))
        return draw(subject, aus, view, **options)

    monkeypatch.setattr(disfa_writer, "render", watched)
    write_disfa(tmp_path / "out", subjects=1, frames=6, size=96, seed=3, jobs=1, progress=False)
    assert len(seen) == 12
    for left, right in zip(seen[:6], seen[6:], strict=True):
        assert left[:2] == right[:2]
        view = asdict(right[2])  # noise and light are those of the frame
        assert {**view, "yaw": left[2].yaw} == asdict(left[2])
        assert left[2].yaw - right[2].yaw == pytest.approx(seen[0][2].yaw - seen[6][2].yaw) != 0
    assert len({view.seed for _, _, view in seen}) == 6


def test_intensities_are_graded_and_as_frequent_as_they_are_to_be() -> None:
    rng = np.random.default_rng(0)
    limits = thresholds(8, WATCHING_RATES)
    values = np.array([watching_intensities(rng, rng.normal(size=15), 400, limits) for _ in range(60)])
    assert values.min() >= 0 and values.max() <= 5
    for column, au in enumerate(ALL_AUS):
        rate = (values[..., column] >= 2.5).mean()
        assert rate == pytest.approx(WATCHING_RATES[au], abs=0.05), au
    shares = [(np.floor(values + 0.5) == level).mean() for level in range(6)]
    assert all(share > 0.01 for share in shares), shares
    assert CORRELATION.shape == (15, 15)


@pytest.mark.parametrize("au", DISFA_AUS)
def test_each_au_of_disfas_shows_in_a_landscape_picture(au: int) -> None:
    subject = Subject.draw("SN004", 3, female=True)
    view = View(yaw=3, noise=3, seed=5)
    options = {"width": 232, "height": 174, "jaw": True}
    rest, points = render(subject, {}, view, **options)
    assert rest.shape == (174, 232, 3) and points.shape == (66, 2)
    changes = []
    for intensity in (1, 3, 5):
        image = render(subject, {au: intensity}, view, **options)[0]
        changes.append(float(np.abs(image.astype(float) - rest).sum()))
    assert changes[0] > 0 and changes == sorted(changes) and changes[2] > 1.5 * changes[0]


def test_66_points_are_the_jaw_and_the_49() -> None:
    subject = Subject.draw("SN002", 0)
    for view in (View(seed=3), View(yaw=8, roll=6, seed=3)):
        _, points = render(subject, {26: 3}, view, width=464, height=348, jaw=True)
        _, inner = render(subject, {26: 3}, view, width=464, height=348)
        np.testing.assert_array_equal(points[17:], inner)
        jaw = points[:17]
        assert jaw[:, 1].argmax() in (7, 8, 9) and jaw[8, 1] > inner[:, 1].max()
        assert jaw[0, 0] < inner[:, 0].min() and jaw[16, 0] > inner[:, 0].max()
        assert (np.diff(jaw[:, 0]) > -1).all()


TINY = {"subjects": 1, "frames": 2, "size": 96, "jobs": 1, "progress": False}


@pytest.mark.parametrize(
    ("option", "value"),
    [("subjects", 0), ("subjects", 28), ("frames", 0), ("frames", 4846), ("size", 60), ("seed", -1)],
)
def test_options_out_of_range(tmp_path: Path, option: str, value: int) -> None:
    with pytest.raises(UserError, match=f"{option} {value}: give "):
        write_disfa(tmp_path / "out", **{**TINY, option: value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path, jobs: int) -> None:
    # The writer of videos says nothing of a write that fails: the video read back does.
    with file_size_limit(5000), pytest.raises(UserError, match=r"LeftVideoSN001_comp\.avi: cannot write the"):
        write_disfa(tmp_path / "out", **{**TINY, "frames": 20, "jobs": jobs})
    assert list(tmp_path.iterdir()) == []


def test_a_video_that_cannot_be_made_is_an_error_with_its_name(tmp_path: Path) -> None:
    image = np.zeros((64, 96, 3), np.uint8)
    with pytest.raises(OSError, match=r"none/x\.avi"):
        write_video(tmp_path / "none/x.avi", [image], (96, 64), 20.0)
    assert write_video(tmp_path / "x.avi", [image] * 3, (96, 64), 20.0) == 3


def test_without_a_writer_of_videos_nothing_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_writer.cv2, "CAP_OPENCV_MJPEG", -7)
    with pytest.raises(
        UserError, match=r"LeftVideoSN001_comp\.avi: cannot write the data set: OpenCV cannot"
    ):
        write_disfa(tmp_path / "out", **TINY)
    assert list(tmp_path.iterdir()) == []
    assert disfa_writer.MAX_SUBJECTS == 27
