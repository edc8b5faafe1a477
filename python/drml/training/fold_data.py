"""Lets the data layers of a net read a fold, whatever the net calls its own data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from drml.nets.deploy import in_phase
from drml.nets.preprocessing import MEAN_FILE

__all__ = ["read_fold"]

_LISTS = ("MultilabelImageData", "MultiLabelImageData")
_LMDB = "MultiLabelData"
_SPLITS = {"TRAIN": ("train_lmdb",), "TEST": ("val_lmdb", "test_lmdb")}


def read_fold(net: Any, fold: Path) -> None:
    """Change a net so that it reads a fold, where it names files that the fold lacks.

    Layers of the phase TRAIN read the training split, those of TEST the validation split, or the test split
    if there is none. A layer that reads a list of images becomes one that reads the fold's LMDB. The mean
    image becomes that of the fold.

    Parameters
    ----------
    net : NetParameter
        Changed in place.
    fold : Path
        A folder of ``drml prepare``, such as ``OUT/fold1``.
    """
    for layer in net.layer:
        mean = layer.transform_param
        if mean.mean_file and not (fold / Path(mean.mean_file).name).exists() and (fold / MEAN_FILE).exists():
            mean.mean_file = MEAN_FILE
        if layer.type not in (*_LISTS, _LMDB):
            continue
        lmdb = _split(layer, fold)
        old = "image_data_param" if layer.HasField("image_data_param") else "multi_label_data_param"
        param = getattr(layer, old)
        if lmdb is None or not param.source or (fold / Path(param.source).name).exists():
            continue
        if layer.type in _LISTS:
            _read_lmdb(layer, param)
        layer.multi_label_data_param.source = lmdb


def _split(layer: Any, fold: Path) -> str | None:
    """Return the name of the fold's LMDB for a layer; None if there is none, or the layer has both phases."""
    phases = [phase for phase in _SPLITS if in_phase(layer, phase)]
    if len(phases) != 1:
        return None
    return next((name for name in _SPLITS[phases[0]] if (fold / name).is_dir()), None)


def _read_lmdb(layer: Any, param: Any) -> None:
    """Turn a layer that reads a list into one that reads an LMDB, with the same batches.

    An LMDB of drml prepare is in the order of its subjects, so the order is left to the layer, which shuffles
    in TRAIN: lists are written in the order in which they are to be read.
    """
    labels = getattr(param, "multilabel_num", 0) or getattr(param, "num_labels", 0)
    batch = param.batch_size
    for field in ("image_data_param", "multi_label_data_param"):
        layer.ClearField(field)
    layer.type = _LMDB
    layer.multi_label_data_param.batch_size = batch
    if labels:
        layer.multi_label_data_param.num_labels = labels
