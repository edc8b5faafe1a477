"""Scores predictions for one test set, or for several folds, at a fixed threshold and at chosen ones."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.typing import ArrayLike

from drml.evaluation.folds import mean_of_folds, pool
from drml.evaluation.metrics import THRESHOLD
from drml.evaluation.predictions import Predictions
from drml.evaluation.results import Evaluation
from drml.evaluation.score_table import ScoreTable, evaluate
from drml.evaluation.thresholds import RECIPE, VALIDATION, ChosenThresholds, choose_thresholds

__all__ = ["evaluate_folds"]


def evaluate_folds(
    model: str,
    folds: Sequence[Predictions],
    *,
    threshold: float = THRESHOLD,
    options: dict[str, str | None] | None = None,
    command: list[str] | None = None,
    validation: Sequence[Predictions] | None = None,
    kept: Sequence[Sequence[float]] | None = None,
    bootstrap: int = 0,
    seed: int = 0,
) -> Evaluation:
    """Score predictions for one or more test sets with the same AUs.

    Parameters
    ----------
    model : str
        Path of the net's prototxt, or the name of the method.
    folds : sequence of Predictions
        One per test set.
    threshold, options, command
        As in `Evaluation`.
    validation : sequence of Predictions, optional
        Predictions for the validation split of each fold. On them, thresholds are chosen, with which the
        test sets are scored as well.
    kept : sequence of sequence of K float, optional
        Without `validation`, thresholds for each fold that the weights carry, with which the test sets are
        scored as well.
    bootstrap, seed : int
        As in `drml.evaluation.evaluate`, for the pooled scores and for those of each fold.

    Returns
    -------
    Evaluation
    """
    subjects, note = _subjects_of(folds) if bootstrap else (None, "")

    def score(
        by_fold: Sequence[ArrayLike], known: tuple[list[ScoreTable], ScoreTable] | None = None
    ) -> tuple[list[ScoreTable], ScoreTable, ScoreTable | None]:
        each = [
            evaluate(
                fold.labels,
                fold.probabilities,
                aus=fold.aus,
                threshold=one,
                subjects=_subjects_of([fold])[0] if bootstrap else None,
                bootstrap=bootstrap,
                seed=seed,
                known=known[0][index] if known else None,
            )
            for index, (fold, one) in enumerate(zip(folds, by_fold, strict=True))
        ]
        if len(folds) == 1:
            return each, each[0], None
        pooled = pool(
            [(fold.labels, fold.probabilities) for fold in folds],
            aus=folds[0].aus,
            threshold=by_fold,
            subjects=subjects,
            bootstrap=bootstrap,
            seed=seed,
            known=known[1] if known else None,
        )
        return each, pooled, mean_of_folds(each)

    fold_scores, pooled, mean = score([threshold] * len(folds))
    chosen, source = None, RECIPE
    if validation is not None:
        source = VALIDATION
        kept = [choose_thresholds(one.labels, one.probabilities).tolist() for one in validation]
    if kept is not None:
        scores = score(kept, (fold_scores, pooled))
        chosen = ChosenThresholds(tuple(map(tuple, kept)), *scores, source)
    return Evaluation(
        model,
        list(folds),
        fold_scores,
        pooled,
        mean,
        threshold,
        options or {},
        command,
        chosen,
        note,
        None if validation is None else list(validation),
    )


def _subjects_of(folds: Sequence[Predictions]) -> tuple[list[str] | None, str]:
    """Return the subjects of all frames, or None and why there can be no confidence intervals."""
    subjects: list[str] = []
    for fold in folds:
        if fold.subject_ids is None:
            return None, f"- No confidence intervals: no manifest names the subjects of {fold.data}."
        subjects += fold.subject_ids
    if len(set(subjects)) < 2:
        return None, "- No confidence intervals: they need frames of at least two subjects."
    return subjects, ""
