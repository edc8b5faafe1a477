"""Words of messages that depend on a number."""

from __future__ import annotations

__all__ = ["counted"]


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, which takes an "s" unless the count is 1.

    Examples
    --------
    >>> counted(1, "subject"), counted(0, "frame"), counted(12, "face")
    ('1 subject', '0 frames', '12 faces')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
