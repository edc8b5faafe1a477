"""Codes that stand for an unknown label in a copy of a data set, as its user declares them."""

from __future__ import annotations

import re
from collections.abc import Mapping

from drml.data.labels import ABSENT, PRESENT, UNKNOWN
from drml.io.errors import UsageError

__all__ = ["unknown_codes"]

_CODE = re.compile(r"-?[0-9]{1,9}")
_MEANINGS = {PRESENT: "present", ABSENT: "absent"}


def unknown_codes(text: str | None, known: Mapping[str, int]) -> frozenset[str]:
    """Read the codes that a user declares to be unknown labels.

    Parameters
    ----------
    text : str or None
        Whole numbers with commas, such as ``"9,999"``; None for no such codes.
    known : mapping of str to int
        The codes that have a meaning -> their label, such as ``{"1": PRESENT}``. A code that means present or
        absent cannot mean unknown as well.

    Returns
    -------
    frozenset of str
        The codes, as they are written in the data.

    Raises
    ------
    UsageError
        A code is no whole number, or means present or absent.

    Examples
    --------
    >>> sorted(unknown_codes("9, 999", {"1": PRESENT, "0": ABSENT}))
    ['9', '999']
    """
    if text is None:
        return frozenset()
    codes = [word.strip() for word in text.split(",")]
    for code in codes:
        if not _CODE.fullmatch(code):
            raise UsageError(f"unknown {text!r}: give whole numbers with commas, such as 9,999")
        label = known.get(code, UNKNOWN)
        if label != UNKNOWN:
            hint = "; if absent is written 0 here, give --labels 01" if code == "-1" else ""
            raise UsageError(f"unknown {code}: {code} means {_MEANINGS[label]} in these labels{hint}")
    return frozenset(codes)
