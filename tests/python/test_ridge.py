"""Ridge regression of intensities: against normal equations, with unknown levels, and on prepared faces."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from sklearn.base import clone

from drml.baselines import RidgeRegression
from drml.baselines.input import InputError
from drml.evaluation import intensity_metrics
from drml.io.errors import UserError


def draw(rows: int = 60, features: int = 9, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int8]]:
    """Features of unlike means and sizes, of which one is constant, and levels of 3 AUs, some unknown."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, features)) * rng.uniform(0.1, 30, features) + rng.uniform(
        -50, 50, features
    )
    X[:, 4] = 7
    weights = rng.standard_normal((features, 3)) / X.std(0).clip(0.1)[:, None]
    Z = (X - X.mean(0)) @ weights
    Y = np.clip(np.rint(1.5 + 0.8 * Z + 0.4 * rng.standard_normal(Z.shape)), 0, 5).astype(np.int8)
    Y[rng.random(Y.shape) < 0.2] = 9
    return X.astype(np.float32), Y


def by_normal_equations(
    X: NDArray[np.float32], y: NDArray[np.int8], alpha: float
) -> tuple[NDArray[np.float64], float]:
    """Solve (Z'Z + alpha I) w = Z'(y - mean y) of the standardised known rows Z, row by row."""
    rows = [row.astype(np.float64) for row, level in zip(X, y, strict=True) if level != 9]
    levels = [float(level) for level in y if level != 9]
    mean = sum(rows) / len(rows)
    deviation = np.sqrt(sum((row - mean) ** 2 for row in rows) / len(rows))
    deviation[deviation < 1e-9] = 1
    centre = sum(levels) / len(levels)
    left, right = alpha * np.eye(X.shape[1]), np.zeros(X.shape[1])
    for row, level in zip(rows, levels, strict=True):
        z = (row - mean) / deviation
        left += np.outer(z, z)
        right += z * (level - centre)
    w = np.linalg.solve(left, right) / deviation
    return w, centre - float(mean @ w)


@pytest.mark.parametrize(("rows", "features"), [(60, 9), (25, 40)])
@pytest.mark.parametrize("alpha", [0.5, 30.0])
def test_weights_are_those_of_the_normal_equations(rows: int, features: int, alpha: float) -> None:
    X, Y = draw(rows, features)
    model = RidgeRegression(alphas=alpha).fit(X, Y)
    other = X.mean(0) + 9 * (draw(50, features)[0] - X.mean(0))
    estimates = model.predict(other)
    for column in range(3):
        w, b = by_normal_equations(X, Y[:, column], alpha)
        np.testing.assert_allclose(model.coef_[column], w, atol=1e-8)
        assert model.intercept_[column] == pytest.approx(b, abs=1e-6)
        np.testing.assert_allclose(estimates[:, column], np.clip(other @ w + b, 0, 5), atol=1e-5)
    assert (estimates.min(), estimates.max()) == (0, 5), "clipped on both sides"


def test_validation_chooses_the_penalty_with_the_highest_icc() -> None:
    alphas = (0.5, 2.0, 8.0, 30.0, 120.0)
    X, Y = draw(105, 40, seed=2)
    X, X_val, Y, Y_val = X[:60], X[60:], Y[:60], Y[60:]
    model = RidgeRegression(alphas=alphas, aus=(6, 10, 12)).fit(X, Y, validation=(X_val, Y_val))
    for column in range(3):
        found = []
        for alpha in alphas:
            w, b = by_normal_equations(X, Y[:, column], alpha)
            found.append(intensity_metrics.icc(Y_val[:, column], np.clip(X_val @ w + b, 0, 5)))
        np.testing.assert_allclose(model.validation_icc_[column], found, atol=1e-5)
        assert model.alpha_[column] == alphas[int(np.argmax(found))]
    assert len(set(model.alpha_)) > 1, "the choice is each AU's own"
    again = RidgeRegression(alphas=float(model.alpha_[1])).fit(X, Y[:, [1]])
    np.testing.assert_allclose(again.coef_[0], model.coef_[1], atol=1e-12)
    truth = [intensity_metrics.icc(Y_val[:, at], model.predict(X_val)[:, at]) for at in range(3)]
    assert model.score(X_val, Y_val) == pytest.approx(np.mean(truth))


def test_levels_that_tell_nothing() -> None:
    X, Y = draw()
    Y[:, 0], Y[:, 1] = 9, np.where(Y[:, 1] == 9, 9, 2)
    with pytest.warns(UserWarning) as caught:
        model = RidgeRegression(alphas=1.0, aus=(6, 10, 12)).fit(X, Y)
    assert [str(one.message).partition(";")[0] for one in caught] == [
        "AU6: never known among the training labels",
        "AU10: always 2 among the training labels",
    ]
    estimates = model.predict(X)
    assert set(estimates[:, 0]) == {0} and set(estimates[:, 1]) == {2} and np.std(estimates[:, 2]) > 0.5
    assert np.isnan(model.alpha_[:2]).all()
    held_out = np.full_like(Y, 3)
    with pytest.warns(UserWarning, match="AU12: the validation labels are all the same, the middle"):
        model = RidgeRegression(alphas=(1, 2, 4), aus=(6, 10, 12)).fit(X, Y, validation=(X, held_out))
    assert model.alpha_[2] == 2


def test_what_cannot_be_fitted() -> None:
    X, Y = draw()
    for wrong, said in (
        ({"X": X, "y": Y - 1}, r"labels other than 0 \(absent\) to 5 and 9 \(unknown\)"),
        ({"X": X, "y": Y[:-1]}, "N x K with N = 60"),
        ({"X": X, "y": Y, "validation": (X, Y[:, :2])}, "2 columns of validation labels, 3 of training's"),
    ):
        with pytest.raises(InputError, match=said):
            RidgeRegression().fit(**wrong)  # type: ignore[arg-type]  # several kinds of arguments
    with pytest.raises(InputError, match="5 candidates to choose from, and no validation set"):
        RidgeRegression().fit(X, Y)
    with pytest.raises(InputError, match="alphas"):
        RidgeRegression(alphas=(1, 0)).fit(X, Y)
    model = RidgeRegression(alphas=1).fit(X, Y)
    with pytest.raises(InputError, match="2 columns of labels, but the model has 3 AUs"):
        model.score(X, Y[:, :2])


def test_a_saved_model_estimates_the_same(tmp_path: Path) -> None:
    X, Y = draw()
    model = RidgeRegression(alphas=(1, 5), aus=(6, 10, 12)).fit(X, Y, validation=(X, Y))
    model.save(tmp_path / "model.npz")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        again = RidgeRegression.load(tmp_path / "model.npz")
    np.testing.assert_array_equal(again.predict(X), model.predict(X))
    np.testing.assert_array_equal(again.alpha_, model.alpha_)
    assert tuple(again.aus or ()) == (6, 10, 12) and clone(again).get_params()["alphas"] == (1, 5)
    from drml.baselines import LSVM

    with pytest.raises(UserError, match="a model of RidgeRegression, not of LSVM"):
        LSVM.load(tmp_path / "model.npz")
