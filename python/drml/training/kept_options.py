"""A resumed training must be told what it was told at first, where the answer lies in the net."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drml.io.errors import UserError
from drml.training.augmentation import read_augmentation
from drml.training.class_weights import read_class_weights

__all__ = ["check_same_options"]


def check_same_options(before: Any, now: Any, net_file: Path) -> None:
    """Check that a training is resumed with the class weights and the augmentation with which it was begun.

    Without the check, it would go on with another loss, or other images, and its snapshots would not say so.

    Parameters
    ----------
    before : NetParameter
        The net in the folder of the training.
    now : NetParameter
        The net with which it would go on.
    net_file : Path
        The file of `before`, for the message.

    Raises
    ------
    UserError
        They differ.
    """
    for option, read in (("--balance", read_class_weights), ("--augment", read_augmentation)):
        old, new = read(before), read(now)
        if old == new:
            continue
        if not old or not new:
            verb = "without" if not old else "with"
            raise UserError(f"{net_file}: this training was begun {verb} {option}; resume it {verb} {option}")
        raise UserError(
            f"{net_file}: this training was begun with other values of {option} ({_shown(old)}; now"
            f" {_shown(new)}); resume it with the same data and options"
        )


def _shown(values: Any) -> str:
    pairs = values.items() if isinstance(values, dict) else enumerate(values, 1)
    return ", ".join(f"{name}={value:g}" for name, value in pairs)
