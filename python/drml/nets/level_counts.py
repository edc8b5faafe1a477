"""Lets a test net count how its intensities compare with the labels, level by level.

MultiLabelCounts compares scores with labels of -1, 0 and 1. Layers of Caffe's own make such labels of
intensities: for each level k from 1 to 5, a label says whether the intensity is at least k. As a score, each
gets the estimate minus k - 0.5, so that it is counted as predicted if the estimate rounds to k or more. The
layer's second top sums these scores and their squares, from which the ICC and the correlation of a whole test
pass follow (`drml.training.level_table`).
"""

from __future__ import annotations

from typing import Any

from drml.data.labels import LEVELS, UNKNOWN_LEVEL
from drml.nets.pycaffe import new_message

__all__ = ["LEVEL_COUNTS", "LEVEL_MOMENTS", "count_levels"]

LEVEL_COUNTS = "level_counts"
LEVEL_MOMENTS = "level_moments"
"""The tops of the layer that counts levels: L classes for level 1, then L for level 2, and so on."""


def count_levels(counts: Any, estimates: str, labels: str) -> list[Any]:
    """Return the layers that count levels, in place of a layer that counts occurrences.

    Parameters
    ----------
    counts : LayerParameter
        A layer of the type MultiLabelCounts, whose phase the new layers get.
    estimates, labels : str
        Blobs of N x L intensities; labels are 0 to 5, or 9 (unknown).

    Returns
    -------
    list of LayerParameter
        In the order in which they run. The last one is of the type MultiLabelCounts, with both tops.
    """
    present = LEVELS[1:]
    layers: list[Any] = []

    def add(kind: str, bottoms: list[str], top: str) -> Any:
        layer = new_message("LayerParameter")
        layer.name, layer.type = top, kind
        layer.bottom.extend(bottoms)
        layer.top.append(top)
        layer.include.extend(counts.include)
        layer.exclude.extend(counts.exclude)
        layers.append(layer)
        return layer

    reached = [f"level_{level}" for level in present]
    for level, top in zip(present, reached, strict=True):
        add("Threshold", [labels], top).threshold_param.threshold = level - 0.5
    add("Concat", reached, "levels_reached")
    unknown = "level_unknown"
    add("Threshold", [labels], unknown).threshold_param.threshold = (LEVELS[-1] + UNKNOWN_LEVEL) / 2
    tile = add("Tile", [unknown], "levels_unknown")
    tile.tile_param.tiles = len(present)
    # An unknown label reaches all levels: 2 - 1 - 1 = 0. Others become 2 - 1 = 1 or -1.
    signs = add("Eltwise", ["levels_reached", "levels_unknown"], "level_differences")
    signs.eltwise_param.coeff.extend((2, -1))
    add("Power", ["level_differences"], "level_labels").power_param.shift = -1
    above = [f"above_level_{level}" for level in present]
    for level, top in zip(present, above, strict=True):
        add("Power", [estimates], top).power_param.shift = 0.5 - level
    add("Concat", above, "level_scores")
    last = add("MultiLabelCounts", ["level_scores", "level_labels"], LEVEL_COUNTS)
    last.top.append(LEVEL_MOMENTS)
    return layers
