"""Layers of a user's own: docs/own_layers.md, and the option EXTRA_LAYERS.

build/test_own_layer tests the example's layer and trains with it.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "examples/own_layer"
PAGE = (ROOT / "docs/own_layers.md").read_text(encoding="utf-8")


def configure(build: Path, extra: str) -> subprocess.CompletedProcess[str]:
    """Configure a build of its own from the sources that the ordinary build has."""
    source = ROOT / "build/caffe/source"
    if not source.is_dir():
        pytest.skip("the build has no sources of Caffe")
    options = [f"-DCAFFE_SOURCE_DIR={source}", f"-DEXTRA_LAYERS={extra}"]
    options += [f"-DPython3_EXECUTABLE={sys.executable}"]
    return subprocess.run(
        ["cmake", "-S", str(ROOT), "-B", str(build), "-G", "Ninja", *options],
        capture_output=True,
        text=True,
        check=False,
    )


def inputs(build: Path, target: str) -> str:
    """Return what ninja makes a target of."""
    return subprocess.run(
        ["ninja", "-C", str(build), "-t", "query", target], capture_output=True, text=True, check=True
    ).stdout


def test_the_layers_of_a_folder_become_part_of_the_library(tmp_path: Path) -> None:
    own = tmp_path / "my layers"
    own.mkdir()
    for file in EXAMPLE.iterdir():
        (own / file.name).write_text(file.read_text())
    done = configure(tmp_path / "build", f"{own};examples/own_layer")
    assert done.returncode == 0, done.stderr
    assert f"Layers of your own: {own}" in done.stdout
    library = inputs(tmp_path / "build", "lib/libcaffe.so.1.0.0")
    for name in ("my_layers", "own_layer"):
        objects = re.findall(rf"CMakeFiles/{name}\.dir/\S*?(\w+)\.(?:cpp|pb\.cc)\.o", library)
        assert sorted(objects) == ["weighted_mean", "weighted_mean_layer"], library
        tests = inputs(tmp_path / "build", f"test_{name}")
        assert "test_weighted_mean_layer.cpp.o" in tests
        assert "weighted_mean_layer.cpp.o" not in tests.replace("test_weighted_mean_layer.cpp.o", "")
        # What Python reads of the parameters.
        rules = (tmp_path / "build/build.ninja").read_text()
        assert f"caffe/{name}/weighted_mean.desc" in rules


def test_a_folder_without_layers_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/test_alone.cpp").write_text("")
    done = configure(tmp_path / "build", f"{tmp_path}/empty")
    assert done.returncode != 0
    message = " ".join(done.stderr.split())
    assert f"EXTRA_LAYERS: {tmp_path}/empty is not a folder with .cpp files of layers." in message


def test_make_takes_several_folders(tmp_path: Path) -> None:
    done = subprocess.run(
        ["make", "-n", "-C", ROOT, f"BUILD_DIR={tmp_path}", "configure", "EXTRA_LAYERS=/a/b  c"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert '-DEXTRA_LAYERS="/a/b;c"' in done.stdout, done.stderr


def blocks(kind: str) -> list[str]:
    return [text for name, text in re.findall(r"^```(\w*)\n(.*?)^```$", PAGE, re.M | re.S) if name == kind]


def test_the_page_shows_what_the_example_has() -> None:
    files = {file.suffix: [] for file in EXAMPLE.iterdir()}
    for file in EXAMPLE.iterdir():
        files[file.suffix].append(file.read_text(encoding="utf-8"))
    code = "\n".join(files[".hpp"] + files[".cpp"] + files[".cu"])
    assert len(blocks("cpp")) >= 5
    for block in blocks("cpp"):
        assert block in code, block
    for block in blocks("proto"):
        assert block in files[".proto"][0], block
    (prototxt,) = blocks("")
    assert prototxt in files[".prototxt"][0] + files[".prototxt"][1]
    for name in re.findall(r"^\| (`.*?`) \| \d", PAGE, re.M):
        for file in re.findall(r"`(.*?)`", name):
            assert (EXAMPLE / file).is_file(), file


def test_python_knows_the_parameters(tmp_path: Path) -> None:
    """As `import caffe` has them in a build with the layer: with brackets in text, without in NetSpec."""
    caffe = pytest.importorskip("caffe")
    proto = Path(caffe.__file__).parent / "proto"
    package = tmp_path / "proto"
    (package / "extra").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    for name in ("caffe.desc", "caffe_pb2.py"):
        (package / name).write_bytes((proto / name).read_bytes())
    (package / "caffe.proto").write_bytes((ROOT / "build/caffe/generated/caffe.proto").read_bytes())
    subprocess.run(
        [
            "protoc",
            f"--proto_path={EXAMPLE}",
            f"--proto_path={package}",
            f"--descriptor_set_out={package}/extra/weighted_mean.desc",
            str(EXAMPLE / "weighted_mean.proto"),
        ],
        check=True,
    )
    script = """
from google.protobuf import text_format
from proto import caffe_pb2
layer = caffe_pb2.LayerParameter()
text_format.Parse("name: 'm' [caffe.weighted_mean_param] { min_sum: 0.25 }", layer)
assert layer.weighted_mean_param.min_sum == 0.25
copy = caffe_pb2.LayerParameter.FromString(layer.SerializeToString())
assert abs(copy.weighted_mean_param.min_sum - 0.25) < 1e-9
copy.weighted_mean_param.min_sum = 0.5
assert "[caffe.weighted_mean_param]" in text_format.MessageToString(copy)
assert caffe_pb2.LayerParameter().weighted_mean_param.min_sum == caffe_pb2.WeightedMeanParameter().min_sum
"""
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)


# --- proto/join.py, which writes the fields of a layer of ours into Caffe's messages.

_spec = importlib.util.spec_from_file_location("join", ROOT / "caffe_ext/proto/join.py")
assert _spec and _spec.loader
join = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(join)

CAFFE = "message A {\n  optional int32 a = 1;\n}\n\nmessage B {\n  message C {\n  }\n  optional C c = 1;\n}\n"


def test_fields_go_into_the_message_that_they_extend() -> None:
    ours = "// Ours.\n\nextend B {\n  // Why.\n  optional D d = 1000;\n}\n\nmessage D {\n}\n"
    assert (
        join.join(CAFFE, ours)
        == CAFFE.replace("  optional C c = 1;\n", "  optional C c = 1;\n  // Why.\n  optional D d = 1000;\n")
        + "// Ours.\n\nmessage D {\n}\n"
    )


def test_a_message_that_caffe_lacks_is_named() -> None:
    with pytest.raises(SystemExit, match="extends C, which"):
        join.join(CAFFE, "extend C {\n  optional int32 x = 1000;\n}\n")
