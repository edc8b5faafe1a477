"""`Detector`: finds faces and their action units in photos, videos and arrays."""

from __future__ import annotations

import os
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from drml.data.face import Face
from drml.data.face_detector import FaceDetector
from drml.detect.adjusting import Adjustment, adjust_frames, median_of_largest_face
from drml.detect.face_registration import face_size, find_registration
from drml.detect.frames import Camera, Frame, Unreadable, Video, array_frame, open_stream, read_images
from drml.detect.pipeline import DetectedFrame, FaceNet, FindFaces, detect_frames
from drml.detect.sources import Source, find_sources
from drml.detect.table import data_frame, rows
from drml.detect.thresholds import FROM_RECIPE, Thresholds, resolve_thresholds
from drml.detect.tracking import Tracker
from drml.detect.video_search import find_in_video
from drml.io.checks import check_probability, check_whole
from drml.io.errors import UserError
from drml.nets.trained import Net

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Detector"]

Input: TypeAlias = "str | os.PathLike[str] | int | NDArray[np.uint8]"

_NO_INTENSITIES = "the net estimates no intensities, so that there is nothing to adjust"
_CAMERA_BATCH = 4  # frames that the rows of a webcam may lag behind it


class Detector:
    """Finds faces in photos and videos, and the action units (AUs) of each face.

    Parameters
    ----------
    weights : path or FaceNet
        The folder of a training (``drml train``), a .caffemodel or .h5 file, or an .onnx file of ``drml
        export-onnx``. Or an object that is called with registered faces and returns their probabilities; see
        `drml.detect.pipeline.FaceNet`.
    net : path, optional, keyword-only
        The deploy.prototxt; by default the one in the folder of the weights, or else that of models/drml. An
        .onnx file needs none.
    mean : path, optional
        The mean.binaryproto of the training; by default the one that belongs to the weights.
    scale : float, optional
        Factor of the pixels after the mean is subtracted; by default that of the training.
    size : int, optional
        Side of the registered faces in pixels; by default that of the mean image, or else 200.
    aus : sequence of int, optional
        AUs of the net's outputs, in their order; by default those of the recipe that the weights carry.
        Weights without a recipe, such as those of stock Caffe, need them.
    threshold : float, sequence of float, or "recipe"
        Probability from which an AU counts as present, 0 to 1: one for all AUs, or one for each. By default
        those of the recipe that the weights carry, which were chosen on validation; 0.5 if there are none.
    batch : int
        Number of faces that the net processes at once.
    min_confidence : float
        Faces of a lower confidence are ignored, 0 to 1.
    largest : bool
        Only the largest face of each frame is used.
    detect_size : int
        Frames are scaled down to this longest side, in pixels, to find faces in them. Faces of about 12 to
        600 pixels are found at that size; their points and pixels come from the full frame.
    search_every : int
        Of a video, one of this many frames is searched as a whole, and the others near the faces found there;
        1 searches every frame as a whole, as with a webcam. See `drml.detect.video_search`.
    face_model : path, optional
        Another YuNet model; by default the one that ``make`` installs.

    Attributes
    ----------
    aus : tuple of int
        AUs of the net's probabilities.
    intensity_aus : tuple of int
        AUs of the net's intensities; empty if it only tells whether an AU occurs.
    net : FaceNet
        The net; `drml.nets.trained.Net`, unless another one was given.
    size : int
        Side of the registered faces in pixels.
    face_detector : FaceDetector
    registration : FaceRegistration
        Cuts a face out of a frame as the training faces were cut out. For a net whose recipe does not tell
        how, faces are registered to the reference shape by their five points, and there is a warning.
    thresholds : tuple of float
        For each AU, the probability from which it counts as present.
    threshold_source : str
        Where they come from, in words.
    batch : int
    search_every : int

    Raises
    ------
    UserError
        A file is missing, the weights do not fit the net, or it is not known which AUs the outputs are.

    Examples
    --------
    >>> detector = Detector("build/train")  # doctest: +SKIP
    >>> table = detector("photo.jpg")  # doctest: +SKIP
    >>> table[["face_id", "AU12_c", "AU12_p"]]  # doctest: +SKIP
       face_id  AU12_c   AU12_p
    0        0       1  0.93182
    1        1       0  0.10241
    """

    def __init__(
        self,
        weights: str | os.PathLike[str] | FaceNet,
        *,
        net: str | Path | None = None,
        mean: str | Path | None = None,
        scale: float | None = None,
        size: int | None = None,
        aus: Sequence[int] | None = None,
        threshold: float | str | Sequence[float] = FROM_RECIPE,
        batch: int = 32,
        min_confidence: float = 0.7,
        largest: bool = False,
        detect_size: int = 640,
        search_every: int = 5,
        face_model: str | Path | None = None,
    ) -> None:
        if isinstance(threshold, int | float):
            check_probability(threshold, "threshold")  # before the net is opened
        self.batch = check_whole(batch, 1, "batch")
        self.search_every = check_whole(search_every, 1, "search_every")
        self.face_detector = FaceDetector(
            face_model, min_confidence=min_confidence, side=detect_size, largest=largest
        )
        if not callable(weights):
            self.net: FaceNet = Net(os.fspath(weights), net=net, mean=mean, scale=scale, aus=aus, batch=batch)
        elif (net, mean, scale, aus) == (None,) * 4:
            self.net = weights
        else:
            raise UserError("net, mean, scale and aus go with the path of weights, not with an opened net")
        self.aus = tuple(self.net.aus)
        self.intensity_aus = tuple(getattr(self.net, "intensity_aus", ()))
        self.size = face_size(self.net, size)
        self.registration, note = find_registration(self.net, self.size)
        if note:
            warnings.warn(note, stacklevel=2)
        found = resolve_thresholds(threshold, getattr(self.net, "recipe", None), self.aus)
        self.thresholds, self.threshold_source = found.values, found.source
        # One grey face, so that settings that do not fit are reported before the work begins.
        self.net([np.full((self.size, self.size, 3), 127, np.uint8)])

    def __call__(
        self,
        inputs: Input | Sequence[Input],
        *,
        max_frames: int | None = None,
        adjustment: Adjustment | None = None,
        progress: bool = False,
    ) -> pd.DataFrame:
        """Detect faces and AUs, and return one row for each face.

        Parameters
        ----------
        inputs : path, array or int, or a list of these
            An image file, a video file, or a folder, which is searched with its subfolders. An image as an
            array: H x W x 3, uint8, in OpenCV's order blue, green, red. The number of a webcam, which needs
            `max_frames`.
        max_frames : int, optional, keyword-only
            Stop each video or webcam after this many frames.
        adjustment : Adjustment, optional
            How to adjust the intensities of videos, as ``drml detect --neutral`` and ``--smooth`` do:
            ``drml.detect.adjusting.Adjustment("median", smooth=0.5)``.
        progress : bool
            Show a progress bar.

        Returns
        -------
        pandas.DataFrame
            One row for each face; of a video, for each frame and face. The columns are those of the CSV files
            of ``drml detect``: ``input`` (the file; ``array 0``, ... by its position in the list), ``frame``
            (from 1), ``face_id``, ``timestamp`` (seconds), ``confidence``, ``success``, ``x_0`` to ``y_4``
            (pixels), ``AU01_c``, ... (1 or 0) and ``AU01_p``, ... (probabilities); of a net that estimates
            intensities also ``AU01_r``, ..., 0 to 5, and, if they are adjusted, ``AU01_r_adjusted``, ...,
            which are missing values for images. An image or frame without a face has one row with ``success``
            0. Its `attrs` name the thresholds (``thresholds``, ``thresholds_from``).

        Raises
        ------
        UserError
            An input does not exist or an array has another form; or none of the inputs can be read; or there
            are no intensities to adjust. If only some of the inputs cannot be read, each of these causes a
            warning instead.
        """
        if adjustment is not None and not self.intensity_aus:
            raise UserError(_NO_INTENSITIES)
        if max_frames is not None:
            check_whole(max_frames, 1, "max_frames")
        problems: list[str] = []

        def lines() -> Iterator[list[str]]:
            with (
                tqdm(unit="frame", disable=not progress) as bar,
                closing(
                    self._detect(_expand(inputs, max_frames), max_frames, problems, adjustment)
                ) as frames,
            ):
                for detected in frames:
                    beyond = 0 if adjustment is None else len(self.intensity_aus) - detected.adjusted.shape[1]
                    for row in rows(detected, self.aus, self.thresholds, with_input=True):
                        yield row + ["nan"] * beyond
                    bar.update()

        table = data_frame(lines(), self.aus, self.intensity_aus, adjusted=adjustment is not None)
        table.attrs |= Thresholds(self.thresholds, self.threshold_source).to_dict(self.aus)
        if problems and table.empty:
            raise UserError(problems[0])
        for problem in problems:
            warnings.warn(problem, stacklevel=2)
        return table

    def detect_images(
        self, frames: Iterable[Frame], *, keep_images: bool = False
    ) -> Generator[DetectedFrame]:
        """Detect the faces and AUs of separate images; face 0 is the largest face of its image.

        Parameters
        ----------
        frames : iterable of Frame
            Such as `drml.detect.frames.read_images` returns.
        keep_images : bool, keyword-only
            Keep the image in each frame, to draw on it.

        Returns
        -------
        generator of DetectedFrame
            One item for each image, in their order.
        """

        def find(frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[Face]]]:
            for frame in frames:
                faces = [] if frame.image is None else self.face_detector.find(frame.image)
                yield frame, [face.numbered(index) for index, face in enumerate(faces)]

        return self._run(frames, find, self.batch, keep_images)

    def detect_video(
        self, video: Video | Camera, *, keep_images: bool = False, adjustment: Adjustment | None = None
    ) -> Generator[DetectedFrame]:
        """Detect the faces and AUs of a video; a face keeps its id from frame to frame.

        Parameters
        ----------
        video : Video or Camera
            As `drml.detect.frames.open_stream` returns it.
        keep_images : bool, keyword-only
            Keep the image in each frame, to draw on it.
        adjustment : Adjustment, optional, keyword-only
            How to adjust the intensities.

        Returns
        -------
        generator of DetectedFrame
            One item for each frame, in their order.

        Raises
        ------
        Unreadable
            No frame of the video can be decoded.
        """
        camera = video.source.kind == "camera"
        batch = min(self.batch, _CAMERA_BATCH) if camera else self.batch

        def find(frames: Iterable[Frame]) -> Iterator[tuple[Frame, list[Face]]]:
            tracker = Tracker()
            for frame, faces in find_in_video(frames, self.face_detector, 1 if camera else self.search_every):
                yield frame, tracker.follow(faces)

        found = self._run(video, find, batch, keep_images)
        return found if adjustment is None else _adjusted(found, adjustment)

    def neutral_intensities(self, path: str | os.PathLike[str]) -> NDArray[np.float64]:
        """Return the median intensities of the largest face of a photo or a video of a neutral face.

        Parameters
        ----------
        path : path
            A photo or a video.

        Returns
        -------
        ndarray of float64, shape (L,)
            For each of `intensity_aus`, 0 to 5.

        Raises
        ------
        UserError
            It cannot be read, there is no face in it, or the net estimates no intensities.
        """
        if not self.intensity_aus:
            raise UserError(_NO_INTENSITIES)
        problems: list[str] = []
        with closing(self._detect(find_sources([os.fspath(path)]), None, problems)) as frames:
            found = median_of_largest_face(frames, str(path)) if not problems else None
        if problems or found is None:
            raise UserError(problems[0])
        return found

    def _run(
        self,
        frames: Iterable[Frame],
        find: FindFaces,
        batch: int,
        keep_images: bool,
    ) -> Generator[DetectedFrame]:
        return detect_frames(
            frames, find, self.net, register=self.registration, batch=batch, keep_images=keep_images
        )

    def _detect(
        self,
        items: Sequence[Frame | Source],
        max_frames: int | None,
        problems: list[str],
        adjustment: Adjustment | None = None,
    ) -> Generator[DetectedFrame]:
        """Detect in images and videos in their order; add what cannot be read to `problems`."""
        for is_image, group in groupby(items, key=_is_image):
            if is_image:
                with closing(self.detect_images(_read(list(group)))) as frames:
                    for detected in frames:
                        if detected.frame.fault is None:
                            yield detected
                        else:
                            problems.append(f"{detected.frame.source.name}: {detected.frame.fault}")
                continue
            for source in group:
                assert isinstance(source, Source)
                try:
                    video = open_stream(source, max_frames)
                    with closing(self.detect_video(video, adjustment=adjustment)) as frames:
                        yield from frames
                except Unreadable as error:
                    problems.append(f"{source.name}: {error}")
                    continue
                if video.note:
                    problems.append(f"{source.name}: {video.note}")


def _adjusted(frames: Generator[DetectedFrame], adjustment: Adjustment) -> Generator[DetectedFrame]:
    """Adjust the frames; closing this closes `frames`."""
    with closing(frames):
        yield from adjust_frames(frames, adjustment)


def _is_image(item: Frame | Source) -> bool:
    return isinstance(item, Frame) or item.kind == "image"


def _read(items: Iterable[Frame | Source]) -> Iterator[Frame]:
    for item in items:
        if isinstance(item, Frame):
            yield item
        else:
            yield from read_images([item])


def _expand(inputs: Input | Sequence[Input], max_frames: int | None) -> list[Frame | Source]:
    """Return a frame for each array, and the sources of paths, folders and webcams."""
    items: list[Frame | Source] = []
    for index, item in enumerate(inputs if isinstance(inputs, list | tuple) else [inputs]):
        if isinstance(item, np.ndarray):
            items.append(array_frame(item, f"array {index}"))
            continue
        if not isinstance(item, str | os.PathLike | int):
            raise UserError(f"{item!r}: give an image, a video, a folder, an array, or a list of these")
        found = find_sources([str(item)])
        if max_frames is None and any(source.kind == "camera" for source in found):
            raise UserError(f"webcam {item}: give max_frames, because a webcam has no end")
        items += found
    return items
