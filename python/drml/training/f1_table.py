"""``f1.csv``: F1 of each AU in each test pass of a training, computed from the counts in caffe's log.

If the layer that counts has a second top, the table also estimates the ROC-AUC and the standard deviation of
the probabilities over the faces (`drml.training.base_rates`).
"""

from __future__ import annotations

import csv
import math
from pathlib import Path
from typing import Any

from drml.data.manifest import LMDB_SUFFIX, manifest_path, read_columns
from drml.io.errors import UserError
from drml.io.figures import mean_of_defined
from drml.io.limits import open_list
from drml.nets.prototxt import data_paths
from drml.training.base_rates import Separation, estimate
from drml.training.caffe_log import OUTCOMES, Counts, f1_of_counts
from drml.training.pass_table import AVERAGE, PassTable

__all__ = [
    "F1_FILE",
    "F1Table",
    "aus_of_data",
    "columns_of_data",
    "mean_f1",
    "names_of_aus",
    "read_separations",
]

F1_FILE = "f1.csv"

_ESTIMATES = ("auc_estimate", "spread_estimate")
_HEADER = ["iteration", "seconds", "net", "au", *OUTCOMES, "f1", *_ESTIMATES]


def aus_of_data(net: Any) -> tuple[int, ...]:
    """Return the AUs whose occurrence the data that a NetParameter reads have, in the order of the labels.

    The manifest beside the LMDB names them; without one, the result is empty.
    """
    return columns_of_data(net)[0]


def columns_of_data(net: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the AUs of the occurrences, and of the intensities, in the data that a NetParameter reads."""
    for entry in data_paths(net):
        lmdb = Path(entry.path)
        if entry.field == "source" and lmdb.name.endswith(LMDB_SUFFIX) and manifest_path(lmdb).is_file():
            return read_columns(manifest_path(lmdb))
    return (), ()


def names_of_aus(net: Any) -> list[str]:
    """Name the outputs that are counted in the data that a NetParameter reads; empty if they are not known.

    These are the AUs of the occurrences (``AU1``), or, in data without any, those of the intensities.
    """
    occurrences, intensities = columns_of_data(net)
    return [f"AU{au}" for au in occurrences or intensities]


def mean_f1(counts: Counts) -> float:
    """Return the mean F1 of a test pass over the AUs where it is defined; NaN if it is nowhere."""
    return mean_of_defined([f1_of_counts(*row) for row in counts.rows])


class F1Table(PassTable):
    """``f1.csv``; parameters and attributes as `drml.training.pass_table.PassTable`, and one more attribute.

    Attributes
    ----------
    separation : Separation or None
        Of the last pass of the first test net; None if it cannot be estimated.
    """

    file = F1_FILE
    header = _HEADER
    separation: Separation | None = None

    def add(self, counts: Counts, seconds: str) -> float:
        """Write the counts and F1 of a pass; return the mean F1 over the AUs where it is defined."""
        names = self._names_of(len(counts.rows))
        scores = [f1_of_counts(*row) for row in counts.rows]
        mean = mean_f1(counts)
        separation = estimate(counts)
        aucs, spreads = separation or Separation(*[(math.nan,) * len(names)] * 2)
        rows = [
            [name, *("" if math.isnan(value) else int(value) for value in row), score, *_cells(*estimates)]
            for name, row, score, *estimates in zip(names, counts.rows, scores, aucs, spreads, strict=True)
        ]
        means = _cells(mean_of_defined(aucs), mean_of_defined(spreads))
        rows.append([AVERAGE, *("" for _ in OUTCOMES), mean, *means])
        self._append([counts.iteration, seconds, counts.net, *row] for row in rows)
        if counts.net == 0:
            self.last = {**dict(zip(names, scores, strict=True)), AVERAGE: mean}
            self.separation, self.iteration = separation, counts.iteration
        return mean


def _cells(auc: float, spread: float) -> list[str]:
    """Format estimates with as many digits as are meaningful; undefined ones are empty."""
    return ["" if math.isnan(auc) else f"{auc:.4f}", "" if math.isnan(spread) else f"{spread:.6f}"]


def read_separations(folder: Path) -> dict[int, Separation]:
    """Read the estimates of the first test net's passes from ``f1.csv``, by iteration.

    The result is empty if there is no such file, or if it has no estimates because the net's layer has no
    second top or an earlier version wrote the file.

    Raises
    ------
    UserError
        The file is damaged.
    """
    table = folder / F1_FILE
    if not table.is_file():
        return {}
    found: dict[int, list[tuple[float, float]]] = {}
    with open_list(table) as file:
        try:
            for row in csv.DictReader(file):
                texts = [row.get(name) or "nan" for name in _ESTIMATES]
                if int(row["net"]) == 0 and row["au"] != AVERAGE:
                    auc, spread = map(float, texts)
                    found.setdefault(int(row["iteration"]), []).append((auc, spread))
        except (KeyError, TypeError, ValueError, csv.Error):
            raise UserError(f"{table}: not what drml train writes; train again, or remove it") from None
    passes = {at: Separation(*map(tuple, zip(*rows, strict=True))) for at, rows in found.items()}
    return {at: one for at, one in passes.items() if not all(map(math.isnan, one.spreads))}
