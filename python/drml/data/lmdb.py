"""Writes and reads LMDBs of encoded images with labels, as Caffe and the `MultiLabelData` layer use them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, NamedTuple

import lmdb
import numpy as np
from google.protobuf.message import DecodeError

from drml.io.errors import UserError
from drml.io.files import making, writing
from drml.io.limits import LABELS, MEAN_BYTES, read_bytes
from drml.io.lmdb_pages import check_pages
from drml.io.messages import BlobProto, Datum, array_of_blob, blob_of_array

__all__ = ["Item", "check_lmdb", "read_lmdb", "read_mean", "write_lmdb", "write_mean"]

_FIRST_MAP = 64 << 20
_BATCH = 1000  # records of a transaction, which are held in memory

_EXCHANGE = "prepare it again; to replace data that are in use, write a new folder and rename it"

Buffer = bytes | memoryview


class Item(NamedTuple):
    """One record of a database.

    ``image`` is an encoded file (JPEG, PNG), ``labels`` has one value in {-1, 0, 1} for each AU.
    """

    key: str
    image: bytes
    labels: Sequence[int]


def write_lmdb(
    path: Path | str,
    items: Iterable[tuple[str, bytes, Sequence[int]]],
    *,
    shape: tuple[int, int, int] = (3, 200, 200),
) -> int:
    """Write a database, which appears when it is complete.

    Parameters
    ----------
    path : path-like
        The folder to make; it must not exist.
    items : iterable of (key, image, labels)
        Keys must ascend, so that pages fill up and Caffe reads in file order.
    shape : tuple, keyword-only
        Channels, height and width of the images.

    Returns
    -------
    int
        The number of records.

    Raises
    ------
    UserError
        The folder cannot be written, or the disk is full; what was written is removed.
    """
    path = Path(path)
    if path.exists():
        raise UserError(f"{path}: already there; remove it first")
    try:
        with making(path, folder=True) as part:
            return _write(part, items, shape)
    except (OSError, lmdb.Error) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise UserError(
            f"{path}: cannot be written ({reason}); free space or choose another folder"
        ) from None


def _write(
    folder: Path, items: Iterable[tuple[str, bytes, Sequence[int]]], shape: tuple[int, int, int]
) -> int:
    # No lock file, because nobody else knows the folder; one sync at the end instead of one for each batch.
    env = lmdb.open(str(folder), map_size=_FIRST_MAP, lock=False, sync=False, readahead=False)
    try:
        count = 0
        batch: list[tuple[bytes, bytes]] = []
        previous = b""
        channels, height, width = shape
        for name, image, labels in items:
            key = name.encode("ascii")
            if key <= previous:
                raise ValueError(f"keys must ascend: {name} after {previous.decode()}")
            previous = key
            datum = Datum(channels=channels, height=height, width=width, data=image, label=0, encoded=True)
            datum.labels.extend(int(value) for value in labels)
            batch.append((key, datum.SerializeToString()))
            count += 1
            if len(batch) == _BATCH:
                _put(env, batch)
                batch.clear()
        _put(env, batch)
        env.sync(True)
    finally:
        env.close()
    return count


def _put(env: lmdb.Environment, batch: list[tuple[bytes, bytes]]) -> None:
    while True:
        try:
            with env.begin(write=True) as transaction:
                for key, value in batch:
                    transaction.put(key, value, append=True)
            return
        except lmdb.MapFullError:
            # The whole transaction was rolled back: enlarge the map and try again.
            env.set_mapsize(env.info()["map_size"] * 2)


def check_lmdb(path: Path | str) -> int:
    """Check the pages of a database before the library maps them; see `drml.io.lmdb_pages`.

    Returns
    -------
    int
        The number of records, at least 1.

    Raises
    ------
    UserError
        The database is missing, empty, truncated, damaged or not an LMDB.
    """
    path = Path(path)
    data = path / "data.mdb"
    if not path.is_dir():
        raise UserError(f"{path}: no such LMDB; make it with `drml prepare`")
    if not data.is_file():
        raise UserError(f"{path}: no LMDB, there is no data.mdb in it; make it with `drml prepare`")
    try:
        entries = check_pages(data)
    except OSError as error:
        raise UserError(f"{data}: cannot be read ({error.strerror})") from None
    if entries == 0:
        raise UserError(f"{path}: the LMDB is empty")
    return entries


def read_lmdb(path: Path | str, keys: Sequence[str] | None = None) -> Iterator[Item]:
    """Read all records of a database in the order of its keys, or some records.

    Parameters
    ----------
    path : path-like
    keys : sequence of str, optional
        Read only these records, in this order; keys that do not exist are ignored.

    Yields
    ------
    Item
        Key, encoded image, labels (a tuple of int).

    Raises
    ------
    UserError
        The database is missing, empty, truncated, damaged, or written to while it is read, or a record is not
        an encoded image; the message names its key.
    """
    path = Path(path)
    check_lmdb(path)
    # No lock file: the folder may be read-only, and nothing writes to a finished database.
    try:
        env = lmdb.open(str(path), readonly=True, lock=False, readahead=True)
    except lmdb.Error as error:
        raise UserError(f"{path}: cannot be opened as an LMDB ({error})") from None
    try:
        with env.begin(buffers=True) as transaction, (path / "data.mdb").open("rb") as data:
            opened = _state(data)
            records: Iterable[tuple[Buffer, Buffer | None]] = transaction.cursor()
            if keys is not None:
                records = ((key.encode(), transaction.get(key.encode())) for key in keys)
            for raw_key, value in records:
                if value is None:
                    continue
                key = bytes(raw_key).decode("ascii", "backslashreplace")
                try:
                    datum = Datum.FromString(bytes(value))
                except DecodeError:
                    raise UserError(f"{path}: record {key} is not a Datum") from None
                if not datum.encoded:
                    raise UserError(f"{path}: record {key} holds raw pixels, not an encoded image")
                if len(datum.labels) > LABELS:
                    raise UserError(f"{path}: record {key} has {len(datum.labels)} labels, over {LABELS}")
                yield Item(key, datum.data, tuple(datum.labels))
                # Check before the map is touched again: reading a page that is gone would end the process.
                if _state(data) != opened:
                    raise UserError(f"{path}: written to or cut short while it was read; {_EXCHANGE}")
    except lmdb.Error as error:
        raise UserError(f"{path}: damaged ({error}); copy or make it again") from None
    finally:
        env.close()


def _state(file: IO[bytes]) -> tuple[int, int]:
    """Return size and time of an open file, which change with every write to it."""
    info = os.fstat(file.fileno())
    return info.st_size, info.st_mtime_ns


def write_mean(path: Path | str, mean: np.ndarray) -> None:
    """Write a mean image (C, H, W) as Caffe's ``BlobProto``.

    Raises
    ------
    UserError
        The file cannot be written; nothing of it is left.
    """
    path = Path(path)
    mean = np.asarray(mean, np.float32)
    if mean.ndim != 3:
        raise ValueError(f"a mean image has three axes (C, H, W), not {mean.shape}")
    blob = blob_of_array(mean)
    try:
        with writing(path, "wb") as file:
            file.write(blob.SerializeToString())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise UserError(
            f"{path}: cannot be written ({error.strerror}); free space or choose another folder"
        ) from None


def read_mean(path: Path | str) -> np.ndarray:
    """Read a mean image: float32, shape (C, H, W).

    Raises
    ------
    UserError
        The file is missing or not a mean image.
    """
    path = Path(path)
    try:
        blob = BlobProto.FromString(read_bytes(path, MEAN_BYTES))
    except OSError as error:
        raise UserError(f"{path}: the mean image cannot be read ({error.strerror})") from None
    except DecodeError:
        raise UserError(f"{path}: not a mean image (not a BlobProto)") from None
    try:
        return array_of_blob(blob)
    except ValueError as error:
        raise UserError(f"{path}: not a mean image ({error})") from None
