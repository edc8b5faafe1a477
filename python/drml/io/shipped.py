"""Finds the files of drml that are not Python: Caffe's programs and the prototxts in ``models``.

An installed package contains them. In a source tree they are in the folders ``build`` and ``models``.
"""

from __future__ import annotations

import ctypes
import importlib.metadata
import importlib.util
import json
import os
import signal
import sys
from pathlib import Path

from drml.io.errors import UserError

__all__ = ["build_info", "find_program", "find_shipped", "run_program"]

_MODELS = "models"
_BUILD_FILE = "build.json"  # written by caffe_ext/caffe.cmake


def find_shipped(path: str | Path) -> Path:
    """Return `path` if it exists; otherwise, if it begins with ``models``, the file of this name in drml.

    Examples
    --------
    >>> find_shipped("models/drml/deploy.prototxt").name
    'deploy.prototxt'
    >>> find_shipped("none.prototxt")
    PosixPath('none.prototxt')
    """
    path = Path(path)
    if path.exists() or not path.parts or path.parts[0] != _MODELS:
        return path
    package = Path(__file__).resolve().parents[1]
    for root in (package, package.parents[1]):
        if (found := root / path).exists():
            return found
    return path


def _package() -> Path | None:
    """Return the folder of pycaffe without importing it."""
    spec = importlib.util.find_spec("caffe")
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve().parent


def build_info() -> dict[str, str]:
    """Return by name what the library was built with; an empty dictionary if it is not built."""
    package = _package()
    try:
        found = {} if package is None else json.loads((package / _BUILD_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {str(name): str(value) for name, value in found.items() if value}


def find_program(name: str) -> Path | None:
    """Return the path of one of Caffe's programs, such as ``caffe``; None if it is not built or installed."""
    package = _package()
    if package is None:
        return None
    for folder in (package / "bin", package.parents[1] / "bin"):  # in a wheel; in the build tree
        if os.access(found := folder / name, os.X_OK) and found.is_file():
            return found
    return _installed_command(name) if _program_module(name) else None


def _program_module(name: str) -> Path | None:
    """Return the path of a program that is a module, as in a portable wheel (CMake's option PORTABLE)."""
    package = _package()
    module = None if package is None else package / "bin" / f"{name}.so"
    return module if module is not None and module.is_file() else None


def _installed_command(name: str) -> Path | None:
    """Return the command of this name that pip wrote when it installed drml; it calls `run_program`."""
    for file in importlib.metadata.files("drml") or []:
        if file.name == name and file.parent.name == "bin" and ".." in file.parts:
            return Path(str(file.locate())).resolve()
    return None


def _run_module(module: Path, arguments: list[str]) -> int:
    """Run the main function of a program that is a module in this process, and return its exit status."""
    for one in (signal.SIGINT, signal.SIGPIPE):  # those that Python handles
        signal.signal(one, signal.SIG_DFL)
    # PyDLL keeps Python's lock for the `Python` layer. The name is that of limits/program.cpp.
    main = ctypes.PyDLL(str(module))["__wrap_main"]
    values = [os.fsencode(argument) for argument in arguments]
    return int(main(len(values), (ctypes.c_char_p * (len(values) + 1))(*values)))


def run_program() -> None:
    """Run the Caffe program whose name this command has, such as ``caffe``, in place of this process."""
    name = Path(sys.argv[0]).name
    if module := _program_module(name):
        sys.exit(_run_module(module, [name, *sys.argv[1:]]))
    program = find_program(name)
    if program is None:
        print(f"{name}: not built; run make in the source tree, or pip install it", file=sys.stderr)
        sys.exit(1)
    try:
        os.execv(program, [name, *sys.argv[1:]])
    except OSError as error:
        raise UserError(f"{program}: cannot be run ({error.strerror})") from None
