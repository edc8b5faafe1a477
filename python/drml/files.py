"""Files that appear whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["writing"]


@contextmanager
def writing(path: str | Path, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
    """Open a file for writing under another name that becomes `path` only when all went well.

    Parameters
    ----------
    path : path
        The file; an earlier one stays until the new one is whole.
    mode : str
        As in `open`.
    **options
        More of `open`'s parameters.

    Yields
    ------
    file

    Raises
    ------
    OSError
        It cannot be written; names the file, also where a single write failed (on a full disk).
    """
    path = Path(path)
    part = path.with_name(path.name + ".partial")
    try:
        with part.open(mode, **options) as file:
            yield file
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # A write that fails does not know its file's name.
            error.filename = str(path)
        raise
