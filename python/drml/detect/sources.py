"""The inputs of ``drml detect``: image files, videos, folders of both, and webcams by their number."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from drml.io.errors import UserError
from drml.io.file_kinds import file_kind

__all__ = ["Source", "find_sources"]

# The files of a folder that are read, by their names. What each one is, its content decides.
_IMAGES = (
    "jpg jpeg jpe jfif jif pjpeg pjp mpo png apng bmp dib webp tif tiff jp2 j2k jpf jpx jpm j2c jpc"
    " avif avifs heic heif hif heics pbm pgm ppm pnm pam sr ras"
)
_VIDEOS = (
    "mp4 m4v mov qt avi divx mkv mk3d webm mpg mpeg mpe m1v m2v mpv vob mod tod wmv asf flv f4v 3gp 3gpp 3g2"
    " ts mts m2ts m2t ogv ogg ogm mxf dv dif mjpg mjpeg h264 264 hevc h265 265 avc gif insv lrv"
)
# Photos and videos that are not read: a folder's summary counts them.
_OTHERS = (
    "jxl jxr hdp wdp cr2 cr3 crw nef nrw dng arw sr2 srf raf orf rw2 pef srw x3f rwl iiq 3fr erf kdc mrw"
    " raw hdr exr psd psb xcf svg eps ai pdf ico tga dds pcx djvu y4m yuv rm rmvb swf ivf bik braw r3d"
)
_SUFFIXES = {
    f".{ending}": medium
    for medium, endings in (("image", _IMAGES), ("video", _VIDEOS), ("other", _OTHERS))
    for ending in endings.split()
}


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


def find_sources(
    inputs: Sequence[str], skip: Collection[Path] = (), passed_over: Counter[str] | None = None
) -> list[Source]:
    """Return the sources that the inputs name, in their order; the files of a folder are sorted by name.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders (searched with their subfolders, except hidden ones), and numbers of webcams.
    skip : collection of Path
        Folders that are not searched, because results are written to them.
    passed_over : Counter, optional
        Gets the suffixes of photos and videos in folders that are not read, such as ``.cr2``.

    Raises
    ------
    UserError
        An input does not exist, or a folder contains neither an image nor a video.
    """
    found: list[Source] = []
    stems: dict[str, int] = {}
    seen: set[str] = set()
    outputs = {path.resolve() for path in skip}
    for text in inputs:
        for name, kind, stem in _expand(text, outputs, passed_over):
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


def _expand(
    text: str, skip: Collection[Path], passed_over: Counter[str] | None
) -> Iterator[tuple[str, str, str]]:
    path = Path(text)
    if not text:
        raise UserError("an input is an empty path; give images, videos, folders, or a webcam's number")
    if path.is_dir():
        files = list(_walk(path, skip, passed_over))
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


def _walk(folder: Path, skip: Collection[Path], passed_over: Counter[str] | None) -> Iterator[Path]:
    """Yield the images and videos of a folder; links to folders are followed, but no folder is read twice."""
    own = {Path(current).resolve() for current, _, _ in os.walk(folder)}  # reached without a link
    seen = set(own)
    for current, folders, names in os.walk(folder, followlinks=True):
        here = Path(current)
        inside = here.resolve() in own
        chosen = []
        for name in sorted(folders, key=_natural):
            path = here / name
            real = path.resolve()
            new = (inside and not path.is_symlink()) or real not in seen
            if new and real not in skip and not name.startswith("."):
                seen.add(real)
                chosen.append(name)
        folders[:] = chosen
        for name in sorted(names, key=_natural):
            medium = None if name.startswith(".") else _medium(Path(name))
            if medium in ("image", "video"):
                yield here / name
            elif medium is not None and passed_over is not None:
                passed_over[Path(name).suffix.lower()] += 1


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a sort key that puts 2.jpg before 10.jpg."""
    parts = re.split(r"([0-9]+)", name)
    return [(int(part), "") if index % 2 else (0, part) for index, part in enumerate(parts)]


def _kind(path: Path) -> str:
    """Return whether a file is read as an image or as a video: by its content, else by its name."""
    kind = file_kind(path)
    if kind is not None and kind.medium != "other":
        return kind.medium
    return "image" if _medium(path) == "image" else "video"


def _medium(path: Path) -> str | None:
    """Return what the name of a file says that it is; None for a name that says nothing."""
    return _SUFFIXES.get(path.suffix.lower())
