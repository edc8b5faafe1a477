"""Leaves out frames that are known to be bad, such as those whose landmarks miss the face.

The user lists them, or takes the list that comes with this package, ``disfa_known.csv``: the frames of DISFA
whose landmarks are beside the face, as two published preparations of DISFA agree on them.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

from drml.data.readers import Scan
from drml.io.errors import UsageError, UserError
from drml.io.limits import open_list

__all__ = ["KNOWN", "exclude", "find_list", "read_ranges"]

KNOWN = "known"
"""Stands for the list of a data set's known faults that comes with this package."""

REASON = "excluded by the list"
_HEADER = ["video", "first", "last"]
_FRAME = re.compile(r"\s*[0-9]{1,9}\s*")


def read_ranges(path: str | Path) -> dict[str, list[range]]:
    """Read a list of frames.

    Parameters
    ----------
    path : path
        CSV file with the header ``video,first,last``. A video is named ``F001_T1`` in BP4D and ``SN001`` in
        DISFA; frames are numbered as in the data set's labels, and `last` is included.

    Returns
    -------
    dict of str to list of range
        The ranges of each video.

    Raises
    ------
    UserError
        It cannot be read, or a line is invalid; the message names the line.
    """
    path = Path(path)
    found: dict[str, list[range]] = {}
    try:
        with open_list(path) as file:
            reader = csv.reader(file)
            if next(reader, []) != _HEADER:
                raise UserError(f"{path}: not a list of frames; its first line is {','.join(_HEADER)}")
            for cells in reader:
                if not cells:
                    continue
                where = f"{path}: line {reader.line_num}"
                if len(cells) != 3 or not all(_FRAME.fullmatch(cell) for cell in cells[1:]):
                    raise UserError(
                        f"{where}: '{','.join(cells)}'; give video,first,last, such as SN030,939,962"
                    )
                first, last = map(int, cells[1:])
                if last < first:
                    raise UserError(f"{where}: last frame {last} is before the first, {first}")
                found.setdefault(cells[0].strip(), []).append(range(first, last + 1))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; give a CSV of video,first,last") from None
    except (OSError, csv.Error) as error:
        raise UserError(f"{path}: cannot be read as a list of frames ({error})") from None
    return found


def find_list(given: str | Path, known: str | None) -> Path:
    """Return the file of a list of frames.

    Parameters
    ----------
    given : str or path
        The file, or `KNOWN`. A file of that name in the working directory is given as an absolute path.
    known : str or None
        Name of the data set's own list, in the folder of this module.

    Raises
    ------
    UsageError
        It is `KNOWN`, and the data set has no such list.
    """
    if str(given) != KNOWN:
        return Path(given)
    if known is None:
        raise UsageError(
            f"exclude {KNOWN}: no faults of this data set are known; give a CSV of video,first,last"
        )
    return Path(__file__).with_name(known)


def exclude(scan: Scan, path: str | Path, *, some: bool = True) -> None:
    """Remove the frames of a list from the records of a scan, and count them as skipped.

    Parameters
    ----------
    scan : Scan
    path : path
        The list; see `read_ranges`.
    some : bool, keyword-only
        Whether the data must have at least one of these frames, as when the user names them.

    Raises
    ------
    UserError
        The list is invalid, or the data have none of its frames.
    """
    ranges = read_ranges(path)
    kept = []
    for record in scan.records:
        if any(record.frame in one for one in ranges.get(record.video, ())):
            scan.skip(REASON, record.key)
        else:
            kept.append(record)
    if some and ranges and len(kept) == len(scan.records):
        videos = sorted({record.video for record in kept})
        example = f"; videos are named like {videos[0]}" if videos else ""
        raise UserError(f"{path}: the data have none of these frames{example}")
    scan.records[:] = kept
