"""How shapes of blobs and images are written in messages."""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["Shape", "shape_text"]

Shape = tuple[int, ...]


def shape_text(shape: Iterable[object]) -> str:
    """Return a shape as text.

    Examples
    --------
    >>> shape_text((3, 170, 170))
    '3x170x170'
    >>> shape_text(())
    'scalar'
    """
    return "x".join(map(str, shape)) or "scalar"
