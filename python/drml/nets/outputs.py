"""Sets the number of outputs of a net to the number of AUs in the data.

Caffe copies weights by the names of layers. A last layer of another size therefore gets another name: a
training that starts from weights (``--weights``) then takes the weights of all layers but this one.
"""

from __future__ import annotations

from typing import Any

from drml.io.errors import UserError

__all__ = ["LOSSES", "count_outputs", "fit_outputs", "output_layer", "set_label_count"]

LOSSES = ("MultiLabelSigmoidCrossEntropyLoss", "MultiSigmoidCrossEntropyLoss", "SigmoidCrossEntropyLoss")
"""The losses whose first bottom are the scores of the AUs."""

_PARAMS = {"InnerProduct": "inner_product_param", "Convolution": "convolution_param"}


def output_layer(net: Any) -> Any:
    """Return the layer of a NetParameter that makes the scores: the input of the loss, or of the sigmoid.

    Raises
    ------
    UserError
        There is no such layer, or its type has no ``num_output``.
    """
    ends = [layer for layer in net.layer if layer.type in LOSSES]
    ends = ends or [layer for layer in net.layer if layer.type == "Sigmoid"]
    if not ends:
        raise UserError(f"no layer of the types {', '.join(LOSSES)} or Sigmoid, so its outputs are unknown")
    blob = ends[-1].bottom[0]
    makers = [layer for layer in net.layer if blob in layer.top]
    if not makers or makers[-1].type not in _PARAMS:
        raise UserError(f"'{blob}' is not made by a layer of the type {' or '.join(_PARAMS)}")
    return makers[-1]


def _parameter(layer: Any) -> Any:
    return getattr(layer, _PARAMS[layer.type])


def count_outputs(net: Any) -> int:
    """Return how many AUs a net detects; it raises the errors of `output_layer`."""
    return int(_parameter(output_layer(net)).num_output)


def fit_outputs(net: Any, count: int, *, old: str | None = None) -> str:
    """Give a net `count` outputs, in place, and rename its last layer; blobs keep their names.

    Parameters
    ----------
    net : NetParameter
    count : int
    old : str, optional
        The name that the layer must have, if another net of the same weights was changed before.

    Returns
    -------
    str
        The old name of the layer: `fc10`, for instance, which becomes `fc10_8`.

    Raises
    ------
    UserError
        As `output_layer`; or the layer has another name than `old`, or the new name is taken.
    """
    layer = output_layer(net)
    before = str(layer.name)
    if old is not None and before != old:
        raise UserError(
            f"layer '{before}' makes the scores, but in the net that is trained layer '{old}' does"
        )
    name = f"{before}_{count}"
    if any(other.name == name for other in net.layer):
        raise UserError(f"layer '{name}' exists already; rename it")
    layer.name = name
    _parameter(layer).num_output = count
    return before


def set_label_count(net: Any, count: int) -> None:
    """Set the number of labels in the data layers that have such a setting."""
    for layer in net.layer:
        for field, name in (("multi_label_data_param", "num_labels"), ("image_data_param", "multilabel_num")):
            if layer.HasField(field) and getattr(layer, field).HasField(name):
                setattr(getattr(layer, field), name, count)
