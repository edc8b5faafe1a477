"""The traits of a synthetic person, determined by a seed and the person's name."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from drml.data.labels import ALL_AUS

# Colours are (blue, green, red), as OpenCV orders them.
_SKINS = np.array(
    [(205, 226, 250), (170, 203, 243), (138, 180, 230), (104, 146, 206), (68, 102, 160), (52, 72, 118)], float
)
_HAIRS = np.array(
    [(28, 24, 26), (38, 46, 62), (44, 66, 96), (52, 92, 138), (86, 146, 190), (44, 70, 140), (150, 152, 156)],
    float,
)
_IRISES = np.array([(38, 62, 96), (52, 84, 120), (150, 122, 84), (96, 122, 92), (128, 120, 112)], float)

HAIR_STYLES = ("cropped", "short", "parted", "long", "bob")


@dataclass(frozen=True, eq=False)
class Mark:
    """A line or spot of the skin.

    Attributes
    ----------
    path : ndarray of shape (n, 2)
        Points in face millimetres; a single point makes a spot.
    width : float
        Width in millimetres.
    depth : float
        Darkness, 0 to 1; negative values make light marks.
    """

    path: np.ndarray
    width: float
    depth: float


@dataclass(frozen=True, eq=False)
class Subject:
    """Traits of one synthetic person; lengths in face millimetres, colours (blue, green, red).

    `Subject.draw` makes one. Factors multiply sizes of the average face; offsets move its features.
    """

    name: str
    seed: int
    female: bool
    skin: np.ndarray
    hair: np.ndarray
    brow: np.ndarray
    iris: np.ndarray
    lip: np.ndarray
    cloth: np.ndarray
    backdrop: np.ndarray  # (4, 3): the colours of the backdrop's corners
    hair_style: str
    hairline: float
    face_width: float
    jaw_width: float
    chin: float
    eye_size: np.ndarray  # factors of width, height
    eye_spacing: float
    eye_tilt: float
    brow_place: np.ndarray  # offsets: height, arch, tilt
    brow_thickness: float
    nose_size: np.ndarray  # factors of width, length
    mouth_height: float
    mouth_width: float
    lip_size: np.ndarray  # factors of the upper, the lower lip
    age: float  # 0 to 1: how deep the permanent folds are
    stubble: float
    blush: float
    freckles: np.ndarray  # (n, 3): x, y, radius
    marks: tuple[Mark, ...]
    mottle: np.ndarray  # fine unevenness of the skin, over the relief's grid
    gain: dict[int, np.ndarray]  # AU -> strength on the image's left and right
    shift: dict[int, np.ndarray]  # AU -> offset (x outward, y down) of its lines

    @classmethod
    def draw(cls, name: str, seed: int = 0, *, female: bool | None = None) -> Subject:
        """Draw a person.

        Parameters
        ----------
        name : str
            Name of the subject, such as ``F001``.
        seed : int
            Name and seed determine the person.
        female : bool, optional, keyword-only
            Draw a woman's face; by default if the name starts with F.

        Returns
        -------
        Subject
        """
        rng = np.random.default_rng([seed, *name.encode()])
        female = name.startswith("F") if female is None else female

        def about(mean: float, spread: float) -> float:
            # At most two standard deviations, so that all faces are plausible.
            return float(mean + spread * np.clip(rng.normal(), -2, 2))

        tone = rng.uniform(0, 1) ** 1.3
        skin = _mix(_SKINS, tone) * rng.uniform(0.96, 1.02, 3)
        # Brows must stand out, so the darkest skins get one of the three darkest hair colours.
        hair = _HAIRS[rng.integers(len(_HAIRS) if tone < 0.6 else 3)] * rng.uniform(0.8, 1.15)
        lip_tint = np.array((112, 92, 190.0)) if female else np.array((104, 104, 170.0))
        age = rng.uniform(0, 1)
        return cls(
            name=name,
            seed=seed,
            female=female,
            skin=np.clip(0.95 * skin, 30, 245),
            hair=hair,
            brow=hair * rng.uniform(0.55, 0.85),
            iris=_IRISES[rng.integers(len(_IRISES))] * rng.uniform(0.75, 1.1),
            lip=np.clip(0.5 * skin * (0.86, 0.8, 0.95) + 0.5 * lip_tint * rng.uniform(0.8, 1.15), 25, 235),
            cloth=rng.uniform(30, 200, 3),
            backdrop=np.clip(
                rng.uniform(60, 190)
                + rng.normal(0, 14, (4, 1))
                + rng.normal(0, 5, (4, 3))
                + rng.normal(0, 13, 3),
                10,
                245,
            ),
            hair_style=str(rng.choice(HAIR_STYLES[2:] if female else HAIR_STYLES[:3])),
            hairline=about(-66, 4),
            face_width=about(1.0 if female else 1.03, 0.03),
            jaw_width=about(0.95 if female else 1.05, 0.05),
            chin=about(0, 2.5),
            eye_size=np.array((about(1.0, 0.05), about(1.05 if female else 0.98, 0.1))),
            eye_spacing=about(32, 1.1),
            eye_tilt=about(0.6, 0.8),
            brow_place=np.array((about(0, 1.4), about(0.3, 0.9), about(0, 1.1))),
            brow_thickness=about(3.6 if female else 4.8, 0.7),
            nose_size=np.array((about(1.0, 0.09), about(1.0, 0.05))),
            mouth_height=about(0, 1.4),
            mouth_width=about(1.0, 0.05),
            lip_size=np.array((about(1.0, 0.13), about(1.0, 0.13))),
            age=age,
            stubble=0.0 if female else float(rng.choice((0.0, 0.1, 0.22))) * rng.uniform(0.6, 1.2),
            blush=rng.uniform(0.02, 0.09),
            freckles=_freckles(rng),
            marks=tuple(random_marks(rng, count=int(rng.integers(2, 6)), depth=0.32)),
            mottle=_mottle(rng),
            gain={au: np.clip(rng.normal(1, 0.1) + rng.normal(0, 0.05, 2), 0.75, 1.25) for au in ALL_AUS},
            shift={au: rng.normal(0, 0.9, 2) for au in ALL_AUS},
        )


def random_marks(rng: np.random.Generator, *, count: int, depth: float) -> list[Mark]:
    """Draw lines and spots anywhere on the face, in any direction, unrelated to action units.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of random numbers.
    count : int
        Number of marks.
    depth : float
        Upper limit of their darkness.

    Returns
    -------
    list of Mark
    """
    marks = []
    for _ in range(count):
        centre = np.array((rng.uniform(-52, 52), rng.uniform(-58, 96)))
        darkness = rng.uniform(0.35, 1.0) * depth * rng.choice((1.0, 1.0, 1.0, -0.6))
        if rng.random() < 0.3:
            marks.append(Mark(centre[None], rng.uniform(1.0, 2.4), abs(darkness) * 1.4))
            continue
        angle, length, bend = rng.uniform(0, np.pi), rng.uniform(6, 20), rng.normal(0, 2)
        along = np.array((np.cos(angle), np.sin(angle)))
        across = np.array((-along[1], along[0]))
        t = np.linspace(-0.5, 0.5, 5)[:, None]
        path = centre + t * length * along + (0.25 - t**2) * 4 * bend * across
        marks.append(Mark(path, rng.uniform(0.8, 2.0), darkness))
    return marks


def _mix(palette: np.ndarray, place: float) -> np.ndarray:
    """Return the colour at a position between 0 and 1 along a palette."""
    at = place * (len(palette) - 1)
    low = min(int(at), len(palette) - 2)
    return palette[low] + (at - low) * (palette[low + 1] - palette[low])


def _freckles(rng: np.random.Generator) -> np.ndarray:
    count = int(rng.choice((0, 0, 12, 30)))
    side = rng.choice((-1, 1), count)
    return np.stack(
        [side * rng.normal(26, 13, count), rng.normal(24, 8, count), rng.uniform(0.35, 0.8, count)], axis=1
    )


def _mottle(rng: np.random.Generator) -> np.ndarray:
    """Draw unevenness of the skin at two scales, on the grid that `relief` stretches over the face."""
    fine = rng.normal(0, 0.012, (108, 74))
    coarse = cv2.resize(rng.normal(0, 0.022, (22, 15)), (74, 108), interpolation=cv2.INTER_CUBIC)
    return (fine + coarse).astype(np.float32)
