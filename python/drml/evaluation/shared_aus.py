"""Which AUs the labels of prepared data and the outputs of a net are, and which of them both have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from drml.data.labels import BP4D_AUS, DISFA_AUS, list_aus
from drml.data.split import VERIFY, Split
from drml.io.errors import UserError

__all__ = ["SharedAus", "aus_of", "shared_aus"]


def aus_of(data: Split, count: int, net_aus: Sequence[int] | None = None) -> tuple[int, ...]:
    """Return the AUs of the data's labels.

    Parameters
    ----------
    data : Split
    count : int
        Labels of each record.
    net_aus : sequence of int, optional
        The AUs of a net's outputs.

    Returns
    -------
    tuple of int
        Those of the manifest. Without a manifest: `net_aus` if there are as many, else BP4D's for 12 labels
        and DISFA's for 8.

    Raises
    ------
    UserError
        The manifest and the labels do not agree, or the AUs are not known.
    """
    if data.manifest is not None:
        if len(data.manifest.aus) != count:
            raise UserError(
                f"{data.manifest.path}: {len(data.manifest.aus)} AUs, but {data.lmdb} has {count}; {VERIFY}"
            )
        return data.manifest.aus
    for known in (net_aus, BP4D_AUS, DISFA_AUS):
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
    deploy: str | Path, outputs: int, net_aus: Sequence[int] | None, data: Split, labels: int
) -> SharedAus:
    """Find the AUs that a net and data share.

    Parameters
    ----------
    deploy : path
        The net, for error messages.
    outputs : int
        Number of the net's outputs.
    net_aus : sequence of int, optional
        The AUs of the outputs; by default those of the data.
    data : Split
    labels : int
        Labels of each record.

    Returns
    -------
    SharedAus

    Raises
    ------
    UserError
        The numbers of AUs, outputs and labels do not agree, or no AU is shared.
    """
    if net_aus is not None and len(net_aus) != outputs:
        raise UserError(f"{deploy}: {outputs} outputs, but {len(net_aus)} AUs given ({list_aus(net_aus)})")
    data_aus = aus_of(data, labels, net_aus)
    if net_aus is None:
        if outputs != len(data_aus):
            raise UserError(
                f"{deploy}: {outputs} outputs, but {data.name} has {len(data_aus)} AUs"
                f" ({list_aus(data_aus)}); name the AUs of the outputs with --aus to score the shared ones"
            )
        net_aus = data_aus
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
