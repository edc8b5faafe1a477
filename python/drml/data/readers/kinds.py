"""The table of the data sets that can be prepared.

To add a data set, write a reader (a function that turns the data set's files into a `Scan`) and add a row to
`DATA_SETS`: ``drml prepare`` and `drml.data.prepare.prepare` then know the data set and its options.
``examples/own_data_set.py`` shows how.

Readers of this package are imported when they are first used, so that ``drml --help`` stays fast.
"""

from __future__ import annotations

import dataclasses
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drml.data.labels import BP4D_AUS, BP4D_INTENSITY_AUS, DISFA_AUS, DISFA_CODED_AUS
from drml.data.readers.data_set import DataSet, Option
from drml.data.readers.published import BP4D_PUBLISHED, DISFA_PUBLISHED
from drml.io.errors import UserError

if TYPE_CHECKING:
    from drml.data.readers import Scan

__all__ = ["DATA_SETS", "DataSet", "Option", "find_data_set", "recognise"]


def _reader(module: str) -> Callable[..., Scan]:
    """Return the function ``read`` of a module of this package, which is imported at the first call."""

    def read(root: Path | str, **options: Any) -> Scan:
        found: Scan = importlib.import_module(f"drml.data.readers.{module}").read(root, **options)
        return found

    return read


_COPY = (
    *(
        Option(f"{part}_folder", Path, f"folder of the {what}, if it is in no known place", written=flag)
        for part, what, flag in (
            ("coding", "labels", "coding"),
            ("image", "images or videos", "images"),
            ("landmark", "landmarks", "landmarks"),
        )
    ),
    Option(
        "short_videos",
        int,
        "how many frames fewer than its header says a video may have; the last ones are taken to be missing"
        " (default: 0)",
        0,
    ),
)
"""Options for copies of a data set that are not as it is distributed."""

_FIRST_FRAME = Option(
    "first_frame",
    int,
    "number of the image that shows frame 1 of the coding (default: bp4d 1; bp4dplus 0; disfa 0 if any folder"
    " has an image of that number, else 1)",
    None,
    (0, 1),
)

_INTENSITY = Option(
    "intensity",
    int,
    "lowest intensity at which an AU counts as present. disfa, disfaplus: required, except for drawn faces,"
    " for which it is 3. bp4d, bp4dplus: reads the intensity codes of AUs 6, 10, 12, 14, 17 instead of the"
    " occurrence codes (default: occurrence codes)",
    3,
    (1, 2, 3, 4, 5),
    ask="intensities are coded from 0 to 5. DRML counts an AU as present from 3 on, most papers since 2018"
    " from 2 on; their figures cannot be compared. Give 2 or 3",
)

_INTENSITY_CODES = dataclasses.replace(_INTENSITY, default=None, ask="")
"""Of BP4D and BP4D+, which have intensities of some AUs beside the occurrences of all."""

_UNKNOWN_CODES = Option(
    "unknown",
    str,
    "codes that mean an unknown label in this copy, such as 9,999, in addition to the data set's own; a code"
    " that means present or absent is refused. Codes below 0 need an equals sign: --unknown=-1",
)

_MEANING_OF_INTENSITIES = (
    "intensities: from {intensity} on present (+1), less absent (-1), not coded unknown (0)"
)

DATA_SETS: dict[str, DataSet] = {
    "bp4d": DataSet(
        _reader("bp4d"),
        fold_lists=("bp4d", "fera2015"),
        aus=BP4D_AUS,
        positives=100,
        negatives=200,
        options=(_INTENSITY_CODES, _UNKNOWN_CODES, *_COPY, dataclasses.replace(_FIRST_FRAME, default=1)),
        other_codings={"intensity": f"BP4D's {_MEANING_OF_INTENSITIES}"},
        coding="BP4D's occurrence codes: 1 is present (+1), 0 absent (-1), 9 unknown (0)",
        title="BP4D",
        levels=True,
        intensity_aus=BP4D_INTENSITY_AUS,
        level_coding="BP4D's intensity codes",
        has_landmarks=True,
        published=BP4D_PUBLISHED,
        signs=("aucoding", "bp4d-aucoding", "sequences(2d+3d)", "bp4d-training"),
    ),
    "bp4dplus": DataSet(
        _reader("bp4dplus"),
        fold_lists=("bp4dplus",),
        aus=BP4D_AUS,
        positives=100,
        negatives=200,
        options=(_INTENSITY_CODES, _UNKNOWN_CODES, *_COPY, dataclasses.replace(_FIRST_FRAME, default=0)),
        other_codings={"intensity": f"BP4D+'s {_MEANING_OF_INTENSITIES}"},
        coding="BP4D+'s occurrence codes: 1 is present (+1), 0 absent (-1), 9 unknown (0); frames that are"
        " not to be trusted are left out",
        title="BP4D+",
        levels=True,
        intensity_aus=BP4D_INTENSITY_AUS,
        level_coding="BP4D+'s intensity codes",
        has_landmarks=True,
    ),
    # One video for each subject, where BP4D has eight: eight times as many frames of each.
    "disfa": DataSet(
        _reader("disfa"),
        fold_lists=("disfa",),
        aus=DISFA_AUS,
        positives=800,
        negatives=1600,
        options=(
            _INTENSITY,
            _UNKNOWN_CODES,
            Option("camera", str, "camera whose videos to read (default: left)", "left", ("left", "right")),
            *_COPY,
            _FIRST_FRAME,
        ),
        coding=f"DISFA's {_MEANING_OF_INTENSITIES}",
        title="DISFA",
        levels=True,
        intensity_aus=DISFA_CODED_AUS,
        level_coding="DISFA's intensities",
        has_landmarks=True,
        known_faults="disfa_known.csv",
        published=DISFA_PUBLISHED,
        signs=("actionunit_labels", "videos_leftcamera", "landmark_points"),
    ),
    # Nine of DISFA's people: in DISFA's folds, a net that is trained on DISFA is tested on other people.
    "disfaplus": DataSet(
        _reader("disfaplus"),
        fold_lists=("disfa",),
        aus=DISFA_CODED_AUS,
        positives=100,
        negatives=200,
        options=(_INTENSITY, _UNKNOWN_CODES, *_COPY[:2]),
        coding=f"DISFA+'s {_MEANING_OF_INTENSITIES}",
        title="DISFA+",
        levels=True,
        intensity_aus=DISFA_CODED_AUS,
        level_coding="DISFA+'s intensities",
        has_landmarks=True,
    ),
    "images": DataSet(
        _reader("listed"),
        options=(
            Option(
                "labels",
                str,
                "how labels are written. signed: 1 present, -1 absent, 0 unknown (default);"
                " 01: 1 present, 0 absent, 9 unknown",
                "signed",
                ("signed", "01"),
            ),
            _UNKNOWN_CODES,
            Option(
                "images_anywhere",
                bool,
                "allow images outside the folder of the list; look at lists from others before you use this",
                False,
            ),
            Option(
                "landmark_pixels",
                str,
                "what landmarks refer to if an image's file says that it has to be turned. upright: the image"
                " as viewers show it (default); stored: its pixels as they are stored",
                "upright",
                ("upright", "stored"),
            ),
        ),
        coding="the list's, notation '{labels}', as present (+1), absent (-1), unknown (0)",
        title="own images",
        levels=True,
        level_coding="the list's intensities",
        ordered=False,
    ),
}
"""Name -> data set. The name is the KIND of ``drml prepare KIND ROOT OUT``."""


def find_data_set(name: str) -> DataSet:
    """Look up a data set in `DATA_SETS`; raise `UserError` if there is none of this name."""
    if name not in DATA_SETS:
        raise UserError(f"data set {name!r}: choose one of {', '.join(DATA_SETS)}")
    return DATA_SETS[name]


def recognise(root: Path) -> str | None:
    """Return the name of the data set that a folder is a copy of; None if it is unclear. A file is a list."""
    if root.is_file():
        return "images"
    try:
        folders = {path.name.lower() for path in root.iterdir()}
    except OSError as error:
        raise UserError(f"{root}: cannot be read ({error.strerror}); give the folder of a data set") from None
    names = [name for name, one in DATA_SETS.items() if folders.intersection(one.signs)]
    return names[0] if len(names) == 1 else None
