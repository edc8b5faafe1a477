"""What linear baselines share on a prepared fold: its features, the progress of a fit, what was fitted."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tqdm import tqdm

from drml.experiments.sift import Features, sift_features
from drml.io.errors import UserError
from drml.io.figures import json_value
from drml.io.files import check_inputs_kept, check_target

__all__ = ["describe_features", "describe_fit", "read_fold", "shown"]

_SPLITS = ("train", "val", "test")


def read_fold(
    fold: Path,
    out: Path,
    *,
    features: str | Path | None,
    window: float,
    jobs: int,
    progress: bool,
    overwrite: bool,
    intensities: bool = False,
) -> dict[str, Features]:
    """Check the fold and the output folder before any work, and return the features of the three splits.

    Parameters
    ----------
    fold, out, features, window, jobs, progress, overwrite
        As in `drml.experiments.baseline.run_baseline`.
    intensities : bool
        Which labels the method is fitted to: intensities, or occurrences.

    Raises
    ------
    UserError
        The data are missing or damaged, have no such labels, or the folder cannot be used.
    """
    _check(fold, out, overwrite)
    data = {
        split: sift_features(
            fold / f"{split}_lmdb", folder=features, window=window, jobs=jobs, progress=progress
        )
        for split in _SPLITS
    }
    train = data["train"]
    if not (train.intensity_aus if intensities else train.aus):
        there, wanted = ("occurrences", "intensity") if intensities else ("intensities", "occurrence")
        raise UserError(f"{fold}: its labels are {there}; prepare the data with --target {wanted}, or both")
    for split, found in data.items():
        if (found.aus, found.intensity_aus) != (train.aus, train.intensity_aus):
            raise UserError(
                f"{found.path}: the AUs of {split} differ from those of train; prepare the data again"
            )
    return data


def _check(fold: Path, out: Path, overwrite: bool) -> None:
    """Check the fold and the output folder before any work."""
    check_inputs_kept(out, [fold])
    check_target(out, folder=True, overwrite=overwrite)
    if not fold.is_dir():
        raise UserError(f"{fold}: no such folder; give a fold of drml prepare, such as data/drml/fold1")
    for split in _SPLITS:
        if not (fold / f"{split}_lmdb").is_dir():
            more = ", with a share for validation (--val-share)" if split == "val" else ""
            raise UserError(f"{fold}: no {split}_lmdb in it; prepare the data with drml prepare{more}")


def describe_features(window: float) -> dict[str, str]:
    """Describe the input of a linear method, as predictions record it."""
    return {"features": f"SIFT at 49 landmarks, window {window:g} px"}


def describe_fit(method: str, model: Any, seconds: float, data: dict[str, Features]) -> dict[str, Any]:
    """Return what was fitted and chosen, as values that JSON can hold."""
    chosen = {
        name.removesuffix("_"): value
        for name, value in vars(model).items()
        if name.endswith("_") and name not in ("coef_", "intercept_", "n_features_in_")
    }
    return {
        "method": method,
        "params": json_value(model.get_params()),
        "aus": list(model.aus),
        "frames": {split: len(features.keys) for split, features in data.items()},
        "chosen": json_value(chosen),
        "seconds": round(seconds, 3),
    }


@contextmanager
def shown(method: str, progress: bool) -> Iterator[Callable[[int, int, str], None]]:
    """Show the fit as a progress bar, JPML's outer iterations as lines, and warnings as notes."""
    with (
        tqdm(desc=f"fitting {method}", unit="step", disable=not progress) as bar,
        warnings.catch_warnings(record=True) as caught,
    ):
        warnings.simplefilter("always")

        def report(ended: int, total: int, text: str) -> None:
            bar.total, bar.n = total, ended
            if "objective" in text and progress:
                tqdm.write(text, file=sys.stderr)
                bar.refresh()
            else:
                bar.set_postfix_str(text)

        yield report
    for warning in caught:
        print(f"note: {' '.join(str(warning.message).split())}", file=sys.stderr)
