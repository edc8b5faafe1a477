"""drml.experiments.transfer: features of a tiny net, linear classifiers, against scikit-learn by hand."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from sklearn.metrics import f1_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

import tiny_net as tiny
from drml import cli
from drml.data.labels import BP4D_AUS, DISFA_AUS
from drml.data.lmdb import write_lmdb
from drml.data.manifest import Row, read_manifest, write_manifest
from drml.evaluation import choose_thresholds, metrics, scoring
from drml.evaluation.folds import mean_of_folds, pool
from drml.evaluation.results import write_scores
from drml.experiments.transfer import _SOLVING, CS, _standardise, transfer
from drml.io.errors import UserError
from drml.report.origin import _commands

SCALE = 0.02
COUNTS = {"train": 90, "val": 40, "test": 50}


class Fold:
    """One fold: pictures at random, labels that follow the features, some unknown."""

    def __init__(
        self, root: Path, number: int, parameters: dict, spoilt: dict[str, int] | None = None
    ) -> None:
        self.folder = root / f"fold{number}"
        self.folder.mkdir(parents=True)
        self.features, self.labels = {}, {}
        rng = np.random.default_rng(number)
        # The same for all folds: what is learnt is the same relation.
        directions = np.random.default_rng(99).standard_normal((6, len(DISFA_AUS)))
        for place, (name, count) in enumerate(COUNTS.items()):
            images = tiny.draw_images(count, seed=10 * number + place)
            features = tiny.compute(parameters, tiny.transform(images, None, SCALE))["fc9"]
            values = StandardScaler().fit_transform(features) @ directions
            values += rng.normal(0, 0.6, values.shape)
            labels = np.where(values > 0.5, 1, -1)
            labels[rng.random(labels.shape) < 0.1] = 0
            for what, au in (spoilt or {}).items():
                if what in (name, "all"):
                    labels[:, DISFA_AUS.index(au)] = -1
            keys = [f"{i:08d}_SN{number:03d}_{i:04d}" for i in range(count)]
            write_lmdb(
                self.folder / f"{name}_lmdb",
                (
                    (key, cv2.imencode(".png", image)[1].tobytes(), row.tolist())
                    for key, image, row in zip(keys, images, labels, strict=True)
                ),
                shape=(3, tiny.IMAGE, tiny.IMAGE),
            )
            rows = [
                Row(key, f"v.avi#{i}", f"SN{number:03d}", "", str(i + 1), tuple(labels[i].tolist()))
                for i, key in enumerate(keys)
            ]
            write_manifest(self.folder / f"{name}.csv", DISFA_AUS, rows)
            self.features[name], self.labels[name] = features, labels

    def sample(self, share: float) -> None:
        """Record in the training manifest that only some of the labels were sampled."""
        path = self.folder / "train.csv"
        rows, labels = list(read_manifest(path).rows.values()), self.labels["train"]
        drawn = (np.random.default_rng(7).random(labels.shape) < share) & (labels != 0)
        kept = [
            row._replace(drawn=tuple(np.array(DISFA_AUS)[some].tolist()))
            for row, some in zip(rows, drawn, strict=True)
        ]
        write_manifest(path, DISFA_AUS, kept, with_draw=True)
        self.labels["train"] = np.where(drawn, labels, 0)


@pytest.fixture
def setup(tmp_path: Path) -> tuple[Path, Path, Path, list[Fold]]:
    """A net with BP4D's outputs, trained without a mean image, and three folds with DISFA's AUs."""
    parameters = tiny.draw_parameters(outputs=len(BP4D_AUS))
    deploy = tiny.write_deploy(tmp_path, outputs=len(BP4D_AUS))
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", parameters, scale=SCALE, mean_file="")
    folds = [Fold(tmp_path / "disfa", number, parameters) for number in (1, 2, 3)]
    return deploy, weights, tmp_path / "disfa", folds


QUIET = {"progress": False, "probe": False}


def by_hand(fold: Fold, column: int) -> tuple[float, np.ndarray]:
    """The C of the best F1 on the validation set, and the decisions on the test set."""
    scaler = StandardScaler().fit(fold.features["train"])
    data = {name: scaler.transform(features) for name, features in fold.features.items()}
    known = {name: labels[:, column] != 0 for name, labels in fold.labels.items()}
    found = []
    for c in CS:
        machine = LinearSVC(C=c, dual="auto", max_iter=10_000)
        machine.fit(data["train"][known["train"]], fold.labels["train"][known["train"], column])
        guess = machine.predict(data["val"][known["val"]])
        truth = fold.labels["val"][known["val"], column]
        decisions = machine.decision_function(data["val"])
        quality = f1_score(truth, guess), metrics.roc_auc(fold.labels["val"][:, column], decisions)
        found.append((quality, -c, machine))
    _, c, machine = max(found, key=lambda one: one[:2])
    return -c, machine.decision_function(data["test"])


@pytest.mark.parametrize("share", [1.0, 0.7])
def test_it_is_what_scikit_learn_gives_by_hand(setup: tuple, share: float) -> None:
    deploy, weights, data, folds = setup
    for fold in folds:
        fold.sample(share)
    result = transfer(deploy, weights, data, **QUIET)
    assert [Path(fold.data) for fold in result.folds] == [data / f"fold{n}" / "test_lmdb" for n in (1, 2, 3)]
    for fold, predictions in zip(folds, result.folds, strict=True):
        assert predictions.aus == DISFA_AUS and predictions.subjects == 1
        np.testing.assert_array_equal(predictions.labels, fold.labels["test"])
        assert predictions.classifier is not None
        for column, au in enumerate(DISFA_AUS):
            c, decisions = by_hand(fold, column)
            assert predictions.classifier["c"][f"AU{au}"] == c
            probabilities = 1 / (1 + np.exp(-decisions))
            np.testing.assert_allclose(predictions.probabilities[:, column], probabilities, atol=2e-3)
    assert result.mean == mean_of_folds(result.fold_scores)
    pooled = pool([(fold.labels, fold.probabilities) for fold in result.folds], aus=DISFA_AUS)
    assert result.pooled.rows == pooled.rows and result.pooled.intervals is not None
    assert result.chosen is not None and result.validation is not None
    for fold, held_out, chosen in zip(folds, result.validation, result.chosen.by_fold, strict=True):
        np.testing.assert_array_equal(held_out.labels, fold.labels["val"])
        assert list(chosen) == choose_thresholds(held_out.labels, held_out.probabilities).tolist()
    assert result.pooled.average("auc") > 0.85  # the labels follow the features


def test_refitted_it_is_what_scikit_learn_gives_on_both_splits(setup: tuple) -> None:
    deploy, weights, data, folds = setup
    options = {"all_frames": True, "positives": None, "negatives": None}
    (data / "summary.json").write_text(json.dumps({"options": options}))
    plain, again = (transfer(deploy, weights, data, folds=(1,), refit=one, **QUIET) for one in (False, True))
    assert plain.chosen is not None and again.chosen is not None
    assert plain.chosen.by_fold == again.chosen.by_fold  # chosen before the validation faces were seen
    found, before = again.folds[0].classifier, plain.folds[0].classifier
    assert found is not None and before is not None and found["c"] == before["c"] and found["refit"]
    scaler = StandardScaler().fit(folds[0].features["train"])
    features = {name: scaler.transform(values) for name, values in folds[0].features.items()}
    joint, labels = (np.concatenate([some["train"], some["val"]]) for some in (features, folds[0].labels))
    for column, au in enumerate(DISFA_AUS):
        known = labels[:, column] != 0
        machine = LinearSVC(C=found["c"][f"AU{au}"], dual="auto", max_iter=10_000)
        decisions = machine.fit(joint[known], labels[known, column]).decision_function(features["test"])
        np.testing.assert_allclose(
            again.folds[0].probabilities[:, column], 1 / (1 + np.exp(-decisions)), atol=2e-3
        )


def test_table_and_json_are_those_of_score(setup: tuple, tmp_path: Path) -> None:
    deploy, weights, data, _ = setup
    result = transfer(deploy, weights, data, **QUIET)
    text = result.to_text()
    for part in (
        "Pooled over 3 folds",
        "Mean of 3 folds",
        "all positive (trivial)",
        "linear SVM on fc9, C: AU1",
    ):
        assert part in text
    write_scores(tmp_path / "s.json", result)
    scores = json.loads((tmp_path / "s.json").read_text())
    plain = scoring.score(deploy, weights, data / "fold1/test_lmdb", aus=BP4D_AUS, **QUIET).to_dict()
    assert scores.keys() - {"chosen_thresholds"} == plain.keys()
    assert (scores["command"][:2], plain["command"]) == (["drml", "transfer"], None)
    assert scores["pooled"]["aus"][0].keys() == plain["pooled"]["aus"][0].keys()
    assert scores["folds"][0]["classifier"]["c"]["AU9"] in CS
    command = _commands(scores, None, None, None)[-1].split()
    assert cli.build_parser().parse_args(command[1:]).data == data


def test_folds_and_blob_can_be_chosen(setup: tuple) -> None:
    deploy, weights, data, _ = setup
    both = transfer(deploy, weights, data, **QUIET)
    one = transfer(deploy, weights, data, folds=(2,), **QUIET)
    assert one.mean is None and one.fold_scores[0] == both.fold_scores[1]
    assert one.command is not None and one.command[-2:] == ["--folds", "2"]
    other = transfer(deploy, weights, data, folds=(2,), blob="fc10", cs=(0.1,), **QUIET)
    assert other.folds[0].classifier is not None
    assert other.folds[0].classifier["blob"] == "fc10" and other.fold_scores != one.fold_scores


def test_an_au_without_both_kinds_is_told(tmp_path: Path) -> None:
    parameters = tiny.draw_parameters()
    deploy = tiny.write_deploy(tmp_path)
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", parameters, scale=SCALE, mean_file="")
    Fold(tmp_path / "d", 1, parameters, {"train": 9, "val": 26})
    result = transfer(deploy, weights, tmp_path / "d", **QUIET)
    (fold,) = result.folds
    assert fold.classifier is not None
    assert fold.classifier["c"]["AU9"] is None and fold.classifier["c"]["AU26"] == sorted(CS)[len(CS) // 2]
    never, middle = fold.classifier["notes"]
    assert never.startswith("AU9: never present") and middle.startswith("AU26: the validation set")
    assert (fold.probabilities[:, DISFA_AUS.index(9)] < 0.5).all()
    assert "  AU9: never present among the known training labels" in result.to_text()


def test_what_does_not_converge_is_told_with_its_au(
    setup: tuple, monkeypatch: pytest.MonkeyPatch, recwarn: pytest.WarningsRecorder
) -> None:
    deploy, weights, data, _ = setup
    monkeypatch.setitem(_SOLVING, "max_iter", 1)
    text = transfer(deploy, weights, data, folds=(1,), cs=(0.1,), **QUIET).to_text()
    assert "AU26: not converged in 1 iteration" in text
    assert not recwarn.list


def test_features_are_standardised_by_the_training_set() -> None:
    rng = np.random.default_rng(1)
    train, test = (rng.normal(5, 3, (80, 6)).astype(np.float32) for _ in range(2))
    train[:, 2] = 7.0  # the same in all training frames: no weight
    expected = StandardScaler().fit(train.astype(np.float64))
    done = [train.copy(), test.copy()]
    _standardise(done)
    for raw, one in zip((train, test), done, strict=True):
        reference = expected.transform(raw.astype(np.float64))
        reference[:, 2] = 0
        np.testing.assert_allclose(one, reference, atol=1e-5)


def test_a_bp4d_net_is_scored_on_the_shared_aus_alone(
    setup: tuple, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy, weights, data, folds = setup
    net = ["--net", str(deploy), "--weights", str(weights)]
    aus = ["--aus", ",".join(map(str, BP4D_AUS))]
    lmdb = data / "fold1" / "test_lmdb"
    assert cli.main(["score", "-q", "--json", *net, "--data", str(lmdb), *aus]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert [row["au"] for row in scores["pooled"]["aus"]] == [1, 2, 4, 6, 12]
    assert scores["folds"][0]["not_scored"] == {"net": [7, 10, 14, 15, 17, 23, 24], "data": [9, 25, 26]}
    # Each output against its own AU's labels.
    parameters = tiny.draw_parameters(outputs=len(BP4D_AUS))
    images = tiny.draw_images(COUNTS["test"], seed=12)
    probabilities = tiny.compute(parameters, tiny.transform(images, None, SCALE))["prob"]
    for row in scores["pooled"]["aus"]:
        labels = folds[0].labels["test"][:, DISFA_AUS.index(row["au"])]
        expected = metrics.roc_auc(labels, probabilities[:, BP4D_AUS.index(row["au"])])
        assert row["auc"] == pytest.approx(expected, abs=1e-6)
    assert cli.main(["score", "-q", *net, "--data", str(lmdb), *aus]) == 0
    assert "not scored, since only the data has them: AU9, AU25, AU26" in capsys.readouterr().out
    # The recipe in the weights names the same AUs.
    assert cli.main(["score", "-q", *net, "--data", str(lmdb)]) == 0
    assert "not scored, since only the data has them: AU9, AU25, AU26" in capsys.readouterr().out


def test_the_command_prints_and_writes(
    setup: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy, weights, data, _ = setup
    files = ["--out", str(tmp_path / "s.json"), "--predictions", str(tmp_path / "p.csv")]
    net = ["--net", str(deploy), "--weights", str(weights), "--data", str(data)]
    assert cli.main(["transfer", "-q", *net, *files]) == 0
    assert "Mean of 3 folds" in capsys.readouterr().out
    assert json.loads((tmp_path / "s.json").read_text())["frames"] == 3 * COUNTS["test"]
    assert len((tmp_path / "p.csv").read_text().splitlines()) == 1 + 3 * COUNTS["test"]
    assert cli.main(["transfer", "-q", *net, "--json", "--folds", "1"]) == 0
    assert json.loads(capsys.readouterr().out)["mean_of_folds"] is None


def remove(path: Path) -> None:
    for file in path.iterdir():
        file.unlink()
    path.rmdir()


def test_faults_are_named_in_one_line(
    setup: tuple, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    deploy, weights, data, _ = setup

    def said(*arguments: str, model: Path = deploy) -> str:
        net = ["--net", str(model), "--weights", str(weights)]
        assert cli.main(["transfer", "-q", *net, *arguments]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1
        return error

    assert "not prepared data; give a folder of drml prepare" in said("--data", str(tmp_path))
    assert "no fold 4; it has 1, 2, 3" in said("--data", str(data), "--folds", "4")
    assert "no blob 'fc7'" in said("--data", str(data), "--blob", "fc7")
    assert "this is a folder" in said("--data", str(data), "--out", str(tmp_path))
    remove(data / "fold2" / "val_lmdb")
    message = "fold2: no val_lmdb; transfer needs the splits train, val, test; prepare the data"
    for path in (data, data / "fold2"):
        assert message in said("--data", str(path))
    assert "one split, but transfer fits on train" in said("--data", str(data / "fold1/test_lmdb"))
    with pytest.raises(UserError, match="C 0: give a finite number above 0"):
        transfer(deploy, weights, data, cs=(0,), **QUIET)


def test_features_of_a_net_that_diverged_are_refused(setup: tuple, tmp_path: Path) -> None:
    deploy, _, data, _ = setup
    parameters = tiny.draw_parameters(outputs=len(BP4D_AUS))
    parameters["fc9"][1][:] = np.inf
    weights = tiny.write_caffemodel(tmp_path / "inf.caffemodel", parameters, scale=SCALE, mean_file="")
    with pytest.raises(UserError, match="the features of record 00000000_SN001_0000 are not finite numbers"):
        transfer(deploy, weights, data, **QUIET)
