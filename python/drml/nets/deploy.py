"""Makes the deploy net of a net that is trained: an input for the data, a sigmoid for the loss."""

from __future__ import annotations

from typing import Any

from drml.io.errors import UserError
from drml.nets.outputs import LOSSES
from drml.nets.prototxt import DATA_PARAMS
from drml.nets.pycaffe import messages, new_message

__all__ = ["find_input_size", "in_phase", "make_deploy"]

_PROBABILITIES = "prob"
_CHANNELS = 3


def in_phase(layer: Any, phase: str) -> bool:
    """Whether a layer belongs to the net of a phase, "TRAIN" or "TEST", without stages and at level 0."""
    wanted = messages().Phase.Value(phase)

    def meets(rule: Any) -> bool:
        return (
            (not rule.HasField("phase") or rule.phase == wanted)
            and rule.min_level <= 0
            and (not rule.HasField("max_level") or rule.max_level >= 0)
            and not rule.stage
        )

    if layer.include:
        return any(map(meets, layer.include))
    return not any(map(meets, layer.exclude))


def find_input_size(net: Any) -> tuple[int, int] | None:
    """Return the height and width to which a net's data layers crop or resize images, or None."""
    for layer in net.layer:
        if not in_phase(layer, "TEST") or not any(layer.HasField(name) for name in DATA_PARAMS):
            continue
        holders = [layer.transform_param, *(getattr(layer, n) for n in DATA_PARAMS if layer.HasField(n))]
        for holder in holders:
            if crop := getattr(holder, "crop_size", 0):
                return int(crop), int(crop)
        for holder in holders:
            if getattr(holder, "new_height", 0) and holder.new_width:
                return int(holder.new_height), int(holder.new_width)
    return None


def make_deploy(net: Any, size: tuple[int, int]) -> Any:
    """Make the deploy net of a net that is trained.

    Parameters
    ----------
    net : NetParameter
        With layers that read data and one of the losses of `drml.nets.outputs`.
    size : tuple of int
        Height and width of the input in pixels.

    Returns
    -------
    NetParameter
        An Input layer of one BGR image, the layers of the phase TEST from which the scores follow, and a
        Sigmoid layer ``prob``.

    Raises
    ------
    UserError
        The net has no such loss, its scores need more than one blob of data, or it has a blob ``prob``.
    """
    layers = [layer for layer in net.layer if in_phase(layer, "TEST")]
    losses = [index for index, layer in enumerate(layers) if layer.type in LOSSES]
    if not losses:
        raise UserError(f"has no loss of the types {', '.join(LOSSES)}")
    scores = str(layers[losses[-1]].bottom[0])
    needed, chosen, data = {scores}, [], set()
    for layer in reversed(layers[: losses[-1]]):
        made = needed & set(layer.top)
        if not made:
            continue
        if layer.bottom:
            chosen.append(layer)
            needed = (needed - set(layer.top)) | set(layer.bottom)
        else:
            data |= made
            needed -= made
    if needed or len(data) != 1 or data & set(layers[losses[-1]].bottom[1:]):
        raise UserError(f"its scores '{scores}' do not follow from one blob of data")
    deploy = new_message("NetParameter")
    deploy.name = net.name
    source = deploy.layer.add(name="data", type="Input", top=sorted(data))
    source.input_param.shape.add(dim=[1, _CHANNELS, *size])
    for layer in reversed(chosen):
        kept = deploy.layer.add()
        kept.CopyFrom(layer)
        for field in ("include", "exclude", "phase", "loss_weight", "propagate_down"):
            kept.ClearField(field)
    if any(_PROBABILITIES in layer.top or layer.name == _PROBABILITIES for layer in deploy.layer):
        raise UserError(f"has a blob or a layer '{_PROBABILITIES}' itself")
    deploy.layer.add(name=_PROBABILITIES, type="Sigmoid", bottom=[scores], top=[_PROBABILITIES])
    return deploy
