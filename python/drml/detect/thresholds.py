"""Decides from which probability each AU counts as present: as given, or as the weights say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from drml.io.checks import check_probability
from drml.io.errors import UserError

__all__ = ["FROM_RECIPE", "USUAL", "Thresholds", "resolve_thresholds"]

FROM_RECIPE = "recipe"
"""The value of a threshold that takes those of the recipe in the weights."""

USUAL = 0.5


@dataclass(frozen=True)
class Thresholds:
    """The thresholds of a detector.

    Attributes
    ----------
    values : tuple of K float
        For each AU, the probability from which it counts as present.
    source : str
        Where they come from, in words.
    """

    values: tuple[float, ...]
    source: str

    def to_text(self, aus: Sequence[int]) -> str:
        """Return one line, such as ``0.5 for all AUs`` or ``AU1 0.310, AU12 0.620 (chosen on ...)``."""
        if len(set(self.values)) == 1:
            return f"{self.values[0]:g} for all AUs ({self.source})"
        listed = ", ".join(f"AU{au} {value:.3f}" for au, value in zip(aus, self.values, strict=True))
        return f"{listed} ({self.source})"

    def to_dict(self, aus: Sequence[int]) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "thresholds": {f"AU{au}": value for au, value in zip(aus, self.values, strict=True)},
            "thresholds_from": self.source,
        }


def resolve_thresholds(given: float | str | Sequence[float], recipe: Any, aus: Sequence[int]) -> Thresholds:
    """Return the thresholds for the outputs of a net.

    Parameters
    ----------
    given : float, sequence of K float, or "recipe"
        One probability for all AUs, one for each AU, or those of the recipe.
    recipe : drml.data.recipe.Recipe or None
        What the weights carry; with ``"recipe"``, 0.5 is taken if it has no thresholds.
    aus : sequence of K int
        The AUs of the outputs.

    Returns
    -------
    Thresholds

    Raises
    ------
    UserError
        A threshold is no probability, or there are not as many as AUs.

    Examples
    --------
    >>> resolve_thresholds("recipe", None, (1, 12)).values
    (0.5, 0.5)
    >>> resolve_thresholds([0.3, 0.6], None, (1, 12)).to_text((1, 12))
    'AU1 0.300, AU12 0.600 (as given)'
    """
    if isinstance(given, str):
        if given != FROM_RECIPE:
            raise UserError(f"threshold '{given}': give a probability from 0 to 1, or '{FROM_RECIPE}'")
        known = dict(zip(recipe.au, recipe.threshold, strict=False)) if recipe is not None else {}
        if not any(au in known for au in aus):
            return Thresholds((USUAL,) * len(aus), "the weights carry none that were chosen on validation")
        where = recipe.threshold_data or "data that the weights do not name"
        return Thresholds(tuple(float(known.get(au, USUAL)) for au in aus), f"best F1 on {where}")
    if isinstance(given, int | float):
        return Thresholds((check_probability(given, "threshold"),) * len(aus), "as given")
    values = tuple(check_probability(float(one), "threshold") for one in given)
    if len(values) != len(aus):
        raise UserError(f"{len(values)} thresholds for {len(aus)} AUs; give one for all, or one for each AU")
    return Thresholds(values, "as given")
