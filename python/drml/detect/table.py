"""The CSV: a row for each face of each frame, in OpenFace's manner.

Columns: ``input`` (of pictures alone), ``frame``, ``face_id``, ``timestamp`` in seconds, ``confidence``,
``success``, ``x_0`` to ``x_4``, ``y_0`` to ``y_4``, then ``AU01_c``, ... (1 or 0) and ``AU01_p``, ...
(probabilities).
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from tqdm import tqdm

from drml.detect.pipeline import Seen

__all__ = ["POINTS", "Table", "columns", "rows"]

POINTS = 5


def columns(aus: Sequence[int], with_input: bool) -> list[str]:
    """Name the columns.

    Examples
    --------
    >>> columns((1, 12), False)[-4:]
    ['AU01_c', 'AU12_c', 'AU01_p', 'AU12_p']
    """
    return [
        *(["input"] if with_input else []),
        *("frame", "face_id", "timestamp", "confidence", "success"),
        *(f"{axis}_{point}" for axis in "xy" for point in range(POINTS)),
        *(f"AU{au:02d}_{what}" for what in "cp" for au in aus),
    ]


def rows(seen: Seen, aus: Sequence[int], threshold: float, with_input: bool) -> list[list[str]]:
    """Make a frame's rows: one for each face; one with zeros, success 0 among them, where there is none.

    A face that could not be registered has its points and confidence, and success 0.
    """
    frame = seen.frame
    start = [frame.source.name] if with_input else []
    if not seen.faces:
        return [
            [
                *start,
                str(frame.number),
                "0",
                f"{frame.seconds:.3f}",
                "0",
                "0",
                *["0"] * (2 * POINTS + 2 * len(aus)),
            ]
        ]
    made = []
    for face, crop, chances in zip(seen.faces, seen.crops, seen.probabilities, strict=True):
        success = crop is not None
        shown = [f"{chance:.5f}" for chance in chances]  # the labels follow what is printed
        made.append(
            [
                *start,
                str(frame.number),
                str(face.id),
                f"{frame.seconds:.3f}",
                f"{face.score:.3f}",
                str(int(success)),
                *(f"{value:.2f}" for value in face.points.T.ravel()),
                *(str(int(success and float(chance) >= threshold)) for chance in shown),
                *shown,
            ]
        )
    return made


class Table:
    """A CSV that grows by whole rows, under the name ``FILE.partial`` until it is done.

    Used in a ``with`` block, at whose end it gets its name; so it does, with the rows there are, where the
    user interrupts. Where the disk is full, the rows that fit stay in ``FILE.partial``, and the error names
    it. Any other error removes it.

    Parameters
    ----------
    path : Path
    header : sequence of str
    """

    def __init__(self, path: Path, header: Sequence[str]) -> None:
        self.path = path
        self.count = 0
        self._part = path.with_name(path.name + ".partial")
        path.parent.mkdir(parents=True, exist_ok=True)
        self._size = 0  # bytes of whole rows
        # Unbuffered, so that what is in the file is known at any moment.
        self._file = self._part.open("wb", buffering=0)
        try:
            self._append([header])
        except BaseException:
            self._file.close()
            self._part.unlink(missing_ok=True)
            raise

    def write(self, lines: Sequence[Sequence[str]]) -> None:
        """Append rows, all of them or none.

        Raises
        ------
        OSError
            The disk is full; names the file that has the rows so far.
        """
        self._append(lines)
        self.count += len(lines)

    def _append(self, lines: Sequence[Sequence[str]]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(lines)
        # A file name need not be text: its bytes come out as they were.
        data = memoryview(text.getvalue().encode("utf-8", "surrogateescape"))
        size = self._size + len(data)
        try:
            while data:
                data = data[self._file.write(data) or 0 :]
        except OSError as error:
            error.filename = str(self._part if self.count else self.path)
            raise
        self._size = size

    def __enter__(self) -> Table:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        # Half a row, where the disk was full or the interrupt came in between, goes.
        os.ftruncate(self._file.fileno(), self._size)
        self._file.close()
        if kind is None or issubclass(kind, KeyboardInterrupt):
            self._part.replace(self.path)
            if kind is not None:
                tqdm.write(f"kept: {self.path}: {self.count} rows", file=sys.stderr)
        elif not (isinstance(error, OSError) and self.count):
            self._part.unlink(missing_ok=True)
