"""Figures against their definitions and scikit-learn, conventions for undefined ones, score tables."""

import math
from dataclasses import astuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    average_precision_score,
    f1_score,
    matthews_corrcoef,
    roc_auc_score,
)
from sklearn.metrics import precision_recall_curve as sklearn_pr
from sklearn.metrics import roc_curve as sklearn_roc

from drml.data.labels import BP4D_BASE_RATES
from drml.evaluation import metrics
from drml.evaluation.folds import mean_of_folds, pool
from drml.evaluation.score_table import evaluate

# Few distinct values, so that ties are common; some exactly at the threshold.
SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1))
FRAMES = st.lists(st.tuples(st.sampled_from([-1, 0, 1]), SCORES), max_size=40)


def by_definition(frames):
    """Return the five figures of the known frames, counted one by one; by our rules where undefined."""
    present = [score for label, score in frames if label == 1]
    absent = [score for label, score in frames if label == -1]
    if not present and not absent:
        return (math.nan,) * 5
    hits = sum(score >= 0.5 for score in present)
    alarms, misses = sum(score >= 0.5 for score in absent), len(present) - hits
    rejected = len(absent) - alarms
    f1 = 2 * hits / (2 * hits + alarms + misses) if hits else 0.0
    accuracy = (hits + rejected) / (len(present) + len(absent))
    if not present or not absent:
        return f1, math.nan, math.nan, accuracy, math.nan
    spread = (hits + alarms) * len(present) * len(absent) * (rejected + misses)
    mcc = (hits * rejected - alarms * misses) / math.sqrt(spread) if spread else 0.0
    wins = sum((p > a) + 0.5 * (p == a) for p in present for a in absent)
    precision_sum, found_before = 0.0, 0
    for threshold in sorted({*present, *absent}, reverse=True):
        found = sum(score >= threshold for score in present)
        predicted = found + sum(score >= threshold for score in absent)
        precision_sum += (found - found_before) * found / predicted
        found_before = found
    return f1, wins / (len(present) * len(absent)), precision_sum / len(present), accuracy, mcc


def by_scikit_learn(frames):
    """Return the same from scikit-learn, which is not asked where a figure is undefined."""
    known = [(label > 0, score) for label, score in frames if label]
    if not known:
        return (math.nan,) * 5
    truth = np.array([label for label, _ in known])
    scores = np.array([score for _, score in known])
    f1 = f1_score(truth, scores >= 0.5, zero_division=0)
    accuracy = accuracy_score(truth, scores >= 0.5)
    if truth.all() or not truth.any():
        return f1, math.nan, math.nan, accuracy, math.nan
    auc, ap = roc_auc_score(truth, scores), average_precision_score(truth, scores)
    return f1, auc, ap, accuracy, matthews_corrcoef(truth, scores >= 0.5)


def check(frames, oracle=by_definition):
    labels = [label for label, _ in frames]
    scores = [score for _, score in frames]
    figures = (
        metrics.f1_frame,
        metrics.roc_auc,
        metrics.average_precision,
        metrics.accuracy,
        metrics.mcc,
    )
    ours = [figure(labels, scores) for figure in figures]
    np.testing.assert_allclose(ours, oracle(frames), rtol=1e-9, atol=1e-12)


@settings(deadline=None, max_examples=60)
@given(FRAMES)
def test_figures_are_those_of_their_definitions(frames):
    check(frames)
    check(frames, by_scikit_learn)


def draw_frames(seed, count):
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], count, p=[0.6, 0.1, 0.3])
    scores = np.round(np.clip(0.4 + 0.2 * labels + 0.3 * rng.standard_normal(count), 0, 1), 1 + seed % 3)
    return list(zip(labels.tolist(), scores.tolist(), strict=True))


@pytest.mark.parametrize("seed", range(5))
def test_figures_of_many_frames_are_those_of_their_definitions(seed):
    check(draw_frames(seed, 300))
    check(draw_frames(seed, 3000), by_scikit_learn)


@pytest.mark.parametrize("digits", [1, 2, 6])
def test_curves_have_a_point_for_every_distinct_score(digits):
    rng = np.random.default_rng(digits)
    labels = rng.choice([-1, 0, 1], 200, p=[0.6, 0.1, 0.3])
    scores = np.round(np.clip(0.4 + 0.2 * labels + 0.3 * rng.standard_normal(200), 0, 1), digits)
    points = [(0.0, 0.0, 1.0)]
    for threshold in sorted(set(scores[labels != 0]), reverse=True):
        hits = np.sum((labels == 1) & (scores >= threshold))
        alarms = np.sum((labels == -1) & (scores >= threshold))
        points.append((alarms / np.sum(labels == -1), hits / np.sum(labels == 1), hits / (hits + alarms)))
    across, up, precision = np.array(points).T
    np.testing.assert_allclose(metrics.roc_curve(labels, scores), (across, up), rtol=1e-12)
    np.testing.assert_allclose(metrics.precision_recall_curve(labels, scores), (up, precision), rtol=1e-12)


@pytest.mark.parametrize("digits", [1, 2, 6])
def test_curves_agree_with_scikit_learn(digits):
    rng = np.random.default_rng(digits)
    labels = rng.choice([-1, 0, 1], 500, p=[0.6, 0.1, 0.3])
    scores = np.round(np.clip(0.4 + 0.2 * labels + 0.3 * rng.standard_normal(500), 0, 1), digits)
    truth, known = labels[labels != 0] > 0, scores[labels != 0]
    across, up, _ = sklearn_roc(truth, known, drop_intermediate=False)
    np.testing.assert_allclose(metrics.roc_curve(labels, scores), (across, up), rtol=1e-12)
    precision, recall, _ = sklearn_pr(truth, known)
    found = metrics.precision_recall_curve(labels, scores)
    np.testing.assert_allclose(found, (recall[::-1], precision[::-1]), rtol=1e-12)
    assert (np.diff(across) * (up[1:] + up[:-1]) / 2).sum() == pytest.approx(metrics.roc_auc(labels, scores))


@pytest.mark.parametrize("labels", [[], [0, 0], [1, 1], [-1, 0]])
def test_there_is_no_curve_without_both_classes(labels):
    for curve in (metrics.roc_curve, metrics.precision_recall_curve):
        assert [axis.size for axis in curve(labels, [0.5] * len(labels))] == [0, 0]


def test_threshold_is_inclusive():
    assert metrics.f1_frame([1], [0.5]) == 1
    assert metrics.f1_frame([1], [0.5], threshold=0.51) == 0


@pytest.mark.parametrize(
    ("labels", "f1"), [([-1, -1], 0.0), ([1, 1], 2 / 3), ([0, 0], math.nan), ([], math.nan)]
)
def test_one_class_has_no_auc_and_no_ap(labels, f1):
    scores = [0.9, 0.1][: len(labels)]
    assert math.isnan(metrics.roc_auc(labels, scores))
    assert math.isnan(metrics.average_precision(labels, scores))
    assert math.isnan(metrics.mcc(labels, scores))
    assert metrics.f1_frame(labels, scores) == pytest.approx(f1, nan_ok=True)
    assert math.isnan(metrics.accuracy(labels, scores)) == (not any(labels))


def test_nothing_to_find_and_nothing_found_is_zero():
    assert metrics.f1_frame([-1, -1], [0.1, 0.2]) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("label", [1, 0])
def test_probability_that_is_not_finite_is_refused(bad, label):
    with pytest.raises(ValueError, match=r"AU7: score .* at index 1 is not finite"):
        evaluate([[1, 1], [1, label]], [[0.1, 0.1], [0.2, bad]], aus=(6, 7))


def test_wrong_label_and_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="label 9 at index 0 is none of -1, 0, 1"):
        metrics.roc_auc([9, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="one length"):
        metrics.roc_auc([1], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"shape \(N, 2\)"):
        evaluate([[1]], [[0.5]], aus=(1, 2))


def random_test(seed, n=200, aus=(1, 2, 4)):
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], (n, len(aus)))
    return labels, np.clip(0.5 + 0.2 * labels + 0.3 * rng.standard_normal(labels.shape), 0, 1)


def test_evaluate_scores_each_column_by_itself():
    labels, probabilities = random_test(1)
    scores = evaluate(labels, probabilities, aus=(1, 2, 4))
    for column, row in enumerate(scores.rows):
        y, p = labels[:, column], probabilities[:, column]
        assert (row.f1, row.auc, row.ap) == (
            metrics.f1_frame(y, p),
            metrics.roc_auc(y, p),
            metrics.average_precision(y, p),
        )
        assert (row.accuracy, row.mcc) == (metrics.accuracy(y, p), metrics.mcc(y, p))
        assert row.known == (y != 0).sum()
        assert row.positives == (y == 1).sum()
        assert row.base_rate == row.positives / row.known
    assert scores.average("auc") == pytest.approx(np.mean([row.auc for row in scores.rows]))
    assert scores.undefined == {}


def test_average_leaves_out_what_is_undefined_and_says_so():
    labels = np.array([[1, -1, 0], [-1, -1, 0]])
    scores = evaluate(labels, [[0.9, 0.1, 0.5], [0.1, 0.1, 0.5]], aus=(1, 2, 4))
    assert scores.undefined == {
        "f1": [4],
        "auc": [2, 4],
        "ap": [2, 4],
        "accuracy": [4],
        "mcc": [2, 4],
    }
    assert scores.average("auc") == 1
    assert scores.average("f1") == 0.5
    plain = scores.to_dict()
    assert plain["aus"][2]["auc"] is None
    assert plain["average"]["trivial_auc"] == 0.5
    assert plain["left_out_of_average"] == scores.undefined


def test_trivial_row_is_the_all_positive_prediction():
    labels, probabilities = random_test(2)
    for column, row in enumerate(evaluate(labels, probabilities, aus=(1, 2, 4)).rows):
        ones = np.ones(len(labels))
        assert row.trivial_f1 == pytest.approx(metrics.f1_frame(labels[:, column], ones))
        assert row.trivial_auc == metrics.roc_auc(labels[:, column], ones)
        assert row.trivial_ap == pytest.approx(metrics.average_precision(labels[:, column], ones))
        assert row.trivial_accuracy == pytest.approx(metrics.accuracy(labels[:, column], ones))
        assert row.trivial_mcc == metrics.mcc(labels[:, column], ones) == 0


def test_trivial_f1_of_bp4d_is_47_9():
    rates = np.array(list(BP4D_BASE_RATES.values()))
    known = 100_000
    positives = np.round(rates * known).astype(int)
    labels = np.where(np.arange(known)[:, None] < positives, 1, -1)
    scores = evaluate(labels, np.zeros(labels.shape), aus=tuple(BP4D_BASE_RATES))
    assert scores.average("trivial_f1") == pytest.approx(0.479, abs=0.0005)


def test_pooled_folds_are_one_test_and_mean_of_folds_is_a_mean():
    folds = [random_test(3), random_test(4, n=50)]
    aus = (1, 2, 4)
    pooled = pool(folds, aus=aus)
    assert pooled == evaluate(
        np.vstack([labels for labels, _ in folds]), np.vstack([p for _, p in folds]), aus=aus
    )
    each = [evaluate(*fold, aus=aus) for fold in folds]
    mean = mean_of_folds(each)
    for column, row in enumerate(mean.rows):
        assert row.f1 == pytest.approx(np.mean([scores.rows[column].f1 for scores in each]))
        assert row.known == pooled.rows[column].known


def test_mean_of_folds_skips_folds_without_the_figure():
    both = evaluate([[1], [-1]], [[0.9], [0.1]], aus=(1,))
    one_class = evaluate([[-1]], [[0.1]], aus=(1,))
    assert mean_of_folds([both, one_class]).rows[0].auc == 1
    with pytest.raises(ValueError, match="same AUs"):
        mean_of_folds([both, evaluate([[1]], [[0.9]], aus=(2,))])
    with pytest.raises(ValueError, match="no fold"):
        mean_of_folds([])


def test_a_table_is_printed_and_given_to_pandas():
    table = evaluate([[1, -1, 0], [-1, -1, 0]], [[0.9, 0.1, 0.5], [0.1, 0.1, 0.5]], aus=(12, 2, 99))
    assert repr(table) == str(table)
    text = str(table).splitlines()
    assert text[2].split() == ["12", "Lip", "corner", "puller", "2", "0.500", *(["1.000"] * 5)]
    assert text[4].split() == ["99", "0", *"------"]
    assert text[-1] == (
        "- ROC-AUC, AP, MCC undefined for AU2, AU99 (present and absent frames not both there);"
        " left out of Avg."
    )
    frame = table.to_frame()
    assert list(frame.index) == ["AU12", "AU2", "AU99", "Avg.", "all positive (trivial)"]
    assert list(frame.columns) == ["frames", "positives", "base_rate", *metrics.FIGURES]
    assert frame.loc["AU12"].tolist() == [2, 1, 0.5, 1, 1, 1, 1, 1]
    assert frame["frames"].tolist()[:3] == [2, 2, 0] and frame["frames"].isna().tolist()[3:] == [True, True]
    assert math.isnan(frame.loc["AU2", "auc"]) and math.isnan(frame.loc["AU99", "base_rate"])
    for row, prefix in (("Avg.", ""), ("all positive (trivial)", "trivial_")):
        expected = [table.average("base_rate"), *(table.average(prefix + one) for one in metrics.FIGURES)]
        assert frame.loc[row].tolist()[2:] == expected


def test_without_aus_the_columns_are_named():
    table = evaluate([[1, 1], [-1, 1]], [[0.8, 0.8], [0.3, 0.1]])
    named = evaluate([[1, 1], [-1, 1]], [[0.8, 0.8], [0.3, 0.1]], aus=(0, 1))
    # Since Python 3.13, rows that hold NaN are not equal, as NaN is not equal to itself.
    np.testing.assert_equal([astuple(row) for row in table.rows], [astuple(row) for row in named.rows])
    assert "AU0" not in str(table) and str(table).splitlines()[2].startswith("column 0  ")
    assert list(table.to_frame().index)[:2] == ["column 0", "column 1"]
    assert mean_of_folds([table, table]).to_frame().index[1] == "column 1"
    with pytest.raises(ValueError, match="column 1: label 3 at index 0"):
        evaluate([[1, 3]], [[0.5, 0.5]])
    with pytest.raises(ValueError, match=r"got \(2,\) and \(2,\)"):
        evaluate([1, 1], [0.5, 0.5])


@pytest.mark.parametrize("threshold", [0.2, 0.5, 0.9])
def test_auc_and_ap_do_not_depend_on_the_threshold(threshold):
    labels, probabilities = random_test(7)
    plain, changed = (evaluate(labels, probabilities, aus=(1, 2, 4), threshold=t) for t in (0.5, threshold))
    for row, other in zip(plain.rows, changed.rows, strict=True):
        assert (row.auc, row.ap) == (other.auc, other.ap)
    predicted = probabilities >= threshold
    for column, row in enumerate(changed.rows):
        hits = np.sum(predicted[:, column] & (labels[:, column] == 1))
        guesses = np.sum(predicted[:, column] & (labels[:, column] != 0))
        assert row.f1 == pytest.approx(2 * hits / (guesses + np.sum(labels[:, column] == 1)))


def test_each_au_or_frame_may_have_a_threshold_of_its_own():
    labels, probabilities = random_test(8)
    limits = np.array([0.2, 0.5, 0.9])
    table = evaluate(labels, probabilities, aus=(1, 2, 4), threshold=limits)
    for column, row in enumerate(table.rows):
        y, p = labels[:, column], probabilities[:, column]
        alone = evaluate(y[:, None], p[:, None], aus=(row.au,), threshold=float(limits[column]))
        assert alone.rows[0] == row
    folds = [(labels[:80], probabilities[:80]), (labels[80:], probabilities[80:])]
    pooled = pool(folds, aus=(1, 2, 4), threshold=[limits, 0.3])
    of_frames = np.vstack([np.tile(limits, (80, 1)), np.full((120, 3), 0.3)])
    predicted = (probabilities >= of_frames).astype(float)
    for row, other in zip(pooled.rows, evaluate(labels, predicted, aus=(1, 2, 4)).rows, strict=True):
        assert (row.f1, row.accuracy, row.mcc) == (other.f1, other.accuracy, other.mcc)


def test_folds_are_pooled_with_the_seed_that_was_given():
    rng = np.random.default_rng(5)
    folds = [(rng.choice([-1, 1], (30, 1)), rng.random((30, 1))) for _ in range(2)]
    subjects = [f"s{number}" for number in rng.integers(6, size=60)]
    options = {"aus": (1,), "subjects": subjects, "bootstrap": 20}
    usual = pool(folds, **options)
    assert usual == pool(folds, seed=0, **options)
    for seed in (1, 2):
        other = pool(folds, seed=seed, **options)
        assert other.rows == usual.rows and str(other.intervals) != str(usual.intervals)
    one = evaluate(*folds[0], aus=(1,))
    assert mean_of_folds([one]).rows == one.rows
