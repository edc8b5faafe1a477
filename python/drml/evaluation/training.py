"""`train`: trains a net, and chooses its thresholds on validation."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping
from pathlib import Path

from drml.evaluation.dead_layers import explain_dead_layer
from drml.evaluation.kept_thresholds import choose_after_training
from drml.io.errors import UserError
from drml.training import train as caffe_train
from drml.training.train import Training

__all__ = ["train"]


def train(
    solver: str | Path,
    out: str | Path,
    *,
    data: str | Path | None = None,
    net: str | Path | None = None,
    weights: str | Path | None = None,
    snapshot: str | Path | None = None,
    caffe: str | Path | None = None,
    gpu: str | None = None,
    seed: int | None = None,
    max_iter: int | None = None,
    num_aus: int | None = None,
    new_output: bool = False,
    balance: bool = False,
    augment: str | Mapping[str, float] | None = None,
    overwrite: bool = False,
    progress: bool = True,
) -> Training:
    """Train a net with ``caffe train``, wait for it, and choose its thresholds.

    At the end, the threshold of each AU that gives the best F1 on the validation split of the fold is kept in
    the weights, where `drml.Detector` and ``drml score --threshold recipe`` find it. If the net cannot be run
    there, a warning says why, and the training counts as finished. If the net has not learned, a layer that
    is dead for every face is looked for.

    SIGINT and SIGTERM reach caffe as SIGINT: it finishes the iteration, writes a snapshot and ends; this
    function then raises KeyboardInterrupt. A second signal kills it. Caffe does not outlive this process.

    Parameters
    ----------
    solver : path
        A solver.prototxt. Its `net` is found from the working directory, as Caffe does, or beside the solver.
    out : path
        Folder for everything that the training writes.
    data : path, optional
        A fold's folder: each data path of the net becomes the entry of the same name (``train_lmdb``,
        ``test_lmdb``, ``mean.binaryproto``) in it.
    net : path, optional
        Replaces the solver's `net`.
    weights : path, optional
        Weights to start from: a .caffemodel or .h5 file, or the folder of a training.
    snapshot : path or "auto", optional
        A .solverstate to resume from; `out` may then hold the training that it belongs to. "auto" takes the
        newest intact one in `out`, and starts a new training if there is none.
    caffe : path, optional
        The ``caffe`` program; by default the one that pycaffe belongs to, or the one on PATH.
    gpu : str, optional
        As in ``caffe train -gpu``: the number of a GPU, several with commas, or ``all``. By default the CPU
        is used, unless the solver says otherwise.
    seed : int, optional
        Replaces the solver's `random_seed`; 0 or more.
    max_iter : int, optional
        Replaces the solver's; at least 1.
    num_aus : int, optional
        How many AUs the net is to detect; by default as many as the data's manifest names. A net with
        another number of outputs gets a new last layer of this size, with a name of its own (``fc10_8``), so
        that `weights` do not reach it.
    new_output : bool
        Give the net such a new last layer in any case, to start from `weights` trained on other AUs.
    balance : bool
        Give the positive term of each AU in the loss a weight: the ratio of negatives to positives among the
        known training labels, limited to 0.1 to 10, over the mean of these ratios. It is written to the net's
        `pos_weight`, which it replaces.
    augment : str or mapping of str to float, optional
        Change the colours and the place of training images at random, up to these limits: ``"standard"``, or
        values for some of ``brightness``, ``contrast``, ``saturation``, ``scale`` (shares), ``hue`` and
        ``rotation`` (degrees), as a mapping or as text, such as ``"rotation=10,scale=.1"``
        (``src/layers/multi_label_data_layer.md``).
    overwrite : bool
        Remove an earlier training from `out` first.
    progress : bool
        Show a progress bar.

    Returns
    -------
    Training
        The files that the training left, what its log says (losses, F1 or ICC of the test passes), and the
        thresholds.

    Raises
    ------
    UserError
        A file is missing or damaged, `out` holds another training, or caffe failed: its own last words.
    KeyboardInterrupt
        A signal arrived; caffe has written a snapshot and ended.

    Examples
    --------
    >>> import drml
    >>> result = drml.train(
    ...     "models/drml/solver.prototxt", "build/fold1", data="data/drml/fold1"
    ... )  # doctest: +SKIP
    >>> result.weights, result.f1["Avg."]  # doctest: +SKIP
    (PosixPath('/home/me/drml/build/fold1/final.caffemodel'), 0.52)
    """
    training = caffe_train.train(
        solver,
        out,
        data=data,
        net=net,
        weights=weights,
        snapshot=snapshot,
        caffe=caffe,
        gpu=gpu,
        seed=seed,
        max_iter=max_iter,
        num_aus=num_aus,
        new_output=new_output,
        balance=balance,
        augment=augment,
        overwrite=overwrite,
        progress=progress,
    )
    if training.predicts_base_rates:
        training = dataclasses.replace(
            training, dead_layer=explain_dead_layer(training.out, training.weights)
        )
    try:
        thresholds = choose_after_training(training.out, training.weights, progress=progress)
    except UserError as error:  # which must not spoil the training
        warnings.warn(f"no thresholds were chosen on validation: {error}", stacklevel=2)
        return training
    return dataclasses.replace(training, thresholds=thresholds)
