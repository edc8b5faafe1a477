"""LSVM, APL and JPML inside scikit-learn's GridSearchCV with a PredefinedSplit, against loops."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from baseline_data import draw
from drml.baselines import APL, JPML, LSVM
from drml.io.errors import UserError

TRAIN = 160
SEARCHES: dict[str, tuple[Any, dict[str, list[float]]]] = {
    "LSVM": (LSVM(), {"Cs": [1e-5, 1e-4, 1e-2, 1.0]}),
    "APL": (APL(patches=5), {"lambdas": [0.3, 0.1, 0.01]}),
    "JPML": (JPML(patches=5, betas2=0.01), {"alphas": [0.3, 0.01], "betas1": [0.0, 0.1]}),
}


def mean_f1(labels: NDArray[np.int8], decisions: NDArray[np.float64]) -> float:
    """Count frame by frame; the mean is over the AUs with a known label."""
    figures = []
    for column in range(labels.shape[1]):
        hits = errors = known = 0
        for label, decision in zip(labels[:, column], decisions[:, column], strict=True):
            if label == 0:
                continue
            known += 1
            hits += int(label == 1 and decision >= 0)
            errors += int((label == 1) != (decision >= 0))
        if known:
            figures.append(2 * hits / (2 * hits + errors) if hits else 0.0)
    return sum(figures) / len(figures)


@pytest.fixture(scope="module")
def data() -> tuple[NDArray[np.float64], NDArray[np.int8]]:
    X, Y = draw(rows=240)
    assert (Y == 0).any(axis=0).all() and (Y == 0).mean() > 0.1
    return X, Y


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_finds_what_a_loop_finds(name: str, data: tuple[Any, Any]) -> None:
    model, grid = SEARCHES[name]
    X, Y = data
    fold = np.where(np.arange(len(X)) < TRAIN, -1, 0)
    search = GridSearchCV(clone(model), grid, cv=PredefinedSplit(fold), error_score="raise").fit(X, Y)

    candidates = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    scores = []
    for candidate in candidates:
        fitted = clone(model).set_params(**candidate).fit(X[:TRAIN], Y[:TRAIN])
        scores.append(mean_f1(Y[TRAIN:], X[TRAIN:] @ fitted.coef_.T + fitted.intercept_))
    found = dict(
        zip(map(str, search.cv_results_["params"]), search.cv_results_["mean_test_score"], strict=True)
    )
    for candidate, score in zip(candidates, scores, strict=True):
        assert found[str(candidate)] == pytest.approx(score, abs=1e-12)
    assert len(set(scores)) > 1
    assert search.best_score_ == pytest.approx(max(scores), abs=1e-12)
    assert found[str(search.best_params_)] == search.best_score_
    # The estimator that the search leaves is fitted on all rows with the best candidate.
    whole = clone(model).set_params(**search.best_params_).fit(X, Y)
    np.testing.assert_allclose(search.decision_function(X), whole.decision_function(X))
    assert search.score(X, Y) == pytest.approx(mean_f1(Y, whole.decision_function(X)))


def test_a_search_works_through_a_pipeline(data: tuple[Any, Any]) -> None:
    X, Y = data
    steps = make_pipeline(StandardScaler(), LSVM(scale=False, tol=1e-5))
    fold = np.where(np.arange(len(X)) < TRAIN, -1, 0)
    search = GridSearchCV(steps, {"lsvm__Cs": [1e-4, 1e-2]}, cv=PredefinedSplit(fold)).fit(X, Y)
    inner = (X - X[:TRAIN].mean(axis=0)) / X[:TRAIN].std(axis=0)
    for C, score in zip((1e-4, 1e-2), search.cv_results_["mean_test_score"], strict=True):
        model = LSVM(Cs=C, scale=False, tol=1e-5).fit(inner[:TRAIN], Y[:TRAIN])
        assert score == pytest.approx(mean_f1(Y[TRAIN:], model.decision_function(inner[TRAIN:])), abs=1e-12)


def test_the_score_is_the_mean_over_the_aus_with_a_known_label(data: tuple[Any, Any]) -> None:
    X, Y = data
    model = LSVM(Cs=1e-3).fit(X, Y)
    decisions = model.decision_function(X)
    assert model.score(X, Y) == pytest.approx(mean_f1(Y, decisions))
    some = Y.copy()
    some[:, 1] = 0
    kept = [0, 2, 3]
    assert model.score(X, some) == pytest.approx(mean_f1(Y[:, kept], decisions[:, kept]))
    assert math.isnan(model.score(X, np.zeros_like(Y)))
    with pytest.raises(UserError, match="3 columns of labels, but the model has 4 AUs"):
        model.score(X, Y[:, :3])
    with pytest.raises(UserError, match="labels of the shape"):
        model.score(X, Y[:10])


@pytest.mark.parametrize("name", SEARCHES)
def test_clones_and_parameters_are_those_that_were_given(name: str) -> None:
    model, grid = SEARCHES[name]
    changed = clone(model).set_params(**{key: values[-1] for key, values in grid.items()}, n_jobs=2)
    assert clone(changed).get_params() == changed.get_params() != model.get_params()
