"""Graded intensities, two coders and a tracker's landmarks, measured on the default data set's amount."""

from __future__ import annotations

import csv
import hashlib
import json
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from drml.data.labels import ALL_AUS
from drml.synth import Subject, face_shape, render, strengths, write_bp4d
from drml.synth.coders import ICCS, KAPPAS, agreement, draw_levels, level_agreement
from drml.synth.events import BORDER, LEVELS, event_shape, graded_intensities, level_shares
from drml.synth.statistics import RATES, thresholds
from drml.synth.tracker import EYE_DISTANCE, landmark_errors
from drml.synth.view import Camera, View


@lru_cache(maxsize=1)
def drawn_levels() -> tuple[np.ndarray, np.ndarray]:
    """Return intensities (328, 24, 15) and both coders' levels (328, 2, 24, 15) of 41 people in 8 tasks."""
    limits = thresholds(8)
    rng = np.random.default_rng(3)
    intensities, levels = [], []
    for _ in range(41):
        habit = rng.normal(size=15)
        for task in range(8):
            intensities.append(graded_intensities(rng, habit, task, 24, limits))
            levels.append(draw_levels(rng, intensities[-1]))
    return np.array(intensities), np.array(levels)


def drawn() -> tuple[np.ndarray, np.ndarray]:
    """Return the intensities, and both coders' codes: 1 present, 0 absent."""
    intensities, levels = drawn_levels()
    return intensities, (levels > 0).astype(int)


def anova_icc(one: np.ndarray, other: np.ndarray) -> float:
    """Compute ICC(3,1) of two raters from the mean squares of a two-way analysis of variance."""
    table = np.stack([one, other], 1).astype(float)
    n, k = table.shape
    grand = table.mean()
    between = k * sum((row.mean() - grand) ** 2 for row in table) / (n - 1)
    columns = table.mean(0)
    error = sum((table[i, j] - table[i].mean() - columns[j] + grand) ** 2 for i in range(n) for j in range(k))
    error /= (n - 1) * (k - 1)
    return float((between - error) / (between + (k - 1) * error))


def test_coders_differ_by_a_level_and_agree_as_far_as_is_published() -> None:
    intensities, levels = drawn_levels()
    assert set(np.unique(levels)) == {0, 1, 2, 3, 4, 5}
    one, other = (levels[:, coder].reshape(-1, 15) for coder in (0, 1))
    apart = np.abs(one - other)[(one > 0) & (other > 0)]
    assert 0.2 < (apart == 1).mean() < 0.6 and (apart > 2).mean() < 0.02
    for k, au in enumerate(ALL_AUS):
        assert ICCS[0] <= anova_icc(one[:, k], other[:, k]) <= ICCS[1], au
    assert level_agreement(one, other)[3] == pytest.approx(anova_icc(one[:, 3], other[:, 3]))
    # Neither coder codes what is not there, and what is strong is never missed.
    assert not levels[:, 0][intensities == 0].any()
    assert (intensities > 4.5).any() and (levels[:, 0][intensities > 4.5] >= 1).all()


def test_the_coded_rates_are_bp4ds() -> None:
    intensities, codes = drawn()
    for values in (intensities >= BORDER, codes[:, 0], codes[:, 1]):
        rates = values.reshape(-1, 15).mean(0)
        for au, rate in zip(ALL_AUS, rates, strict=True):
            assert rate == pytest.approx(RATES[au], abs=0.045), au


def test_intensities_have_no_gap_and_plausible_shares() -> None:
    intensities, _ = drawn()
    assert intensities.min() == 0 and 4.6 < intensities.max() <= 5
    # The clear-cut set has nothing from 0.6 to 2.
    near = (intensities > 0.6) & (intensities < 2)
    assert near.mean() > 0.1
    shares = level_shares(intensities)
    assert sum(shares.values()) == pytest.approx(1)
    # Slight and marked actions are the most frequent, the maximum is rare.
    assert shares["C"] == max(shares.values())
    assert 0.1 < shares["A"] < 0.3 and 0.1 < shares["B"] < 0.35 and 0.1 < shares["D"] < 0.3
    assert 0.0005 < shares["E"] < 0.03


def test_levels_begin_where_they_say() -> None:
    assert list(LEVELS) == list("ABCDE") and list(LEVELS.values()) == sorted(LEVELS.values())
    assert level_shares(np.array(list(LEVELS.values()))) == dict.fromkeys(LEVELS, 0.2)
    assert level_shares(np.zeros(3)) == dict.fromkeys(LEVELS, 0.0)


@pytest.mark.parametrize("frames", [1, 2, 5, 12, 40])
def test_an_event_rises_holds_and_falls(frames: int) -> None:
    shape = event_shape(frames)
    assert shape.shape == (frames,) and shape.min() > 0 and shape.max() <= 1
    steps = np.sign(np.diff(shape).round(9))
    assert (np.diff(steps) <= 0).all(), "first up, then level, then down"
    if frames >= 12:
        assert (shape == 1).mean() == pytest.approx(0.4, abs=0.15)
        # The rise is shorter than the fall.
        assert (steps > 0).sum() < (steps < 0).sum()


def test_events_last_and_do_not_flicker() -> None:
    present = drawn()[0] >= BORDER
    changes = (present[:, 1:] != present[:, :-1]).mean()
    assert changes < 0.3 * (2 * present.mean() * (1 - present.mean()))


def test_parted_lips_exclude_tight_and_pressed_ones() -> None:
    present = drawn()[0] >= BORDER
    for au in (23, 24):
        assert not (present[..., ALL_AUS.index(au)] & present[..., ALL_AUS.index(25)]).any()


def test_two_coders_agree_as_published() -> None:
    _, codes = drawn()
    one, other = codes[:, 0].reshape(-1, 15), codes[:, 1].reshape(-1, 15)
    kappas = [cohen_kappa_score(one[:, k], other[:, k]) for k in range(15)]
    for au, kappa in zip(ALL_AUS, kappas, strict=True):
        assert KAPPAS[0] <= kappa <= KAPPAS[1], (au, kappa)
    np.testing.assert_allclose(agreement(one, other), kappas)


def test_coders_disagree_only_near_the_border() -> None:
    intensities, codes = drawn()
    apart = codes[:, 0] != codes[:, 1]
    assert apart[(intensities > 0.5) & (intensities < 1.5)].mean() > 0.25
    assert apart[intensities > 3.5].mean() < 0.01
    assert not codes.swapaxes(0, 1)[:, intensities == 0].any()


def test_agreement_of_constant_coders_is_undefined() -> None:
    zero = np.zeros((4, 2), int)
    assert np.isnan(agreement(zero, zero)).all()
    assert agreement(np.array([[0], [1]]), np.array([[0], [1]])) == 1


def test_a_trackers_error_is_two_to_three_percent_and_lasts() -> None:
    errors = np.stack([landmark_errors(np.random.default_rng(seed), 24) for seed in range(60)])
    share = np.linalg.norm(errors, axis=-1).mean() / EYE_DISTANCE
    assert 0.02 < share < 0.03
    assert np.abs(errors.mean((0, 1))).max() < 0.05 * EYE_DISTANCE
    now, later, much_later = (errors[:, k].ravel() for k in (0, 1, 12))
    assert np.corrcoef(now, later)[0, 1] > 0.9
    assert 0.25 < np.corrcoef(now, much_later)[0, 1] < 0.55
    # Points of one brow move together, those of both brows do not.
    flat = errors[:, ::12].reshape(-1, 49, 2)
    assert np.corrcoef(flat[:, 0, 0], flat[:, 4, 0])[0, 1] > 0.3
    assert abs(np.corrcoef(flat[:, 0, 0], flat[:, 5, 0])[0, 1]) < 0.3


def test_landmark_errors_reach_the_landmarks_and_not_the_image() -> None:
    subject, view = Subject.draw("F001"), View(yaw=4, roll=3, seed=2)
    errors = landmark_errors(np.random.default_rng(0), 1)[0]
    image, points = render(subject, {12: 3.0}, view, landmark_errors=errors)
    same, exact = render(subject, {12: 3.0}, view, landmark_errors=np.zeros((49, 2)))
    assert np.array_equal(image, same)
    shape = face_shape(subject, strengths(subject, {12: 3.0}), view.lids)
    np.testing.assert_allclose(exact, Camera(view, 260).project(shape.landmarks()))
    eyes = np.linalg.norm(exact[19:25].mean(0) - exact[25:31].mean(0))
    assert np.linalg.norm(points - exact, axis=1).mean() / eyes == pytest.approx(
        np.linalg.norm(errors, axis=1).mean() / EYE_DISTANCE, rel=0.15
    )


def rows(path: Path) -> dict[tuple[str, ...], list[float]]:
    with path.open(newline="") as file:
        table = list(csv.reader(file))
    assert table[0] == ["subject", "task", "frame", *(f"AU{au}" for au in ALL_AUS)]
    return {tuple(row[:3]): [float(value) for value in row[3:]] for row in table[1:]}


def test_both_coders_are_in_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "bp4d"
    summary = write_bp4d(out, subjects=3, tasks=2, frames=40, size=64, jobs=1, progress=False)
    intensities, second = (rows(out / f"synthetic_{name}.csv") for name in ("intensities", "second_coder"))
    assert list(intensities) == list(second) and len(second) == 240
    first: dict[tuple[str, ...], list[float]] = {}
    for path in (out / "AUCoding" / "AU_OCC").iterdir():
        for row in list(csv.reader(path.open(newline="")))[1:]:
            first[(*path.stem.split("_"), row[0])] = [float(value) for value in row[1:]]
    one, other, shown = (np.array([table[key] for key in second]) for table in (first, second, intensities))
    assert set(np.unique(other)) == {0, 1}
    known = one != 9
    assert 0.03 < (one != other)[known].mean() < 0.15
    assert not (one == 1)[shown == 0].any()
    note = json.loads((out / "synthetic.json").read_text())["summary"]
    assert note["kappas"] == {str(au): kappa for au, kappa in summary.kappas.items()}
    for k, au in enumerate(ALL_AUS):
        both = known[:, k]
        assert summary.kappas[au] == pytest.approx(cohen_kappa_score(one[both, k], other[both, k]), abs=0.03)
    levels = np.array([rows(out / "synthetic_second_coder_levels.csv")[key] for key in second])
    assert ((levels > 0) == (other == 1)).all() and levels.max() >= 4
    assert note["iccs"] == {str(au): value for au, value in summary.iccs.items()} and summary.iccs.keys()
    for k, au in enumerate(ALL_AUS):
        coded: dict[tuple[str, ...], float] = {}
        for path in (out / "AUCoding" / "AU_INT" / f"AU{au:02d}").glob("*.csv"):
            subject, task, _ = path.stem.split("_")
            for line in path.read_text().splitlines():
                frame, level = line.split(",")
                coded[subject, task, frame] = float(level)
        assert bool(coded) == (au in (6, 10, 12, 14, 17)), au
        if coded:
            first_levels = np.array([coded[key] for key in second])
            # One coder: where the occurrence code is known, so is the level, and they agree.
            assert ((first_levels == 9) == (one[:, k] == 9)).all()
            present = known[:, k] & (one[:, k] == 1)
            assert (first_levels[present] >= 1).all() and (first_levels[known[:, k] & ~present] == 0).all()
            both = known[:, k]
            assert summary.iccs[au] == pytest.approx(anova_icc(first_levels[both], levels[both, k]), abs=0.03)
    assert note["levels"] == summary.levels == {k: round(v, 4) for k, v in summary.levels.items()}


def test_the_clear_cut_set_is_what_was_drawn_before_intensities_were_graded(tmp_path: Path) -> None:
    out = tmp_path / "bp4d"
    summary = write_bp4d(
        out, subjects=3, tasks=2, frames=12, size=72, seed=5, clean=True, jobs=1, progress=False
    )
    assert summary.kappas == {} and summary.levels["A"] == 0
    assert not (out / "synthetic_second_coder.csv").exists()
    text = hashlib.sha256()
    for path in sorted(one for one in out.rglob("*.csv") if "AU_INT" not in one.parts):
        text.update(path.name.encode() + path.read_bytes())
    assert text.hexdigest() == CLEAN
    note = json.loads((out / "synthetic.json").read_text())
    assert note["options"]["clean"] is True


# Of the codes and intensities that the version before the graded set drew with these options.
CLEAN = "7dd0a3ec220e2878ec7da737d8c7e371968bc399e1b02421ce760002f3ed7a36"
