"""Score a trained network on prepared data: the table of F1-frame, ROC-AUC and AP per AU.

The data are an LMDB folder (``fold1/test_lmdb``) or the manifest beside it (``fold1/test.csv``), which
selects records of that LMDB. How a picture is turned into the net's input comes from, in this order:

* mean: ``mean=``; ``mean_file`` of ``transform.json`` beside the weights (``drml train`` writes both); the
  ``mean.binaryproto`` beside the LMDB; ``mean_value`` of the weights' own net; none. Where the weights say
  that they were trained with a mean and none is found, that is an error;
* scale: ``scale=``; the weights' own net, which a .caffemodel carries; ``transform.json``; 1.
"""

from __future__ import annotations

import csv
import json
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from drml import lmdb_io, metrics
from drml.errors import UserError
from drml.labels import ABSENT, AU_NAMES, BP4D_AUS, DISFA_AUS, PRESENT, UNKNOWN
from drml.net import CaffeNet, Net, Transform, read_weights

TRANSFORM_FILE = "transform.json"
MEAN_FILE = "mean.binaryproto"
SYNTHETIC_FILE = "synthetic.json"
_LMDB_SUFFIX = "_lmdb"


@contextmanager
def writing(path: str | Path, mode: str = "w", **options: Any) -> Iterator[IO[Any]]:
    """Open a file for writing under another name that becomes `path` only when all went well."""
    path = Path(path)
    part = path.with_name(path.name + ".part")
    try:
        with part.open(mode, **options) as file:
            yield file
        part.replace(path)
    except BaseException as error:
        part.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:
            # A write that fails (the disk is full) does not know its file's name.
            error.filename = str(path)
        raise


# --- data -----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Manifest:
    """A manifest: its AUs, and the row of every key (source, subject, task, frame and labels)."""

    path: Path
    aus: tuple[int, ...]
    rows: dict[str, dict[str, str]]

    def labels(self, key: str) -> tuple[int, ...]:
        """Return the labels of a key, in the order of `aus`."""
        row = self.rows[key]
        try:
            return tuple(int(row[f"AU{au}"]) for au in self.aus)
        except (TypeError, ValueError):
            raise UserError(f"{self.path}: key {key}: a label that is no number") from None


def read_manifest(path: str | Path) -> Manifest:
    """Read a manifest that ``drml prepare`` wrote."""
    path = Path(path)
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            columns = reader.fieldnames or []
            aus = tuple(int(name[2:]) for name in columns if name.startswith("AU") and name[2:].isdigit())
            if "key" not in columns or not aus:
                raise UserError(f"{path}: not a manifest: needs a column 'key' and columns such as 'AU1'")
            rows: dict[str, dict[str, str]] = {}
            for row in reader:
                if row["key"] in rows:
                    raise UserError(f"{path}: line {reader.line_num}: key {row['key']} appears twice")
                rows[row["key"]] = row
            return Manifest(path, aus, rows)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; expected a manifest that drml prepare wrote") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path}: not a manifest ({error})") from None


@dataclass(frozen=True)
class Data:
    """Records to run: an LMDB, and its manifest where there is one.

    Attributes
    ----------
    name : Path
        What the user gave.
    lmdb : Path
    manifest : Manifest or None
    selected : bool
        Only the records that the manifest lists, which then must all be there.
    synthetic : bool
        The data are drawn, not photographed.
    """

    name: Path
    lmdb: Path
    manifest: Manifest | None
    selected: bool
    synthetic: bool

    @property
    def size(self) -> int:
        """Number of records."""
        if self.selected and self.manifest is not None:
            return len(self.manifest.rows)
        return lmdb_io.check_lmdb(self.lmdb)

    def records(self) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.int8]]]:
        """Yield key, picture (BGR) and labels; the manifest, where there is one, must say the same."""
        missing = set(self.manifest.rows) if self.manifest else set()
        for key, data, values in lmdb_io.read_lmdb(self.lmdb):
            labels = _labels(values, f"{self.lmdb}: record {key}")
            if self.manifest is not None:
                if key not in self.manifest.rows:
                    if self.selected:
                        continue
                    raise UserError(f"{self.manifest.path}: key {key} of {self.lmdb} is missing; {_VERIFY}")
                missing.discard(key)
                if self.manifest.labels(key) != tuple(labels.tolist()):
                    raise UserError(
                        f"{self.manifest.path}: key {key}: labels differ from those in {self.lmdb}; {_VERIFY}"
                    )
            yield key, decode(data, f"{self.lmdb}: record {key}"), labels
        if missing:
            raise UserError(
                f"{self.lmdb}: no record {min(missing)}, which {self.manifest_path} lists; {_VERIFY}"
            )

    @property
    def manifest_path(self) -> Path | None:
        """Path of the manifest, if any."""
        return self.manifest.path if self.manifest else None

    def batches(self, size: int) -> Iterator[tuple[list[str], list[NDArray[np.uint8]], NDArray[np.int8]]]:
        """Yield the records `size` at a time; the last batch may be smaller."""
        keys: list[str] = []
        images: list[NDArray[np.uint8]] = []
        labels: list[NDArray[np.int8]] = []
        for key, image, row in self.records():
            if labels and len(row) != len(labels[0]):
                raise UserError(f"{self.lmdb}: record {key} has {len(row)} labels, others {len(labels[0])}")
            keys.append(key)
            images.append(image)
            labels.append(row)
            if len(keys) == size:
                yield keys, images, np.stack(labels)
                keys, images, labels = [], [], []
        if keys:
            yield keys, images, np.stack(labels)


_VERIFY = "run drml verify on it, or prepare the data again"


def _labels(values: Sequence[int], where: str) -> NDArray[np.int8]:
    """Check one record's labels."""
    if not len(values):
        raise UserError(f"{where} has no labels; {_VERIFY}")
    for value in values:
        if value not in (PRESENT, ABSENT, UNKNOWN):
            raise UserError(f"{where} has the label {value}, none of -1, 0, 1; {_VERIFY}")
    return np.asarray(values, np.int8)


def decode(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode an encoded picture to BGR; `where` is named if it cannot be."""
    import cv2

    image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR) if data else None
    if image is None:
        raise UserError(f"{where}: the image cannot be decoded; {_VERIFY}")
    return np.asarray(image, np.uint8)


def open_data(data: str | Path) -> Data:
    """Find the LMDB and the manifest that `data` (one or the other) stands for."""
    name = Path(data)
    if name.suffix == ".csv":
        lmdb = name.with_name(name.stem + _LMDB_SUFFIX)
        manifest: Manifest | None = read_manifest(name)
        if not lmdb.is_dir():
            raise UserError(f"{name}: no LMDB {lmdb} beside it; a manifest only selects records of its LMDB")
    else:
        lmdb = Path(os.path.normpath(name))
        lmdb_io.check_lmdb(lmdb)
        beside = lmdb.with_name(lmdb.name.removesuffix(_LMDB_SUFFIX) + ".csv")
        manifest = read_manifest(beside) if lmdb.name.endswith(_LMDB_SUFFIX) and beside.is_file() else None
    # OUT/synthetic.json lies two levels above OUT/fold1/test_lmdb.
    folders = (lmdb, *lmdb.absolute().parents[:2])
    synthetic = any((folder / SYNTHETIC_FILE).is_file() for folder in folders)
    return Data(name, lmdb, manifest, name.suffix == ".csv", synthetic)


def parse_aus(text: str) -> tuple[int, ...]:
    """Read AUs as a user writes them: ``1,2,4`` or ``AU1 AU2``.

    Examples
    --------
    >>> parse_aus("1,2, AU12")
    (1, 2, 12)
    """
    try:
        aus = tuple(int(word.upper().removeprefix("AU")) for word in text.replace(",", " ").split())
    except ValueError:
        raise UserError(f"AUs '{text}': write numbers with commas, such as 1,2,4") from None
    if not aus or len(set(aus)) != len(aus):
        raise UserError(f"AUs '{text}': give each AU once, such as 1,2,4")
    return aus


# --- transform ------------------------------------------------------------------------------------------


def read_transform_file(weights: str | Path) -> Transform | None:
    """Read ``transform.json`` beside the weights, if there; its `mean_file` is made absolute."""
    path = Path(weights).with_name(TRANSFORM_FILE)
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        mean_file = str(content.get("mean_file", ""))
        return Transform(
            scale=float(content.get("scale", 1.0)),
            crop_size=int(content.get("crop_size", 0)),
            mean_value=tuple(float(value) for value in content.get("mean_value", ())),
            mean_file=str(path.absolute().parent / mean_file) if mean_file else "",
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"{path}: not a transform that drml train wrote ({error}); remove or repair it"
        ) from None


@dataclass(frozen=True)
class Input:
    """How pictures become the net's input, and where each setting comes from (for the reader)."""

    scale: float
    scale_from: str
    mean: NDArray[np.float32] | None
    mean_from: str

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values."""
        return {"scale": self.scale, "scale_from": self.scale_from, "mean_from": self.mean_from}


def find_input(
    weights: str | Path, lmdb: Path, *, mean: str | Path | None = None, scale: float | None = None
) -> Input:
    """Settle mean and scale by the order that this module's head tells."""
    own = read_weights(weights).transform
    beside = read_transform_file(weights)
    if scale is not None:
        scale_from = "as given"
        if not math.isfinite(scale) or scale == 0:
            raise UserError(f"scale {scale}: give a finite number other than 0")
    elif own is not None:
        scale, scale_from = own.scale, "the weights' own net"
    elif beside is not None:
        scale, scale_from = beside.scale, TRANSFORM_FILE
    else:
        scale, scale_from = 1.0, "default"
    if mean is not None:
        return Input(scale, scale_from, lmdb_io.read_mean(Path(mean)), str(mean))
    for path in (beside.mean_file if beside else "", str(lmdb.parent / MEAN_FILE)):
        if path and Path(path).is_file():
            return Input(scale, scale_from, lmdb_io.read_mean(Path(path)), path)
    for known in (own, beside):
        if known is not None and known.mean_value:
            values = np.asarray(known.mean_value, np.float32)
            return Input(scale, scale_from, values, "mean values of the net")
        if known is not None and known.mean_file:
            raise UserError(
                f"{weights}: trained with the mean image {known.mean_file}, and neither that nor"
                f" {lmdb.parent / MEAN_FILE} was found; give --mean"
            )
    return Input(scale, scale_from, None, "none")


# --- scores ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Predictions:
    """What a net says of one test set, beside what is true.

    Attributes
    ----------
    weights, data : str
        As given.
    aus : tuple of int
        The AUs of the columns: those that both the net and the data have.
    keys : list of str
    labels : ndarray of int8, N x K
    probabilities : ndarray of float32, N x K
    subjects : int or None
        Number of subjects, where the manifest tells.
    synthetic : bool
    input : dict
        Mean and scale, and where they come from.
    seconds : float
        Time it took, decoding included.
    """

    weights: str
    data: str
    aus: tuple[int, ...]
    keys: list[str]
    labels: NDArray[np.int8]
    probabilities: NDArray[np.float32]
    subjects: int | None
    synthetic: bool
    input: dict[str, Any]
    seconds: float


def _net_aus(aus: Sequence[int] | None, count: int, deploy: str | Path) -> tuple[int, ...] | None:
    if aus is None:
        return None
    if len(aus) != count:
        raise UserError(f"{deploy}: {count} outputs, but {len(aus)} AUs given ({_list(aus)})")
    return tuple(aus)


def _data_aus(data: Data, count: int, net_aus: tuple[int, ...] | None) -> tuple[int, ...]:
    if data.manifest is not None:
        if len(data.manifest.aus) != count:
            raise UserError(
                f"{data.manifest.path}: {len(data.manifest.aus)} AUs, but {data.lmdb} has {count}; {_VERIFY}"
            )
        return data.manifest.aus
    for known in (net_aus, BP4D_AUS, DISFA_AUS):
        if known is not None and len(known) == count:
            return known
    raise UserError(f"{data.lmdb}: which AUs its {count} labels are is unknown; give --aus, or its manifest")


def _list(aus: Sequence[int]) -> str:
    return ", ".join(f"AU{au}" for au in aus)


def output_blob(net: Net, deploy: str | Path) -> str:
    """Return the blob with the probabilities: ``prob``."""
    if "prob" not in net.blob_names:
        raise UserError(
            f"{deploy}: no blob 'prob' with the probabilities (it has {', '.join(net.blob_names)});"
            " end the net with a Sigmoid layer of that name"
        )
    return "prob"


def predict(
    deploy: str | Path,
    weights: str | Path,
    data: str | Path,
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
    batch: int = 32,
    aus: Sequence[int] | None = None,
    progress: bool = True,
    probe: bool = True,
) -> Predictions:
    """Run a net over one test set; the parameters are those of `score`."""
    source = open_data(data)
    settings = find_input(weights, source.lmdb, mean=mean, scale=scale)
    net = CaffeNet(deploy, weights, mean=settings.mean, scale=settings.scale, batch=batch, probe=probe)
    blob = output_blob(net, deploy)
    start = time.perf_counter()
    keys: list[str] = []
    labels: list[NDArray[np.int8]] = []
    probabilities: list[NDArray[np.float32]] = []
    with tqdm(total=source.size, desc=str(data), unit="img", disable=not progress) as bar:
        for some_keys, images, some_labels in source.batches(batch):
            output = net.forward(images, [blob])[blob].reshape(len(images), -1)
            wrong = ~(output >= 0) | ~(output <= 1)
            if wrong.any():
                row, column = np.argwhere(wrong)[0]
                raise UserError(
                    f"{weights}: output {column} for record {some_keys[row]} is {output[row, column]},"
                    " not a probability; the training has diverged, or the net does not end in a Sigmoid"
                )
            keys += some_keys
            labels.append(some_labels)
            probabilities.append(output)
            bar.update(len(images))
    if not keys:
        raise UserError(f"{data}: no record to score")
    truth, guess = np.concatenate(labels), np.concatenate(probabilities)
    net_aus = _net_aus(aus, guess.shape[1], deploy)
    data_aus = _data_aus(source, truth.shape[1], net_aus)
    if net_aus is None:
        if guess.shape[1] != len(data_aus):
            raise UserError(
                f"{deploy}: {guess.shape[1]} outputs, but {data} has {len(data_aus)} AUs"
                f" ({_list(data_aus)}); name the AUs of the outputs with --aus to score the shared ones"
            )
        net_aus = data_aus
    shared = tuple(au for au in net_aus if au in data_aus)
    if not shared:
        raise UserError(f"{data}: has none of the net's AUs ({_list(net_aus)}), only {_list(data_aus)}")
    rows = source.manifest.rows if source.manifest else {}
    subjects = {rows[key].get("subject") for key in keys if key in rows}
    return Predictions(
        weights=str(weights),
        data=str(data),
        aus=shared,
        keys=keys,
        labels=truth[:, [data_aus.index(au) for au in shared]],
        probabilities=guess[:, [net_aus.index(au) for au in shared]],
        subjects=len(subjects) or None,
        synthetic=source.synthetic,
        input=settings.to_dict(),
        seconds=time.perf_counter() - start,
    )


@dataclass(frozen=True)
class TestResult:
    """The scores of one test set or of several folds.

    Attributes
    ----------
    model : str
    folds : list of Predictions
    fold_scores : list of Scores
        One per fold.
    pooled : Scores
        All test frames as one test; with one fold, its scores.
    mean : Scores or None
        Mean of the folds' figures; None with one fold.
    threshold : float
    """

    model: str
    folds: list[Predictions]
    fold_scores: list[metrics.Scores]
    pooled: metrics.Scores
    mean: metrics.Scores | None
    threshold: float = field(default=metrics.THRESHOLD)

    @property
    def synthetic(self) -> bool:
        """Any of the data are synthetic."""
        return any(fold.synthetic for fold in self.folds)

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the single predictions as plain values, for JSON."""
        return {
            "model": self.model,
            "threshold": self.threshold,
            "synthetic": self.synthetic,
            "frames": sum(len(fold.keys) for fold in self.folds),
            "pooled": self.pooled.to_dict(),
            "mean_of_folds": self.mean.to_dict() if self.mean else None,
            "folds": [
                {
                    "weights": fold.weights,
                    "data": fold.data,
                    "synthetic": fold.synthetic,
                    "frames": len(fold.keys),
                    "subjects": fold.subjects,
                    "input": fold.input,
                    "seconds": round(fold.seconds, 3),
                    "scores": scores.to_dict(),
                }
                for fold, scores in zip(self.folds, self.fold_scores, strict=True)
            ],
        }

    def to_text(self) -> str:
        """Return the tables that ``drml score`` prints."""
        lines = []
        for fold in self.folds:
            subjects = f" of {fold.subjects} subjects" if fold.subjects else ""
            note = ", SYNTHETIC DATA (drawn faces)" if fold.synthetic else ""
            lines.append(f"{fold.data}: {len(fold.keys)} frames{subjects}{note}")
            lines.append(
                f"  weights {fold.weights}, mean: {fold.input['mean_from']},"
                f" scale {fold.input['scale']:.6g} ({fold.input['scale_from']})"
            )
        if self.mean is None:
            lines += ["", *_table(self.pooled)]
        else:
            lines += ["", f"Pooled over {len(self.folds)} folds", *_table(self.pooled)]
            lines += ["", f"Mean of {len(self.folds)} folds", *_table(self.mean)]
        return "\n".join(lines) + "\n"


def _cell(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def _table(scores: metrics.Scores) -> list[str]:
    head = f"{'AU':<26}{'frames':>8}{'base rate':>11}{'F1-frame':>10}{'ROC-AUC':>9}{'AP':>8}"

    def line(name: str, frames: str, *values: float) -> str:
        rate, f1, auc, ap = map(_cell, values)
        return f"{name:<26}{frames:>8}{rate:>11}{f1:>10}{auc:>9}{ap:>8}"

    lines = [head, "-" * len(head)]
    for row in scores.rows:
        name = f"{row.au:>2}  {AU_NAMES.get(row.au, '')}"
        lines.append(line(name, str(row.known), row.base_rate, row.f1, row.auc, row.ap))
    average = scores.average
    lines.append("-" * len(head))
    lines.append(line("Avg.", "", average("base_rate"), average("f1"), average("auc"), average("ap")))
    trivial = (average("trivial_f1"), average("trivial_auc"), average("trivial_ap"))
    lines.append(line("all positive (trivial)", "", average("base_rate"), *trivial))
    titles = {"f1": "F1-frame", "auc": "ROC-AUC", "ap": "AP"}
    for figure, aus in scores.undefined.items():
        reason = (
            "no frame with a known label" if figure == "f1" else "present and absent frames not both there"
        )
        lines.append(f"- {titles[figure]} undefined for {_list(aus)} ({reason}); left out of Avg.")
    return lines


def score(
    deploy: str | Path,
    weights: str | Path | Sequence[str | Path],
    data: str | Path | Sequence[str | Path],
    *,
    mean: str | Path | None = None,
    scale: float | None = None,
    batch: int = 32,
    aus: Sequence[int] | None = None,
    threshold: float = metrics.THRESHOLD,
    progress: bool = True,
    probe: bool = True,
) -> TestResult:
    """Score a net on one test set, or the nets of several folds each on its own.

    Parameters
    ----------
    deploy : path
        Net whose blob ``prob`` holds one probability per AU.
    weights : path or sequence of path
        .caffemodel or .h5.
    data : path or sequence of path
        LMDB folder or manifest; as many as `weights`, in the same order.
    mean : path, optional
        mean.binaryproto; else found as the module's head tells. So is `scale`.
    scale : float, optional
    batch : int
    aus : sequence of int, optional
        The AUs of the net's outputs; by default those of the data. AUs that only one side has are not scored.
    threshold : float
        For F1-frame.
    progress : bool
        Show a progress bar.
    probe : bool
        As in `drml.net.CaffeNet`.

    Returns
    -------
    TestResult
    """
    all_weights = [weights] if isinstance(weights, str | Path) else list(weights)
    all_data = [data] if isinstance(data, str | Path) else list(data)
    if len(all_weights) != len(all_data) or not all_data:
        raise UserError(
            f"{len(all_weights)} weights files for {len(all_data)} data sets; give one of each per fold"
        )
    if not 0 <= threshold <= 1:
        raise UserError(f"threshold {threshold}: give a probability, 0 to 1")
    folds = []
    for one_weights, one_data in zip(all_weights, all_data, strict=True):
        folds.append(
            predict(
                deploy,
                one_weights,
                one_data,
                mean=mean,
                scale=scale,
                batch=batch,
                aus=aus,
                progress=progress,
                probe=probe,
            )
        )
        if folds[-1].aus != folds[0].aus:
            raise UserError(
                f"{one_data}: AUs ({_list(folds[-1].aus)}) differ from those of {all_data[0]}"
                f" ({_list(folds[0].aus)})"
            )
    fold_scores = [
        metrics.evaluate(fold.labels, fold.probabilities, fold.aus, threshold=threshold) for fold in folds
    ]
    pooled = metrics.pool(
        [(fold.labels, fold.probabilities) for fold in folds], folds[0].aus, threshold=threshold
    )
    mean_scores = metrics.mean_of_folds(fold_scores) if len(folds) > 1 else None
    return TestResult(str(deploy), folds, fold_scores, pooled, mean_scores, threshold)


def write_predictions(path: str | Path, folds: Sequence[Predictions]) -> None:
    """Write a CSV: key, then per AU the probability ``p_AU1`` and the label ``y_AU1`` (1, -1, 0)."""
    aus = folds[0].aus
    with writing(path, newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["key", *(f"p_AU{au}" for au in aus), *(f"y_AU{au}" for au in aus)])
        for fold in folds:
            for key, probability, label in zip(fold.keys, fold.probabilities, fold.labels, strict=True):
                writer.writerow([key, *(f"{value:.6f}" for value in probability), *label.tolist()])


def write_scores(path: str | Path, result: TestResult) -> None:
    """Write the scores as JSON."""
    with writing(path, encoding="utf-8") as file:
        json.dump(result.to_dict(), file, indent=2, allow_nan=False)
        file.write("\n")


def transform_to_json(transform: Transform) -> str:
    """Return the text of ``transform.json``."""
    return json.dumps(asdict(transform), indent=2) + "\n"
