"""Action units (AUs) of FACS: their names, the AUs that each data set codes, and the values of labels.

A label says whether an AU occurs or how strong it is. An occurrence is one of three integers: ``PRESENT``
(+1), ``ABSENT`` (-1), ``UNKNOWN`` (0). An intensity is a level from 0 (absent) over 1 (A, a trace) to 5 (E,
maximum), or ``UNKNOWN_LEVEL`` (9). Losses and metrics ignore unknown labels.

The labels of a record are its occurrences, followed by its intensities.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING

from drml.io.errors import UserError

if TYPE_CHECKING:  # the command line reads these names, and must not wait for NumPy
    import numpy as np

PRESENT = 1
ABSENT = -1
UNKNOWN = 0

LEVELS = (0, 1, 2, 3, 4, 5)
"""The intensities of FACS: 0 is absent, 1 to 5 are its levels A to E."""
UNKNOWN_LEVEL = 9

_NUMBER = re.compile(r"[0-9]{1,4}")

AU_NAMES: dict[int, str] = {
    1: "Inner brow raiser",
    2: "Outer brow raiser",
    4: "Brow lowerer",
    5: "Upper lid raiser",
    6: "Cheek raiser",
    7: "Lid tightener",
    9: "Nose wrinkler",
    10: "Upper lip raiser",
    12: "Lip corner puller",
    14: "Dimpler",
    15: "Lip corner depressor",
    17: "Chin raiser",
    20: "Lip stretcher",
    23: "Lip tightener",
    24: "Lip pressor",
    25: "Lips part",
    26: "Jaw drop",
}

INTENSITY_SUFFIX = "_r"
"""What follows an AU in the name of a column of intensities, as in OpenFace's ``AU01_r``."""

BP4D_AUS: tuple[int, ...] = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
BP4D_INTENSITY_AUS: tuple[int, ...] = (6, 10, 12, 14, 17)
"""The AUs whose intensity BP4D and BP4D+ code."""
DISFA_AUS: tuple[int, ...] = (1, 2, 4, 6, 9, 12, 25, 26)
DISFA_CODED_AUS: tuple[int, ...] = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)
"""The AUs that DISFA and DISFA+ code. If one of them has no label file, the data are incomplete."""
ALL_AUS: tuple[int, ...] = (1, 2, 4, 6, 7, 9, 10, 12, 14, 15, 17, 23, 24, 25, 26)
"""The AUs of BP4D or DISFA, which the drawn faces show."""

# Share of BP4D's coded frames in which an AU is present.
BP4D_BASE_RATES: dict[int, float] = {
    1: 0.210,
    2: 0.170,
    4: 0.202,
    6: 0.459,
    7: 0.547,
    10: 0.592,
    12: 0.560,
    14: 0.464,
    15: 0.169,
    17: 0.342,
    23: 0.165,
    24: 0.151,
}


def parse_aus(text: str) -> tuple[int, ...]:
    """Read a list of AUs as users write it: ``1,2,4`` or ``AU1 AU2``.

    Raises
    ------
    UserError
        The list is empty, has an AU twice, or has something that is not a number.

    Examples
    --------
    >>> parse_aus("1,2, AU12")
    (1, 2, 12)
    """
    try:
        aus = tuple(int(word.upper().removeprefix("AU")) for word in text.replace(",", " ").split())
    except ValueError:
        raise UserError(f"AUs '{text}': write numbers with commas, such as 1,2,4") from None
    if not aus or len(set(aus)) != len(aus):
        raise UserError(f"AUs '{text}': give each AU once, such as 1,2,4")
    return aus


def list_aus(aus: Iterable[int]) -> str:
    """Write AUs as messages name them.

    Examples
    --------
    >>> list_aus((1, 2, 12))
    'AU1, AU2, AU12'
    """
    return ", ".join(f"AU{au}" for au in aus)


def column_names(aus: Iterable[int], intensity_aus: Iterable[int] = ()) -> list[str]:
    """Name the columns of labels: occurrences, then intensities.

    Examples
    --------
    >>> column_names((1, 12), (12,))
    ['AU1', 'AU12', 'AU12_r']
    """
    return [f"AU{au}" for au in aus] + [f"AU{au}{INTENSITY_SUFFIX}" for au in intensity_aus]


def unknown_values(aus: Collection[int], intensity_aus: Collection[int] = ()) -> np.ndarray:
    """Return the value that an unknown label has in each column.

    Examples
    --------
    >>> unknown_values((1, 12), (12,)).tolist()
    [0, 0, 9]
    """
    import numpy as np

    return np.array([UNKNOWN] * len(aus) + [UNKNOWN_LEVEL] * len(intensity_aus), np.int8)


def is_au(text: str) -> bool:
    """Return whether a text is the number of an AU: one to four digits.

    Examples
    --------
    >>> is_au("12"), is_au("12a"), is_au("")
    (True, False, False)
    """
    return bool(_NUMBER.fullmatch(text))
