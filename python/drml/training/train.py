"""Train with the real ``caffe train`` in a folder of its own, with a progress bar and the losses as a table.

The folder OUT that a training leaves:

* ``solver.prototxt`` and its net, with data paths, seed and snapshot prefix filled in: ``caffe train -solver
  OUT/solver.prototxt`` does the same again;
* ``train.log``: all that caffe said; ``loss.csv``: iteration, seconds, phase, name, value;
* ``f1.csv``: counts and F1 of each AU in each test pass, where the net has a layer MultiLabelCounts; where
  that has a second top, also estimates of the ROC-AUC and of how much the outputs differ between faces;
* ``transform.json`` and ``mean.binaryproto``: how the net's input was made, for ``drml score``;
* ``deploy.prototxt``: the net for scoring, from the one beside the trained net, where there is one;
* ``PREFIX_iter_N.caffemodel`` and ``.solverstate``: snapshots; ``final.caffemodel`` points to the last one.

Where a test pass finds that the net predicts the base rates, the log, the progress bar and the result say so.

A training that goes on from a snapshot is the one that never stopped, to the last bit; what the tables say of
iterations behind the snapshot is taken off them first.
"""

from __future__ import annotations

import csv
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from drml.io.errors import UserError
from drml.io.limits import MEAN_BYTES, check_file
from drml.io.shipped import find_program
from drml.nets import snapshots
from drml.nets.outputs import count_outputs, fit_outputs, set_label_count
from drml.nets.preprocessing import MEAN_FILE, TRANSFORM_FILE, transform_to_json
from drml.nets.probe import fatal_line
from drml.nets.prototxt import Transform, batch_size, data_paths, read_prototxt, transform_of, write_prototxt
from drml.training.base_rates import Separation, has_not_learned
from drml.training.caffe_log import LogReader
from drml.training.f1_table import F1_FILE, F1Table, names_of_aus
from drml.training.log import (
    LOG_FILE,
    LOSS_FILE,
    LOSS_HEADER,
    PREFIX,
    Progress,
    failure,
    follow,
    notice,
    seconds_so_far,
    write_tables_anew,
)

SOLVER_FILE = "solver.prototxt"
DEPLOY_FILE = "deploy.prototxt"
FINAL_STEM = "final.caffemodel"
AUTO = "auto"
"""For `train`'s snapshot: the newest whole one."""


# --- the folder -----------------------------------------------------------------------------------------


def _nets_of(solver: Any) -> list[tuple[str, int | None]]:
    """Name the solver's fields that hold a net's file, with the index where the field repeats."""
    fields: list[tuple[str, int | None]] = [
        (name, None) for name in ("net", "train_net") if getattr(solver, name)
    ]
    fields += [("test_net", index) for index in range(len(solver.test_net))]
    return fields


def _redirect(net: Any, net_file: Path, data: Path | None) -> None:
    """Let a net read its data from `data`, or from where it does now, by absolute paths that exist."""
    for entry in data_paths(net):
        now = Path(entry.path)
        path = (data / now.name if data is not None else now).absolute()
        if not path.exists():
            raise UserError(
                f"{path}: not found; layer '{entry.layer}' of {net_file} reads it"
                f" ({'run drml prepare, or give --data' if data is None else 'is --data a fold folder?'})"
            )
        entry.path = str(path)


def set_up(
    solver: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    net: str | Path | None = None,
    seed: int | None = None,
    max_iter: int | None = None,
    num_aus: int | None = None,
    new_output: bool = False,
    clear: bool = False,
) -> Any:
    """Write solver, nets, ``transform.json`` and the mean image to `out`; return the solver's message.

    The parameters are those of `train`; with `clear`, an earlier training goes from `out` first, but not
    before all input is seen to be there.

    Raises
    ------
    UserError
        Solver, net or data are missing or broken; `out` is then as it was.
    """
    solver, out = Path(solver), Path(out).absolute()
    message = read_prototxt(solver, "SolverParameter")
    if data is not None and not Path(data).is_dir():
        raise UserError(f"{data}: no such folder; give a fold that drml prepare wrote, such as OUT/fold1")
    if max_iter is not None:
        if max_iter < 1:
            raise UserError(f"max_iter {max_iter}: give at least 1")
        message.max_iter = max_iter
    if seed is not None:
        if seed < 0:
            raise UserError(f"seed {seed}: give 0 or more")
        message.random_seed = seed
    if net is not None:
        message.net = str(net)
    fields = _nets_of(message)
    if not fields:
        raise UserError(
            f'{solver}: names no net; it needs a line such as net: "models/drml/train_val.prototxt"'
        )
    nets: dict[str, Any] = {}
    deploy: Any = None
    for name, index in fields:
        value = getattr(message, name) if index is None else getattr(message, name)[index]
        # Caffe reads paths from where it is started; a net beside its solver is found as well.
        places = (Path(value), solver.parent / value, solver.parent / Path(value).name)
        source = next((place for place in places if place.is_file()), None)
        if source is None:
            raise UserError(f"{solver}: net {value} not found; start from the folder its path is relative to")
        content = read_prototxt(source)
        _redirect(content, source, Path(data) if data is not None else None)
        beside = source.with_name(DEPLOY_FILE)
        if deploy is None and beside.is_file():
            deploy = read_prototxt(beside)
        renamed = _fit(content, source, num_aus, new_output)
        if renamed and deploy is not None:
            try:
                fit_outputs(deploy, count_outputs(content), old=renamed)
            except UserError as error:
                raise UserError(f"{beside}: {error}") from None
        target = source.name if source.name != SOLVER_FILE else f"net_{source.name}"
        if target in nets and index is not None:
            target = f"{index}_{target}"
        nets[target] = content
        if index is None:
            setattr(message, name, str(out / target))
        else:
            getattr(message, name)[index] = str(out / target)
    message.snapshot_prefix = str(out / (Path(message.snapshot_prefix).name or "drml"))
    out.mkdir(parents=True, exist_ok=True)
    if clear:
        remove_training(out)
    for target, content in nets.items():
        write_prototxt(content, out / target)
    if deploy is not None:
        write_prototxt(deploy, out / DEPLOY_FILE)
    write_prototxt(message, out / SOLVER_FILE)
    _write_transform(out, next(iter(nets.values())))
    return message


def _fit(net: Any, source: Path, num_aus: int | None, new_output: bool) -> str | None:
    """Give a net as many outputs as its data have AUs; return the last layer's old name if it changed."""
    known = len(names_of_aus(net)) or None
    if num_aus is not None and known is not None and num_aus != known:
        raise UserError(f"{num_aus} AUs are asked for, but the data of {source} have {known}")
    wanted = num_aus or known
    if wanted is None and not new_output:
        return None
    try:
        now = count_outputs(net)
    except UserError as error:
        # A net whose loss we do not know is not ours to change, unless that was asked for.
        if num_aus is None and not new_output:
            return None
        raise UserError(f"{source}: {error}") from None
    if wanted in (None, now) and not new_output:
        return None
    set_label_count(net, wanted or now)
    try:
        return fit_outputs(net, wanted or now)
    except UserError as error:
        raise UserError(f"{source}: {error}") from None


def _write_transform(out: Path, net: Any) -> None:
    transform = transform_of(net, "TEST") or Transform()
    if transform.mean_file:
        check_file(transform.mean_file, MEAN_BYTES)
        shutil.copyfile(transform.mean_file, out / MEAN_FILE)
        transform = replace(transform, mean_file=MEAN_FILE)
    (out / TRANSFORM_FILE).write_text(transform_to_json(transform), encoding="utf-8")


def rename_in_solver(folder: Path, final: Path) -> None:
    """Let the solver in `folder` name `final`, which the folder of the training is to be called."""
    path = folder / SOLVER_FILE
    message = read_prototxt(path, "SolverParameter")
    for name, index in _nets_of(message):
        if index is None:
            setattr(message, name, str(final / Path(getattr(message, name)).name))
        else:
            getattr(message, name)[index] = str(final / Path(getattr(message, name)[index]).name)
    message.snapshot_prefix = str(final / Path(message.snapshot_prefix).name)
    write_prototxt(message, path)


def find_caffe(caffe: str | Path | None = None) -> Path:
    """Find the ``caffe`` program: the given one, the one that pycaffe belongs to, the one on PATH."""
    if caffe is not None:
        given = shutil.which(str(caffe))
        if not given:
            raise UserError(f"{caffe}: no such program; give the caffe tool that make built")
        return Path(given).absolute()
    found = find_program("caffe") or shutil.which("caffe")
    if not found:
        raise UserError("caffe not found: run make, and use .venv/bin/drml or put .venv/bin on PATH")
    return Path(found)


# --- training -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """A finished training: its folder, the last weights, iterations done, last losses and F1, seconds.

    `f1` is by AU and, as "Avg.", their mean: of the last test pass, empty where none counted. `separation`
    estimates how far the outputs of that pass tell faces apart, and `predicts_base_rates` says whether they
    still do not; both are None where that is not known, or where no test pass came after iteration 0.
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
    overwrite: bool = False,
    progress: bool = True,
) -> Training:
    """Run ``caffe train`` and wait for it.

    SIGINT and SIGTERM reach caffe as SIGINT: it finishes the iteration, writes a snapshot and ends; this
    function then raises KeyboardInterrupt. A second one kills it. Caffe does not outlive this process.

    Parameters
    ----------
    solver : path
        Its `net` is found as caffe finds it, or beside the solver.
    out : path
        Folder for all that the training writes.
    data : path, optional
        Fold folder: each data path of the net becomes the entry of the same name (``train_lmdb``,
        ``test_lmdb``, ``mean.binaryproto``) in it.
    net : path, optional
        Instead of the solver's `net`.
    weights : path, optional
        Weights to start from.
    snapshot : path or "auto", optional
        A .solverstate to go on from; `out` may then hold the training it belongs to. "auto" is the newest
        whole one in `out`; where there is none, training starts anew.
    caffe : path, optional
        The program; see `find_caffe`.
    gpu : str, optional
        As ``caffe train -gpu``: a GPU's number, several with commas, or ``all``. Without it on the CPU,
        unless the solver says otherwise.
    seed : int, optional
        ``random_seed`` of the solver.
    max_iter : int, optional
        Instead of the solver's.
    num_aus : int, optional
        How many AUs the net is to detect; by default as many as the data's manifest names. A net with
        another number of outputs gets a last layer of this size, under a name of its own (``fc10_8``), which
        weights to start from do not reach.
    new_output : bool
        Give the net such a new last layer in any case: to start from weights that were trained for others.
    overwrite : bool
        Remove an earlier training from `out` first.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Training

    Raises
    ------
    UserError
        Something is missing, or caffe ended with an error: its own last words.
    """
    out = Path(out).absolute()
    program = find_caffe(caffe)
    automatic = snapshot == AUTO
    if automatic:
        snapshot = _newest(out)
        weights = weights if snapshot is None else None
    for name, path in (("weights", weights), ("snapshot", snapshot)):
        if path is not None and not Path(path).is_file():
            raise UserError(f"{path}: no such {name} file")
    if weights is not None and snapshot is not None:
        raise UserError(
            "weights and snapshot are both given; a snapshot brings its own weights, leave one out"
        )
    going_on = snapshots.read(snapshot) if snapshot is not None else None
    clear = False
    if (out / LOG_FILE).exists() and snapshot is None:
        if not overwrite and not automatic:
            raise UserError(
                f"{out}: holds an earlier training; give another folder, --overwrite, or --resume auto"
            )
        if not overwrite and any(out.glob(FINAL_STEM + "*")):
            raise UserError(
                f"{out}: holds a finished training without a whole snapshot; give another folder, or"
                " --overwrite"
            )
        clear = True
        if weights is not None and Path(weights).absolute().parent == out:
            raise UserError(f"{weights}: goes with the training that is to be overwritten; move it elsewhere")
    with _alone(out):
        message = set_up(
            solver,
            out,
            data=data,
            net=net,
            seed=seed,
            max_iter=max_iter,
            num_aus=num_aus,
            new_output=new_output,
            clear=clear,
        )
        command = [str(program), "train", "-solver", str(out / SOLVER_FILE)]
        if weights is not None:
            command += ["-weights", str(Path(weights).absolute())]
        if going_on is not None:
            command += ["-snapshot", str(going_on.path.absolute())]
            write_tables_anew(out, going_on.iteration, _names(message))
            for torn in out.glob("*_iter_*.partial"):
                torn.unlink()  # a kill was in the midst of it
        if gpu is not None:
            command += ["-gpu", gpu]
        start = time.monotonic()
        with tqdm(total=message.max_iter, desc="train", unit="it", disable=not progress) as bar:
            try:
                run = _run(
                    command,
                    out,
                    resumed=going_on is not None,
                    bar=bar,
                    names=_names(message),
                    images=_images_per_iteration(message, gpu),
                )
            except OSError as error:
                if error.filename is None:
                    # A write that fails (the disk is full) does not know its file's name.
                    error.filename = str(out / LOG_FILE)
                raise
            bar.update(message.max_iter - bar.n)
        seconds = time.monotonic() - start
        last = run.reader.snapshot
        if last is None and going_on is not None and going_on.iteration >= message.max_iter:
            last = str(going_on.weights)  # all was done before
        if last is None:
            raise UserError(
                f"{out / LOG_FILE}: caffe wrote no weights; is snapshot_after_train off in {solver}?"
            )
        separation = run.f1.separation if run.f1.iteration else None
        return Training(
            out=out,
            weights=_link_final(out, Path(last)),
            iterations=message.max_iter,
            loss=run.last.get(("train", "loss")),
            test={name: value for (phase, name), value in run.last.items() if phase == "test"},
            f1=run.f1.last,
            seconds=seconds,
            separation=separation,
            predicts_base_rates=(
                None if separation is None else has_not_learned(run.f1.iteration, separation)
            ),
        )


def _newest(out: Path) -> Path | None:
    found = snapshots.newest(out) if out.is_dir() else None
    return found.path if found else None


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """Keep other trainings from a folder, which is made where it is missing, meanwhile."""
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    folder = os.open(out, os.O_RDONLY | os.O_DIRECTORY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{out}: another training is at work there; wait for it, or stop it") from None
        yield
    finally:
        os.close(folder)
        if made and not any(out.iterdir()):
            out.rmdir()


def _names(solver: Any) -> list[str]:
    """Name the AUs of the data that the solver's nets read, where that is known."""
    for name, index in reversed(_nets_of(solver)):
        path = getattr(solver, name) if index is None else getattr(solver, name)[index]
        if names := names_of_aus(read_prototxt(path)):
            return names
    return []


def _images_per_iteration(solver: Any, gpu: str | None) -> int | None:
    """Return how many images an iteration takes; None where the nets or the GPUs do not tell."""
    batch = batch_size(read_prototxt(solver.net or solver.train_net))
    if batch is None or gpu == "all":
        return None
    return batch * int(solver.iter_size) * (len(gpu.split(",")) if gpu else 1)


def _link_final(out: Path, weights: Path) -> Path:
    final = out / (FINAL_STEM + (".h5" if weights.suffix == ".h5" else ""))
    final.unlink(missing_ok=True)
    final.symlink_to(os.path.relpath(weights, out))
    return final


def remove_training(out: Path) -> None:
    """Remove what a training wrote to `out`; other files stay."""
    names = [
        LOG_FILE,
        LOSS_FILE,
        F1_FILE,
        SOLVER_FILE,
        DEPLOY_FILE,
        TRANSFORM_FILE,
        MEAN_FILE,
        FINAL_STEM,
        FINAL_STEM + ".h5",
    ]
    for path in [
        *(out / name for name in names),
        *out.glob("*_iter_*.caffemodel*"),
        *out.glob("*.solverstate*"),
        *out.glob("*_iter_*.partial"),
    ]:
        path.unlink(missing_ok=True)


def _run(
    command: list[str], out: Path, *, resumed: bool, bar: Any, names: list[str], images: int | None
) -> Progress:
    """Run caffe, follow its log, and return what it said."""
    run = Progress(LogReader(), F1Table(out, names, resumed=resumed), bar, images)
    tail: list[str] = []
    fatal: str | None = None
    # glog's levels and files are set so that the log has what is read from it, and /tmp stays clean.
    environment = {**os.environ, "GLOG_minloglevel": "0", "GLOG_logtostderr": "1"}
    mode = "a" if resumed else "w"
    start = time.monotonic()
    with (
        # Caffe writes to it itself, so that no line is lost where this process is killed.
        (out / LOG_FILE).open(mode + "b") as log,
        (out / LOSS_FILE).open(mode, newline="", encoding="utf-8") as table,
    ):
        writer = csv.writer(table, lineterminator="\n")
        if table.tell():
            start -= seconds_so_far(out / LOSS_FILE)
        else:
            writer.writerow(LOSS_HEADER)
        begin = log.tell()
        # Where this process is killed, caffe is as well: a new one would meet it at work in this folder.
        keeper = shutil.which("setpriv")
        child = subprocess.Popen(
            [keeper, "--pdeathsig", "KILL", *command] if keeper else command,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment,
            # A group of its own: a terminal's Ctrl-C reaches caffe once, through us.
            start_new_session=True,
        )
        interrupted = False
        try:
            with _forwarding(child) as was_interrupted:
                for line in follow(child, out / LOG_FILE, begin):
                    tail = [*tail[-39:], line]
                    # Caffe's other threads may go on for many lines before the process ends.
                    fatal = fatal or fatal_line(line)
                    for found in run.reader.read(line):
                        seconds = time.monotonic() - start
                        figure = run.add(found, seconds)
                        writer.writerow(
                            [figure.iteration, f"{seconds:.3f}", figure.phase, figure.name, figure.value]
                        )
                        table.flush()
                        if (said := notice(found)) is not None:
                            log.write(f"{PREFIX}{said}\n".encode())
                            log.flush()
                            if not bar.disable:
                                bar.write(said, file=sys.stderr)
                code = child.wait()
                interrupted = was_interrupted()
        finally:
            # Whatever ended the loop (a full disk, say), caffe does not go on alone.
            if child.poll() is None:
                child.kill()
                child.wait()
    if interrupted:
        raise KeyboardInterrupt
    if code:
        raise UserError(failure(command[0], code, fatal, tail, out / LOG_FILE))
    return run


@contextmanager
def _forwarding(child: subprocess.Popen[bytes]) -> Iterator[Callable[[], bool]]:
    """Send SIGINT and SIGTERM of this process to caffe as SIGINT; the second one kills it."""
    count = 0

    def forward(_signal: int, _frame: FrameType | None) -> None:
        nonlocal count
        count += 1
        if child.poll() is None:
            child.send_signal(signal.SIGINT if count == 1 else signal.SIGKILL)

    if threading.current_thread() is not threading.main_thread():
        # Python sets signal handlers in the main thread only.
        yield lambda: False
        return
    old = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: count > 0
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
