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

ROOMS = (
    "io",
    "data",
    "synth",
    "nets",
    "training",
    "evaluation",
    "baselines",
    "detect",
    "experiments",
    "report",
    "cli",
)
"""The packages of drml: each may import those before it, and none after it."""

FLAT = 4
"""Modules that may lie beside the rooms."""


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


def inside(name: str, *places: str) -> bool:
    """Whether a module of drml is one of these modules or lies in one of these packages; all must exist."""
    assert {f"drml.{place}" for place in places} <= MODULES.keys(), f"not there: {places}"
    return any(name == f"drml.{place}" or name.startswith(f"drml.{place}.") for place in places)


def room(name: str) -> str | None:
    """Return the room that a module of drml lies in; None for those beside the rooms."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 and parts[1] in ROOMS else None


def arrows() -> set[tuple[str, str]]:
    """Return which module of drml imports which other one."""
    found = set()
    for name, names in MODULES.items():
        for target in names & MODULES.keys():
            # ``from a import b`` names the package a as well, which is meant only where b is no module.
            if not any(other.startswith(target + ".") and other in MODULES for other in names):
                found.add((name, target))
    return found


ARROWS = arrows()


def circle(graph: dict[str, set[str]]) -> list[str]:
    """Return a way through the graph that ends where it begins; empty where there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name not in done:
            for target in sorted(graph.get(name, ())):
                if found := walk(target, [*way, name]):
                    return found
            done.add(name)
        return []

    for name in sorted(graph):
        if found := walk(name, []):
            return found
    return []


def test_the_reader_of_imports_sees_all_forms() -> None:
    source = "import a.b\ndef f():\n    from . import c\n    from ..d import e\n    from .g import h as i\n"
    assert imported(source, "p.q.r", False) == {"a.b", "p.q", "p.q.c", "p.d", "p.d.e", "p.q.g", "p.q.g.h"}
    assert imported("from .c import d\nfrom ..e import f", "p.q", True) == {
        "p.q.c",
        "p.q.c.d",
        "p.e",
        "p.e.f",
    }


def test_a_circle_is_found() -> None:
    assert circle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle({"a": {"b", "c"}, "b": {"c"}, "c": set()}) == []


def test_every_module_lies_in_a_room() -> None:
    beside = {name for name in MODULES if room(name) is None}
    packages = {path.name for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert packages == set(ROOMS)
    assert {"drml", "drml.__main__"} <= beside and len(beside) <= FLAT, beside


def test_the_map_lists_the_rooms_in_their_order() -> None:
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8").split("`python/drml`, ")[1]
    assert tuple(re.findall(r"^\| `(\w+)/` \|", text, re.MULTILINE)) == ROOMS


def test_a_room_imports_only_rooms_above_it() -> None:
    wrong = set()
    for name, target in ARROWS:
        here, there = room(name), room(target)
        if here and there and ROOMS.index(there) > ROOMS.index(here):
            wrong.add((name, target))
    assert not wrong


def test_there_is_no_circle() -> None:
    rooms: dict[str, set[str]] = {}
    graph: dict[str, set[str]] = {}
    for name, target in ARROWS:
        graph.setdefault(name, set()).add(target)
        here, there = room(name), room(target)
        if here and there and here != there:
            rooms.setdefault(here, set()).add(there)
    assert circle(rooms) == []
    assert circle(graph) == []


@pytest.mark.parametrize("what", ["caffe", "lmdb", "drml.data.lmdb", "drml.nets"])
def test_pure_modules_need_neither_caffe_nor_lmdb(what: str) -> None:
    pure = (
        "data.face_following",
        "data.labels",
        "data.registration",
        "data.sampling",
        "training.base_rates",
        "evaluation.metrics",
        "evaluation.relations",
        "evaluation.score_table",
        "evaluation.saliency",
        "evaluation.au_regions",
    )
    assert not [n for n, names in MODULES.items() if inside(n, *pure) and uses(names, what)]


def test_readers_know_nothing_of_databases() -> None:
    for what in ("lmdb", "drml.data.lmdb"):
        assert not [n for n, names in MODULES.items() if inside(n, "data.readers") and uses(names, what)]


def test_only_pycaffe_imports_caffe() -> None:
    assert {n for n, names in MODULES.items() if uses(names, "caffe")} == {"drml.nets.pycaffe"}


def test_exported_nets_run_without_caffe() -> None:
    for what in ("caffe", "drml.nets.pycaffe", "drml.nets.net", "drml.nets.onnx_export", "lmdb"):
        assert not [
            n
            for n, names in MODULES.items()
            if inside(n, "nets.onnx_net", "nets.onnx_metadata") and uses(names, what)
        ]


def test_baselines_know_neither_data_nor_nets() -> None:
    used = {(n, to) for n, to in ARROWS if inside(n, "baselines") and room(to) in ("data", "nets")}
    assert not used


def test_the_estimators_know_arrays_alone() -> None:
    for what in ("cv2", "lmdb", "drml.synth", "drml.evaluation.scoring"):
        assert not [n for n, names in MODULES.items() if inside(n, "baselines") and uses(names, what)]


def test_nobody_imports_the_command_line() -> None:
    users = {n for n, names in MODULES.items() if uses(names, "drml.cli") and not inside(n, "cli")}
    assert users == {"drml.__main__"}


def test_nothing_shipped_imports_tests() -> None:
    frameworks = ("tests", "pytest", "hypothesis", "unittest", "bp4d_factory", "disfa_factory")
    assert not [n for n, names in MODULES.items() if any(uses(names, f) for f in frameworks)]


@pytest.mark.parametrize(
    "name",
    [
        "baselines.apl",
        "baselines.input",
        "baselines.lsvm",
        "baselines.pairs",
        "baselines.proximal",
        "data.face_following",
        "data.labels",
        "data.readers.folds",
        "data.registration",
        "data.sampling",
        "detect.table",
        "evaluation.au_regions",
        "evaluation.metrics",
        "evaluation.relations",
        "evaluation.score_table",
        "evaluation.saliency",
        "io.figures",
        "nets.grid",
        "nets.preprocessing",
        "nets.shapes",
        "nets.trained_files",
        "report.charts",
        "report.faces",
        "report.formatting",
        "report.lines",
        "report.rendering",
        "report.thinning",
        "training.base_rates",
        "training.caffe_log",
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
    # A layer may be in several files: region_layer.cpp, region_set_up.cpp, region_tiles.cuh.
    assert not [
        f"{path.name}: {what}"
        for path, what in cpp_includes()
        if Path(what).name in ours and not path.name.startswith(what.split("/")[-1].removesuffix("layer.hpp"))
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
    """Whole files are read by `drml.io.limits` alone, but for those of the same command and of the kernel."""
    own = {"io/child.py", "io/limits.py", "io/machine.py", "io/shipped.py", "experiments/settings.py"}
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        if place in own or place.startswith("synth/"):
            continue
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\.read_(text|bytes)\(\)|(?<!limits)\.read_text\(encoding", text), place


def test_kernels_hold_no_code_of_others() -> None:
    """Of an inline function, the linker might keep the copy that is compiled for AVX-512."""
    kernels = ROOT / "caffe_ext/engines/kernels"
    allowed = {"stddef.h", "type_traits", "utility", "immintrin.h"}
    for path in sorted(kernels.iterdir()):
        includes = re.findall(r'#include [<"]([^>"]+)', path.read_text())
        strange = [name for name in includes if name not in allowed and not name.startswith("engines/")]
        assert not strange, f"{path.name} includes {strange}"
        assert "target(" not in path.read_text(), f"{path.name}: kernels.cmake names the instruction sets"


def test_the_quick_tests_exist() -> None:
    import conftest

    assert {f"test_{name}.py" for name in conftest.QUICK} <= {
        path.name for path in Path(__file__).parent.iterdir()
    }
