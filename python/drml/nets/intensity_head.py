"""Gives a net outputs for intensities, beside or in place of those for occurrences.

The new outputs are a copy of the layer that makes the scores, so that any net of ``models`` and any net of a
user's own estimates intensities without a prototxt of its own. They are the blob ``intensity``, in levels of
0 to 5; `drml` clips them where it reports them.
"""

from __future__ import annotations

from typing import Any

from drml.io.errors import UserError
from drml.nets.level_counts import count_levels
from drml.nets.outputs import LOSSES, output_layer
from drml.nets.pycaffe import new_message

__all__ = ["INTENSITIES", "INTENSITY_LOSS", "add_intensities"]

INTENSITIES = "intensity"
"""The blob of a net with the intensities of the AUs."""
INTENSITY_LOSS = "MultiLabelEuclideanLoss"
LOSS_WEIGHT = 0.25
"""The weight of the loss of intensities, relative to that of the loss of occurrences that the net had.

The schedules suit a cross entropy, whose curvature by a score is at most 1/4; that of a squared error is 1.
With a weight of 1 and biases of 0, the paper's schedule switched off all units of ConvNet within 100
iterations: it estimated the same for every face. With 1/4 and biases at the labels' mean, the gradients have
similar bounds.
"""

_SIZES = {"InnerProduct": "inner_product_param", "Convolution": "convolution_param"}


def add_intensities(
    net: Any, intensities: int, *, occurrences: int, fresh: bool = False, start: float = 0
) -> None:
    """Give a net outputs for intensities, in place.

    Parameters
    ----------
    net : NetParameter
        A net that is trained, with one of the losses of `drml.nets.outputs.LOSSES`, or a deploy net with a
        Sigmoid layer. If it has a loss of intensities already, only its number of outputs is set.
    intensities : int
        The number of these outputs, at least 1. Their layer is named after it: ``intensity_5``.
    occurrences : int, keyword-only
        How many labels of each record, before those of the intensities, are occurrences. With 0, the outputs
        for occurrences and their loss are removed, and a layer that counts them counts levels instead.
    fresh : bool, keyword-only
        Name the layer so that weights of an earlier layer of intensities do not reach it.
    start : float, keyword-only
        The first biases of the new layer.

    Raises
    ------
    UserError
        The net has no layer that makes scores, or it has a layer or blob with the name of a new one.
    """
    name = f"{INTENSITIES}_{intensities}{'_new' if fresh else ''}"
    own = [layer for layer in net.layer if layer.type == INTENSITY_LOSS]
    own_top = own[0].bottom[0] if own else INTENSITIES
    makers = [layer for layer in net.layer if own_top in layer.top]
    if makers:
        _resize(makers[-1], intensities, name)
        return
    scores = output_layer(net)
    head = new_message("LayerParameter")
    head.CopyFrom(scores)
    head.name, head.top[:] = name, [INTENSITIES]
    settings = getattr(head, _SIZES[head.type])
    settings.num_output = intensities
    settings.bias_filler.type, settings.bias_filler.value = "constant", start
    if any(layer.name == name for layer in net.layer):
        raise UserError(f"layer '{name}' exists already; rename it")
    blob = scores.top[0]
    layers: list[Any] = []
    for layer in list(net.layer):
        changed = _beside(layer, scores, head, occurrences) if occurrences else _instead(layer, blob, head)
        layers += changed
    del net.layer[:]
    net.layer.extend(layers)


def _resize(layer: Any, count: int, name: str) -> None:
    """Set the number of outputs of a layer that a net has; a layer of another size gets another name."""
    if layer.type not in _SIZES:
        raise UserError(f"'{layer.top[0]}' is not made by a layer of the type {' or '.join(_SIZES)}")
    settings = getattr(layer, _SIZES[layer.type])
    if settings.num_output != count or name.endswith("_new"):
        layer.name, settings.num_output = name, count


def _instead(layer: Any, blob: str, head: Any) -> list[Any]:
    """Return what takes the place of a layer if there are no occurrences."""
    if blob in layer.top:
        return [head]
    if blob not in layer.bottom:
        return [layer]
    if layer.type == "MultiLabelCounts":
        return count_levels(layer, INTENSITIES, layer.bottom[1])
    return [_loss_of(layer, layer.bottom[1], layer.name)] if layer.type in LOSSES else []


def _beside(layer: Any, scores: Any, head: Any, occurrences: int) -> list[Any]:
    """Return a layer with what is put beside it if there are occurrences as well."""
    if layer.name == scores.name and layer.top == scores.top:
        return [layer, head]
    labels = layer.bottom[1] if layer.type in LOSSES else None
    if labels is None:
        if layer.type == "MultiLabelCounts":
            layer.bottom[1] = _names(layer.bottom[1])[0]
        return [layer]
    first, second = _names(labels)
    cut = new_message("LayerParameter")
    cut.name, cut.type = f"{labels}_kinds", "Slice"
    cut.bottom.append(labels)
    cut.top.extend((first, second))
    cut.slice_param.slice_point.append(occurrences)
    loss = _loss_of(layer, second, f"{INTENSITIES}_{layer.name}")
    layer.bottom[1] = first
    return [cut, layer, loss]


def _names(labels: str) -> tuple[str, str]:
    """Name the blobs of the two kinds of labels."""
    return f"{labels}_occurrence", f"{labels}_{INTENSITIES}"


def _loss_of(loss: Any, labels: str, name: str) -> Any:
    """Return the loss of the intensities, with the phase of another loss and a share of its weight."""
    made = new_message("LayerParameter")
    made.CopyFrom(loss)
    made.name, made.type = name, INTENSITY_LOSS
    made.bottom[:] = [INTENSITIES, labels]
    made.top[:] = [name]
    made.loss_weight[:] = [LOSS_WEIGHT * (loss.loss_weight[0] if loss.loss_weight else 1)]
    made.ClearField("multi_label_loss_param")
    return made
