"""The settings that all units of an experiment's folder share, such as data and seed: ``settings.json``."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path

from drml.data.manifest import Row, read_manifest
from drml.experiments.methods import METHODS, NotAvailable
from drml.experiments.units import write_json
from drml.io.errors import UserError
from drml.io.files import digest
from drml.io.limits import read_json
from drml.io.text import counted

__all__ = ["INTENSITY", "SCALES", "SETTINGS_FILE", "Settings", "data_digest", "fold_folders", "folds_of"]

SETTINGS_FILE = "settings.json"
SCALES = ("quick", "paper")
INTENSITY = "intensity"
SPLITS = ("train", "val", "test")

# What may not change from one call to the next, with its name in messages.
_FIXED = {
    "scale": "schedule",
    "seed": "seed",
    "max_iter": "max iter",
    "train_batch": "train batch",
    "until_flat": "until flat",
    "refit": "refit",
    "balance": "balance",
    "augment": "augmentation",
    "target": "target",
}


_NONE = Row("", "", "", "", "", ())


@dataclass(frozen=True)
class Settings:
    """Settings of an experiment.

    Attributes
    ----------
    data : str or None
        Absolute path of a folder of ``drml prepare``; None if nets are only timed.
    data_alexnet : str or None
        The same data prepared with ``--size 256``, for AlexNet.
    models : str
        Folder that contains the nets' prototxts.
    scale : {"quick", "paper"}
        The schedule, which determines the solver that trains the nets.
    seed : int
    max_iter : int or None
        Number of iterations instead of the solver's.
    train_batch : int or None
        Training images of a batch instead of the net's.
    until_flat : bool or None
        Whether a net's training ends as soon as its validation AUC is flat (`drml.experiments.stopping`).
    trials, iterations, batch : int or None
        For timing: numbers instead of the schedule's and the nets' own.
    bp4d : str or None
        Absolute path of a finished experiment's folder, whose nets are used on `data`.
    seeds : int or None
        How often nets are trained, with the seeds `seed`, `seed` + 1, ...; None is once.
    refit : bool or None
        Whether models are fitted or trained again on the training and validation subjects together, after
        everything was chosen on the validation subjects.
    balance : bool or None
        Whether the positives of each AU are weighed in the loss (`drml.training.class_weights`).
    augment : dict of str to float, or None
        The random changes of training images (`drml.training.augmentation`).
    target : str or None
        `INTENSITY` if intensities are estimated; None if occurrences are detected.
    """

    data: str | None
    scale: str
    seed: int
    models: str
    data_alexnet: str | None = None
    max_iter: int | None = None
    train_batch: int | None = None
    until_flat: bool | None = None
    trials: int | None = None
    iterations: int | None = None
    batch: int | None = None
    bp4d: str | None = None
    seeds: int | None = None
    refit: bool | None = None
    balance: bool | None = None
    augment: dict[str, float] | None = None
    target: str | None = None

    def more_seeds(self, method: str) -> tuple[int, ...]:
        """Return the seeds of a method's further units; only trainings of nets have some."""
        known = METHODS[method]
        return (
            () if known.transfer or not known.net else tuple(self.seed + n for n in range(1, self.seeds or 1))
        )

    @property
    def schedule(self) -> str:
        """The schedule of the nets for titles and captions: ``quick schedule cut to 100 iterations``."""
        text = f"{self.scale} schedule"
        if self.train_batch:
            text += f" with batches of {self.train_batch}"
        if self.max_iter:
            text += f" cut to {counted(self.max_iter, 'iteration')}"
        text += f" or until validation {'ICC' if self.target else 'AUC'} is flat" if self.until_flat else ""
        text += ", positives weighed by class" if self.balance else ""
        if self.augment:
            changes = ", ".join(f"{name} {value:g}" for name, value in self.augment.items())
            text += f", training images changed at random ({changes})"
        return text

    def after(self, out: Path) -> Settings:
        """Return these settings, completed with those of an experiment's folder for all that is not given.

        Raises
        ------
        UserError
            They differ from the folder's in a setting that determines results.
        """
        if not (out / SETTINGS_FILE).exists():
            return self
        there = Settings.of(out)
        for name, title in _FIXED.items():
            old, new = getattr(there, name), getattr(self, name)
            if old != new:
                if name == "target":
                    old, new = (one or "occurrence" for one in (old, new))
                if name in ("refit", "balance"):
                    old, new = (f"--{name}" if one else f"no --{name}" for one in (old, new))
                    raise UserError(f"{out}: begun with {old}, not {new}; give another --out")
                raise UserError(f"{out}: begun with {title} {old}, not {new}; give another --out")
        given = {name: value for name, value in dataclasses.asdict(self).items() if value is not None}
        return dataclasses.replace(there, **given)

    def keep(self, out: Path) -> None:
        """Write the settings to an experiment's folder."""
        out.mkdir(parents=True, exist_ok=True)
        write_json(out / SETTINGS_FILE, dataclasses.asdict(self))

    @classmethod
    def of(cls, out: Path) -> Settings:
        """Read the settings of an experiment's folder."""
        path = out / SETTINGS_FILE
        try:
            return cls(**read_json(path))
        except FileNotFoundError:
            raise UserError(f"{out}: no {SETTINGS_FILE} in it; give the --out of drml experiment") from None
        except (ValueError, TypeError) as error:
            raise UserError(f"{path}: damaged ({error}); give another --out") from None

    def fold(self, method: str, fold: int) -> Path:
        """Return the prepared fold that a method reads."""
        if self.data is None:
            raise UserError(f"fold{fold}/{method}: no data to read; give them with --data")
        folder = Path(self.data) / f"fold{fold}"
        if not folder.is_dir():
            raise UserError(
                f"{folder}: no such folder; if the data were moved, give their folder with --data"
            )
        if "alexnet" not in (method, METHODS[method].model):
            return folder
        if self.data_alexnet is None:
            raise NotAvailable(
                f"{method}: not available, it takes 227 pixels of faces of 256;"
                " prepare the same data with --size 256 and give the folder as --data-alexnet"
            )
        large = Path(self.data_alexnet) / f"fold{fold}"
        for split in SPLITS:
            ours, theirs = folder / f"{split}.csv", large / f"{split}.csv"
            if not theirs.is_file() or not _same_records(ours, theirs):
                raise UserError(
                    f"{theirs}: does not list the records of {ours}; prepare both with the same options"
                )
        return large


def _same_records(one: Path, other: Path) -> bool:
    """Return whether two manifests list the same records, wherever their images were."""
    if one.read_bytes() == other.read_bytes():
        return True
    first, second = read_manifest(one), read_manifest(other)
    return first.aus == second.aus and all(
        ours._replace(source="") == theirs._replace(source="")
        for ours, theirs in itertools.zip_longest(first.rows.values(), second.rows.values(), fillvalue=_NONE)
    )


def fold_folders(folder: Path) -> dict[int, Path]:
    """Return the folders ``fold1``, ``fold2``, ... of prepared data or an experiment, by their numbers."""
    found = {int(path.name[4:]): path for path in folder.glob("fold[1-9]*") if path.name[4:].isdecimal()}
    return {fold: found[fold] for fold in sorted(found) if found[fold].is_dir()}


def folds_of(data: Path, wanted: tuple[int, ...] | None) -> list[int]:
    """Return the folds of a prepared folder, or the `wanted` ones. Each must have all three splits."""
    there = list(fold_folders(data))
    if not there:
        raise UserError(f"{data}: no fold1 in it; give a folder that drml prepare wrote")
    for fold in wanted or there:
        if fold not in there:
            raise UserError(f"{data}: no fold {fold}; it has {', '.join(map(str, there))}")
        for split in SPLITS:
            if not (data / f"fold{fold}" / f"{split}_lmdb").is_dir():
                raise UserError(f"{data / f'fold{fold}'}: no {split}_lmdb; prepare the data again")
    return list(wanted or there)


def data_digest(fold: Path) -> str:
    """Return a digest of a prepared fold: of its manifests, its mean image and the sizes of its databases.

    The mean image covers all training faces, so that it changes with their pixels and their size. Where the
    fold or the data set is on the machine does not matter, since manifests have paths relative to the data
    set's folder. A manifest of an older version has absolute paths: its digest stays the same if the prepared
    data are moved, but not if they are prepared again from a data set elsewhere.
    """
    found = hashlib.sha256()
    for name in (*(f"{split}.csv" for split in SPLITS), "mean.binaryproto"):
        path = fold / name
        if not path.is_file():
            raise UserError(f"{path}: missing; give a folder that drml prepare wrote")
        found.update(digest(path).encode())
    for split in SPLITS:
        found.update(str((fold / f"{split}_lmdb" / "data.mdb").stat().st_size).encode())
    return found.hexdigest()
