"""The result of an audit: a table of what was expected and found, and a verdict."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from drml.data.landmark_check import LandmarkCheck
from drml.data.split import SYNTHETIC_FILE
from drml.io.figures import json_value

__all__ = ["Audit", "AuditRow"]


@dataclasses.dataclass(frozen=True)
class AuditRow:
    """One line of the table.

    Attributes
    ----------
    what : str
    expected : str
        What is published; empty if nothing is.
    found : str
    fits : bool or None
        Whether they agree; None if there is nothing to compare.
    remark : str
    """

    what: str
    expected: str
    found: str
    fits: bool | None
    remark: str = ""

    @property
    def verdict(self) -> str:
        """``"as expected"``, ``"differs"`` or nothing, followed by the remark."""
        said = {True: "as expected", False: "differs", None: ""}[self.fits]
        return ": ".join(filter(None, (said, self.remark)))


@dataclasses.dataclass
class Audit:
    """The result of an audit.

    Attributes
    ----------
    title : str
        The data set.
    root : Path
    drawn : bool
        Whether the data are drawn.
    rows : list of AuditRow
    landmarks : LandmarkCheck or None
        None if the landmarks were not checked.
    """

    title: str
    root: Path
    drawn: bool
    rows: list[AuditRow]
    landmarks: LandmarkCheck | None = None

    @property
    def differences(self) -> list[str]:
        """The rows that differ, each as one phrase."""
        return [
            f"{row.what} {row.found}, expected {row.expected}{f' ({row.remark})' if row.remark else ''}"
            for row in self.rows
            if row.fits is False
        ]

    @property
    def faults(self) -> list[str]:
        """What is wrong with the landmarks; data with such a fault should not be prepared."""
        return self.landmarks.faults if self.landmarks else []

    @property
    def verdict(self) -> str:
        """One sentence."""
        if self.faults:
            return f"at fault: {'; '.join(self.faults)}"
        if self.differences:
            return f"differs from what is {'recorded' if self.drawn else 'published'}"
        if not any(row.fits for row in self.rows):
            return f"nothing is {'recorded' if self.drawn else 'published'} about these data"
        return f"as {'recorded: drawn data' if self.drawn else 'published'}"

    def to_dict(self) -> dict[str, Any]:
        """Return the audit as JSON holds it."""
        found: dict[str, Any] = json_value(
            {
                "data_set": self.title,
                "root": str(self.root),
                "drawn": self.drawn,
                "rows": [dataclasses.asdict(row) for row in self.rows],
                "landmarks": self.landmarks.to_dict() if self.landmarks else None,
                "differences": self.differences,
                "faults": self.faults,
                "verdict": self.verdict,
            }
        )
        return found

    def to_text(self) -> str:
        """Return the audit as a table."""
        if self.drawn:
            head = f"{self.root}: drawn faces in the layout of {self.title}, held to their {SYNTHETIC_FILE}"
        else:
            head = f"{self.root}: {self.title}, held against what is published"
        cells = [("", "expected", "found", "verdict")]
        cells += [(row.what, row.expected or "-", row.found, row.verdict) for row in self.rows]
        if self.landmarks:
            cells += self.landmarks.rows()
        wide = [max(len(line[column]) for line in cells) for column in range(3)]
        lines = [f"{a:<{wide[0]}}  {b:>{wide[1]}}  {c:>{wide[2]}}  {d}".rstrip() for a, b, c, d in cells]
        return "\n".join([head, "", *lines, "", f"verdict: {self.verdict}"]) + "\n"
