"""``drml detect``: from inputs to CSVs and pictures."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from drml.data.readers.video import is_text
from drml.detect import model
from drml.detect.drawing import Annotator
from drml.detect.faces import Face, FaceDetector
from drml.detect.frames import Frame, Unreadable, open_stream, read_images
from drml.detect.pictures import AlignedFaces, Clip, picture_path, write_picture
from drml.detect.pipeline import Seen, stream
from drml.detect.sources import Source, find_sources
from drml.detect.table import Table, columns, rows
from drml.detect.tracking import Tracker
from drml.io.errors import UserError
from drml.nets.preprocessing import Preprocessing

__all__ = ["IMAGES_FILE", "Done", "Outputs", "detect", "open_onnx", "open_recogniser"]

IMAGES_FILE = "images.csv"
"""The table of all pictures; each video has one of its own."""

_CAMERA_BATCH = 4  # frames that a camera's rows may be behind it


@dataclass(frozen=True)
class Outputs:
    """Where results go.

    Attributes
    ----------
    out : Path
        Folder of the CSVs.
    draw : Path or None
        Folder of the annotated images and videos.
    aligned : Path or None
        Folder of the registered faces.
    overwrite : bool
        Replace what is there.
    """

    out: Path
    draw: Path | None = None
    aligned: Path | None = None
    overwrite: bool = False

    def table(self, source: Source) -> Path:
        """Name the CSV of a source."""
        return self.out / (IMAGES_FILE if source.kind == "image" else f"{source.stem}.csv")

    def drawn(self, source: Source) -> Path | None:
        """Name the annotated image or video of a source."""
        if self.draw is None:
            return None
        if source.kind == "image":
            return picture_path(self.draw, source.path, source.stem)
        return self.draw / f"{source.stem}.mp4"

    def check(self, sources: Sequence[Source]) -> None:
        """Refuse before the work what cannot be written, or is there already; make the folders."""
        for folder in (self.out, self.draw, self.aligned):
            if folder is not None:
                if folder.exists() and not folder.is_dir():
                    raise UserError(f"{folder}: is a file; name a folder to write to")
                if folder == self.draw and not is_text(folder):
                    raise UserError(
                        f"{folder}: OpenCV writes no video where a name is not UTF-8; choose another"
                    )
                folder.mkdir(parents=True, exist_ok=True)
        for source in () if self.overwrite else sources:
            for path in (self.table(source), self.drawn(source)):
                if path is not None and path.exists():
                    raise UserError(f"{path}: exists; choose another folder, or replace it with --overwrite")


@dataclass
class Done:
    """What was done.

    Attributes
    ----------
    tables : list of Path
    frames, faces : int
        Read, and found in them.
    inputs : list of dict
        For each source: ``input``, ``kind``, ``csv``, ``frames``, ``faces``, ``note``.
    failed : list of dict
        ``input`` and ``fault`` of what could not be read.
    seconds : float
    """

    tables: list[Path] = field(default_factory=list)
    frames: int = 0
    faces: int = 0
    inputs: list[dict[str, Any]] = field(default_factory=list)
    failed: list[dict[str, str]] = field(default_factory=list)
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        return {
            "frames": self.frames,
            "faces": self.faces,
            "seconds": round(self.seconds, 3),
            "tables": [str(path) for path in self.tables],
            "inputs": self.inputs,
            "failed": self.failed,
        }


def open_recogniser(
    weights: str | Path,
    *,
    net: str | Path | None = None,
    mean: str | Path | None = None,
    scale: float | None = None,
    size: int | None = None,
    aus: Sequence[int] | None = None,
    predictor: model.Predictor | None = None,
) -> model.Recogniser:
    """Open the net of some weights, with all that it needs to know of its training.

    Parameters
    ----------
    weights : path
        .caffemodel or .h5.
    net : path, optional
        Deploy prototxt; by default found by `drml.detect.model.find_net`.
    mean, scale : optional
        As in `drml.nets.preprocessing.find_preprocessing`; the mean image may also lie beside the weights.
    size : int, optional
        Side of the registered faces; by default the mean image's, else 200.
    aus : sequence of int, optional
        AUs of the outputs; see `drml.detect.model.find_aus`.
    predictor : Predictor, optional
        What runs the net, where it is not Caffe.

    Raises
    ------
    UserError
        Something is missing, or does not fit.
    """
    preparation = model.find_preparation(weights, mean=mean, scale=scale)
    if predictor is None:
        predictor = model.CaffePredictor(model.find_net(weights, net), weights)
    side = model.side_of(preparation, predictor.input_shape, size)
    outputs = _try_out(predictor, preparation, side)
    return model.Recogniser(
        predictor, preparation, model.find_aus(weights, outputs, aus, predictor.name), side
    )


def open_onnx(
    path: str | Path,
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
    size: int | None = None,
    aus: Sequence[int] | None = None,
) -> model.Recogniser:
    """Open what ``drml export-onnx`` wrote; it runs in ONNX Runtime.

    Parameters
    ----------
    path : path
    mean, scale : optional
        Of a file that was exported without its mean image: the mean image, which is needed, and the factor,
        which the file tells.
    size, aus : optional
        As in `open_recogniser`; by default what the file tells.

    Raises
    ------
    UserError
        The file or the mean image is missing, or does not fit; ONNX Runtime is not installed.
    """
    from drml.nets.onnx_net import OnnxNet

    net = OnnxNet(path)
    preparation = model.find_onnx_preparation(net.name, net.metadata, mean=mean, scale=scale)
    if size is None and net.metadata.face_size is not None:
        size = net.metadata.face_size[0]
    side = model.side_of(preparation, net.input_shape, size)
    outputs = _try_out(net, preparation, side)
    known = net.metadata.aus if aus is None else aus
    return model.Recogniser(net, preparation, model.find_aus(path, outputs, known, net.name), side)


def _try_out(predictor: model.Predictor, preparation: Preprocessing, side: int) -> int:
    """Run one grey face, so that what does not fit is told before the long work; return the outputs."""
    face = np.full((side, side, predictor.input_shape[0]), 127, np.uint8)
    return model.run_faces(predictor, preparation, [face]).shape[1]


def detect(
    inputs: Sequence[str],
    recogniser: model.Recogniser,
    outputs: Outputs,
    *,
    detector: FaceDetector,
    threshold: float = 0.5,
    batch: int = 32,
    max_frames: int | None = None,
    progress: bool = True,
) -> Done:
    """Find faces and AUs in images, videos and webcams, and write what is asked for.

    Parameters
    ----------
    inputs : sequence of str
        As `drml.detect.sources.find_sources` takes them.
    recogniser : Recogniser
    outputs : Outputs
    detector : FaceDetector, keyword-only
    threshold : float
        Probability from which on an AU is present.
    batch : int
        Faces per pass of the net.
    max_frames : int, optional
        Stop each video or camera after so many.
    progress : bool
        Show progress bars.

    Returns
    -------
    Done
        What could not be read is in it, and was said on standard error; nothing else is lost by that.

    Raises
    ------
    UserError
        The inputs or outputs are at fault, before any work is done.
    OSError
        The disk is full.
    KeyboardInterrupt
        The rows until then are in the CSV, under its own name.
    """
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold {threshold}: give a probability, 0 to 1")
    places = [path for path in (outputs.out, outputs.draw, outputs.aligned) if path is not None]
    sources = find_sources(inputs, skip=places)
    outputs.check(sources)
    work = _Work(recogniser, outputs, detector, threshold, batch, progress)
    done = Done()
    start = time.perf_counter()
    try:
        images = [source for source in sources if source.kind == "image"]
        if images:
            work.images(images, done)
        streams = [source for source in sources if source.kind != "image"]
        for index, source in enumerate(streams, 1):
            name = Path(source.name).name if source.kind == "video" else f"webcam {source.name}"
            label = name if len(streams) == 1 else f"{name} ({index}/{len(streams)})"
            work.stream(source, done, max_frames, label)
    finally:
        done.seconds = time.perf_counter() - start
    return done


@dataclass
class _Work:
    recogniser: model.Recogniser
    outputs: Outputs
    detector: FaceDetector
    threshold: float
    batch: int
    progress: bool

    @property
    def keep(self) -> bool:
        """Whether the pictures are still needed when the net has run."""
        return self.outputs.draw is not None

    def _table(self, source: Source) -> Table:
        return Table(
            self.outputs.table(source), columns(self.recogniser.aus, with_input=source.kind == "image")
        )

    def _run(
        self,
        frames: Iterable[Frame],
        find: Callable[[NDArray[np.uint8]], list[Face]],
        bar: tqdm[Any],
        batch: int,
    ) -> Generator[Seen]:
        with contextlib.closing(stream(frames, find, self.recogniser, batch=batch, keep=self.keep)) as found:
            for seen in found:
                yield seen
                bar.update()

    def images(self, sources: Sequence[Source], done: Done) -> None:
        """Do all images, into one table."""
        aligned = AlignedFaces(self.outputs.aligned) if self.outputs.aligned else None
        annotator = Annotator(self.recogniser.aus, self.threshold)
        table = self._table(sources[0])

        def find(image: NDArray[np.uint8]) -> list[Face]:
            return [face.numbered(index) for index, face in enumerate(self.detector.find(image))]

        with (
            table,
            tqdm(total=len(sources), desc="images", unit="img", disable=not self.progress) as bar,
            contextlib.closing(self._run(read_images(sources), find, bar, self.batch)) as run,
        ):
            for seen in run:
                source = seen.frame.source
                if seen.frame.fault is not None:
                    _fail(done, source, seen.frame.fault)
                    continue
                table.write(rows(seen, self.recogniser.aus, self.threshold, with_input=True))
                drawn = self.outputs.drawn(source)
                if drawn is not None:
                    write_picture(drawn, annotator.draw(seen))
                if aligned is not None:
                    aligned.write(seen)
                _count(done, source, table.path, 1, len(seen.faces))
        done.tables.append(table.path)

    def stream(self, source: Source, done: Done, limit: int | None, label: str) -> None:
        """Do a video or a camera, into a table of its own; one that cannot be read is a failure in `done`."""
        try:
            frames = open_stream(source, limit)
        except Unreadable as error:
            _fail(done, source, str(error))
            return
        tracker = Tracker()
        batch = min(self.batch, _CAMERA_BATCH) if source.kind == "camera" else self.batch
        aligned = AlignedFaces(self.outputs.aligned) if self.outputs.aligned else None
        drawn = self.outputs.drawn(source)
        annotator = Annotator(self.recogniser.aus, self.threshold)
        count = faces = 0
        try:
            with (
                contextlib.nullcontext() if drawn is None else Clip(drawn, frames.fps, annotator) as clip,
                self._table(source) as table,  # done first: it is whole also where the clip cannot be
                tqdm(total=frames.total, desc=label, unit="frame", disable=not self.progress) as bar,
                contextlib.closing(
                    self._run(frames, lambda image: tracker.follow(self.detector.find(image)), bar, batch)
                ) as run,
            ):
                for seen in run:
                    table.write(rows(seen, self.recogniser.aus, self.threshold, with_input=False))
                    if clip is not None:
                        clip.write(seen)
                    if aligned is not None:
                        aligned.write(seen)
                    count += 1
                    faces += len(seen.faces)
        except Unreadable as error:
            _fail(done, source, str(error))
            return
        done.tables.append(table.path)
        _count(done, source, table.path, count, faces, frames.note)


def _count(done: Done, source: Source, table: Path, frames: int, faces: int, note: str | None = None) -> None:
    done.frames += frames
    done.faces += faces
    about: dict[str, Any] = {"input": source.name, "kind": source.kind, "csv": str(table)}
    done.inputs.append({**about, "frames": frames, "faces": faces, "note": note})
    if note:
        tqdm.write(f"note: {source.name}: {note}", file=sys.stderr)


def _fail(done: Done, source: Source, fault: str) -> None:
    done.failed.append({"input": source.name, "fault": fault})
    tqdm.write(f"skipped: {source.name}: {fault}", file=sys.stderr)
