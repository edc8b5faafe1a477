"""Which layers of a net write and read each blob, and the branch of layers between a Box and a Splice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from drml.io.errors import UserError
from drml.nets.conversion.branches import NORM_PARAMS

__all__ = ["Branch", "Wiring"]


@dataclass
class Branch:
    """The layers of one patch and its position in the map; `norm` and `scale` may be None."""

    box: Any
    norm: Any
    scale: Any
    relu: Any
    convolution: Any
    y: int
    x: int


class Wiring:
    """The layers of a net, in their order, by the blobs that they write and read."""

    def __init__(self, net: Any) -> None:
        self.layers = list(net.layer)

    def makers(self, blob: str) -> list[Any]:
        """Return the layers that write a blob."""
        return [layer for layer in self.layers if blob in layer.top]

    def takers(self, blob: str, maker: Any) -> list[Any]:
        """Return the layers that read what `maker` wrote to `blob`, before another layer writes to it."""
        found = []
        for layer in self.layers[self.index(maker) + 1 :]:
            if blob in layer.bottom:
                found.append(layer)
            if blob in layer.top:
                break
        return found

    def maker_before(self, blob: str, layer: Any) -> Any:
        """Return the last layer before `layer` that writes `blob`."""
        found = [maker for maker in self.makers(blob) if self.index(maker) < self.index(layer)]
        if not found:
            raise UserError(f"layer '{layer.name}': no layer before it makes its bottom '{blob}'")
        return found[-1]

    def index(self, layer: Any) -> int:
        """Return the position of a layer in the net."""
        return next(index for index, other in enumerate(self.layers) if other is layer)

    def branch(self, splice: Any, blob: str, y: int, x: int) -> Branch:
        """Follow the branch from a bottom of the Splice layer back to the Box layer.

        Raises
        ------
        UserError
            The branch has layers that a Region does not have, or lacks one; or a layer outside the branch
            reads one of its blobs.
        """
        found: dict[str, Any] = {}
        allowed = ["Convolution", "ReLU", "Scale", "Norm", "Box"]
        layer, bottom = splice, blob
        while "Box" not in found:
            maker = self.maker_before(bottom, layer)
            for taker in self.takers(bottom, maker):
                if taker is not layer:
                    raise UserError(f"layer '{taker.name}' takes '{bottom}' too; a Region has no such blob")
            kind = "Norm" if maker.type in NORM_PARAMS else maker.type
            if kind not in allowed:
                way = " -> ".join(["Box", "Batch", "ReLU", "Convolution", "Splice"])
                raise UserError(f"layer '{maker.name}' ({maker.type}) is in a branch; a Region is {way}")
            allowed = allowed[allowed.index(kind) + 1 :]
            found[kind] = maker
            if kind != "Box":
                layer, bottom = maker, maker.bottom[0]
        box = found["Box"]
        for kind in ("Convolution", "ReLU"):
            if kind not in found:
                raise UserError(f"layer '{splice.name}': the branch to its bottom '{blob}' has no {kind}")
        patch = list(box.top).index(bottom)
        if (box.box_param.ycoord[patch], box.box_param.xcoord[patch]) != (y, x):
            raise UserError(
                f"layer '{splice.name}': its bottom '{blob}' goes to row {y}, column {x},"
                " but was not cut out there"
            )
        return Branch(box, found.get("Norm"), found.get("Scale"), found["ReLU"], found["Convolution"], y, x)

    def sum_with(self, splice: Any, bottom: str) -> tuple[Any, bool]:
        """Return the Eltwise layer that adds the map `bottom` to the patches and True; else splice, False."""
        takers = self.takers(splice.top[0], splice)
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
