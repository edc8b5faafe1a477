"""The folders of DISFA: finds those of labels, videos or frames, and landmarks, and each subject's in them.

`drml.data.readers.disfa` says how they are named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from drml.data.readers import images
from drml.data.readers.video import VideoFrame, frame_count
from drml.io.errors import UserError

__all__ = ["Frames", "find_folder", "find_folders", "find_frames", "number_frames", "subject_folders"]

_SUBJECT = re.compile(r"SN\d{3}", re.IGNORECASE)
_NUMBER = re.compile(r"(?:.*[-_. ]|frame|image|img)?([0-9]+)", re.IGNORECASE)
_VIDEOS = {".avi", ".mp4", ".mkv", ".mov"}

Frames = Path | dict[int, Path]
"""A subject's frames: a video, or frame number (from 1) -> image."""


def find_folder(folder: Path, name: str) -> Path | None:
    """Find a folder by its name, ignoring case."""
    exact = folder / name
    if exact.is_dir():
        return exact
    same = [path for path in folder.iterdir() if path.name.lower() == name.lower() and path.is_dir()]
    return min(same, default=None)


def find_folders(
    root: Path, camera: str, landmark_folder: Path | str | None, landmarks: bool = True
) -> tuple[Path, list[Path], Path | None]:
    """Find the folder of labels, those of videos or frames, and, if `landmarks` are wanted, that of these.

    Raises
    ------
    UserError
        One of them is missing.
    """
    if not root.is_dir():
        raise UserError(f"{root}: no such folder; give DISFA's root")
    side = f"{camera.capitalize()}Camera"
    names = [f"{what}_{side}" for what in ("Videos", "Video", "Images", "Frames")]
    if camera == "left":
        names += ["Images", "Frames"]
    coding = find_folder(root, "ActionUnit_Labels")
    places = [path for path in (find_folder(root, name) for name in names) if path is not None]
    points = None
    if landmarks:
        points = find_folder(root, "Landmark_Points") if landmark_folder is None else Path(landmark_folder)
    if points is not None and not points.is_dir():
        raise UserError(f"{points}: no such folder; give one like DISFA's Landmark_Points")
    missing = [
        name
        for name, there in (
            ("ActionUnit_Labels", coding),
            (names[0], places),
            ("Landmark_Points", points or not landmarks),
        )
        if not there
    ]
    if coding is None or missing:
        raise UserError(
            f"{root}: not DISFA's layout, {' and '.join(missing)} missing; looked for ActionUnit_Labels/,"
            f" {', '.join(f'{name}/' for name in names)} and Landmark_Points/ in it"
        )
    return coding, places, points


def subject_folders(folder: Path) -> dict[str, Path]:
    """Map each subject, such as ``SN001``, to its folder in `folder`."""
    return {
        path.name.upper(): path
        for path in sorted(folder.iterdir())
        if path.is_dir() and _SUBJECT.fullmatch(path.name)
    }


def find_frames(places: Sequence[Path], camera: str, first_frame: int | None) -> dict[str, Frames]:
    """Find each subject's video or folder of frames; if several folders have it, the first one counts."""
    name = re.compile(rf"(?:{camera}Video)?(SN\d{{3}})(?:_comp)?", re.IGNORECASE)
    videos: dict[str, Path] = {}
    folders: dict[str, dict[int, Path]] = {}
    for place in places:
        for path in sorted(place.iterdir()):
            folder = path.is_dir()
            match = name.fullmatch(path.name if folder else path.stem)
            if not match or path.name.startswith("."):
                continue
            subject = match[1].upper()
            if folder:
                found = images.numbered(path, _NUMBER)
                if found and subject not in folders:
                    folders[subject] = found
            elif path.suffix.lower() in _VIDEOS:
                videos.setdefault(subject, path)
    if first_frame is None:
        # Decided for the whole data set, because one folder may lack its first frame.
        first_frame = 0 if any(0 in found for found in folders.values()) else 1
    shift = 1 - first_frame
    shifted = {
        subject: {number + shift: path for number, path in found.items()}
        for subject, found in folders.items()
    }
    return {**shifted, **videos}


def number_frames(frames: Frames, last: int = 0) -> Mapping[int, Path | VideoFrame]:
    """Map frame number (from 1) -> image; `last` is the highest number that has labels."""
    if isinstance(frames, dict):
        return frames
    return {index + 1: VideoFrame(frames, index) for index in range(frame_count(frames, last))}
