"""Times a net: training (forward, backward, update) and testing (forward), without reading data.

Constant inputs replace the net's data layers, so that the times are those of the network alone.
"""

from __future__ import annotations

import dataclasses
import shlex
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from drml.experiments.methods import NetFiles
from drml.experiments.nets import files_of
from drml.experiments.settings import Settings
from drml.experiments.units import Unit, Workspace
from drml.io.errors import UserError
from drml.io.files import digest
from drml.nets.probe import probe_net
from drml.nets.prototxt import read_prototxt, write_prototxt
from drml.nets.pycaffe import import_caffe

__all__ = ["FOLDER", "make_unit"]

FOLDER = "time"
_SEED = 1
_WARM_UP = 2  # passes that allocate memory and pack weights; not counted

# Trials and iterations of a trial, unless the settings say otherwise.
_COUNTS = {"paper": (20, 1000), "quick": (3, 5)}


def make_unit(out: Path, settings: Settings, method: str) -> Unit:
    """Return the unit that times a net.

    Raises
    ------
    UserError
        The net is not available.
    """
    files = files_of(out, settings, method)
    trials, iterations = _COUNTS[settings.scale]
    config = {
        "method": method,
        "trials": settings.trials or trials,
        "iterations": settings.iterations or iterations,
        "batch": settings.batch or _data_layer(files.train_val).multi_label_data_param.batch_size,
        **{path.name: digest(path) for path in (files.solver, files.train_val, files.deploy)},
    }
    name = f"{FOLDER}/{method}"
    return Unit(
        name=name,
        kind=method,
        config=config,
        notes={
            "command": shlex.join(["drml", "experiment", "unit", str(out), name]),
            "settings": dataclasses.asdict(settings),
        },
        work=partial(_measure, files=files, config=config),
    )


def _data_layer(path: Path) -> Any:
    for layer in read_prototxt(path).layer:
        if layer.type == "MultiLabelData":
            return layer
    raise UserError(f"{path}: no MultiLabelData layer, from which the size of the input is taken")


def _measure(workspace: Workspace, files: NetFiles, config: dict[str, Any]) -> dict[str, Any]:
    batch = config["batch"]
    found = {}
    for phase, prepare in (("train", _training), ("test", _testing)):
        workspace.log(f"times {phase}")
        step = prepare(files, batch, workspace.folder)
        for _ in range(_WARM_UP):
            step()
        seconds = np.empty((config["trials"], config["iterations"]))
        title = f"{config['method']} {phase}"
        with tqdm(total=seconds.size, desc=title, unit="it", disable=not workspace.progress) as bar:
            for index in np.ndindex(*seconds.shape):
                start = time.perf_counter()
                step()
                seconds[index] = time.perf_counter() - start
                bar.update()
        found[phase] = _summary(seconds)
    return {"batch": batch, "trials": config["trials"], "iterations": config["iterations"], **found}


def _summary(seconds: NDArray[np.float64]) -> dict[str, float]:
    """Summarise seconds per batch, of shape (trials, iterations), in milliseconds."""
    trials = seconds.mean(axis=1) * 1000
    return {
        "mean_ms": float(trials.mean()),
        "std_of_trials_ms": float(trials.std()),
        "std_of_iterations_ms": float(seconds.std() * 1000),
    }


def _shape(deploy: Path) -> tuple[int, ...]:
    for layer in read_prototxt(deploy).layer:
        if layer.type == "Input":
            return tuple(layer.input_param.shape[0].dim)[1:]
    raise UserError(f"{deploy}: has no Input layer; give a deploy.prototxt")


def _training(files: NetFiles, batch: int, folder: Path) -> Callable[[], Any]:
    """Make a solver whose net has constant inputs; return a function that runs one iteration."""
    caffe = import_caffe()
    data = _data_layer(files.train_val)
    shapes = [(batch, *_shape(files.deploy)), (batch, data.multi_label_data_param.num_labels)]
    net = read_prototxt(files.train_val)
    kept = [layer for layer in net.layer if layer.type != "MultiLabelData"]
    del net.layer[:]
    for top, shape in zip(data.top, shapes, strict=True):
        layer = net.layer.add(name=top, type="Input", top=[top])
        layer.input_param.shape.add(dim=shape)
    net.layer.extend(kept)
    write_prototxt(net, folder / "timed_net.prototxt")
    solver = read_prototxt(files.solver, "SolverParameter")
    solver.net = str(folder / "timed_net.prototxt")
    solver.random_seed, solver.display, solver.snapshot = _SEED, 0, 0
    for name in ("test_iter", "test_interval", "test_initialization"):
        solver.ClearField(name)
    write_prototxt(solver, folder / "timed_solver.prototxt")
    probe_net(folder / "timed_net.prototxt", "TRAIN")
    caffe.set_mode_cpu()
    running = caffe.get_solver(str(folder / "timed_solver.prototxt"))
    _fill([running.net.blobs[top] for top in data.top])
    return lambda: running.step(1)


def _testing(files: NetFiles, batch: int, folder: Path) -> Callable[[], Any]:
    """Make the deploy net with random weights; return a function that runs one forward pass."""
    caffe = import_caffe()
    probe_net(files.deploy)
    caffe.set_mode_cpu()
    net = caffe.Net(str(files.deploy), caffe.TEST)
    blob = net.blobs[net.inputs[0]]
    blob.reshape(batch, *_shape(files.deploy))
    net.reshape()
    _fill([blob])
    generator = np.random.default_rng(_SEED)
    for blobs in net.params.values():  # some kernels multiply zeros faster
        for weights in blobs:
            weights.data[...] = 0.01 * generator.standard_normal(weights.data.shape)
    return net.forward


def _fill(blobs: list[Any]) -> None:
    generator = np.random.default_rng(_SEED)
    for index, blob in enumerate(blobs):
        values = generator.standard_normal(blob.data.shape)
        blob.data[...] = np.sign(values) if index else values
