from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import lmdb
import numpy as np
import pytest

from drml.data.lmdb import check_lmdb, read_lmdb, read_mean, write_lmdb, write_mean
from drml.io.errors import UserError
from drml.io.messages import BlobProto, Datum


def items(count: int, size: int = 300) -> list[tuple[str, bytes, tuple[int, ...]]]:
    rng = np.random.default_rng(count)
    return [
        (f"{i:08d}_F001_T1_{i:04d}", rng.bytes(size), tuple(rng.integers(-1, 2, 12).tolist()))
        for i in range(count)
    ]


def fill(path: Path, values: dict[bytes, bytes]) -> Path:
    """A database of any contents, as another program might write it."""
    with lmdb.open(str(path)) as env, env.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)
    return path


def test_what_is_written_is_read(tmp_path: Path) -> None:
    written = items(2500)
    assert write_lmdb(tmp_path / "a_lmdb", iter(written)) == 2500
    assert check_lmdb(tmp_path / "a_lmdb") == 2500
    assert list(read_lmdb(tmp_path / "a_lmdb")) == written
    assert [path.name for path in tmp_path.iterdir()] == ["a_lmdb"]


def test_some_records_are_read_by_key(tmp_path: Path) -> None:
    written = items(20)
    write_lmdb(tmp_path / "a", written)
    keys = [written[7][0], "none", written[2][0]]
    assert list(read_lmdb(tmp_path / "a", keys)) == [written[7], written[2]]
    assert list(read_lmdb(tmp_path / "a", [])) == []


@pytest.mark.parametrize("shortened", [True, False])
def test_a_database_that_is_written_to_while_it_is_read(tmp_path: Path, shortened: bool) -> None:
    """In a process of its own, which a signal would end."""
    write_lmdb(tmp_path / "a", items(2000))
    change = "os.truncate(data, 4096)" if shortened else "os.utime(data, ns=(1, 1))"
    code = (
        "import os, sys\nfrom drml.io.errors import UserError\nfrom drml.data.lmdb import read_lmdb\n"
        "data = sys.argv[1] + '/data.mdb'\n"
        "try:\n"
        "    for count, item in enumerate(read_lmdb(sys.argv[1])):\n"
        f"        if count == 1000: {change}\n"
        "except UserError as error:\n"
        "    print(count, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "a"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"1000 {tmp_path / 'a'}: written to or cut short while it was read")


def test_a_database_that_another_one_replaces_is_read_to_its_end(tmp_path: Path) -> None:
    written = items(2000)
    write_lmdb(tmp_path / "a", written)
    write_lmdb(tmp_path / "b", items(1900))
    read = read_lmdb(tmp_path / "a")
    first = next(read)
    (tmp_path / "a").rename(tmp_path / "old")
    (tmp_path / "b").rename(tmp_path / "a")
    assert [first, *read] == written


def test_a_record_is_caffes_datum_and_our_labels(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "a", [("k", b"JPEG", np.array([1, 0, -1], np.int8))], shape=(3, 20, 30))
    with lmdb.open(str(tmp_path / "a"), readonly=True) as env, env.begin() as transaction:
        datum = Datum.FromString(transaction.get(b"k"))
    assert (datum.channels, datum.height, datum.width) == (3, 20, 30)
    assert (datum.data, datum.label, datum.encoded, list(datum.labels)) == (b"JPEG", 0, True, [1, 0, -1])


def test_the_map_grows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("drml.data.lmdb._FIRST_MAP", 1 << 16)
    monkeypatch.setattr("drml.data.lmdb._BATCH", 50)
    written = items(400, size=5000)
    write_lmdb(tmp_path / "a", written)
    assert list(read_lmdb(tmp_path / "a")) == written


def test_an_interrupted_run_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> object:
        yield from items(1500)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_lmdb(tmp_path / "a", broken())  # type: ignore[arg-type]  # wrong on purpose
    assert list(tmp_path.iterdir()) == []


def test_remains_of_a_killed_run_are_replaced(tmp_path: Path) -> None:
    fill(tmp_path / "a.partial-0123456789ab", {b"old": b"x"})
    write_lmdb(tmp_path / "a", items(3))
    assert list(read_lmdb(tmp_path / "a")) == items(3)
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_an_existing_database_stays(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "a", items(3))
    with pytest.raises(UserError, match=r"a: already there"):
        write_lmdb(tmp_path / "a", items(2))
    assert check_lmdb(tmp_path / "a") == 3


def test_keys_must_ascend(tmp_path: Path) -> None:
    for keys in (("b", "a"), ("a", "a")):
        with pytest.raises(ValueError, match="keys must ascend"):
            write_lmdb(tmp_path / "a", [(key, b"x", [1]) for key in keys])
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_said_and_nothing_is_left(tmp_path: Path) -> None:
    # A limit on the size of files fails a write as a full disk does. It needs a process of its own.
    script = """
import resource, sys
from drml.data.lmdb import write_lmdb
from drml.io.errors import UserError
resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, 2_000_000))
try:
    write_lmdb(sys.argv[1], ((f"{i:08d}", bytes(5000), [1]) for i in range(5000)))
except UserError as error:
    print(error)
    sys.exit(7)
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path / "a_lmdb")], capture_output=True, text=True, check=False
    )
    assert done.returncode == 7, done.stderr
    assert f"{tmp_path / 'a_lmdb'}: cannot be written (" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_places_where_nothing_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"a: cannot be written \(Not a directory: .*file\)"):
        write_lmdb(tmp_path / "file" / "a", items(1))


def test_missing_empty_and_foreign_databases(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    empty = fill(tmp_path / "empty", {})
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "data.mdb").write_bytes(bytes(10000))
    zero = tmp_path / "zero"
    zero.mkdir()
    (zero / "data.mdb").touch()
    for path, said in (
        (tmp_path / "none", "no such LMDB"),
        (tmp_path / "folder", "no data.mdb"),
        (empty, "the LMDB is empty"),
        (foreign, "not an LMDB file"),
        (zero, "truncated, 0 bytes"),
    ):
        with pytest.raises(UserError, match=said) as error:
            next(read_lmdb(path))
        assert str(path) in str(error.value)


@pytest.mark.parametrize("share", [0.999, 0.5, 0.02])
def test_truncated_databases_are_refused_before_they_are_mapped(tmp_path: Path, share: float) -> None:
    write_lmdb(tmp_path / "a", items(300, size=3000))
    data = tmp_path / "a" / "data.mdb"
    size = data.stat().st_size
    with data.open("r+b") as file:
        file.truncate(int(size * share))
    with pytest.raises(UserError, match=rf"data\.mdb: truncated, {int(size * share)} bytes of {size}"):
        next(read_lmdb(tmp_path / "a"))


def test_records_that_are_no_encoded_images_are_named(tmp_path: Path) -> None:
    raw = Datum(channels=1, height=1, width=1, data=b"x", label=0).SerializeToString()
    with pytest.raises(UserError, match="record 0001 holds raw pixels"):
        list(read_lmdb(fill(tmp_path / "raw", {b"0001": raw})))
    with pytest.raises(UserError, match="record 0002 is not a Datum"):
        list(read_lmdb(fill(tmp_path / "junk", {b"0002": b"\xff" * 9})))


def test_mean_images_there_and_back(tmp_path: Path) -> None:
    mean = np.random.default_rng(0).random((3, 4, 5), np.float32)
    write_mean(tmp_path / "mean.binaryproto", mean)
    np.testing.assert_array_equal(read_mean(tmp_path / "mean.binaryproto"), mean)
    blob = BlobProto.FromString((tmp_path / "mean.binaryproto").read_bytes())
    assert (blob.num, blob.channels, blob.height, blob.width) == (1, 3, 4, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["mean.binaryproto"]


def test_files_that_are_no_mean_image(tmp_path: Path) -> None:
    path = tmp_path / "mean.binaryproto"
    with pytest.raises(UserError, match="cannot be read"):
        read_mean(path)
    for content in (
        b"",
        b"\xff\xff\xff",
        BlobProto(num=1, channels=3, height=2, width=2).SerializeToString(),
    ):
        path.write_bytes(content)
        with pytest.raises(UserError, match="not a mean image"):
            read_mean(path)
    with pytest.raises(UserError, match=r"cannot be written"):
        write_mean(path / "mean.binaryproto", np.zeros((3, 2, 2)))
    with pytest.raises(ValueError, match="three axes"):
        write_mean(path, np.zeros((2, 2)))
