"""Reads the JSON files that a report is made of."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drml.io import limits
from drml.io.errors import UserError

__all__ = ["as_written", "read_json"]


def read_json(path: str | Path, expected: str) -> dict[str, Any]:
    """Read a JSON object. Messages say with `expected` what the file should be.

    Raises
    ------
    UserError
        The file is missing or holds no JSON object.
    """
    try:
        content = limits.read_json(path)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected {expected}") from None
    except ValueError as error:
        raise UserError(f"{path}: not JSON ({error}); expected {expected}") from None
    if not isinstance(content, dict):
        raise UserError(f"{path}: expected {expected}")
    return content


@contextmanager
def as_written(path: str | Path) -> Iterator[None]:
    """Turn the errors that JSON of another form causes into one line that names the file."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, IndexError, ValueError, ArithmeticError) as error:
        raise UserError(
            f"{path}, or another file of the report, does not have the form that drml writes"
            f" ({type(error).__name__}: {error}); make it again with this version"
        ) from None
