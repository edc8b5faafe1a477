"""Region -> branches, in a net's prototxt."""

from __future__ import annotations

from typing import Any

from drml.io.errors import UserError
from drml.nets.conversion.branches import NORM_SETTINGS, Branches, replace_layers
from drml.nets.grid import patches
from drml.nets.probe import map_shape

__all__ = ["to_branches"]

_PATCHES = 1024  # Each becomes at least three layers.
_FILLERS = ("weight_filler", "bias_filler")


def to_branches(net: Any, *, size: int | None = None) -> list[Branches]:
    """Replace each Region layer of a NetParameter by branches as the authors' nets have them, in place.

    The last of the new layers, an Eltwise or a Splice layer, gets the name and the top of the Region layer;
    the names of the others begin with its name. Patches are numbered from 1, as in the authors' nets.

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
        Branches cannot compute what a Region layer does; the message names the layer.
    """
    names = [layer.name for layer in net.layer if layer.type == "Region"]
    return [_replace_region(net, name, size) for name in names]


def _replace_region(net: Any, name: str, size: int | None) -> Branches:
    region = next(layer for layer in net.layer if layer.name == name)
    if len(region.top) != 1:
        raise UserError(f"layer '{name}': has {len(region.top)} tops; branches have the map alone")
    if any(spec.name for spec in region.param):
        raise UserError(f"layer '{name}': shares its weights by name; branches cannot")
    param = region.region_param
    channels, height, width = map_shape(net, region.bottom[0], size=size)
    rows, columns = param.grid_h, param.grid_w
    if not (1 <= rows <= height and 1 <= columns <= width and rows * columns <= _PATCHES):
        raise UserError(
            f"layer '{name}': a grid of {rows}x{columns} over a map of {height}x{width}; choose a grid of at"
            f" most {_PATCHES} patches, each of at least one pixel"
        )
    builder = _Builder(region, channels, patches(height, width, rows, columns))
    builder.add_boxes()
    for number in range(1, rows * columns + 1):
        builder.add_branch(number)
    builder.add_splice()
    taken = {layer.name for layer in net.layer} - {name}
    taken |= {blob for layer in net.layer for blob in layer.top} - {name}
    for part in builder.made.names:
        if part in taken:
            raise UserError(
                f"layer '{part}': is there already, but the branches of '{name}' need its name; rename it"
            )
    replace_layers(net, {name}, name, builder.layers)
    return builder.made


class _Builder:
    """Makes the layers of the branches of one Region layer.

    Parameters
    ----------
    region : LayerParameter
    channels : int
        Channels of the map.
    cells : list of tuple
        Top, left, height and width of each patch.

    Attributes
    ----------
    layers : list of LayerParameter
    made : Branches
        The names of the layers.
    """

    def __init__(self, region: Any, channels: int, cells: list[tuple[int, int, int, int]]) -> None:
        self.region = region
        self.name: str = region.name
        self.param = region.region_param
        self.channels = channels
        self.cells = cells
        self.layers: list[Any] = []
        self.made = Branches(region=region.name, bias_term=self.param.bias_term)

    def _add(self, names: list[str], name: str, kind: str, bottoms: list[str], tops: list[str]) -> Any:
        layer = type(self.region)(name=name, type=kind, bottom=bottoms, top=tops)
        layer.include.extend(self.region.include)
        layer.exclude.extend(self.region.exclude)
        names.append(name)
        self.layers.append(layer)
        return layer

    def add_boxes(self) -> None:
        """Add the layers that cut the map into patches; a Box layer cuts patches of one size."""
        sizes = sorted({cell[2:] for cell in self.cells}, reverse=True)
        for height, width in sizes:
            name = f"{self.name}_box" if len(sizes) == 1 else f"{self.name}_box_{height}x{width}"
            chosen = [index for index, cell in enumerate(self.cells) if cell[2:] == (height, width)]
            tops = [f"{self.name}_patch{index + 1}" for index in chosen]
            box = self._add(self.made.others, name, "Box", [self.region.bottom[0]], tops)
            box.box_param.height, box.box_param.width = height, width
            box.box_param.ycoord.extend(self.cells[index][0] for index in chosen)
            box.box_param.xcoord.extend(self.cells[index][1] for index in chosen)

    def add_branch(self, number: int) -> None:
        """Add the layers of one patch."""
        param, name, made = self.param, self.name, self.made
        blob = f"{name}_patch{number}"
        if param.batch_norm:
            norm = self._add(made.norms, f"{name}_bn{number}", "Batch", [blob], [f"{name}_bn{number}"])
            for setting in NORM_SETTINGS:
                if param.HasField(setting):
                    setattr(norm.batch_param, setting, getattr(param, setting))
            for _ in range(3):  # the running statistics, which are not learned
                norm.param.add(lr_mult=0)
            blob = norm.top[0]
        if param.affine:
            scale = self._add(made.scales, f"{name}_scale{number}", "Scale", [blob], [blob])
            scale.scale_param.bias_term = True
            scale.param.extend(self.region.param[5 if param.bias_term else 4 :])
        self._add(made.relus, f"{name}_relu{number}", "ReLU", [blob], [blob])
        convolution = self._add(
            made.convolutions, f"{name}_conv{number}", "Convolution", [blob], [f"{name}_res{number}"]
        )
        convolution.param.extend(self.region.param[: 2 if param.bias_term else 1])
        settings = convolution.convolution_param
        settings.num_output = param.num_output or self.channels
        settings.kernel_size.append(param.kernel_size)
        settings.pad.append(param.kernel_size // 2)
        if not param.bias_term:
            settings.bias_term = False
        for filler in _FILLERS:
            if param.HasField(filler):
                getattr(settings, filler).CopyFrom(getattr(param, filler))

    def add_splice(self) -> None:
        """Add the layer that puts the patches together, and the one that adds the map."""
        name, identity = self.name, self.param.identity
        spliced = f"{name}_splice" if identity else name
        top = spliced if identity else self.region.top[0]
        results = [f"{name}_res{number}" for number in range(1, len(self.cells) + 1)]
        splice = self._add(self.made.others, spliced, "Splice", results, [top])
        splice.splice_param.ycoord.extend(cell[0] for cell in self.cells)
        splice.splice_param.xcoord.extend(cell[1] for cell in self.cells)
        if identity:
            bottoms = [self.region.bottom[0], top]
            eltwise = self._add(self.made.others, name, "Eltwise", bottoms, [self.region.top[0]])
            eltwise.eltwise_param.operation = eltwise.eltwise_param.SUM
