"""Files of people one does not know: read, or refused in one line; no crash, no code, no endless memory."""

from __future__ import annotations

import io
import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
import zlib
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import pytest

import hostile_files
import hostile_targets
from drml.data.landmark_files import read_landmarks
from drml.data.lmdb import check_lmdb, read_lmdb, read_mean, write_lmdb
from drml.data.manifest import read_manifest
from drml.data.readers import disfa_landmarks, images, listed, mat5
from drml.io import limits
from drml.io.child import ChildReader
from drml.io.errors import UserError
from drml.nets import prototxt

# --- all readers, some changed files of each


@pytest.mark.parametrize("name", hostile_targets.TARGETS)
def test_changed_files_are_read_or_refused(name: str, tmp_path: Path) -> None:
    fault = hostile_files.in_child(name, tmp_path / "work", examples=25)
    assert fault is None, fault


@pytest.mark.parametrize("name", hostile_targets.PLANTED)
def test_the_fuzzer_finds_what_it_looks_for(name: str, tmp_path: Path) -> None:
    fault = hostile_files.in_child(name, tmp_path / "work", examples=1)
    assert fault is not None and name in fault.removeprefix(f"{name}: ")
    assert (tmp_path / "work/f").read_bytes() == b"+abc"


# --- bombs: little on disk, much when unpacked


def big_npz(path: Path, count: int) -> None:
    """Write an .npz whose `landmarks` are zeros, and unpack to four bytes for each of `count`."""
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(head, {"descr": "<f4", "fortran_order": False, "shape": (count,)})
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("landmarks.npy", "w", force_zip64=True) as file:
            file.write(head.getvalue())
            for _ in range(-(-count * 4 // (1 << 24))):
                file.write(bytes(1 << 24))
        archive.writestr("keys.npy", b"")


def test_an_npz_that_unpacks_to_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "ARRAY_BYTES", 1 << 20)
    big_npz(tmp_path / "a.npz", 1 << 24)
    assert (tmp_path / "a.npz").stat().st_size < 1 << 20
    with pytest.raises(UserError, match=r"a\.npz: \d+ bytes; at most 1048576 are read"):
        read_landmarks(tmp_path / "a.npz")


def test_an_array_that_claims_more_than_is_there_takes_no_memory(tmp_path: Path) -> None:
    head = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        head, {"descr": "<f4", "fortran_order": False, "shape": (1 << 38, 49, 2)}
    )
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("keys.npy", head.getvalue())
        archive.writestr("landmarks.npy", head.getvalue())
    with pytest.raises(UserError, match=r"a\.npz: cannot be read as landmarks \(keys\.npy is cut short\)"):
        read_landmarks(tmp_path / "a.npz")


def test_pickles_are_not_loaded(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "done"),)

    evil = np.empty(1, object)
    evil[0] = Evil()
    np.savez(tmp_path / "a.npz", keys=evil, landmarks=evil)
    with pytest.raises(UserError, match="cannot be read as landmarks"):
        read_landmarks(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(UserError, match="cannot be read as landmarks"):
        read_landmarks(tmp_path / "b.npz")
    assert not (tmp_path / "done").exists()


def png(width: int, height: int) -> bytes:
    """Make a PNG of one grey: a few kilobytes whatever its size."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return (
            struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        )

    engine = zlib.compressobj(9)
    rows = b"".join(engine.compress(bytes(1 + width)) for _ in range(height)) + engine.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def test_an_image_of_too_many_pixels_is_refused_by_its_head(tmp_path: Path) -> None:
    assert images.decode_bgr(png(30, 20))[0].shape == (20, 30, 3)
    data = png(14_000, 15_000)
    assert len(data) < 1 << 20
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UserError, match="an image of 14000x15000 pixels; at most 201326592, and 16384"):
        images.decode_bgr(data)
    bomb = cv2.imencode(".bmp", np.zeros((4, 4, 3), np.uint8))[1].tobytes()
    with pytest.raises(UserError, match="an image of too many pixels"):
        images.decode_bgr(bomb[:18] + struct.pack("<ii", 30_000, 30_000) + bomb[26:])
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000  # kB


MAT5_HEAD = b"x".ljust(124) + b"\x00\x01IM"


def matrix(content: bytes) -> bytes:
    return struct.pack("<II", 14, len(content)) + content


def limited(monkeypatch: pytest.MonkeyPatch, *, memory: int = 64 << 20, seconds: float = 60) -> ChildReader:
    """Let the child that reads MATLAB files have less memory or time."""
    child = ChildReader("drml.data.readers.mat5_child:load_landmarks", memory=memory, seconds=seconds)
    monkeypatch.setattr(mat5, "_child", child)
    return child


def pts_of(count: int, content: bytes) -> bytes:
    """Make the matrix `pts` of a file of version 5: it claims `count` doubles and has `content`."""
    flags, name = struct.pack("<4I", 6, 8, 6, 0), struct.pack("<II", 1, 3) + b"pts".ljust(8, b"\0")
    size = struct.pack("<IIii", 5, 8, count, 1)
    return matrix(flags + size + name + struct.pack("<II", 9, 8 * count) + content)


def test_a_matlab_file_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = limited(monkeypatch)
    path = tmp_path / "SN001_0000_lm.mat"
    for megabytes in (1, 128):
        packed = zlib.compress(pts_of(megabytes << 17, bytes(megabytes << 20)))
        path.write_bytes(MAT5_HEAD + struct.pack("<II", 15, len(packed)) + packed)
        assert path.stat().st_size < 1 << 20
        if megabytes == 1:
            assert disfa_landmarks.read_points(path).shape == (1 << 17, 1)
    with pytest.raises(UserError, match=r"_lm\.mat: .*needs more than 67108864 bytes of memory"):
        disfa_landmarks.read_points(path)
    child.close()


def test_a_child_that_dies_or_hangs_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, said in (("abort", "ended the process that read it"), ("pause", "took more than 1.5 s")):
        module = tmp_path / f"{name}_module.py"
        wait = "import signal; signal.pause()" if name == "pause" else "import os; os.abort()"
        module.write_text(
            "import numpy\n"
            "def read(path):\n"
            f"    if path.endswith('bad'): {wait}\n"
            "    if path.endswith('wrong'): raise KeyError('no such thing')\n"
            "    return {'a': numpy.ones((2, 3), 'f4'), 'b': numpy.array(7)}\n"
        )
        monkeypatch.syspath_prepend(tmp_path)
        child = ChildReader(f"{name}_module:read", memory=1 << 26, seconds=1.5 if name == "pause" else 60)
        for _ in range(2):
            found = child("good")
            assert found["a"].tolist() == [[1, 1, 1]] * 2 and found["b"] == 7
            with pytest.raises(ValueError, match="no such thing"):
                child("wrong")
            with pytest.raises(ValueError, match=said):
                child("bad")
        child.close()


def test_cells_nested_too_deep_are_refused(tmp_path: Path) -> None:
    flags, name = struct.pack("<4I", 6, 8, 1, 0), struct.pack("<II", 1, 0)
    size = struct.pack("<IIii", 5, 8, 1, 1)
    content = b""
    for _ in range(2_000):
        content = matrix(flags + size + name + content)
    path = tmp_path / "SN001_0000_lm.mat"
    path.write_bytes(MAT5_HEAD + content)
    with pytest.raises(UserError, match=r"_lm\.mat: "):
        disfa_landmarks.read_points(path)


def test_a_matrix_that_claims_more_than_is_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "SN001_0000_lm.mat"
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    for count in (100, 1 << 28):
        path.write_bytes(MAT5_HEAD + pts_of(count, bytes(80)))
        with pytest.raises(UserError, match=r"_lm\.mat: cannot be read as a MATLAB file"):
            disfa_landmarks.read_points(path)
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss - before < 700_000  # kB


def test_a_set_of_hdf5_that_claims_any_size_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "SN001_0000_lm.mat"
    with h5py.File(path, "w") as file:
        file.create_dataset(
            "pts", shape=(1 << 30, 1 << 10), dtype="f8", chunks=(1024, 1024), compression="gzip"
        )
    assert path.stat().st_size < 1 << 20
    with pytest.raises(UserError, match=r"more than 536870912 bytes \(docs/limits_python\.md\)"):
        disfa_landmarks.read_points(path)


def test_a_text_beyond_its_limit_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "LIST_BYTES", 10)
    (tmp_path / "a.csv").write_text("key,source,subject,task,frame,AU1\n")
    with pytest.raises(UserError, match=r"a\.csv: 34 bytes; at most 10 are read"):
        read_manifest(tmp_path / "a.csv")


def test_pipes_and_devices_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.csv")
    for path in (tmp_path / "a.csv", Path("/dev/zero")):
        with pytest.raises(UserError, match="a pipe or device, not a file"):
            read_manifest(path)
        with pytest.raises(UserError, match="a pipe or device, not a file"):
            read_mean(path)


def test_json_nested_too_deep_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[" * 100_000)
    with pytest.raises(ValueError, match="nested too deeply"):
        limits.read_json(tmp_path / "a.json")


# --- names that lead elsewhere


@pytest.mark.parametrize("name", ["../secret.png", "{}/secret.png", "a/../../secret.png"])
def test_a_list_names_images_of_its_own_folder_alone(tmp_path: Path, name: str) -> None:
    name = name.format(tmp_path)
    (tmp_path / "list/a").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(png(5, 5))
    path = tmp_path / "list/faces.csv"
    path.write_text(f"path,AU1,AU2\n{name},1,-1\n")
    with pytest.raises(UserError, match=r"line 2: .* outside of the list's folder.* --images-anywhere"):
        listed.read(path)
    assert len(listed.read(path, images_anywhere=True).records) == 1


def test_hdf5_is_not_led_to_other_files(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "secret.h5", "w") as file:
        file["pts"] = np.ones((66, 2))
    (tmp_path / "raw").write_bytes(bytes(66 * 2 * 8))
    layout = h5py.VirtualLayout((66, 2), "f8")
    layout[:] = h5py.VirtualSource(str(tmp_path / "secret.h5"), "pts", (66, 2))

    def link(file: h5py.File) -> None:
        file["pts"] = h5py.ExternalLink("secret.h5", "/pts")

    def soft(file: h5py.File) -> None:
        file["pts"] = h5py.SoftLink("/pts")

    def external(file: h5py.File) -> None:
        file.create_dataset("pts", (66, 2), "f8", external=[(str(tmp_path / "raw"), 0, 66 * 2 * 8)])

    def virtual(file: h5py.File) -> None:
        file.create_virtual_dataset("pts", layout)

    elsewhere = "kept in other"
    for write, said in ((link, "is a link"), (external, elsewhere), (virtual, elsewhere), (soft, "pts")):
        path = tmp_path / "SN001_0000_lm.mat"
        path.unlink(missing_ok=True)
        with h5py.File(path, "w") as file:
            write(file)
        with pytest.raises(UserError, match=said):
            disfa_landmarks.read_points(path)


def test_a_net_that_runs_code_or_writes_files_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("caffe")
    path = tmp_path / "deploy.prototxt"
    for kind, said in (("Python", "CAFFE_PYTHON_LAYERS=1"), ("HDF5Output", "run it with caffe itself")):
        path.write_text(f'layer {{ name: "x" type: "{kind}" bottom: "a" }}')
        with pytest.raises(UserError, match=f"layer 'x' of the type {kind} .*{said}"):
            prototxt.read_prototxt(path)
    monkeypatch.setenv("CAFFE_PYTHON_LAYERS", "1")
    path.write_text('layer { name: "x" type: "Python" }')
    assert prototxt.read_prototxt(path).layer[0].type == "Python"


# --- LMDB: what the library would follow out of the file


def database(tmp_path: Path, count: int = 300, size: int = 10) -> Path:
    items = [(f"{index:06d}", bytes(size), (1, -1)) for index in range(count)]
    write_lmdb(tmp_path / "db", items)
    return tmp_path / "db/data.mdb"


def newest_meta(data: bytes) -> int:
    return max((0, 4096), key=lambda at: struct.unpack_from("<Q", data, at + 144)[0])


@pytest.mark.parametrize(
    ("at", "value", "said"),
    [
        (92, struct.pack("<H", 4), "flags 0x4"),
        (94, struct.pack("<H", 40), "a tree of 40 levels"),
        (120, struct.pack("<Q", 7), "300 records where 7"),
        (128, struct.pack("<Q", 1 << 40), "is out of place"),
        (128, struct.pack("<Q", 1), "is out of place"),
        (128, struct.pack("<Q", 2), "damaged in page 2"),
        (136, struct.pack("<Q", 1 << 30), "truncated"),
        (40, struct.pack("<I", 0), "pages of"),
    ],
)
def test_a_database_whose_head_lies_is_refused(tmp_path: Path, at: int, value: bytes, said: str) -> None:
    path = database(tmp_path)
    data = bytearray(path.read_bytes())
    start = newest_meta(data) + at
    data[start : start + len(value)] = value
    path.write_bytes(data)
    with pytest.raises(UserError, match=said):
        list(read_lmdb(path.parent))


def test_every_page_of_a_database_is_looked_at(tmp_path: Path) -> None:
    """Whichever head of a page is changed, no child process dies of reading it."""
    path = database(tmp_path, count=200, size=40)
    whole = path.read_bytes()
    used = [page for page in range(2, len(whole) // 4096) if any(whole[page * 4096 : page * 4096 + 4096])]
    refused = 0
    for page in used:
        for at in (8, 10, 12, 14, 16):
            data = bytearray(whole)
            data[page * 4096 + at : page * 4096 + at + 2] = b"\xff\xff"
            path.write_bytes(data)
            try:
                list(read_lmdb(path.parent))
            except UserError:
                refused += 1
    assert refused > len(used)


def test_a_page_that_is_its_own_child_is_refused(tmp_path: Path) -> None:
    path = database(tmp_path)
    data = bytearray(path.read_bytes())
    root = struct.unpack_from("<Q", data, newest_meta(data) + 128)[0]
    node = root * 4096 + struct.unpack_from("<H", data, root * 4096 + 16)[0]
    struct.pack_into("<HHH", data, node, root, 0, 0)
    path.write_bytes(data)
    with pytest.raises(UserError, match=f"page {root} is out of place"):
        check_lmdb(path.parent)


# --- the command, as users meet it


def test_the_command_says_one_line_of_a_bomb(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("path,AU1\nbomb.png,1\n")
    (tmp_path / "bomb.png").write_bytes(png(14_000, 10_000))
    (tmp_path / "deep.json").write_text(json.dumps([[]]).replace("[]", "[" * 50_000))
    for arguments in (
        ["report", str(tmp_path / "r.html"), "--scores", str(tmp_path / "deep.json")],
        ["prepare", "images", str(tmp_path / "a.csv"), str(tmp_path / "out"), "--quiet", "--jobs", "1"],
    ):
        done = subprocess.run(
            [sys.executable, "-m", "drml", *arguments], capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, done.stderr
        assert len(done.stderr.splitlines()) == 1, done.stderr
