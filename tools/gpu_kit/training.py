"""Trainings of DRML: twice the same on the GPU, once resumed, and once compared with the CPU."""

from __future__ import annotations

import re
from pathlib import Path

from steps import Context, Failure

LOSS = re.compile(r"Iteration (\d+) .*, loss = (\S+)")
ITERATIONS, SNAPSHOT = 200, 100
COMPARED = 40
# The first iterations differ by rounding alone. Later ones also by units that rounding puts on the other side
# of a ReLU's kink, and the weights that follow from them.
EARLY, EARLY_TOLERANCE, LATE_TOLERANCE = 5, 1e-3, 5e-2


def write_solver(folder: Path, net: str, iterations: int, *, mode: str, snapshot: int = 0) -> Path:
    """Write a solver that keeps its snapshots in a folder of its own; return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    solver = folder / "solver.prototxt"
    solver.write_text(
        f'net: "nets/{net}.prototxt" base_lr: 0.001 lr_policy: "fixed" momentum: 0.9 weight_decay: 0.0005\n'
        f'max_iter: {iterations} display: 1 snapshot: {snapshot} snapshot_prefix: "{folder}/drml" '
        f"snapshot_after_train: {str(snapshot > 0).lower()} random_seed: 1 solver_mode: {mode}\n"
    )
    return solver


def train(context: Context, solver: Path, *more: str) -> dict[int, float]:
    """Train, and return the loss of each iteration."""
    said = context.call("bin/caffe", "train", "-solver", solver, *more)
    return {int(number): float(loss) for number, loss in LOSS.findall(said)}


def check_same(first: Path, second: Path) -> None:
    """Raise a Failure if two files of weights differ in one bit."""
    if first.read_bytes() != second.read_bytes():
        raise Failure(f"{first.parent.name}/{first.name} and {second.parent.name}/{second.name} differ")


def check_losses(expected: dict[int, float], found: dict[int, float], count: int) -> float:
    """Return the largest relative difference of two trainings; too large a one is a Failure."""
    if len(expected) != count or len(found) != count:
        raise Failure(
            f"the logs have the losses of {len(expected)} and {len(found)} iterations, not of {count}"
        )
    largest = 0.0
    for number, loss in sorted(expected.items()):
        apart = abs(found[number] - loss) / abs(loss)
        largest = max(largest, apart)
        tolerance = EARLY_TOLERANCE if number < EARLY else LATE_TOLERANCE
        if not apart <= tolerance:  # also if it is NaN
            raise Failure(f"iteration {number}: the losses are {loss:g} and {found[number]:g}")
    return largest


def train_twice(context: Context, out: Path) -> dict[str, object]:
    """Train twice on the GPU: every loss and every weight must be the same."""
    runs = []
    for name in ("first", "second"):
        solver = write_solver(out / name, "drml_train", ITERATIONS, mode="GPU", snapshot=SNAPSHOT)
        runs.append(train(context, solver))
    if len(runs[0]) != ITERATIONS or runs[0] != runs[1]:
        raise Failure("the losses of two trainings with the same seed differ")
    for number in (SNAPSHOT, ITERATIONS):
        weights = f"drml_iter_{number}.caffemodel"
        check_same(out / "first" / weights, out / "second" / weights)
    return {"iterations": ITERATIONS, "first_loss": runs[0][0], "last_loss": runs[0][ITERATIONS - 1]}


def resume(context: Context, out: Path) -> dict[str, object]:
    """Resume the first training from its middle: its end must be the same, bit for bit."""
    state = out / f"first/drml_iter_{SNAPSHOT}.solverstate"
    if not state.exists():
        raise Failure(f"{state} is missing: the training before it did not get that far")
    solver = write_solver(out / "resumed", "drml_train", ITERATIONS, mode="GPU", snapshot=SNAPSHOT)
    train(context, solver, f"-snapshot={state}")
    weights = f"drml_iter_{ITERATIONS}.caffemodel"
    check_same(out / "first" / weights, out / "resumed" / weights)
    return {"from": SNAPSHOT, "to": ITERATIONS}


def compare_with_cpu(context: Context, out: Path) -> dict[str, object]:
    """Train without dropout, whose masks each device draws itself, on both devices."""
    losses = {}
    for mode in ("GPU", "CPU"):
        solver = write_solver(out / mode.lower(), "drml_without_dropout", COMPARED, mode=mode)
        losses[mode] = train(context, solver)
    return {
        "iterations": COMPARED,
        "largest_difference": check_losses(losses["CPU"], losses["GPU"], COMPARED),
    }
