"""What a training's folder says of its losses: the table of ``drml train``, or else Caffe's log."""

from __future__ import annotations

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from drml.io.errors import UserError
from drml.io.limits import open_list, read_text
from drml.nets.intensity_head import INTENSITIES
from drml.training.base_rates import Separation, estimate
from drml.training.caffe_log import Figure, LogReader
from drml.training.f1_table import mean_f1, read_separations
from drml.training.log import LOG_FILE, LOSS_FILE

__all__ = ["Losses", "read_losses"]

Points = list[tuple[float, float]]


@dataclass(frozen=True)
class Losses:
    """Losses in training and on held-out data, and the test net's mean F1, by iteration; seconds if known.

    `separations`, by iteration, estimate how far the test net's outputs tell faces apart; empty where the log
    does not tell.
    """

    train: Points
    test: Points
    f1: Points
    seconds: float | None
    separations: dict[int, Separation]


def read_losses(folder: Path) -> Losses:
    """Read the losses of a training's folder. Values that are not finite numbers are left out.

    Raises
    ------
    UserError
        There is neither the table nor the log, or the table is at fault.
    """
    table, log = folder / LOSS_FILE, folder / LOG_FILE
    figures: list[tuple[float, str, str, float]] = []
    seconds = None
    separations: dict[int, Separation] = {}
    if table.is_file():
        separations = read_separations(folder)
        with open_list(table) as file:
            try:
                for row in csv.DictReader(file):
                    seconds = float(row["seconds"])
                    figures.append((float(row["iteration"]), row["phase"], row["name"], float(row["value"])))
            except (KeyError, TypeError, ValueError, csv.Error):
                raise UserError(f"{table}: not what drml train writes; train again, or remove it") from None
    elif log.is_file():
        reader = LogReader()
        for line in read_text(log, errors="replace").splitlines():
            for found in reader.read(line):
                if isinstance(found, Figure):
                    figures.append((found.iteration, found.phase, found.name, found.value))
                elif found.net == 0 and not found.levels:
                    figures.append((found.iteration, "test", "f1", mean_f1(found)))
                    if (separation := estimate(found)) is not None:
                        separations[found.iteration] = separation
    else:
        raise UserError(f"{folder}: neither {LOSS_FILE} nor {LOG_FILE} in it; give a folder of drml train")

    def curve(*wanted: str) -> Points:
        return [
            (at, value)
            for at, phase, name, value in figures
            if (phase, name) == wanted and math.isfinite(value)
        ]

    # The loss of training is the sum of a net's losses; a test pass gives each of them.
    levels = dict(curve("test", f"{INTENSITIES}_loss"))
    held_out = [(at, value + levels.get(at, 0)) for at, value in curve("test", "loss")]
    return Losses(curve("train", "loss"), held_out, curve("test", "f1"), seconds, separations)
