"""Describes the machine on which figures were measured: processor, system, versions."""

from __future__ import annotations

import os
import platform
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

__all__ = ["cores", "cpu", "describe", "omp_threads", "system", "versions"]

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


def omp_threads() -> int:
    """Return the number of threads that ``OMP_NUM_THREADS`` asks for; 0 if it does not ask for any.

    OpenMP allows a list such as ``4,2``, with a number for each level of nesting. Ours is the first level.
    """
    first = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0].strip()
    return int(first) if first.isascii() and first.isdigit() else 0


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
