"""Pose, light and camera of a frame, and the transform from face millimetres to pixels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Width of the default image and pixels per face millimetre in it; BP4D's images are 1040x1392.
DEFAULT_WIDTH = 260
ASPECT = 1392 / 1040
PIXELS_PER_MM = 1.28
POSE_LIMIT = 10.0

LATENT = 16


@dataclass(frozen=True, eq=False)
class View:
    """Pose, light and camera of one frame.

    Angles are in degrees, lengths in face millimetres. `seed` determines the random parts of the frame:
    sensor noise, stray marks and the noise of the landmarks.
    """

    roll: float = 0.0
    yaw: float = 0.0
    pitch: float = 0.0
    scale: float = 1.0
    offset: tuple[float, float] = (0.0, 0.0)
    gaze: tuple[float, float] = (0.0, 0.0)
    lids: float = 0.0
    light: tuple[float, float] = (0.0, 0.0)
    gain: float = 1.0
    gamma: float = 1.0
    cast: tuple[float, float, float] = (1.0, 1.0, 1.0)
    blur: float = 0.6
    noise: float = 0.0
    stray: int = 0
    seed: int = 0

    @classmethod
    def from_latent(cls, latent: np.ndarray, seed: int) -> View:
        """Turn `LATENT` standard normal values into a view; values that change smoothly make a smooth video.

        Parameters
        ----------
        latent : ndarray of shape (LATENT,)
            Standard normal values.
        seed : int
            Seed of the random parts of the frame.

        Returns
        -------
        View
            A view whose roll, yaw and pitch are within `POSE_LIMIT` degrees.
        """
        z = np.asarray(latent, float)
        bounded = np.tanh(z * 0.5)
        return cls(
            roll=POSE_LIMIT * 0.8 * bounded[0],
            yaw=POSE_LIMIT * bounded[1],
            pitch=POSE_LIMIT * 0.8 * bounded[2],
            scale=1 + 0.06 * bounded[3],
            offset=(5 * bounded[4], 5 * bounded[5]),
            gaze=(2.0 * bounded[6], 0.9 * bounded[7]),
            lids=0.5 * bounded[8],
            light=(0.25 * bounded[9], 0.14 * bounded[10]),
            gain=0.92 + 0.18 * bounded[11],
            gamma=1 + 0.2 * bounded[12],
            cast=(1 + 0.07 * bounded[13], 1.0, 1 - 0.07 * bounded[13]),
            blur=0.6 + 0.25 * bounded[14],
            noise=3.0 + 2.0 * bounded[15],
            stray=seed % 4,
            seed=seed,
        )

    @classmethod
    def draw(cls, rng: np.random.Generator) -> View:
        """Draw a view.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of random numbers.

        Returns
        -------
        View
        """
        return cls.from_latent(rng.normal(size=LATENT), int(rng.integers(2**31)))


def image_height(width: int) -> int:
    """Return the height of an image of this width, in BP4D's proportions."""
    return round(width * ASPECT)


class Camera:
    """Projects face millimetres (origin between the eyes, y down) to pixels of an image.

    Parameters
    ----------
    view : View
        Pose.
    width : int
        Width of the image in pixels.
    height : int, optional
        Height of the image; by default in BP4D's proportions. The face is as large as in a BP4D image of this
        height.

    Attributes
    ----------
    portrait : float
        Width of a BP4D image of this height.
    """

    def __init__(self, view: View, width: int, height: int | None = None) -> None:
        self.width = width
        self.height = image_height(width) if height is None else height
        self.portrait = width if height is None else height / ASPECT
        self.pixels_per_mm = PIXELS_PER_MM * self.portrait / DEFAULT_WIDTH * view.scale
        self._yaw = np.sin(np.radians(view.yaw)), np.cos(np.radians(view.yaw))
        self._pitch = np.sin(np.radians(view.pitch)), np.cos(np.radians(view.pitch))
        roll = np.radians(view.roll)
        turn = self.pixels_per_mm * np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        centre = np.array((0.5 * self.width, 0.47 * self.height)) + self.pixels_per_mm * np.array(view.offset)
        self._matrix = np.column_stack([turn, centre])

    @cached_property
    def plane_to_image(self) -> np.ndarray:
        """The 2x3 similarity from the flat face (after yaw and pitch) to pixels."""
        return self._matrix

    def flatten(self, points: np.ndarray) -> np.ndarray:
        """Turn the head by yaw and pitch: shift points according to their depth."""
        x, y = points[..., 0], points[..., 1]
        depth = 42 * np.sqrt(np.maximum(0.0, 1 - (x / 76) ** 2)) * (1 - 0.3 * ((y - 10) / 110) ** 2) - 28
        depth = depth + 15 * np.exp(-(x**2) / 160 - (y - 34) ** 2 / 280)
        turned = np.empty(points.shape)
        turned[..., 0] = x * self._yaw[1] + depth * self._yaw[0]
        turned[..., 1] = y * self._pitch[1] - depth * self._pitch[0]
        return turned

    def project(self, points: np.ndarray) -> np.ndarray:
        """Return the pixel coordinates of points of the face, shape (..., 2)."""
        return self.flatten(points) @ self._matrix[:, :2].T + self._matrix[:, 2]
