"""Which AUs the labels of prepared data and the outputs of a net are, and which of them both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from drml.data.labels import list_aus
from drml.data.recipe_text import read_data_recipe
from drml.data.split import VERIFY, Split
from drml.io.errors import UserError

__all__ = ["SharedAus", "aus_of", "shared_aus"]


def aus_of(
    data: Split, count: int, named: Sequence[int] | None = None, *, intensities: bool = False
) -> tuple[int, ...]:
    """Return the AUs of the data's labels.

    Parameters
    ----------
    data : Split
    count : int
        Labels of each record.
    named : sequence of int, optional
        The AUs that the user names, for data that do not name them.
    intensities : bool, keyword-only
        Return those of the intensities instead of the occurrences.

    Returns
    -------
    tuple of int
        Those of the manifest, or else those of ``recipe.prototxt`` next to the LMDB, or else `named`.

    Raises
    ------
    UserError
        The manifest and the labels do not agree, or the AUs are not known.
    """
    if intensities:
        return data.intensity_aus
    if data.manifest is not None:
        if len(data.manifest.aus) != count:
            raise UserError(
                f"{data.manifest.path}: {len(data.manifest.aus)} AUs, but {data.lmdb} has {count}; {VERIFY}"
            )
        return data.manifest.aus
    recipe = read_data_recipe(data.lmdb)
    known = named if recipe is None or not recipe.au else recipe.au
    if known is not None and len(known) == count:
        return tuple(known)
    raise UserError(
        f"{data.lmdb}: the AUs of its {count} labels are not known; name them with --aus, or put the manifest"
        " that drml prepare wrote next to it"
    )


@dataclass(frozen=True)
class SharedAus:
    """The AUs that a net and data share.

    Attributes
    ----------
    aus : tuple of int
        In the order of the net's outputs.
    outputs, columns : list of int
        Their columns in the net's outputs and in the labels.
    others : dict
        ``"net"`` and ``"data"``: the AUs that only one of the two has.
    """

    aus: tuple[int, ...]
    outputs: list[int]
    columns: list[int]
    others: dict[str, tuple[int, ...]]


def shared_aus(
    net_aus: Sequence[int],
    data: Split,
    labels: int,
    *,
    named: Sequence[int] | None = None,
    intensities: bool = False,
) -> SharedAus:
    """Find the AUs that a net and data share.

    Parameters
    ----------
    net_aus : sequence of int
        The AUs of the net's outputs.
    data : Split
    labels : int
        Labels of each record.
    named, intensities
        As in `aus_of`.

    Returns
    -------
    SharedAus

    Raises
    ------
    UserError
        The AUs of the data are not known or not as many as the labels, or no AU is shared.
    """
    data_aus = aus_of(data, labels, named, intensities=intensities)
    shared = tuple(au for au in net_aus if au in data_aus)
    if not shared:
        raise UserError(
            f"{data.name}: has none of the net's AUs ({list_aus(net_aus)}), only {list_aus(data_aus)}"
        )
    others = {
        "net": tuple(au for au in net_aus if au not in shared),
        "data": tuple(au for au in data_aus if au not in shared),
    }
    return SharedAus(
        shared,
        [list(net_aus).index(au) for au in shared],
        [data_aus.index(au) for au in shared],
        {side: aus for side, aus in others.items() if aus},
    )
