"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import os
import re
import secrets
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from drml.io.errors import UserError

__all__ = ["check_inputs_kept", "check_target", "digest", "making", "temporary_path", "writing"]


_KEPT = 40
"""Letters of a name that a temporary name begins with, because a file system limits its length."""


def digest(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 hexadecimal digits."""
    found = hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 20):
            found.update(part)
    return found.hexdigest()


def check_target(path: str | Path, *, folder: bool = False, overwrite: bool = False) -> None:
    """Check before any work starts that a file or a folder can be written.

    Missing parent folders are no fault: `making` creates them.

    Parameters
    ----------
    path : path
        The file or folder to make.
    folder : bool
        Whether it is to be a folder. An existing empty folder can be filled.
    overwrite : bool
        Whether an existing file, or a folder that is not empty, may be replaced.

    Raises
    ------
    UserError
        It exists already, is of the other sort, or its parent folder cannot be written to.

    Examples
    --------
    >>> check_target("/etc")
    Traceback (most recent call last):
    ...
    drml.io.errors.UserError: /etc: this is a folder; give the name of a file in it
    """
    path = Path(path)
    if folder:
        if path.name in ("", ".."):
            raise UserError(f"{path}: name a folder that is to be made")
        if path.exists() and not path.is_dir():
            raise UserError(f"{path}: there is a file of this name; choose another folder")
        if path.is_dir() and any(path.iterdir()) and not overwrite:
            raise UserError(f"{path}: not empty; choose another folder, or replace it with --overwrite")
    else:
        if path.is_dir():
            raise UserError(f"{path}: this is a folder; give the name of a file in it")
        if path.exists() and not path.is_file():
            raise UserError(f"{path}: this is a device or a pipe; give the name of a file")
        if path.exists() and not overwrite:
            raise UserError(f"{path}: already exists; choose another name, or replace it with --overwrite")
    parent = _follow(path).absolute().parent
    while not parent.exists() and parent != parent.parent:
        parent = parent.parent
    if not parent.is_dir():
        fault = f"{os.strerror(errno.ENOTDIR)}: {parent}"
    elif not os.access(parent, os.W_OK | os.X_OK):
        fault = f"{os.strerror(errno.EACCES)}: {parent}"
    else:
        return
    raise UserError(f"{path}: cannot be written ({fault}); choose another folder")


def check_inputs_kept(out: str | Path, inputs: Iterable[str | Path]) -> None:
    """Check before any work starts that an output does not replace what it is made from.

    Parameters
    ----------
    out : path
        The file or folder to make.
    inputs : iterable of path
        What is read. Paths that do not exist count for nothing.

    Raises
    ------
    UserError
        `out` is one of the inputs, or a folder that holds one, by whatever path.

    Examples
    --------
    >>> check_inputs_kept("/usr", ["/usr/bin"])
    Traceback (most recent call last):
    ...
    drml.io.errors.UserError: /usr: would replace /usr/bin, which is an input; choose another name or folder
    """
    real = Path(out).resolve()
    for path in inputs:
        found = Path(path).resolve()
        if (found == real or real in found.parents) and found.exists():
            raise UserError(f"{out}: would replace {path}, which is an input; choose another name or folder")


@contextmanager
def making(path: str | Path, *, folder: bool = False, overwrite: bool = False) -> Iterator[Path]:
    """Make a file or a folder that appears whole or not at all.

    The body of the ``with`` statement writes to a temporary path beside `path`, which is renamed to `path`
    when the body ends. If the body fails or is interrupted, everything that it wrote is removed, and `path`
    stays unchanged. Each call uses a new temporary name, so it touches nothing that it did not make, and
    several processes may make the same path. If a process was killed, the next call for the same path removes
    the temporary folder that it left behind.

    Parameters
    ----------
    path : path
        The file or folder to make. Missing parent folders are created. If `path` is a symbolic link, the link
        stays and what it leads to is made.
    folder : bool
        Whether to make a folder.
    overwrite : bool
        Whether an existing file, or a folder that is not empty, may be replaced.

    Yields
    ------
    Path
        The temporary path, with the suffix of `path`: an empty file, or an empty folder.

    Raises
    ------
    UserError
        As `check_target`; nothing was done.
    OSError
        Something cannot be written, for instance because the disk is full. The error's ``filename`` is below
        `path`, not below the temporary path.

    Examples
    --------
    >>> with making("build/numbers.txt", overwrite=True) as part:  # doctest: +SKIP
    ...     part.write_text("1 2 3")
    """
    path = Path(path)
    check_target(path, folder=folder, overwrite=overwrite)
    target = _follow(path)
    part = temporary_path(target, folder=folder)
    made = [parent for parent in target.parents if not parent.exists()]
    with contextlib.ExitStack() as stack:
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            if folder:
                _remove_leftovers(target)
                stack.callback(os.close, _make_locked(part))
            else:
                part.touch(exist_ok=False)
            yield part
            if folder:
                _place_folder(part, target, overwrite)
            else:
                if not overwrite:  # it may have appeared since
                    check_target(target)
                part.replace(target)
        except BaseException as error:
            if folder:
                shutil.rmtree(part, ignore_errors=True)
            else:
                part.unlink(missing_ok=True)
            for parent in made:
                with contextlib.suppress(OSError):  # somebody else uses it
                    parent.rmdir()
            if isinstance(error, OSError):
                _name_target(error, part, path)
            raise


@contextmanager
def writing(path: str | Path, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
    """Open a file for writing that replaces `path` only when all of it is written: `making`, opened.

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
    UserError, OSError
        As `making`.
    """
    with making(path, overwrite=True) as part, part.open(mode, **options) as file:
        yield file


def _follow(path: Path) -> Path:
    return path.resolve() if path.is_symlink() else path


def temporary_path(target: Path, *, folder: bool = False) -> Path:
    """Return a new name beside `target`, for writers that cannot use `making`.

    The name of a file keeps its suffix, from which some writers take the format.
    """
    unique = f"partial-{secrets.token_hex(6)}"
    if folder:
        return target.with_name(f"{target.name[:_KEPT]}.{unique}")
    return target.with_name(f"{target.stem[:_KEPT]}.{unique}{target.suffix[:16]}")


def _make_locked(folder: Path) -> int:
    """Make a folder and lock it while this process lives; return the descriptor that holds the lock."""
    while True:
        folder.mkdir()
        file = os.open(folder, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        # Before it was locked, another process may have taken it for a leftover.
        if folder.exists():
            return file
        os.close(file)


def _remove_leftovers(target: Path) -> None:
    """Remove the temporary folders of `target` that belong to no living process."""
    pattern = re.compile(re.escape(target.name[:_KEPT]) + r"\.partial-[0-9a-f]{12}", re.DOTALL)
    for path in target.parent.iterdir():
        if not pattern.fullmatch(path.name) or not path.is_dir():
            continue
        with contextlib.suppress(OSError):
            file = os.open(path, os.O_RDONLY)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(path)  # a link is an error, too
            finally:
                os.close(file)


def _place_folder(part: Path, target: Path, overwrite: bool) -> None:
    """Rename `part` to `target`, which may be an empty folder, or one to replace."""
    if not (overwrite and target.is_dir()):
        try:
            part.rename(target)
        except OSError:
            check_target(target, folder=True)  # another process may have made it since
            raise
        return
    # The old folder is moved aside, not removed: if a step fails, it is moved back.
    old = target.with_name(f"{target.name[:_KEPT]}.old-{secrets.token_hex(6)}")
    try:
        target.rename(old)
        part.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _name_target(error: OSError, part: Path, path: Path) -> None:
    """Let an error name what the user asked for instead of the temporary path."""
    if error.filename is None:  # a write that fails does not know its file's name
        if error.errno is not None:  # with a name but no number, the message would be lost
            error.filename = str(path)
        return
    name = os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes, os.PathLike)) else ""
    if name == str(part) or name.startswith(f"{part}{os.sep}"):
        error.filename = str(path) + name[len(str(part)) :]
        error.filename2 = None
