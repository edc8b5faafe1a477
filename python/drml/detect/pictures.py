"""Writes annotated images and videos, and the registered faces."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from drml.detect.drawing import Annotator
from drml.detect.output_paths import face_file
from drml.detect.pipeline import DetectedFrame
from drml.io.errors import UserError
from drml.io.files import temporary_path, writing
from drml.io.opencv import open_video

__all__ = ["AlignedFaces", "AnnotatedVideo", "write_picture"]

_KEPT_FORMATS = {".jpg", ".jpeg", ".png"}


def picture_path(folder: Path, original: Path, stem: str) -> Path:
    """Return the path of an annotated image: JPEG or PNG like the original, PNG for any other format."""
    ending = original.suffix.lower()
    return folder / f"{stem}{ending if ending in _KEPT_FORMATS else '.png'}"


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Write an image, whole or not at all, and make the folders of its path."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, 95] if path.suffix != ".png" else []
    done, data = cv2.imencode(path.suffix, image, parameters)
    if not done:
        raise UserError(
            f"{path}: a picture of {image.shape[1]}x{image.shape[0]} cannot be encoded as {path.suffix}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path, "wb") as file:
        file.write(data.tobytes())


class AlignedFaces:
    """Writes the registered faces: ``STEM_face_0.png`` of an image, ``STEM/000001_face_0.png`` of a video."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, detected: DetectedFrame) -> None:
        """Write the faces of a frame."""
        source = detected.frame.source
        for face, crop in zip(detected.faces, detected.crops, strict=True):
            if crop is None:
                continue
            write_picture(self.folder / face_file(source, detected.frame.number, face.id), crop)


class AnnotatedVideo:
    """An annotated video: MPEG-4 in an .mp4, used in a ``with`` block like `drml.detect.csv_file.CsvFile`.

    Every frame is shown for the mean duration of the original's frames. A damaged frame repeats the picture
    before it.

    Parameters
    ----------
    path : Path
    fps : float
        Frames per second.
    annotator : Annotator
    """

    def __init__(self, path: Path, fps: float, annotator: Annotator) -> None:
        self.path = path
        self._fps = fps
        self._annotator = annotator
        self._part = temporary_path(path)
        self._writer: Any = None
        self._shape: tuple[int, ...] = ()
        self._last: NDArray[np.uint8] | None = None
        self._count = 0
        path.parent.mkdir(parents=True, exist_ok=True)

    def write(self, detected: DetectedFrame) -> None:
        """Draw and append a frame."""
        picture = self._last if detected.frame.image is None else self._annotator.draw(detected)
        if picture is None:
            return
        self._last = picture
        if self._writer is None:
            self._shape = picture.shape
            self._writer = cv2.VideoWriter(
                str(self._part),
                cv2.VideoWriter.fourcc(*"mp4v"),
                self._fps,
                (picture.shape[1], picture.shape[0]),
            )
            if not self._writer.isOpened():
                raise UserError(
                    f"{self.path}: this video cannot be written here (no permission, or too large a frame)"
                )
        elif picture.shape != self._shape:
            # A stream may change its frame size; an MPEG-4 file cannot.
            picture = np.asarray(cv2.resize(picture, (self._shape[1], self._shape[0])), np.uint8)
        self._count += 1
        self._writer.write(picture)

    def __enter__(self) -> AnnotatedVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if self._writer is not None:
            self._writer.release()
        if kind is not None and not issubclass(kind, KeyboardInterrupt):
            self._part.unlink(missing_ok=True)
        elif self._count:
            # OpenCV does not report a failed write.
            written = _frames_in(self._part)
            # An interrupt may have come just before the last frame was written.
            if written < self._count - (kind is not None):
                self._part.unlink(missing_ok=True)
                raise UserError(
                    f"{self.path}: {written} of {self._count} frames could be written; is the disk full?"
                    " Free some space or write elsewhere"
                )
            self._part.replace(self.path)


def _frames_in(path: Path) -> int:
    capture = open_video(path)
    try:
        return int(capture.get(cv2.CAP_PROP_FRAME_COUNT)) if capture.isOpened() else 0
    finally:
        capture.release()
