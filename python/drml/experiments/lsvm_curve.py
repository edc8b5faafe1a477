"""The learning curve of the LSVM: its validation AUC by the number of training frames."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit

from drml.baselines.lsvm import LSVM
from drml.evaluation.score_table import evaluate
from drml.experiments.sift import sift_features
from drml.experiments.units import Workspace
from drml.io import machine
from drml.io.figures import json_value

__all__ = ["SHARES", "fit_on_shares"]

SHARES = (1 / 64, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1)
"""The shares of the training frames that the LSVM is fitted on, one after the other."""

_FEWEST = 16


def fit_on_shares(workspace: Workspace, data: Path, features: Path, seed: int) -> dict[str, Any]:
    """Fit the LSVM on growing shares of a fold's training frames, and score each fit on validation frames.

    The frames are drawn at random from all training subjects, and each share contains the smaller ones. C is
    chosen on the same validation frames, as for the LSVM of the tables.

    Parameters
    ----------
    workspace : Workspace
    data : Path
        The prepared fold.
    features : Path
        The cache of its SIFT features, which must hold those of its training and validation frames.
    seed : int
        Determines which frames are drawn.

    Returns
    -------
    dict
        ``points``: a list of ``{"frames": number, "auc": mean ROC-AUC over the AUs, or None}``.
    """
    train, val = (
        sift_features(data / f"{split}_lmdb", folder=features, jobs=1, progress=False)
        for split in ("train", "val")
    )
    order = np.random.default_rng([seed, 7]).permutation(len(train.keys))
    points = []
    for share in SHARES:
        frames = round(share * len(order))
        if frames < _FEWEST:
            continue
        rows = np.sort(order[:frames])
        model = LSVM(n_jobs=machine.omp_threads() or -1, aus=train.aus)
        model.fit(train.X[rows], train.Y[rows], validation=(val.X, val.Y))
        scores = evaluate(val.Y, expit(model.decision_function(val.X)), aus=val.aus)
        workspace.log(f"LSVM on {frames} frames: validation AUC {scores.average('auc'):.4f}")
        points.append({"frames": frames, "auc": json_value(scores.average("auc"))})
    return {"points": points, "synthetic": train.synthetic, "protocol": []}
