"""Trains a net with the real ``caffe train`` in a folder of its own, with a progress bar and tables.

A training leaves these files in its folder OUT:

* ``solver.prototxt`` and its nets, with data paths, seed and snapshot prefix filled in: ``caffe train
  -solver OUT/solver.prototxt`` repeats the training;
* ``train.log``: everything that caffe logged; ``loss.csv``: iteration, seconds, phase, name, value;
* ``f1.csv``: counts and F1 of each AU in each test pass, if the net has a layer MultiLabelCounts; if that
  layer has a second top, also estimates of the ROC-AUC and of how much the outputs differ between faces;
  ``icc.csv``: ICC(3,1), PCC and MSE of each AU in each test pass of a net that estimates intensities;
* ``deploy.prototxt``: the net for scoring, made from the one beside the trained net, if there is one;
* ``PREFIX_iter_N.caffemodel`` and ``.solverstate``: snapshots; ``final.caffemodel`` links to the last one.

The weights carry the net's recipe: its AUs, its input, its data and the training (`drml.data.recipe`). No
other file is needed to use them.

If a test pass finds that the net has not learned yet, the log, the progress bar and the result say so.

A training that resumes from a snapshot gives, to the last bit, what an uninterrupted one gives. Rows after
the snapshot's iteration are removed from the tables and written again as training repeats those iterations.
"""

from __future__ import annotations

import dataclasses
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from drml.io.checks import check_path
from drml.io.errors import UsageError, UserError
from drml.io.files import check_target
from drml.nets.prototxt import batch_size, read_prototxt
from drml.training.augmentation import check_augmentation
from drml.training.base_rates import Separation, has_not_learned
from drml.training.caffe_run import find_caffe, run_caffe
from drml.training.class_weights import read_class_weights
from drml.training.f1_table import names_of_aus
from drml.training.folder import link_final, locked, net_fields
from drml.training.level_table import learned_nothing
from drml.training.log import LOG_FILE, Progress, write_tables_anew
from drml.training.pass_table import AVERAGE
from drml.training.setup import Changes, set_up
from drml.training.start import choose_start

__all__ = ["Training", "train"]


@dataclass(frozen=True)
class Training:
    """A finished training.

    Attributes
    ----------
    out : Path
        Its folder.
    weights : Path
        The last weights: ``final.caffemodel`` or ``final.caffemodel.h5`` in the folder.
    iterations : int
        How many there were, which is the solver's number unless the training was stopped before.
    loss : float or None
        Training loss, smoothed as Caffe does it; None if the log has none.
    test : dict of str to float
        The last value of each output of the test nets.
    f1 : dict of str to float
        F1 by AU (``"AU1"``) and their mean (``"Avg."``) in the last test pass; NaN where undefined; empty if
        the net has no layer that counts occurrences.
    icc : dict of str to float
        ICC(3,1) in the same form; empty if the net has no layer that counts levels of intensities.
    seconds : float
        Duration of this run.
    separation : Separation or None
        An estimate of how far the net's outputs tell faces apart in that pass; None if it is not known, or
        if no test pass came after iteration 0.
    predicts_base_rates : bool or None
        Whether the net predicted no more than the base rates in that pass, or estimated intensities no better
        than a constant; None if that is not known.
    dead_layer : str or None
        If it did, a sentence that names the first blob that is the same for all faces; None if there is none.
    class_weights : dict of str to float
        The weight of the positive term of each AU (``"AU1"``) in the loss; empty if the net has one for all.
    thresholds : dict of int to float, or None
        By AU, the threshold with the best F1 on the validation split, which the weights keep; None if none
        was chosen.
    """

    out: Path
    weights: Path
    iterations: int
    loss: float | None
    test: dict[str, float]
    f1: dict[str, float]
    seconds: float
    separation: Separation | None = None
    predicts_base_rates: bool | None = None
    dead_layer: str | None = None
    class_weights: dict[str, float] = dataclasses.field(default_factory=dict)
    thresholds: dict[int, float] | None = None
    icc: dict[str, float] = dataclasses.field(default_factory=dict)


def train(
    solver: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    net: str | Path | None = None,
    weights: str | Path | None = None,
    snapshot: str | Path | None = None,
    caffe: str | Path | None = None,
    gpu: str | None = None,
    seed: int | None = None,
    max_iter: int | None = None,
    num_aus: int | None = None,
    new_output: bool = False,
    balance: bool = False,
    augment: str | Mapping[str, float] | None = None,
    overwrite: bool = False,
    progress: bool = True,
    stop: Callable[[], bool] | None = None,
) -> Training:
    """Train a net with ``caffe train``, as `drml.evaluation.training.train` does, but choose no thresholds.

    Parameters and errors are described there; there is one more.

    Parameters
    ----------
    stop : callable, optional
        Called after each test pass, when its rows are in ``f1.csv`` or ``icc.csv``. If it returns true, the
        training ends before `max_iter`, with a snapshot, and counts as finished.
    """
    if new_output and weights is None and snapshot is None:
        raise UsageError(
            "new_output without weights: then every layer starts from random values anyway; give weights, or"
            " leave it out"
        )
    out = check_path(out, "out").absolute()
    program = find_caffe(caffe)
    check_target(out, folder=True, overwrite=True)
    start = choose_start(out, weights, snapshot, overwrite)
    if start.snapshot is None and not start.clear and Path(solver).resolve().parent == out.resolve():
        # A training writes its own solver and nets, often under the same names: the originals would be lost.
        raise UserError(f"{out}: holds the solver itself, whose files would be replaced; give another folder")
    changes = Changes(
        data=data,
        net=net,
        seed=seed,
        max_iter=max_iter,
        num_aus=num_aus,
        new_output=new_output,
        balance=balance,
        augment=None if augment is None else check_augmentation(augment),
        start=start.describe(),
    )
    with locked(out):
        message = set_up(solver, out, changes, clear=start.clear, resumed=start.snapshot is not None)
        names = _names(message)
        if start.snapshot is not None:
            write_tables_anew(out, start.snapshot.iteration, names)
            for partial in out.glob("*_iter_*.partial"):
                partial.unlink()  # of a snapshot during which caffe was killed
        began = time.monotonic()
        with tqdm(total=message.max_iter, desc="train", unit="it", disable=not progress) as bar:
            try:
                run = run_caffe(
                    [str(program), *start.arguments(out, gpu)],
                    out,
                    resumed=start.snapshot is not None,
                    bar=bar,
                    names=names,
                    images=_images_per_iteration(message, gpu),
                    stop=stop,
                )
            except OSError as error:
                if error.filename is None:
                    # A write that fails (the disk is full) does not know the name of its file.
                    error.filename = str(out / LOG_FILE)
                raise
            bar.update(message.max_iter - bar.n)
        seconds = time.monotonic() - began
        last = run.reader.snapshot
        if last is None and start.snapshot is not None and start.snapshot.iteration >= message.max_iter:
            last = str(start.snapshot.weights)  # the training was finished before
        if last is None:
            raise UserError(
                f"{out / LOG_FILE}: caffe wrote no weights; is snapshot_after_train off in {solver}?"
            )
        net = read_prototxt(message.net or message.train_net)
        values = read_class_weights(net)
        of_loss = dict(zip(names, values, strict=True)) if len(values) == len(names) else {}
        iterations = _iteration_of(last, message.max_iter)
        return _result(out, Path(last), iterations, run, seconds, of_loss)


def _iteration_of(snapshot: str, max_iter: int) -> int:
    """Return the iteration that the name of a snapshot's weights tells; `max_iter` if it tells none."""
    found = re.search(r"_iter_(\d+)\.caffemodel", snapshot)
    return int(found[1]) if found else max_iter


def _names(solver: Any) -> list[str]:
    """Name the AUs of the data that the solver's nets read, if they are known; those of a test net first."""
    for field in reversed(net_fields(solver)):
        if names := names_of_aus(read_prototxt(field.get(solver))):
            return names
    return []


def _images_per_iteration(solver: Any, gpu: str | None) -> int | None:
    """Return how many images an iteration takes; None if the net does not say, or the number of GPUs."""
    batch = batch_size(read_prototxt(solver.net or solver.train_net))
    if batch is None or gpu == "all":
        return None
    return batch * int(solver.iter_size) * (len(gpu.split(",")) if gpu else 1)


def _result(
    out: Path,
    weights: Path,
    iterations: int,
    run: Progress,
    seconds: float,
    class_weights: dict[str, float],
) -> Training:
    """Gather what a finished run has to say, and link its last weights."""
    separation = run.f1.separation if run.f1.iteration else None
    nothing: bool | None = None
    if separation is not None:
        nothing = has_not_learned(run.f1.iteration, separation)
    elif run.icc.iteration:
        nothing = learned_nothing(value for name, value in run.icc.last.items() if name != AVERAGE)
    return Training(
        out=out,
        weights=link_final(out, weights),
        iterations=iterations,
        loss=run.last.get(("train", "loss")),
        test={name: value for (phase, name), value in run.last.items() if phase == "test"},
        f1=run.f1.last,
        seconds=seconds,
        separation=separation,
        class_weights=class_weights,
        predicts_base_rates=nothing,
        icc=run.icc.last,
    )
