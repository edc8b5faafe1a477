"""The section of how an experiment was made: settings, units, commands, versions, machine."""

from __future__ import annotations

import json
from typing import Any

from drml.experiments.units import CONFIG_FILE
from drml.io.errors import UserError
from drml.report.finished import FinishedExperiment
from drml.report.formatting import decimals, duration
from drml.report.inputs import read_json
from drml.report.origin import time_of_writing
from drml.report.rendering import Section, render, render_table

__all__ = ["setup_section"]


def _config(path: Any) -> dict[str, Any]:
    try:
        return read_json(path / CONFIG_FILE, "the config of a finished unit")
    except UserError:
        return {}


def setup_section(experiment: FinishedExperiment, anchor: str, title: str) -> Section:
    """Return what determined the results, unit by unit, and what they were computed with."""
    rows, commands, protocol, machines = [], [], [], []
    for runs in (*experiment.methods.values(), *experiment.variants.values()):
        for fold, result in runs.results.items():
            config = _config(runs.folders[fold])
            validation = (result.get("validation") or {}).get("f1")
            rows.append(
                [
                    f"fold{fold}/{runs.name}",
                    str(result["frames"]),
                    decimals(result["average"]["f1"]),
                    decimals(validation),
                    duration(result["seconds"]),
                    str(result["finished"]),
                ]
            )
            commands.append(str(config.get("command", "")))
            protocol += result.get("protocol", [])
            numbers = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
            machines.append(f"{result['machine']}; {numbers}")
    for table in filter(None, map(experiment.written, ("table4",))):
        for one in table["units"].values():
            numbers = ", ".join(f"{name} {number}" for name, number in one["versions"].items())
            machines.append(f"{one['machine']}; {numbers}")
    settings = [
        [name.replace("_", " "), value if isinstance(value, str) else json.dumps(value)]
        for name, value in experiment.settings.items()
        if value is not None
    ]
    head = ["unit", "test frames", "F1-frame", "validation F1", "time", "finished"]
    body = render(
        "setup.html",
        settings=render_table(
            "Settings", ["setting", "value"], [["folder", str(experiment.folder)], *settings], kind="words"
        ),
        units=render_table("Units", head, rows) if rows else "",
        commands=list(filter(None, commands)),
        remarks=list(dict.fromkeys([*protocol, *machines])),
        now=time_of_writing(),
    )
    return Section(anchor, title, body)
