"""What ``drml detect`` is given: image files, videos, folders of both, a webcam's number."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2

from drml.data.readers.video import is_text
from drml.io.errors import UserError

__all__ = ["Source", "find_sources"]

_IMAGE = re.compile(r"\.(jpe?g|jpe|png|bmp|dib|webp|tiff?|jp2|avif|p[pgn]m)", re.IGNORECASE)
# An animated GIF is a video: its pictures have their times.
_VIDEO = re.compile(r"\.(mp4|m4v|mov|avi|mkv|webm|mpe?g|wmv|flv|3gp|ts|m2?ts|ogv|gif)", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """One image, video or camera.

    Attributes
    ----------
    name : str
        As the user would write it.
    kind : {"image", "video", "camera"}
    stem : str
        What files made of it are called: its path in the folder that was given, without the ending, with /
        between folders. No other source has it.
    """

    name: str
    kind: str
    stem: str

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.name)


def find_sources(inputs: Sequence[str], skip: Collection[Path] = ()) -> list[Source]:
    """List all that the inputs stand for, in their order; a folder's files in the order of their names.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders (their subfolders are searched as well, hidden names passed over), numbers of webcams.
    skip : collection of Path
        Folders that are not searched: where results go.

    Raises
    ------
    UserError
        An input does not exist, or a folder has neither image nor video.
    """
    found: list[Source] = []
    stems: dict[str, int] = {}
    seen: set[str] = set()
    outputs = {path.absolute() for path in skip}
    for text in inputs:
        for name, kind, stem in _expand(text, outputs):
            if name in seen:
                continue
            seen.add(name)
            stems[stem] = count = stems.get(stem, 0) + 1
            while count > 1 and f"{stem}_{count}" in stems:
                count += 1
            if count > 1:
                stem = f"{stem}_{count}"
                stems[stem] = 1
            found.append(Source(name, kind, stem))
    return found


def _expand(text: str, skip: Collection[Path]) -> Iterator[tuple[str, str, str]]:
    path = Path(text)
    if path.is_dir():
        files = list(_walk(path, skip))
        if not files:
            raise UserError(f"{text}: no image or video in this folder or below it")
        for file in files:
            stem = file.relative_to(path).with_suffix("").as_posix()
            yield str(file), _kind(file), stem
    elif path.exists():
        yield text, _kind(path), path.stem
    elif text.isascii() and text.isdigit():
        yield text, "camera", f"camera{int(text)}"
    else:
        raise UserError(f"{text}: no such file or folder; give images, videos, folders, or a webcam's number")


def _walk(folder: Path, skip: Collection[Path]) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        here = Path(place)
        folders[:] = sorted(
            (name for name in folders if not name.startswith(".") and (here / name).absolute() not in skip),
            key=_natural,
        )
        for name in sorted(names, key=_natural):
            ending = Path(name).suffix
            if not name.startswith(".") and (_IMAGE.fullmatch(ending) or _VIDEO.fullmatch(ending)):
                yield here / name


def _natural(name: str) -> list[tuple[int, str]]:
    """Sort 2.jpg before 10.jpg."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts)]


def _kind(path: Path) -> str:
    if _VIDEO.fullmatch(path.suffix):
        return "video"
    # Of a file with another ending, the content tells.
    known = _IMAGE.fullmatch(path.suffix) or (is_text(path) and cv2.haveImageReader(str(path)))
    return "image" if known else "video"
