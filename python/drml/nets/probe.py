"""Builds nets in a child process first, because Caffe aborts the whole process if it refuses a net."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from drml.io.errors import UserError
from drml.io.limits import PROTOTXT_BYTES, read_text
from drml.nets.prototxt import DATA_PARAMS, Transform, transform_of, write_prototxt
from drml.nets.pycaffe import fatal_line
from drml.nets.shapes import shape_text

# The texts of nets that Caffe has accepted: the folds of an experiment have the same net.
_accepted: set[tuple[str, str]] = set()


def probe_net(deploy: str | Path, phase: str = "TEST") -> None:
    """Build a net in a child process, once for each text of a net.

    Raises
    ------
    UserError
        Caffe refuses the net; the message is Caffe's last fatal line.
    """
    net = read_text(deploy, PROTOTXT_BYTES)
    if (net, phase) in _accepted:
        return
    try:
        _in_child(f"import sys, caffe; caffe.Net(sys.argv[1], caffe.{phase})", deploy)
    except UserError as error:
        raise UserError(f"{deploy}: {error}") from None
    _accepted.add((net, phase))


def map_shape(net: Any, blob: str, *, size: int | None = None) -> tuple[int, int, int]:
    """Return channels, height and width of a blob.

    A child process builds the layers that lead to the blob.

    Parameters
    ----------
    net : NetParameter
        Its data need not exist: an Input layer of the crop size takes the place of each data layer.
    blob : str
    size : int, optional
        Side of the images in pixels, if the data layer has no crop size.

    Raises
    ------
    UserError
        Caffe refuses the net, the size is unknown, or the blob is not N x C x H x W.
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
    data_layers = [layer for layer in part.layer if any(layer.HasField(name) for name in DATA_PARAMS)]
    if data_layers:
        side = size or (transform_of(net) or Transform()).crop_size
        if not side:
            raise UserError(
                f"layer '{data_layers[0].name}' does not say how large its images are; give --size"
            )
        others = [layer for layer in part.layer if layer not in data_layers]
        source = type(part.layer[0])(name="data", type="Input", top=[data_layers[0].top[0]])
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
        raise UserError(f"blob '{blob}' is {shape_text(shape)}, not a map of N x C x H x W")
    return shape[1], shape[2], shape[3]


def _in_child(code: str, *arguments: object) -> str:
    """Run Python code in a child process, and return the last line that it printed."""
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
