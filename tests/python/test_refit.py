"""--refit: models that are trained again on training and validation subjects, after everything was chosen."""

import json
import shutil

import numpy as np
import pytest
from sklearn.svm import LinearSVC

import tiny_net as tiny
from drml import cli
from drml.baselines import APL, JPML, LSVM
from drml.baselines.refit import refit
from drml.data.lmdb import read_lmdb, read_mean
from drml.data.manifest import read_manifest
from drml.data.prepare import Encoding, prepare
from drml.data.sampling import Sampling
from drml.experiments import runner
from drml.experiments.refit import joint_rows, refit_fold, sampled_validation
from drml.experiments.settings import Settings
from drml.io.errors import UserError
from drml.nets.recipe import read_recipe
from drml.synth import write_bp4d
from experiment_data import write_data, write_models

QUIET = {"jobs": 1, "progress": False}


def draw_rows(seed, count, features=6):
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((count, features))
    Y = np.where(X[:, :3] + 0.7 * rng.standard_normal((count, 3)) > 0, 1, -1).astype(np.int8)
    Y[rng.random(Y.shape) < 0.1] = 0
    return X, Y


# --- the linear methods ---------------------------------------------------------------------------------


def test_an_lsvm_is_fitted_again_with_the_c_that_each_au_chose():
    (X, Y), held_out = draw_rows(0, 80), draw_rows(1, 60)
    model = LSVM(Cs=(1e-4, 1e-2, 1.0), scale=False, tol=1e-8, max_iter=20_000).fit(X, Y, validation=held_out)
    joint_X, joint_Y = np.concatenate([X, held_out[0]]), np.concatenate([Y, held_out[1]])
    before = model.coef_.copy()
    again = refit(model, joint_X, joint_Y)
    np.testing.assert_array_equal(model.coef_, before)
    np.testing.assert_array_equal(again.C_, model.C_)
    np.testing.assert_array_equal(again.validation_f1_, model.validation_f1_)
    assert again.get_params() == model.get_params()
    for column, C in enumerate(model.C_):
        known = joint_Y[:, column] != 0
        machine = LinearSVC(C=C, dual=False, tol=1e-10, max_iter=100_000)
        machine.fit(joint_X[known], joint_Y[known, column])
        np.testing.assert_allclose(again.coef_[column], machine.coef_[0], rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(again.intercept_[column], machine.intercept_[0], rtol=1e-3, atol=1e-4)


def test_an_apl_is_fitted_again_au_by_au():
    (X, Y), held_out = draw_rows(2, 80), draw_rows(3, 60)
    model = APL(lambdas=(0.2, 1e-2, 1e-4), patches=3).fit(X, Y, validation=held_out)
    joint = np.concatenate([X, held_out[0]]), np.concatenate([Y, held_out[1]])
    again = refit(model, *joint)
    for column, value in enumerate(model.lambda_):
        alone = APL(lambdas=float(value), patches=3).fit(joint[0], joint[1][:, [column]])
        np.testing.assert_allclose(again.coef_[[column]], alone.coef_, rtol=1e-6, atol=1e-9)
        assert again.objective_[column] == pytest.approx(alone.objective_[0])


def test_a_jpml_is_fitted_again_with_its_alpha_and_betas():
    (X, Y), held_out = draw_rows(4, 60), draw_rows(5, 50)
    model = JPML(alphas=(0.1, 1e-3), betas1=(0.0, 0.1), betas2=0.1, patches=3).fit(X, Y, validation=held_out)
    joint = np.concatenate([X, held_out[0]]), np.concatenate([Y, held_out[1]])
    again = refit(model, *joint)
    alone = JPML(alphas=model.alpha_, betas1=model.beta1_, betas2=model.beta2_, patches=3).fit(*joint)
    np.testing.assert_array_equal(again.coef_, alone.coef_)
    assert (again.alpha_, again.beta1_) == (model.alpha_, model.beta1_)
    assert again.get_params() == model.get_params()


def test_an_au_without_a_choice_keeps_its_constant_decision():
    (X, Y), held_out = draw_rows(6, 40), draw_rows(7, 40)
    Y[:, 1] = -1
    with pytest.warns(UserWarning, match="never present"):
        model = LSVM(Cs=(0.1, 1.0)).fit(X, Y, validation=held_out)
    again = refit(model, np.concatenate([X, held_out[0]]), np.concatenate([Y, held_out[1]]))
    assert again.constant_.tolist() == [False, True, False]
    assert (again.decision_function(X)[:, 1] == -1).all()
    with pytest.raises(UserError, match="N x 3 expected"):
        refit(model, X, Y[:, :2])


# --- the data -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drawn")
    write_bp4d(folder / "BP4D", subjects=9, tasks=2, frames=8, size=130, **QUIET)
    return folder


def records(fold, name="train"):
    """Return image and labels of each record by its key without the position."""
    items = {one.key: one for one in read_lmdb(fold / f"{name}_lmdb")}
    rows = read_manifest(fold / f"{name}.csv").rows
    assert list(items) == sorted(rows)
    assert all(tuple(items[key].labels) == row.labels for key, row in rows.items())
    return {key[9:]: (items[key].image, row.labels, row.drawn) for key, row in rows.items()}


@pytest.mark.parametrize("unsampled", ["mask", "keep", "all"])
@pytest.mark.parametrize("target", ["intensity", "both"])
def test_the_joint_split_has_intensities(drawn, tmp_path, unsampled, target):
    how = {"positives": 1, "negatives": 1, "unsampled": unsampled}
    how = {"all_frames": True} if unsampled == "all" else how
    for name, share in (("with", 0.3), ("without", 0.0)):
        sampling = Sampling(val_share=share, **how)
        options = {"folds": (1,), "sampling": sampling, "encoding": Encoding(size=tiny.IMAGE)}
        prepare("bp4d", drawn / "BP4D", tmp_path / name, target=target, **options, **QUIET)
    found = refit_fold(tmp_path / "with/fold1", tmp_path / "refit")
    joint, expected = records(found), records(tmp_path / "without/fold1")
    assert joint == expected and len(joint) > len(records(tmp_path / "with/fold1"))
    manifest = read_manifest(found / "train.csv")
    assert manifest.intensity_aus == (6, 10, 12, 14, 17) and bool(manifest.aus) == (target == "both")


@pytest.mark.parametrize("unsampled", ["mask", "keep"])
def test_the_joint_split_is_that_of_data_without_a_validation_split(drawn, tmp_path, unsampled):
    for name, share in (("with", 0.3), ("without", 0.0)):
        sampling = Sampling(val_share=share, positives=2, negatives=3, unsampled=unsampled)
        options = {"folds": (1,), "sampling": sampling, "encoding": Encoding(size=tiny.IMAGE)}
        prepare("bp4d", drawn / "BP4D", tmp_path / name, **options, **QUIET)
    fold = tmp_path / "with/fold1"
    found = refit_fold(fold, tmp_path / "refit")
    assert found == tmp_path / "refit/fold1"
    joint, expected = records(found), records(tmp_path / "without/fold1")
    assert joint == expected and len(joint) > len(records(fold))
    tested = {row.subject for row in read_manifest(fold / "test.csv").rows.values()}
    rows = read_manifest(found / "train.csv").rows
    assert not tested & {row.subject for row in rows.values()}
    # The validation frames lie among the others, and not at the end.
    held_out = {row.subject for row in read_manifest(fold / "val.csv").rows.values()}
    order = [row.subject in held_out for _, row in sorted(rows.items())]
    assert any(order[: len(order) // 2]) and any(order[len(order) // 2 :])
    np.testing.assert_array_equal(read_mean(found / "mean.binaryproto"), read_mean(fold / "mean.binaryproto"))
    made = (found / "train_lmdb/data.mdb").stat().st_mtime_ns
    assert refit_fold(fold, tmp_path / "refit") == found
    assert (found / "train_lmdb/data.mdb").stat().st_mtime_ns == made

    # The linear methods get the same labels.
    val = read_manifest(fold / "val.csv")
    keys = sorted(val.rows)
    X = np.arange(2.0 * len(keys)).reshape(-1, 2)
    train = np.zeros((3, 2)), np.zeros((3, 12), np.int8)
    with joint_rows(train, X, keys, fold, tmp_path) as (rows_X, rows_Y):
        sampled = sampled_validation(fold)
        chosen = [at for at, key in enumerate(keys) if key in sampled.rows]
        np.testing.assert_array_equal(rows_X, np.concatenate([train[0], X[chosen]]))
        reference = read_manifest(tmp_path / "without/fold1/train.csv")
        by_name = {key[9:]: key for key in reference.rows}
        labels = reference.drawn_labels(by_name[keys[at][9:]] for at in chosen)
        np.testing.assert_array_equal(rows_Y[3:], labels)
    assert not list(tmp_path.glob("refit_*"))

    # The seed of the preparation determines the order, not only which validation frames there are.
    def sources(place):
        rows = read_manifest(place / "train.csv").rows.values()
        return [row.source for row in rows if row.subject not in held_out]

    assert sources(refit_fold(fold, tmp_path / "same")) == sources(found)
    summary = json.loads((fold.parent / "summary.json").read_text())
    summary["options"]["seed"] += 1
    (fold.parent / "summary.json").write_text(json.dumps(summary))
    other = sources(refit_fold(fold, tmp_path / "other"))
    assert other != sources(found) and sorted(other) == sorted(sources(found))


# --- units ----------------------------------------------------------------------------------------------


def test_validation_frames_are_not_mixed_in_unless_their_sampling_is_known(tmp_path):
    (tmp_path / "fold1").mkdir()
    (tmp_path / "fold1/val.csv").write_text("key,source,subject,task,frame,AU1\n0,a.png,s,,1,1\n")
    for text in (None, '{"options": {"all_frames": false}}'):
        if text:
            (tmp_path / "summary.json").write_text(text)
        with pytest.raises(UserError, match=r"summary\.json: does not say how .* prepare the data again"):
            sampled_validation(tmp_path / "fold1")
    (tmp_path / "summary.json").write_text('{"options": {"positives": null, "negatives": 0}}')
    assert len(sampled_validation(tmp_path / "fold1").rows) == 1


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """The same units with and without --refit."""
    folder = tmp_path_factory.mktemp("refit")
    write_data(folder, ("data",))
    write_models(folder / "models", ("drml",))
    for path in (folder / "models/drml").glob("*solver.prototxt"):
        path.write_text(path.read_text().replace("snapshot: 0", "snapshot: 10"))
    for name, again in (("plain", None), ("again", True)):
        settings = Settings(
            data=str(folder / "data"), models=str(folder / "models"), scale="quick", seed=3, refit=again
        )
        options = {"methods": ("lsvm", "drml"), "folds": (1,), "progress": False}
        runner.run("table2", folder / name, settings, **options)
    return folder


@pytest.mark.parametrize("method", ["lsvm", "drml"])
def test_everything_is_chosen_before_the_validation_subjects_are_added(done, method):
    plain, again = (done / name / "fold1" / method for name in ("plain", "again"))
    first, second = (json.loads((done / name / "table2.json").read_text()) for name in ("plain", "again"))
    tests = [np.load(folder / "predictions.npz")["probabilities"] for folder in (plain, again)]
    assert not np.array_equal(*tests)
    chosen = second["methods"][method]["thresholds"]["3"]["1"]
    if method == "lsvm":
        fits = [json.loads((folder / "fit/fit.json").read_text()) for folder in (plain, again)]
        assert fits[0]["chosen"]["C"] == fits[1]["chosen"]["C"]
        assert fits[0]["refitted_on_frames"] is None
        joint = sampled_validation(done / "data/fold1").rows
        assert fits[1]["refitted_on_frames"] == fits[1]["frames"]["train"] + len(joint)
    else:
        found = json.loads((again / "result.json").read_text())["refit"]
        figures = found["validation_auc"]
        assert set(figures) == {"10", "20"} and found["iterations"] == int(max(figures, key=figures.get))
        recipe = read_recipe(again / "train/final.caffemodel")
        assert list(recipe.threshold) == pytest.approx(list(chosen.values()))
        assert recipe.training.iterations == found["iterations"]
        assert not list((again / "search").glob("*.caffemodel")) and (again / "search/loss.csv").exists()
    if method == "lsvm" or found["iterations"] == 20:
        # The search is the training of a unit without --refit: the same validation predictions and choices.
        held_out = [np.load(folder / "validation.npz")["probabilities"] for folder in (plain, again)]
        np.testing.assert_array_equal(*held_out)
        assert first["methods"][method]["thresholds"]["3"]["1"] == chosen
    notes = [" ".join(table["notes"]) for table in (first, second)]
    assert "(no --refit)" in notes[0] and "Refitted (--refit): after C, lambda" in notes[1]


def test_a_folder_is_either_with_or_without(done, capsys):
    given = ["--data", str(done / "data"), "--models", str(done / "models"), "--seed", "3", "-q"]
    given += ["--schedule", "quick"]
    command = ["experiment", "table2", *given, "--methods", "lsvm", "--folds", "1", "--out"]
    assert cli.main([*command, str(done / "plain"), "--refit", "--plan"]) == 1
    assert "begun with no --refit, not --refit; give another --out" in capsys.readouterr().err
    assert cli.main([*command, str(done / "again"), "--plan"]) == 1
    assert "begun with --refit, not no --refit" in capsys.readouterr().err
    assert cli.main([*command, str(done / "again"), "--refit", "--plan"]) == 0
    assert not capsys.readouterr().out


def test_a_refit_that_was_interrupted_continues(done, tmp_path):
    shutil.copytree(done / "again", tmp_path / "again", symlinks=True)
    unit = tmp_path / "again/fold1/drml"
    before = np.load(unit / "predictions.npz")["probabilities"]
    unit.rename(unit.with_name("drml.partial"))
    (unit.with_name("drml.partial") / "result.json").unlink()
    runner.run_one(tmp_path / "again", "fold1/drml", progress=False)
    np.testing.assert_array_equal(np.load(unit / "predictions.npz")["probabilities"], before)
