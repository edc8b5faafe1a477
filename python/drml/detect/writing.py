"""Writes what a detector finds: CSV files, annotated pictures and registered faces."""

from __future__ import annotations

import contextlib
import time
from collections import Counter
from collections.abc import Generator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tqdm import tqdm

from drml.detect.adjusting import Adjustment
from drml.detect.csv_file import CsvFile
from drml.detect.detector import Detector
from drml.detect.drawing import Annotator
from drml.detect.frames import Unreadable, open_stream, read_images
from drml.detect.outputs import DetectionSummary, Outputs
from drml.detect.pictures import AlignedFaces, AnnotatedVideo, write_picture
from drml.detect.pipeline import DetectedFrame
from drml.detect.sources import Source, find_sources
from drml.detect.table import columns, rows
from drml.io.errors import UserError

__all__ = ["write_detections"]


def write_detections(
    inputs: Sequence[str],
    detector: Detector,
    outputs: Outputs,
    *,
    max_frames: int | None = None,
    adjustment: Adjustment | None = None,
    progress: bool = True,
) -> DetectionSummary:
    """Detect faces and AUs in images, videos and webcams, and write the results to files.

    Parameters
    ----------
    inputs : sequence of str
        Files, folders or webcam numbers; see `drml.detect.sources.find_sources`.
    detector : Detector
    outputs : Outputs
    max_frames : int, optional
        Stop each video or webcam after this many frames.
    adjustment : Adjustment, optional
        How to adjust the intensities of videos; their tables then have the columns ``AU01_r_adjusted``, ...
    progress : bool
        Show progress bars.

    Returns
    -------
    DetectionSummary
        It lists the inputs that could not be read, which are also reported on standard error. The other
        inputs are processed nonetheless.

    Raises
    ------
    UserError
        The inputs do not exist, the outputs cannot be written, or there is no video to adjust; raised before
        any work is done.
    OSError
        The disk is full.
    KeyboardInterrupt
        The CSV file holds the rows so far, under its own name.
    """
    passed_over: Counter[str] = Counter()
    found = find_sources(inputs, outputs.folders, passed_over)
    if adjustment is not None and all(source.kind == "image" for source in found):
        raise UserError(
            f"{inputs[0]}: only intensities of videos and webcams are adjusted, and there is none among the"
            " inputs; leave --neutral and --smooth out, or give a video"
        )
    sources, faults = outputs.prepare(found)
    writer = _Writer(detector, outputs, progress, adjustment)
    writer.summary.pass_over(passed_over)
    for source, fault in faults:
        writer.summary.fail(source, fault)
    start = time.perf_counter()
    try:
        images = [source for source in sources if source.kind == "image"]
        if images:
            writer.write_images(images)
        streams = [source for source in sources if source.kind != "image"]
        for index, source in enumerate(streams, 1):
            name = Path(source.name).name if source.kind == "video" else f"webcam {source.name}"
            label = name if len(streams) == 1 else f"{name} ({index}/{len(streams)})"
            writer.write_stream(source, max_frames, label)
    finally:
        writer.summary.seconds = time.perf_counter() - start
    return writer.summary


@dataclass
class _Writer:
    detector: Detector
    outputs: Outputs
    progress: bool
    adjustment: Adjustment | None = None
    summary: DetectionSummary = field(default_factory=DetectionSummary)

    @property
    def _keep_images(self) -> bool:
        return self.outputs.draw is not None

    def _open_table(self, source: Source) -> CsvFile:
        image = source.kind == "image"
        adjusted = self.adjustment is not None and not image
        header = columns(self.detector.aus, image, self.detector.intensity_aus, adjusted=adjusted)
        return CsvFile(self.outputs.names(source).table, header, overwrite=self.outputs.overwrite)

    def _rows(self, detected: DetectedFrame, with_input: bool) -> list[list[str]]:
        return rows(detected, self.detector.aus, self.detector.thresholds, with_input)

    def _aligned(self) -> AlignedFaces | None:
        return AlignedFaces(self.outputs.aligned) if self.outputs.aligned else None

    def _annotator(self) -> Annotator:
        return Annotator(self.detector.aus, self.detector.thresholds, self.detector.intensity_aus)

    def write_images(self, sources: Sequence[Source]) -> None:
        """Process all images and write one table."""
        aligned, annotator = self._aligned(), self._annotator()
        found = self.detector.detect_images(read_images(sources), keep_images=self._keep_images)
        with (
            self._open_table(sources[0]) as table,
            tqdm(total=len(sources), desc="images", unit="img", disable=not self.progress) as bar,
            contextlib.closing(_counted(found, bar)) as frames,
        ):
            for detected in frames:
                source = detected.frame.source
                if detected.frame.fault is not None:
                    self.summary.fail(source, detected.frame.fault)
                    continue
                table.write(self._rows(detected, with_input=True))
                drawn = self.outputs.names(source).drawn
                if drawn is not None:
                    write_picture(drawn, annotator.draw(detected))
                if aligned is not None:
                    aligned.write(detected)
                self.summary.add(source, table.path, 1, len(detected.faces))
        self.summary.tables.append(table.path)

    def write_stream(self, source: Source, max_frames: int | None, label: str) -> None:
        """Process a video or a webcam and write its table; if it cannot be read, add it to the failures."""
        try:
            video = open_stream(source, max_frames)
        except Unreadable as error:
            self.summary.fail(source, str(error))
            return
        aligned, annotator = self._aligned(), self._annotator()
        drawn = self.outputs.names(source).drawn
        found = self.detector.detect_video(video, keep_images=self._keep_images, adjustment=self.adjustment)
        count = faces = 0
        try:
            with (
                (
                    contextlib.nullcontext() if drawn is None else AnnotatedVideo(drawn, video.fps, annotator)
                ) as clip,
                # Completed before the annotated video, so that the table survives if the video fails.
                self._open_table(source) as table,
                tqdm(total=video.total, desc=label, unit="frame", disable=not self.progress) as bar,
                contextlib.closing(_counted(found, bar)) as frames,
            ):
                for detected in frames:
                    table.write(self._rows(detected, with_input=False))
                    if clip is not None:
                        clip.write(detected)
                    if aligned is not None:
                        aligned.write(detected)
                    count += 1
                    faces += len(detected.faces)
        except Unreadable as error:
            self.summary.fail(source, str(error))
            return
        self.summary.tables.append(table.path)
        self.summary.add(source, table.path, count, faces, video.note)


def _counted(frames: Generator[DetectedFrame], bar: tqdm[Any]) -> Generator[DetectedFrame]:
    """Pass the frames on and count them on a progress bar; closing this closes `frames`."""
    with contextlib.closing(frames):
        for detected in frames:
            yield detected
            bar.update()
