"""What each ``drml`` command does with its arguments: calls the module that does the work, and tells of it.

Modules are imported inside the functions, so that ``drml --help`` needs neither OpenCV nor Caffe.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from drml.data.labels import parse_aus
from drml.io.errors import UserError

if TYPE_CHECKING:
    from drml.evaluation.scoring import TestResult

__all__ = [
    "baseline",
    "convert",
    "detect",
    "experiment",
    "experiment_collect",
    "experiment_unit",
    "export_onnx",
    "features",
    "prepare",
    "relations",
    "report",
    "saliency",
    "score",
    "synth",
    "train",
    "transfer",
    "verify",
]


def _print_json(value: Any) -> None:
    print(json.dumps(value, indent=2, allow_nan=False, default=str))


def _note(args: argparse.Namespace, text: str) -> None:
    """Tell what was done, where nobody asked for quiet or for JSON."""
    if not args.quiet and not getattr(args, "json", False):
        print(text)


def synth(args: argparse.Namespace) -> None:
    """Draw a data set and write it."""
    from drml.synth import write_bp4d, write_disfa

    write = {"bp4d": write_bp4d, "disfa": write_disfa}[args.layout]
    options: dict[str, Any] = {
        name: getattr(args, name)
        for name in ("subjects", "tasks", "frames", "size")
        if getattr(args, name) is not None
    }
    done = write(args.out, seed=args.seed, jobs=args.jobs, progress=not args.quiet, **options)
    if args.json:
        _print_json(dataclasses.asdict(done))
    _note(
        args,
        f"{args.out}: {done.subjects} subjects, {done.videos} videos, {done.frames} coded frames;"
        f" {done.images} with an image, {done.landmarks} with landmarks",
    )


def prepare(args: argparse.Namespace) -> None:
    """Prepare a data set for training."""
    from drml.data.prepare import prepare_bp4d, prepare_disfa, prepare_images

    options: dict[str, Any] = {}
    if args.aus:
        options["aus"] = parse_aus(args.aus)
    of_one_kind = ("threshold", "camera", "landmark_folder", "first_frame", "labels", "images_anywhere")
    for name in ("positives", "negatives", *of_one_kind):
        # Left out, they are what suits the kind; those of another kind are left out.
        if getattr(args, name) is not None:
            options[name] = getattr(args, name)
    of_kind = {"bp4d": prepare_bp4d, "disfa": prepare_disfa, "images": prepare_images}[args.kind]
    summary = of_kind(
        args.root,
        args.out,
        folds=args.folds,
        seed=args.seed,
        val_share=args.val_share,
        unsampled=args.unsampled,
        encoding=args.encoding,
        size=args.size,
        jobs=args.jobs,
        progress=not args.quiet,
        max_broken=args.max_broken,
        overwrite=args.overwrite,
        exclude=args.exclude,
        **options,
    )
    if args.json:
        _print_json(summary)
    lines = [f"{args.out}: {summary['images']} faces of {summary['frames']} frames"]
    for what in ("skipped", "incomplete"):
        if summary[what]:
            counts = ", ".join(f"{reason} {count}" for reason, count in summary[what].items())
            lines.append(f"{what}: {counts}")
    lines.append(f"more in {args.out / 'summary.json'}")
    _note(args, "\n".join(lines))


def verify(args: argparse.Namespace) -> None:
    """Check an LMDB against its manifest."""
    from drml.data import verify as checks

    result = checks.verify(args.lmdb, args.manifest, size=args.size, progress=not args.quiet)
    if args.json:
        _print_json(result)
    _note(
        args, f"{args.lmdb}: good; " + ", ".join(f"{name} {_brief(value)}" for name, value in result.items())
    )


def _brief(value: Any) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(_brief, value))
    return str(value)


def score(args: argparse.Namespace) -> None:
    """Score a net; print the table, write the files."""
    from drml.evaluation import scoring

    for path in (args.out, args.predictions):
        _check_parent(path)
    result = scoring.score(
        args.model,
        args.weights,
        args.data,
        mean=args.mean,
        scale=args.scale,
        batch=args.batch,
        aus=parse_aus(args.aus) if args.aus else None,
        threshold=args.threshold,
        progress=not args.quiet,
    )
    _figures(args, result)


def _figures(args: argparse.Namespace, result: TestResult) -> None:
    """Write and print what a scoring command found."""
    from drml.evaluation import scoring

    if args.out:
        scoring.write_scores(args.out, result)
    if args.predictions:
        scoring.write_predictions(args.predictions, result.folds)
    _print_result(args, result)


def _print_result(args: argparse.Namespace, result: TestResult) -> None:
    if args.json:
        _print_json(result.to_dict())
    else:
        print(result.to_text(), end="")


def transfer(args: argparse.Namespace) -> None:
    """Score a linear classifier on a net's features; print the table, write the files."""
    from drml.evaluation.transfer import transfer as fit_and_score

    for path in (args.out, args.predictions):
        _check_parent(path)
    result = fit_and_score(
        args.model,
        args.weights,
        args.data,
        blob=args.blob,
        folds=args.folds,
        mean=args.mean,
        scale=args.scale,
        batch=args.batch,
        progress=not args.quiet,
    )
    _figures(args, result)


def baseline(args: argparse.Namespace) -> None:
    """Fit a linear baseline, score it, write its folder."""
    from drml.baselines.run import run

    options: dict[str, Any] = {}
    if args.solver is not None:
        if args.method != "lsvm":
            raise UserError(f"--solver {args.solver}: only lsvm has a choice of solvers")
        options["solver"] = args.solver
    result = run(
        args.method,
        args.data,
        args.out,
        features=args.features,
        window=args.sift_window,
        seed=args.seed,
        jobs=args.jobs,
        progress=not args.quiet,
        overwrite=args.overwrite,
        command=["drml", *args.given],
        **options,
    )
    _print_result(args, result)


def _check_parent(path: Path | None) -> None:
    """Refuse before the long work what cannot be written after it."""
    if path is not None and not path.absolute().parent.is_dir():
        raise UserError(f"{path}: folder {path.parent} does not exist; make it first")


def features(args: argparse.Namespace) -> None:
    """Write a blob of every record."""
    from drml.evaluation.features import extract

    done = extract(
        args.model,
        args.weights,
        args.data,
        args.out,
        blob=args.blob,
        mean=args.mean,
        scale=args.scale,
        batch=args.batch,
        progress=not args.quiet,
    )
    _note(args, f"{done.path}: {done.rows} rows of {'x'.join(map(str, done.shape)) or '1'} ({args.blob})")


def export_onnx(args: argparse.Namespace) -> None:
    """Write a net as ONNX; tell how far it is from Caffe."""
    try:
        from drml.nets.onnx_export import export
    except ModuleNotFoundError as error:
        raise UserError(
            f"export-onnx needs the onnx package ({error}): pip install onnx onnxruntime"
        ) from None

    _check_parent(args.out)
    done = export(
        args.model,
        args.weights,
        args.out,
        mean=args.mean,
        scale=args.scale,
        aus=parse_aus(args.aus) if args.aus else None,
        progress=not args.quiet,
    )
    if args.json:
        _print_json(done.to_dict())
    if done.difference is None:
        compared = "not compared with Caffe, as ONNX Runtime is not installed"
    else:
        compared = (
            f"largest difference from Caffe on {done.difference.images} pictures"
            f" {done.difference.probabilities:.1e} in probabilities, {done.difference.scores:.1e} in scores"
        )
    _note(
        args,
        f"{done.path}: {done.bytes / 1e6:.1f} MB, {done.nodes} nodes; {compared}\n"
        f"input: {done.metadata.input}",
    )


def detect(args: argparse.Namespace) -> None:
    """Find faces and AUs; write CSVs and pictures."""
    from drml.detect.faces import FaceDetector
    from drml.detect.run import Outputs, detect, open_onnx, open_recogniser

    detector = FaceDetector(
        args.detector, min_confidence=args.min_confidence, side=args.detect_size, largest=args.largest
    )
    aus = parse_aus(args.aus) if args.aus else None
    settings = {"mean": args.mean, "scale": args.scale, "size": args.size, "aus": aus}
    if args.onnx is not None:
        if args.net is not None:
            raise UserError(f"{args.onnx}: is net and weights in one; leave --net out")
        recogniser = open_onnx(args.onnx, **settings)
    else:
        recogniser = open_recogniser(args.model, net=args.net, **settings)
    done = detect(
        args.inputs,
        recogniser,
        Outputs(args.out, args.draw, args.aligned, args.overwrite),
        detector=detector,
        threshold=args.threshold,
        batch=args.batch,
        max_frames=args.max_frames,
        progress=not args.quiet,
    )
    if args.json:
        about = {
            "model": str(args.onnx or args.model),
            "net": recogniser.predictor.name,
            "aus": list(recogniser.aus),
            "threshold": args.threshold,
            "input": recogniser.preparation.to_dict(),
        }
        _print_json({**about, **done.to_dict()})
    rate = done.frames / done.seconds if done.seconds else 0.0
    _note(
        args,
        f"{', '.join(map(str, done.tables)) or args.out}: {done.faces} faces in {done.frames} frames,"
        f" {done.seconds:.1f} s ({rate:.1f} frames a second)",
    )
    if done.failed:
        first = done.failed[0]
        total = len(done.failed) + len(done.inputs)
        raise UserError(
            f"{first['input']}: {first['fault']}; {len(done.failed)} of {total} inputs could not be read,"
            " the others are done"
        )


def convert(args: argparse.Namespace) -> None:
    """Convert a net; write prototxt and weights."""
    from drml.nets.convert import convert as rewrite

    for path in (args.out, args.out_weights):
        _check_parent(path)
    count = rewrite(
        args.model,
        args.out,
        to=args.to,
        weights=args.weights,
        out_weights=args.out_weights,
        size=args.size,
    )
    written = " and ".join(str(path) for path in (args.out, args.out_weights) if path is not None)
    _note(args, f"{written}: {count} region layer{'s' if count > 1 else ''} converted to {args.to}")


def train(args: argparse.Namespace) -> None:
    """Run caffe in a folder of its own."""
    from drml.training.train import train

    done = train(
        args.solver,
        args.out,
        data=args.data,
        weights=args.weights,
        snapshot=args.snapshot,
        caffe=args.caffe,
        gpu=args.gpu,
        seed=args.seed,
        max_iter=args.max_iter,
        num_aus=args.num_aus,
        new_output=args.new_output,
        overwrite=args.overwrite,
        progress=not args.quiet,
    )
    if args.json:
        _print_json(
            {
                "weights": str(done.weights),
                "iterations": done.iterations,
                "loss": done.loss,
                "test": done.test,
                "f1": {name: None if value != value else value for name, value in done.f1.items()},
                "seconds": round(done.seconds, 3),
            }
        )
    loss = "" if done.loss is None else f", loss {done.loss:.4f}"
    f1 = "".join(f"  {name} {value:.3f}" for name, value in done.f1.items())
    _note(args, f"{done.weights}: {done.iterations} iterations{loss}, {done.seconds:.0f} s")
    if f1:
        _note(args, f"F1 of the last test pass:{f1}")


def report(args: argparse.Namespace) -> None:
    """Write the page."""
    from drml.report import write_experiment_report, write_report

    _check_parent(args.out)
    if args.experiment:
        write_experiment_report(args.out, args.experiment, method=args.method, progress=not args.quiet)
    else:
        write_report(
            args.out,
            scores_json=args.scores,
            train_dir=args.train,
            data_dir=args.data,
            predictions=args.predictions,
            saliency=args.saliency,
            stages=args.stages,
        )
    _note(args, f"{args.out}: report")


def relations(args: argparse.Namespace) -> None:
    """Print the AU relations of labels and predictions."""
    import numpy as np

    from drml.evaluation import relations as tables
    from drml.evaluation.scoring import read_predictions

    found = [read_predictions(path) for path in args.predictions]
    aus = list(found[0].aus)
    for path, one in zip(args.predictions, found, strict=True):
        if list(one.aus) != aus:
            raise UserError(f"{path}: other AUs than in {args.predictions[0]}")
    labels = np.concatenate([one.labels for one in found])
    if not len(labels):
        raise UserError(f"{args.predictions[0]}: no frame in it")
    values = np.concatenate([one.probabilities for one in found])
    truth, model = tables.relations(labels), tables.relations(labels, values)
    apart = tables.compare(truth, model)
    if args.json:

        def plain(table: Any) -> list[list[float | None]]:
            return [[None if np.isnan(value) else float(value) for value in row] for row in table]

        distance = {"frobenius": apart.frobenius, "mean_square": apart.mean_square} if apart.entries else {}
        shown = {"aus": aus, "frames": len(labels), "labels": plain(truth), "predictions": plain(model)}
        _print_json({**shown, "difference": {**distance, "entries": apart.entries}})
        return
    print(f"{len(labels)} frames. Labels:\n{tables.to_text(truth, aus)}")
    print(f"Predictions:\n{tables.to_text(model, aus)}")
    print(
        f"Frobenius norm of the difference / {apart.entries} entries: {apart.frobenius:.4f};"
        f" mean squared difference: {apart.mean_square:.4f}"
    )


def saliency(args: argparse.Namespace) -> None:
    """Write the saliency maps of a face; print how focused they are."""
    from drml.evaluation.explain import explain

    found = explain(
        args.model,
        args.weights,
        args.out,
        data=args.data,
        photo=args.image,
        key=args.key,
        aus=parse_aus(args.aus) if args.aus else None,
        overwrite=args.overwrite,
    )
    if args.json:
        _print_json(found)
        return
    print(f"{found['key']}{', SYNTHETIC DATA (a drawn face)' if found['synthetic'] else ''}")
    for name, about in found["aus"].items():
        line = f"{name:<5} p {about['score']:.3f}"
        if about.get("focus") is not None:
            line += f", focus {about['focus']:.3f}, region's share of the face {about['area']:.3f}"
        print(line)


def experiment(args: argparse.Namespace) -> None:
    """Do what is missing of an experiment; print its table."""
    from drml.experiments.run import run
    from drml.experiments.settings import Settings

    def absolute(path: Path | None) -> str | None:
        return None if path is None else str(path.absolute())

    settings = Settings(
        data=absolute(args.data),
        scale=args.scale,
        seed=args.seed,
        models=str(args.models.absolute()),
        data_alexnet=absolute(args.data_alexnet),
        max_iter=args.max_iter,
        trials=args.trials,
        iterations=args.iterations,
        batch=args.batch,
        bp4d=absolute(args.bp4d),
    )
    found = run(
        args.experiment,
        args.out,
        settings,
        methods=args.methods,
        folds=args.folds,
        jobs=args.jobs,
        progress=not args.quiet,
        only_plan=args.plan,
    )
    if isinstance(found, list):
        print("".join(f"{line}\n" for line in found), end="")
    elif args.json:
        _print_json(found.to_dict())
    else:
        print(found.to_markdown(), end="")
    if args.complete and not isinstance(found, list) and (gaps := found.gaps()):
        more = f" and {len(gaps) - 3} more" if len(gaps) > 3 else ""
        raise UserError(f"{args.experiment}: not complete: {'; '.join(gaps[:3])}{more}")


def experiment_unit(args: argparse.Namespace) -> None:
    """Do one unit."""
    from drml.experiments.run import run_one

    run_one(args.out, args.name, progress=not args.quiet)


def experiment_collect(args: argparse.Namespace) -> None:
    """Make the tables of what is finished."""
    from drml.experiments.run import collect

    found = collect(args.out)
    if args.json:
        _print_json([table.to_dict() for table in found])
    else:
        print("\n".join(table.to_markdown() for table in found), end="")
