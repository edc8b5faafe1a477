"""Programs and models that come with drml: of the source tree. `make wheel-check` looks at a wheel's."""

from __future__ import annotations

import importlib.metadata
import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from drml import cli
from drml.io import shipped

ROOT = Path(__file__).parents[2]


def test_models_are_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert shipped.find_shipped("models/drml/deploy.prototxt") == ROOT / "models/drml/deploy.prototxt"
    assert shipped.find_shipped("models") == ROOT / "models"
    for name in ("models/drml/none.prototxt", "deploy.prototxt", "/models/drml", "."):
        assert shipped.find_shipped(name) == Path(name)
    own = tmp_path / "models/drml"
    own.mkdir(parents=True)
    (own / "deploy.prototxt").touch()
    assert shipped.find_shipped("models/drml/deploy.prototxt") == Path("models/drml/deploy.prototxt")
    arguments = cli.build_parser().parse_args(
        ["train", "--solver", "models/lcn/solver.prototxt", "--out", "o"]
    )
    assert arguments.solver == ROOT / "models/lcn/solver.prototxt"


def run(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    code = f"import sys; sys.argv[0] = 'bin/{name}'; from drml.io.shipped import run_program; run_program()"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )


def test_caffes_programs_run_under_their_names() -> None:
    assert run("caffe", "--version").stdout.startswith("caffe version 1.0.0")
    done = run("caffe", "train", "-solver", "none.prototxt")
    assert done.returncode != 0 and "none.prototxt" in done.stderr
    assert "upgrade_net_proto_text v0_net_proto_file_in" in run("upgrade_net_proto_text").stderr
    done = run("no_such_program")
    assert done.returncode == 1 and done.stderr.startswith("no_such_program: not built; run make")


def test_versions_are_those_of_library_and_packages(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def said() -> str:
        with pytest.raises(SystemExit) as stop:
            cli.main(["--version"])
        assert stop.value.code == 0
        return capsys.readouterr().out

    lines = said().splitlines()
    names = [line.split()[0] for line in lines]
    assert names[0] == "drml" and {"caffe", "compiler", "BLAS", "Python", "numpy", "machine"} <= set(names)
    built = shipped.build_info()
    assert built["protobuf (library)"][0].isdigit() and all(built.values())
    monkeypatch.setattr(shipped, "_package", lambda: tmp_path)
    assert "caffe                not built; run make" in said()
    (tmp_path / "build.json").write_text("{")
    assert shipped.build_info() == {}
    (tmp_path / "build.json").write_text(json.dumps({"caffe": "x", "CUDA": ""}))
    assert shipped.build_info() == {"caffe": "x"}


def test_programs_of_a_portable_wheel_run_in_python(tmp_path: Path) -> None:
    """As modules; they get the arguments, and what they return or how they end is what the command does."""
    (tmp_path / "caffe/bin").mkdir(parents=True)
    (tmp_path / "caffe/__init__.py").touch()
    code = tmp_path / "echo.c"
    code.write_text(
        "#include <signal.h>\n#include <stdio.h>\n#include <string.h>\n"
        "int __wrap_main(int argc, char** argv) {\n"
        '  if (argc > 1 && !strcmp(argv[1], "interrupt")) raise(SIGINT);\n'
        '  for (int i = 0; i < argc; ++i) printf("%s,", argv[i]);\n'
        "  fflush(stdout);\n  return argv[argc] ? 99 : argc;\n}\n"
    )
    subprocess.run(["cc", "-shared", "-fPIC", "-o", tmp_path / "caffe/bin/echo.so", code], check=True)

    def echo(*arguments: str) -> subprocess.CompletedProcess[str]:
        code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[0] = 'bin/echo'"
        code += "; from drml.io.shipped import run_program; run_program()"
        return subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
        )

    done = echo("a b", "ö")
    assert (done.returncode, done.stdout) == (3, "echo,a b,ö,"), done.stderr
    assert echo("interrupt").returncode == -signal.SIGINT


def test_the_command_that_pip_wrote_is_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    package = tmp_path / "lib/caffe"
    (package / "bin").mkdir(parents=True)
    record = [importlib.metadata.PackagePath(name) for name in ("caffe/bin/caffe.so", "../bin/caffe")]
    for path in record:
        path.dist = importlib.metadata.PathDistribution(tmp_path / "lib/drml.dist-info")
    monkeypatch.setattr(shipped, "_package", lambda: package)
    monkeypatch.setattr(importlib.metadata, "files", lambda name: record)
    assert shipped.find_program("caffe") is None
    (package / "bin/caffe.so").touch()
    assert shipped.find_program("caffe") == tmp_path / "bin/caffe"
    assert shipped.find_program("convert_imageset") is None
