"""The section of how the results were made: commands, settings, versions, machine."""

from __future__ import annotations

import shlex
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from drml.data.readers.kinds import DATA_SETS
from drml.data.readers.targets import OCCURRENCE
from drml.io import machine
from drml.nets.preprocessing import describe_preprocessing
from drml.report.rendering import Section, render
from drml.training.folder import SOLVER_FILE

# Options of drml prepare as its summary names them, except for those of the data set's reader.
_OPTIONS = (
    "seed",
    "val_share",
    "positives",
    "negatives",
    "unsampled",
    "all_frames",
    "encoding",
    "size",
    "exclude",
    "folds_file",
)


def _commands(
    scores: dict[str, Any],
    summary: dict[str, Any] | None,
    train_dir: str | Path | None,
    data_dir: str | Path | None,
) -> list[str]:
    """Return the commands that reproduce these results, as the files record them."""
    commands = []
    if summary is not None:
        commands.append(shlex.join(_data_command(summary, data_dir)))
    if train_dir is not None:
        commands.append(shlex.join(["caffe", "train", "-solver", str(Path(train_dir) / SOLVER_FILE)]))
    if scores.get("command"):
        return [*commands, shlex.join(scores["command"])]
    folds = scores["folds"]
    command = ["drml", "score", "--net", scores["model"]]
    command += ["--weights", *(fold["weights"] for fold in folds)]
    command += ["--data", *(fold["data"] for fold in folds)]
    for name, value in scores.get("options", {}).items():
        if value is not None:
            command += [f"--{name}", value]
    commands.append(shlex.join(command))
    return commands


def _data_command(summary: dict[str, Any], data_dir: str | Path | None) -> list[str]:
    """Return the command that makes the data again."""
    if "sets" in summary:
        folders = [str(one["folder"]) for one in summary["sets"]]
        return ["drml", "join", str(data_dir), *folders, "--seed", str(summary["options"]["seed"])]
    options = summary["options"]
    command = ["drml", "prepare", str(summary["kind"]), str(summary["root"]), str(data_dir)]
    command += ["--folds", options.get("fold_scheme") or ",".join(map(str, options["folds"]))]
    if (target := options.get("target", OCCURRENCE)) != OCCURRENCE:
        command += ["--target", target]
    command += ["--aus", ",".join(map(str, summary["aus"] or summary["intensity_aus"]))]
    known = DATA_SETS.get(str(summary["kind"]))
    flags = {name: f"--{name.replace('_', '-')}" for name in _OPTIONS}
    flags |= {option.name: option.flag for option in (known.options if known else ())}
    for name, flag in flags.items():
        if options.get(name) is not None and options[name] is not False:
            command.append(flag)
            command += [] if options[name] is True else [str(options[name])]
    return command


def origin_section(
    scores: dict[str, Any],
    summary: dict[str, Any] | None,
    train_dir: str | Path | None,
    data_dir: str | Path | None,
) -> Section:
    """Return commands, settings of the input, versions and machine."""
    body = render(
        "origin.html",
        commands=_commands(scores, summary, train_dir, data_dir),
        inputs=[f"{fold['weights']}: {describe_preprocessing(fold['input'])}" for fold in scores["folds"]],
        system=machine.system(),
        versions=", ".join(f"{name} {number}" for name, number in machine.versions().items()),
        now=time_of_writing(),
    )
    return Section("origin", "How it was made", body)


def time_of_writing() -> str:
    """Return the present time, as the page shows it."""
    return datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
