#!/usr/bin/env python3
"""Compile and link all CUDA code, Caffe's and ours, on a machine that needs no GPU.

Builds library, tools and pycaffe with nvcc for the architectures asked for, loads them, runs DRML once on
the CPU with what was built, and prints what each kernel of ours takes of a GPU: registers, spilled bytes,
shared memory.

    make cuda-check                      # every architecture of the list below that nvcc knows
    make cuda-check CUDA_ARCH="80 90"
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
ARCHITECTURES = ("75", "80", "90", "100", "120")
TARGETS = ["caffe", "caffe_tools", "pycaffe", "own_layer", "upstream_test_kernels"]
KERNEL = re.compile(r"Compiling entry function '(\w+)' for '(sm_\w+)'")
SPILLS = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


def find_nvcc() -> str | None:
    """Return the nvcc that the build takes, None where there is none."""
    folder = os.environ.get("CUDA_DIR")
    if folder:
        return shutil.which(f"{folder}/bin/nvcc")
    return shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")


def known_architectures(nvcc: str) -> set[str]:
    """Return the numbers of the architectures that nvcc can compile for."""
    listed = subprocess.run([nvcc, "--list-gpu-arch"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"compute_(\w+)", listed))


def extra_layers() -> list[str]:
    """Return the folders with layers of a user's own, as make hands them on."""
    return os.environ.get("EXTRA_LAYERS", "").split()


def run(*command: object, **options: object) -> None:
    """Run a command; end with its status where it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=ROOT, **options)
    if done.returncode:
        sys.exit(f"cuda-check: failed with exit status {done.returncode}: {shlex.join(words)}")


def build(folder: Path, architectures: list[str], jobs: int) -> None:
    """Compile and link everything."""
    run("tools/cuda_libraries.sh", VENV)
    options = [
        f"-DPython3_EXECUTABLE={VENV}/bin/python",
        "-DCMAKE_EXPORT_COMPILE_COMMANDS=ON",
        "-DUSE_CUDA=ON",
    ]
    options += [f"-DCUDA_ARCH={';'.join(architectures)}", f"-DCUDA_DIR={os.environ.get('CUDA_DIR', '')}"]
    options += [f"-DEXTRA_LAYERS={';'.join(extra_layers())}"]
    # Sources that the ordinary build has found already need no second copy.
    found = ROOT / "build/caffe/source"
    source = os.environ.get("CAFFE_SOURCE_DIR") or (str(found) if found.is_dir() else "")
    run("cmake", "-S", ROOT, "-B", folder, "-G", "Ninja", f"-DCAFFE_SOURCE_DIR={source}", *options)
    run("cmake", "--build", folder, "-j", jobs, "--target", *TARGETS)


def load(folder: Path) -> None:
    """Load what was linked, and run DRML with it on the CPU."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run(folder / "bin/caffe", "time", "-model", "models/drml/deploy.prototxt", "-iterations", 1, **quiet)
    code = "import caffe; assert 'Region' in caffe.layer_type_list()"
    run(VENV / "bin/python", "-c", code, env={**os.environ, "PYTHONPATH": str(folder / "python")}, **quiet)


def readable(names: list[str]) -> list[str]:
    """Return the kernels' names as the source writes them."""
    text = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    ).stdout
    shown = []
    for line in text.splitlines():
        line = re.sub(r"\(anonymous namespace\)::|\b\w+::", "", line)
        shown.append(re.sub(r"^void |\(.*$", "", line).replace(" >", ">"))
    return shown


def resources(folder: Path, architecture: str) -> dict[str, tuple[int, int, int]]:
    """Return registers, spilled bytes and shared bytes of each kernel of ours, by its name."""
    found: dict[str, tuple[int, int, int]] = {}
    commands = json.loads((folder / "compile_commands.json").read_text())
    ours = [ROOT / "src", ROOT / "examples", *(ROOT / extra for extra in extra_layers())]
    sources = [
        entry
        for entry in commands
        if entry["file"].endswith(".cu") and any(Path(entry["file"]).is_relative_to(own) for own in ours)
    ]
    if not sources:
        sys.exit(f"cuda-check: {folder}/compile_commands.json names none of our .cu files")

    def compile_one(entry: dict[str, str]) -> str:
        with tempfile.TemporaryDirectory() as scratch:
            words = shlex.split(entry["command"])
            words = [word for word in words if not re.match(r"-?-(generate-code|gencode)", word)]
            words[words.index("-o") + 1] = f"{scratch}/kernels.cubin"
            words[words.index("-c")] = "-cubin"
            words = [word for word in words if word not in ("-MD", "-MT", "-MF") and not word.endswith(".d")]
            words += [f"-arch=sm_{architecture}", "--resource-usage"]
            done = subprocess.run(words, cwd=entry["directory"], capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"cuda-check: {entry['file']}: {done.stderr.strip()}")
            return done.stderr

    with ThreadPoolExecutor() as pool:
        reports = list(pool.map(compile_one, sources))
    for report in reports:
        name, spilled = "", 0
        for line in report.splitlines():
            if match := KERNEL.search(line):
                name = match[1]
            elif match := SPILLS.search(line):
                spilled = int(match[2]) + int(match[3])
            elif (match := USED.search(line)) and name:
                found[name] = (int(match[1]), spilled, int(match[2] or 0))
    # The compiler's own names differ from one compilation to the next.
    return dict(zip(readable(list(found)), found.values(), strict=True))


def table(architectures: list[str], usage: dict[str, dict[str, tuple[int, int, int]]]) -> str:
    """Return the kernels as a Markdown table: registers / spilled bytes / shared bytes by architecture."""
    names = sorted({name for kernels in usage.values() for name in kernels})
    rows = [
        "| kernel | " + " | ".join(f"sm_{a}" for a in architectures) + " |",
        "|---" * (len(architectures) + 1) + "|",
    ]
    for name in names:
        cells = (" / ".join(map(str, usage[a][name])) for a in architectures)
        rows.append(f"| `{name}` | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def main() -> None:
    """Check, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--build", type=Path, required=True, help="folder to build in")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="compilers at once")
    parser.add_argument("--arch", help="compute capabilities, such as '80 90'")
    args = parser.parse_args()
    nvcc = find_nvcc()
    if nvcc is None:
        print("cuda-check: no nvcc here, so the CUDA code was not compiled")
        return
    known = known_architectures(nvcc)
    wanted = re.findall(r"\d+[a-z]?", args.arch) if args.arch else [a for a in ARCHITECTURES if a in known]
    if unknown := set(wanted) - known:
        sys.exit(
            f"cuda-check: {nvcc} does not compile for {', '.join(sorted(unknown))}; it knows {sorted(known)}"
        )
    folder = args.build.resolve()
    build(folder, wanted, args.jobs)
    load(folder)
    usage = {architecture: resources(folder, architecture) for architecture in wanted}
    text = table(wanted, usage)
    (folder / "kernels.md").write_text(text + "\n")
    print(f"Registers / spilled bytes / shared bytes of each kernel of ours ({folder}/kernels.md):\n{text}")
    print(f"cuda-check: all CUDA code compiled for {', '.join('sm_' + a for a in wanted)}, linked and loaded")


if __name__ == "__main__":
    main()
