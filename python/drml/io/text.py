"""Words of messages: counts with their nouns, and lists."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["counted", "listed"]


def counted(count: int, noun: str) -> str:
    """Return a count with its noun, which takes an "s" unless the count is 1.

    Examples
    --------
    >>> counted(1, "subject"), counted(0, "frame"), counted(12, "face")
    ('1 subject', '0 frames', '12 faces')
    """
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(words: Sequence[str], conjunction: str) -> str:
    """Return words as a sentence lists them.

    Examples
    --------
    >>> listed(["a", "b", "c"], "or"), listed(["a"], "and")
    ('a, b or c', 'a')
    """
    return f" {conjunction} ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
