"""Holds a copy of a data set against what is published about it, and its landmarks against its images.

A copy that is incomplete or was renumbered is read without an error, and shows only in worse figures. Drawn
data are held to the structure that ``synthetic.json`` says they have.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drml.data.audit_counts import audit_counts
from drml.data.audit_landmarks import compare_landmarks
from drml.data.audit_table import Audit, AuditRow
from drml.data.readers.kinds import find_data_set
from drml.io.errors import UserError

__all__ = ["AUDITS", "audit_copy", "report_audit"]

AUDITS = ("stop", "report", "off")
"""What a preparation does about faulty landmarks: stop, report them and go on, or not look for them."""

_SAID = 4  # differences that a preparation prints


def audit_copy(
    name: str,
    root: Path | str,
    *,
    aus: Sequence[int] | None = None,
    jobs: int = 0,
    progress: bool = True,
    **options: Any,
) -> Audit:
    """Read a copy of a data set, and audit it: ``drml check``.

    Parameters
    ----------
    name : str
        The data set; see `drml.data.readers.kinds.DATA_SETS`.
    root : path-like
        The data set's folder, or the list of images.
    aus : sequence of int, optional, keyword-only
        The AUs whose base rates to compare; by default the data set's.
    jobs : int, keyword-only
        Number of processes; 0 takes one for each core.
    progress : bool, keyword-only
        Show progress bars.
    **options
        Options of the data set's reader.

    Raises
    ------
    UserError
        The copy cannot be read.
    """
    source, root = find_data_set(name), Path(root)
    options = source.check_options(options)
    scan = source.read(root, aus=aus, progress=progress, **options)
    audit = audit_counts(source, root, scan, options)
    try:
        audit.landmarks = compare_landmarks(
            scan.records, ordered=source.ordered, jobs=jobs, progress=progress
        )
    except UserError as error:
        audit.rows.append(AuditRow("landmarks", "", "not checked", None, str(error)))
    return audit


def report_audit(audit: Audit, name: str, *, stop: bool) -> None:
    """Say on standard error how a copy that is to be prepared differs, or raise an error for faults.

    Raises
    ------
    UserError
        The landmarks are at fault, and `stop` is set.
    """
    see = f"drml check {name} {audit.root} prints the comparison"
    if audit.faults and stop:
        raise UserError(
            f"{audit.root}: {'; '.join(audit.faults)}; {see}; --points detector does without these landmarks,"
            " and --audit report uses them all the same"
        )
    said = [*audit.faults, *audit.differences]
    if said:
        more = f"; and {len(said) - _SAID} more" if len(said) > _SAID else ""
        print(
            f"note: {audit.root} is not as {'recorded' if audit.drawn else 'published'}:"
            f" {'; '.join(said[:_SAID])}{more}. {see}",
            file=sys.stderr,
        )
