"""Two coders, who agree where an action unit is clear and disagree near the border of its presence.

Coders see the same intensities, and each misjudges them a little: by an amount of his or her own for a video
and an action unit, and by one that changes slowly over the video. A coder codes the level, A to E, that the
judged intensity reaches (`drml.synth.events.LEVELS`), and calls an action unit present from A on. Nobody
codes an action unit in a frame that has no trace of it, so that all disagreement lies near the border.

How far coders misjudge is one number for all action units, `MISJUDGEMENT`. It follows from published
agreement, not from any method's scores. Sayette, Cohn, Wertz, Perrott and Parrott, "A psychometric evaluation
of the Facial Action Coding System for assessing spontaneous expression", Journal of Nonverbal Behavior 25,
2001, 167-186, had two certified coders code spontaneous expressions. They report good to excellent
reliability for the occurrence of individual action units. On the customary scale of Cohen's kappa (Fleiss,
"Statistical methods for rates and proportions", 1981), .60 to .75 is good, and more is excellent. Here, the
kappa of each action unit lies within `KAPPAS`. The data set BP4D does not contain a second coder's codes, so
its own agreement for each action unit is not known here.

The same number decides how far the levels of two coders differ. The ICC(3,1) of each action unit lies within
`ICCS`, which is good reliability on the scale of Koo and Li ("A guideline of selecting and reporting
intraclass correlation coefficients for reliability research", Journal of Chiropractic Medicine 15, 2016,
155-163), and at the lower end of the .80 to .94 that DISFA's authors report for its action units (Mavadati,
Mahoor, Bartlett, Trinh and Cohn, "DISFA: A spontaneous facial action intensity database", IEEE Transactions
on Affective Computing 4, 2013, 151-160).
"""

from __future__ import annotations

import numpy as np

from drml.synth.behaviour import smooth_noise
from drml.synth.events import levels_of

__all__ = ["ICCS", "KAPPAS", "MISJUDGEMENT", "agreement", "draw_levels", "level_agreement"]

MISJUDGEMENT = 0.8
KAPPAS = (0.60, 0.80)
ICCS = (0.75, 0.90)

# Shares of a misjudgement's variance that stay the same over a video, and that change over time.
_VIDEO, _MOMENT = 0.3, 0.7
_WINDOW = 2.0


def draw_levels(rng: np.random.Generator, intensities: np.ndarray, coders: int = 2) -> np.ndarray:
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
        0 absent, 1 (A) to 5 (E).

    Examples
    --------
    >>> clear = np.array([[0.0, 5.0]] * 3)
    >>> (draw_levels(np.random.default_rng(0), clear)[1] > 0).tolist()
    [[False, True], [False, True], [False, True]]
    """
    frames, units = intensities.shape
    levels = np.empty((coders, frames, units), int)
    for coder in range(coders):
        video = np.sqrt(_VIDEO) * rng.normal(size=units)
        moment = np.sqrt(_MOMENT) * smooth_noise(rng, frames, units, window=_WINDOW)
        judged = intensities + MISJUDGEMENT * (video + moment)
        levels[coder] = np.where(intensities > 0, levels_of(judged), 0)
    return levels


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


def level_agreement(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return the ICC(3,1) of two coders' levels for each action unit.

    Parameters
    ----------
    one, other : ndarray of shape (frames, AUs)
        Levels 0 to 5 of both coders.

    Returns
    -------
    ndarray of shape (AUs,)
        1 for perfect agreement; not a number where neither coder's levels vary.
    """
    first, second = one - one.mean(0), other - other.mean(0)
    with np.errstate(invalid="ignore"):
        return 2 * (first * second).sum(0) / ((first**2).sum(0) + (second**2).sum(0))
