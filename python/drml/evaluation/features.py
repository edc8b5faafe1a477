"""Extracts features: a blob of the network (fc9 by default) for every record, written to .npz or .h5."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from drml.data.split import open_split
from drml.io.errors import UsageError, UserError
from drml.io.files import check_target, writing
from drml.nets.net import CaffeNet
from drml.nets.preprocessing import find_preprocessing

__all__ = ["BlobReader", "Extracted", "extract"]


class BlobReader:
    """Runs a net over prepared data and returns one of its blobs, batch by batch.

    Parameters
    ----------
    deploy, weights, data, mean, scale, batch, probe
        As in `drml.evaluation.scoring.score`.
    blob : str
        A blob of the net with one row per image.

    Attributes
    ----------
    source : Split
    settings : Preprocessing
        How images become the net's input.
    weights : path
    blob : str

    Raises
    ------
    UserError
        As in `score`, or the net has no such blob.
    """

    def __init__(
        self,
        deploy: str | Path,
        weights: str | Path,
        data: str | Path,
        *,
        blob: str = "fc9",
        mean: str | Path | None = None,
        scale: float | None = None,
        batch: int = 32,
        probe: bool = True,
    ) -> None:
        self.source = open_split(data)
        self.settings = find_preprocessing(weights, self.source.lmdb, mean=mean, scale=scale)
        self.weights = weights
        self.blob = blob
        self._batch = batch
        self._net = CaffeNet(deploy, weights, batch=batch, probe=probe, **self.settings.net_options())
        if blob not in self._net.blob_names:
            raise UserError(f"{deploy}: no blob '{blob}'; it has {', '.join(self._net.blob_names)}")

    def batches(
        self, *, progress: bool = True
    ) -> Iterator[tuple[list[str], NDArray[np.float32], dict[str, NDArray[np.int8]]]]:
        """Run the net.

        Yields
        ------
        keys : list of str
            Of a few records, N of them.
        features : ndarray of float32
            N x the blob's shape.
        labels : dict of str to ndarray of int8
            ``"labels"``, the occurrences, N x K, and ``"intensities"``, N x L, as far as the data have them.

        Raises
        ------
        UserError
            A record is damaged, or the data hold none.
        """
        empty = True
        name = str(self.source.name)
        records = self.source.whole_records()
        with tqdm(total=self.source.size, desc=name, unit="img", disable=not progress) as bar:
            while batch := list(itertools.islice(records, self._batch)):
                keys, images, occurrences, levels = zip(*batch, strict=True)
                kinds = {"labels": np.stack(occurrences), "intensities": np.stack(levels)}
                known = {kind: values for kind, values in kinds.items() if values.shape[1]}
                yield list(keys), self._net.forward(images, [self.blob])[self.blob], known
                bar.update(len(keys))
                empty = False
        if empty:
            raise UserError(f"{name}: no record in it")


@dataclass(frozen=True)
class Extracted:
    """A file of features: its path, the number of rows, the shape of one row."""

    path: Path
    rows: int
    shape: tuple[int, ...]


def extract(
    deploy: str | Path,
    weights: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    blob: str = "fc9",
    mean: str | Path | None = None,
    scale: float | None = None,
    batch: int = 32,
    progress: bool = True,
    probe: bool = True,
) -> Extracted:
    """Run a net over a data set and write one of its blobs.

    The file holds ``keys`` (N strings), ``features`` (N x the blob's shape, float32), and, as far as the data
    have them, ``labels`` (occurrences, N x K, int8) and ``intensities`` (N x L, int8). It appears only when
    it is complete.

    Parameters
    ----------
    deploy, weights, data, mean, scale, batch, probe
        As in `drml.evaluation.scoring.score`.
    out : path
        A name that ends in .npz (NumPy) or .h5 (HDF5).
    blob : str
        A blob of the net with one row per image.
    progress : bool

    Returns
    -------
    Extracted

    Raises
    ------
    UserError
        As in `score`, or the net has no such blob, or the ending is unknown.
    OSError
        The file cannot be written; no part of it is left.
    """
    out = Path(out)
    if out.suffix not in _WRITERS:
        raise UsageError(f"{out}: ending '{out.suffix}' is unknown; give a name that ends in .npz or .h5")
    check_target(out, overwrite=True)
    reader = BlobReader(deploy, weights, data, blob=blob, mean=mean, scale=scale, batch=batch, probe=probe)
    rows, shape = 0, ()
    with _WRITERS[out.suffix](out) as writer:
        for keys, features, labels in reader.batches(progress=progress):
            writer.append(keys, features, labels)
            rows, shape = rows + len(keys), features.shape[1:]
    return Extracted(out, rows, shape)


class _KeptFaults:
    """A file that hides failed writes from HDF5 and raises them later.

    HDF5 does not survive a write that fails (on a full disk): closing then fails too, and the process
    crashes when it exits. So failed writes seem to succeed, and `check` raises the first error.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._fault: OSError | None = None

    def check(self) -> None:
        """Raise the error of the first write that failed, if any."""
        if self._fault is not None:
            raise self._fault

    def _keep(self, work: Callable[[], int | None], otherwise: int) -> int:
        if self._fault is None:
            try:
                return work() or otherwise
            except OSError as error:
                self._fault = error
        return otherwise

    def write(self, data: Any) -> int:
        return self._keep(lambda: self._file.write(data), memoryview(data).nbytes)

    def flush(self) -> None:
        self._keep(self._file.flush, 0)

    def truncate(self, size: int) -> int:
        return self._keep(lambda: self._file.truncate(size), size)

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)

    def readinto(self, buffer: Any) -> int:
        return int(self._file.readinto(buffer))  # type: ignore[attr-defined]  # IO[bytes] does not name it

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


class _Hdf5:
    """Appends to growing datasets of an HDF5 file."""

    def __init__(self, file: Any, raw: _KeptFaults) -> None:
        self._file = file
        self._raw = raw

    def append(self, keys: Sequence[str], features: NDArray[Any], labels: dict[str, NDArray[Any]]) -> None:
        import h5py

        strings = h5py.string_dtype()
        rows = {"keys": np.array(keys, object), "features": features, **labels}
        for name, values in rows.items():
            if name not in self._file:
                self._file.create_dataset(
                    name,
                    shape=(0, *values.shape[1:]),
                    maxshape=(None, *values.shape[1:]),
                    dtype=strings if name == "keys" else values.dtype,
                )
            data = self._file[name]
            data.resize(len(data) + len(values), axis=0)
            data[len(data) - len(values) :] = values
        self._raw.check()


@contextmanager
def _hdf5(out: Path) -> Iterator[_Hdf5]:
    import h5py

    # Unbuffered, since a buffer would repeat a failed write at the next seek.
    with writing(out, "w+b", buffering=0) as raw:
        kept = _KeptFaults(raw)
        with h5py.File(kept, "w") as file:
            yield _Hdf5(file, kept)
        kept.check()


class _Npz:
    """Keeps the features on disk until their number, which the header of a .npy needs, is known."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.keys: list[str] = []
        self.labels: dict[str, list[NDArray[Any]]] = {}
        self.shape: tuple[int, ...] = ()

    def append(self, keys: Sequence[str], features: NDArray[Any], labels: dict[str, NDArray[Any]]) -> None:
        self.keys += keys
        for kind, values in labels.items():
            self.labels.setdefault(kind, []).append(values)
        self.shape = features.shape[1:]
        self._store.write(np.ascontiguousarray(features, np.float32).tobytes())

    def save(self, file: Any) -> None:
        self._store.flush()
        shape = (len(self.keys), *self.shape)
        features = np.memmap(self._store, np.float32, mode="r", shape=shape)
        arrays: dict[str, Any] = {"keys": np.array(self.keys), "features": features}
        arrays |= {kind: np.concatenate(parts) for kind, parts in self.labels.items()}
        np.savez(file, **arrays)


@contextmanager
def _npz(out: Path) -> Iterator[_Npz]:
    try:
        # On the disk of the result, which must have the space in any case.
        with writing(out, "wb") as file, tempfile.TemporaryFile(dir=out.parent) as store:
            writer = _Npz(store)
            yield writer
            writer.save(file)
    except OSError as error:
        if error.filename is None:
            # On a full disk, closing the temporary file, which has no name, fails as well.
            error.filename = str(out)
        raise


_WRITERS: dict[str, Any] = {".h5": _hdf5, ".npz": _npz}
