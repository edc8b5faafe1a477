"""LSVM, APL and JPML as estimators: scikit-learn's own checks, unknown labels, files, memory-mapped X."""

from __future__ import annotations

import tracemalloc
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import estimator_checks as checks

from baseline_data import draw
from drml.baselines import APL, JPML, LSVM
from drml.baselines.input import CHUNK
from drml.io.errors import UserError
from tiny_net import file_size_limit

# One candidate each, so that fit needs no validation.
ONE: dict[str, Any] = {
    "LSVM": LSVM(Cs=1.0),
    "APL": APL(lambdas=1e-2, patches=5),
    "JPML": JPML(alphas=1e-2, betas1=0.1, betas2=0.1, patches=5),
}
MODELS = list(ONE.values())


# --- scikit-learn's checks ------------------------------------------------------------------------------

# Left out: the checks of classifiers and regressors (they want `classes_`, class numbers or
# continuous targets; ours are multi-label signs with unknowns), of transformers and clusterers, of sample
# weights, of sparse input (only that it is refused), of array API and of metadata routing (none is offered);
# of NaN among the labels, which the class numbers hide; of data frames' column names, whose errors are
# matched over several lines where ours have one. The last two have tests of their own below.
CHECKS = [
    checks.check_no_attributes_set_in_init,
    checks.check_do_not_raise_errors_in_init_or_set_params,
    checks.check_parameters_default_constructible,
    checks.check_get_params_invariance,
    checks.check_set_params,
    checks.check_estimator_cloneable,
    checks.check_estimator_repr,
    checks.check_valid_tag_types,
    checks.check_mixin_order,
    checks.check_estimators_unfitted,
    checks.check_estimators_fit_returns_self,
    checks.check_fit_check_is_fitted,
    checks.check_fit_idempotent,
    checks.check_estimators_overwrite_params,
    checks.check_dont_overwrite_parameters,
    checks.check_dict_unchanged,
    checks.check_n_features_in,
    checks.check_n_features_in_after_fitting,
    checks.check_requires_y_none,
    checks.check_complex_data,
    checks.check_dtype_object,
    checks.check_estimators_dtypes,
    checks.check_estimators_nan_inf,
    checks.check_estimators_empty_data_messages,
    checks.check_estimator_sparse_tag,
    checks.check_estimator_sparse_array,
    checks.check_estimator_sparse_matrix,
    checks.check_estimator_tags_renamed,
    checks.check_positive_only_tag_during_fit,
    checks.check_pipeline_consistency,
    checks.check_fit1d,
    checks.check_fit2d_1feature,
    checks.check_fit2d_1sample,
    checks.check_fit2d_predict1d,
    checks.check_methods_sample_order_invariance,
    checks.check_methods_subset_invariance,
    checks.check_readonly_memmap_input,
    checks.check_f_contiguous_array_estimator,
    checks.check_estimators_pickle,
]


def of_classes(model: Any) -> Any:
    """The same estimator for class numbers: the first class becomes -1, the others 1, one column."""
    base = type(model)

    def fit(self: Any, X: Any, y: Any = None) -> Any:
        if y is not None and len(y):
            y = np.where(np.asarray(y) == np.unique(y)[0], -1, 1).reshape(-1, 1)
        return base.fit(self, X, y)

    def score(self: Any, X: Any, y: Any) -> Any:
        y = np.where(np.asarray(y) == np.unique(y)[0], -1, 1).reshape(-1, 1)
        return base.score(self, X, y)

    # The same name, which the checks look for in messages; in this module, where pickle finds it.
    adapted = type(
        base.__name__,
        (base,),
        {"fit": fit, "score": score, "__module__": __name__, "__init__": base.__init__},
    )
    globals()[base.__name__ + "OfClasses"] = adapted
    adapted.__qualname__ = base.__name__ + "OfClasses"
    params = {**model.get_params(), "patches": 1} if hasattr(model, "patches") else model.get_params()
    return adapted(**params)


@pytest.mark.filterwarnings("ignore:.*its decision is constant", "ignore:.*not converged")
@pytest.mark.parametrize("model", MODELS, ids=ONE)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_scikit_learns_checks(check: Any, model: Any) -> None:
    adapted = of_classes(model)
    check(type(adapted).__name__, adapted)


# --- what all three promise -----------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS, ids=ONE)
def test_decisions_are_linear_and_predictions_their_signs(model: Any) -> None:
    X, Y = draw()
    fitted = clone(model).fit(X, Y)
    decisions = fitted.decision_function(X)
    assert fitted.coef_.shape == (4, 20) and decisions.shape == Y.shape
    np.testing.assert_allclose(decisions, X @ fitted.coef_.T + fitted.intercept_, atol=1e-9)
    np.testing.assert_array_equal(fitted.predict(X), np.where(decisions >= 0, 1, -1))
    assert (fitted.predict(X) == Y)[Y != 0].mean() > 0.75


@pytest.mark.parametrize("model", MODELS, ids=ONE)
def test_rows_without_a_label_do_not_matter(model: Any) -> None:
    X, Y = draw()
    other = X.copy()
    if isinstance(model, JPML):
        # AUs are tied by their pairs: only rows that say nothing of any AU are without influence.
        Y[::6] = 0
        other[::6] = 1e3
        columns = slice(None)
    else:
        other[Y[:, 1] == 0] = 1e3
        columns = 1
    one, two = (clone(model).fit(some, Y) for some in (X, other))
    np.testing.assert_allclose(two.coef_[columns], one.coef_[columns], rtol=1e-7, atol=1e-10)
    np.testing.assert_allclose(two.intercept_[columns], one.intercept_[columns], rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("model", MODELS, ids=ONE)
def test_an_au_of_one_class_is_constant_and_said(model: Any) -> None:
    X, Y = draw()
    Y[Y[:, 0] == -1, 0] = 0
    Y[Y[:, 2] == 1, 2] = -1
    Y[:, 3] = 0
    with pytest.warns(UserWarning) as caught:
        fitted = clone(model).set_params(aus=(1, 2, 4, 6)).fit(X, Y)
    said = [str(warning.message) for warning in caught]
    assert [text.split(":")[0] for text in said] == ["AU1", "AU4", "AU6"]
    assert "AU1: only present among the known training labels" in said[0]
    assert "AU4: never present" in said[1] and "decision is constant" in said[1]
    assert fitted.constant_.tolist() == [True, False, True, True]
    assert (fitted.predict(X)[:, [0, 2, 3]] == [1, -1, -1]).all()
    assert set(fitted.predict(X)[:, 1]) == {1, -1}
    with pytest.warns(UserWarning, match="constant"):
        none = clone(model).fit(X, np.zeros((len(X), 2), int))
    assert (none.predict(X) == -1).all()


@pytest.mark.parametrize("model", MODELS, ids=ONE)
@pytest.mark.parametrize("jobs", [1, 3])
def test_memory_mapped_x_on_several_threads_is_the_same(model: Any, jobs: int, tmp_path: Path) -> None:
    X, Y = draw(rows=CHUNK * 2 + 100)
    np.save(tmp_path / "X.npy", X.astype(np.float32))
    mapped = np.load(tmp_path / "X.npy", mmap_mode="r")
    alone = clone(model).fit(X.astype(np.float32), Y)
    fitted = clone(model).set_params(n_jobs=jobs).fit(mapped, Y)
    np.testing.assert_array_equal(fitted.coef_, alone.coef_)
    # In 32 bits the end is found within the tolerance, and no nearer than their rounding allows.
    exact = clone(model).fit(X, Y)
    assert np.abs(fitted.coef_ - exact.coef_).max() < 0.02 * np.abs(exact.coef_).max()


@pytest.mark.parametrize("model", MODELS, ids=ONE)
def test_x_is_not_copied(model: Any, tmp_path: Path) -> None:
    rows = 30 * CHUNK
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (rows, 200))
    few, Y = draw(rows)
    X[:] = np.tile(few, 10)
    fitted = clone(model).set_params(max_iter=3)
    if isinstance(model, JPML):
        fitted.set_params(max_outer=2)
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted.fit(X, Y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # The decisions and slopes of 4 AUs take some of it.
    assert peak < 0.6 * X.nbytes


@pytest.mark.parametrize("model", MODELS, ids=ONE)
def test_files_hold_the_model(model: Any, tmp_path: Path) -> None:
    X, Y = draw()
    fitted = clone(model).set_params(aus=(1, 2, 4, 6)).fit(X, Y)
    path = tmp_path / "model.npz"
    fitted.save(path)
    again = type(model).load(path)
    np.testing.assert_array_equal(again.decision_function(X), fitted.decision_function(X))
    assert again.get_params() == fitted.get_params()
    public = {name for name in vars(fitted) if name.endswith("_")}
    assert {name for name in vars(again) if name.endswith("_")} == public
    for name in public:
        np.testing.assert_array_equal(getattr(again, name), getattr(fitted, name))
    with np.load(path, allow_pickle=False) as file:
        assert all(file[name].dtype != object for name in file.files)
    with pytest.raises(UserError, match="20 features"):
        again.decision_function(X[:, :10])


def test_files_that_are_no_model_are_named(tmp_path: Path) -> None:
    X, Y = draw()
    path = tmp_path / "model.npz"
    ONE["LSVM"].fit(X, Y).save(path)
    with pytest.raises(UserError, match="a model of LSVM, not of APL"):
        APL.load(path)
    with pytest.raises(UserError, match=r"none\.npz: no such model"):
        LSVM.load(tmp_path / "none.npz")
    for content in (b"", b"text", path.read_bytes()[:300]):
        (tmp_path / "bad.npz").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.npz: cannot be read as a model of LSVM"):
            LSVM.load(tmp_path / "bad.npz")
    with file_size_limit(100), pytest.raises(OSError, match=r"full\.npz"):
        ONE["LSVM"].save(tmp_path / "full.npz")
    assert not list(tmp_path.glob("full*"))


@pytest.mark.parametrize("model", MODELS, ids=ONE)
def test_bad_input_is_a_user_error_of_one_line(model: Any) -> None:
    X, Y = draw(60)
    broken = X.copy()
    broken[3, 3] = np.nan
    for x, y, said in (
        (broken, Y, "NaN"),
        (X, Y[:-1], "labels of the shape"),
        (X, Y[:, 0], "labels of the shape"),
        (X, np.where(Y == 0, 2, Y), "labels other than"),
        (X, Y * 0.5, "labels other than"),
        (X, np.where(Y == 0, np.nan, Y), "labels other than"),
    ):
        with pytest.raises(UserError, match=said) as caught:
            clone(model).fit(x, y)
        assert "\n" not in str(caught.value) and isinstance(caught.value, ValueError)
    with pytest.raises(UserError, match="3 columns of validation labels, 4"):
        clone(model).fit(X, Y, validation=(X, Y[:, :3]))
    with pytest.raises(UserError, match="19 features"):
        clone(model).fit(X, Y, validation=(X[:, :19], Y))
    with pytest.raises(UserError, match="4 columns of labels, but 2 AUs"):
        clone(model).set_params(aus=(1, 2)).fit(X, Y)
    with pytest.raises(UserError, match="tol=0"):
        clone(model).set_params(tol=0).fit(X, Y)


@pytest.mark.parametrize("model", MODELS, ids=ONE)
def test_names_of_columns_are_kept_and_compared(model: Any, tmp_path: Path) -> None:
    X, Y = draw()
    frame = pandas.DataFrame(X, columns=[f"x{number}" for number in range(20)])
    fitted = clone(model).fit(frame, Y)
    fitted.save(tmp_path / "model.npz")
    for one in (fitted, type(model).load(tmp_path / "model.npz")):
        assert one.decision_function(frame).shape == Y.shape
        with pytest.raises(UserError, match="feature names should match"):
            one.decision_function(frame[frame.columns[::-1]])


@pytest.mark.parametrize(
    ("model", "said"),
    [
        (LSVM(), "5 candidates to choose from, and no validation set"),
        (LSVM(Cs=-1.0), "Cs=-1"),
        (LSVM(Cs=1.0, solver="newton"), "solver='newton'"),
        (APL(patches=5), "4 candidates to choose from"),
        (APL(lambdas=(), patches=5), "lambdas="),
        (APL(lambdas=1e-3), "20 features are not 49 patches"),
        (APL(lambdas=1e-3, patches=0), "patches=0"),
        (JPML(patches=5), "16 candidates to choose from"),
        (JPML(alphas=1e-3, betas1=-1, betas2=0, patches=5), "betas1=-1"),
        (JPML(alphas=1e-3, betas1=1, betas2=0, patches=5, related=-0.5), "related=-0.5"),
        (JPML(alphas=1e-3, betas1=1, betas2=0, patches=5, rho=0), "rho=0"),
    ],
)
def test_bad_parameters_are_named(model: Any, said: str) -> None:
    with pytest.raises(UserError, match=said):
        model.fit(*draw(60))


@pytest.mark.parametrize(
    ("several", "chosen", "values"),
    [
        (LSVM(Cs=(1e-6, 1.0)), "C_", (1e-6, 1.0)),
        (APL(lambdas=(10.0, 1e-2), patches=5), "lambda_", (10.0, 1e-2)),
        (JPML(alphas=(10.0, 1e-2), betas1=(1.0, 0.1), betas2=(0.0,), patches=5), "alpha_", (10.0, 1e-2)),
    ],
    ids=list(ONE),
)
def test_validation_chooses(several: Any, chosen: str, values: tuple[float, ...]) -> None:
    X, Y = draw()
    held_out = draw(seed=1)
    # 10 leaves no patch in, and nothing but the more frequent class to predict.
    fitted = several.fit(X, Y, validation=held_out)
    assert np.all(np.isin(getattr(fitted, chosen), values))
    if not isinstance(fitted, LSVM):
        assert np.all(getattr(fitted, chosen) == 1e-2)
    assert np.nanmax(fitted.validation_f1_, axis=1).min() > 0.6
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        several.fit(X, Y, validation=(held_out[0], np.minimum(held_out[1], 0)))
    if not isinstance(fitted, JPML):
        assert any("the validation set does not hold both classes" in str(w.message) for w in caught)


@pytest.mark.parametrize("model", MODELS, ids=ONE)
def test_too_few_iterations_are_said(model: Any) -> None:
    with pytest.warns(ConvergenceWarning, match=r"(column 0.*not converged in 1 iter|ADMM did not)"):
        clone(model).set_params(max_iter=1, tol=1e-9).fit(*draw())


@pytest.mark.parametrize("model", MODELS, ids=ONE)
def test_progress_is_told(model: Any) -> None:
    heard: list[tuple[int, int, str]] = []
    clone(model).fit(*draw(), progress=lambda *what: heard.append(what))
    assert heard and all(0 <= done <= total for done, total, _ in heard)
    if isinstance(model, JPML):
        assert "objective" in heard[-1][2]
    else:
        assert heard[-1][0] == heard[-1][1]


def test_the_objective_is_that_of_the_lambda_that_was_chosen() -> None:
    X, Y = draw()
    model = APL(patches=5, lambdas=[0.3, 0.01], tol=1e-5).fit(X, Y, validation=draw(seed=1))
    assert 0.01 in model.lambda_
    for column, chosen in enumerate(model.lambda_):
        alone = APL(patches=5, lambdas=float(chosen), tol=1e-5).fit(X, Y)
        assert model.objective_[column] == pytest.approx(alone.objective_[column], rel=1e-3)
