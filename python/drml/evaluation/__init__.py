"""Scores of predictions and of trained nets, features of nets, AU relations, saliency.

`evaluate` scores predictions that are arrays, `choose_thresholds` finds the best threshold for each AU, and
`scoring` runs a net over prepared data first.
"""

from drml.evaluation.score_table import ScoreTable, evaluate
from drml.evaluation.thresholds import choose_thresholds

__all__ = ["ScoreTable", "choose_thresholds", "evaluate"]
