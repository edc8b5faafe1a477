"""Finds cuBLAS and cuRAND, which are too large for the kit to bring along."""

from __future__ import annotations

import importlib.util
import os
import subprocess
from pathlib import Path

NEEDED = ("libcublas.so.13", "libcublasLt.so.13", "libcurand.so.10")
LONGEST_QUERY_S = 30
TOOLKITS = (
    "usr/local/cuda*/lib64",
    "usr/local/cuda*/targets/*/lib",
    "usr/lib/x86_64-linux-gnu",
    "usr/lib64",
)


def candidate_folders() -> list[str]:
    """Return where these libraries may be, the most likely place first."""
    folders = os.environ.get("CUDA_LIBRARIES", "").split(os.pathsep)
    package = importlib.util.find_spec("nvidia")
    for place in (package.submodule_search_locations or []) if package else []:
        folders += sorted(map(str, Path(place).glob("*/lib")))
    folders += os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep)
    for pattern in TOOLKITS:
        folders += sorted(map(str, Path("/").glob(pattern)), reverse=True)
    return [folder for folder in folders if folder]


def find_libraries(folders: list[str]) -> tuple[list[str], list[str]]:
    """Return the folders that hold what is needed, and the names of what none of them holds."""
    found, missing = [], []
    for name in NEEDED:
        folder = next((one for one in folders if Path(one, name).exists()), None)
        if folder is None:
            missing.append(name)
        elif folder not in found:
            found.append(folder)
    return found, missing


def explain_missing(missing: list[str]) -> str:
    """Return what to do about libraries that are missing."""
    return (
        f"{', '.join(missing)}: not found in this Python's packages, nor in a CUDA toolkit. Install "
        "CUDA 13's libraries with 'python3 -m pip install nvidia-cublas nvidia-curand', choose another "
        "Python with PYTHON=..., or name the libraries' folder with CUDA_LIBRARIES=DIR."
    )


def find_gpu(kit: Path, env: dict[str, str]) -> tuple[str | None, str]:
    """Return the first GPU's name, as Caffe sees it, and what was said about it; None where there is none."""
    try:
        done = subprocess.run(
            [kit / "bin/caffe", "device_query", "-gpu", "0"],
            cwd=kit,
            env=env,
            capture_output=True,
            text=True,
            timeout=LONGEST_QUERY_S,
        )
    except subprocess.TimeoutExpired:
        return None, f"caffe device_query did not end within {LONGEST_QUERY_S} s"
    except OSError as error:
        return None, f"caffe device_query cannot be started: {error}"
    for line in done.stderr.splitlines():
        name = line.partition("Name:")[2]
        if name and done.returncode == 0:
            return name.strip(), done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return None, lines[-1] if lines else f"caffe device_query ended with exit status {done.returncode}"
