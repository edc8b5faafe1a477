"""What figures were measured on: processor, system, versions."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

__all__ = ["cores", "cpu", "system", "versions"]

_PACKAGES = ("drml", "numpy", "opencv-python", "scikit-learn", "lmdb", "protobuf", "h5py")


def cpu() -> str:
    """Name the processor."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def cores() -> int:
    """Count the cores at hand."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def system() -> str:
    """Name system, processor and cores on one line."""
    return f"{platform.system()} {platform.release()}, {platform.machine()}; {cpu()}, {cores()} cores"


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that have a part in the figures."""
    found = {"Python": sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
