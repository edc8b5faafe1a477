"""drml.evaluation.metrics against scikit-learn, and its conventions where a figure is undefined."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, f1_score, roc_auc_score
from sklearn.metrics import precision_recall_curve as sklearn_pr
from sklearn.metrics import roc_curve as sklearn_roc

from drml.data.labels import BP4D_BASE_RATES
from drml.evaluation import metrics

# Few distinct values, so that ties are common; some exactly at the threshold.
SCORES = st.one_of(st.sampled_from([0.0, 0.25, 0.5, 0.75, 1.0]), st.floats(0, 1))
FRAMES = st.lists(st.tuples(st.sampled_from([-1, 0, 1]), SCORES), max_size=40)


def oracle(frames):
    """Return F1, ROC-AUC and AP by scikit-learn on the known frames, by our rules for undefined ones."""
    known = [(label > 0, score) for label, score in frames if label]
    if not known:
        return math.nan, math.nan, math.nan
    truth = np.array([label for label, _ in known])
    scores = np.array([score for _, score in known])
    f1 = f1_score(truth, scores >= 0.5, zero_division=0)
    if truth.all() or not truth.any():
        return f1, math.nan, math.nan
    return f1, roc_auc_score(truth, scores), average_precision_score(truth, scores)


def check(frames):
    labels = [label for label, _ in frames]
    scores = [score for _, score in frames]
    ours = metrics.f1_frame(labels, scores), metrics.roc_auc(labels, scores)
    np.testing.assert_allclose(
        (*ours, metrics.average_precision(labels, scores)), oracle(frames), rtol=1e-9, atol=1e-12
    )


@settings(deadline=None, max_examples=60)
@given(FRAMES)
def test_agrees_with_scikit_learn(frames):
    check(frames)


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_scikit_learn_on_many_frames(seed):
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], 3000, p=[0.6, 0.1, 0.3])
    scores = np.round(np.clip(0.4 + 0.2 * labels + 0.3 * rng.standard_normal(3000), 0, 1), 1 + seed % 3)
    check(list(zip(labels.tolist(), scores.tolist(), strict=True)))


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
    assert metrics.f1_frame(labels, scores) == pytest.approx(f1, nan_ok=True)


def test_nothing_to_find_and_nothing_found_is_zero():
    assert metrics.f1_frame([-1, -1], [0.1, 0.2]) == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("label", [1, 0])
def test_probability_that_is_not_finite_is_refused(bad, label):
    with pytest.raises(ValueError, match=r"AU7: score .* at index 1 is not finite"):
        metrics.evaluate([[1, 1], [1, label]], [[0.1, 0.1], [0.2, bad]], aus=(6, 7))


def test_wrong_label_and_wrong_shape_are_refused():
    with pytest.raises(ValueError, match="label 9 at index 0 is none of -1, 0, 1"):
        metrics.roc_auc([9, 1], [0.1, 0.2])
    with pytest.raises(ValueError, match="one length"):
        metrics.roc_auc([1], [0.1, 0.2])
    with pytest.raises(ValueError, match=r"shape \(N, 2\)"):
        metrics.evaluate([[1]], [[0.5]], aus=(1, 2))


def random_test(seed, n=200, aus=(1, 2, 4)):
    rng = np.random.default_rng(seed)
    labels = rng.choice([-1, 0, 1], (n, len(aus)))
    return labels, np.clip(0.5 + 0.2 * labels + 0.3 * rng.standard_normal(labels.shape), 0, 1)


def test_evaluate_scores_each_column_by_itself():
    labels, probabilities = random_test(1)
    scores = metrics.evaluate(labels, probabilities, (1, 2, 4))
    for column, row in enumerate(scores.rows):
        y, p = labels[:, column], probabilities[:, column]
        assert (row.f1, row.auc, row.ap) == (
            metrics.f1_frame(y, p),
            metrics.roc_auc(y, p),
            metrics.average_precision(y, p),
        )
        assert row.known == (y != 0).sum()
        assert row.positives == (y == 1).sum()
        assert row.base_rate == row.positives / row.known
    assert scores.average("auc") == pytest.approx(np.mean([row.auc for row in scores.rows]))
    assert scores.undefined == {}


def test_average_leaves_out_what_is_undefined_and_says_so():
    labels = np.array([[1, -1, 0], [-1, -1, 0]])
    scores = metrics.evaluate(labels, [[0.9, 0.1, 0.5], [0.1, 0.1, 0.5]], aus=(1, 2, 4))
    assert scores.undefined == {"f1": [4], "auc": [2, 4], "ap": [2, 4]}
    assert scores.average("auc") == 1
    assert scores.average("f1") == 0.5
    plain = scores.to_dict()
    assert plain["aus"][2]["auc"] is None
    assert plain["average"]["trivial_auc"] == 0.5
    assert plain["left_out_of_average"] == scores.undefined


def test_trivial_row_is_the_all_positive_prediction():
    labels, probabilities = random_test(2)
    for column, row in enumerate(metrics.evaluate(labels, probabilities, (1, 2, 4)).rows):
        ones = np.ones(len(labels))
        assert row.trivial_f1 == pytest.approx(metrics.f1_frame(labels[:, column], ones))
        assert row.trivial_auc == metrics.roc_auc(labels[:, column], ones)
        assert row.trivial_ap == pytest.approx(metrics.average_precision(labels[:, column], ones))


def test_trivial_f1_of_bp4d_is_47_9():
    rates = np.array(list(BP4D_BASE_RATES.values()))
    known = 100_000
    positives = np.round(rates * known).astype(int)
    labels = np.where(np.arange(known)[:, None] < positives, 1, -1)
    scores = metrics.evaluate(labels, np.zeros(labels.shape), tuple(BP4D_BASE_RATES))
    assert scores.average("trivial_f1") == pytest.approx(0.479, abs=0.0005)


def test_pooled_folds_are_one_test_and_mean_of_folds_is_a_mean():
    folds = [random_test(3), random_test(4, n=50)]
    aus = (1, 2, 4)
    pooled = metrics.pool(folds, aus)
    assert pooled == metrics.evaluate(
        np.vstack([labels for labels, _ in folds]), np.vstack([p for _, p in folds]), aus
    )
    each = [metrics.evaluate(*fold, aus) for fold in folds]
    mean = metrics.mean_of_folds(each)
    for column, row in enumerate(mean.rows):
        assert row.f1 == pytest.approx(np.mean([scores.rows[column].f1 for scores in each]))
        assert row.known == pooled.rows[column].known


def test_mean_of_folds_skips_folds_without_the_figure():
    both = metrics.evaluate([[1], [-1]], [[0.9], [0.1]], aus=(1,))
    one_class = metrics.evaluate([[-1]], [[0.1]], aus=(1,))
    assert metrics.mean_of_folds([both, one_class]).rows[0].auc == 1
    with pytest.raises(ValueError, match="same AUs"):
        metrics.mean_of_folds([both, metrics.evaluate([[1]], [[0.9]], aus=(2,))])
    with pytest.raises(ValueError, match="no fold"):
        metrics.mean_of_folds([])
