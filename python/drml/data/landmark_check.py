"""Judges landmarks by the points that the face detector found in a sample of the images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from drml.data.audit_offsets import (
    REACH,
    Coordinates,
    VideoSample,
    fit_coordinates,
    fit_lag,
    lag_costs,
    share,
)

__all__ = ["LandmarkCheck", "VideoCheck", "judge"]

_FAR = 0.3  # of the eye distance: landmarks that are farther away lie beside the face
_SHIFTED, _SCALED = 0.1, 0.1  # an offset and a scale that are more than two definitions of the points
_REMAINING = 0.5  # of the distance, if an offset or a scale explains it
_SEEN = 0.5  # share of the frames in which a face must be found, for a verdict


@dataclasses.dataclass(frozen=True)
class VideoCheck:
    """The landmarks of one video.

    Attributes
    ----------
    video : str
    frames : int
        Number of frames that were drawn and in which a face was found.
    distance : float or None
        Median distance of the landmarks from the detected points, in shares of the eye distance.
    lag : int or None
        Offset in frame numbers, if the video has another one than the others.
    """

    video: str
    frames: int
    distance: float | None
    lag: int | None = None


@dataclasses.dataclass(frozen=True)
class LandmarkCheck:
    """The landmarks of a data set.

    Attributes
    ----------
    frames, faces : int
        Number of frames that were drawn at random, and of those in which a face was found.
    videos : list of VideoCheck
    coordinates : Coordinates or None
        None if no face was found.
    lag : int or None
        Offset in frame numbers: the landmarks of frame n + `lag` fit the image of frame n. None if it cannot
        be told, because the faces move too little or the frames are not those of videos.
    faults : list of str
        What is wrong.
    """

    frames: int
    faces: int
    videos: list[VideoCheck]
    coordinates: Coordinates | None
    lag: int | None
    faults: list[str]

    def to_dict(self) -> dict[str, Any]:
        """Return the result as JSON holds it."""
        return dataclasses.asdict(self)

    def rows(self) -> list[tuple[str, str, str, str]]:
        """Return lines of the audit's table: what, expected, found, verdict."""
        judged = self.faces >= _SEEN * self.frames
        seen = "" if judged else "too few faces for a verdict on the landmarks"
        lines = [("frames with a detected face", str(self.frames), str(self.faces), seen)]
        if self.coordinates is None:
            return lines
        fit = self.coordinates
        far = [one for one in self.videos if one.distance is not None and one.distance > _FAR]
        lines += [
            ("landmarks from detected points, in eye distances", f"< {_FAR}", f"{fit.before:.3f}", "median"),
            ("videos with landmarks beside the face", "0", str(len(far)), ""),
            ("scale of the images over that of the landmarks", "1", f"{fit.scale:.2f}", ""),
            ("offset of the images, x and y in pixels", "0, 0", "{:+.1f}, {:+.1f}".format(*fit.offset), ""),
            ("offset in frame numbers", "0", "-" if self.lag is None else f"{self.lag:+d}", ""),
        ]
        worst = sorted((one for one in self.videos if one.distance is not None), key=_distance)[::-1][:5]
        lines += [
            (f"  {one.video}", "", f"{_distance(one):.3f}", "eye distances, median of the video")
            for one in worst
        ]
        return lines


def _distance(one: VideoCheck) -> float:
    return -1.0 if one.distance is None else one.distance


def judge(samples: Sequence[VideoSample], frames: int) -> LandmarkCheck:
    """Compare the landmarks of sampled videos, of which `frames` frames were drawn at random."""
    pairs = {one.video: one.pairs() for one in samples}
    found, given = (np.concatenate([pair[side] for pair in pairs.values()]) for side in (0, 1))
    if not len(found):
        return LandmarkCheck(frames, 0, [VideoCheck(one.video, 0, None) for one in samples], None, None, [])
    fit = fit_coordinates(found, given)
    costs = {one.video: table for one in samples if (table := lag_costs(one)) is not None}
    lag = fit_lag(list(costs.values()))
    common = lag.frames if lag and lag.certain else 0
    checks = []
    for video, (one, other) in pairs.items():
        own = fit_lag([costs[video]], common) if video in costs else None
        distance = float(np.median(share(one, other))) if len(one) else None
        checks.append(VideoCheck(video, len(one), distance, own.frames if own and own.certain else None))
    faults = _faults(fit, common, checks) if len(found) >= _SEEN * frames else []
    return LandmarkCheck(frames, len(found), checks, fit, common if lag else None, faults)


def _faults(fit: Coordinates, lag: int, videos: Sequence[VideoCheck]) -> list[str]:
    faults = []
    explained = fit.after <= _REMAINING * fit.before
    if explained and fit.scale < 0:
        faults.append("the landmarks are mirrored left to right")
    elif explained and abs(fit.scale - 1) > _SCALED:
        faults.append(
            f"the landmarks are those of images of another size: scaled by {fit.scale:.2f} and moved by"
            " ({:+d}, {:+d}) pixels, they fit".format(*map(round, fit.offset))
        )
    elif explained and fit.shift > _SHIFTED:
        faults.append(
            "the landmarks lie beside the face by a constant offset: moved by ({:+d}, {:+d}) pixels,"
            " they fit".format(*map(round, fit.offset))
        )
    else:
        explained = False
    if lag:
        more = " or more" if abs(lag) == REACH else ""
        faults.append(f"the landmarks of frame n fit the image of frame n{-lag:+d}{more}")
    for one in videos:
        if one.lag is not None and one.lag != lag:
            faults.append(f"{one.video}: the landmarks of frame n fit the image of frame n{-one.lag:+d}")
    far = [one.video for one in videos if one.distance is not None and one.distance > _FAR]
    if far and not explained:
        more = f" and {len(far) - 5} others" if len(far) > 5 else ""
        faults.append(
            f"the landmarks of {', '.join(far[:5])}{more} lie beside the detected faces, by more than {_FAR}"
            " of the distance between the eyes"
        )
    return faults
