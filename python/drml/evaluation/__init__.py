"""Scores of predictions and of trained nets, features of nets, AU relations, saliency.

`evaluate` scores predictions that are arrays; `scoring` runs a net over prepared data first.
"""

from drml.evaluation.score_table import ScoreTable, evaluate

__all__ = ["ScoreTable", "evaluate"]
