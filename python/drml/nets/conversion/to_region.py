"""Branches -> Region, in a net's prototxt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from drml.io.errors import UserError
from drml.nets.conversion.branches import NORM_PARAMS, NORM_SETTINGS, Branches, replace_layers
from drml.nets.conversion.wiring import Branch, Wiring
from drml.nets.grid import patches
from drml.nets.probe import map_shape

__all__ = ["to_region"]


def to_region(net: Any, *, size: int | None = None) -> list[Branches]:
    """Replace the branches before each Splice layer of a NetParameter by one Region layer, in place.

    The Region layer gets the name and the top of the last layer that it replaces: the Eltwise layer that adds
    the map if there is one, else the Splice layer.

    Parameters
    ----------
    net : NetParameter
    size : int, optional
        Side of the net's input if the net does not say it.

    Returns
    -------
    list of Branches
        One for each Region layer.

    Raises
    ------
    UserError
        Branches compute something else than a Region; the message names the layer.
    """
    splices = [layer.name for layer in net.layer if layer.type == "Splice"]
    return [_replace_branches(net, name, size) for name in splices]


def _replace_branches(net: Any, name: str, size: int | None) -> Branches:
    wiring = Wiring(net)
    splice = next(layer for layer in wiring.layers if layer.name == name)
    param = splice.splice_param
    if not len(splice.bottom) == len(param.xcoord) == len(param.ycoord):
        raise UserError(f"layer '{name}': each bottom needs an xcoord and a ycoord")
    branches = [
        wiring.branch(splice, blob, y, x)
        for blob, y, x in zip(splice.bottom, param.ycoord, param.xcoord, strict=True)
    ]
    branches.sort(key=lambda branch: (branch.y, branch.x))
    bottom = _common([branch.box.bottom[0] for branch in branches], splice, "bottom of its Box layers")
    last, identity = wiring.sum_with(splice, bottom)
    boxes = list({branch.box.name: branch.box for branch in branches}.values())
    for maker in wiring.makers(bottom):
        if wiring.index(boxes[0]) < wiring.index(maker) < wiring.index(last):
            raise UserError(f"layer '{maker.name}' changes '{bottom}' between its patches and their sum")
    rows, columns = _grid(branches, splice, map_shape(net, bottom, size=size))

    region = type(splice)(name=last.name, type="Region", bottom=[bottom], top=[last.top[0]])
    layers = (splice, last, *boxes)
    _common([list(map(str, layer.include)) for layer in layers], splice, "include rules")
    _common([list(map(str, layer.exclude)) for layer in layers], splice, "exclude rules")
    region.include.extend(splice.include)
    region.exclude.extend(splice.exclude)
    region.region_param.grid_h, region.region_param.grid_w = rows, columns
    _set_convolution(region, branches, splice)
    _set_norm(region, branches, splice)
    _set_multipliers(region, branches, splice)
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
    replace_layers(net, set(made.names), last.name, [region])
    return made


def _common(values: Sequence[Any], layer: Any, what: str) -> Any:
    """Return the value that all patches must have in common."""
    if any(value != values[0] for value in values):
        raise UserError(f"layer '{layer.name}': {what} differ; a Region has one for all patches")
    return values[0]


def _grid(branches: list[Branch], splice: Any, shape: tuple[int, int, int]) -> tuple[int, int]:
    """Return rows and columns of the grid that the patches form; raise a `UserError` if they form none."""
    rows, columns = len({branch.y for branch in branches}), len({branch.x for branch in branches})
    found = [
        (branch.y, branch.x, branch.box.box_param.height, branch.box.box_param.width) for branch in branches
    ]
    if found != patches(shape[1], shape[2], rows, columns):
        raise UserError(
            f"layer '{splice.name}': its patches are not a grid of {rows}x{columns} over the map of"
            f" {shape[1]}x{shape[2]}, as a Region cuts it"
        )
    return rows, columns


def _set_convolution(region: Any, branches: list[Branch], splice: Any) -> None:
    """Fill in the settings of the convolutions and the ReLUs."""
    param = region.region_param
    _common([str(branch.convolution.convolution_param) for branch in branches], splice, "convolutions")
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


def _kernel_size(layer: Any) -> int:
    """Return the side of the kernel; raise a `UserError` if a Region has no such convolution."""
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


def _set_norm(region: Any, branches: list[Branch], splice: Any) -> None:
    """Fill in the settings of the normalisations and their Scale layers."""
    param = region.region_param
    norms = [branch.norm for branch in branches]
    if _common([norm is None for norm in norms], splice, "normalisations"):
        param.batch_norm = False
    else:
        settings = [_norm_settings(norm) for norm in norms]
        for name, value in _common(settings, splice, "normalisations").items():
            setattr(param, name, value)
    scales = [branch.scale for branch in branches]
    if _common([scale is None for scale in scales], splice, "Scale layers"):
        return
    param.affine = True
    if not all(
        scale.scale_param.bias_term and scale.scale_param.axis == 1 and scale.scale_param.num_axes == 1
        for scale in scales
    ):
        raise UserError(
            f"layer '{scales[0].name}': a Region scales and shifts channels; this needs bias_term: true"
        )
    if not param.batch_norm:
        raise UserError(
            f"layer '{scales[0].name}': a Region scales only what it has normalised, but no normalisation"
            " comes before this layer"
        )


def _norm_settings(norm: Any) -> dict[str, Any]:
    param = getattr(norm, NORM_PARAMS[norm.type])
    return {name: getattr(param, name) for name in NORM_SETTINGS if param.HasField(name)}


def _set_multipliers(region: Any, branches: list[Branch], splice: Any) -> None:
    """Fill in the learning rates (`param`): of the convolutions, the statistics, and the Scale layers."""
    specs = [list(map(str, branch.convolution.param)) for branch in branches]
    _common(specs, splice, "param of its convolutions")
    convolution = branches[0].convolution
    if any(spec.name for spec in convolution.param):
        raise UserError(f"layer '{convolution.name}': shares its weights by name; a Region cannot")
    region.param.extend(convolution.param)
    scales = [branch.scale for branch in branches]
    if region.region_param.affine and any(scale.param for scale in scales):
        _common([list(map(str, scale.param)) for scale in scales], splice, "param of its Scale layers")
        while len(region.param) < (2 if region.region_param.bias_term else 1):
            region.param.add()
        for _ in range(3):  # the running statistics, which are not learned
            region.param.add(lr_mult=0, decay_mult=0)
        region.param.extend(scales[0].param)
