"""What a table of scores shows: the figures of occurrences, or those of intensities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drml.evaluation import au_score, intensity_table
from drml.evaluation.metrics import THRESHOLD
from drml.experiments.settings import INTENSITY, Settings

__all__ = ["FIGURES", "INTENSITIES", "OCCURRENCES", "TRIVIAL", "Figure", "Kind", "kind_of"]

TRIVIAL = "all positive (trivial)"


@dataclass(frozen=True)
class Figure:
    """A figure of the tables.

    Attributes
    ----------
    title : str
    attribute : str
        Its name in `drml.evaluation.au_score.AuScore` or `drml.evaluation.intensity_table.IntensityScore`.
    chosen : bool
        Whether it is computed with the thresholds that were chosen on validation.
    """

    title: str
    attribute: str
    chosen: bool = False


_CHOSEN = "at thresholds chosen on validation"

FIGURES = {
    "auc": Figure("ROC-AUC", "auc"),
    "f1": Figure(f"F1-frame at {THRESHOLD}", "f1"),
    "f1_chosen": Figure(f"F1-frame {_CHOSEN}", "f1", chosen=True),
    "ap": Figure("AP", "ap"),
    "accuracy": Figure(f"Accuracy at {THRESHOLD}", "accuracy"),
    "accuracy_chosen": Figure(f"Accuracy {_CHOSEN}", "accuracy", chosen=True),
    "mcc": Figure(f"MCC at {THRESHOLD}", "mcc"),
    "mcc_chosen": Figure(f"MCC {_CHOSEN}", "mcc", chosen=True),
}
"""The figures of occurrences by name, in the order of the tables."""


@dataclass(frozen=True)
class Kind:
    """A kind of tables.

    Attributes
    ----------
    figures : mapping of str to Figure
        By name, in their order.
    of_folds : tuple of str
        The figures in the table of the folds.
    trivial : mapping of str to str
        The titles of the columns of trivial predictions, by the prefix of their figures (``trivial_f1``).
    without_trivial : tuple of str
        The figures that trivial predictions do not have.
    titles : mapping of str to str
        The titles of attributes, for notes.
    thresholds : bool
        Whether some figures depend on thresholds.
    """

    figures: Mapping[str, Figure]
    of_folds: tuple[str, ...]
    trivial: Mapping[str, str]
    without_trivial: tuple[str, ...]
    titles: Mapping[str, str]
    thresholds: bool

    def trivial_of(self, attribute: str) -> Mapping[str, str]:
        """Return the titles of the trivial predictions in the table of a figure."""
        return {} if attribute in self.without_trivial else self.trivial


OCCURRENCES = Kind(FIGURES, ("auc", "f1", "f1_chosen"), {"trivial": TRIVIAL}, (), au_score.TITLES, True)

INTENSITIES = Kind(
    {name: Figure(intensity_table.TITLES[name], name) for name in ("icc", "pcc", "mae", "mse")},
    ("icc", "mae"),
    intensity_table.TRIVIAL,
    ("pcc",),  # a constant has no correlation
    intensity_table.TITLES,
    False,
)


def kind_of(settings: Settings) -> Kind:
    """Return the kind of the tables of an experiment's folder."""
    return INTENSITIES if settings.target == INTENSITY else OCCURRENCES
