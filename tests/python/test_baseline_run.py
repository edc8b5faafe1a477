"""From prepared data to a baseline's scores: SIFT features, patch maps, the command."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from drml import cli
from drml.baselines import APL, LSVM
from drml.data import registration
from drml.data.landmark_files import read_landmarks
from drml.data.lmdb import read_lmdb
from drml.data.manifest import read_manifest
from drml.data.prepare import Sampling, prepare
from drml.evaluation import metrics
from drml.experiments import sift as sift_module
from drml.experiments.baseline import ESTIMATORS, run_baseline
from drml.experiments.patch_maps import draw_map, write_maps
from drml.experiments.sift import sift, sift_features
from drml.io.errors import UserError
from drml.report import write_report
from drml.synth import Subject, View, render, write_bp4d
from tiny_net import file_size_limit

QUIET: dict[str, Any] = {"jobs": 1, "progress": False}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Fold 1 of 9 drawn subjects, its features made."""
    folder = tmp_path_factory.mktemp("baselines")
    write_bp4d(folder / "BP4D", subjects=9, tasks=2, frames=6, size=130, **QUIET)
    prepare("bp4d", folder / "BP4D", folder / "data", folds=(1,), **QUIET)
    fold = folder / "data" / "fold1"
    for split in ("train", "val", "test"):
        sift_features(fold / f"{split}_lmdb", **QUIET)
    return fold


@pytest.fixture
def fold(prepared: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil, marked as synthetic like the original."""
    shutil.copytree(prepared.parent, tmp_path / "data")
    return tmp_path / "data" / "fold1"


def small(fold: Path, window: float = 24.0) -> Any:
    """Features that take little time."""
    return sift_features(fold / "val_lmdb", window=window, **QUIET)


# --- SIFT -----------------------------------------------------------------------------------------------


def face() -> tuple[Any, Any]:
    image, landmarks = render(Subject.draw("F001"), {12: 4.0}, View(roll=4.0))
    registered = registration.register(image, landmarks)
    return cv2.cvtColor(registered, cv2.COLOR_BGR2GRAY), registration.place(landmarks)


@pytest.mark.parametrize("window", [32.0, 192.0])
def test_sift_is_opencvs_landmark_by_landmark(window: float) -> None:
    grey, points = face()
    found = sift(grey, points, window)
    assert found.shape == (6272,) and found.dtype == np.float32
    for at, (x, y) in enumerate(points):
        # One at a time: which key point a descriptor belongs to is then beyond doubt.
        _, alone = cv2.SIFT_create().compute(grey, [cv2.KeyPoint(float(x), float(y), window / 6, 0)])
        np.testing.assert_array_equal(found[at * 128 : (at + 1) * 128], alone[0])


def test_default_window_is_32() -> None:
    grey, points = face()
    np.testing.assert_array_equal(sift(grey, points), sift(grey, points, 32.0))


def test_a_descriptor_sees_its_window() -> None:
    grey, points = face()
    x = round(points[13, 0])
    changed = grey.copy()
    changed[:, : x - 40] = 0
    changed[:, x + 40 :] = 255
    part = slice(13 * 128, 14 * 128)
    np.testing.assert_array_equal(sift(changed, points, 36.0)[part], sift(grey, points, 36.0)[part])
    assert np.abs(sift(changed, points, 192.0)[part] - sift(grey, points, 192.0)[part]).max() > 10


def test_landmarks_at_the_edge_and_outside_are_described() -> None:
    grey, points = face()
    points[0], points[1] = (-5, -5), (199, 260)
    assert np.isfinite(sift(grey, points)).all()


def test_features_are_those_of_the_records(fold: Path) -> None:
    found = sift_features(fold / "test_lmdb", **QUIET)
    assert isinstance(found.X, np.memmap) and found.X.dtype == np.float32
    manifest = read_manifest(fold / "test.csv")
    landmarks = read_landmarks(fold / "test_landmarks.npz")
    records = list(read_lmdb(fold / "test_lmdb"))
    assert found.keys == [record.key for record in records] == list(manifest.rows)
    assert found.X.shape == (len(records), 6272) and found.synthetic and found.subjects == 3
    np.testing.assert_array_equal(found.Y, [record.labels for record in records])
    assert found.aus == manifest.aus
    for row in (0, 17, len(records) - 1):
        image = cv2.imdecode(np.frombuffer(records[row].image, np.uint8), cv2.IMREAD_COLOR)
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        np.testing.assert_array_equal(found.X[row], sift(grey, landmarks[records[row].key]))


def test_threads_change_nothing_and_a_bar_is_shown(fold: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = np.array(small(fold).X)
    (fold / "val_sift.json").unlink()
    several = sift_features(fold / "val_lmdb", window=24.0, jobs=3)
    np.testing.assert_array_equal(several.X, one)
    assert f"{len(one)}/{len(one)}" in capsys.readouterr().err


def test_features_are_used_again_only_where_they_fit(fold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Path] = []
    write = sift_module._write

    def counted(path: Path, *more: Any) -> None:
        made.append(path)
        write(path, *more)

    monkeypatch.setattr(sift_module, "_write", counted)
    small(fold)
    small(fold)
    assert made == [fold / "val_sift.npy"]
    note = json.loads((fold / "val_sift.json").read_text())
    assert note["window"] == 24 and note["shape"] == [len(read_manifest(fold / "val.csv").rows), 6272]
    assert {"lmdb", "manifest", "landmarks", "opencv"} <= note.keys()
    small(fold, 30.0)  # another window
    assert len(made) == 2
    array = fold / "val_sift.npy"
    array.write_bytes(array.read_bytes()[:5000])  # cut
    small(fold, 5.0)
    assert len(made) == 3
    manifest = fold / "val.csv"
    manifest.write_text(manifest.read_text().replace(",T1,", ",T9,"))
    small(fold, 5.0)
    assert len(made) == 4
    elsewhere = sift_features(fold / "val_lmdb", folder=fold / "other", window=30.0, **QUIET)
    assert elsewhere.path == fold / "other" / "val_sift.npy" == made[-1]


def test_features_appear_whole_or_not_at_all(fold: Path) -> None:
    small(fold)
    with file_size_limit(100_000), pytest.raises(OSError, match=r"val_sift\.npy"):
        small(fold, 5.0)
    left = {path.name for path in fold.glob("val_sift*")}
    # The old array is still there, and nothing says what it is: it is not used.
    assert left == {"val_sift.npy"}
    assert small(fold).X.shape[1] == 6272 and (fold / "val_sift.json").is_file()


def test_data_without_landmarks_are_to_be_prepared_again(fold: Path) -> None:
    (fold / "val_landmarks.npz").unlink()
    with pytest.raises(
        UserError, match=r"val_landmarks\.npz: there are no landmarks.*prepare the data again"
    ):
        small(fold)
    (fold / "val_landmarks.npz").write_bytes((fold / "test_landmarks.npz").read_bytes())
    with pytest.raises(UserError, match=r"no landmarks of record .*prepare the data again"):
        small(fold)
    (fold / "val.csv").unlink()
    with pytest.raises(UserError, match="no manifest beside it"):
        small(fold)
    with pytest.raises(UserError, match="SIFT window nan"):
        small(fold, float("nan"))


# --- maps -----------------------------------------------------------------------------------------------


def test_maps_show_each_patch_by_its_importance(tmp_path: Path) -> None:
    importance = np.zeros((2, 49))
    importance[0, 31] = 1.0
    importance[1, :] = 0.5
    one, two = write_maps(tmp_path / "patches", importance, (12, 99))
    assert (one.name, two.name) == ("AU12.png", "AU99.png")
    picture = cv2.imread(str(one))
    assert picture.shape == (684, 600, 3)
    _, landmarks = render(Subject.draw("patches 0"), width=1040)
    places = registration.place(landmarks, 600) + (0, 44)  # noqa: RUF005 - a sum, not a longer list
    colours = {}
    for at in (31, 37, 13):
        x, y = (round(float(value)) for value in places[at])
        colours[at] = picture[y, x].astype(int)
    # The brightest of viridis is yellow; a patch that is out shows the grey face.
    assert colours[31][1] > 200 > 100 > colours[31][0]
    assert np.ptp(colours[37]) < 5 and np.ptp(colours[13]) < 5
    other = draw_map(importance[0], "AU12", seed=1)
    assert (other[44:644] != draw_map(importance[0], "AU12")[44:644]).any()
    for wrong in (np.zeros(48), np.full(49, 1.5), np.full(49, np.nan)):
        with pytest.raises(ValueError, match="49 numbers from 0 to 1"):
            draw_map(wrong, "AU12")


# --- the whole way --------------------------------------------------------------------------------------


def check_written(out: Path, fold: Path, patches: bool) -> dict[str, Any]:
    """Hold what a run wrote to the data and to the model; return the scores."""
    names = ["fit.json", "model.npz", *(["patches"] if patches else []), "predictions.csv", "scores.json"]
    assert sorted(path.name for path in out.iterdir()) == names
    scores = json.loads((out / "scores.json").read_text())
    manifest = read_manifest(fold / "test.csv")
    assert scores["frames"] == len(manifest.rows) and scores["synthetic"] is True
    with (out / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["key"] for row in rows] == list(manifest.rows)
    labels = np.array([row.labels for row in manifest.rows.values()])
    for column, au in enumerate(manifest.aus):
        assert [int(row[f"y_AU{au}"]) for row in rows] == labels[:, column].tolist()
        figures = scores["pooled"]["aus"][column]
        assert figures["au"] == au
        values = np.array([float(row[f"p_AU{au}"]) for row in rows])
        if figures["f1"] is not None:
            assert figures["f1"] == pytest.approx(metrics.f1_frame(labels[:, column], values))
    if patches:
        assert {path.name for path in (out / "patches").iterdir()} == {f"AU{au}.png" for au in manifest.aus}
    return scores


def test_the_command_from_fold_to_scores(
    fold: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "new" / "apl"
    arguments = ["baseline", "apl", "--data", str(fold), "--out", str(out), "--jobs", "2"]
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    assert "SYNTHETIC DATA" in captured.out and "all positive (trivial)" in captured.out
    assert "Avg." in captured.out and "features: SIFT at 49 landmarks, window 32 px" in captured.out
    assert "fitting apl" in captured.err
    scores = check_written(out, fold, patches=True)
    assert scores["command"] == ["drml", *arguments] and scores["model"] == "apl"
    model = APL.load(out / "model.npz")
    test = sift_features(fold / "test_lmdb", **QUIET)
    f1 = [
        metrics.f1_frame(test.Y[:, k], decision, threshold=0.0)
        for k, decision in enumerate(model.decision_function(test.X).T)
    ]
    found = [np.nan if row["f1"] is None else row["f1"] for row in scores["pooled"]["aus"]]
    np.testing.assert_allclose(found, f1)
    note = json.loads((out / "fit.json").read_text())
    assert note["chosen"]["lambda"] == [None if np.isnan(value) else value for value in model.lambda_]
    assert note["frames"]["test"] == len(test.keys)

    assert cli.main(arguments) == 1
    assert "not empty" in capsys.readouterr().err
    assert cli.main(["baseline", "lsvm", *arguments[2:], "--overwrite", "--json", "--quiet"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["model"] == "lsvm"
    assert all(line.startswith("note: ") for line in captured.err.splitlines())
    check_written(out, fold, patches=False)
    assert LSVM.load(out / "model.npz").coef_.shape == (12, 6272)

    # The report takes it as it takes the scores of a net.
    write_report(tmp_path / "r.html", scores_json=out / "scores.json", predictions=out / "predictions.csv")
    page = (tmp_path / "r.html").read_text()
    assert "drml baseline lsvm --data" in page and "features: SIFT" in page


def test_kept_labels_do_not_change_the_fit(prepared: Path, tmp_path: Path) -> None:
    """Each AU is fitted to the labels drawn for it, whether the data keep the others or not."""
    models: dict[tuple[str, str], Any] = {}
    for unsampled in ("mask", "keep"):
        sampling = Sampling(positives=2, negatives=2, unsampled=unsampled)
        root = prepared.parents[1] / "BP4D"
        prepare("bp4d", root, tmp_path / unsampled, folds=(1,), sampling=sampling, **QUIET)
        fold = tmp_path / unsampled / "fold1"
        options: dict[str, Any] = {
            "lsvm": {"Cs": (0.01, 0.1)},
            "apl": {"lambdas": 1e-2},
            "jpml": {"alphas": 1e-2, "betas1": 1e-3, "betas2": 1e-3, "max_outer": 2},
        }
        for method, params in options.items():
            out = tmp_path / f"{method}_{unsampled}"
            run_baseline(method, fold, out, tol=1e-2, **params, **QUIET)
            models[method, unsampled] = ESTIMATORS[method].load(out / "model.npz")
            note = json.loads((out / "fit.json").read_text())
            summary = json.loads((tmp_path / unsampled / "summary.json").read_text())
            drawn = summary["folds"]["1"]["train"]["sampling"]
            for au, count in note["labels"].items():
                for kind in ("positives", "negatives"):
                    assert count[kind] == drawn[kind][au]["drawn"] <= 2 * 2 * 6
        assert drawn["labels"]["share"] < 0.8
    for method in options:
        np.testing.assert_array_equal(models[method, "mask"].coef_, models[method, "keep"].coef_)
        np.testing.assert_array_equal(models[method, "mask"].intercept_, models[method, "keep"].intercept_)


def test_jpml_tells_its_objective(fold: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    result = run_baseline(
        "jpml", fold, tmp_path / "o", alphas=1e-3, betas1=1e-3, betas2=1e-3, max_outer=4, tol=1e-2, jobs=2
    )
    scores = check_written(tmp_path / "o", fold, patches=True)
    assert scores == json.loads(json.dumps(result.to_dict()))
    said = capsys.readouterr().err
    objectives = [
        float(line.split("objective ")[1].split(",")[0]) for line in said.splitlines() if "objective" in line
    ]
    assert len(objectives) >= 2 and np.diff(objectives).max() <= 1e-5 * objectives[0]
    note = json.loads((tmp_path / "o" / "fit.json").read_text())["chosen"]
    assert [row[0] for row in note["history"]] == pytest.approx(objectives, abs=1e-6)


def test_faults_are_one_line_and_leave_nothing(
    fold: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def failing(*arguments: str, out: str = "out") -> str:
        command = ["baseline", *arguments, "--out", str(tmp_path / out), "-q", "--jobs", "1"]
        assert cli.main(command) == 1
        error = capsys.readouterr().err
        assert error.startswith("drml: error: ") and error.count("\n") == 1
        return error

    assert "no such folder" in failing("apl", "--data", str(tmp_path / "none"))
    assert "which is an input; choose another" in failing("apl", "--data", str(fold), out="data/fold1")
    for usage, said in (
        (["--lsvm-solver", "liblinear"], "--lsvm-solver applies only to lsvm"),
        (["--sift-window", "-1"], "--sift-window: -1.0: give a finite number above 0"),
    ):
        with pytest.raises(SystemExit) as wrong:
            failing("apl", "--data", str(fold), *usage)
        assert wrong.value.code == 2
        assert said in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert "there is a file of this name" in failing("apl", "--data", str(fold), out="file")
    (fold / "train_landmarks.npz").unlink()
    assert "prepare the data again" in failing("apl", "--data", str(fold))
    shutil.rmtree(fold / "val_lmdb")
    assert "no val_lmdb in it; prepare the data with drml prepare, with a share for validation" in failing(
        "lsvm", "--data", str(fold)
    )
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob("*.partial*"))
    with pytest.raises(UserError, match="lsvm, apl, jpml are known"):
        run_baseline("svm", fold, tmp_path / "out")


def test_an_old_folder_stays_when_writing_fails(fold: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").write_text("x")
    with file_size_limit(20_000), pytest.raises(OSError, match=r"/out/\w+\.\w+'"):
        run_baseline("apl", fold, tmp_path / "out", lambdas=1e-2, overwrite=True, **QUIET)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine"]
    assert not list(tmp_path.glob("*partial*"))
