"""Draws the result over a frame: boxes and points, and a bar for each AU to the right of the picture.

The only text on the picture is the id of each face with its AUs that are present. The bars stand in a column
that is added on the right. Small pictures are enlarged first, and the size of the text grows with the
picture, so that the text is legible on pictures of any size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from drml.data.face import Face
from drml.data.labels import AU_NAMES, LEVELS
from drml.detect.pipeline import DetectedFrame

__all__ = ["Annotator"]

Colour = tuple[int, int, int]
Picture = NDArray[np.uint8]

_MIN_HEIGHT = 540  # pixels: lower pictures are enlarged to this height
_MAX_ZOOM = 4.0
_UNIT_HEIGHT = 720  # height of a picture whose text is drawn at scale 1
# BGR; successive colours differ in hue and in lightness.
_COLOURS: tuple[Colour, ...] = (
    (80, 200, 120),
    (60, 165, 250),
    (250, 170, 90),
    (200, 130, 240),
    (90, 220, 240),
    (230, 220, 90),
    (140, 140, 255),
    (180, 220, 180),
)
_BACK: Colour = (36, 32, 30)
_TRACK: Colour = (70, 64, 60)
_ABSENT: Colour = (150, 142, 136)
_TEXT: Colour = (235, 232, 230)
_DIM: Colour = (165, 158, 152)


@lru_cache(maxsize=4096)
def _glyphs(text: str, size: int) -> Picture:
    """Render a line of text as coverage, 0 to 255; the height depends only on `size`."""
    font = ImageFont.load_default(size)
    canvas = Image.new("L", (max(1, round(font.getlength(text))) + 2, round(size * 1.3)), 0)
    ImageDraw.Draw(canvas).text((1, round(size * 0.08)), text, fill=255, font=font)
    return np.asarray(canvas, np.uint8)


def _write(canvas: Picture, text: str, at: tuple[int, int], size: int, colour: Colour) -> int:
    """Write text with its upper left corner at x, y, clipped to the canvas; return its width in pixels."""
    mask = _glyphs(text, size)
    x, y = at
    left, top = max(0, -x), max(0, -y)
    part = mask[top : canvas.shape[0] - y, left : canvas.shape[1] - x]
    if part.size:
        area = canvas[y + top : y + top + part.shape[0], x + left : x + left + part.shape[1]]
        share = part[:, :, None].astype(np.float32) / 255
        area[...] = area + (np.array(colour, np.float32) - area) * share + 0.5
    return mask.shape[1]


_TRACE = 1.0
"""The intensity of a trace, from which an AU is marked in the picture."""


class Annotator:
    """Draws the result over frames.

    Parameters
    ----------
    aus : sequence of int
        AUs of the probabilities, in their order.
    thresholds : sequence of float
        For each AU, the probability from which it counts as present, 0 to 1.
    intensity_aus : sequence of int
        AUs of the intensities, in their order.
    """

    def __init__(
        self, aus: Sequence[int], thresholds: Sequence[float], intensity_aus: Sequence[int] = ()
    ) -> None:
        self.aus = tuple(aus)
        self.thresholds = tuple(thresholds)
        self.intensity_aus = tuple(intensity_aus)
        self._rows = len(self.aus) + len(self.intensity_aus)

    def draw(self, detected: DetectedFrame) -> Picture:
        """Return the annotated picture; frames of equal size give pictures of equal size, with even sides.

        The frame must have an image, which a damaged frame has not.
        """
        image = detected.frame.image
        assert image is not None
        zoom = min(_MAX_ZOOM, max(1.0, _MIN_HEIGHT / image.shape[0]))
        if zoom > 1:
            image = np.asarray(
                cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC), np.uint8
            )
        height, width = image.shape[:2]
        unit = max(1.0, height / _UNIT_HEIGHT)
        # The column has room for the bars of one face even beside a low picture. Videos need even sides.
        needed = max(height, round(19 * unit) * (self._rows + 1) + 2 * round(10 * unit))
        bottom = needed + needed % 2 - height
        right = round(310 * unit)
        right += (width + right) % 2
        canvas = np.asarray(
            cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_CONSTANT, value=_BACK), np.uint8
        )
        picture = canvas[:height, :width]
        for face, probabilities in _faces(detected):
            self._mark(picture, face, probabilities, zoom, unit)
        self._column(canvas[:, width:], detected, unit)
        return canvas

    def present(self, values: NDArray[np.float64]) -> list[int]:
        """Return the AUs that are present according to a face's probabilities, before its intensities.

        Without probabilities, an AU is present if its intensity is that of a trace, 1, or more.
        """
        if not self.aus:
            return [au for au, level in zip(self.intensity_aus, values, strict=True) if level >= _TRACE]
        return [
            au
            for au, value, threshold in zip(self.aus, values[: len(self.aus)], self.thresholds, strict=True)
            if value >= threshold
        ]

    def _mark(
        self,
        picture: Picture,
        face: Face,
        probabilities: NDArray[np.float64] | None,
        zoom: float,
        unit: float,
    ) -> None:
        """Draw the box and the points of a face, its id, and the AUs that are present."""
        colour = _COLOURS[face.id % len(_COLOURS)]
        left, top, wide, high = (round(value * zoom) for value in face.box)
        line = max(1, round(2 * unit))
        cv2.rectangle(picture, (left, top), (left + wide, top + high), (20, 20, 20), line + 2, cv2.LINE_AA)
        cv2.rectangle(picture, (left, top), (left + wide, top + high), colour, line, cv2.LINE_AA)
        radius = max(2, round(min(wide, high) * 0.018 + unit))
        for x, y in (face.points + 0.5) * zoom - 0.5:
            centre = (round(x), round(y))
            cv2.circle(picture, centre, radius + 1, (20, 20, 20), -1, cv2.LINE_AA)
            cv2.circle(picture, centre, radius, colour, -1, cv2.LINE_AA)
        tags = [] if probabilities is None else self.present(probabilities)
        size = round(15 * unit)
        lines = _wrapped(f"{face.id}", [f"AU{au}" for au in tags], max(wide, round(120 * unit)), size)
        widest = max(_glyphs(text, size).shape[1] for text in lines) + round(6 * unit)
        step = _glyphs("0", size).shape[0]
        block = step * len(lines) + round(2 * unit)
        # Above the box if there is room, otherwise below it, otherwise inside it.
        y = top - block - line
        if y < 0:
            y = top + high + line + 1 if top + high + line + block < picture.shape[0] else max(0, top + line)
        x = int(np.clip(left, 0, max(0, picture.shape[1] - widest)))
        area = picture[y : y + block, x : x + widest]
        area[...] = area * 0.25 + np.array(_BACK) * 0.75
        for index, text in enumerate(lines):
            _write(picture, text, (x + round(3 * unit), y + index * step), size, colour)

    def _column(self, column: Picture, detected: DetectedFrame, unit: float) -> None:
        """Draw the bars of as many faces as there is room for."""
        size, margin = round(15 * unit), round(10 * unit)
        row = round(19 * unit)
        block = row * (self._rows + 1) + margin
        y = margin
        left = len(detected.faces)
        if not left:
            _write(column, "no face", (margin, y), size, _DIM)
            return
        for face, probabilities in _faces(detected):
            more = left > 1
            if y > margin and y + block + (row if more else 0) > column.shape[0]:
                break
            self._block(column, y, face, probabilities, unit)
            y += block
            left -= 1
        if left:
            text = f"and {left} more face" + ("s" if left > 1 else "")
            _write(column, text, (margin, min(y, column.shape[0] - row)), size, _DIM)

    def _block(
        self, column: Picture, y: int, face: Face, probabilities: NDArray[np.float64] | None, unit: float
    ) -> None:
        """Draw the bars of one face."""
        colour = _COLOURS[face.id % len(_COLOURS)]
        size, margin, row = round(15 * unit), round(10 * unit), round(19 * unit)
        # If the rows of all AUs do not fit into the height, they move closer together.
        row = max(6, min(row, (column.shape[0] - 2 * margin) // (self._rows + 1)))
        size = min(size, max(6, row * 4 // 5))
        small = max(6, round(size * 0.85))
        width = column.shape[1]
        _write(column, f"face {face.id}", (margin, y), size, colour)
        _write(
            column,
            f"confidence {face.score:.2f}",
            (margin + round(72 * unit), y + (size - small) // 2 + round(unit)),
            small,
            _DIM,
        )
        if probabilities is None:
            _write(column, "partly outside the picture", (margin, y + row), small, _DIM)
            return
        names = margin + round(42 * unit)
        bars = round(190 * unit), width - margin - round(34 * unit)
        count = len(self.aus)
        bars_of = [
            (f"AU{au}", au, float(value), threshold, f"{value:.2f}")
            for au, value, threshold in zip(self.aus, probabilities[:count], self.thresholds, strict=True)
        ] + [
            (f"AU{au}_r", au, float(level) / LEVELS[-1], _TRACE / LEVELS[-1], f"{level:.1f}")
            for au, level in zip(self.intensity_aus, probabilities[count:], strict=True)
        ]
        for index, (title, au, share, threshold, number) in enumerate(bars_of, 1):
            at = y + index * row
            on = share >= threshold
            _write(column, title, (margin, at), small, colour if on else _TEXT)
            _write(column[:, : bars[0] - 2], AU_NAMES.get(au, ""), (names, at), small, _TEXT if on else _DIM)
            low, high = at + round(row * 0.2), at + round(row * 0.7)
            span = bars[1] - bars[0]
            cv2.rectangle(column, (bars[0], low), (bars[1], high), _TRACK, -1)
            end = bars[0] + round(span * share)
            if end > bars[0]:
                cv2.rectangle(column, (bars[0], low), (end, high), colour if on else _ABSENT, -1)
            tick = bars[0] + round(span * threshold)
            cv2.line(column, (tick, low), (tick, high), _TEXT, max(1, round(unit)))
            _write(column, number, (bars[1] + round(6 * unit), at), small, _TEXT if on else _DIM)


def _faces(detected: DetectedFrame) -> Iterator[tuple[Face, NDArray[np.float64] | None]]:
    """Yield each face with its probabilities and intensities; None if it could not be registered."""
    for index, (face, crop) in enumerate(zip(detected.faces, detected.crops, strict=True)):
        values = np.concatenate([detected.probabilities[index], detected.intensities[index]])
        yield face, None if crop is None else values


def _wrapped(first: str, words: Sequence[str], width: int, size: int) -> list[str]:
    """Break words into lines of at most `width` pixels; a longer word has a line of its own."""
    lines = [first]
    for word in words:
        longer = f"{lines[-1]} {word}"
        if _glyphs(longer, size).shape[1] > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
