"""The rules of ARCHITECTURE.md that a test can hold: who may import whom."""

from __future__ import annotations

import ast
import doctest
import importlib
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "python" / "drml"


def imported(source: str, module: str, package: bool) -> set[str]:
    """Names of all modules that a source imports, anywhere in it, relative ones resolved.

    ``from a import b`` counts as both ``a`` and ``a.b``, since b may be a module.
    """
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = module.split(".")
                parts = parts[: len(parts) - node.level + (1 if package else 0)]
                base = ".".join([*parts, *([node.module] if node.module else [])])
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
    return names


def modules() -> dict[str, set[str]]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = list(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        package = parts[-1] == "__init__"
        name = ".".join(parts[:-1] if package else parts)
        found[name] = imported(path.read_text(encoding="utf-8"), name, package)
    return found


MODULES = modules()


def uses(names: set[str], what: str) -> bool:
    return any(name == what or name.startswith(what + ".") for name in names)


def room(name: str, *rooms: str) -> bool:
    return any(name == f"drml.{r}" or name.startswith(f"drml.{r}.") for r in rooms)


def test_the_reader_of_imports_sees_all_forms() -> None:
    source = "import a.b\ndef f():\n    from . import c\n    from ..d import e\n    from .g import h as i\n"
    assert imported(source, "p.q.r", False) == {"a.b", "p.q", "p.q.c", "p.d", "p.d.e", "p.q.g", "p.q.g.h"}
    assert imported("from .c import d\nfrom ..e import f", "p.q", True) == {
        "p.q.c",
        "p.q.c.d",
        "p.e",
        "p.e.f",
    }


def test_modules_are_found() -> None:
    assert {
        "drml",
        "drml.data.labels",
        "drml.data.readers",
        "drml.data.readers.bp4d",
        "drml.data.lmdb",
    } <= MODULES.keys()


@pytest.mark.parametrize("what", ["caffe", "lmdb", "drml.data.lmdb", "drml.nets.net"])
def test_pure_rooms_need_neither_caffe_nor_lmdb(what: str) -> None:
    pure = (
        "data.labels",
        "data.registration",
        "data.sampling",
        "evaluation.metrics",
        "evaluation.relations",
        "evaluation.saliency",
        "evaluation.au_regions",
    )
    assert not [n for n, names in MODULES.items() if room(n, *pure) and uses(names, what)]


def test_readers_know_nothing_of_databases() -> None:
    assert not [
        n
        for n, names in MODULES.items()
        if room(n, "data.readers") and (uses(names, "drml.data.lmdb") or uses(names, "lmdb"))
    ]


def test_only_net_imports_caffe() -> None:
    assert {n for n, names in MODULES.items() if uses(names, "caffe")} <= {"drml.nets.net"}


def test_exported_nets_run_without_caffe() -> None:
    runners = ("nets.onnx_net", "nets.onnx_metadata")
    for what in ("caffe", "drml.nets.net", "drml.nets.onnx_export", "lmdb"):
        assert not [n for n, names in MODULES.items() if room(n, *runners) and uses(names, what)]


def test_the_estimators_know_arrays_alone() -> None:
    estimators = [
        f"baselines.{name}" for name in ("base", "design", "proximal", "patches", "lsvm", "apl", "jpml")
    ]
    for what in (
        "cv2",
        "lmdb",
        "drml.data.split",
        "drml.data.lmdb",
        "drml.nets.net",
        "drml.evaluation.scoring",
    ):
        assert not [n for n, names in MODULES.items() if room(n, *estimators) and uses(names, what)]


def test_nobody_imports_the_command_line() -> None:
    users = {n for n, names in MODULES.items() if uses(names, "drml.cli") and not room(n, "cli")}
    assert users <= {"drml.__main__"}


def test_nothing_shipped_imports_tests() -> None:
    frameworks = ("tests", "pytest", "hypothesis", "unittest", "bp4d_factory", "disfa_factory")
    assert not [n for n, names in MODULES.items() if any(uses(names, f) for f in frameworks)]


@pytest.mark.parametrize(
    "name",
    [
        "baselines.apl",
        "baselines.base",
        "baselines.jpml",
        "baselines.lsvm",
        "baselines.proximal",
        "data.labels",
        "data.readers.folds",
        "data.registration",
        "data.sampling",
        "detect.table",
        "detect.tracking",
        "evaluation.au_regions",
        "evaluation.metrics",
        "evaluation.relations",
        "evaluation.saliency",
        "nets.convert",
        "nets.net_input",
        "report.charts",
        "report.faces",
        "report.lines",
        "report.markup",
        "report.thinning",
    ],
)
def test_examples_in_docstrings_are_true(name: str) -> None:
    module = importlib.import_module(f"drml.{name}")
    result = doctest.testmod(module)
    assert result.attempted and not result.failed


def cpp_includes() -> list[tuple[Path, str]]:
    found = []
    for folder in (ROOT / "include", ROOT / "src" / "layers"):
        for path in sorted(folder.rglob("*")):
            if path.suffix in {".hpp", ".h", ".cpp", ".cc", ".cu", ".cuh"}:
                for line in path.read_text(encoding="utf-8").splitlines():
                    match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
                    if match:
                        found.append((path, match[1]))
    return found


def test_layers_include_no_engine_and_no_mpi() -> None:
    forbidden = re.compile(
        r"dnnl|oneapi|(^|/)mpi\.h|mpicxx|(^|/)engines?/|_engine|(^|/)parallel/|caffe_ext/(engines|parallel)"
    )
    assert not [f"{path.name}: {what}" for path, what in cpp_includes() if forbidden.search(what)]


def test_layers_include_no_other_layer_of_ours() -> None:
    ours = {path.name for path in (ROOT / "include").rglob("*_layer.hpp")}
    assert not [
        f"{path.name}: {what}"
        for path, what in cpp_includes()
        if Path(what).name in ours and Path(what).stem != path.stem
    ]


def test_nothing_read_becomes_code() -> None:
    """No pickle and its like; ruff's rules S301 to S612 look at the calls."""
    forbidden = ("pickle", "marshal", "shelve", "dill", "cloudpickle", "yaml", "xml")
    assert not [n for n, names in MODULES.items() if any(uses(names, what) for what in forbidden)]
    for path in PACKAGE.rglob("*.py"):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(call, ast.Call):
                continue
            name = ast.unparse(call.func)
            assert name not in ("eval", "exec", "compile", "__import__", "joblib.load"), f"{path}: {name}"
            if name in ("np.load", "numpy.load", "np.lib.format.read_array"):
                given = {one.arg: ast.unparse(one.value) for one in call.keywords}
                assert given.get("allow_pickle") == "False", f"{path}: {name} without allow_pickle=False"


def test_files_of_others_are_read_through_limits() -> None:
    """Whole files are read by `drml.io.limits` alone, but for those that the same command has written."""
    own = {"io/limits.py", "io/machine.py", "io/shipped.py", "experiments/settings.py"}
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        if place in own or place.startswith("synth/"):
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\.read_(text|bytes)\(\)|(?<!limits)\.read_text\(encoding", text), place
