"""``drml join``: several prepared sets in one, with the union of their AUs."""

import csv
import hashlib
import itertools
import json
import shutil
from collections import Counter
from dataclasses import replace

import cv2
import numpy as np
import pytest

import tiny_net as tiny
from drml.cli import main
from drml.data.join import join
from drml.data.landmark_files import read_landmarks, write_landmarks
from drml.data.lmdb import read_lmdb, read_mean
from drml.data.manifest import read_manifest
from drml.data.prepare import prepare
from drml.data.readers.fold_lists import read_fold_lists
from drml.data.recipe import RegistrationRecipe
from drml.data.recipe_text import read_data_recipe, write_data_recipe
from drml.data.register_task import Encoding
from drml.data.sampling import Sampling
from drml.data.split import load_split
from drml.data.verify import verify
from drml.evaluation import scoring
from drml.experiments import protocol
from drml.io.errors import UsageError, UserError
from drml.io.files import digest
from drml.report.data import data_section
from drml.training.train import train

SIZE = 24
SPLITS = ("train", "val", "test")
AUS = {"one": (1, 12), "two": (4, 1)}


def write_set(folder, name, *, size=SIZE, subjects=9, images=3, folds=None, **sampling):
    """Prepare noise with labels of the AUs of `name`; sets have subjects of the same names."""
    source = folder / f"{name}-source"
    source.mkdir(parents=True)
    rng = np.random.default_rng(list(name.encode()))
    rows = []
    for subject in range(subjects):
        for image in range(images):
            path = f"{subject}-{image}.png"
            cv2.imwrite(str(source / path), rng.integers(0, 256, (size, size, 3), np.uint8))
            rows.append([path, f"s{subject}", *rng.choice([1, -1, 0], 2, p=[0.5, 0.4, 0.1])])
    rows[0][2:] = [1, -1]
    with (source / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "subject", *(f"AU{au}" for au in AUS[name])], *rows])
    prepare(
        "images",
        source / "list.csv",
        folder / name,
        folds=folds,
        sampling=Sampling(**sampling),
        encoding=Encoding(format="png", size=size),
        jobs=1,
        progress=False,
    )
    return folder / name


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sets")
    one = write_set(folder, "one")
    two = write_set(folder, "two", subjects=8, unsampled="keep", positives=1, negatives=1)
    return one, two


@pytest.fixture(scope="module")
def joined(sets, tmp_path_factory):
    out = tmp_path_factory.mktemp("joined") / "both"
    summary = join(sets, out, progress=False)
    assert summary == json.loads((out / "summary.json").read_text())
    return out


@pytest.fixture
def copies(sets, tmp_path):
    """The sets, to be changed."""
    return [shutil.copytree(folder, tmp_path / folder.name) for folder in sets]


def change_recipe(fold, **changes):
    recipe = read_data_recipe(fold)
    write_data_recipe(fold, replace(recipe, registration=replace(recipe.registration, **changes)))


def change_summary(folder, **changes):
    path = folder / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


# --- the records ----------------------------------------------------------------------------------------


def test_each_split_has_the_records_of_all_sets(sets, joined):
    for fold in (1, 2, 3):
        for split in SPLITS:
            expected = Counter()
            for folder in sets:
                aus = AUS[folder.name]
                manifest = read_manifest(folder / f"fold{fold}/{split}.csv")
                for item in read_lmdb(folder / f"fold{fold}/{split}_lmdb"):
                    row = manifest.rows[item.key]
                    labels = dict(zip(aus, row.labels, strict=True))
                    union = tuple(labels.get(au, 0) for au in (1, 4, 12))
                    source = f"{folder.name}/{row.source}"
                    expected[item.image, f"{folder.name}-{row.subject}", source, union] += 1
            manifest = read_manifest(joined / f"fold{fold}/{split}.csv")
            assert manifest.aus == (1, 4, 12)
            found = Counter()
            for item in read_lmdb(joined / f"fold{fold}/{split}_lmdb"):
                row = manifest.rows[item.key]
                assert tuple(item.labels) == row.labels
                found[item.image, row.subject, row.source, row.labels] += 1
            assert found == expected
            counts = verify(joined / f"fold{fold}/{split}_lmdb")
            assert counts["records"] == len(manifest.rows) == sum(expected.values())


def test_what_was_drawn_stays_known(sets, joined):
    for fold in (1, 2, 3):
        rows = read_manifest(joined / f"fold{fold}/train.csv").rows.values()
        drawn = {
            row.source: row.drawn for row in read_manifest(sets[1] / f"fold{fold}/train.csv").rows.values()
        }
        assert any(row.drawn != known(row) for row in rows)
        for row in rows:
            name, _, source = row.source.partition("/")
            assert sorted(row.drawn) == sorted(known(row) if name == "one" else drawn[source])
        assert all(row.drawn is None for row in read_manifest(joined / f"fold{fold}/test.csv").rows.values())


def known(row):
    return tuple(au for au, label in zip((1, 4, 12), row.labels, strict=True) if label)


def test_training_records_are_mixed_by_the_seed(sets, joined, tmp_path):
    def order(folder):
        return [row.source for row in read_manifest(folder / "fold1/train.csv").rows.values()]

    join(sets, tmp_path / "again", progress=False)
    join(sets, tmp_path / "other", seed=1, progress=False)
    assert order(tmp_path / "again") == order(joined) != order(tmp_path / "other")
    assert sorted(order(tmp_path / "other")) == sorted(order(joined))
    names = [source.partition("/")[0] for source in order(joined)]
    assert names != sorted(names)
    assert names != sorted(names, reverse=True)
    assert digest(tmp_path / "again/fold1/train.csv") == digest(joined / "fold1/train.csv")


def test_the_mean_image_is_that_of_all_training_faces(joined):
    for fold in (1, 2, 3):
        faces, _, _ = load_split(joined / f"fold{fold}", "train")
        expected = faces.astype(np.float64).mean(axis=0).transpose(2, 0, 1)
        np.testing.assert_allclose(read_mean(joined / f"fold{fold}/mean.binaryproto"), expected, atol=1e-3)


def test_no_person_is_in_two_splits_or_tested_twice(sets, joined):
    protocol.check(joined, [1, 2, 3])
    lists = read_fold_lists(joined / "folds.csv")
    written = json.loads((joined / "summary.json").read_text())["fold_lists"]
    assert written["sha256"] == hashlib.sha256((joined / "folds.csv").read_bytes()).hexdigest()
    assert len(lists.parts) == 3
    people = set()
    for fold in (1, 2, 3):
        tested = {row.subject for row in read_manifest(joined / f"fold{fold}/test.csv").rows.values()}
        assert tested == set(lists.parts[fold - 1])
        people |= tested
    assert people == {f"one-s{i}" for i in range(9)} | {f"two-s{i}" for i in range(8)}


def test_a_set_without_validation_split_and_landmarks_of_all(copies, tmp_path):
    for folder in copies:
        for split in ("train", "test"):
            keys = list(read_manifest(folder / f"fold1/{split}.csv").rows)
            points = np.random.default_rng(len(keys)).uniform(0, SIZE, (len(keys), 49, 2))
            write_landmarks(folder / f"fold1/{split}_landmarks.npz", keys, points)
    shutil.rmtree(copies[1] / "fold1/val_lmdb")
    (copies[1] / "fold1/val.csv").unlink()
    join(copies, tmp_path / "out", progress=False)
    val = read_manifest(tmp_path / "out/fold1/val.csv").rows.values()
    assert {row.subject.partition("-")[0] for row in val} == {"one"}
    # By the place of the image, as keys are new.
    place = {}
    for folder in copies:
        points = read_landmarks(folder / "fold1/train_landmarks.npz")
        rows = read_manifest(folder / "fold1/train.csv").rows
        place |= {f"{folder.name}/{rows[key].source}": points[key] for key in rows}
    found = read_landmarks(tmp_path / "out/fold1/train_landmarks.npz")
    rows = read_manifest(tmp_path / "out/fold1/train.csv").rows
    assert list(found) == list(rows)
    for key, row in rows.items():
        np.testing.assert_array_equal(found[key], place[row.source])
    assert not (tmp_path / "out/fold2/train_landmarks.npz").exists()
    verify(tmp_path / "out/fold1/train_lmdb")


# --- what describes it ----------------------------------------------------------------------------------


def test_the_recipe(sets, joined):
    recipe = read_data_recipe(joined / "fold2")
    parts = [read_data_recipe(folder / "fold2") for folder in sets]
    assert recipe.au == (1, 4, 12)
    assert recipe.data.records == sum(part.data.records for part in parts)
    assert recipe.data.digest == digest(joined / "fold2/train.csv")
    assert (recipe.data.name, recipe.data.split) == ("own images", "fold 2 of 3")
    assert recipe.labels == parts[0].labels
    assert recipe.data.sampling == f"one: {parts[0].data.sampling}; two: {parts[1].data.sampling}"
    assert (recipe.input.face_size, recipe.registration.points) == (SIZE, "none")


def test_the_detectors_points_are_the_mean_over_the_training_faces(copies, tmp_path):
    for folder, value in zip(copies, (0.25, 0.75), strict=True):
        for fold in (1, 2, 3):
            change_recipe(folder / f"fold{fold}", detector="some detector", detector_target=(value, 0.5) * 5)
    change_recipe(copies[0] / "fold2", detector="another one")
    change_recipe(copies[1] / "fold3", detector_target=())
    join(copies, tmp_path / "out", progress=False)
    one, two = (read_data_recipe(folder / "fold1").data.records for folder in copies)
    made = read_data_recipe(tmp_path / "out/fold1").registration
    assert made.detector == "some detector"
    mean = (0.25 * one + 0.75 * two) / (one + two)
    assert made.detector_target == pytest.approx((mean, 0.5) * 5)
    for fold in (2, 3):
        assert read_data_recipe(tmp_path / f"out/fold{fold}").registration == RegistrationRecipe("none")


def test_the_summary_and_the_captions(sets, joined):
    summary = json.loads((joined / "summary.json").read_text())
    assert [one["name"] for one in summary["sets"]] == ["one", "two"]
    for fold in ("1", "2", "3"):
        for split in SPLITS:
            rows = read_manifest(joined / f"fold{fold}/{split}.csv").rows.values()
            said = summary["folds"][fold][split]
            assert said["images"] == len(rows)
            assert said["subjects"] == sorted({row.subject for row in rows})
            for at, au in enumerate((1, 4, 12)):
                labels = [row.labels[at] for row in rows if row.labels[at]]
                assert said["known"][f"AU{au}"] == len(labels)
                rate = None if not labels else round(labels.count(1) / len(labels), 4)
                assert said["base_rate"][f"AU{au}"] == rate
        drawn = summary["folds"][fold]["train"]["sampling"]
        parts = [json.loads((folder / "summary.json").read_text()) for folder in sets]
        parts = [part["folds"][fold]["train"]["sampling"] for part in parts]
        assert drawn["frames"]["drawn"] == sum(part["frames"]["drawn"] for part in parts)
        assert drawn["positives"]["AU4"] == parts[1]["positives"]["AU4"]
        assert drawn["negatives"]["AU1"]["of"] == sum(part["negatives"]["AU1"]["of"] for part in parts)
    lines = "\n".join(protocol.describe(joined))
    assert "one: all frames; two: for each AU and video, up to 1 with it" in lines
    assert "No subject is in two of these" in lines
    data_section(summary)


def test_a_net_is_trained_and_scored_on_it(joined, tmp_path):
    done = train(
        tiny.write_solver(tmp_path), tmp_path / "out", data=joined / "fold1", max_iter=4, balance=True
    )
    result = scoring.score(
        tmp_path / "out/deploy.prototxt",
        done.weights,
        joined / "fold1/test_lmdb",
        progress=False,
        probe=False,
    )
    assert result.folds[0].aus == (1, 4, 12)
    assert len(result.folds[0].keys) == len(read_manifest(joined / "fold1/test.csv").rows)
    assert set(done.class_weights) == {"AU1", "AU4", "AU12"}


# --- what does not fit ----------------------------------------------------------------------------------


def refused(copies, tmp_path, match, error=UserError):
    with pytest.raises(error, match=match):
        join(copies, tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


def test_too_few_sets(sets, tmp_path):
    refused(sets[:1], tmp_path, "1 set to join; give at least two", UsageError)
    refused([sets[0], sets[0] / "../one"], tmp_path, "given twice", UsageError)


def test_what_is_no_prepared_set(copies, joined, tmp_path):
    refused([copies[0], copies[1] / "fold1"], tmp_path, r"no summary.json in it; give a whole folder")
    refused([copies[0], tmp_path / "none"], tmp_path, "no summary.json in it")
    refused([copies[0], joined], tmp_path, "was joined itself; join the sets that it was made of")
    (copies[1] / "fold2/recipe.prototxt").unlink()
    refused(copies, tmp_path, r"fold2: no recipe.prototxt, which says how its faces were registered")
    (copies[1] / "summary.json").write_text('{"kind": "images", "options": []}')
    refused(copies, tmp_path, "cannot be read as the summary of a prepared set")
    shutil.rmtree(copies[0] / "fold3/test_lmdb")
    refused(copies, tmp_path, "fold3: has no test split")


def test_other_sizes_folds_and_registrations(sets, copies, tmp_path):
    larger = write_set(tmp_path / "larger", "two", size=32)
    refused([sets[0], larger], tmp_path, r"32 x 32 pixels, those of .*one 24 x 24; prepare .* same --size")
    shutil.rmtree(copies[1] / "fold3")
    refused(copies, tmp_path, r"two: has the folds 1, 2, .*one has 1, 2, 3; prepare .* same number of folds")
    shutil.copytree(sets[1] / "fold3", copies[1] / "fold3")
    change_recipe(copies[1] / "fold3", points="49 landmarks", target=(0.5,) * 98)
    refused(copies, tmp_path, r"fold3: its faces were registered by 49 landmarks, those of .* by nothing")


def test_one_person_in_two_splits(sets, tmp_path):
    # DISFA and DISFA+ show the same people: in other folds, they would be trained with and tested.
    folders = [shutil.copytree(sets[0], tmp_path / name) for name in ("posed", "spontaneous")]
    change_summary(folders[0], kind="disfaplus")
    change_summary(folders[1], kind="disfa")
    join(folders, tmp_path / "good", progress=False)
    subjects = {row.subject for row in read_manifest(tmp_path / "good/fold1/test.csv").rows.values()}
    assert all(subject.startswith("disfa-s") for subject in subjects)
    shutil.rmtree(folders[1] / "fold1")
    (folders[1] / "fold2").rename(folders[1] / "fold1")
    shutil.copytree(folders[0] / "fold1", folders[1] / "fold2")
    refused(
        folders, tmp_path, r"fold 1: disfa-s\d is in \w+ \(.*posed\) and in \w+ \(.*spontaneous\); prepare"
    )


def test_records_that_disagree_with_their_manifest(copies, tmp_path):
    path = copies[1] / "fold1/train.csv"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines[:-1], lines[-1].replace(lines[-1].partition("_")[0], "00009999")]))
    refused(copies, tmp_path, "its manifest lists 00009999_.*, which is not there")
    cells = lines[-1].split(",")
    cells[5] = "1" if cells[5] != "1" else "-1"
    cells[-1] = "\n" if cells[-1].endswith("\n") else ""
    path.write_text("".join([*lines[:-1], ",".join(cells)]))
    refused(copies, tmp_path, "its labels are not those of its manifest")


def test_nothing_is_replaced(sets, copies, tmp_path):
    with pytest.raises(UserError, match="not empty"):
        join(sets, copies[0], progress=False)
    with pytest.raises(UserError, match="would replace"):
        join(copies, copies[0], overwrite=True, progress=False)
    assert (copies[0] / "fold1/train_lmdb/data.mdb").is_file()


def test_the_command(sets, tmp_path, capsys):
    out = tmp_path / "out"
    assert main(["join", str(out), *map(str, sets)]) == 0
    assert "AU1, AU4, AU12" in capsys.readouterr().out
    assert main(["join", str(out), *map(str, sets)]) == 1
    assert main(["join", str(out), *map(str, sets), "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["aus"] == [1, 4, 12]
    with pytest.raises(SystemExit) as ended:
        main(["join", str(out), str(sets[0]), "--overwrite"])
    assert ended.value.code == 2


# --- intensities ----------------------------------------------------------------------------------------

LEVEL_AUS = {"one": (12, 6), "two": (6, 25)}


def write_levels(folder, name, target, *, subjects=6):
    """Prepare noise with intensities, and with occurrences if `target` is both."""
    source = folder / f"{name}-source"
    source.mkdir(parents=True)
    rng = np.random.default_rng(list(name.encode()))
    header = [f"AU{au}" for au in AUS[name]] + [f"AU{au}_r" for au in LEVEL_AUS[name]]
    rows = []
    for subject in range(subjects):
        for image in range(4):
            path = f"{subject}-{image}.png"
            cv2.imwrite(str(source / path), rng.integers(0, 256, (SIZE, SIZE, 3), np.uint8))
            levels = ["" if level == 9 else level for level in rng.choice([0, 1, 2, 3, 4, 5, 9], 2)]
            rows.append([path, f"s{subject}", *rng.choice([1, -1, 0], 2), *levels])
    with (source / "list.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["path", "subject", *header], *rows])
    prepare(
        "images",
        source / "list.csv",
        folder / name,
        target=target,
        encoding=Encoding(format="png", size=SIZE),
        jobs=1,
        progress=False,
    )
    return folder / name


@pytest.mark.parametrize("target", ["intensity", "both"])
def test_intensities_are_joined(tmp_path, target):
    sets = [write_levels(tmp_path, name, target) for name in AUS]
    summary = join(sets, tmp_path / "out", progress=False)
    aus, levels = ((1, 4, 12) if target == "both" else (), (6, 12, 25))
    assert (summary["aus"], summary["intensity_aus"]) == (list(aus), list(levels))
    assert [one["intensity_aus"] for one in summary["sets"]] == [[12, 6], [6, 25]]
    assert summary["options"]["target"] == target
    for fold, split in itertools.product((1, 2, 3), SPLITS):
        expected = Counter()
        for folder in sets:
            name = folder.name
            manifest = read_manifest(folder / f"fold{fold}/{split}.csv")
            for item in read_lmdb(folder / f"fold{fold}/{split}_lmdb"):
                count = len(manifest.aus)
                signs = dict(zip(manifest.aus, item.labels[:count], strict=True))
                strengths = dict(zip(manifest.intensity_aus, item.labels[count:], strict=True))
                labels = [*(signs.get(au, 0) for au in aus), *(strengths.get(au, 9) for au in levels)]
                expected[item.image, f"{name}-{manifest.rows[item.key].subject}", tuple(labels)] += 1
        path = tmp_path / f"out/fold{fold}/{split}_lmdb"
        manifest = read_manifest(path.with_name(f"{split}.csv"))
        assert (manifest.aus, manifest.intensity_aus) == (aus, levels)
        found = Counter(
            (item.image, manifest.rows[item.key].subject, tuple(item.labels)) for item in read_lmdb(path)
        )
        assert found == expected
        said = summary["folds"][str(fold)][split]
        by_hand = {
            f"AU{au}_r": {
                str(level): sum(n for (*_, row), n in found.items() if row[len(aus) + at] == level)
                for level in (0, 1, 2, 3, 4, 5, 9)
            }
            for at, au in enumerate(levels)
        }
        assert said["levels"] == by_hand
        counted = verify(path)["levels"]
        assert {au: {str(level): n for level, n in row.items()} for au, row in counted.items()} == by_hand
        assert list(said["known"]) == [f"AU{au}" for au in aus]
    recipe = read_data_recipe(tmp_path / "out/fold1")
    assert (recipe.au, recipe.intensity_au) == (aus, levels)
    drawn = summary["folds"]["1"]["train"]["sampling"]["levels"]
    parts = [json.loads((one / "summary.json").read_text())["folds"]["1"]["train"] for one in sets]
    parts = [part["sampling"]["levels"] for part in parts]
    for level in "012345":
        assert drawn["AU6_r"][level]["of"] == sum(part["AU6_r"][level]["of"] for part in parts)
        assert drawn["AU25_r"][level] == parts[1]["AU25_r"][level]


def test_sets_with_labels_of_other_kinds(sets, tmp_path):
    levels = write_levels(tmp_path, "one", "intensity")
    refused(
        [levels, sets[0]],
        tmp_path,
        r"one: its labels are occurrences, those of .*one intensities; prepare both with the same --target",
    )
    both = write_levels(tmp_path, "two", "both")
    refused([levels, both], tmp_path, r"two: its labels are occurrences and intensities, those of .*one inte")


def test_the_command_names_both_kinds(tmp_path, capsys):
    sets = [str(write_levels(tmp_path, name, "both")) for name in AUS]
    assert main(["join", str(tmp_path / "out"), *sets, "-q"]) == 0
    assert capsys.readouterr().out == ""
    assert main(["join", str(tmp_path / "out"), *sets, "--overwrite"]) == 0
    assert "AU1, AU4, AU12; intensities of AU6, AU12, AU25" in capsys.readouterr().out
