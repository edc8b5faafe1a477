"""Runs a trained net over prepared data and scores it: F1-frame, ROC-AUC and AP per AU.

`drml.data.split` says what prepared data are, and `drml.nets.preprocessing` how an image becomes the net's
input.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from drml.data.labels import BP4D_AUS, DISFA_AUS, list_aus
from drml.data.split import VERIFY, Split, open_split
from drml.evaluation.metrics import THRESHOLD
from drml.evaluation.predictions import Predictions
from drml.evaluation.results import Evaluation, evaluate_folds
from drml.io.checks import check_probability
from drml.io.errors import UserError
from drml.nets.net import PROBABILITIES, CaffeNet
from drml.nets.preprocessing import find_preprocessing

__all__ = ["aus_of", "predict", "score"]


def aus_of(data: Split, count: int, net_aus: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the AUs of the data's labels.

    Parameters
    ----------
    data : Split
    count : int
        Labels of each record.
    net_aus : sequence of int, optional
        The AUs of a net's outputs.

    Returns
    -------
    tuple of int
        Those of the manifest. Without a manifest: `net_aus` if there are as many, else BP4D's for 12 labels
        and DISFA's for 8.

    Raises
    ------
    UserError
        The manifest and the labels do not agree, or the AUs are not known.
    """
    if data.manifest is not None:
        if len(data.manifest.aus) != count:
            raise UserError(
                f"{data.manifest.path}: {len(data.manifest.aus)} AUs, but {data.lmdb} has {count}; {VERIFY}"
            )
        return data.manifest.aus
    for known in (net_aus, BP4D_AUS, DISFA_AUS):
        if known is not None and len(known) == count:
            return tuple(known)
    raise UserError(
        f"{data.lmdb}: the AUs of its {count} labels are not known; name them with --aus, or put the manifest"
        " that drml prepare wrote next to it"
    )


@dataclass(frozen=True)
class _Shared:
    """The AUs that a net and data share, their columns in outputs and labels, and the other AUs."""

    aus: tuple[int, ...]
    outputs: list[int]
    columns: list[int]
    others: dict[str, tuple[int, ...]]


def _shared_aus(
    deploy: str | Path, outputs: int, net_aus: Sequence[int] | None, data: Split, labels: int
) -> _Shared:
    if net_aus is not None and len(net_aus) != outputs:
        raise UserError(f"{deploy}: {outputs} outputs, but {len(net_aus)} AUs given ({list_aus(net_aus)})")
    data_aus = aus_of(data, labels, net_aus)
    if net_aus is None:
        if outputs != len(data_aus):
            raise UserError(
                f"{deploy}: {outputs} outputs, but {data.name} has {len(data_aus)} AUs"
                f" ({list_aus(data_aus)}); name the AUs of the outputs with --aus to score the shared ones"
            )
        net_aus = data_aus
    shared = tuple(au for au in net_aus if au in data_aus)
    if not shared:
        raise UserError(
            f"{data.name}: has none of the net's AUs ({list_aus(net_aus)}), only {list_aus(data_aus)}"
        )
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
    """Run a net over one test set.

    Parameters
    ----------
    deploy, weights, data, mean, scale, batch, aus, progress, probe
        As in `score`, for one test set.

    Returns
    -------
    Predictions
        Of the AUs that both the net and the data have.

    Raises
    ------
    UserError
        As in `score`.
    """
    source = open_split(data)
    settings = find_preprocessing(weights, source.lmdb, mean=mean, scale=scale)
    net = CaffeNet(deploy, weights, mean=settings.mean, scale=settings.scale, batch=batch, probe=probe)
    net.count_probabilities()  # refuses a net without probabilities
    start = time.perf_counter()
    keys: list[str] = []
    labels: list[NDArray[np.int8]] = []
    probabilities: list[NDArray[np.float32]] = []
    shared: _Shared | None = None
    with tqdm(total=source.size, desc=str(data), unit="img", disable=not progress) as bar:
        for some_keys, images, some_labels in source.batches(batch):
            output = net.forward(images, [PROBABILITIES])[PROBABILITIES].reshape(len(images), -1)
            if shared is None:  # at the first batch, so that a mismatch is reported before the long work
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


def score(
    deploy: str | Path,
    weights: str | Path | Sequence[str | Path],
    data: str | Path | Sequence[str | Path],
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
    batch: int = 32,
    aus: Sequence[int] | None = None,
    threshold: float = THRESHOLD,
    progress: bool = True,
    probe: bool = True,
) -> Evaluation:
    """Score a net on one test set, or each fold's net on the test set of its fold.

    Parameters
    ----------
    deploy : path
        Net whose blob ``prob`` holds one probability per AU.
    weights : path or sequence of path
        Weights, one file per fold: .caffemodel or .h5.
    data : path or sequence of path
        LMDB folders or manifests; as many as `weights`, in the same order.
    mean : path, optional
        A mean.binaryproto; by default, `drml.nets.preprocessing` finds it, as it does `scale`.
    scale : float, optional
        Factor of the input after the mean is subtracted.
    batch : int
        Images per pass.
    aus : sequence of int, optional
        The AUs of the net's outputs; by default those of the data. AUs that only the net or only the data
        have are not scored.
    threshold : float
        For F1-frame: a probability, 0 to 1.
    progress : bool
        Show a progress bar.
    probe : bool
        As in `drml.nets.net.CaffeNet`.

    Returns
    -------
    Evaluation

    Raises
    ------
    UserError
        Net, weights and data do not fit together, or one of them is damaged; the message names it.
    """
    all_weights = [weights] if isinstance(weights, str | Path) else list(weights)
    all_data = [data] if isinstance(data, str | Path) else list(data)
    if len(all_weights) != len(all_data) or not all_data:
        raise UserError(
            f"{len(all_weights)} weights files for {len(all_data)} data sets; give one of each per fold"
        )
    check_probability(threshold, "threshold")
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
                f"{one_data}: AUs ({list_aus(folds[-1].aus)}) differ from those of {all_data[0]}"
                f" ({list_aus(folds[0].aus)})"
            )
    options = {
        "mean": None if mean is None else str(mean),
        "scale": None if scale is None else repr(scale),
        "aus": None if aus is None else ",".join(map(str, aus)),
        "threshold": None if threshold == THRESHOLD else repr(threshold),
    }
    return evaluate_folds(str(deploy), folds, threshold=threshold, options=options)
