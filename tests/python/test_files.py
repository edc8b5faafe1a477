"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from drml.io.errors import UserError
from drml.io.files import check_inputs_kept, check_target, digest, making, temporary_path, writing


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill(part: Path, text: str, folder: bool) -> None:
    (part / "file" if folder else part).write_text(text)


def text_of(path: Path) -> str:
    return (path / "file" if path.is_dir() else path).read_text()


def test_a_digest_is_of_all_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")  # the first example of the standard, FIPS 180-4
    assert digest(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    whole = os.urandom((3 << 20) + 1)
    for content in (b"", whole, whole[:-1] + bytes([whole[-1] ^ 1]), bytes([whole[0] ^ 1]) + whole[1:]):
        path.write_bytes(content)
        assert digest(path) == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("folder", [False, True])
def test_it_appears_at_the_end_with_its_parents(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "new" / "deep" / "out.npz"
    with making(path, folder=folder) as part:
        assert part.parent == path.parent and part.exists() and not path.exists()
        assert folder or part.suffix == ".npz"
        fill(part, "whole", folder)
    assert text_of(path) == "whole" and names(path.parent) == ["out.npz"]
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == (0o777 if folder else 0o666) & ~umask


@pytest.mark.parametrize("folder", [False, True])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_errors_and_interrupts_leave_everything_as_it_was(
    tmp_path: Path, folder: bool, error: type[BaseException]
) -> None:
    with pytest.raises(error), making(tmp_path / "new" / "out", folder=folder) as part:
        fill(part, "half", folder)
        raise error
    assert names(tmp_path) == []
    with making(tmp_path / "out", folder=folder) as part:
        fill(part, "old", folder)
    with pytest.raises(error), making(tmp_path / "out", folder=folder, overwrite=True) as part:
        fill(part, "half", folder)
        raise error
    assert text_of(tmp_path / "out") == "old" and names(tmp_path) == ["out"]


@pytest.mark.parametrize("folder", [False, True])
def test_what_exists_is_replaced_only_when_that_is_asked_for(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "out"
    with making(path, folder=folder) as part:
        fill(part, "old", folder)
    with (
        pytest.raises(UserError, match=r"out: .* replace it with --overwrite"),
        making(path, folder=folder),
    ):
        pytest.fail("checked before the work")
    with making(path, folder=folder, overwrite=True) as part:
        assert text_of(path) == "old"
        fill(part, "new", folder)
    assert text_of(path) == "new" and names(tmp_path) == ["out"]


@pytest.mark.parametrize("folder", [False, True])
def test_what_appears_meanwhile_stays(tmp_path: Path, folder: bool) -> None:
    path = tmp_path / "out"
    said = "out: not empty; choose" if folder else "out: already exists; choose"
    with (
        pytest.raises(UserError, match=said),
        making(path, folder=folder) as part,
    ):
        fill(part, "second", folder)
        with making(path, folder=folder) as other:
            fill(other, "first", folder)
    assert text_of(path) == "first" and names(tmp_path) == ["out"]


def test_a_link_with_the_name_of_a_leftover_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/file").write_text("x")
    (tmp_path / "out.partial-0123456789ab").symlink_to(tmp_path / "mine")
    os.mkfifo(tmp_path / "out.partial-0123456789ac")
    with making(tmp_path / "out", folder=True) as part:
        fill(part, "x", True)
    assert names(tmp_path) == ["mine", "out", "out.partial-0123456789ab", "out.partial-0123456789ac"]
    assert names(tmp_path / "mine") == ["file"]


@pytest.mark.parametrize("folder", [False, True])
def test_what_the_body_removed_itself_hides_no_error(tmp_path: Path, folder: bool) -> None:
    with pytest.raises(ValueError, match="first"), making(tmp_path / "out", folder=folder) as part:
        part.rmdir() if folder else part.unlink()
        raise ValueError("first")
    assert names(tmp_path) == []


def test_an_old_folder_that_cannot_be_removed_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "out"
    with making(path, folder=True) as part:
        fill(part, "old", True)

    def rmtree(_: Path, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            raise PermissionError(errno.EACCES, "denied")

    monkeypatch.setattr(shutil, "rmtree", rmtree)  # the superuser may remove anything
    with making(path, folder=True, overwrite=True) as part:
        fill(part, "new", True)
    assert text_of(path) == "new"


def test_writing_replaces_a_file_when_all_is_written(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    for text in ("first", "second"):
        with writing(path, newline="") as file:
            file.write(text)
            assert not path.exists() or path.read_text() == "first"
        assert path.read_text() == text
    with writing(path, "wb") as file:
        file.write(b"\xff")
    assert path.read_bytes() == b"\xff" and names(tmp_path) == ["out.csv"]
    with pytest.raises(ValueError, match="no"), writing(path) as file:
        file.write("half")
        raise ValueError("no")
    assert path.read_bytes() == b"\xff" and names(tmp_path) == ["out.csv"]


def test_a_temporary_file_keeps_its_suffix_and_each_is_a_new_one(tmp_path: Path) -> None:
    path = tmp_path / "scores.csv"
    assert temporary_path(path).suffix == ".csv" and temporary_path(path).parent == tmp_path
    assert temporary_path(path, folder=True).name.startswith("scores.csv.partial-")
    assert len({temporary_path(path) for _ in range(20)}) == 20


@pytest.mark.parametrize("folder", [False, True])
def test_nothing_of_somebody_else_is_touched(tmp_path: Path, folder: bool) -> None:
    for name in ("out.partial", "out.old", "out.partial-mine", "out.partial-0123456789ab.txt"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine").write_text("x")
    before = names(tmp_path)
    with making(tmp_path / "out", folder=folder) as part:
        fill(part, "x", folder)
    with making(tmp_path / "out", folder=folder, overwrite=True) as part:
        fill(part, "x", folder)
    assert names(tmp_path) == sorted([*before, "out"])
    assert all((tmp_path / name / "mine").read_text() == "x" for name in before)


def test_an_empty_folder_is_filled(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    with making(tmp_path / "out", folder=True) as part:
        fill(part, "x", True)
    assert text_of(tmp_path / "out") == "x"


@pytest.mark.parametrize("folder", [False, True])
def test_a_link_stays_a_link(tmp_path: Path, folder: bool) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk" / "out")
    for overwrite in (False, True):  # where the link leads nowhere, and where it does
        with making(tmp_path / "link", folder=folder, overwrite=overwrite) as part:
            fill(part, str(overwrite), folder)
        assert (tmp_path / "link").is_symlink() and text_of(tmp_path / "disk" / "out") == str(overwrite)
    assert names(tmp_path / "disk") == ["out"]


def test_what_a_killed_process_left_is_removed_and_a_living_one_is_left_alone(tmp_path: Path) -> None:
    code = (
        "import sys, time; from drml.io.files import making\n"
        "with making(sys.argv[1], folder=True) as part:\n"
        "    (part / 'file').write_text('half'); print(part, flush=True); time.sleep(60)"
    )
    others = [f"other{number:02d}" for number in range(30)]  # in whatever order the folder lists them
    for name in others:
        (tmp_path / name).mkdir()
    command = [sys.executable, "-c", code, str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        left = Path(process.stdout.readline().strip())
        with making(tmp_path / "out", folder=True) as part:
            fill(part, "first", True)
        assert (left / "file").exists()
        process.send_signal(signal.SIGKILL)
    assert (left / "file").exists()
    with making(tmp_path / "out", folder=True, overwrite=True) as part:
        fill(part, "second", True)
    assert names(tmp_path) == [*others, "out"] and text_of(tmp_path / "out") == "second"


def test_an_old_folder_is_put_back_if_the_new_one_cannot_take_its_place(tmp_path: Path) -> None:
    path = tmp_path / "out"
    with making(path, folder=True) as part:
        fill(part, "old", True)
    with pytest.raises(FileNotFoundError), making(path, folder=True, overwrite=True) as part:
        part.rmdir()
    assert text_of(path) == "old" and names(tmp_path) == ["out"]


def test_a_folder_that_is_taken_for_a_leftover_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, taken = fcntl.flock, []

    def flock(file: int, how: int) -> None:
        if how == fcntl.LOCK_EX and not taken:
            taken.extend(tmp_path.glob("out.partial-*"))
            taken[0].rmdir()  # as another process might
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    with making(tmp_path / "out", folder=True) as part:
        fill(part, "x", True)
    assert taken == [part] and text_of(tmp_path / "out") == "x" and names(tmp_path) == ["out"]


def test_many_at_once(tmp_path: Path) -> None:
    faults: list[BaseException] = []

    def make(text: str) -> None:
        try:
            with making(tmp_path / "out", overwrite=True) as part:
                part.write_text(text * 1000)
        except BaseException as error:
            faults.append(error)

    threads = [threading.Thread(target=make, args=(letter,)) for letter in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults and names(tmp_path) == ["out"]
    assert len(set(text_of(tmp_path / "out"))) == 1


def test_errors_name_what_was_asked_for(tmp_path: Path) -> None:
    def failing(part: Path, folder: bool) -> None:
        (part / "sub" / "x" if folder else part / "x").write_text("")

    for folder, name in ((True, "out/sub/x"), (False, "out/x")):
        out = tmp_path / "out"
        with pytest.raises(OSError, match="directory") as caught, making(out, folder=folder) as part:
            failing(part, folder)
        assert caught.value.filename == str(tmp_path / name)
    with pytest.raises(OSError, match="No space") as caught, writing(tmp_path / "out"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "out")
    with pytest.raises(OSError, match=r"^the file is cut short$"), making(tmp_path / "out"):
        raise OSError("the file is cut short")  # as HDF5's library says it
    with pytest.raises(OSError, match="none") as caught, making(tmp_path / "out"):
        (tmp_path / "none").read_text()
    assert caught.value.filename == str(tmp_path / "none"), "another file is at fault"


def test_long_and_odd_names(tmp_path: Path) -> None:
    for name in ("x" * 250, "顔" * 80 + ".csv", os.fsdecode(b"\xff.json"), "x." + "y" * 240):
        for folder in (False, True):
            with making(tmp_path / name, folder=folder) as part:
                fill(part, "x", folder)
            assert names(tmp_path) == [name]
            with making(tmp_path / name, folder=folder, overwrite=True) as part:
                fill(part, "y", folder)
            assert text_of(tmp_path / name) == "y"
            if folder:
                (tmp_path / name / "file").unlink()
                (tmp_path / name).rmdir()
            else:
                (tmp_path / name).unlink()


def test_faults_are_found_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    for path, options, message in (
        ("folder", {}, r"folder: this is a folder; give the name of a file in it"),
        ("pipe", {"overwrite": True}, r"pipe: this is a device or a pipe"),
        ("file", {}, r"file: already exists; choose another name, or replace it with --overwrite"),
        ("file", {"folder": True}, r"file: there is a file of this name; choose another folder"),
        ("file/x/y", {}, r"file/x/y: cannot be written \(Not a directory: .*/file\); choose another folder"),
    ):
        with pytest.raises(UserError, match=message):
            check_target(tmp_path / path, **options)
    for path in (".", "..", "/"):
        with pytest.raises(UserError, match="this is a folder"):
            check_target(path, overwrite=True)
        with pytest.raises(UserError, match="name a folder that is to be made"):
            check_target(path, folder=True, overwrite=True)
    check_target(tmp_path / "new" / "deep" / "file")
    assert not (tmp_path / "new").exists()


def test_a_folder_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "locked").mkdir()
    # The superuser may write anywhere, so that the answer is simulated.
    needed = os.W_OK | os.X_OK
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "locked" or mode != needed)
    with pytest.raises(UserError, match=r"x/y: cannot be written \(Permission denied: .*/locked\)"):
        check_target(tmp_path / "locked" / "x" / "y")


def test_an_output_never_replaces_an_input(tmp_path: Path) -> None:
    (tmp_path / "data/sub").mkdir(parents=True)
    photo = tmp_path / "data/sub/a.jpg"
    photo.touch()
    (tmp_path / "link").symlink_to(tmp_path / "data")
    for out in (photo, tmp_path / "data", tmp_path / "link", tmp_path / "data/sub/../sub"):
        with pytest.raises(UserError, match=r"would replace .*/a\.jpg, which is an input; choose another"):
            check_inputs_kept(out, [tmp_path / "none", photo])
    for out in (tmp_path / "data/sub/b", tmp_path / "dat", tmp_path / "new"):
        check_inputs_kept(out, [photo, tmp_path / "new"])
