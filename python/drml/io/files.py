"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

__all__ = ["digest", "put_folder_in_place", "writing"]


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            found.update(part)
    return found.hexdigest()


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


def put_folder_in_place(partial: Path, out: Path) -> None:
    """Let the folder `partial` become `out`, in place of an earlier `out`, which goes.

    Raises
    ------
    OSError
        It cannot; `out` is then as it was.
    """
    if not out.is_dir():
        partial.rename(out)
        return
    # Moved aside under a name of its own, not away: should a step fail, the old folder is taken back.
    old = Path(tempfile.mkdtemp(prefix=f"{out.name}.old-", dir=out.parent))
    try:
        out.rename(old)
        partial.rename(out)
    except BaseException:
        if out.exists():
            with contextlib.suppress(OSError):
                old.rmdir()
        else:
            old.rename(out)
        raise
    shutil.rmtree(old, ignore_errors=True)
