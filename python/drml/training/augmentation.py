"""Random changes of training images: what users give, and where a net has it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from drml.io.errors import UsageError, UserError

__all__ = ["STANDARD", "augment", "check_augmentation", "read_augmentation"]

STANDARD: dict[str, float] = {
    "brightness": 0.2,
    "contrast": 0.2,
    "saturation": 0.2,
    "hue": 5.0,
    "rotation": 5.0,
    "scale": 0.05,
}
"""Changes that leave a registered face a registered face."""

_LARGEST: dict[str, float] = {
    "brightness": 1.0,
    "contrast": 1.0,
    "saturation": 1.0,
    "hue": 180.0,
    "rotation": 180.0,
    "scale": 0.9,
}
_TYPES = ("MultiLabelData", "MultiLabelImageData")


def check_augmentation(changes: str | Mapping[str, float]) -> dict[str, float]:
    """Check the largest changes that a user gives.

    Parameters
    ----------
    changes : str or mapping of str to float
        ``"standard"`` for `STANDARD`; or pairs, as a mapping or as text, such as ``"rotation=10,hue=5"``.
        ``brightness``, ``contrast``, ``saturation`` (0 to 1) and ``scale`` (0 to 0.9) are shares, ``hue`` and
        ``rotation`` (0 to 180) degrees.

    Returns
    -------
    dict of str to float

    Raises
    ------
    UsageError
        There is no such change, a value is out of range or given twice, or nothing is given.

    Examples
    --------
    >>> check_augmentation("rotation=10, scale=.1")
    {'rotation': 10.0, 'scale': 0.1}
    >>> check_augmentation({"scale": 1})
    Traceback (most recent call last):
    ...
    drml.io.errors.UsageError: augmentation scale=1: give a number from 0 to 0.9
    """
    if changes == "standard":
        return dict(STANDARD)
    pairs = _pairs(changes) if isinstance(changes, str) else list(changes.items())
    found: dict[str, float] = {}
    for name, value in pairs:
        if name not in _LARGEST:
            raise UsageError(f"augmentation {name!r}: choose of {', '.join(_LARGEST)}")
        if name in found:
            raise UsageError(f"augmentation {name}: given twice; give it once")
        if not 0 <= value <= _LARGEST[name] or math.isnan(value):
            raise UsageError(f"augmentation {name}={value:g}: give a number from 0 to {_LARGEST[name]:g}")
        found[name] = float(value)
    if not found:
        raise UsageError(
            "augmentation: nothing is given; give standard, or pairs such as rotation=10,scale=.1"
        )
    return found


def _pairs(text: str) -> list[tuple[str, float]]:
    pairs = []
    for word in text.replace(",", " ").split():
        name, equals, value = word.partition("=")
        try:
            pairs.append((name, float(value if equals else "nothing")))
        except ValueError:
            raise UsageError(
                f"augmentation {word!r}: give standard, or pairs of a name and a number, such as rotation=10"
            ) from None
    return pairs


def augment(net: Any, changes: Mapping[str, float]) -> None:
    """Set the augmentation of a net's data layers, in place, instead of what they have.

    Parameters
    ----------
    net : NetParameter
    changes : mapping of str to float
        As `check_augmentation` returns it. The layers apply it in TRAIN alone.

    Raises
    ------
    UserError
        The net has no data layer that can augment.
    """
    layers = [layer for layer in net.layer if layer.type in _TYPES]
    if not layers:
        raise UserError(
            f"no layer of the types {' or '.join(_TYPES)}, which change training images at random"
        )
    for layer in layers:
        layer.multi_label_data_param.ClearField("augmentation")
        for name, value in changes.items():
            setattr(layer.multi_label_data_param.augmentation, name, value)


def read_augmentation(net: Any) -> dict[str, float]:
    """Return the augmentation of a net's first data layer that can augment; empty if it changes nothing."""
    for layer in net.layer:
        if layer.type in _TYPES:
            changes = layer.multi_label_data_param.augmentation
            return {field.name: float(value) for field, value in changes.ListFields()}
    return {}
