"""Finds the parts of a data set (coding, images, landmarks) in the places where copies of it have them.

Copies of a data set differ in their folders. Each reader has a table of `Part`, which lists the places of
each part; the places are tried by name, ignoring case, and a place counts only if it holds what the part
consists of. Some programs unpack an archive into a folder of the archive's name, so ``AUCoding/AUCoding`` is
read as ``AUCoding``. A part that is in two places is refused, because nothing tells which one is meant.
"""

from __future__ import annotations

import dataclasses
import shlex
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path

from drml.io.errors import UserError
from drml.io.text import counted, listed

__all__ = ["Part", "Place", "check_unpacked", "entries", "find_folder", "find_parts"]

_SHOWN = 8  # entries of a folder that a message lists
_ARCHIVE = ".zip"


@dataclasses.dataclass(frozen=True)
class Place:
    """One place in which copies of a data set have one of its parts.

    Attributes
    ----------
    path : str
        Relative to the data set's folder; ``.`` is that folder itself.
    variant : str
        The name of the copies that have it there.
    """

    path: str
    variant: str

    def __str__(self) -> str:
        return "the folder itself" if self.path == "." else f"{self.path}/"


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of a data set, and where copies have it.

    Attributes
    ----------
    name : str
        The part, and without its dashes the option that names its folder: ``coding`` and ``--coding``.
    example : str
        What such a folder holds, for messages.
    holds : callable
        Whether a folder holds this part.
    places : tuple of Place
        Where the part may be; the first place is that of the data set as distributed.
    """

    name: str
    example: str
    holds: Callable[[Path], bool]
    places: tuple[Place, ...]


def find_folder(folder: Path, name: str) -> Path | None:
    """Find a folder by its name, ignoring case; None if there is none."""
    exact = folder / name
    if exact.is_dir():
        return exact
    same = [path for path in folder.iterdir() if path.name.lower() == name.lower() and path.is_dir()]
    return min(same, default=None)


def entries(folder: Path) -> list[Path]:
    """Return the files and folders of a folder by name, without hidden ones."""
    return sorted(path for path in folder.iterdir() if not path.name.startswith("."))


def find_parts(
    root: Path, title: str, parts: Sequence[Part], given: Mapping[str, Path | str | None]
) -> dict[str, Path]:
    """Find the folder of each part of a data set.

    Parameters
    ----------
    root : Path
        The data set's folder.
    title : str
        The data set's name, for messages.
    parts : sequence of Part
    given : mapping of str to path-like or None
        Name of a part -> the folder that the user gave for it.

    Returns
    -------
    dict of str to Path
        Name of each part -> its folder.

    Raises
    ------
    UserError
        There is no such folder, or a part is in no known place or in more than one.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give {title}'s root")
    found: dict[str, Path] = {}
    used: Counter[str] = Counter()
    missing = []
    for part in parts:
        folder = given.get(part.name)
        if folder is not None:
            found[part.name] = _check_given(Path(folder), part)
            continue
        places = _places(root, part)
        if len(places) > 1:
            paths = [str(path.relative_to(root)) for path, _ in places]
            raise UserError(
                f"{root}: {part.name} in {counted(len(paths), 'place')}, {listed(paths, 'and')}; keep one"
                f" of them, or choose one with --{part.name}"
            )
        if places:
            path, place = places[0]
            found[part.name] = path
            used[place.variant] += 1
        else:
            missing.append(part)
    if missing:
        fault = _explain(root, title, parts, missing, used)
        raise UserError(f"{root}: not a known layout of {title}: {fault}")
    return found


def _check_given(folder: Path, part: Part) -> Path:
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; --{part.name} names one that holds {part.example}")
    for path in (folder, find_folder(folder, folder.name)):
        if path is not None and part.holds(path):
            return path
    raise UserError(
        f"{folder}: it does not hold {part.example}, as the folder that --{part.name} names has to;"
        f" it holds {_contents(folder)}"
    )


def _places(root: Path, part: Part) -> list[tuple[Path, Place]]:
    """Return the folders below `root` that hold a part, each once."""
    found: dict[Path, Place] = {}
    for place in part.places:
        for path in _resolve(root, place.path):
            if path not in found and part.holds(path):
                found[path] = place
    return list(found.items())


def _resolve(root: Path, path: str) -> list[Path]:
    """Return the folders that a place's path may mean: each component may be there twice."""
    found = [root]
    for name in () if path == "." else path.split("/"):
        once = [deeper for folder in found if (deeper := find_folder(folder, name)) is not None]
        twice = [deeper for folder in once if (deeper := find_folder(folder, name)) is not None]
        found = [*once, *twice]
    return found


def _explain(
    root: Path, title: str, parts: Sequence[Part], missing: Sequence[Part], used: Counter[str]
) -> str:
    """Say what was looked for, what was found, and which variant is the nearest."""
    looked_for = "; ".join(
        f"for the {part.name} ({part.example}) in {listed([str(place) for place in part.places], 'or')}"
        for part in missing
    )
    names = [part.name for part in missing]
    lacking = listed([f"no {name}" for name in names], "and")
    text = f"it has {lacking}. Looked {looked_for}. It holds {_contents(root)}"
    for folder in (path for path in entries(root)[:50] if path.is_dir()):
        if all(_places(folder, part) for part in parts):
            return f"{text}. Its folder {folder.name}/ has {title}'s layout: give that one"
    if any(path.suffix.lower() == _ARCHIVE for path in entries(root)):
        return f"{text}. Unpack its archives first: {_unpack(root)}"
    if used:
        # Of equally near variants, the one whose places come first in the tables.
        nearest = max(used, key=lambda variant: used[variant])
        expected = [
            f"{place} with the {part.name}"
            for part in missing
            for place in part.places
            if place.variant == nearest
        ]
        if expected:
            text += f". The nearest variant is {nearest}, which has {listed(expected, 'and')}"
    return f"{text}. Name the folders with {listed([f'--{name}' for name in names], 'and')}"


def _contents(folder: Path) -> str:
    """Describe what a folder holds, in a few words."""
    found = entries(folder)
    names = []
    for path in found[:_SHOWN]:
        if path.is_dir():
            names.append(f"{path.name}/" + ("" if any(path.iterdir()) else " (empty)"))
        else:
            names.append(path.name)
    if len(found) > _SHOWN:
        names.append(f"{len(found) - _SHOWN} more")
    return listed(names, "and") if names else "nothing"


def check_unpacked(folder: Path, key: Callable[[str], str | None], unpacked: Collection[str]) -> None:
    """Raise `UserError` if a part of the images is still in archives.

    Parameters
    ----------
    folder : Path
        The folder of the images.
    key : callable
        Subject or video of an archive's name without its suffix, or None.
    unpacked : collection of str
        The subjects or videos that have images.
    """
    packed = [
        path
        for path in entries(folder)
        if path.suffix.lower() == _ARCHIVE and (name := key(path.stem)) and name not in unpacked
    ]
    if packed:
        raise UserError(
            f"{packed[0]}: the images of {counted(len(packed), 'archive')} are not unpacked;"
            f" unpack them with: {_unpack(folder)}"
        )


def _unpack(folder: Path) -> str:
    """Return the command that unpacks each archive of a folder into a folder of its own."""
    return f'for z in {shlex.quote(str(folder))}/*.zip; do unzip -nq "$z" -d "${{z%.zip}}"; done'
