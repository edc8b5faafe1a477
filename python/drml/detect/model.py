"""The net that gives a face's AU probabilities, and what it needs to know of its training.

Whatever can run a batch is a `Predictor`; `CaffePredictor` is the one with Caffe.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drml.data.labels import BP4D_AUS, DISFA_AUS
from drml.data.lmdb import read_mean
from drml.data.manifest import manifest_beside, read_manifest
from drml.data.registration import SIZE
from drml.io.errors import UserError
from drml.io.shipped import find_shipped
from drml.nets.net import CaffeNet
from drml.nets.onnx_metadata import Metadata
from drml.nets.preprocessing import Preprocessing, find_preprocessing, preprocess, read_transform_file
from drml.nets.prototxt import data_paths, read_prototxt
from drml.nets.weights import read_weights

__all__ = [
    "CaffePredictor",
    "Predictor",
    "Recogniser",
    "find_aus",
    "find_net",
    "find_onnx_preparation",
    "find_preparation",
    "open_onnx",
    "open_recogniser",
    "side_of",
]

_DEPLOY = "deploy.prototxt"
_MODELS = Path("models") / "drml" / _DEPLOY


class Predictor(Protocol):
    """Runs a net on inputs that are made already.

    Attributes
    ----------
    name : str
        The net's file, for errors.
    input_shape : tuple
        C, H, W.
    """

    @property
    def name(self) -> str:
        """The net's file."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the input."""

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.floating[Any]]:
        """Return the probabilities, N x K, of N x C x H x W inputs; N is at least 1."""


class CaffePredictor:
    """A deploy net with its weights, in Caffe; errors are those of `drml.nets.net.CaffeNet`."""

    def __init__(self, deploy: str | Path, weights: str | Path) -> None:
        self._net = CaffeNet(deploy, weights)
        self.name = str(deploy)
        self.input_shape = self._net.input_shape
        if "prob" not in self._net.blob_names:
            raise UserError(
                f"{deploy}: no blob 'prob' with the probabilities (it has {', '.join(self._net.blob_names)});"
                " end the net with a Sigmoid layer of that name"
            )

    def predict(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the probabilities, N x K, of N x C x H x W inputs."""
        return self._net.forward_inputs(batch, ["prob"])["prob"].reshape(len(batch), -1)


@dataclass(frozen=True)
class Recogniser:
    """Registered faces -> AU probabilities.

    Attributes
    ----------
    predictor : Predictor
    preparation : Preprocessing
        Mean and scale.
    aus : tuple of int
        AUs of the outputs.
    size : int
        Side of the registered faces in pixels.
    """

    predictor: Predictor
    preparation: Preprocessing
    aus: tuple[int, ...]
    size: int

    def probabilities(self, faces: Sequence[NDArray[np.uint8]]) -> NDArray[np.float64]:
        """Run registered faces, BGR, `size` x `size` each.

        Returns
        -------
        ndarray of float64, N x K

        Raises
        ------
        UserError
            An output is no probability.
        """
        if not faces:
            return np.zeros((0, len(self.aus)))
        found = run_faces(self.predictor, self.preparation, faces)
        wrong = ~(found >= 0) | ~(found <= 1)
        if wrong.any():
            row, column = np.argwhere(wrong)[0]
            raise UserError(
                f"{self.predictor.name}: output {column} is {found[row, column]}, not a probability;"
                " the training of these weights has diverged, or the net does not end in a Sigmoid"
            )
        return found


def run_faces(
    predictor: Predictor, preparation: Preprocessing, faces: Sequence[NDArray[np.uint8]]
) -> NDArray[np.float64]:
    """Make the net's input of registered faces and run it; N x K."""
    batch = np.stack(
        [
            preprocess(
                face,
                predictor.input_shape,
                mean=preparation.mean,
                scale=preparation.scale,
                net=predictor.name,
            )
            for face in faces
        ]
    )
    return np.asarray(predictor.predict(batch), np.float64)


# --- what belongs to the weights ------------------------------------------------------------------------


def find_net(weights: str | Path, net: str | Path | None = None) -> Path:
    """Name the deploy net: as given, else the one beside the weights, else models/drml's."""
    if net is not None:
        return find_shipped(net)
    beside = Path(weights).with_name(_DEPLOY)
    for path in (beside, find_shipped(_MODELS)):
        if path.is_file():
            return path
    raise UserError(f"{weights}: neither {beside} nor {_MODELS} is there; name the deploy net with --net")


def find_preparation(
    weights: str | Path, *, mean: str | Path | None = None, scale: float | None = None
) -> Preprocessing:
    """Settle mean and scale as `drml.nets.preprocessing` does, with the mean.binaryproto beside the weights.

    Raises
    ------
    UserError
        Nothing tells whether training took a mean off, or its mean image is not found.
    """
    found = find_preprocessing(weights, Path(weights).absolute(), mean=mean, scale=scale)
    if found.mean is None and not read_weights(weights).transform and not read_transform_file(weights):
        raise UserError(
            f"{weights}: what mean image it was trained with is not known, and no mean.binaryproto is"
            " beside it; give --mean"
        )
    return found


def find_onnx_preparation(
    name: str, metadata: Metadata, *, mean: str | Path | None = None, scale: float | None = None
) -> Preprocessing:
    """Settle mean and scale for what ``drml export-onnx`` wrote.

    Raises
    ------
    UserError
        The file has them inside and others are given, or it has not and no mean image is given.
    """
    if metadata.mean_folded:
        if mean is not None or scale is not None:
            raise UserError(f"{name}: has mean and scale inside; leave --mean and --scale out")
        return Preprocessing(1.0, "in the file", None, "in the file")
    if mean is None:
        raise UserError(f"{name}: has no mean image inside; give --mean, or export it with --mean")
    found = read_mean(Path(mean))
    if scale is not None:
        return Preprocessing(scale, "as given", found, str(mean))
    return Preprocessing(metadata.scale, "the file", found, str(mean))


def side_of(preparation: Preprocessing, input_shape: tuple[int, int, int], size: int | None = None) -> int:
    """Settle the side of the registered faces: as given, else the mean image's, else 200."""
    mean = preparation.mean
    if size is None:
        size = SIZE
        if mean is not None and mean.ndim == 3 and mean.shape[1] == mean.shape[2] > max(input_shape[1:]):
            size = int(mean.shape[1])
    if size < max(input_shape[1:]):
        raise UserError(
            f"faces of {size} pixels are smaller than the net's input, {input_shape[1]}x{input_shape[2]};"
            " give the --size that its training data were prepared with"
        )
    return size


def find_aus(
    weights: str | Path, outputs: int, aus: Sequence[int] | None = None, net: str = "the net"
) -> tuple[int, ...]:
    """Settle which AUs the outputs are.

    As given; else those of the data that the folder of ``drml train`` names, where these are still there;
    else BP4D's where the outputs are 12, DISFA's where they are 8.

    Raises
    ------
    UserError
        The number of AUs is not that of the outputs, or nothing tells.
    """
    if aus is not None:
        if len(aus) != outputs:
            names = ", ".join(f"AU{au}" for au in aus)
            raise UserError(f"{net}: {outputs} outputs, but {len(aus)} AUs given ({names})")
        return tuple(aus)
    for known in (_aus_of_training(Path(weights)), BP4D_AUS, DISFA_AUS):
        if known is not None and len(known) == outputs:
            return known
    raise UserError(
        f"{net}: which AUs its {outputs} outputs are is unknown; name them with --aus, such as --aus 1,2,4"
    )


def _aus_of_training(weights: Path) -> tuple[int, ...] | None:
    """Read the AUs in the manifest of the training data, if both are where ``drml train`` left them."""
    try:
        solver = read_prototxt(weights.with_name("solver.prototxt"), "SolverParameter")
        net = Path(solver.net or solver.train_net)
        net = net if net.is_file() else weights.with_name(net.name)
        for entry in data_paths(read_prototxt(net)):
            manifest = manifest_beside(Path(entry.path))
            if entry.field == "source" and manifest.is_file():
                return read_manifest(manifest).aus
    except UserError:
        pass  # a convenience: what it cannot tell, --aus does
    return None


# --- opening ------------------------------------------------------------


def open_recogniser(
    weights: str | Path,
    *,
    net: str | Path | None = None,
    mean: str | Path | None = None,
    scale: float | None = None,
    size: int | None = None,
    aus: Sequence[int] | None = None,
    predictor: Predictor | None = None,
) -> Recogniser:
    """Open the net of some weights, with all that it needs to know of its training.

    Parameters
    ----------
    weights : path
        .caffemodel or .h5.
    net : path, optional
        Deploy prototxt; by default found by `drml.detect.model.find_net`.
    mean, scale : optional
        As in `drml.nets.preprocessing.find_preprocessing`; the mean image may also lie beside the weights.
    size : int, optional
        Side of the registered faces; by default the mean image's, else 200.
    aus : sequence of int, optional
        AUs of the outputs; see `drml.detect.model.find_aus`.
    predictor : Predictor, optional
        What runs the net, where it is not Caffe.

    Raises
    ------
    UserError
        Something is missing, or does not fit.
    """
    preparation = find_preparation(weights, mean=mean, scale=scale)
    if predictor is None:
        predictor = CaffePredictor(find_net(weights, net), weights)
    side = side_of(preparation, predictor.input_shape, size)
    outputs = _try_out(predictor, preparation, side)
    return Recogniser(predictor, preparation, find_aus(weights, outputs, aus, predictor.name), side)


def open_onnx(
    path: str | Path,
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
    size: int | None = None,
    aus: Sequence[int] | None = None,
) -> Recogniser:
    """Open what ``drml export-onnx`` wrote; it runs in ONNX Runtime.

    Parameters
    ----------
    path : path
    mean, scale : optional
        Of a file that was exported without its mean image: the mean image, which is needed, and the factor,
        which the file tells.
    size, aus : optional
        As in `open_recogniser`; by default what the file tells.

    Raises
    ------
    UserError
        The file or the mean image is missing, or does not fit; ONNX Runtime is not installed.
    """
    from drml.nets.onnx_net import OnnxNet

    net = OnnxNet(path)
    preparation = find_onnx_preparation(net.name, net.metadata, mean=mean, scale=scale)
    if size is None and net.metadata.face_size is not None:
        size = net.metadata.face_size[0]
    side = side_of(preparation, net.input_shape, size)
    outputs = _try_out(net, preparation, side)
    known = net.metadata.aus if aus is None else aus
    return Recogniser(net, preparation, find_aus(path, outputs, known, net.name), side)


def _try_out(predictor: Predictor, preparation: Preprocessing, side: int) -> int:
    """Run one grey face, so that what does not fit is told before the long work; return the outputs."""
    face = np.full((side, side, predictor.input_shape[0]), 127, np.uint8)
    return run_faces(predictor, preparation, [face]).shape[1]
