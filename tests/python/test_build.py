"""The build's own guards: Caffe's source tree, and the builds for GPUs and MPI."""

import importlib.util
import os
import re
import subprocess
import sys
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


def source(tmp_path: Path, caffe: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run only the part of the build that finds Caffe's sources, with -DCAFFE_SOURCE_DIR=caffe."""
    script = tmp_path / "source.cmake"
    script.write_text(
        f"""
        set(PROJECT_BINARY_DIR "{tmp_path}/build")
        find_program(Python3_EXECUTABLE python3)
        set(CAFFE_SOURCE_DIR "{caffe}" CACHE PATH "")
        include("{ROOT}/caffe_ext/files.cmake")
        set(CAFFE_KNOWN_FILES src/caffe/proto/caffe.proto ${{CAFFE_LIBRARY_SOURCES}})
        include("{ROOT}/caffe_ext/source.cmake")
        """
    )
    return cmake("-P", script, **environment)


def test_a_folder_that_is_not_caffe_is_refused(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    done = source(tmp_path, str(wrong))
    assert done.returncode != 0
    message = " ".join(done.stderr.split())
    assert f"{wrong} is not the source tree of brocolli-caffe==3.0.0" in message
    assert "src/caffe/proto/caffe.proto is missing" in message
    assert "Unpack that package" in message


def test_a_changed_tree_is_refused(tmp_path: Path) -> None:
    changed = tmp_path / "changed"
    for name in ["src/caffe/proto/caffe.proto", *known_files()]:
        file = changed / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("// not Caffe's\n")
    done = source(tmp_path, str(changed))
    assert done.returncode != 0
    message = " ".join(done.stderr.split())
    assert f"{changed} is not the source tree" in message
    assert "its files differ from the package's" in message


def known_files() -> list[str]:
    text = (ROOT / "caffe_ext/files.cmake").read_text()
    return [line.strip() for line in text.splitlines() if line.startswith("  src/")]


def test_without_network_and_copy_the_way_out_is_named(tmp_path: Path) -> None:
    done = source(tmp_path, "", PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path), PIP_CONFIG_FILE="/dev/null")
    assert done.returncode != 0
    message = " ".join(done.stderr.split())
    assert "Caffe's sources could not be fetched" in message
    assert "make CAFFE_SOURCE_DIR=DIR" in message
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
    assert not set(tracked) & set(known_files())


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
