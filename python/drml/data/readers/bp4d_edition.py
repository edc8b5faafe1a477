"""What tells BP4D and BP4D+ apart, whose folders and file names have the same form."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from drml.data.readers.bp4d_folders import Recordings
from drml.io.errors import UserError

__all__ = ["BP4D", "BP4DPLUS", "INTENSITY_AUS", "Edition", "check_edition", "of_sibling"]

INTENSITY_AUS = (6, 10, 12, 14, 17)
"""The AUs of which BP4D and BP4D+ have intensity codes."""


@dataclasses.dataclass(frozen=True)
class Edition:
    """What tells BP4D and BP4D+ apart, which have folders and file names of the same form.

    Attributes
    ----------
    title : str
    subjects, tasks, coded_tasks : frozenset of str
        Those that the data set has, and the tasks that are coded.
    described : str
        The subjects and tasks in words, for messages.
    has_distrust : bool
        Whether the coding has a column that marks frames whose codes are not to be trusted.
    sibling, sibling_kind : str
        The other data set, and its name for ``drml prepare``.
    holes : frozenset of str
        Subjects and recordings of which the data set as distributed has no images or no landmarks.
    """

    title: str
    subjects: frozenset[str]
    tasks: frozenset[str]
    coded_tasks: frozenset[str]
    described: str
    has_distrust: bool
    sibling: str
    sibling_kind: str
    holes: frozenset[str] = frozenset()


def _tasks(*numbers: int) -> frozenset[str]:
    return frozenset(f"T{number}" for number in numbers)


BP4D = Edition(
    title="BP4D",
    subjects=frozenset([f"F{n:03d}" for n in range(1, 24)] + [f"M{n:03d}" for n in range(1, 19)]),
    tasks=_tasks(*range(1, 9)),
    coded_tasks=_tasks(*range(1, 9)),
    described="BP4D has the subjects F001 to F023 and M001 to M018 and the tasks T1 to T8",
    has_distrust=False,
    sibling="BP4D+",
    sibling_kind="bp4dplus",
)

BP4DPLUS = Edition(
    title="BP4D+",
    subjects=frozenset([f"F{n:03d}" for n in range(1, 83)] + [f"M{n:03d}" for n in range(1, 59)]),
    tasks=frozenset(f"T{number}" for number in range(1, 11)),
    coded_tasks=frozenset({"T1", "T6", "T7", "T8"}),
    described="BP4D+ has the subjects F001 to F082 and M001 to M058 and the tasks T1 to T10, of which T1, T6,"
    " T7 and T8 are coded",
    has_distrust=True,
    sibling="BP4D",
    sibling_kind="bp4d",
    holes=frozenset({"F041_T7", "F082"}),
)


def check_edition(edition: Edition, files: Recordings) -> None:
    """Raise `UserError` if some recording shows that the data are those of another data set."""
    for name, path in files.names():
        subject, task = name.split("_")
        if subject not in edition.subjects or task not in edition.tasks:
            raise of_sibling(edition, path, f"{name} is not a recording of {edition.title}")
    for name, paths in files.coding.items():
        if name.split("_")[1] not in edition.coded_tasks:
            path = next(iter(paths.values()))
            raise of_sibling(edition, path, f"{edition.title} has no coding of {name}")


def of_sibling(edition: Edition, path: Path, fault: str) -> UserError:
    """Return the error for a file that the other data set may have."""
    return UserError(
        f"{path}: {fault}: {edition.described}. If this is a copy of {edition.sibling}, use drml prepare"
        f" {edition.sibling_kind}; if not, move the file out of the folder"
    )
