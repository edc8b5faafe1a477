"""Region layers <-> the branches of Box, Batch, ReLU, Convolution and Splice that the authors' nets have.

A converted net computes the same: its weights are rearranged, nothing is trained. Prototxts and .caffemodel
files are rewritten as messages; caffe itself only tells how large the maps are (`drml.nets.net.map_shape`).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from drml.io.errors import UserError
from drml.io.files import writing
from drml.nets.probe import map_shape
from drml.nets.prototxt import prototxt_text, read_prototxt
from drml.nets.weights import read_caffemodel

__all__ = ["TARGETS", "Branches", "borders", "convert", "to_branches", "to_region"]

TARGETS = ("region", "branches")

_PATCHES = 1024  # each is at least three layers
_NORMS = {"Batch": "batch_param", "BatchNorm": "batch_norm_param"}

Weights = dict[str, list[NDArray[np.float32]]]


def convert(
    model: str | Path,
    out: str | Path,
    *,
    to: str,
    weights: str | Path | None = None,
    out_weights: str | Path | None = None,
    size: int | None = None,
) -> int:
    """Convert a net's file, and its weights where they are given.

    Parameters
    ----------
    model, out : path
        Prototxt to read, prototxt to write.
    to : {"region", "branches"}
        What its region layers are to become.
    weights, out_weights : path, optional
        .caffemodel to read, .caffemodel to write; both or none.
    size : int, optional
        Side of the net's input, where the prototxt does not say it (a data layer without a crop).

    Returns
    -------
    int
        How many region layers were converted.

    Raises
    ------
    UserError
        A file is missing or broken, the net has nothing to convert or what has no counterpart.
    """
    if (weights is None) != (out_weights is None):
        raise UserError("weights to read and a file to write them to need each other; give both, or none")
    net = read_prototxt(model)
    if net.layers:
        raise UserError(f"{model}: an old prototxt ('layers'); run upgrade_net_proto_text on it first")
    stored = None if weights is None else read_caffemodel(weights)
    try:
        change = {"region": to_region, "branches": to_branches}[to]
        try:
            pieces = change(net, size=size)
        except IndexError:
            raise UserError("a layer lacks a bottom, a top or a number that its type needs") from None
        if not pieces:
            what = "no layer Region" if to == "branches" else "no layer Splice"
            raise UserError(f"has {what} to convert")
    except UserError as error:
        raise UserError(f"{model}: {error}") from None
    if stored is not None:
        try:
            for piece in pieces:
                (_weights_to_region if to == "region" else _weights_to_branches)(stored, piece)
        except UserError as error:
            raise UserError(f"{weights}: {error}") from None
    with writing(out, encoding="utf-8") as file:
        file.write(prototxt_text(net))
    if stored is not None and out_weights is not None:
        with writing(out_weights, "wb") as file:
            file.write(stored.SerializeToString())
    return len(pieces)


# --- what both forms have in common ---------------------------------------------------------------------


@dataclass
class Branches:
    """A region layer, as one layer and as branches, patch after patch in the order of the grid.

    Attributes
    ----------
    region : str
        Name of the Region layer.
    others : list of str
        Names of Box, Splice and Eltwise layers.
    convolutions, norms, relus, scales : list of str
        Names of each patch's layers; norms and scales are empty where the region has none.
    bias_term : bool
    """

    region: str
    bias_term: bool
    others: list[str] = field(default_factory=list)
    convolutions: list[str] = field(default_factory=list)
    norms: list[str] = field(default_factory=list)
    relus: list[str] = field(default_factory=list)
    scales: list[str] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """Names of all layers that are one Region in the other form."""
        return [*self.others, *self.convolutions, *self.norms, *self.relus, *self.scales]


def borders(size: int, cells: int) -> list[int]:
    """Where the cells of a grid begin, and the end: as the Region layer cuts `size` pixels.

    Examples
    --------
    >>> borders(160, 7)
    [0, 22, 45, 68, 91, 114, 137, 160]
    """
    return [index * size // cells for index in range(cells + 1)]


def _replace(net: Any, gone: set[str], at: str, layers: Sequence[Any]) -> None:
    """Put `layers` in the place of the layer `at`, and take all in `gone` out."""
    kept: list[Any] = []
    for layer in net.layer:
        if layer.name == at:
            kept += layers
        elif layer.name not in gone:
            kept.append(layer)
    copies = [type(layer).FromString(layer.SerializeToString()) for layer in kept]
    del net.layer[:]
    net.layer.extend(copies)


# --- branches -> Region ---------------------------------------------------------------------------------


def to_region(net: Any, *, size: int | None = None) -> list[Branches]:
    """Let one Region stand for the branches before each Splice of a NetParameter, in place.

    The Region has name and top of the last layer that it replaces: the Eltwise that adds the map, where
    there is one, else the Splice.

    Raises
    ------
    UserError
        Branches are not what a Region computes: names the layer.
    """
    splices = [layer.name for layer in net.layer if layer.type == "Splice"]
    return [_one_to_region(net, name, size) for name in splices]


@dataclass
class _Branch:
    """One patch's layers, and where it lies."""

    box: Any
    norm: Any  # None where there is none
    scale: Any
    relu: Any
    convolution: Any
    y: int
    x: int


class _Wiring:
    """Who makes and who takes each blob of a net."""

    def __init__(self, net: Any) -> None:
        self.layers = list(net.layer)

    def makers(self, blob: str) -> list[Any]:
        return [layer for layer in self.layers if blob in layer.top]

    def takers(self, blob: str, maker: Any) -> list[Any]:
        """Return the layers that read what `maker` wrote to `blob`, before another layer writes to it."""
        found = []
        for layer in self.layers[self.place(maker) + 1 :]:
            if blob in layer.bottom:
                found.append(layer)
            if blob in layer.top:
                break
        return found

    def maker_before(self, blob: str, layer: Any) -> Any:
        """Return the last layer before `layer` that writes `blob`."""
        found = [maker for maker in self.makers(blob) if self.place(maker) < self.place(layer)]
        if not found:
            raise UserError(f"layer '{layer.name}': nothing before it makes its bottom '{blob}'")
        return found[-1]

    def place(self, layer: Any) -> int:
        return next(index for index, other in enumerate(self.layers) if other is layer)


def _one_to_region(net: Any, name: str, size: int | None) -> Branches:
    wiring = _Wiring(net)
    splice = next(layer for layer in wiring.layers if layer.name == name)
    param = splice.splice_param
    if not len(splice.bottom) == len(param.xcoord) == len(param.ycoord):
        raise UserError(f"layer '{name}': each bottom needs an xcoord and a ycoord")
    branches = [
        _branch(wiring, splice, blob, y, x)
        for blob, y, x in zip(splice.bottom, param.ycoord, param.xcoord, strict=True)
    ]
    branches.sort(key=lambda branch: (branch.y, branch.x))
    bottom = _same([branch.box.bottom[0] for branch in branches], splice, "bottom of its Box layers")
    last, identity = _sum_with(wiring, splice, bottom)
    boxes = list({branch.box.name: branch.box for branch in branches}.values())
    for maker in wiring.makers(bottom):
        if wiring.place(boxes[0]) < wiring.place(maker) < wiring.place(last):
            raise UserError(f"layer '{maker.name}' changes '{bottom}' between its patches and their sum")
    rows, columns = _grid(branches, splice, map_shape(net, bottom, size=size))

    region = type(splice)(name=last.name, type="Region", bottom=[bottom], top=[last.top[0]])
    _same([list(map(str, layer.include)) for layer in (splice, last, *boxes)], splice, "include rules")
    region.include.extend(splice.include)
    _parameters(region, branches, splice, rows, columns)
    if not identity:
        region.region_param.identity = False
    made = Branches(
        region=region.name,
        bias_term=region.region_param.bias_term,
        others=[box.name for box in boxes] + [splice.name] + ([last.name] if identity else []),
        convolutions=[branch.convolution.name for branch in branches],
        norms=[branch.norm.name for branch in branches if branch.norm is not None],
        relus=[branch.relu.name for branch in branches],
        scales=[branch.scale.name for branch in branches if branch.scale is not None],
    )
    tops = [top for box in boxes for top in box.top]
    if len(tops) != len(branches):
        raise UserError(f"layer '{boxes[0].name}': not each of its patches goes into '{splice.name}'")
    _replace(net, set(made.names), last.name, [region])
    return made


def _same(values: Sequence[Any], layer: Any, what: str) -> Any:
    """Return the value that all have."""
    if any(value != values[0] for value in values):
        raise UserError(f"layer '{layer.name}': {what} differ; a Region has one for all patches")
    return values[0]


def _branch(wiring: _Wiring, splice: Any, blob: str, y: int, x: int) -> _Branch:
    """Walk back from a bottom of the Splice to the Box."""
    found: dict[str, Any] = {}
    allowed = ["Convolution", "ReLU", "Scale", "Norm", "Box"]
    layer, taken = splice, blob
    while "Box" not in found:
        maker = wiring.maker_before(taken, layer)
        for taker in wiring.takers(taken, maker):
            if taker is not layer:
                raise UserError(f"layer '{taker.name}' takes '{taken}' too; a Region has no such blob")
        kind = "Norm" if maker.type in _NORMS else maker.type
        if kind not in allowed:
            way = " -> ".join(["Box", "Batch", "ReLU", "Convolution", "Splice"])
            raise UserError(f"layer '{maker.name}' ({maker.type}) is in a branch; a Region is {way}")
        allowed = allowed[allowed.index(kind) + 1 :]
        found[kind] = maker
        if kind != "Box":
            layer, taken = maker, maker.bottom[0]
    box = found["Box"]
    for kind in ("Convolution", "ReLU"):
        if kind not in found:
            raise UserError(f"layer '{splice.name}': the branch to its bottom '{blob}' has no {kind}")
    place = list(box.top).index(taken)
    if (box.box_param.ycoord[place], box.box_param.xcoord[place]) != (y, x):
        raise UserError(
            f"layer '{splice.name}': its bottom '{blob}' goes to row {y}, column {x},"
            " but was not cut out there"
        )
    return _Branch(box, found.get("Norm"), found.get("Scale"), found["ReLU"], found["Convolution"], y, x)


def _sum_with(wiring: _Wiring, splice: Any, bottom: str) -> tuple[Any, bool]:
    """Return the Eltwise that adds the map to the spliced patches, if there is one, else the Splice."""
    takers = wiring.takers(splice.top[0], splice)
    if len(takers) == 1 and takers[0].type == "Eltwise":
        eltwise = takers[0]
        param = eltwise.eltwise_param
        if (
            sorted(eltwise.bottom) == sorted([bottom, splice.top[0]])
            and param.operation == param.SUM
            and all(weight == 1 for weight in param.coeff)
        ):
            return eltwise, True
    return splice, False


def _grid(branches: list[_Branch], splice: Any, shape: tuple[int, ...]) -> tuple[int, int]:
    """Return rows and columns of the grid that the patches are, or say that they are none."""
    ys = sorted({branch.y for branch in branches})
    xs = sorted({branch.x for branch in branches})
    row_ends, column_ends = borders(shape[1], len(ys)), borders(shape[2], len(xs))
    expected = [
        (y0, x0, y1 - y0, x1 - x0)
        for y0, y1 in itertools.pairwise(row_ends)
        for x0, x1 in itertools.pairwise(column_ends)
    ]
    patches = [
        (branch.y, branch.x, branch.box.box_param.height, branch.box.box_param.width) for branch in branches
    ]
    if patches != expected:
        raise UserError(
            f"layer '{splice.name}': its patches are not a grid of {len(ys)}x{len(xs)} over the map of"
            f" {shape[1]}x{shape[2]}, as a Region cuts it"
        )
    return len(ys), len(xs)


def _parameters(region: Any, branches: list[_Branch], splice: Any, rows: int, columns: int) -> None:
    """Fill region_param and param in from the branches."""
    param = region.region_param
    param.grid_h, param.grid_w = rows, columns
    _same([str(branch.convolution.convolution_param) for branch in branches], splice, "convolutions")
    convolution = branches[0].convolution.convolution_param
    param.num_output = convolution.num_output
    param.kernel_size = _kernel_size(branches[0].convolution)
    if not convolution.bias_term:
        param.bias_term = False
    for name in ("weight_filler", "bias_filler"):
        if convolution.HasField(name):
            getattr(param, name).CopyFrom(getattr(convolution, name))
    for branch in branches:
        if branch.relu.relu_param.negative_slope:
            raise UserError(f"layer '{branch.relu.name}': a Region's ReLU has no negative_slope")
    norms = [branch.norm for branch in branches]
    if _same([norm is None for norm in norms], splice, "normalisations"):
        param.batch_norm = False
    else:
        settings = [_norm_settings(norm) for norm in norms]
        for name, value in _same(settings, splice, "normalisations").items():
            setattr(param, name, value)
    scales = [branch.scale for branch in branches]
    if not _same([scale is None for scale in scales], splice, "Scale layers"):
        param.affine = True
    if param.affine and not all(
        scale.scale_param.bias_term and scale.scale_param.axis == 1 and scale.scale_param.num_axes == 1
        for scale in scales
    ):
        raise UserError(
            f"layer '{scales[0].name}': a Region scales and shifts channels; this needs bias_term: true"
        )
    if param.affine and not param.batch_norm:
        raise UserError(
            f"layer '{scales[0].name}': a Region scales what it has normalised; no norm before it"
        )

    specs = [list(map(str, branch.convolution.param)) for branch in branches]
    _same(specs, splice, "param of its convolutions")
    if any(spec.name for spec in branches[0].convolution.param):
        raise UserError(
            f"layer '{branches[0].convolution.name}': shares its weights by name; a Region cannot"
        )
    region.param.extend(branches[0].convolution.param)
    if param.affine and any(scale.param for scale in scales):
        _same([list(map(str, scale.param)) for scale in scales], splice, "param of its Scale layers")
        while len(region.param) < (2 if param.bias_term else 1):
            region.param.add()
        for _ in range(3):  # of the statistics
            region.param.add(lr_mult=0, decay_mult=0)
        region.param.extend(scales[0].param)


def _kernel_size(layer: Any) -> int:
    param = layer.convolution_param
    sizes = set(param.kernel_size) or {param.kernel_h, param.kernel_w}
    pads = set(param.pad) or {param.pad_h, param.pad_w}
    strides = set(param.stride) or ({param.stride_h, param.stride_w} - {0})
    size = min(sizes)
    if (
        sizes != {size}
        or size % 2 == 0
        or pads != {(size - 1) // 2}
        or strides - {1}
        or set(param.dilation) - {1}
        or param.group != 1
        or param.axis != 1
    ):
        raise UserError(
            f"layer '{layer.name}': a Region's convolution has an odd kernel_size k, pad (k-1)/2, stride 1,"
            " no dilation and one group"
        )
    return int(size)


_NORM_SETTINGS = ("use_global_stats", "moving_average_fraction", "eps")  # with the same defaults in all


def _norm_settings(norm: Any) -> dict[str, Any]:
    param = getattr(norm, _NORMS[norm.type])
    return {name: getattr(param, name) for name in _NORM_SETTINGS if param.HasField(name)}


# --- Region -> branches ---------------------------------------------------------------------------------


def to_branches(net: Any, *, size: int | None = None) -> list[Branches]:
    """Let branches in the authors' way stand for each Region of a NetParameter, in place.

    The last of the new layers, an Eltwise or a Splice, has the Region's name and top; the others' names
    begin with it. Patches count from 1, as the authors' do.

    Raises
    ------
    UserError
        A Region has what branches have not: names the layer.
    """
    names = [layer.name for layer in net.layer if layer.type == "Region"]
    return [_one_to_branches(net, name, size) for name in names]


def _one_to_branches(net: Any, name: str, size: int | None) -> Branches:
    region = next(layer for layer in net.layer if layer.name == name)
    if len(region.top) != 1:
        raise UserError(f"layer '{name}': has {len(region.top)} tops; branches have the map alone")
    if any(spec.name for spec in region.param):
        raise UserError(f"layer '{name}': shares its weights by name; branches cannot")
    param = region.region_param
    bottom = region.bottom[0]
    channels, height, width = map_shape(net, bottom, size=size)
    if not (
        1 <= param.grid_h <= height and 1 <= param.grid_w <= width and param.grid_h * param.grid_w <= _PATCHES
    ):
        raise UserError(
            f"layer '{name}': a grid of {param.grid_h}x{param.grid_w} over a map of {height}x{width};"
            f" at most {_PATCHES} patches are converted"
        )
    made = Branches(region=name, bias_term=param.bias_term)
    rows, columns = borders(height, param.grid_h), borders(width, param.grid_w)
    patches = [
        (y0, x0, y1 - y0, x1 - x0)
        for y0, y1 in itertools.pairwise(rows)
        for x0, x1 in itertools.pairwise(columns)
    ]
    layers: list[Any] = []

    def add(names: list[str], part: str, kind: str, bottoms: list[str], tops: list[str]) -> Any:
        layer = type(region)(name=part, type=kind, bottom=bottoms, top=tops)
        layer.include.extend(region.include)
        names.append(part)
        layers.append(layer)
        return layer

    sizes = sorted({patch[2:] for patch in patches}, reverse=True)
    for of_size in sizes:  # a Box cuts patches of one size
        part = f"{name}_box" if len(sizes) == 1 else f"{name}_box_{of_size[0]}x{of_size[1]}"
        chosen = [index for index, patch in enumerate(patches) if patch[2:] == of_size]
        box = add(made.others, part, "Box", [bottom], [f"{name}_patch{index + 1}" for index in chosen])
        box.box_param.height, box.box_param.width = of_size
        box.box_param.ycoord.extend(patches[index][0] for index in chosen)
        box.box_param.xcoord.extend(patches[index][1] for index in chosen)
    for index in range(1, len(patches) + 1):
        blob = f"{name}_patch{index}"
        if param.batch_norm:
            norm = add(made.norms, f"{name}_bn{index}", "Batch", [blob], [f"{name}_bn{index}"])
            for setting in _NORM_SETTINGS:
                if param.HasField(setting):
                    setattr(norm.batch_param, setting, getattr(param, setting))
            for _ in range(3):
                norm.param.add(lr_mult=0)
            blob = norm.top[0]
        if param.affine:
            scale = add(made.scales, f"{name}_scale{index}", "Scale", [blob], [blob])
            scale.scale_param.bias_term = True
            scale.param.extend(region.param[5 if param.bias_term else 4 :])
        add(made.relus, f"{name}_relu{index}", "ReLU", [blob], [blob])
        convolution = add(
            made.convolutions, f"{name}_conv{index}", "Convolution", [blob], [f"{name}_res{index}"]
        )
        convolution.param.extend(region.param[: 2 if param.bias_term else 1])
        settings = convolution.convolution_param
        settings.num_output = param.num_output or channels
        settings.kernel_size.append(param.kernel_size)
        settings.pad.append((param.kernel_size - 1) // 2)
        if not param.bias_term:
            settings.bias_term = False
        for filler in ("weight_filler", "bias_filler"):
            if param.HasField(filler):
                getattr(settings, filler).CopyFrom(getattr(param, filler))
    spliced = f"{name}_splice" if param.identity else name
    top = spliced if param.identity else region.top[0]
    results = [f"{name}_res{index}" for index in range(1, len(patches) + 1)]
    splice = add(made.others, spliced, "Splice", results, [top])
    splice.splice_param.ycoord.extend(patch[0] for patch in patches)
    splice.splice_param.xcoord.extend(patch[1] for patch in patches)
    if param.identity:
        add(made.others, name, "Eltwise", [bottom, top], [region.top[0]]).eltwise_param.operation = 1  # SUM
    taken = {layer.name for layer in net.layer} - {name}
    taken |= {blob for layer in net.layer for blob in layer.top} - {name}
    for part in made.names:
        if part in taken:
            raise UserError(f"layer '{part}': is there already; rename it, '{name}' needs its name")
    _replace(net, {name}, name, layers)
    return made


# --- weights --------------------------------------------------------------------------------------------


def _array(blob: Any) -> NDArray[np.float32]:
    """Return a BlobProto's values; of old files, whose shapes have four axes, as they are stored."""
    values = blob.double_data if blob.double_data else blob.data
    old = any(blob.HasField(name) for name in ("num", "channels", "height", "width"))
    shape = (blob.num, blob.channels, blob.height, blob.width) if old else tuple(blob.shape.dim)
    if len(values) != math.prod(shape):
        raise UserError(f"a blob of {shape} has {len(values)} values; damaged, give whole weights")
    return np.array(values, np.float32).reshape(shape)


def _take(stored: Any, names: Sequence[str], count: int) -> list[list[NDArray[np.float32]]]:
    """Return the blobs of some layers, each of which must have `count`."""
    found = {layer.name: layer for layer in stored.layer if layer.blobs}
    result = []
    for name in names:
        if name not in found:
            raise UserError(f"no weights for layer '{name}'; give those of this very net")
        blobs = [_array(blob) for blob in found[name].blobs]
        if len(blobs) != count:
            raise UserError(
                f"layer '{name}' has {len(blobs)} blobs, not {count}; give those of this very net"
            )
        result.append(blobs)
    return result


def _put(stored: Any, gone: Sequence[str], new: dict[str, tuple[str, list[NDArray[np.float32]]]]) -> None:
    """Take layers out of a .caffemodel and put others in, by name: type and blobs."""
    kept = [layer for layer in stored.layer if layer.name not in set(gone)]
    copies = [type(layer).FromString(layer.SerializeToString()) for layer in kept]
    del stored.layer[:]
    stored.layer.extend(copies)
    for name, (kind, arrays) in new.items():
        layer = stored.layer.add(name=name, type=kind)
        for array in arrays:
            blob = layer.blobs.add()
            blob.shape.dim.extend(array.shape)
            blob.data.extend(np.ascontiguousarray(array, np.float32).ravel())


def _weights_to_region(stored: Any, piece: Branches) -> None:
    convolutions = _take(stored, piece.convolutions, 2 if piece.bias_term else 1)
    arrays = [np.stack([blobs[0] for blobs in convolutions])]
    if piece.bias_term:
        arrays.append(np.stack([blobs[1].ravel() for blobs in convolutions]))
    if piece.norms:
        norms = _take(stored, piece.norms, 3)
        factors = np.array([float(blobs[2].ravel()[0]) for blobs in norms])
        factor = factors.max()
        # Each has a factor of its own, a Region one for all: sums are brought to that one.
        ratios = np.where(factors > 0, factor / np.where(factors > 0, factors, 1), 0)
        for index in range(2):
            sums = np.stack([blobs[index].ravel().astype(np.float64) for blobs in norms])
            arrays.append((sums * ratios[:, None]).astype(np.float32))
        arrays.append(np.array([factor], np.float32))
    if piece.scales:
        scales = _take(stored, piece.scales, 2)
        arrays += [np.stack([blobs[index].ravel() for blobs in scales]) for index in range(2)]
    _put(stored, piece.names, {piece.region: ("Region", arrays)})


def _weights_to_branches(stored: Any, piece: Branches) -> None:
    counts = [1, int(piece.bias_term), 3 if piece.norms else 0, 2 if piece.scales else 0]
    (arrays,) = _take(stored, [piece.region], sum(counts))
    patches = len(piece.convolutions)
    if arrays[0].ndim != 5 or arrays[0].shape[0] != patches:
        raise UserError(
            f"layer '{piece.region}' has weights of {'x'.join(map(str, arrays[0].shape))},"
            f" not of {patches} patches; give those of this very net"
        )
    new = {}
    ends = np.cumsum(counts)
    for index in range(patches):
        new[piece.convolutions[index]] = ("Convolution", [array[index] for array in arrays[: ends[1]]])
        if piece.norms:
            mean, variance, factor = arrays[ends[1] : ends[2]]
            new[piece.norms[index]] = ("Batch", [mean[index], variance[index], factor])
        if piece.scales:
            new[piece.scales[index]] = ("Scale", [array[index] for array in arrays[ends[2] :]])
    _put(stored, [piece.region], new)
