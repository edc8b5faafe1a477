"""The rows of the result: one for each face of each frame, with OpenFace's column names.

Columns: ``input``, ``frame``, ``face_id``, ``timestamp`` in seconds, ``confidence``, ``success``, ``x_0`` to
``x_4``, ``y_0`` to ``y_4``, then ``AU01_c``, ... (1 or 0) and ``AU01_p``, ... (probabilities). A net of
intensities has ``AU01_r``, ..., 0 to 5, and, if they were adjusted, ``AU01_r_adjusted``, ...
(`drml.detect.adjusting`).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from drml.detect.pipeline import DetectedFrame

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["POINTS", "columns", "data_frame", "rows"]

POINTS = 5

_CHUNK = 1000  # rows that are converted at once: text takes far more memory than numbers


def columns(
    aus: Sequence[int], with_input: bool, intensity_aus: Sequence[int] = (), *, adjusted: bool = False
) -> list[str]:
    """Return the names of the columns.

    Examples
    --------
    >>> columns((1, 12), False)[-4:]
    ['AU01_c', 'AU12_c', 'AU01_p', 'AU12_p']
    >>> columns((), False, (6,), adjusted=True)[-2:]
    ['AU06_r', 'AU06_r_adjusted']
    """
    return [
        *(["input"] if with_input else []),
        *("frame", "face_id", "timestamp", "confidence", "success"),
        *(f"{axis}_{point}" for axis in "xy" for point in range(POINTS)),
        *(f"AU{au:02d}_{what}" for what in "cp" for au in aus),
        *(f"AU{au:02d}_r" for au in intensity_aus),
        *(f"AU{au:02d}_r_adjusted" for au in intensity_aus if adjusted),
    ]


def rows(
    detected: DetectedFrame, aus: Sequence[int], thresholds: Sequence[float], with_input: bool
) -> list[list[str]]:
    """Return the rows of a frame as text: one row for each face.

    Each AU counts as present from its threshold on.

    A frame without a face has one row of zeros, with success 0. A face that could not be registered has its
    points and confidence, with success 0.
    """
    frame = detected.frame
    start = [frame.source.name] if with_input else []
    if not detected.faces:
        values = detected.intensities.shape[1] + detected.adjusted.shape[1]
        empty = ["0"] * (2 * POINTS + 2 * len(aus) + values)
        return [[*start, str(frame.number), "0", f"{frame.seconds:.3f}", "0", "0", *empty]]
    made = []
    for index, (face, crop) in enumerate(zip(detected.faces, detected.crops, strict=True)):
        success = crop is not None
        written = [f"{probability:.5f}" for probability in detected.probabilities[index]]
        levels = detected.intensities[index].tolist()
        if detected.adjusted.shape[1]:
            levels += detected.adjusted[index].tolist()
        made.append(
            [
                *start,
                str(frame.number),
                str(face.id),
                f"{frame.seconds:.3f}",
                f"{face.score:.3f}",
                str(int(success)),
                *(f"{value:.2f}" for value in face.points.T.ravel()),
                # The label agrees with the probability as it is written.
                *(
                    str(int(success and float(probability) >= threshold))
                    for probability, threshold in zip(written, thresholds, strict=True)
                ),
                *written,
                *(f"{level:.4f}" for level in levels),
            ]
        )
    return made


def data_frame(
    lines: Iterable[Sequence[str]],
    aus: Sequence[int],
    intensity_aus: Sequence[int] = (),
    *,
    adjusted: bool = False,
) -> pd.DataFrame:
    """Return rows that start with their input as a DataFrame, with the values that the CSV would hold."""
    import pandas as pd  # here, because it takes half a second to import

    names = columns(aus, True, intensity_aus, adjusted=adjusted)
    whole = {"frame", "face_id", "success", *(name for name in names if name.endswith("_c"))}
    kinds = {name: "int64" if name in whole else "float64" for name in names}
    kinds["input"] = "str"
    iterator = iter(lines)
    parts = []
    while chunk := list(islice(iterator, _CHUNK)):
        parts.append(pd.DataFrame(chunk, columns=names).astype(kinds))
    return pd.concat(parts or [pd.DataFrame(columns=names).astype(kinds)], ignore_index=True)
