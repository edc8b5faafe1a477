"""What one worker process does when a data set is prepared: registers the faces of some frames."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import cv2
import numpy as np

from drml.data import registration
from drml.data.detector_points import PointFinder
from drml.data.face_store import BrokenImage
from drml.data.readers import images
from drml.data.readers.video import VideoFrame
from drml.io.checks import check_whole
from drml.io.errors import UserError
from drml.io.opencv import decode_image

__all__ = [
    "CHUNK",
    "Encoding",
    "Task",
    "TaskFrame",
    "TaskResult",
    "encode",
    "register_task",
]

CHUNK = 32  # frames of a task: about 400 ms of work and 500 kB of results
_QUALITY = 95
_LARGEST = 4096  # side of a face in pixels: far beyond use, and within what JPEG and Caffe can hold
_FORMATS = ("jpg", "png")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Encoding:
    """How registered faces are stored.

    Attributes
    ----------
    format : {"jpg", "png"}
        JPEG of quality 95, or PNG, which is lossless and about four times as large.
    size : int
        Side of the faces in pixels, 16 to 4096.

    Raises
    ------
    UserError
        A value is out of range.

    Examples
    --------
    >>> Encoding(format="png").size
    200
    """

    format: str = "jpg"
    size: int = registration.SIZE

    def __post_init__(self) -> None:
        if self.format not in _FORMATS:
            raise UserError(f"encoding {self.format!r}: choose one of {', '.join(_FORMATS)}")
        check_whole(self.size, 16, "size of the faces", high=_LARGEST)


@dataclasses.dataclass(frozen=True, eq=False)
class TaskFrame:
    """One frame to register.

    Attributes
    ----------
    index : int
        Number of the record.
    image : Path or VideoFrame
    landmarks : ndarray of shape (N, 2), or None
        The points that the face is registered by, in pixels of the image.
    sampled : bool
        Whether the face counts in `FaceStore.sums`.
    detect : bool
        Whether points are found in the image to learn where they lie in the registered face.
    """

    index: int
    image: Path | VideoFrame
    landmarks: np.ndarray | None
    sampled: bool
    detect: bool = False


@dataclasses.dataclass(frozen=True, eq=False)
class Task:
    """Frames for a worker process to register: of one subject, and of one video file if they are in one.

    Attributes
    ----------
    subject : str
    frames : list of TaskFrame
        Frames of a video are in ascending order.
    encoding : Encoding
    points : {"given", "detector"}
        Where the landmarks come from. With ``"given"``, an image without landmarks is a registered face; with
        ``"detector"``, no points could be found in it.
    last : bool
        This is the last task for the video file: after it, the rest of the video is checked.
    """

    subject: str
    frames: list[TaskFrame]
    encoding: Encoding
    points: str = "given"
    last: bool = True

    @property
    def video(self) -> Path | None:
        """The video file that has the frames, or None."""
        image = self.frames[0].image
        return image.video if isinstance(image, VideoFrame) else None


@dataclasses.dataclass(frozen=True, eq=False)
class TaskResult:
    """The registered faces of a task.

    Attributes
    ----------
    subject : str
    faces : list of (int, bytes, ndarray or None)
        Number of the record, the encoded face, and its landmarks in pixels of the face, float32.
    conversions : list of (str, str)
        An image, and how it had to be converted.
    broken : list of BrokenImage
    total : ndarray of uint32, shape (size, size, 3), or None
        Sum of the sampled faces after encoding and decoding.
    detector_points : dict of int to ndarray of float64, shape (N, 2)
        Record -> the points that `PointFinder` finds, in the registered face, as fractions of its side.
    """

    subject: str
    faces: list[tuple[int, bytes, np.ndarray | None]]
    conversions: list[tuple[str, str]]
    broken: list[BrokenImage]
    total: np.ndarray | None
    detector_points: dict[int, np.ndarray]


_finders: list[PointFinder] = []  # that of this process, once it was needed


def _find_points(picture: np.ndarray, landmarks: np.ndarray | None) -> np.ndarray | None:
    if not _finders:
        _finders.append(PointFinder())
    return _finders[0].find(picture, landmarks)


def register_task(task: Task, reader: images.ImageReader) -> TaskResult:
    """Register the frames of a task; an image that cannot be used is in the result's `broken`."""
    result = TaskResult(task.subject, [], [], [], None, {})
    total: np.ndarray | None = None
    for frame in task.frames:
        try:
            picture, conversion = reader.load(frame.image)
            if (
                frame.landmarks is not None and task.points == "given"
            ):  # found points are those of the picture
                frame = dataclasses.replace(frame, landmarks=reader.place(frame.image, frame.landmarks))
            face, points = _register(picture, frame, task, result.detector_points)
        # OpenCV cannot warp images with a side above 32,767 pixels.
        except (UserError, cv2.error) as error:
            fault = str(error).removeprefix(f"{frame.image}: ")
            result.broken.append(BrokenImage(frame.index, str(frame.image), fault))
            continue
        if conversion:
            result.conversions.append((str(frame.image), conversion))
        data = encode(face, task.encoding.format)
        result.faces.append((frame.index, data, points))
        if frame.sampled:
            if total is None:
                total = np.zeros(face.shape, np.uint32)
            # The mean is over the images as training will decode them, so with the losses of JPEG.
            total += np.asarray(decode_image(data))
    image = task.frames[-1].image
    if task.last and isinstance(image, VideoFrame):
        reader.finish(image)
    return dataclasses.replace(result, total=total)


def _register(
    picture: np.ndarray, frame: TaskFrame, task: Task, detector_points: dict[int, np.ndarray]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the registered face and its landmarks; add the points found in it, if wanted."""
    size, landmarks = task.encoding.size, frame.landmarks
    if landmarks is None and task.points == "detector":
        raise UserError("no points could be found in it")
    if landmarks is None:
        face = registration.whole(picture, size)
        # Pixel centres are at whole numbers, so that the image spans -0.5 to its side - 0.5.
        ratio = size / picture.shape[0]
        matrix = np.array([[ratio, 0, (ratio - 1) / 2], [0, ratio, (ratio - 1) / 2]])
    else:
        face = registration.register(picture, landmarks, size)
        matrix = registration.transform(landmarks, size)
    found = _find_points(picture, landmarks) if frame.detect else None
    if found is not None:
        placed = registration.as_fractions(registration.apply(matrix, found), size)
        detector_points[frame.index] = np.array(placed).reshape(-1, 2)
    return face, None if landmarks is None else registration.apply(matrix, landmarks).astype(np.float32)


def encode(image: np.ndarray, format: str = "jpg") -> bytes:
    """Encode a face as it is stored: JPEG of quality 95, or PNG."""
    parameters = [cv2.IMWRITE_JPEG_QUALITY, _QUALITY] if format == "jpg" else []
    encoded, data = cv2.imencode(f".{format}", image, parameters)
    if not encoded:
        raise ValueError(f"OpenCV cannot encode as {format}")
    return bytes(data)
