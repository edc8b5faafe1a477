"""The inputs of ``drml detect``: image files, videos, folders of both, and webcams by their number."""

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
# An animated GIF counts as a video, because its pictures have time stamps.
_VIDEO = re.compile(r"\.(mp4|m4v|mov|avi|mkv|webm|mpe?g|wmv|flv|3gp|ts|m2?ts|ogv|gif)", re.IGNORECASE)


@dataclass(frozen=True)
class Source:
    """One image, video or webcam.

    Attributes
    ----------
    name : str
        Path or number, as the user would write it.
    kind : {"image", "video", "camera"}
    stem : str
        Name, without a suffix, of the files that are made from this source: its path relative to the folder
        that the user gave, with / between folders. It is unique among the sources of a run.
    """

    name: str
    kind: str
    stem: str

    @property
    def path(self) -> Path:
        """The file."""
        return Path(self.name)


def find_sources(inputs: Sequence[str], skip: Collection[Path] = ()) -> list[Source]:
    """Return the sources that the inputs name, in their order; the files of a folder are sorted by name.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders (searched with their subfolders, except hidden ones), and numbers of webcams.
    skip : collection of Path
        Folders that are not searched, because results are written to them.

    Raises
    ------
    UserError
        An input does not exist, or a folder contains neither an image nor a video.
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
    for current, folders, names in os.walk(folder):
        here = Path(current)
        folders[:] = sorted(
            (name for name in folders if not name.startswith(".") and (here / name).absolute() not in skip),
            key=_natural,
        )
        for name in sorted(names, key=_natural):
            ending = Path(name).suffix
            if not name.startswith(".") and (_IMAGE.fullmatch(ending) or _VIDEO.fullmatch(ending)):
                yield here / name


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts 2.jpg before 10.jpg."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts)]


def _kind(path: Path) -> str:
    if _VIDEO.fullmatch(path.suffix):
        return "video"
    # For any other suffix, the content of the file decides.
    known = _IMAGE.fullmatch(path.suffix) or (is_text(path) and cv2.haveImageReader(str(path)))
    return "image" if known else "video"
