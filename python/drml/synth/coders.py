"""Two coders, who agree where an action unit is clear and disagree near the border of its presence.

Coders see the same intensities, and each misjudges them a little: by an amount of his or her own for a video
and an action unit, and by one that changes slowly over the video. A coder calls an action unit present if the
judged intensity reaches `drml.synth.events.BORDER`. Nobody codes an action unit in a frame that has no trace
of it, so that all disagreement lies near the border.

How far coders misjudge is one number for all action units, `MISJUDGEMENT`. It follows from published
agreement, not from any method's scores. Sayette, Cohn, Wertz, Perrott and Parrott, "A psychometric evaluation
of the Facial Action Coding System for assessing spontaneous expression", Journal of Nonverbal Behavior 25,
2001, 167-186, had two certified coders code spontaneous expressions. They report good to excellent
reliability for the occurrence of individual action units. On the customary scale of Cohen's kappa (Fleiss,
"Statistical methods for rates and proportions", 1981), .60 to .75 is good, and more is excellent. Here, the
kappa of each action unit lies within `KAPPAS`. The data set BP4D does not contain a second coder's codes, so
its own agreement for each action unit is not known here.
"""

from __future__ import annotations

import numpy as np

from drml.synth.behaviour import smooth_noise
from drml.synth.events import BORDER

__all__ = ["KAPPAS", "MISJUDGEMENT", "agreement", "draw_codes"]

MISJUDGEMENT = 0.8
KAPPAS = (0.60, 0.80)

# Shares of a misjudgement's variance that stay the same over a video, and that change over time.
_VIDEO, _MOMENT = 0.3, 0.7
_WINDOW = 2.0


def draw_codes(rng: np.random.Generator, intensities: np.ndarray, coders: int = 2) -> np.ndarray:
    """Draw what each coder makes of one video.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of random numbers for this video.
    intensities : ndarray of shape (frames, AUs)
        The intensities 0 to 5 that are shown.
    coders : int
        Number of coders.

    Returns
    -------
    ndarray of shape (coders, frames, AUs), int
        1 present, 0 absent.

    Examples
    --------
    >>> clear = np.array([[0.0, 5.0]] * 3)
    >>> draw_codes(np.random.default_rng(0), clear)[1].tolist()
    [[0, 1], [0, 1], [0, 1]]
    """
    frames, units = intensities.shape
    codes = np.empty((coders, frames, units), int)
    for coder in range(coders):
        video = np.sqrt(_VIDEO) * rng.normal(size=units)
        moment = np.sqrt(_MOMENT) * smooth_noise(rng, frames, units, window=_WINDOW)
        judged = intensities + MISJUDGEMENT * (video + moment)
        codes[coder] = (judged >= BORDER) & (intensities > 0)
    return codes


def agreement(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Cohen's kappa of two coders for each action unit.

    Parameters
    ----------
    one, other : ndarray of shape (frames, AUs)
        Codes 1 present, 0 absent of both coders.

    Returns
    -------
    ndarray of shape (AUs,)
        1 for perfect agreement, 0 for what chance gives; not a number where both coders give only one and
        the same code.
    """
    observed = (one == other).mean(0)
    first, second = one.mean(0), other.mean(0)
    chance = first * second + (1 - first) * (1 - second)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(chance < 1, (observed - chance) / (1 - chance), np.nan)
