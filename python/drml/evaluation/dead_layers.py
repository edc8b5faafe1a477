"""Finds the layer at which a net that has not learned stops seeing the face."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from drml.data.split import open_split
from drml.evaluation.kept_thresholds import validation_of_training
from drml.io.errors import UserError
from drml.nets.net import CaffeNet
from drml.nets.preprocessing import find_preprocessing
from drml.nets.trained_files import DEPLOY_FILE

__all__ = ["explain_dead_layer", "find_dead_blob"]

# Values that differ by less than this share of the largest one differ by rounding.
_ROUNDING = 1e-6


def find_dead_blob(
    deploy: str | Path, weights: str | Path, data: str | Path, *, images: int = 32
) -> tuple[str, bool] | None:
    """Find the first blob of a net that is the same for all faces.

    Behind such a blob, nothing depends on the face, and no gradient reaches the layers before it. ReLUs die
    in this way if a step of the training was too large: they give 0 for every face.

    Parameters
    ----------
    deploy, weights, data
        As for `drml.evaluation.scoring.predict`.
    images : int
        How many faces are compared: the first ones of the data.

    Returns
    -------
    (str, bool) or None
        The blob, and whether it is 0 everywhere; None if every blob differs between faces, or the data have
        fewer than two.

    Raises
    ------
    UserError
        As in `drml.evaluation.scoring.predict`.
    """
    source = open_split(data)
    settings = find_preprocessing(weights, source.lmdb)
    net = CaffeNet(deploy, weights, batch=images, **settings.net_options())
    _, faces, _ = next(source.batches(images))
    if len(faces) < 2:
        return None
    batch = net.net.blobs[net.net.inputs[0]].shape[0]
    blobs = [name for name in net.blob_names if [*net.net.blobs[name].shape][:1] == [batch]]
    for name, values in net.forward(faces, blobs).items():
        largest = np.abs(values).max()
        if np.ptp(values, axis=0).max() <= _ROUNDING * largest:
            return name, bool(largest == 0)
    return None


def explain_dead_layer(folder: str | Path, weights: str | Path) -> str | None:
    """Say in a sentence where the net of a training stops seeing the face.

    Parameters
    ----------
    folder : path
        The folder of the training, with its ``deploy.prototxt``.
    weights : path
        Its last weights.

    Returns
    -------
    str or None
        None if there is no such place, no validation split, or the net cannot be run.
    """
    data = validation_of_training(folder)
    deploy = Path(folder) / DEPLOY_FILE
    if data is None or not deploy.is_file():
        return None
    try:
        found = find_dead_blob(deploy, weights, data)
    except UserError:
        return None
    if found is None:
        return None
    name, zero = found
    return (
        f"The blob '{name}' is the same for all faces of a batch{' (0 everywhere)' if zero else ''}: the"
        " layers behind it do not see the face, and those before it get no gradient. More iterations will not"
        " help; train again with another --seed or a smaller base_lr"
    )
