"""Where the results of ``drml detect`` go, and the summary of a run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from drml.data.readers.video import is_text
from drml.detect.output_paths import Names, find_existing, settle_names
from drml.detect.pictures import picture_path
from drml.detect.sources import Source
from drml.io.errors import UserError

__all__ = ["IMAGES_FILE", "DetectionSummary", "Outputs"]

IMAGES_FILE = "images.csv"
"""The table of all images; each video has its own."""


@dataclass(frozen=True)
class Outputs:
    """The folders that results are written to.

    Attributes
    ----------
    out : Path
        Folder of the CSV files.
    draw : Path or None
        Folder of the annotated images and videos; None to write none.
    aligned : Path or None
        Folder of the registered faces; None to write none.
    overwrite : bool
        Replace existing files.
    """

    out: Path
    draw: Path | None = None
    aligned: Path | None = None
    overwrite: bool = False

    @property
    def folders(self) -> list[Path]:
        """All folders that are written to."""
        return [path for path in (self.out, self.draw, self.aligned) if path is not None]

    def names(self, source: Source) -> Names:
        """Return where the results of a source go."""
        drawn = None
        if self.draw is not None and source.kind == "image":
            drawn = picture_path(self.draw, source.path, source.stem)
        elif self.draw is not None:
            drawn = self.draw / f"{source.stem}.mp4"
        table = self.out / (IMAGES_FILE if source.kind == "image" else f"{source.stem}.csv")
        return Names(table, drawn, self.aligned)

    def prepare(self, sources: Sequence[Source]) -> tuple[list[Source], list[tuple[Source, str]]]:
        """Settle the names of all results and make the folders, before any work is done.

        Parameters
        ----------
        sources : sequence of Source

        Returns
        -------
        settled : list of Source
            The sources, with the stems that decide the names of their results.
        faults : list of (Source, str)
            The sources whose results cannot be written, and what is wrong.

        Raises
        ------
        UserError
            A folder is a file, a result would replace one of the sources, or a file exists that must not be
            replaced.
        """
        for folder in self.folders:
            if folder.exists() and not folder.is_dir():
                raise UserError(f"{folder}: is a file; name a folder to write to")
            if folder == self.draw and not is_text(folder):
                raise UserError(
                    f"{folder}: OpenCV writes no video to a path that is not UTF-8; choose another folder"
                )
        settled, faults = settle_names(sources, self.names)
        existing = None if self.overwrite else find_existing(settled, self.names)
        if existing is not None:
            raise UserError(f"{existing}: exists; choose another folder, or replace it with --overwrite")
        for folder in self.folders:
            folder.mkdir(parents=True, exist_ok=True)
        return settled, faults


@dataclass
class DetectionSummary:
    """What a run of ``drml detect`` read, found and wrote.

    Attributes
    ----------
    tables : list of Path
        The CSV files.
    frames, faces : int
        Number of frames read, and of faces found in them.
    inputs : list of dict
        For each source that was read: ``input``, ``kind``, ``csv``, ``frames``, ``faces``, ``note``.
    failed : list of dict
        For each source that could not be read: ``input`` and ``fault``.
    passed_over : dict of str to int
        Suffix -> number of photos and videos in folders that are of a format that is not read.
    seconds : float
        Duration of the run.
    """

    tables: list[Path] = field(default_factory=list)
    frames: int = 0
    faces: int = 0
    inputs: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def pass_over(self, suffixes: Mapping[str, int]) -> None:
        """Note files of folders that are not read, and print them to standard error."""
        self.passed_over = dict(sorted(suffixes.items()))
        if suffixes:
            listed = ", ".join(f"{suffix} {count}" for suffix, count in self.passed_over.items())
            tqdm.write(f"note: passed over, because their formats are not read: {listed}", file=sys.stderr)

    def add(self, source: Source, table: Path, frames: int, faces: int, note: str | None = None) -> None:
        """Count a source that was read; a note is also printed to standard error."""
        self.frames += frames
        self.faces += faces
        about: dict[str, Any] = {"input": source.name, "kind": source.kind, "csv": str(table)}
        self.inputs.append({**about, "frames": frames, "faces": faces, "note": note})
        if note:
            tqdm.write(f"note: {source.name}: {note}", file=sys.stderr)

    def fail(self, source: Source, fault: str) -> None:
        """Note a source that could not be read, and print it to standard error."""
        self.failed.append({"input": source.name, "fault": fault})
        tqdm.write(f"skipped: {source.name}: {fault}", file=sys.stderr)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "frames": self.frames,
            "faces": self.faces,
            "seconds": round(self.seconds, 3),
            "tables": [str(path) for path in self.tables],
            "inputs": self.inputs,
            "failed": self.failed,
            "passed_over": self.passed_over,
        }
