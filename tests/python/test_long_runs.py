"""Long trainings among other people's files: odd names, folders closed to writing, data that others touch.

What others do to an LMDB that is being read, by case: tests/cpp/test_multi_label_data_layer_changes.cpp.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest

import detect_data
import tiny_net as tiny
from drml import cli
from drml.data.lmdb import write_lmdb
from drml.data.manifest import Row, read_manifest, write_manifest
from drml.io.shipped import find_program
from drml.training.log import LOG_FILE

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tools"))
import long_run  # noqa: E402 - a script, in no package

ODD = "Gesichter für Zoë – 顔 1"  # spaces, letters of one, two and three bytes
ENDLESS = "\nmax_iter: 1000000\ntest_interval: 1000\nsnapshot: 0\n"


def caffe(*arguments, folder, **options):
    """Start `caffe`; its log goes to standard error."""
    return subprocess.Popen(
        [find_program("caffe"), *map(str, arguments)],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "GLOG_minloglevel": "0", "OMP_NUM_THREADS": "1"},
        **options,
    )


def finish(process):
    _, log = process.communicate(timeout=120)
    assert process.returncode == 0, log[-2000:]
    return log


def write_training(folder, extra=""):
    """Write the tiny solver and net, and the data where the net looks for them from `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny.write_training_data(folder / "data/drml")
    (folder / "models/tiny").mkdir(parents=True)
    return tiny.write_solver(folder, "random_seed: 1\n" + extra)


def weights_of(folder):
    return (folder / "models/tiny/tiny_iter_20.caffemodel").read_bytes()


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    """The weights of a training that nobody disturbs."""
    folder = tmp_path_factory.mktemp("alone")
    write_training(folder)
    finish(caffe("train", "-solver", "solver.prototxt", folder=folder))
    return weights_of(folder)


# --- names ----------------------------------------------------------------------------------------------


def test_caffe_takes_names_with_spaces_and_letters_of_all_kinds(tmp_path):
    place = tmp_path / ODD
    fold = tiny.write_training_data(place)
    images = []
    for index, image in enumerate(tiny.draw_images(8)):
        name = f"Bild {index} – ä.png"
        (place / name).write_bytes(cv2.imencode(".png", image)[1].tobytes())
        images.append(f"{name} 1 {-1 + index % 3} -1\n")
    (place / "Liste ü.txt").write_text("".join(images))
    solver = tiny.write_solver(
        place, f'snapshot: 10\ntest_interval: 5\nrandom_seed: 1\ndisplay: 1\nnet: "{place}/Netz ß.prototxt"\n'
    )
    text = (place / "train_val.prototxt").read_text().replace("data/drml/fold1", str(fold))
    # A third data layer, fed from the list.
    text += f"""
layer {{ name: "more" type: "MultiLabelImageData" top: "more" top: "more_label" include {{ phase: TRAIN }}
  multi_label_data_param {{ source: "{place}/Liste ü.txt" root_folder: "{place}/" num_labels: 3
    batch_size: 2 }} }}
layer {{ name: "silence" type: "Silence" bottom: "more" bottom: "more_label" include {{ phase: TRAIN }} }}
"""
    (place / "Netz ß.prototxt").write_text(text)
    solver_text = solver.read_text().replace('net: "train_val.prototxt"\n', "")
    solver_text = solver_text.replace("models/tiny/tiny", f"{place}/Stand é").replace("snapshot: 0\n", "")
    solver_text = solver_text.replace("test_interval: 10\n", "").replace("display: 5\n", "")
    (place / "Löser.prototxt").write_text(solver_text)
    finish(caffe("train", "-solver", place / "Löser.prototxt", folder=tmp_path))
    whole = (place / "Stand é_iter_20.caffemodel").read_bytes()
    finish(
        caffe(
            "train", "-solver", place / "Löser.prototxt", "-snapshot", place / "Stand é_iter_10.solverstate",
            folder=tmp_path,
        )
    )  # fmt: skip
    assert len((place / "Stand é_iter_20.caffemodel").read_bytes()) == len(whole)
    log = finish(
        caffe(
            "test", "-model", place / "Netz ß.prototxt", "-weights", place / "Stand é_iter_20.caffemodel",
            "-iterations", 2, folder=tmp_path,
        )
    )  # fmt: skip
    assert "loss" in log


def test_drml_takes_names_with_spaces_and_letters_of_all_kinds(tmp_path, capsys):
    place = tmp_path / ODD
    place.mkdir()
    lines = ["path,subject,AU1,AU2,AU4"]
    rng = np.random.default_rng(0)
    for index in range(27):
        path = place / f"Bild {index} – ä.png"
        path.write_bytes(cv2.imencode(".png", rng.integers(0, 256, (24, 24, 3), dtype=np.uint8))[1].tobytes())
        lines.append(f"{path.name},Zoë {index % 9},{1 - 2 * (index % 2)},{1 - index % 3},-1")
    listed = place / "Gesichter ß.csv"
    listed.write_text("\n".join(lines) + "\n")
    solver = tiny.write_solver(place)
    shutil.copyfile(tiny.write_deploy(place), place / "Netz ü.prototxt")
    photo = place / "Foto é.png"
    cv2.imencode(".png", detect_data.astronaut())[1].tofile(photo)
    video = detect_data.write_video(tmp_path / "plain.mp4", list(detect_data.moving(2)))
    video = video.rename(place / "Video 顔.mp4")
    data, train, scores = place / "Daten ö", place / "Lauf ä", place / "Werte.json"
    weights, model = train / "final.caffemodel", place / "Netz ü.prototxt"
    for words in (
        ["prepare", "images", listed, data, "--size", 24, "--folds", 1, "-q"],
        ["verify", data / "fold1/test_lmdb", "-q"],
        ["train", "--solver", solver, "--data", data / "fold1", "--out", train, "-q"],
        ["score", "--net", model, "--weights", weights, "--data", data / "fold1/test_lmdb", "--out", scores,
         "--predictions", place / "Sätze.csv", "-q"],
        ["detect", photo, video, "--weights", weights, "--out", place / "Erkannt ñ",
         "--draw", place / "Bilder ç", "-q"],
        ["report", place / "Seite ø.html", "--scores", scores, "--train", train, "--data", data, "-q"],
    ):  # fmt: skip
        assert cli.main([str(word) for word in words]) == 0, (words, capsys.readouterr().err)
    assert json.loads(scores.read_text(encoding="utf-8"))
    assert (place / "Seite ø.html").stat().st_size > 10000
    assert len(list((place / "Erkannt ñ").glob("*.csv"))) == 2
    assert list((place / "Bilder ç").iterdir())


# --- others ---------------------------------------------------------------------------------------------


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a program as somebody else")
def test_data_that_only_others_may_write_to(expected):
    # Not below pytest's folder, which nobody else may enter.
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        write_training(folder)
        before = sorted((folder / "data").rglob("*"))
        for path in before:
            path.chmod(0o555 if path.is_dir() else 0o444)
        (folder / "models/tiny").chmod(0o777)
        finish(
            caffe(
                "train", "-solver", "solver.prototxt", folder=folder, user=65534, group=65534, extra_groups=[]
            )
        )
        assert weights_of(folder) == expected
        assert sorted((folder / "data").rglob("*")) == before
        read = "import sys; from drml.data.lmdb import read_lmdb; print(len(list(read_lmdb(sys.argv[1]))))"
        done = subprocess.run(
            [sys.executable, "-c", read, folder / "data/drml/fold1/train_lmdb"],
            user=65534,
            group=65534,
            extra_groups=[],
            capture_output=True,
            text=True,
            check=False,
            cwd=folder,
        )
        assert done.stdout == "12\n", done.stderr
        assert sorted((folder / "data").rglob("*")) == before


def test_two_trainings_on_one_lmdb(tmp_path, expected):
    first, second = tmp_path / "first", tmp_path / "second"
    write_training(first)
    (second / "models/tiny").mkdir(parents=True)
    for name in ("solver.prototxt", "train_val.prototxt", "data"):
        (second / name).symlink_to(first / name)
    both = [caffe("train", "-solver", "solver.prototxt", folder=folder) for folder in (first, second)]
    for process, folder in zip(both, (first, second), strict=True):
        finish(process)
        assert weights_of(folder) == expected


def test_an_lmdb_cut_short_under_caffe_is_named(tmp_path):
    write_training(tmp_path, ENDLESS)
    text = (
        (tmp_path / "solver.prototxt")
        .read_text()
        .replace("max_iter: 20\n", "")
        .replace("snapshot: 0\n", "", 1)
    )
    (tmp_path / "solver.prototxt").write_text(text.replace("test_interval: 10\n", ""))
    process = caffe("train", "-solver", "solver.prototxt", folder=tmp_path)
    for line in process.stderr:
        if "Iteration 5 (" in line:
            break
    os.truncate(tmp_path / "data/drml/fold1/train_lmdb/data.mdb", 4096)
    _, log = process.communicate(timeout=60)
    assert "layer 'data': LMDB 'data/drml/fold1/train_lmdb' was truncated while it was read" in log
    assert process.returncode == 1, "Caffe's own end, not SIGBUS"


def test_drml_train_tells_of_an_lmdb_that_is_written_to(tmp_path):
    solver = write_training(tmp_path)
    fold = tmp_path / "data/drml/fold1"
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "drml", "train", "--solver", solver, "--data", fold, "--out", out, "-q",
         "--max-iter", "1000000"],
        stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    log = out / LOG_FILE
    while process.poll() is None and not (log.is_file() and "Iteration 5 (" in log.read_text()):
        time.sleep(0.02)
    with (
        lmdb.open(str(fold / "train_lmdb"), map_size=1 << 26, lock=False) as env,
        env.begin(write=True) as change,
    ):
        change.put(b"99999999_F009_T1_0001", b"one more")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "train_lmdb' was written to while it was read" in said
    assert "Traceback" not in said


# --- memory over a long run: `make long-run` takes 2,000 iterations ----------------------------------------


@pytest.mark.parametrize("engine", ["cpu", "plain"])
def test_memory_of_a_training_is_flat(engine, tmp_path):
    long_run.make_small(tmp_path)
    solver = long_run.make_solver(tmp_path, 300)
    curve = list(long_run.watch_caffe(solver, CAFFE_ENGINE=engine, OMP_WAIT_POLICY="passive"))
    assert len(curve) == 100
    assert curve[-1][0] > 290
    assert abs(long_run.growth(curve)) < 256 << 10
    assert len(list(tmp_path.glob("*.solverstate"))) == 20


def test_a_kilobyte_an_iteration_is_noticed():
    curve = [(20 * i, 10_000_000 + 20 * i * 2100 + (i % 7) * 4096) for i in range(100)]
    assert long_run.growth(curve) > long_run.TOLERANCE
    assert abs(long_run.growth([(i, value % 40960) for i, value in curve])) < long_run.TOLERANCE


# --- many records ---------------------------------------------------------------------------------------

READ = """
for count, _ in enumerate(read_lmdb(folder / "train_lmdb")):
    note(count)
"""

VERIFY = """
compare, counter = verify._compare, itertools.count()
def counting(*arguments):
    note(next(counter))
    compare(*arguments)
verify._compare = counting
assert verify.verify(folder / "train_lmdb", size=16)["records"] == 30000
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Return a folder with an LMDB of 30,000 records and its manifest."""
    folder = tmp_path_factory.mktemp("many")
    image = cv2.imencode(".png", np.zeros((16, 16, 3), np.uint8))[1].tobytes()
    keys = [f"{i:08d}_F001_T1_{i:04d}" for i in range(30000)]
    write_lmdb(folder / "train_lmdb", ((key, image, [1, -1]) for key in keys), shape=(3, 16, 16))
    rows = (Row(key, f"{key}.jpg", "F001", "T1", "1", (1, -1)) for key in keys)
    write_manifest(folder / "train.csv", (1, 2), rows)
    return folder


@pytest.mark.parametrize("work", [READ, VERIFY], ids=["read_lmdb", "verify"])
def test_many_records_take_no_memory_for_each(work, many):
    """In a process of its own: memory that the tests before freed would hide what is taken."""
    code = f"""
import itertools, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from long_run import anonymous_bytes
from drml.data import verify
from drml.data.lmdb import read_lmdb
folder, grown = Path(sys.argv[1]), []
def note(count):
    if count % 5000 == 4999:
        grown.append(anonymous_bytes())
{work}
print(grown[-1] - grown[0])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, many, ROOT / "tools"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 25000 * 40, "bytes over 25,000 records"


def test_a_manifest_in_memory_shares_what_its_rows_have_in_common(many):
    rows = list(read_manifest(many / "train.csv").rows.values())
    assert len({id(row.labels) for row in rows}) == 1
    assert len({id(row.subject) for row in rows}) == 1
