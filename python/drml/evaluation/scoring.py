"""Score a trained network on prepared data: the table of F1-frame, ROC-AUC and AP per AU.

What the data are is told in `drml.data.split`; how a picture becomes the net's input, in
`drml.nets.preprocessing`.
"""

from __future__ import annotations

import csv
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from drml.data.labels import AU_NAMES, BP4D_AUS, DISFA_AUS
from drml.data.split import VERIFY, Split, open_split
from drml.evaluation import metrics
from drml.io.errors import UserError
from drml.io.files import writing
from drml.io.limits import LABELS, open_list
from drml.nets.net import CaffeNet, NetLike
from drml.nets.preprocessing import describe_preprocessing, find_preprocessing
from drml.training.base_rates import REMARK, Separation, spreads

__all__ = [
    "PredictionTable",
    "Predictions",
    "TestResult",
    "assess",
    "aus_of",
    "predict",
    "read_predictions",
    "score",
    "separation_of",
    "write_predictions",
    "write_scores",
]


@dataclass(frozen=True)
class Predictions:
    """What a net says of one test set, beside what is true.

    Attributes
    ----------
    weights, data : str
        As given.
    aus : tuple of int
        The AUs of the columns: those that both the net and the data have.
    keys : list of str
    labels : ndarray of int8, N x K
    probabilities : ndarray of float32 or float64, N x K
    subjects : int or None
        Number of subjects, where the manifest tells.
    synthetic : bool
    input : dict
        Mean and scale, and where they come from; of a model that is no net, its features.
    seconds : float
        Time it took, decoding included.
    not_scored : dict
        ``"net"`` and ``"data"``: the AUs that only one of the two has.
    classifier : dict or None
        What was fitted on the net's features, where the probabilities are not the net's own.
    """

    weights: str
    data: str
    aus: tuple[int, ...]
    keys: list[str]
    labels: NDArray[np.int8]
    probabilities: NDArray[np.floating[Any]]
    subjects: int | None
    synthetic: bool
    input: dict[str, Any]
    seconds: float
    not_scored: dict[str, tuple[int, ...]] = field(default_factory=dict)
    classifier: dict[str, Any] | None = None


def aus_of(data: Split, count: int, net_aus: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the AUs of the data's `count` labels; `net_aus` may be a hint where no manifest tells."""
    if data.manifest is not None:
        if len(data.manifest.aus) != count:
            raise UserError(
                f"{data.manifest.path}: {len(data.manifest.aus)} AUs, but {data.lmdb} has {count}; {VERIFY}"
            )
        return data.manifest.aus
    for known in (net_aus, BP4D_AUS, DISFA_AUS):
        if known is not None and len(known) == count:
            return tuple(known)
    raise UserError(f"{data.lmdb}: which AUs its {count} labels are is unknown; give --aus, or its manifest")


@dataclass(frozen=True)
class _Shared:
    """The AUs that net and data share, their columns in the outputs and the labels, and the other AUs."""

    aus: tuple[int, ...]
    outputs: list[int]
    columns: list[int]
    others: dict[str, tuple[int, ...]]


def _shared_aus(
    deploy: str | Path, outputs: int, net_aus: Sequence[int] | None, data: Split, labels: int
) -> _Shared:
    if net_aus is not None and len(net_aus) != outputs:
        raise UserError(f"{deploy}: {outputs} outputs, but {len(net_aus)} AUs given ({_list(net_aus)})")
    data_aus = aus_of(data, labels, net_aus)
    if net_aus is None:
        if outputs != len(data_aus):
            raise UserError(
                f"{deploy}: {outputs} outputs, but {data.name} has {len(data_aus)} AUs"
                f" ({_list(data_aus)}); name the AUs of the outputs with --aus to score the shared ones"
            )
        net_aus = data_aus
    shared = tuple(au for au in net_aus if au in data_aus)
    if not shared:
        raise UserError(f"{data.name}: has none of the net's AUs ({_list(net_aus)}), only {_list(data_aus)}")
    others = {
        "net": tuple(au for au in net_aus if au not in shared),
        "data": tuple(au for au in data_aus if au not in shared),
    }
    return _Shared(
        shared,
        [list(net_aus).index(au) for au in shared],
        [data_aus.index(au) for au in shared],
        {side: aus for side, aus in others.items() if aus},
    )


def _list(aus: Sequence[int]) -> str:
    return ", ".join(f"AU{au}" for au in aus)


def _output_blob(net: NetLike, deploy: str | Path) -> str:
    """Return the blob with the probabilities: ``prob``."""
    if "prob" not in net.blob_names:
        raise UserError(
            f"{deploy}: no blob 'prob' with the probabilities (it has {', '.join(net.blob_names)});"
            " end the net with a Sigmoid layer of that name"
        )
    return "prob"


def predict(
    deploy: str | Path,
    weights: str | Path,
    data: str | Path,
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
    batch: int = 32,
    aus: Sequence[int] | None = None,
    progress: bool = True,
    probe: bool = True,
) -> Predictions:
    """Run a net over one test set; the parameters are those of `score`."""
    source = open_split(data)
    settings = find_preprocessing(weights, source.lmdb, mean=mean, scale=scale)
    net = CaffeNet(deploy, weights, mean=settings.mean, scale=settings.scale, batch=batch, probe=probe)
    blob = _output_blob(net, deploy)
    start = time.perf_counter()
    keys: list[str] = []
    labels: list[NDArray[np.int8]] = []
    probabilities: list[NDArray[np.float32]] = []
    shared: _Shared | None = None
    with tqdm(total=source.size, desc=str(data), unit="img", disable=not progress) as bar:
        for some_keys, images, some_labels in source.batches(batch):
            output = net.forward(images, [blob])[blob].reshape(len(images), -1)
            if shared is None:  # at the first batch: what does not fit is told before the long work
                shared = _shared_aus(deploy, output.shape[1], aus, source, some_labels.shape[1])
            wrong = ~(output >= 0) | ~(output <= 1)
            if wrong.any():
                row, column = np.argwhere(wrong)[0]
                raise UserError(
                    f"{weights}: output {column} for record {some_keys[row]} is {output[row, column]},"
                    " not a probability; the training has diverged, or the net does not end in a Sigmoid"
                )
            keys += some_keys
            labels.append(some_labels[:, shared.columns])
            probabilities.append(output[:, shared.outputs])
            bar.update(len(images))
    if shared is None:
        raise UserError(f"{data}: no record to score")
    return Predictions(
        weights=str(weights),
        data=str(data),
        aus=shared.aus,
        keys=keys,
        labels=np.concatenate(labels),
        probabilities=np.concatenate(probabilities),
        subjects=source.count_subjects(keys),
        synthetic=source.synthetic,
        input=settings.to_dict(),
        seconds=time.perf_counter() - start,
        not_scored=shared.others,
    )


def separation_of(fold: Predictions) -> Separation:
    """Return how far a model's outputs tell the faces of a test set apart: exact figures by AU."""
    labels, values = fold.labels, fold.probabilities
    aucs = tuple(metrics.roc_auc(labels[:, column], values[:, column]) for column in range(len(fold.aus)))
    return Separation(aucs, spreads(labels, values))


@dataclass(frozen=True)
class TestResult:
    """The scores of one test set or of several folds.

    Attributes
    ----------
    model : str
    folds : list of Predictions
    fold_scores : list of Scores
        One per fold.
    pooled : Scores
        All test frames as one test; with one fold, its scores.
    mean : Scores or None
        Mean of the folds' figures; None with one fold.
    threshold : float
    options : dict
        The options of ``drml score`` that were given, as text: mean, scale, aus, threshold; else None.
    command : list of str or None
        The command that gives this again, where it is not ``drml score``.
    """

    model: str
    folds: list[Predictions]
    fold_scores: list[metrics.Scores]
    pooled: metrics.Scores
    mean: metrics.Scores | None
    threshold: float = metrics.THRESHOLD
    options: dict[str, str | None] = field(default_factory=dict)
    command: list[str] | None = None

    @property
    def synthetic(self) -> bool:
        """Any of the data are synthetic."""
        return any(fold.synthetic for fold in self.folds)

    @cached_property
    def separations(self) -> list[Separation]:
        """How far the outputs tell the faces of each fold apart."""
        return [separation_of(fold) for fold in self.folds]

    @property
    def at_base_rates(self) -> list[int]:
        """The folds, counted from 0, whose model predicts the base rates."""
        return [index for index, one in enumerate(self.separations) if one.at_base_rates]

    def remarks(self) -> list[str]:
        """Return a line for each fold whose model predicts the base rates."""
        several = len(self.folds) > 1
        return [
            (f"{self.folds[index].data}: the model" if several else "The model")
            + f" {REMARK} ({self.separations[index].to_text()})"
            for index in self.at_base_rates
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the single predictions as plain values, for JSON."""
        return {
            "model": self.model,
            "threshold": self.threshold,
            "options": self.options,
            "command": self.command,
            "synthetic": self.synthetic,
            "frames": sum(len(fold.keys) for fold in self.folds),
            "pooled": self.pooled.to_dict(),
            "mean_of_folds": self.mean.to_dict() if self.mean else None,
            "predicts_base_rates": len(self.at_base_rates) == len(self.folds),
            "folds": [
                {
                    "weights": fold.weights,
                    "data": fold.data,
                    "synthetic": fold.synthetic,
                    "frames": len(fold.keys),
                    "subjects": fold.subjects,
                    "input": fold.input,
                    "not_scored": {side: list(aus) for side, aus in fold.not_scored.items()},
                    **({"classifier": fold.classifier} if fold.classifier else {}),
                    "seconds": round(fold.seconds, 3),
                    "scores": scores.to_dict(),
                    "spreads": [None if math.isnan(value) else value for value in separation.spreads],
                    "predicts_base_rates": separation.at_base_rates,
                }
                for fold, scores, separation in zip(
                    self.folds, self.fold_scores, self.separations, strict=True
                )
            ],
        }

    def to_text(self) -> str:
        """Return the tables that ``drml score`` prints."""
        lines = []
        for fold in self.folds:
            subjects = f" of {fold.subjects} subjects" if fold.subjects else ""
            note = ", SYNTHETIC DATA (drawn faces)" if fold.synthetic else ""
            lines.append(f"{fold.data}: {len(fold.keys)} frames{subjects}{note}")
            lines.append(f"  weights {fold.weights}, {describe_preprocessing(fold.input)}")
            for side, aus in fold.not_scored.items():
                lines.append(f"  not scored, since only the {side} has them: {_list(aus)}")
            if fold.classifier:
                chosen = ", ".join(
                    f"{au} {'-' if c is None else c}" for au, c in fold.classifier["c"].items()
                )
                lines.append(f"  {fold.classifier['kind']} on {fold.classifier['blob']}, C: {chosen}")
                lines += [f"  {note}" for note in fold.classifier["notes"]]
        if self.mean is None:
            lines += ["", *_table(self.pooled)]
        else:
            lines += ["", f"Pooled over {len(self.folds)} folds", *_table(self.pooled)]
            lines += ["", f"Mean of {len(self.folds)} folds", *_table(self.mean)]
        lines += ["", *remarks] if (remarks := self.remarks()) else []
        return "\n".join(lines) + "\n"


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _table(scores: metrics.Scores) -> list[str]:
    head = f"{'AU':<26}{'frames':>8}{'base rate':>11}{'F1-frame':>10}{'ROC-AUC':>9}{'AP':>8}"

    def line(name: str, frames: str, *values: float) -> str:
        rate, f1, auc, ap = map(_cell, values)
        return f"{name:<26}{frames:>8}{rate:>11}{f1:>10}{auc:>9}{ap:>8}"

    lines = [head, "-" * len(head)]
    for row in scores.rows:
        name = f"{row.au:>2}  {AU_NAMES.get(row.au, '')}"
        lines.append(line(name, str(row.known), row.base_rate, row.f1, row.auc, row.ap))
    average = scores.average
    lines.append("-" * len(head))
    lines.append(line("Avg.", "", average("base_rate"), average("f1"), average("auc"), average("ap")))
    trivial = (average("trivial_f1"), average("trivial_auc"), average("trivial_ap"))
    lines.append(line("all positive (trivial)", "", average("base_rate"), *trivial))
    titles = {"f1": "F1-frame", "auc": "ROC-AUC", "ap": "AP"}
    for figure, aus in scores.undefined.items():
        reason = (
            "no frame with a known label" if figure == "f1" else "present and absent frames not both there"
        )
        lines.append(f"- {titles[figure]} undefined for {_list(aus)} ({reason}); left out of Avg.")
    return lines


def score(
    deploy: str | Path,
    weights: str | Path | Sequence[str | Path],
    data: str | Path | Sequence[str | Path],
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
    batch: int = 32,
    aus: Sequence[int] | None = None,
    threshold: float = metrics.THRESHOLD,
    progress: bool = True,
    probe: bool = True,
) -> TestResult:
    """Score a net on one test set, or the nets of several folds each on its own.

    Parameters
    ----------
    deploy : path
        Net whose blob ``prob`` holds one probability per AU.
    weights : path or sequence of path
        .caffemodel or .h5.
    data : path or sequence of path
        LMDB folder or manifest; as many as `weights`, in the same order.
    mean : path, optional
        mean.binaryproto; by default found as `drml.nets.preprocessing` tells. So is `scale`.
    scale : float, optional
        Factor after the mean is taken off.
    batch : int
        Pictures per pass.
    aus : sequence of int, optional
        The AUs of the net's outputs; by default those of the data. AUs that only one side has are not scored.
    threshold : float
        For F1-frame.
    progress : bool
        Show a progress bar.
    probe : bool
        As in `drml.nets.net.CaffeNet`.

    Returns
    -------
    TestResult

    Raises
    ------
    UserError
        Net, weights and data do not fit each other, or one of them is at fault: named.
    """
    all_weights = [weights] if isinstance(weights, str | Path) else list(weights)
    all_data = [data] if isinstance(data, str | Path) else list(data)
    if len(all_weights) != len(all_data) or not all_data:
        raise UserError(
            f"{len(all_weights)} weights files for {len(all_data)} data sets; give one of each per fold"
        )
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold {threshold}: give a probability, 0 to 1")
    folds = []
    for one_weights, one_data in zip(all_weights, all_data, strict=True):
        folds.append(
            predict(
                deploy,
                one_weights,
                one_data,
                mean=mean,
                scale=scale,
                batch=batch,
                aus=aus,
                progress=progress,
                probe=probe,
            )
        )
        if folds[-1].aus != folds[0].aus:
            raise UserError(
                f"{one_data}: AUs ({_list(folds[-1].aus)}) differ from those of {all_data[0]}"
                f" ({_list(folds[0].aus)})"
            )
    options = {
        "mean": None if mean is None else str(mean),
        "scale": None if scale is None else repr(scale),
        "aus": None if aus is None else ",".join(map(str, aus)),
        "threshold": None if threshold == metrics.THRESHOLD else repr(threshold),
    }
    return assess(str(deploy), folds, threshold=threshold, options=options)


def assess(
    model: str,
    folds: Sequence[Predictions],
    *,
    threshold: float = metrics.THRESHOLD,
    options: dict[str, str | None] | None = None,
    command: list[str] | None = None,
) -> TestResult:
    """Score predictions, one set per fold, of the same AUs; the parameters are as in `TestResult`."""
    fold_scores = [
        metrics.evaluate(fold.labels, fold.probabilities, fold.aus, threshold=threshold) for fold in folds
    ]
    pooled = metrics.pool(
        [(fold.labels, fold.probabilities) for fold in folds], folds[0].aus, threshold=threshold
    )
    mean = metrics.mean_of_folds(fold_scores) if len(folds) > 1 else None
    return TestResult(model, list(folds), fold_scores, pooled, mean, threshold, options or {}, command)


def write_predictions(path: str | Path, folds: Sequence[Predictions]) -> None:
    """Write a CSV: key, then per AU the probability ``p_AU1`` and the label ``y_AU1`` (1, -1, 0)."""
    aus = folds[0].aus
    with writing(path, newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", *(f"p_AU{au}" for au in aus), *(f"y_AU{au}" for au in aus)])
        for fold in folds:
            for key, probability, label in zip(fold.keys, fold.probabilities, fold.labels, strict=True):
                writer.writerow([key, *(f"{value:.6f}" for value in probability), *label.tolist()])


@dataclass(frozen=True)
class PredictionTable:
    """Predictions as `write_predictions` leaves them: K AUs, N keys, and labels and probabilities, N x K."""

    aus: tuple[int, ...]
    keys: list[str]
    labels: NDArray[np.int8]
    probabilities: NDArray[np.float64]


def read_predictions(path: str | Path) -> PredictionTable:
    """Read what `write_predictions` wrote, all folds in order.

    Raises
    ------
    UserError
        It is missing, or is not of that form.
    """
    try:
        with open_list(path) as file:
            header, *rows = csv.reader(file)
        aus = tuple(int(name[4:]) for name in header if name.startswith("p_AU"))
        if not 0 < len(aus) <= LABELS or header != [
            "key",
            *(f"{what}_AU{au}" for what in "py" for au in aus),
        ]:
            raise ValueError
        values = np.array([row[1:] for row in rows], np.float64).reshape(len(rows), 2 * len(aus))
        if not np.isin(values[:, len(aus) :], (-1, 0, 1)).all() or not np.isfinite(values).all():
            raise ValueError
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected what drml score --predictions writes") from None
    except (ValueError, csv.Error):
        raise UserError(f"{path}: not what drml score --predictions writes") from None
    labels = values[:, len(aus) :].astype(np.int8)
    return PredictionTable(aus, [row[0] for row in rows], labels, values[:, : len(aus)])


def write_scores(path: str | Path, result: TestResult) -> None:
    """Write the scores as JSON."""
    with writing(path, encoding="utf-8") as file:
        json.dump(result.to_dict(), file, indent=2, allow_nan=False)
        file.write("\n")
