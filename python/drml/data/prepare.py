"""From a data set on disk to what training reads: registered faces in LMDBs, for each fold and split.

Each face is registered once, even if several folds use it, and stored encoded in one scratch file, from which
the folds are then written. ``OUT`` appears when everything in it is complete.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import lmdb
import numpy as np

import drml
from drml.data.audit import AUDITS, report_audit
from drml.data.audit_counts import audit_counts
from drml.data.audit_landmarks import compare_landmarks
from drml.data.detector_points import open_finder, report_unlearned
from drml.data.find_points import find_points
from drml.data.fold_recipe import fold_recipe
from drml.data.plan import make_plan
from drml.data.prepared_folder import FOLDS_FILE, SUMMARY_FILE, write_folds, write_lists
from drml.data.readers import Record
from drml.data.readers.exclude import KNOWN, find_list
from drml.data.readers.exclude import exclude as exclude_frames
from drml.data.readers.kinds import find_data_set
from drml.data.readers.targets import (
    INTENSITY,
    OCCURRENCE,
    check_labels_asked,
    describe_target,
    read_target,
)
from drml.data.recipe_text import write_data_recipe
from drml.data.register_faces import check_max_broken
from drml.data.register_task import Encoding
from drml.data.sampling import Sampling
from drml.data.split import SYNTHETIC_FILE
from drml.io.checks import check_path
from drml.io.errors import UsageError, UserError
from drml.io.files import check_inputs_kept, check_target, making

__all__ = ["Encoding", "Sampling", "prepare"]


def prepare(
    data_set: str,
    root: Path | str,
    out: Path | str,
    *,
    folds: Sequence[int] | str | None = None,
    folds_file: Path | str | None = None,
    aus: Sequence[int] | None = None,
    target: str = OCCURRENCE,
    sampling: Sampling | None = None,
    encoding: Encoding | None = None,
    points: str = "given",
    points_cache: Path | str | None = None,
    exclude: Path | str | None = None,
    audit: str = "stop",
    max_broken: float = 0.05,
    jobs: int = 0,
    progress: bool = True,
    overwrite: bool = False,
    **options: Any,
) -> dict[str, Any]:
    """Prepare a data set for training: register faces, split subjects into folds, sample training frames.

    ``OUT/fold1`` then has ``train_lmdb``, ``val_lmdb`` and ``test_lmdb``, a manifest and the landmarks of
    each (``test.csv``, ``test_landmarks.npz``), and the mean image of the training split
    (``mean.binaryproto``). ``recipe.prototxt`` describes the data; Caffe stores it in the weights of the nets
    that are trained on them (`drml.data.recipe`).

    Parameters
    ----------
    data_set : str
        ``"bp4d"``, ``"disfa"``, ``"images"``, or another name in `drml.data.readers.kinds.DATA_SETS`.
    root : path-like
        The data set's folder; for ``"images"`` the CSV file that lists them.
    out : path-like
        The folder to make. It appears when everything in it is complete, and not before.
    folds : sequence of int or str, optional, keyword-only
        The numbers of the folds to write; by default all. ``"loso"`` makes one fold for each subject, which
        tests that subject, and ``"random:5"`` five folds at random, by the seed of `sampling`.
    folds_file : path-like or str, optional, keyword-only
        Whose folds to use instead of the data set's: a CSV file (see `drml.data.readers.fold_lists`) or the
        name of a list that ships with drml for this data set, such as ``"fera2015"`` for ``"bp4d"``.
    aus : sequence of int, optional, keyword-only
        The AUs of the labels, in order; by default the data set's.
    target : {"occurrence", "intensity", "both"}, keyword-only
        What the labels are: whether an AU occurs, how strong it is, from 0 to 5, or both. With both, the
        intensities are those of the AUs in `aus` whose intensity the data set codes.
    sampling : Sampling, optional, keyword-only
        How validation subjects and training frames are drawn, with the seed.
    encoding : Encoding, optional, keyword-only
        Size and file format of the faces.
    points : {"given", "detector"}, keyword-only
        The points that faces are registered by: the data set's landmarks, or those that ``drml detect`` finds
        (`drml.data.find_points`). With ``"given"``, an image without landmarks must be a registered face.
        ``"detector"`` neither needs nor reads the landmark files of a data set, and your own images can be
        any photos.
    points_cache : path-like, optional, keyword-only
        Folder that keeps the points that were found, for another preparation of the same images; by default
        ``OUT.points``, beside `out`. Only with ``points="detector"``.
    exclude : path-like, optional, keyword-only
        CSV file of frames to leave out (see `drml.data.readers.exclude`); ``"known"`` for the list of the
        data set's known faults in this package (DISFA: frames whose landmarks are beside the face).
    audit : {"stop", "report", "off"}, keyword-only
        The copy is held against what is published about the data set, and its landmarks against the faces
        that the face detector finds in some of its images (`drml.data.audit`). Differences are reported.
        Landmarks with a fault, such as a constant offset, stop the preparation, or are reported as well.
        Landmarks of drawn data are not checked.
    max_broken : float, keyword-only
        Broken images, which cannot be read or have landmarks outside of them, are skipped and named. If they
        are more than this share of the images that the folds need, the preparation fails; 0 to 1.
    jobs : int, keyword-only
        Number of processes; 0 takes one for each core. The result does not depend on it.
    progress : bool, keyword-only
        Show progress bars.
    overwrite : bool, keyword-only
        Replace `out` if it is not empty.
    **options
        Options of the data set's reader, such as ``intensity`` and ``camera`` of ``"disfa"``.

    Returns
    -------
    dict
        The contents of ``OUT/summary.json``: AUs, options, counts of skipped frames by reason, and for each
        fold and split the number of images, the subjects and the base rates. The training split also has
        ``sampling``: how many frames and labels were drawn, of how many
        (`drml.data.sampling.count_drawn`).

    Raises
    ------
    UserError
        A file or option is at fault, a split would be empty, or `out` cannot be written. `out` is unchanged.

    Examples
    --------
    >>> summary = prepare("disfa", "/data/DISFA", "data/disfa", intensity=2)  # doctest: +SKIP
    >>> everything, large = Sampling(all_frames=True), Encoding(size=256)
    >>> summary = prepare(
    ...     "bp4d", "/data/BP4D", "data/drml", sampling=everything, encoding=large
    ... )  # doctest: +SKIP
    """
    source = find_data_set(data_set)
    check_labels_asked(source, target, aus, options)
    choice = source.choose_folds(folds, folds_file)
    root, out = check_path(root, "root"), check_path(out, "out")
    if root.exists() and not _is_synthetic(root) and target != INTENSITY:
        source.check_asked(options)
    options = source.check_options(options)
    labels = describe_target(source, target, options)
    if target == INTENSITY:
        options.pop("intensity", None)
    sampling = _with_defaults(sampling or Sampling(), source.positives, source.negatives)
    encoding = encoding or Encoding()
    check_max_broken(max_broken)
    if audit not in AUDITS:
        raise UsageError(f"audit {audit!r}: choose one of {', '.join(AUDITS)}")
    excluded = None if exclude is None else find_list(exclude, source.known_faults)
    finder, no_detector = open_finder(points)
    check_target(out, folder=True, overwrite=overwrite)
    kept_points = _points_folder(out, points, points_cache)
    check_inputs_kept(out, [root, *([] if excluded is None else [excluded])])

    started = time.monotonic()
    scan = read_target(
        source, root, target, aus=aus, landmarks=points == "given", progress=progress, **options
    )
    check_inputs_kept(out, _files(scan.records))
    copy = audit_counts(source, root, scan, options)
    if excluded is not None:
        exclude_frames(scan, excluded, some=str(exclude) != KNOWN)
    if audit != "off":
        if finder is not None and not copy.drawn:
            copy.landmarks = compare_landmarks(
                scan.records, ordered=source.ordered, jobs=jobs, progress=progress
            )
        report_audit(copy, data_set, stop=audit == "stop")
    report = None
    if points == "detector":
        assert finder is not None
        report = find_points(
            scan, root, finder, ordered=source.ordered, folder=kept_points, jobs=jobs, progress=progress
        )
        print(report.describe(), file=sys.stderr)
    plan = make_plan(
        root,
        scan,
        choice,
        sampling,
        encoding,
        points=points,
        learn=points == "given" and finder is not None,
    )
    recorded = {
        **plan.describe_options(),
        "folds_file": choice.file,
        "fold_scheme": folds if isinstance(folds, str) else None,
        "max_broken": max_broken,
        "exclude": None if exclude is None else str(exclude),
        "target": target,
        **{name: str(value) if isinstance(value, Path) else value for name, value in options.items()},
    }
    try:
        with making(out, folder=True, overwrite=overwrite) as part:
            summary: dict[str, Any] = {
                "kind": data_set,
                "root": str(root.absolute()),
                "synthetic": _copy_synthetic_mark(root, part),
            }
            summary |= {"aus": list(scan.aus), "intensity_aus": list(scan.intensity_aus)}
            summary |= {"options": recorded, "versions": _versions()}
            summary["audit"] = copy.to_dict()
            written, registrations = write_folds(
                plan, part, finder, jobs=jobs, max_broken=max_broken, progress=progress
            )
            summary |= written
            if report is not None:
                summary["registration"] |= dataclasses.asdict(report)
            summary["fold_lists"] = write_lists(plan, part / FOLDS_FILE)
            for fold, splits in summary["folds"].items():
                folder = part / f"fold{fold}"
                recipe = fold_recipe(
                    plan,
                    source,
                    labels,
                    int(fold),
                    folder,
                    train=splits["train"],
                    registration=registrations[int(fold)],
                    synthetic=summary["synthetic"],
                )
                write_data_recipe(folder, recipe)
            if not all(one.detector_target for one in registrations.values()):
                report_unlearned(summary["registration"], no_detector)
            summary["seconds"] = round(time.monotonic() - started, 1)
            (part / SUMMARY_FILE).write_text(json.dumps(summary, indent=2) + "\n")
    except OSError as error:
        raise UserError(
            f"{out}: cannot be written ({error.strerror or error}); free space or choose another folder"
        ) from None
    return summary


def _with_defaults(sampling: Sampling, positives: int | None, negatives: int | None) -> Sampling:
    """Fill in the data set's numbers of training frames."""
    if sampling.all_frames:
        return sampling
    return dataclasses.replace(
        sampling,
        positives=positives if sampling.positives is None else sampling.positives,
        negatives=negatives if sampling.negatives is None else sampling.negatives,
    )


def _points_folder(out: Path, points: str, given: Path | str | None) -> Path:
    """Return the folder that keeps the detector's points: beside `out`, unless another is given."""
    if given is None:
        return out.with_name(f"{out.name}.points")
    if points != "detector":
        raise UsageError("points_cache: only with points 'detector'")
    folder = Path(given)
    if out.resolve() in (folder.resolve(), *folder.resolve().parents):
        raise UserError(f"{folder}: lies in {out}, which is made anew; name a folder outside of it")
    return folder


def _files(records: Sequence[Record]) -> set[Path]:
    """Return the folders of the records' images, and their videos."""
    images = [record.image for record in records]
    return {image.parent if isinstance(image, Path) else image.video for image in images}


def _is_synthetic(root: Path) -> bool:
    return (root / SYNTHETIC_FILE).is_file()


def _copy_synthetic_mark(root: Path, folder: Path) -> bool:
    """Mark the prepared data as synthetic if the data set is; return whether it is."""
    if _is_synthetic(root):
        shutil.copyfile(root / SYNTHETIC_FILE, folder / SYNTHETIC_FILE)
        return True
    return False


def _versions() -> dict[str, str]:
    return {
        "drml": drml.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "lmdb": lmdb.__version__,
    }
