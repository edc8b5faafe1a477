"""A Region layer and the branches that compute the same: what both directions of the conversion share.

The authors' nets have no Region layer. A Box layer cuts the map into patches; each patch has a branch of
Batch, ReLU and Convolution layers; a Splice layer puts the results together again, and an Eltwise layer adds
the map.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["NORM_PARAMS", "NORM_SETTINGS", "Branches", "replace_layers"]

NORM_PARAMS = {"Batch": "batch_param", "BatchNorm": "batch_norm_param"}
"""The types of a branch's normalisation, each with the field of its settings."""

NORM_SETTINGS = ("use_global_stats", "moving_average_fraction", "eps")
"""Settings that Batch, BatchNorm and Region have in common, with the same defaults."""


@dataclass
class Branches:
    """The names of a Region layer and of the layers of its branches, patch by patch in the grid's order.

    Attributes
    ----------
    region : str
        Name of the Region layer.
    bias_term : bool
        The convolutions have biases.
    others : list of str
        Names of the Box, Splice and Eltwise layers.
    convolutions, norms, relus, scales : list of str
        Names of each patch's layers; norms and scales are empty where the region has none.
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
        """Names of all layers that the Region layer replaces, or that replace it."""
        return [*self.others, *self.convolutions, *self.norms, *self.relus, *self.scales]


def replace_layers(net: Any, removed: set[str], at: str, layers: Sequence[Any]) -> None:
    """Put `layers` in the place of the layer `at` of a NetParameter, and take out the `removed` ones."""
    kept: list[Any] = []
    for layer in net.layer:
        if layer.name == at:
            kept += layers
        elif layer.name not in removed:
            kept.append(layer)
    # The layers belong to the message, and are gone once it is emptied.
    copies = [type(layer).FromString(layer.SerializeToString()) for layer in kept]
    del net.layer[:]
    net.layer.extend(copies)
