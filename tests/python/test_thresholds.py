"""Thresholds for each AU: the best over all candidates, and the scores with them."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drml.evaluation import choose_thresholds, metrics
from drml.evaluation.fold_scores import evaluate_folds
from drml.evaluation.predictions import Predictions
from drml.evaluation.score_table import evaluate

SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 1.0]), st.floats(0, 1))
FRAMES = st.lists(st.tuples(st.sampled_from([-1, 0, 1]), SCORES), min_size=1, max_size=25)


def by_trying_all(labels, scores):
    """Return the best threshold, trying each score of a known frame and 0.5 with scikit-learn's F1."""
    known = [score for label, score in zip(labels, scores, strict=True) if label]
    best, best_f1 = 0.5, metrics.f1_frame(labels, scores, 0.5)
    for candidate in sorted(known):
        f1 = metrics.f1_frame(labels, scores, candidate)
        better = f1 > best_f1 + 1e-12
        equal = abs(f1 - best_f1) <= 1e-12
        if better or (equal and (abs(candidate - 0.5), candidate) < (abs(best - 0.5), best)):
            best, best_f1 = candidate, f1
    return best


@settings(deadline=None, max_examples=150)
@given(FRAMES)
def test_thresholds_are_those_of_trying_all(frames):
    labels, scores = map(np.array, zip(*frames, strict=True))
    assert choose_thresholds(labels[:, None], scores[:, None]).tolist() == [by_trying_all(labels, scores)]


def test_each_au_has_its_own_threshold():
    rng = np.random.default_rng(0)
    labels = rng.choice([-1, 0, 1], (300, 3), p=[0.6, 0.1, 0.3])
    scores = np.clip([0.3, 0.5, 0.7] + 0.1 * labels + 0.15 * rng.standard_normal(labels.shape), 0, 1)
    scores = scores.astype(np.float32)
    found = choose_thresholds(labels, scores)
    assert found.tolist() == [by_trying_all(y, p) for y, p in zip(labels.T, scores.T, strict=True)]
    assert found[0] < found[1] < found[2]
    fixed, chosen = (evaluate(labels, scores, threshold=one) for one in (0.5, found))
    assert all(one.f1 >= other.f1 for one, other in zip(chosen.rows, fixed.rows, strict=True))


@pytest.mark.parametrize("labels", [[-1, -1], [0, 0], [-1, 0]])
def test_an_au_that_is_never_present_keeps_the_usual_threshold(labels):
    assert choose_thresholds(np.array(labels)[:, None], [[0.2], [0.9]]).tolist() == [0.5]


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="N x K"):
        choose_thresholds([1, -1], [0.5, 0.1])
    with pytest.raises(ValueError, match="none of -1, 0, 1"):
        choose_thresholds([[2]], [[0.5]])
    with pytest.raises(ValueError, match="not finite"):
        choose_thresholds([[1]], [[math.nan]])


def predictions(seed, data, subjects=True):
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], (60, 2)).astype(np.int8)
    scores = np.clip(0.3 + 0.1 * labels + 0.2 * rng.standard_normal(labels.shape), 0, 1)
    ids = [f"{data}-{index % 4}" for index in range(60)] if subjects else None
    keys = list(map(str, range(60)))
    return Predictions(
        "w", data, (1, 12), keys, labels, scores, 4, False, {"features": "drawn"}, 0.0, subject_ids=ids
    )


def test_folds_are_scored_with_their_own_thresholds_beside_the_usual_one():
    tests = [predictions(1, "a"), predictions(2, "b")]
    validation = [predictions(3, "c"), predictions(4, "d")]
    result = evaluate_folds("m", tests, validation=validation, bootstrap=30, seed=2)
    plain = evaluate_folds("m", tests, bootstrap=30, seed=2)
    assert str(result.pooled) == str(plain.pooled) and str(result.mean) == str(plain.mean)
    chosen = result.chosen
    limits = [choose_thresholds(one.labels, one.probabilities) for one in validation]
    assert chosen.by_fold == tuple(tuple(one.tolist()) for one in limits)
    decided = [(one.probabilities >= limit).astype(float) for one, limit in zip(tests, limits, strict=True)]
    for column, row in enumerate(chosen.pooled.rows):
        y = np.concatenate([one.labels[:, column] for one in tests])
        p = np.concatenate([one[:, column] for one in decided])
        assert row.f1 == metrics.f1_frame(y, p) and row.mcc == metrics.mcc(y, p)
        each = [
            metrics.f1_frame(t.labels[:, column], d[:, column]) for t, d in zip(tests, decided, strict=True)
        ]
        assert chosen.mean.rows[column].f1 == pytest.approx(np.mean(each))
    found = result.to_dict()["chosen_thresholds"]
    assert found["folds"][1]["thresholds"] == {"1": limits[1][0], "12": limits[1][1]}
    assert found["mean_of_folds"]["average"]["f1"] == chosen.mean.average("f1")
    assert found["pooled"]["average"]["f1"] == chosen.pooled.average("f1")
    assert found["pooled"]["intervals"]["average"]["f1"]["draws"] == 30
    text = result.to_text()
    assert text.count("with thresholds chosen for the best F1 on validation") == 2
    low, high = sorted((limits[0][0], limits[1][0]))
    line = next(line for line in text.splitlines() if f"{low:.3f}-{high:.3f}" in line)
    assert f"{result.pooled.rows[0].f1:.3f} (" in line and f"{chosen.pooled.rows[0].f1:.3f} (" in line
    assert max(map(len, text.splitlines())) <= 100
    assert "chosen_thresholds" not in plain.to_dict()


def test_one_fold_has_one_threshold_and_no_range():
    held_out = predictions(3, "c")
    result = evaluate_folds("m", [predictions(1, "a")], validation=[held_out], bootstrap=20)
    text = result.chosen.to_text(result.pooled, result.chosen.pooled)
    for limit in choose_thresholds(held_out.labels, held_out.probabilities):
        assert f" {limit:.3f} " in text and f"{limit:.3f}-" not in text
    assert text.count("(95% CI)") == 2
    assert result.to_dict()["chosen_thresholds"]["mean_of_folds"] is None
    plain = evaluate_folds("m", [predictions(1, "a")], validation=[held_out])
    short = plain.chosen.to_text(plain.pooled, plain.chosen.pooled)
    # Two blanks between columns where there is room; lines around the rows of the AUs.
    assert text.splitlines()[0].endswith(
        "threshold F1 at 0.5 (95% CI) F1 at threshold (95% CI) accuracy   MCC"
    )
    assert short.splitlines()[0].endswith("threshold  F1 at 0.5  F1 at threshold  accuracy    MCC")
    for table in (text, short):
        assert [set(line) == {"-"} for line in table.splitlines()] == [False, True, False, False, True, False]


def test_missing_subjects_are_named():
    tests = [predictions(1, "a"), predictions(2, "b", subjects=False)]
    result = evaluate_folds("m", tests, bootstrap=30)
    assert result.pooled.intervals is None
    assert "No confidence intervals: no manifest names the subjects of b." in result.to_text()
    assert "No confidence intervals" not in evaluate_folds("m", tests).to_text()


def test_scores_with_another_threshold_are_those_computed_anew():
    rng = np.random.default_rng(3)
    labels = rng.choice([-1, 0, 1], (80, 2))
    scores = np.round(rng.random((80, 2)), 2)
    subjects = [f"F{number:03d}" for number in rng.integers(6, size=80)]
    fixed = evaluate(labels, scores, aus=(1, 12), subjects=subjects, bootstrap=50)
    options = {"aus": (1, 12), "threshold": [0.3, 0.7], "subjects": subjects, "bootstrap": 50}
    assert evaluate(labels, scores, known=fixed, **options) == evaluate(labels, scores, **options)


def test_each_fold_has_its_own_intervals():
    rng = np.random.default_rng(4)

    def draw(fold, split, count):
        labels = rng.choice([-1, 1], (count, 2)).astype(np.int8)
        scores = np.clip(0.5 + 0.2 * labels + 0.3 * rng.standard_normal(labels.shape), 0, 1)
        subjects = [f"F{fold}{number}" for number in rng.integers(4, size=count)]
        keys = [f"{index:08d}" for index in range(count)]
        settings = {"features": "none"}
        return Predictions(
            "w", f"fold{fold}/{split}", (1, 12), keys, labels, scores, 4, False, settings, 0.0,
            subject_ids=subjects,
        )  # fmt: skip

    tests, held_out = ([draw(fold, split, 60) for fold in (1, 2)] for split in ("test", "val"))
    found = evaluate_folds("m", tests, validation=held_out, bootstrap=100, seed=2)
    for index, test in enumerate(tests):
        for scores, threshold in (
            (found.fold_scores[index], 0.5),
            (found.chosen.fold_scores[index], found.chosen.by_fold[index]),
        ):
            expected = evaluate(
                test.labels, test.probabilities, aus=test.aus, threshold=threshold,
                subjects=test.subject_ids, bootstrap=100, seed=2,
            )  # fmt: skip
            assert scores == expected
    text = found.to_text()
    assert "Avg. of each fold" in text and "F1 at threshold (95% CI)" in text
    assert found.fold_scores[1].cell("auc") in text
