"""The readers to fuzz: for each, whole files that drml writes, and the call that reads such a file."""

from __future__ import annotations

import csv
import io
import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import h5py
import numpy as np
import scipy.io

from drml.baselines.lsvm import LSVM
from drml.data import manifest
from drml.data.audit_counts import read_note
from drml.data.labels import BP4D_AUS
from drml.data.landmark_files import read_landmarks, write_landmarks
from drml.data.lmdb import read_lmdb, read_mean, write_lmdb, write_mean
from drml.data.point_cache import PointCache, VideoPoints
from drml.data.readers import (
    bp4d_coding,
    bp4d_landmarks,
    disfa_landmarks,
    exclude,
    images,
    intensities,
    listed,
)
from drml.data.readers.video import VideoReader, frame_count
from drml.data.recipe import DataRecipe, InputRecipe, Recipe, RegistrationRecipe
from drml.data.recipe_text import read_data_recipe
from drml.data.registration import REFERENCE
from drml.detect.frames import read_images
from drml.detect.sources import find_sources
from drml.evaluation.predictions import read_predictions
from drml.experiments import predictions as experiment
from drml.experiments import protocol, units
from drml.experiments.settings import Settings
from drml.io import messages
from drml.io.errors import UserError
from drml.nets.recipe import read_recipe, write_recipe
from drml.report.inputs import read_json
from drml.report.losses import read_losses
from drml.report.pictures import read_picture
from drml.synth.mat_writer import write_fit, write_pts
from drml.training.caffe_log import LogReader
from drml.training.f1_table import read_separations
from drml.training.log import notice


@dataclass(frozen=True)
class Target:
    """A reader.

    Attributes
    ----------
    seeds : callable
        ``seeds(folder)`` gives whole files' contents; it may write into the folder what they refer to.
    name : str
        What the file is called in the folder.
    read : callable
        Reads the file of that name.
    """

    seeds: Callable[[Path], list[bytes]]
    name: str
    read: Callable[[Path], Any]


def _written(folder: Path, write: Callable[[Path], Any], name: str = "seed.tmp") -> bytes:
    path = folder / name
    write(path)
    data = path.read_bytes()
    path.unlink()
    return data


def _face() -> np.ndarray:
    rows, columns = np.mgrid[:24, :20]
    return np.stack([rows * 9, columns * 11, (rows + columns) * 5], axis=2).astype(np.uint8)


def _encoded(kind: str, image: np.ndarray | None = None) -> bytes:
    return bytes(cv2.imencode(kind, _face() if image is None else image)[1])


# --- lists and texts


def _manifests(folder: Path) -> list[bytes]:
    rows = [
        manifest.Row(f"F001_T1_{i:04d}", f"a/{i}.jpg", "F001", "T1", str(i), (1, -1, 0)) for i in range(5)
    ]
    return [_written(folder, lambda path: manifest.write_manifest(path, (1, 12, 17), rows))]


def _codings(_: Path) -> list[bytes]:
    lines = ["0," + ",".join(map(str, BP4D_AUS))]
    lines += [f"{frame}," + ",".join("019"[(frame + au) % 3] for au in BP4D_AUS) for frame in range(1, 6)]
    return ["\n".join(lines).encode(), "\r\n".join(lines).encode("utf-8-sig")]


def _lists(folder: Path) -> list[bytes]:
    (folder / "faces").mkdir(exist_ok=True)
    for index in range(3):
        (folder / f"faces/{index}.png").write_bytes(_encoded(".png"))
    points = [f"{axis}{index}" for index in range(1, 6) for axis in "xy"]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["path", "subject", "AU1", "AU12", *points])
    for index in range(3):
        writer.writerow([f"faces/{index}.png", f"s{index}", 1, -1, *range(10, 20)])
    plain = "path,AU1\nfaces/0.png,1\nfaces/1.png,-1\n"
    return [text.getvalue().encode(), plain.encode(), b"path,AU1\n../x.png,1\n/etc/hostname,-1\n"]


_LOG = """\
I1123 10:00:00.0 1 solver.cpp:44] Initializing solver from parameters:
test_iter: 4
  type: "MultiLabelCounts"
  top: "counts"
  top: "moments"
I1123 10:00:00.0 1 solver.cpp:330] Iteration 0, Testing net (#0)
I1123 10:00:01.0 1 solver.cpp:414]     Test net output #0: counts = 3
I1123 10:00:01.0 1 solver.cpp:414]     Test net output #1: counts = 1.5
I1123 10:00:01.0 1 solver.cpp:414]     Test net output #2: counts = 2e+01
I1123 10:00:01.0 1 solver.cpp:414]     Test net output #3: counts = 4
I1123 10:00:01.0 1 solver.cpp:414]     Test net output #4: moments = 2
I1123 10:00:01.0 1 solver.cpp:414]     Test net output #5: moments = 3.5e+1
I1123 10:00:01.0 1 solver.cpp:414]     Test net output #6: moments = -7.25
I1123 10:00:01.0 1 solver.cpp:414]     Test net output #7: moments = 12
I1123 10:00:02.0 1 solver.cpp:218] Iteration 20 (5.1 iter/s, 4s/20 iters), loss = 1.25
I1123 10:00:02.0 1 sgd_solver.cpp:105] Iteration 20, lr = 0.001
I1123 10:00:03.0 1 solver.cpp:447] Snapshotting to binary proto file a_iter_20.caffemodel
"""


def _read_log(path: Path) -> None:
    reader = LogReader()
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        for found in reader.read(line):
            notice(found)


_ESTIMATES = (
    b"iteration,seconds,net,au,tp,fp,fn,tn,f1,auc_estimate,spread_estimate\n"
    b"20,1.5,0,AU1,1,2,3,4,0.25,0.5125,0.003125\n20,1.5,0,Avg.,,,,,0.25,0.5125,0.003125\n"
)
_LOSSES = b"iteration,seconds,phase,name,value\n20,1.5,train,loss,3.25\n20,1.6,test,loss,nan\n"


# --- Caffe's files


def _databases(folder: Path) -> list[bytes]:
    found = []
    for count, size in ((3, 40), (300, 10), (3, 9000)):
        items = [(f"F001_T1_{i:04d}", bytes([i % 251]) * size, (1, -1, 0)) for i in range(count)]
        write_lmdb(folder / "db", items, shape=(3, 24, 20))
        found.append((folder / "db/data.mdb").read_bytes())
        (folder / "db/data.mdb").unlink()
        (folder / "db").rmdir()
    return found


def _read_database(path: Path) -> None:
    folder = path.parent
    for item in read_lmdb(folder):
        len(item.image)
    list(read_lmdb(folder, ["F001_T1_0001", "none"]))


def _records(_: Path) -> list[bytes]:
    datum = messages.Datum(channels=3, height=24, width=20, data=_encoded(".png"), encoded=True)
    datum.labels.extend([1, -1, 0])
    return [datum.SerializeToString()]


def _read_record(path: Path) -> None:
    """Put the record into a whole database, as a prepared folder has it."""
    import lmdb

    from drml.data.split import open_split

    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        with lmdb.open(folder, map_size=1 << 24, lock=False) as env, env.begin(write=True) as transaction:
            transaction.put(b"a", path.read_bytes())
        for _ in open_split(folder).records():
            pass


def _means(folder: Path) -> list[bytes]:
    return [_written(folder, lambda path: write_mean(path, np.ones((3, 4, 5), np.float32)))]


_RECIPE = Recipe(
    au=(1, 2, 4),
    threshold=(0.25, 0.5, 0.75),
    input=InputRecipe(face_size=24, scale=0.25, mean=np.ones((3, 4, 5), np.float32)),
    registration=RegistrationRecipe("detector", "YuNet", target=(0.25, 0.5)),
    data=DataRecipe(name="BP4D"),
    program=("drml",),
)


def _carriers(folder: Path) -> list[bytes]:
    """Write a recipe into a .caffemodel that holds a name only, and into an .h5 file."""
    found = []
    for name, content in (("w.caffemodel", b"\x0a\x03net"), ("w.h5", None)):
        path = folder / name
        if content is None:
            h5py.File(path, "w").close()
        else:
            path.write_bytes(content)
        write_recipe(path, _RECIPE)
        found.append(path.read_bytes())
    return found


# --- MATLAB's files


def _old_matlab(folder: Path) -> list[bytes]:
    fit = np.zeros((1, 3), [("pred", object), ("lost", object)])
    for index in range(3):
        fit[0, index]["pred"], fit[0, index]["lost"] = REFERENCE if index else np.zeros((0, 0)), "no"
    found = [_written(folder, lambda path: write_pts(path, REFERENCE))]
    for content in (
        {"fit": fit},
        {"pts": np.tile(REFERENCE, (2, 1))[:66], "more": np.array([["a", 1]], object)},
    ):
        for packed in (False, True):
            whole = io.BytesIO()
            scipy.io.savemat(whole, content, do_compression=packed)
            found.append(whole.getvalue())
    return found


def _new_matlab(folder: Path) -> list[bytes]:
    points = {1: REFERENCE, 3: REFERENCE + 1}
    whole = io.BytesIO()
    with h5py.File(whole, "w") as file:
        file.create_dataset("fit/pred", data=REFERENCE.T, compression="gzip", chunks=(1, 49))
        file.create_dataset("pts", data=REFERENCE.T)
    return [_written(folder, lambda path: write_fit(path, points, 4)), whole.getvalue()]


def _read_landmarks(path: Path) -> None:
    from drml.data.readers import matlab

    with matlab.open_mat(path) as contents:
        points_of = bp4d_landmarks.landmarks_of(path, contents)
        matlab.check_landmarks(path, ((frame, points_of(frame)) for frame in range(1, 6)), (49,))


def _read_points(path: Path) -> None:
    from drml.data.readers import matlab

    matlab.check_landmarks(path, [(1, disfa_landmarks.read_points(path))], (66, 68, 49))


# --- pictures


def _pictures(_: Path) -> list[bytes]:
    wide = np.repeat(_face()[:, :, :1], 4, axis=2).astype(np.uint16) * 200
    found = [_encoded(kind) for kind in (".png", ".jpg", ".bmp", ".webp", ".tiff", ".avif")]
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"
    jpeg = _encoded(".jpg")
    found.append(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])
    return [*found, _encoded(".png", wide), _encoded(".jpg", _face()[:, :, 0])]


def _read_photo(path: Path) -> None:
    for frame in read_images(find_sources([str(path)])):
        assert frame.image is not None or frame.fault


def _videos(folder: Path) -> list[bytes]:
    found = []
    for name, code in (("a.avi", "MJPG"), ("a.mp4", "mp4v"), ("a.mkv", "MJPG")):
        path = folder / name
        writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*code), 25, (32, 24))
        for index in range(6):
            writer.write(np.full((24, 32, 3), index * 30, np.uint8))
        writer.release()
        found.append(path.read_bytes())
        path.unlink()
    return found


def _read_video(path: Path) -> None:
    frame_count(path, 3)
    reader = VideoReader(path)
    try:
        for _ in zip(reader.stream(), range(50), strict=False):
            pass
    finally:
        reader.close()


# --- models and results


def _landmark_files(folder: Path) -> list[bytes]:
    keys = ["a", "bb"]
    return [_written(folder, lambda path: write_landmarks(path, keys, np.stack([REFERENCE, REFERENCE])))]


def _linear_models(folder: Path) -> list[bytes]:
    random = np.random.default_rng(0)
    X, Y = random.normal(size=(20, 3)), random.choice([-1, 1], (20, 2))
    return [_written(folder, LSVM(Cs=1.0).fit(X, Y).save)]


def _experiments(folder: Path) -> list[bytes]:
    def write(path: Path) -> None:
        about = '{"source": "a", "aus": [1, 2], "records": 2, "synthetic": true, "input": {}, "seconds": 1.5}'
        np.savez(
            path.open("wb"),
            keys=np.array(["a", "b"]),
            labels=np.ones((2, 2), np.int8),
            probabilities=np.full((2, 2), 0.5),
            about=np.array(about),
        )

    return [_written(folder, write)]


def _points(folder: Path) -> list[bytes]:
    zeros, some = np.zeros((2, 4)), np.ones((2, 5, 2))
    points = VideoPoints(["a", "b"], np.array([[1, 2], [3, 4]]), np.ones(2, np.int8), zeros, some)
    PointCache(folder, "m", 5).put("v", points)
    return [(folder / "v.npz").read_bytes()]


_NOTE = b'{"synthetic": true, "summary": {"subjects": 3, "videos": 6, "frames": 144, "rates": {"1": 0.25}}}'
_SETTINGS = b'{"quick": true, "data": "data", "seed": 3}'
_OPTIONS = b'{"size": 200, "intensity": 3, "positives": 800}'
_SUMMARY = b'{"kind": "disfa", "options": ' + _OPTIONS + b', "aus": [1, 2], "folds": {}}'
_RESULT = b'{"frames": 12, "synthetic": true, "average": {"f1": 0.5, "auc": null}, "protocol": ["a", "b"]}'
_PREDICTIONS = b"key,p_AU1,p_AU2,y_AU1,y_AU2\na,0.5,0.25,1,-1\nb,0.125,1,0,1\n"

TARGETS: dict[str, Target] = {
    "manifest": Target(_manifests, "test.csv", manifest.read_manifest),
    "coding": Target(_codings, "F001_T1.csv", lambda path: bp4d_coding.read_coding(path, BP4D_AUS)),
    "labels": Target(
        lambda _: [b"1,0\n2,5\n3,2\n"], "SN001_au1.txt", lambda path: intensities.read_intensities(path, 3)
    ),
    "list": Target(_lists, "faces.csv", listed.read),
    "exclude": Target(lambda _: [b"video,first,last\nSN030,939,962\n"], "bad.csv", exclude.read_ranges),
    "log": Target(lambda _: [_LOG.encode()], "caffe.log", _read_log),
    "losses": Target(lambda _: [_LOSSES], "loss.csv", lambda path: read_losses(path.parent)),
    "estimates": Target(lambda _: [_ESTIMATES], "f1.csv", lambda path: read_separations(path.parent)),
    "predictions": Target(lambda _: [_PREDICTIONS], "predictions.csv", read_predictions),
    "lmdb": Target(_databases, "data.mdb", _read_database),
    "datum": Target(_records, "datum", _read_record),
    "mean": Target(_means, "mean.binaryproto", read_mean),
    "recipe": Target(
        lambda _: [_RECIPE.to_text().encode()],
        "recipe.prototxt",
        lambda path: read_data_recipe(path.parent),
    ),
    "recipe in weights": Target(_carriers, "w.caffemodel", read_recipe),
    "matlab 5": Target(_old_matlab, "SN001_0001_lm.mat", _read_points),
    "matlab 5 struct": Target(_old_matlab, "F001_T1.mat", _read_landmarks),
    "matlab 7.3": Target(_new_matlab, "F001_T1.mat", _read_landmarks),
    "matlab 7.3 points": Target(_new_matlab, "SN001_0001_lm.mat", _read_points),
    "image": Target(_pictures, "a.png", images.load_bgr),
    "photo": Target(_pictures, "a.png", _read_photo),
    "report picture": Target(_pictures, "a.png", lambda path: read_picture(path, "a")),
    "video": Target(_videos, "a.avi", _read_video),
    "points": Target(
        _points, "v.npz", lambda path: PointCache(path.parent, "m", 5).get("v", ["a"], [(1, 2)])
    ),
    "note": Target(lambda _: [_NOTE], "synthetic.json", read_note),
    "landmarks": Target(_landmark_files, "test_landmarks.npz", read_landmarks),
    "model": Target(_linear_models, "lsvm.npz", LSVM.load),
    "experiment": Target(
        _experiments, experiment._TEST, lambda path: experiment.load_predictions(path.parent)
    ),
    "settings": Target(lambda _: [_SETTINGS], "settings.json", lambda path: Settings.of(path.parent)),
    "unit": Target(lambda _: [_RESULT], units.RESULT_FILE, lambda path: units.read_result(path.parent, ".")),
    "summary": Target(lambda _: [_SUMMARY], "summary.json", lambda path: protocol.describe(path.parent)),
    "scores": Target(lambda _: [_RESULT], "scores.json", lambda path: read_json(path, "scores")),
}


def _caffe_targets() -> dict[str, Target]:
    """The readers that need pycaffe's messages; none where it is not built."""
    from drml.nets import prototxt
    from drml.nets import weights as weights_files
    from drml.nets.pycaffe import messages

    try:
        pb = messages()
    except UserError:
        return {}
    deploy = (
        'name: "a" layer { name: "data" type: "Input" top: "data"'
        " input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }"
        ' layer { name: "fc" type: "InnerProduct" bottom: "data" top: "fc"'
        ' inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.01 } } }'
    )
    python = 'layer { name: "p" type: "Python" top: "p" python_param { module: "os" layer: "abort" } }'
    solver = b'net: "train_val.prototxt" base_lr: 0.01 test_iter: 4 max_iter: 10 snapshot_prefix: "a"'

    def weights(_: Path) -> list[bytes]:
        found = pb.NetParameter(name="a")
        layer = found.layer.add(name="fc", type="InnerProduct")
        for shape in ((2, 4), (2,)):
            blob = layer.blobs.add()
            blob.shape.dim.extend(shape)
            blob.data.extend(range(int(np.prod(shape))))
        old = found.layer.add(name="old").blobs.add(num=1, channels=1, height=1, width=2)
        old.data.extend([1, 2])
        return [found.SerializeToString()]

    def weights_h5(_: Path) -> list[bytes]:
        whole = io.BytesIO()
        with h5py.File(whole, "w") as file:
            file.create_dataset("data/fc/0", data=np.ones((2, 4), np.float32))
            file.create_dataset("data/fc/1", data=np.ones(2, np.float32))
        return [whole.getvalue()]

    def read_all(path: Path) -> None:
        for name, shapes in weights_files.read_weights(path).shapes.items():
            for index in range(len(shapes)):
                weights_files.read_blob(path, name, index)

    return {
        "prototxt": Target(
            lambda _: [deploy.encode(), python.encode()], "deploy.prototxt", prototxt.read_prototxt
        ),
        "solver": Target(
            lambda _: [solver],
            "solver.prototxt",
            lambda p: prototxt.read_prototxt(p, "SolverParameter"),
        ),
        "caffemodel": Target(weights, "a.caffemodel", read_all),
        "weights h5": Target(weights_h5, "a.h5", read_all),
    }


TARGETS.update(_caffe_targets())


def _planted(fault: Callable[[], object]) -> Target:
    def read(path: Path) -> None:
        if len(path.read_bytes()) > 3:
            fault()

    return Target(lambda _: [b"a", b"+abc"], "f", read)


# Readers with a fault that has to be found; what then is said.
PLANTED = {
    "SIGABRT": _planted(os.abort),
    "MemoryError": _planted(lambda: bytearray(4 << 30)),
    "KeyError": _planted(lambda: {}["x"]),
}
