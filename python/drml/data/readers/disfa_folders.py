"""The folders of DISFA: where copies have coding, images and landmarks, and each subject's in them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from drml.data.readers import images
from drml.data.readers.frames import FRAME_NAME, VIDEOS, Frames, add_frames
from drml.data.readers.layout import Part, Place, check_unpacked, entries, find_parts
from drml.io.errors import UserError

__all__ = ["find_folders", "find_frames", "first_number", "parts", "subject_folders"]

_SUBJECT = re.compile(r"SN\d{3}", re.IGNORECASE)

_DISTRIBUTED, _EXTRACTED = "the data set as distributed", "a copy with extracted frames"


def subject_folders(folder: Path) -> dict[str, Path]:
    """Map each subject, such as ``SN001``, to its folder in `folder`."""
    return {
        path.name.upper(): path for path in entries(folder) if path.is_dir() and _SUBJECT.fullmatch(path.name)
    }


def _recording(camera: str) -> re.Pattern[str]:
    """Match the name of a video or of a folder of frames; the group is the subject."""
    suffixes = "|".join(suffix[1:] for suffix in sorted(VIDEOS))
    return re.compile(rf"(?:{camera}Video)?(SN\d{{3}})(?:_comp)?(?:\.(?:{suffixes}))?", re.IGNORECASE)


def _flat_image(camera: str) -> re.Pattern[str]:
    """Match the name, without its suffix, of an image in a folder of all subjects' images."""
    return re.compile(rf"(?:{camera}Video)?(SN\d{{3}})(?:_comp)?[-_.]([0-9]+)", re.IGNORECASE)


def parts(camera: str) -> tuple[Part, ...]:
    """Return where copies of DISFA have their parts; `camera` is ``left`` or ``right``."""
    side = camera.capitalize()

    def has_images(folder: Path) -> bool:
        recording, flat = _recording(camera), _flat_image(camera)
        for path in entries(folder):
            if path.is_dir():
                if recording.fullmatch(path.name) and any(images.numbered(path, FRAME_NAME)):
                    return True
            elif path.suffix.lower() in VIDEOS | {".zip"}:
                if recording.fullmatch(path.stem):
                    return True
            elif images.is_image(path) and flat.fullmatch(path.stem):
                return True
        return False

    # The copies that do not say which camera they are of have the left one.
    of_left = ("Images", "Frames", "img", ".") if camera == "left" else ()
    return (
        Part(
            "coding",
            "folders such as SN001",
            lambda folder: bool(subject_folders(folder)),
            (Place("ActionUnit_Labels", _DISTRIBUTED),),
        ),
        Part(
            "images",
            f"videos such as {side}VideoSN001_comp.avi, or their frames in folders such as SN001 or in files"
            " such as SN001_0001.png",
            has_images,
            (
                *(Place(f"{what}_{side}Camera", _DISTRIBUTED) for what in ("Videos", "Video")),
                *(Place(f"{what}_{side}Camera", _EXTRACTED) for what in ("Images", "Frames")),
                Place(f"Videos_{side}Camera_frames", _EXTRACTED),
                Place(f"Images/{side}", _EXTRACTED),
                *(Place(path, _EXTRACTED) for path in of_left),
            ),
        ),
        Part(
            "landmarks",
            "folders such as SN001",
            lambda folder: bool(subject_folders(folder)),
            (Place("Landmark_Points", _DISTRIBUTED),),
        ),
    )


def find_folders(
    root: Path, camera: str, given: Mapping[str, Path | str | None], *, landmarks: bool = True
) -> dict[str, Path]:
    """Find the folders ``coding``, ``images`` and, if they are wanted, ``landmarks``.

    Raises
    ------
    UserError
        One of them is missing or ambiguous.
    """
    wanted = [part for part in parts(camera) if landmarks or part.name != "landmarks"]
    return find_parts(root, "DISFA", wanted, given)


def find_frames(folder: Path, camera: str) -> dict[str, Frames]:
    """Find each subject's video or images.

    Raises
    ------
    UserError
        A subject has its frames twice, or they are still in archives.
    """
    recording, flat = _recording(camera), _flat_image(camera)

    def subject_of(name: str) -> str | None:
        match = recording.fullmatch(name)
        return match[1].upper() if match else None

    found: dict[str, Path] = {}
    single: dict[str, dict[int, Path]] = {}
    for path in entries(folder):
        name = path.name if path.is_dir() else path.stem
        if match := recording.fullmatch(name):
            if path.is_dir() or path.suffix.lower() in VIDEOS:
                add_frames(found, match[1].upper(), path)
        elif images.is_image(path) and (match := flat.fullmatch(path.stem)):
            numbered = single.setdefault(match[1].upper(), {})
            number = int(match[2])
            if number in numbered:
                raise UserError(
                    f"{folder}: frame {number} of {match[1].upper()} has two images, {numbered[number].name}"
                    f" and {path.name}; remove one"
                )
            numbered[number] = path
    for subject, numbered in single.items():
        if subject in found:
            raise UserError(
                f"{found[subject]}: the frames of {subject} are also in files such as"
                f" {next(iter(numbered.values())).name}; remove one of them"
            )
    check_unpacked(folder, subject_of, found.keys() | single.keys())
    folders = {
        subject: images.numbered(path, FRAME_NAME) if path.is_dir() else path
        for subject, path in found.items()
    }
    return {**folders, **single}


def first_number(frames: Mapping[str, Frames]) -> int:
    """Tell whether folders of images count from 0 or 1: from 0 if any of them has an image of that number.

    Decided for the whole data set, because one folder may lack its first frame.
    """
    return 0 if any(isinstance(found, dict) and 0 in found for found in frames.values()) else 1
