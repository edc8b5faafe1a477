"""Settles, before any work is done, which files the results of each source go to, so that none is lost.

A file is known by its real path, because two folders may be the same one. How many faces will be found is not
known before: a source claims all names that its registered faces may have.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from drml.detect.csv_file import partial_path
from drml.detect.sources import Source
from drml.io.errors import UserError

__all__ = ["Names", "face_file", "find_existing", "settle_names"]

_FACE = re.compile(r"(.+)_face_[0-9]+\.png", re.DOTALL)
_FRAME = re.compile(r"[0-9]{6}|[1-9][0-9]{6,}")  # a frame's number, as `face_file` writes it
_LARGEST_ID = 9999  # of a face, where the lengths of names are checked
_LONGEST_NAME = 255  # bytes, on all usual file systems
_LONGEST_PATH = 4000  # bytes: Linux takes 4095, and temporary names are a little longer

Key = tuple[str, ...]


def face_file(source: Source, frame: int, face: int) -> str:
    """Return the path of a registered face below the folder of all faces.

    Examples
    --------
    >>> face_file(Source("a/x.jpg", "image", "a/x"), 1, 0)
    'a/x_face_0.png'
    >>> face_file(Source("x.mp4", "video", "x"), 27, 2)
    'x/000027_face_2.png'
    """
    if source.kind == "image":
        return f"{source.stem}_face_{face}.png"
    return f"{source.stem}/{frame:06d}_face_{face}.png"


@dataclass(frozen=True)
class Names:
    """Where the results of one source go.

    Attributes
    ----------
    table : Path
        The CSV file; all images share one.
    drawn : Path or None
        The annotated picture or video.
    faces : Path or None
        The folder of all registered faces.
    """

    table: Path
    drawn: Path | None
    faces: Path | None


def settle_names(
    sources: Sequence[Source], names: Callable[[Source], Names]
) -> tuple[list[Source], list[tuple[Source, str]]]:
    """Give each source a stem whose files collide with those of no other source.

    Parameters
    ----------
    sources : sequence of Source
    names : callable
        Returns the names of a source.

    Returns
    -------
    settled : list of Source
        The sources whose results can be written, in their order. A number is added to the stem of a source
        whose files would otherwise replace those of an earlier one.
    faults : list of (Source, str)
        The sources whose files would have names that are too long, and what is wrong.

    Raises
    ------
    UserError
        A result would replace one of the sources.
    """
    originals: dict[Key, tuple[bool, Source]] = {}
    for source in sources:
        if source.kind != "camera":
            for key, all_of_it in _file_keys(source.path).items():
                originals.setdefault(key, (all_of_it, source))
    claimed = {
        key: all_of_it
        for source in sources
        if source.kind == "image"
        for key, all_of_it in _file_keys(names(source).table).items()
    }
    for key in claimed.keys() & originals.keys():
        raise _collision(originals[key][1], "the table of the images")
    settled: list[Source] = []
    faults: list[tuple[Source, str]] = []
    for source in sources:
        chosen, count = source, 1
        while True:
            keys = _keys(chosen, names(chosen))
            if not any(key in claimed and (claimed[key] or all_of_it) for key, all_of_it in keys.items()):
                break
            count += 1
            chosen = replace(source, stem=f"{source.stem}_{count}")
        for key, all_of_it in keys.items():
            claimed[key] = claimed.get(key, False) or all_of_it
            whole, original = originals.get(key, (False, source))
            if whole or (key in originals and all_of_it):
                raise _collision(original, f"a result of {source.name}")
        fault = _length_fault(chosen, names(chosen))
        if fault:
            faults.append((source, fault))
        else:
            settled.append(chosen)
    return settled, faults


def _collision(original: Source, result: str) -> UserError:
    return UserError(
        f"{original.name}: is an input, and {result} would replace it; write the results to another folder"
    )


def _keys(source: Source, names: Names) -> dict[Key, bool]:
    """Return what the files of a source are known by, and whether all files of the key are claimed.

    Two pictures that are both named as registered faces of ``x.jpg`` do not collide with each other, but each
    of them does with the faces of ``x.jpg``, which may have any number.
    """
    keys = {} if names.drawn is None else _file_keys(names.drawn)
    if source.kind != "image":
        keys |= _file_keys(names.table)
    if names.faces is not None:
        face = _real(names.faces / face_file(source, 1, 0))
        if source.kind == "image":
            keys |= {**_file_keys(face), ("face", str(face.parent), _stem(face)): True}
            del keys["file", str(face)]
        else:
            keys["frame", str(face.parent)] = True
    return keys


def _file_keys(path: Path) -> dict[Key, bool]:
    """Return the keys of one file: itself, and the groups of registered faces that it could belong to."""
    real = _real(path)
    keys: dict[Key, bool] = {("file", str(real)): True}
    if stem := _stem(real):
        keys["face", str(real.parent), stem] = False
        if _FRAME.fullmatch(stem):
            keys["frame", str(real.parent)] = False
    return keys


def _stem(face: Path) -> str:
    """Return what a registered face is named after; nothing for another file."""
    match = _FACE.fullmatch(face.name)
    return match[1] if match else ""


def _real(path: Path) -> Path:
    return Path(os.path.realpath(path))


def _length_fault(source: Source, names: Names) -> str | None:
    """Return what is wrong with the lengths of a source's file names, or None."""
    files = [names.table.with_name(f"{names.table.name}.partial")]
    if names.drawn is not None:
        files.append(names.drawn)
    if names.faces is not None:
        files.append(names.faces / face_file(source, 1, _LARGEST_ID))
    for file in files:
        if max(len(os.fsencode(part)) for part in file.parts) > _LONGEST_NAME:
            return f"names of its results would have more than {_LONGEST_NAME} bytes; give it a shorter name"
        if len(os.fsencode(file.absolute())) > _LONGEST_PATH:
            return f"paths of its results would have more than {_LONGEST_PATH} bytes; write them elsewhere"
    return None


def find_existing(sources: Sequence[Source], names: Callable[[Source], Names]) -> Path | None:
    """Return a file that exists already and that the results of these sources would replace, or None."""
    listed: dict[Path, dict[str, str]] = {}  # folder -> stem of a registered face -> its name
    for source in sources:
        files = names(source)
        for path in (files.table, partial_path(files.table), files.drawn):
            if path is not None and path.exists():
                return path
        if files.faces is None:
            continue
        first = files.faces / face_file(source, 1, 0)
        if first.parent not in listed:
            listed[first.parent] = _faces_in(first.parent)
        faces = listed[first.parent]
        if source.kind == "image":
            found = faces.get(_stem(first))
        else:
            found = next((name for stem, name in faces.items() if _FRAME.fullmatch(stem)), None)
        if found is not None:
            return first.with_name(found)
    return None


def _faces_in(folder: Path) -> dict[str, str]:
    try:
        return {stem: path.name for path in folder.iterdir() if (stem := _stem(path))}
    except OSError:
        return {}
