"""Run every shell block of the documents, top to bottom, in a folder with small nets and drawn data sets.

What the commands write is looked at: it must be there and readable, and the losses must be numbers.

Substitutes keep this fast: `make` builds nothing but checks that its targets are in the real Makefile, and
`make data` only prepares; /data/BP4D and /data/DISFA are drawn; the nets in models/ are tiny; some documents
have one fold. Benchmarks, C++ tests and the installation are not run, but files that they name must exist.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

import detect_data
from drml.data.prepare import prepare
from drml.nets.weights import read_caffemodel
from drml.synth import write_bp4d, write_disfa
from experiment_data import QUIET, add_region, write_models

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted(
    path.relative_to(ROOT)
    for pattern in ("*.md", "docs/*.md", "models/*/readme.md", "src/layers/*.md", "tests/cpp/*/*.md")
    for path in ROOT.glob(pattern)
)

# What must exist before the blocks of a document run, because another document or an earlier step makes it.
DATA, TRAINED, PAPER, DEMO, RELEASE = "data", "trained", "paper", "demo", "release"
NEEDS = {
    "docs/baselines.md": (DATA,),
    "docs/detect.md": (TRAINED,),
    "docs/onnx.md": (DATA, TRAINED),
    "docs/recipe.md": (DATA, TRAINED),
    "docs/report.md": (DATA, DEMO, PAPER),
    "docs/resume.md": (DATA,),
    "CONTRIBUTING.md": (DATA,),
    "src/layers/authors_layers.md": (TRAINED, RELEASE),
}

ONE_FOLD = ("docs/experiments.md", "docs/tutorial.md", "docs/report.md")

SETUPS = {
    DATA: "mkdir -p data; cp -r prepared data/drml",
    TRAINED: """
        [ -d data/drml ] || { mkdir -p data; cp -r prepared data/drml; }
        drml train --solver models/drml/solver.prototxt --data data/drml/fold1 --out build/train -q
    """,
    DEMO: """
        drml train --solver models/drml/solver.prototxt --data data/drml/fold1 --out build/demo/train -q
        drml score build/demo/train data/drml/fold1 --out build/demo/scores.json \\
            --predictions build/demo/predictions.csv -q
        drml saliency build/demo/train data/drml/fold1 --out build/demo/saliency -q
        echo '{"train": 1}' > build/demo/stages.json
    """,
    RELEASE: """
        ln -s data/drml/fold1 FOLDER
        mkdir release
        cp models/drml/solver.prototxt models/drml/train_val.prototxt release
        drml convert models/drml/deploy.prototxt --to branches --out release.prototxt \\
            --weights build/train --out-weights release.caffemodel -q
    """,
    PAPER: """
        drml prepare disfa DISFA data/disfa --intensity 3 -q
        drml prepare bp4d BP4D data/alexnet --size 256 --folds 1 -q
        drml experiment table2 --data data/drml --data-alexnet data/alexnet --folds 1 --out build/paper \\
            --methods lsvm alexnet drml -q
        drml experiment table3 --data data/disfa --folds 1 --bp4d build/paper --out build/disfa \\
            --methods lsvm drml -q
    """,
}

# Lines that are not run, and the reason. The programs and files that they name must exist.
NOT_RUN = (
    (r"^(CUDA_ON_HOST_SEED=\d+ )?build/test_\w+", "a C++ test: ctest runs all of them"),
    (r"^cmake --build build --target (\w+)", "builds a C++ test"),
    (r"^\.venv/bin/python tools/bench\S*", "a benchmark"),
    (r"^\.venv/bin/python tools/detect_against_score\S*", "a measurement"),
    (r"^\.venv/bin/python -m pytest", "would be this test within itself"),
    (r"^\.venv/bin/pip install", "the installation"),
    (r"^\$EDITOR \S+", "an editor"),
    (r"^git diff \S+", "asks for a repository"),
    (r"^mpirun .*$", "asks for MPI and for machines: test_parallel.py starts ranks"),
    (
        r"^caffe train -solver examples/own_layer\S*",
        "asks for a library with that layer: test_own_layer trains",
    ),
    (r"^kill -USR[12] .*$", "a signal to the above"),
)

MAKE = """#!/usr/bin/env bash
# Checks that the targets are in the real Makefile and builds nothing; `data` prepares the data.
set -euo pipefail
for word in "$@"; do
  case $word in
    *=*) ;;
    data) [ -d data/drml ] || { mkdir -p data; cp -r prepared data/drml; } ;;
    train) caffe train -solver models/drml/solver.prototxt ;;
    *) grep -qE "^$word:|^\\.PHONY:.* $word( |$)" Makefile || { echo "make: no target $word" >&2; exit 2; } ;;
  esac
done
"""

# Table 4 with the paper's schedule would take hours, three folds and the whole drawn set minutes.
# Two folds stand for five, and for one a subject; a few methods for all of a table.
DRML = """#!/usr/bin/env bash
case "$*" in
  *" --methods "*) ;;
  "experiment table"[23]*) set -- "$@" --methods lsvm alexnet convnet drml ;;
  "experiment grid"*) set -- "$@" --methods drml drml_5x5 ;;
  "experiment sparsity"*) set -- "$@" --methods drml drml_l1e-1 ;;
  "experiment table4"*"--schedule paper"*) set -- "$@" --trials 2 --iterations 2 ;;
  "synth "*) set -- "$@" --subjects 9 --frames 8 ;;
  "prepare "*" --folds "*) set -- "${@/#loso/random:2}"; set -- "${@/#random:5/random:2}" ;;
  "prepare "*) [ -z "${ONE_FOLD:-}" ] || set -- "$@" --folds 1 ;;
esac
exec {python} -m drml "$@"
"""


def blocks(document: Path) -> list[str]:
    """Return the shell blocks of a document."""
    return re.findall(r"^```bash\n(.*?)^```", (ROOT / document).read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("documents")
    write_bp4d(folder / "BP4D", subjects=9, tasks=2, frames=8, size=260, **QUIET)
    write_disfa(folder / "DISFA", subjects=9, frames=24, size=260, **QUIET)
    prepare("bp4d", folder / "BP4D", folder / "prepared", progress=False)
    models = write_models(folder / "models", ("drml", "convnet", "alexnet", "lcn"))
    add_region(models / "drml")
    (models / "tiny").mkdir()  # the tiny solvers write snapshots here
    lines = ["path,subject,AU1,AU12"]
    for index, path in enumerate(sorted(folder.glob("BP4D/Sequences*/*/T1/*.jpg"))[::2]):
        (folder / "faces").mkdir(exist_ok=True)
        cv2.imwrite(str(folder / f"faces/{index}.png"), cv2.resize(cv2.imread(str(path)), (200, 200)))
        lines.append(f"faces/{index}.png,{path.parts[-3]},{1 - 2 * (index % 2)},{1 - index % 3}")
    (folder / "faces.csv").write_text("\n".join(lines) + "\n")
    people = sorted({path.parts[-3] for path in folder.glob("BP4D/Sequences*/*/T1/*.jpg")})
    parts = [f"{name},{1 + index % 2}" for index, name in enumerate(people)]
    (folder / "folds.csv").write_text("\n".join(["subject,part", *parts]) + "\n")
    (folder / "photos").mkdir()
    cv2.imwrite(str(folder / "photos/astronaut.png"), detect_data.astronaut())
    detect_data.write_video(folder / "interview.mp4", list(detect_data.moving(5)))
    (folder / "bin").mkdir()
    for name, text in (("make", MAKE), ("drml", DRML.replace("{python}", sys.executable))):
        program = folder / "bin" / name
        program.write_text(text)
        program.chmod(0o755)
    for name in ("Makefile", "tools", "docs", "README.md"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def folder(place: Path, tmp_path: Path) -> Path:
    """Copy the folder for one document."""
    shutil.copytree(place, tmp_path / "copy", symlinks=True)
    (tmp_path / "copy/build").mkdir()
    environment = tmp_path / "copy/.venv/bin"
    environment.mkdir(parents=True)
    for program in ("drml", "make"):
        (environment / program).symlink_to(tmp_path / "copy/bin" / program)
    (environment / "python").symlink_to(sys.executable)
    caffe = environment / "caffe"
    code = "import sys; sys.argv[0] = 'caffe'; from drml.io.shipped import run_program; run_program()"
    caffe.write_text(f'#!/usr/bin/env bash\nexec {sys.executable} -c "{code}" "$@"\n')
    caffe.chmod(0o755)
    return tmp_path / "copy"


def runnable(block: str) -> str:
    """Remove the lines that are not run, and replace the real data sets by the drawn ones."""
    lines = []
    for line in block.replace("/data/BP4D", "BP4D").replace("/data/DISFA", "DISFA").splitlines():
        for pattern, _ in NOT_RUN:
            if found := re.match(pattern, line):
                for name in re.findall(r"tools/\S+", found[0]):
                    assert (ROOT / name).is_file(), f"{name} does not exist"
                for name in re.findall(r"test_\w+", found[0]):
                    text = (ROOT / "tests/cpp/CMakeLists.txt").read_text()
                    known = (ROOT / f"tests/cpp/{name}.cpp").is_file() or any(
                        f"{makes}({name}" in text.replace("drml_layer_tests(", "drml_layer_tests(test_")
                        for makes in ("add_executable", "drml_layer_tests")
                    )
                    assert known, f"there is no C++ test {name}"
                break
        else:
            lines.append(line)
    return "\n".join(lines)


def outputs(script: str) -> Iterator[tuple[str, str]]:
    """Yield the command and the path of each output that a line with drml names."""
    for line in script.replace("\\\n", " ").splitlines():
        if (found := re.match(r"\s*drml (\S+)(?: (\S+))?", line)) and "--plan" not in line:
            paths = re.findall(r" --(?:out|out-weights|predictions) (\S+)", line)
            yield from ((found[1], path) for path in ([found[2]] if found[1] == "report" else paths))


def look_at(command: str, path: Path) -> None:
    """Check what a command wrote: that it is there, can be read, and holds figures that are numbers."""
    files = [one for one in path.rglob("*") if one.is_file()] if path.is_dir() else [path]
    assert sum(one.stat().st_size for one in files) > 0, f"drml {command}: {path} is empty"
    for one in files:
        if one.suffix == ".json":
            json.loads(one.read_text(encoding="utf-8"), parse_constant=pytest.fail)  # NaN is no JSON
    if command == "train":
        assert any(layer.blobs for layer in read_caffemodel(path / "final.caffemodel").layer)
        with (path / "loss.csv").open(newline="") as file:
            losses = [float(row["value"]) for row in csv.DictReader(file) if row["phase"] == "train"]
        assert losses and np.isfinite(losses).all(), losses
    elif command == "report":
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_outputs_are_those_that_the_lines_name() -> None:
    script = "drml train --data d \\\n  --out a/b -q\ndrml score a d --out s.json --predictions p.csv\n"
    script += "drml report page.html --predictions p.csv\ndrml experiment t --out c --plan > u\nls --out x\n"
    assert list(outputs(script)) == [
        ("train", "a/b"),
        ("score", "s.json"),
        ("score", "p.csv"),
        ("report", "page.html"),
    ]


@pytest.mark.parametrize("document", [path for path in DOCUMENTS if blocks(path)], ids=str)
def test_shell_blocks_run(document: Path, folder: Path) -> None:
    name = document.as_posix()
    setup = "\n".join(SETUPS[what] for what in NEEDS.get(name, ()))
    script = "\n".join([setup, "echo == ready", *(runnable(block) for block in blocks(document))])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={
            "PATH": f"{folder}/.venv/bin:/usr/bin:/bin",
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT / "python"),
            "GLOG_minloglevel": "2",
            "ONE_FOLD": "1" if name in ONE_FOLD else "",
        },
    )
    assert done.returncode == 0, f"{name}\n{done.stdout[-1500:]}\n{done.stderr[-3000:]}"
    assert "Traceback" not in done.stderr, done.stderr[-3000:]
    for command, path in outputs(script):
        look_at(command, folder / path)


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        text = (ROOT / document).read_text(encoding="utf-8")
        for target, anchor in re.findall(r"\]\((?!https?:)([^)#\s]*)(#[^)\s]*)?\)", text):
            path = (ROOT / document).parent / target if target else ROOT / document
            assert path.exists(), f"{document}: {target} does not exist"
            if anchor:
                titles = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), re.M)
                known = {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}
                assert anchor[1:] in known, f"{document}: {target}{anchor}: no such heading"


def test_not_run_lines_are_few() -> None:
    """Remove a pattern that no line matches any more."""
    text = "\n".join(block for document in DOCUMENTS for block in blocks(document))
    for pattern, reason in NOT_RUN:
        assert re.search(pattern, text, re.M), reason
    assert np.mean([bool(runnable(block).strip()) for d in DOCUMENTS for block in blocks(d)]) > 0.8
