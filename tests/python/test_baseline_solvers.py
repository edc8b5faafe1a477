"""The optima of LSVM, APL and JPML, against other ways to them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.svm import LinearSVC

from baseline_data import draw
from drml.baselines import APL, JPML, LSVM
from drml.baselines.design import designed
from drml.baselines.pairs import Pairs, phi_coefficients, relate, relation_terms
from drml.baselines.proximal import LOGISTIC, SQUARED_HINGE, shrink

PATCHES = 5
Array = NDArray[np.float64]


# --- pieces ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("loss", [LOGISTIC, SQUARED_HINGE], ids=["logistic", "squared hinge"])
def test_slopes_are_those_of_the_losses(loss: Any) -> None:
    z = np.linspace(-40, 40, 161)[:, None] + 0.01
    for label in (1, -1):
        y = np.full(z.shape, label, np.int8)
        numeric = (loss.value(y, z + 1e-5) - loss.value(y, z - 1e-5)) / 2e-5
        np.testing.assert_allclose(loss.slope(y, z), numeric, atol=1e-5)
        assert np.diff(loss.slope(y, z), axis=0).max() / 0.5 <= loss.curvature + 1e-12
    unknown = np.zeros(z.shape, np.int8)
    assert not loss.value(unknown, z).any() and not loss.slope(unknown, z).any()


def test_shrinking_is_the_proximal_map() -> None:
    rng = np.random.default_rng(0)
    W, by = rng.standard_normal((12, 2)), np.array([0.5, 2.0])
    found = shrink(W, 4, by)
    for column in range(2):

        def value(w: Array, column: int = column) -> float:
            norms = np.sqrt((w.reshape(4, 3) ** 2).sum(axis=1)).sum()
            return float(0.5 * ((w - W[:, column]) ** 2).sum() + by[column] * norms)

        best = value(found[:, column])
        assert all(value(found[:, column] + 0.1 * rng.standard_normal(12)) > best for _ in range(200))
    assert not shrink(np.zeros((4, 1)), 2, np.ones(1)).any()


@pytest.mark.parametrize("scale", [True, False])
def test_the_design_is_the_scaled_x(scale: bool) -> None:
    X, Y = draw(rows=1500)
    rng = np.random.default_rng(0)
    W, columns, R = rng.standard_normal((21, 3)), np.array([2, 0, 2]), rng.standard_normal((1500, 3))
    with designed(X, Y != 0, patches=PATCHES, scale=scale, intercept=True, n_jobs=2) as design:
        Z, G = design.forward(W, columns), design.backward(R, columns)
        weights, intercepts = design.unscaled(W, columns)
        squares = design.square
    np.testing.assert_allclose(X @ weights + intercepts, Z, atol=1e-9)
    for at, column in enumerate(columns):
        among = Y[:, column] != 0
        scaled = X
        if scale:
            scaled = X - X[among].mean(axis=0)
            scaled = scaled * np.sqrt(PATCHES / (scaled[among] ** 2).sum(axis=1).mean())
        whole = np.column_stack([scaled, np.ones(len(X))])
        np.testing.assert_allclose(Z[:, at], whole @ W[:, at], atol=1e-9)
        np.testing.assert_allclose(G[:, at], whole.T @ R[:, at], atol=1e-7)
        assert squares[column] == pytest.approx((whole[among] ** 2).sum(axis=1).mean())


# --- LSVM -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["gradient", "liblinear"])
@pytest.mark.parametrize("C", [1e-3, 1e-1, 10.0])
def test_lsvm_is_scikit_learns_on_the_known_labels(solver: str, C: float) -> None:
    X, Y = draw()
    X = X - 7  # as it is: without scaling, the gradient's way is long
    fitted = LSVM(Cs=C, solver=solver, scale=False, tol=1e-8, max_iter=20000).fit(X, Y)
    for column in range(Y.shape[1]):
        known = Y[:, column] != 0
        machine = LinearSVC(C=C, dual=False, tol=1e-10, max_iter=10000).fit(X[known], Y[known, column])
        np.testing.assert_allclose(fitted.coef_[column], machine.coef_[0], rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(fitted.intercept_[column], machine.intercept_[0], rtol=1e-4, atol=1e-6)


def test_both_solvers_of_lsvm_agree_on_scaled_x() -> None:
    X, Y = draw()
    one, two = (LSVM(Cs=1.0, solver=solver, tol=1e-8, max_iter=20000) for solver in ("gradient", "liblinear"))
    np.testing.assert_allclose(one.fit(X, Y).coef_, two.fit(X, Y).coef_, rtol=1e-4, atol=1e-6)


# --- APL ------------------------------------------------------------------------------------------------


def scaled(X: Array, known: NDArray[np.bool_], patches: int = PATCHES) -> Array:
    Z = X[known] - X[known].mean(axis=0)
    return np.asarray(Z * np.sqrt(patches / (Z**2).sum(axis=1).mean()))


def apl_gradient(Z: Array, y: Array, w: Array, b: float) -> tuple[Array, float]:
    slopes = -y * expit(-y * (Z @ w + b)) / len(y)
    return Z.T @ slopes, float(slopes.sum())


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("strength", [0.02, 0.1])
def test_apl_is_optimal(scale: bool, strength: float) -> None:
    X, Y = draw()
    X = X - 7
    fitted = APL(lambdas=strength, patches=PATCHES, scale=scale, tol=1e-8, max_iter=20000).fit(X, Y)
    zeros = 0
    for column in range(Y.shape[1]):
        known = Y[:, column] != 0
        y, weights = Y[known, column].astype(float), fitted.coef_[column]
        Z, w = X[known], weights
        if scale:
            Z = scaled(X, known)
            w = weights * np.linalg.norm(X[known] - X[known].mean(axis=0)) / np.linalg.norm(Z)
        b = float(np.mean(X[known] @ weights + fitted.intercept_[column] - Z @ w))
        gradient, by_b = apl_gradient(Z, y, w, b)
        assert abs(by_b) < 1e-7
        for patch in range(PATCHES):
            part = slice(patch * 4, patch * 4 + 4)
            norm = np.linalg.norm(w[part])
            if norm == 0:
                zeros += 1
                assert np.linalg.norm(gradient[part]) <= strength + 1e-7
            else:
                np.testing.assert_allclose(gradient[part], -strength * w[part] / norm, atol=1e-6)
        np.testing.assert_array_equal(
            fitted.patch_importance_[column] == 0, np.linalg.norm(w.reshape(PATCHES, 4), axis=1) == 0
        )
    assert zeros or strength < 0.1


def test_apl_agrees_with_a_plain_proximal_gradient() -> None:
    X, Y = draw()
    strength = 0.03
    fitted = APL(lambdas=strength, patches=PATCHES, tol=1e-9, max_iter=50000).fit(X, Y)
    for column in range(Y.shape[1]):
        known = Y[:, column] != 0
        Z, y = scaled(X, known), Y[known, column].astype(float)
        whole = np.column_stack([Z, np.ones(len(Z))])
        step = 1 / (0.25 * np.linalg.eigvalsh(whole.T @ whole / len(Z)).max())
        w, b = np.zeros(20), 0.0
        for _ in range(20000):
            gradient, by_b = apl_gradient(Z, y, w, b)
            w, b = w - step * gradient, b - step * by_b
            for patch in range(PATCHES):
                part = w[patch * 4 : patch * 4 + 4]
                part *= max(0.0, 1 - step * strength / max(float(np.linalg.norm(part)), 1e-300))
        factor = np.linalg.norm(Z) / np.linalg.norm(X[known] - X[known].mean(axis=0))
        np.testing.assert_allclose(fitted.coef_[column], w * factor, atol=1e-6)
        objective = np.logaddexp(0, -y * (Z @ w + b)).mean()
        objective += strength * np.linalg.norm(w.reshape(PATCHES, 4), axis=1).sum()
        assert fitted.objective_[column] == pytest.approx(objective, abs=1e-9)


def test_apl_agrees_with_l_bfgs_where_nothing_is_left_out() -> None:
    # With a light penalty no patch is 0, and the objective is smooth around the optimum.
    X, Y = draw()
    known = Y[:, 0] != 0
    Z, y = scaled(X, known), Y[known, 0].astype(float)

    def function(v: Array) -> tuple[float, Array]:
        w, b = v[:-1], v[-1]
        gradient, by_b = apl_gradient(Z, y, w, b)
        norms = np.linalg.norm(w.reshape(PATCHES, 4), axis=1)
        value = np.logaddexp(0, -y * (Z @ w + b)).mean() + 1e-3 * norms.sum()
        return value, np.append(gradient + 1e-3 * w / np.repeat(norms, 4), by_b)

    start = np.full(21, 0.1)
    found = minimize(function, start, jac=True, method="L-BFGS-B", options={"ftol": 0, "gtol": 1e-9})
    fitted = APL(lambdas=1e-3, patches=PATCHES, tol=1e-8, max_iter=20000).fit(X, Y[:, :1])
    assert (fitted.patch_importance_ > 0).all()
    assert fitted.objective_[0] == pytest.approx(found.fun, abs=1e-9)
    factor = np.linalg.norm(Z) / np.linalg.norm(X[known] - X[known].mean(axis=0))
    np.testing.assert_allclose(fitted.coef_[0], found.x[:-1] * factor, rtol=1e-4, atol=1e-5)


def test_apl_does_not_depend_on_the_units_of_x() -> None:
    X, Y = draw()
    one, two = (APL(lambdas=0.03, patches=PATCHES, tol=1e-8) for _ in range(2))
    np.testing.assert_allclose(one.fit(X, Y).coef_, two.fit(100 * X + 5, Y).coef_ * 100, atol=1e-6)


# --- JPML -----------------------------------------------------------------------------------------------


def test_phi_is_pearsons_over_jointly_known_labels() -> None:
    _, Y = draw()
    phi = phi_coefficients(Y)
    for i in range(4):
        for j in range(4):
            both = (Y[:, i] != 0) & (Y[:, j] != 0)
            assert phi[i, j] == pytest.approx(np.corrcoef(Y[both, i], Y[both, j])[0, 1])
    pairs = relate(Y)
    assert pairs.related == [(i, j) for i in range(4) for j in range(i + 1, 4) if phi[i, j] >= 0.3]
    assert pairs.competing == [(i, j) for i in range(4) for j in range(i + 1, 4) if phi[i, j] <= -0.1]
    assert (0, 1) in pairs.related and (0, 2) in pairs.competing
    flat = np.ones((5, 2), np.int8)
    assert np.isnan(phi_coefficients(flat)).all() and relate(flat) == Pairs([], [])


def test_relation_terms_and_their_gradients() -> None:
    rng = np.random.default_rng(0)
    Z, known = rng.standard_normal((30, 4)), rng.random((30, 4)) > 0.2
    pairs = Pairs([(0, 1), (1, 3)], [(0, 2), (2, 3)])
    pc, nc, d_pc, d_nc = relation_terms(Z, known, pairs)
    by_hand = [0.0, 0.0]
    for kind, some in enumerate((pairs.related, pairs.competing)):
        for i, j in some:
            rows = [n for n in range(30) if known[n, i] and known[n, j]]
            for n in rows:
                part = (Z[n, i] - Z[n, j]) ** 2 if kind == 0 else max(0.0, Z[n, i] + Z[n, j]) ** 2
                by_hand[kind] += part / (2 * len(rows))
    assert (pc, nc) == pytest.approx(tuple(by_hand))
    for row, column in [(0, 0), (3, 1), (7, 2), (12, 3), (20, 0), (29, 2)]:
        values = []
        for step in (1e-6, -1e-6):
            moved = Z.copy()
            moved[row, column] += step
            values.append(relation_terms(moved, known, pairs)[:2])
        numeric = (np.array(values[0]) - values[1]) / 2e-6
        np.testing.assert_allclose([d_pc[row, column], d_nc[row, column]], numeric, atol=1e-8)


STRONG: dict[str, Any] = {"alphas": 0.02, "betas1": 0.3, "betas2": 0.2, "patches": PATCHES, "max_outer": 400}


@pytest.mark.parametrize("rho", [0.02, 0.1, 0.5])
def test_jpml_converges_and_its_objective_does_not_rise(rho: float) -> None:
    X, Y = draw()
    fitted = JPML(**STRONG, tol=1e-5, rho=rho).fit(X, Y)
    objective, primal, dual, _ = fitted.history_.T
    assert len(objective) > 5
    assert np.diff(objective).max() <= 1e-5 * objective[0]
    assert objective[-1] < objective[0] - 1e-3
    assert primal[-1] < 1e-3 * primal.max() and dual[-1] < 1e-3 * dual.max()
    assert len(fitted.related_) and len(fitted.competing_)


def whole_objective(
    X: Array, Y: NDArray[np.int8], coef: Array, intercept: Array
) -> tuple[float, Array, Array]:
    """The module's formula from the weights in units of X, with its gradient by weights and intercepts."""
    total, by_coef, by_z = 0.0, np.zeros(coef.shape), np.zeros(Y.shape)
    Z = X @ coef.T + intercept
    for k in range(Y.shape[1]):
        known = Y[:, k] != 0
        margins = Y[known, k] * Z[known, k]
        total += np.logaddexp(0, -margins).mean()
        by_z[known, k] -= Y[known, k] * expit(-margins) / known.sum()
        spread = np.linalg.norm(X[known] - X[known].mean(axis=0)) / np.sqrt(PATCHES * known.sum())
        norms = np.linalg.norm(coef[k].reshape(PATCHES, 4), axis=1)
        total += 0.02 * spread * norms.sum()
        by_coef[k] = 0.02 * spread * coef[k] / np.repeat(np.maximum(norms, 1e-12), 4)
    pairs = relate(Y)
    for some, sign, beta in ((pairs.related, -1, 0.3), (pairs.competing, 1, 0.2)):
        for i, j in some:
            both = (Y[:, i] != 0) & (Y[:, j] != 0)
            part = np.where(both, Z[:, i] + sign * Z[:, j], 0)
            part = part if sign < 0 else np.maximum(0, part)
            total += beta * (part**2).sum() / (2 * both.sum())
            by_z[:, i] += beta * part / both.sum()
            by_z[:, j] += sign * beta * part / both.sum()
    return float(total), by_coef + by_z.T @ X, by_z.sum(axis=0)


def test_jpml_reaches_the_minimum_of_the_whole_objective() -> None:
    X, Y = draw()
    fitted = JPML(**STRONG, tol=1e-6, rho=0.05).fit(X, Y)
    best = whole_objective(X, Y, fitted.coef_, fitted.intercept_)[0]
    assert best == pytest.approx(fitted.history_[-1, 0], rel=1e-9)
    rng = np.random.default_rng(0)
    X = X - 7  # nothing but the intercepts changes

    def function(flat: Array) -> tuple[float, Array]:
        value, by_coef, by_intercept = whole_objective(X, Y, flat[:80].reshape(4, 20), flat[80:])
        return value, np.append(by_coef, by_intercept)

    # A general minimiser that knows nothing of patches, from anywhere.
    for _ in range(3):
        start = np.append(0.3 * rng.standard_normal(80), np.zeros(4))
        found = minimize(function, start, jac=True, method="L-BFGS-B", options={"maxiter": 150})
        assert found.fun >= best - 1e-6
        assert found.fun == pytest.approx(best, abs=5e-3)
    # And nothing around the optimum is lower.
    centred = np.append(fitted.coef_, fitted.intercept_ + 7 * fitted.coef_.sum(axis=1))
    for _ in range(200):
        assert function(centred + 0.003 * rng.standard_normal(84))[0] > best


def test_jpml_without_relations_is_apl() -> None:
    X, Y = draw()
    common: dict[str, Any] = {"patches": PATCHES, "tol": 1e-7}
    apl = APL(lambdas=0.03, **common).fit(X, Y)
    for betas in (
        {"betas1": 0.0, "betas2": 0.0},
        {"betas1": 1.0, "betas2": 1.0, "related": 1, "competing": -1},
    ):
        jpml = JPML(alphas=0.03, **betas, **common).fit(X, Y)
        np.testing.assert_allclose(jpml.coef_, apl.coef_, atol=1e-12)
        assert jpml.history_.shape == (1, 4)
        assert jpml.history_[0, 0] == pytest.approx(apl.objective_.sum())


def test_relations_bring_related_aus_together() -> None:
    X, Y = draw()

    def distances(beta1: float, beta2: float) -> tuple[float, float]:
        fitted = JPML(alphas=0.02, betas1=beta1, betas2=beta2, patches=PATCHES).fit(X, Y)
        Z = fitted.decision_function(X)
        return relation_terms(Z, Y != 0, relate(Y))[:2]

    alone = distances(0.0, 0.0)
    assert distances(1.0, 0.0)[0] < 0.5 * alone[0]
    assert distances(0.0, 1.0)[1] < 0.5 * alone[1]
