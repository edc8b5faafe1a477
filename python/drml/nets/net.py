"""Caffe networks from Python; the only module that imports caffe.

Caffe ends the whole process where a file does not suit it (``CHECK`` calls ``abort``), so everything a user
can get wrong is looked at here first and raised as a `UserError`.

caffe is imported inside the functions: the rest of the package, ``drml --help`` among it, works without it.
"""

from __future__ import annotations

import math
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from drml.io import hdf5
from drml.io.errors import UserError
from drml.io.limits import PROTO_BYTES, PROTOTXT_BYTES, read_bytes, read_text

# Layer parameters that name the data of a layer in a field `source`.
_DATA_PARAMS = (
    "data_param",
    "multi_label_data_param",
    "image_data_param",
    "hdf5_data_param",
    "window_data_param",
)
_PYTHON_LAYERS = "CAFFE_PYTHON_LAYERS"
_FATAL = re.compile(r"^F\d{4,8} .*?\] ?(.*)$", re.MULTILINE)


def import_caffe() -> ModuleType:
    """Import caffe with its log kept to errors, unless GLOG_minloglevel says otherwise."""
    os.environ.setdefault("GLOG_minloglevel", "2")
    try:
        import caffe
    except ImportError as error:
        raise UserError(
            f"pycaffe not found ({error}): run make, and use .venv/bin/drml or .venv/bin/python"
        ) from None
    module: ModuleType = caffe
    return module


def _messages() -> Any:
    import_caffe()
    from caffe.proto import caffe_pb2

    return caffe_pb2


def new_message(kind: str) -> Any:
    """Return an empty message of Caffe's: ``SolverState``, ``NetParameter``."""
    return getattr(_messages(), kind)()


def fatal_line(log: str) -> str | None:
    """Return the message of the last fatal line (``F1123 ... file.cpp:12] ...``) of a glog text, or None."""
    lines = _FATAL.findall(log)
    return lines[-1].strip() if lines else None


# --- prototxt files -------------------------------------------------------------------------------------


def read_prototxt(path: str | Path, kind: str = "NetParameter") -> Any:
    """Read a text message of Caffe: ``NetParameter``, ``SolverParameter``.

    Raises
    ------
    UserError
        The file is missing, or is not such a text; names line and column.
    """
    from google.protobuf import text_format

    message = new_message(kind)
    try:
        text_format.Parse(read_text(path, PROTOTXT_BYTES), message)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a {kind} in prototxt form") from None
    except UnicodeDecodeError:
        raise UserError(f"{path}: not a text file; expected a {kind} in prototxt form") from None
    except text_format.ParseError as error:
        raise UserError(f"{path}: not a {kind}: line {error}") from None
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not a {kind} ({error})") from None
    if kind == "NetParameter":
        _refuse_foreign_layers(path, message)
    return message


def _refuse_foreign_layers(path: str | Path, net: Any) -> None:
    """Refuse layers that run code, or write files, of whose names the net decides."""
    for layer in net.layer:
        if layer.type == "Python" and os.environ.get(_PYTHON_LAYERS) != "1":
            raise UserError(
                f"{path}: layer '{layer.name}' of the type Python imports and runs the module that it names;"
                f" remove it, or set {_PYTHON_LAYERS}=1 if you trust whoever wrote this net"
            )
    outputs = [layer for layer in net.layer if layer.type == "HDF5Output"]
    outputs += [layer for layer in net.layers if layer.type == layer.HDF5_OUTPUT]
    if outputs:
        raise UserError(
            f"{path}: layer '{outputs[0].name}' of the type HDF5Output overwrites the file that it names;"
            " remove it from the net, or run it with caffe itself"
        )


def prototxt_text(message: Any) -> str:
    """Return a message as the text of a prototxt file."""
    from google.protobuf import text_format

    text: str = text_format.MessageToString(message)
    return text


def write_prototxt(message: Any, path: str | Path) -> None:
    """Write a message as text."""
    Path(path).write_text(prototxt_text(message), encoding="utf-8")


@dataclass
class DataPath:
    """A file or folder that a net reads: field `field` of `holder`, in the layer named `layer`."""

    layer: str
    holder: Any
    field: str

    @property
    def path(self) -> str:
        """What the net says now."""
        return str(getattr(self.holder, self.field))

    @path.setter
    def path(self, value: str | Path) -> None:
        setattr(self.holder, self.field, str(value))


def data_paths(net: Any) -> list[DataPath]:
    """List the paths in a NetParameter: each data layer's `source`, each transform's `mean_file`."""
    found = []
    for layer in net.layer:
        holders = [(name, "source") for name in _DATA_PARAMS]
        holders += [("transform_param", "mean_file"), ("data_param", "mean_file")]
        for name, field in holders:
            if name in layer.DESCRIPTOR.fields_by_name and layer.HasField(name):
                holder = getattr(layer, name)
                if getattr(holder, field, ""):
                    found.append(DataPath(layer.name, holder, field))
    return found


def batch_size(net: Any, phase: str = "TRAIN") -> int | None:
    """Return how many pictures the first data layer of a NetParameter in `phase` gives at once, if any."""
    wanted = _messages().Phase.Value(phase)
    for layer in net.layer:
        for name in _DATA_PARAMS:
            if layer.HasField(name) and not any(
                rule.HasField("phase") and rule.phase != wanted for rule in layer.include
            ):
                return int(getattr(layer, name).batch_size)
    return None


@dataclass(frozen=True)
class Transform:
    """What a net's data layer does to a picture before the net sees it."""

    scale: float = 1.0
    crop_size: int = 0
    mean_value: tuple[float, ...] = ()
    mean_file: str = ""


def transform_of(net: Any, phase: str = "TEST") -> Transform | None:
    """Return the transform of a NetParameter's data layer in `phase`; else of any; None without one.

    A data layer that says nothing of a transform has the one that does nothing.
    """
    wanted = _messages().Phase.Value(phase)
    fields = ["transform_param", *_DATA_PARAMS]
    layers = [
        layer
        for layer in net.layer
        if any(name in layer.DESCRIPTOR.fields_by_name and layer.HasField(name) for name in fields)
    ]
    # A layer without a phase rule runs in both phases. A snapshot says it in `phase`, not in a rule.
    layers.sort(
        key=lambda layer: (
            any(rule.HasField("phase") and rule.phase != wanted for rule in layer.include)
            or (layer.HasField("phase") and layer.phase != wanted)
        )
    )
    if not layers:
        return None
    param = layers[0].transform_param
    # Caffe keeps float32: 1/60 comes back as 0.016666668, which is what the net was trained with.
    return Transform(param.scale, param.crop_size, tuple(param.mean_value), param.mean_file)


# --- weights --------------------------------------------------------------------------------------------

Shape = tuple[int, ...]


class _OldShape(tuple[int, ...]):
    """Four axes as old files have them, for blobs of any number of axes: padded with ones in front."""


@dataclass(frozen=True)
class WeightsFile:
    """What a weights file holds: the blobs' shapes by layer, and the transform where it is kept.

    A .caffemodel carries the net it was trained in, so also the scale of its input; an .h5 does not.
    """

    shapes: dict[str, list[Shape]]
    transform: Transform | None


def read_weights(path: str | Path) -> WeightsFile:
    """Read the shapes in a .caffemodel or .h5 weights file, told apart by content as Caffe does.

    Raises
    ------
    UserError
        It is missing or damaged; a blob has another number of values than its shape says.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such weights file; give a .caffemodel or .h5")
    if hdf5.is_hdf5(path):
        return WeightsFile(_shapes_in_hdf5(path), None)
    net = read_caffemodel(path)
    shapes: dict[str, list[Shape]] = {}
    for layer in [*net.layers, *net.layer]:
        if layer.blobs:
            if layer.name in shapes:
                raise UserError(f"{path}: two layers '{layer.name}'; give whole weights")
            shapes[layer.name] = [_shape_in_proto(blob) for blob in layer.blobs]
            for index, (blob, shape) in enumerate(zip(layer.blobs, shapes[layer.name], strict=True)):
                count = len(blob.data) or len(blob.double_data)
                if math.prod(shape) != count or min(shape, default=0) < 0:
                    raise UserError(
                        f"{path}: blob {index} of layer '{layer.name}' is {_x(shape)} with {count} values;"
                        " damaged; give whole weights"
                    )
    if not shapes:
        raise UserError(f"{path}: holds no weights; give the .caffemodel of a snapshot, not a .solverstate")
    return WeightsFile(shapes, transform_of(net, "TRAIN"))


def read_blob(path: str | Path, layer: str, index: int = 0) -> NDArray[np.float32]:
    """Read a layer's blob from a .caffemodel or .h5 weights file.

    Raises
    ------
    UserError
        The file is missing or damaged, or has no such blob.
    """
    import h5py

    path = Path(path)
    shapes = read_weights(path).shapes.get(layer, [])
    if index >= len(shapes):
        raise UserError(f"{path}: no blob {index} of layer '{layer}'; give the weights of this very net")
    if hdf5.is_hdf5(path):
        with h5py.File(path) as file:
            return np.asarray(hdf5.read_set(hdf5.child(file, f"data/{layer}/{index}")), np.float32)
    net = read_caffemodel(path)
    (blob,) = [one.blobs[index] for one in [*net.layers, *net.layer] if one.name == layer and one.blobs]
    return np.array(blob.data or blob.double_data, np.float32).reshape(shapes[index])


def read_caffemodel(path: str | Path) -> Any:
    """Read a .caffemodel: a NetParameter with the blobs of its layers.

    Raises
    ------
    UserError
        It is missing, is none, or is cut short.
    """
    from google.protobuf.message import DecodeError

    if not Path(path).is_file():
        raise UserError(f"{path}: no such weights file; give a .caffemodel")
    if hdf5.is_hdf5(Path(path)):
        raise UserError(f"{path}: HDF5 weights; give a .caffemodel (snapshot_format: BINARYPROTO)")
    net = new_message("NetParameter")
    try:
        net.ParseFromString(read_bytes(path, PROTO_BYTES))
    except DecodeError:
        raise UserError(f"{path}: not a .caffemodel, or cut short; give whole weights") from None
    return net


def _shape_in_proto(blob: Any) -> Shape:
    if any(blob.HasField(name) for name in ("num", "channels", "height", "width")):
        return _OldShape((blob.num, blob.channels, blob.height, blob.width))
    return tuple(blob.shape.dim)


def _shapes_in_hdf5(path: Path) -> dict[str, list[Shape]]:
    import h5py

    try:
        with h5py.File(path) as file:
            if "data" not in file or not isinstance(group := hdf5.child(file, "data"), h5py.Group):
                raise UserError(f"{path}: no group 'data'; not weights that Caffe wrote")
            shapes = {}
            for name in group:
                layer = hdf5.child(group, name)
                blobs = sorted((key for key in layer if re.fullmatch("[0-9]{1,3}", key)), key=int)
                if blobs:
                    shapes[name] = [hdf5.shape(hdf5.child(layer, key)) for key in blobs]
            return shapes
    except UserError:
        raise
    except Exception as error:  # HDF5's library and its binding raise many kinds
        raise UserError(f"{path}: damaged or cut short HDF5 file ({error})") from None


def _x(shape: Shape) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _same_shape(stored: Shape, needed: Shape) -> bool:
    if isinstance(stored, _OldShape):
        return tuple(stored) == (1,) * (4 - len(needed)) + needed
    return stored == needed


def check_weights(
    path: str | Path, stored: dict[str, list[Shape]], deploy: str | Path, needed: dict[str, list[Shape]]
) -> None:
    """Raise a `UserError` unless the weights of `path` fit the net of `deploy`, layer by layer."""
    way_out = "give the weights of this very net"
    for name, shapes in needed.items():
        if name not in stored:
            raise UserError(
                f"{path}: no weights for layer '{name}' ({', '.join(map(_x, shapes))})"
                f" of {deploy}; it has {', '.join(stored)}; {way_out}"
            )
        if len(stored[name]) != len(shapes):
            raise UserError(
                f"{path}: layer '{name}' has {len(stored[name])} blobs ({', '.join(map(_x, stored[name]))}),"
                f" {deploy} needs {len(shapes)} ({', '.join(map(_x, shapes))}); {way_out}"
            )
        for index, (have, need) in enumerate(zip(stored[name], shapes, strict=True)):
            if not _same_shape(have, need):
                raise UserError(
                    f"{path}: layer '{name}' has shape {_x(have)} in blob {index},"
                    f" {deploy} needs {_x(need)}; {way_out}"
                )
    for name in stored:
        if name not in needed:
            raise UserError(
                f"{path}: layer '{name}' ({', '.join(map(_x, stored[name]))}) is not in {deploy},"
                f" which has {', '.join(needed)}; {way_out}"
            )


# --- nets -----------------------------------------------------------------------------------------------


class Net(Protocol):
    """What scoring and feature extraction need of a network, whatever runs it."""

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Channels, height and width of the input."""

    @property
    def blob_names(self) -> list[str]:
        """Names of the blobs that `forward` can return."""

    def forward(
        self, images: Sequence[NDArray[np.uint8]], blobs: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Run pictures (height x width x channels, 8 bits) and return the named blobs, one row each."""


def preprocess(
    image: NDArray[np.uint8],
    shape: tuple[int, int, int],
    *,
    mean: NDArray[np.float32] | None = None,
    scale: float = 1.0,
    net: str | Path = "the net",
) -> NDArray[np.float32]:
    """Centre crop, mean and scale as Caffe's transformer has them in TEST.

    Parameters
    ----------
    image : ndarray, height x width x channels
        BGR, as OpenCV decodes it.
    shape : tuple
        C, H, W of the input.
    mean, scale
        As in `CaffeNet`.
    net : path
        What errors call the net.

    Returns
    -------
    ndarray, C x H x W
    """
    channels, height, width = shape
    if image.ndim == 2:
        image = image[:, :, None]
    rows, columns = image.shape[:2]
    if image.shape[2] != channels or rows < height or columns < width:
        raise UserError(
            f"a picture of {rows}x{columns} with {image.shape[2]} channels does not fit {net},"
            f" whose input is {_x(shape)}"
        )
    top, left = (rows - height) // 2, (columns - width) // 2
    window = np.s_[:, top : top + height, left : left + width]
    pixels = image.transpose(2, 0, 1)[window].astype(np.float32)
    if mean is not None:
        if mean.ndim == 1:
            pixels -= mean[:, None, None]
        elif mean.shape[1:] == (rows, columns):
            pixels -= mean[window]
        elif mean.shape[1:] == (height, width):
            pixels -= mean
        else:
            raise UserError(
                f"the mean image is {_x(mean.shape[1:])}, the pictures are {rows}x{columns};"
                " give the mean.binaryproto of data prepared with the same --size"
            )
    pixels *= np.float32(scale)
    return pixels


class CaffeNet:
    """A deploy network with its weights, fed with pictures as they lie in the LMDB.

    Parameters
    ----------
    deploy : path
        A prototxt with one input blob, N x C x H x W.
    weights : path
        A .caffemodel or .h5; every layer with weights must be in it with the same shapes, and no other.
    mean : ndarray, optional
        C x height x width as the mean image (of the pictures' size, or of the net's input), or C values.
    scale : float
        Factor after the mean is taken off. Caffe's order: ``(pixel - mean) * scale``.
    batch : int
        Pictures per forward pass at most.
    probe : bool
        Build the net in a process of its own first, so that a layer Caffe refuses is an error here and not
        the end of this process. Only for files known to be good is it worth leaving out (1-2 s).

    Attributes
    ----------
    input_shape : tuple
        C, H, W.
    blob_names : list of str
    net : caffe.Net
    """

    def __init__(
        self,
        deploy: str | Path,
        weights: str | Path,
        *,
        mean: NDArray[Any] | None = None,
        scale: float = 1.0,
        batch: int = 32,
        probe: bool = True,
    ) -> None:
        if batch < 1:
            raise UserError(f"a batch of {batch} pictures is not possible; give at least 1")
        caffe = import_caffe()
        text = read_prototxt(deploy)
        if not text.input and not any(layer.type == "Input" for layer in text.layer):
            raise UserError(f"{deploy}: has no Input layer; give a deploy.prototxt, not a train_val.prototxt")
        stored = read_weights(weights)
        if probe:
            probe_net(deploy)
        self.deploy = Path(deploy)
        self.net = caffe.Net(str(deploy), caffe.TEST)
        needed = {name: [tuple(blob.shape) for blob in blobs] for name, blobs in self.net.params.items()}
        check_weights(weights, stored.shapes, deploy, needed)
        self.net.copy_from(str(weights))
        if len(self.net.inputs) != 1 or len(self.net.blobs[self.net.inputs[0]].shape) != 4:
            raise UserError(
                f"{deploy}: needs one input blob of N x C x H x W, has {len(self.net.inputs)} inputs:"
                f" {', '.join(self.net.inputs)}"
            )
        self._input = self.net.inputs[0]
        _, channels, height, width = self.net.blobs[self._input].shape
        self.input_shape: tuple[int, int, int] = (channels, height, width)
        self.blob_names: list[str] = list(self.net.blobs)
        self.mean = None if mean is None else np.asarray(mean, np.float32)
        self.scale = float(scale)
        self.batch = batch
        if self.mean is not None and (
            self.mean.ndim not in (1, 3) or self.mean.shape[0] not in (1, channels)
        ):
            raise UserError(
                f"mean of shape {_x(self.mean.shape)} does not fit {deploy}, whose input is"
                f" {_x(self.input_shape)}; give its own mean.binaryproto"
            )

    def preprocess(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Make this net's input of a picture: see :func:`preprocess`."""
        return preprocess(image, self.input_shape, mean=self.mean, scale=self.scale, net=self.deploy)

    def forward(
        self, images: Sequence[NDArray[np.uint8]], blobs: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Run pictures through the net.

        Parameters
        ----------
        images : sequence of ndarray
            Any number of them; they run in batches.
        blobs : sequence of str
            The blobs wanted; their first axis must be the batch.

        Returns
        -------
        dict
            By name, an array with one row per picture.
        """
        # No picture still makes one pass, over nothing, so that the rows have their shape.
        parts = [
            self.forward_inputs(
                [self.preprocess(image) for image in images[start : start + self.batch]], blobs
            )
            for start in range(0, max(len(images), 1), self.batch)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in blobs}

    def forward_inputs(
        self, inputs: Sequence[NDArray[np.float32]] | NDArray[np.float32], blobs: Sequence[str]
    ) -> dict[str, NDArray[np.float32]]:
        """Run inputs that are made already, N x C x H x W, in one pass; else as `forward`."""
        for name in blobs:
            if name not in self.net.blobs:
                raise UserError(f"{self.deploy}: no blob '{name}'; it has {', '.join(self.blob_names)}")
        source = self.net.blobs[self._input]
        size = max(len(inputs), 1)
        if source.shape[0] != size:
            source.reshape(size, *self.input_shape)
            self.net.reshape()
        for index, pixels in enumerate(inputs):
            source.data[index] = pixels
        self.net.forward()
        found = {}
        for name in blobs:
            data = self.net.blobs[name].data
            if data.ndim == 0 or data.shape[0] != size:
                raise UserError(
                    f"{self.deploy}: blob '{name}' has shape {_x(data.shape)}, not one row per picture"
                )
            found[name] = np.array(data[: len(inputs)], copy=True)
        return found


class CaffeGradientNet(CaffeNet):
    """A `CaffeNet` that also gives the gradients of its scores by the pixels.

    The scores are what goes into the layer that makes ``prob``. The parameters are those of `CaffeNet`.
    """

    def __init__(self, deploy: str | Path, weights: str | Path, **options: Any) -> None:
        net = read_prototxt(deploy)
        made = [layer for layer in net.layer if "prob" in layer.top and len(layer.bottom) == 1]
        if not made:
            raise UserError(f"{deploy}: no layer makes 'prob' of one blob; saliency is of what goes into it")
        self._scores = str(made[0].bottom[0])
        net.force_backward = True  # Caffe's nets compute no gradient by their input otherwise
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder) / Path(deploy).name
            write_prototxt(net, copy)
            super().__init__(copy, weights, **options)
        self.deploy = Path(deploy)
        self._last = [str(name) for name, tops in self.net.top_names.items() if self._scores in tops][-1]

    def input_gradients(
        self, images: Sequence[NDArray[np.uint8]], columns: Sequence[int]
    ) -> NDArray[np.float32]:
        """Give d score / d pixel.

        Parameters
        ----------
        images : sequence of ndarray
            As `forward` takes them.
        columns : sequence of int
            For each picture, the score that is derived.

        Returns
        -------
        ndarray of float32, N x C x H x W
            By the pixels as they are in the picture, so with the input's scale.
        """
        parts = []
        for start in range(0, len(images), self.batch):
            chunk = columns[start : start + self.batch]
            self.forward(images[start : start + self.batch], [self._scores])
            scores = self.net.blobs[self._scores]
            scores.diff[...] = 0
            scores.diff.reshape(len(chunk), -1)[np.arange(len(chunk)), chunk] = 1
            self.net.backward(start=self._last)
            parts.append(self.net.blobs[self._input].diff * np.float32(self.scale))
        return np.concatenate(parts)


_good: set[tuple[str, str]] = set()  # texts of nets that Caffe took, so that folds do not each pay for it


def probe_net(deploy: str | Path, phase: str = "TEST") -> None:
    """Build the net in a child process, once for each text; raise its last fatal line if it dies of it."""
    net = read_text(deploy, PROTOTXT_BYTES)
    if (net, phase) in _good:
        return
    try:
        _in_child(f"import sys, caffe; caffe.Net(sys.argv[1], caffe.{phase})", deploy)
    except UserError as error:
        raise UserError(f"{deploy}: {error}") from None
    _good.add((net, phase))


def map_shape(net: Any, blob: str, *, size: int | None = None) -> tuple[int, int, int]:
    """Return C, H, W of a blob of a NetParameter: builds, in a process of its own, what leads to it.

    Parameters
    ----------
    net : NetParameter
        Its data layers may have no data: pictures of their crop size stand in for those.
    blob : str
    size : int, optional
        Side of the pictures, where a data layer crops none.

    Raises
    ------
    UserError
        Caffe refuses the net, the size is not known, or the blob has not four axes.
    """
    needed, kept = {blob}, []
    for layer in reversed(net.layer):
        if needed & set(layer.top):
            needed |= set(layer.bottom)
            kept.append(layer)
    part = type(net)(name=net.name, layer=kept[::-1])
    if needed & set(net.input):
        part.input.extend(net.input)
        part.input_shape.extend(net.input_shape)
        part.input_dim.extend(net.input_dim)
    stand_ins = [layer for layer in part.layer if any(layer.HasField(name) for name in _DATA_PARAMS)]
    if stand_ins:
        side = size or (transform_of(net) or Transform()).crop_size
        if not side:
            raise UserError(
                f"layer '{stand_ins[0].name}' does not say how large its pictures are; give --size"
            )
        others = [layer for layer in part.layer if layer not in stand_ins]
        source = type(part.layer[0])(name="data", type="Input", top=[stand_ins[0].top[0]])
        source.input_param.shape.add(dim=[1, 3, side, side])
        part = type(net)(name=net.name, layer=[source, *others])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.prototxt"
        write_prototxt(part, path)
        code = (
            "import sys, caffe; net = caffe.Net(sys.argv[1], caffe.TEST);print(*net.blobs[sys.argv[2]].shape)"
        )
        shape = tuple(map(int, _in_child(code, path, blob).split()))
    if len(shape) != 4:
        raise UserError(f"blob '{blob}' is {_x(shape)}, not a map of N x C x H x W")
    return shape[1], shape[2], shape[3]


def _in_child(code: str, *arguments: object) -> str:
    """Run Python code in a process of its own, as Caffe may end it; return what it printed last."""
    child = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "GLOG_minloglevel": "2", "PYTHONFAULTHANDLER": ""},
        check=False,
    )
    if child.returncode:
        last = fatal_line(child.stderr) or (child.stderr.strip().splitlines() or ["no message"])[-1]
        raise UserError(f"Caffe refuses this net: {last}")
    return child.stdout.strip().rsplit("\n", 1)[-1]
