"""Files of fitted estimators: an ``.npz`` with arrays and a JSON text, nothing pickled."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from drml.io.errors import UserError
from drml.io.files import writing
from drml.io.limits import read_npz

__all__ = ["read_model", "write_model"]


def write_model(path: str | Path, model: Any, attributes: Sequence[str]) -> None:
    """Write an estimator's class, parameters and fitted attributes.

    Raises
    ------
    OSError
        The file cannot be written; no part of it is left.
    """
    arrays: dict[str, Any] = {name: np.asarray(getattr(model, name)) for name in attributes}
    meta = {
        "estimator": type(model).__name__,
        "params": model.get_params(),
        "feature_names": [str(name) for name in getattr(model, "feature_names_in_", ())],
    }
    text = np.array(json.dumps(meta, default=_json_default))
    with writing(path, "wb") as file:
        np.savez(file, meta=text, **arrays)


def read_model(path: str | Path, kind: type[Any], attributes: Sequence[str]) -> Any:
    """Read what `write_model` wrote of an estimator of class `kind`.

    Raises
    ------
    UserError
        The file is missing, damaged, or holds a model of another class.
    """
    try:
        meta = json.loads(str(read_npz(path, ("meta",))["meta"]))
        if meta["estimator"] != kind.__name__:
            raise UserError(f"{path}: a model of {meta['estimator']}, not of {kind.__name__}")
        model = kind(**{name: _tuples(value) for name, value in meta["params"].items()})
        for name, array in read_npz(path, tuple(attributes)).items():
            setattr(model, name, array if array.ndim else array.item())
        model.n_features_in_ = model.coef_.shape[1]
        if meta["feature_names"]:
            model.feature_names_in_ = np.array(meta["feature_names"], object)
    except FileNotFoundError:
        raise UserError(f"{path}: no such model") from None
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{path}: cannot be read as a model of {kind.__name__} ({error})") from None
    return model


def _json_default(value: Any) -> Any:
    """Convert NumPy's numbers and arrays to what JSON can hold."""
    if isinstance(value, np.generic | np.ndarray):
        return value.tolist()
    raise TypeError(f"a parameter of the type {type(value).__name__} cannot be saved")


def _tuples(value: Any) -> Any:
    return tuple(map(_tuples, value)) if isinstance(value, list) else value
