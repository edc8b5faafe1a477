"""What the labels of prepared data are: occurrences of AUs, their intensities, or both."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drml.data.readers.data_set import DataSet
from drml.io.errors import UsageError

if TYPE_CHECKING:
    from drml.data.readers import Scan

__all__ = [
    "BOTH",
    "INTENSITY",
    "OCCURRENCE",
    "TARGETS",
    "check_labels_asked",
    "describe_target",
    "read_target",
]

OCCURRENCE, INTENSITY, BOTH = TARGETS = ("occurrence", "intensity", "both")


def check_labels_asked(
    source: DataSet, target: str, aus: Sequence[int] | None, options: Mapping[str, Any]
) -> None:
    """Check that a data set has labels of this kind.

    Parameters
    ----------
    source : DataSet
    target : {"occurrence", "intensity", "both"}
    aus : sequence of int or None
        The AUs that the user asks for.
    options : mapping
        The options of the data set's reader that the user gives.

    Raises
    ------
    UsageError
        `target` is none of the three; or the data set has no intensities, or none of these AUs; or
        ``intensity``, from which an AU counts as present, is given although no occurrences are read.
    """
    if target not in TARGETS:
        raise UsageError(f"target {target!r}: choose one of {', '.join(TARGETS)}")
    if target == OCCURRENCE:
        return
    if not source.levels:
        raise UsageError(f"target {target!r}: {source.title} has no intensities; leave it out")
    if target == INTENSITY and options.get("intensity") is not None:
        raise UsageError(
            f"intensity {options['intensity']} with target {INTENSITY!r}: it says from which intensity an AU"
            " counts as present, but nothing counts as present there; leave one of the two out"
        )
    _intensity_aus(source, target, aus)


def _intensity_aus(source: DataSet, target: str, aus: Sequence[int] | None) -> Sequence[int] | None:
    """Return the AUs whose intensities are read; None for all that a list has."""
    known = source.intensity_aus
    if aus is None or known is None:
        return known if aus is None or target == BOTH else aus
    shared = tuple(au for au in aus if au in known)
    if not shared or (target == INTENSITY and len(shared) < len(aus)):
        names = ",".join(map(str, known))
        raise UsageError(f"{source.title} has intensities of the AUs {names} alone; give --aus {names}")
    return shared


def read_target(
    source: DataSet,
    root: Path | str,
    target: str,
    *,
    aus: Sequence[int] | None = None,
    landmarks: bool = True,
    progress: bool = False,
    **options: Any,
) -> Scan:
    """Read a data set with occurrences, intensities or both as labels.

    With both, the labels of a record are its occurrences, followed by its intensities. Frames that have only
    one of the two are records as well: what they lack is unknown. The AUs of the intensities are those that
    are asked for and that the data set codes.

    Parameters
    ----------
    source : DataSet
    root : path-like
    target : {"occurrence", "intensity", "both"}
    aus, landmarks, progress, **options
        As in `DataSet.read`.

    Returns
    -------
    Scan

    Raises
    ------
    UserError
        As `check_labels_asked` and `DataSet.read`.
    """
    check_labels_asked(source, target, aus, options)
    if target == OCCURRENCE:
        return source.read(root, aus=aus, landmarks=landmarks, progress=progress, **options)
    level_aus = _intensity_aus(source, target, aus)
    of_levels = {name: value for name, value in options.items() if name != "intensity"}
    levels = source.read(
        root, aus=level_aus, levels=True, landmarks=landmarks, progress=progress, **of_levels
    )
    if target == INTENSITY:
        return dataclasses.replace(levels, aus=(), intensity_aus=levels.aus)
    occurrences = source.read(root, aus=aus, landmarks=landmarks, progress=progress, **options)
    return _joined(occurrences, levels)


def _joined(occurrences: Scan, levels: Scan) -> Scan:
    """Put the labels of two scans of the same frames side by side."""
    import numpy as np

    from drml.data.labels import unknown_values

    no_occurrence = unknown_values(occurrences.aus)
    no_level = unknown_values((), levels.aus)
    by_key = {record.key: record for record in levels.records}
    records = []
    for record in occurrences.records:
        other = by_key.pop(record.key, None)
        values = no_level if other is None else other.labels
        records.append(dataclasses.replace(record, labels=np.concatenate([record.labels, values])))
    records += [
        dataclasses.replace(record, labels=np.concatenate([no_occurrence, record.labels]))
        for record in by_key.values()
    ]
    records.sort(key=lambda record: (record.subject, record.task, record.frame))
    joined = dataclasses.replace(occurrences, records=records, intensity_aus=levels.aus)
    for reason, count in levels.incomplete.items():
        if reason not in joined.incomplete:
            joined.lack(f"{reason} (intensity)", levels.examples[reason][0], count)
    return joined


def describe_target(source: DataSet, target: str, options: Mapping[str, Any]) -> str:
    """Say what the labels mean, given the target and the values of the reader's options.

    Examples
    --------
    >>> from drml.data.readers.kinds import DATA_SETS
    >>> describe_target(DATA_SETS["bp4d"], "intensity", {})
    "BP4D's intensity codes: 0 absent to 5 maximum, 9 unknown"
    """
    levels = f"{source.level_coding}: 0 absent to 5 maximum, 9 unknown"
    if target == OCCURRENCE:
        return source.describe_labels(options)
    return levels if target == INTENSITY else f"{source.describe_labels(options)}; {levels}"
