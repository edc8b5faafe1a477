"""Describes the machine on which figures were measured: processor, system, versions."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["cores", "cpu", "describe", "system", "versions"]

_PACKAGES = ("drml", "numpy", "opencv-python", "scikit-learn", "lmdb", "protobuf", "h5py")


def cpu() -> str:
    """Return the name of the processor."""
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.processor() or platform.machine()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def system() -> str:
    """Describe system, processor and cores on one line."""
    return f"{platform.system()} {platform.release()}, {platform.machine()}; {cpu()}, {cores()} cores"


def describe() -> dict[str, Any]:
    """Return ``machine`` and ``versions``, as files of figures keep them."""
    return {"machine": system(), "versions": versions()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages on which figures depend."""
    found = {"Python": sys.version.split()[0]}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
