"""What is given for something else, or left out, is named with the way out: files, solvers, sizes."""

import itertools
import shutil
import subprocess
import sys

import cv2
import lmdb
import numpy as np
import pytest

from drml.data.lmdb import write_mean
from drml.io.messages import Datum
from drml.io.shipped import find_program
from drml.nets.pycaffe import new_message
from drml.training.caffe_run import find_caffe

NET = """
name: "tiny"
layer { name: "data" type: "DummyData" top: "x" top: "y" dummy_data_param {
  shape { dim: 4 dim: 3 } shape { dim: 4 dim: 2 }
  data_filler { type: "gaussian" std: 1 } data_filler { type: "gaussian" std: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "z"
  inner_product_param { num_output: 2 weight_filler { type: "gaussian" std: 0.1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "z" bottom: "y" top: "loss" }
"""
ONE, TWO = ("SGD", "Nesterov", "AdaGrad", "RMSProp"), ("Adam", "AdaDelta")


def write_solver(folder, kind="SGD", *, net=NET, form="BINARYPROTO", extra=""):
    folder.mkdir(exist_ok=True)
    (folder / "net.prototxt").write_text(net)
    momentum = 0 if kind in ("AdaGrad", "RMSProp") else 0.9
    solver = folder / f"{kind}.prototxt"
    solver.write_text(
        f'net: "{folder}/net.prototxt" type: "{kind}" base_lr: 0.001 lr_policy: "fixed" max_iter: 4'
        f' snapshot: 2 momentum: {momentum} random_seed: 1 snapshot_prefix: "{folder}/{kind}"'
        f" snapshot_format: {form} {extra}"
    )
    return solver


def run(*command, status=1):
    """Run a command that has to end with a status; return what it printed."""
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == status, (command, done.stderr[-3000:])
    return done.stdout + done.stderr


def train(solver, *options, status=1):
    return run(find_caffe(), "train", "-solver", solver, *options, status=status)


@pytest.fixture(scope="module")
def snapshots(tmp_path_factory):
    """Train with each type of solver and in both formats; return the folders by format."""
    folders = {}
    for form in ("BINARYPROTO", "HDF5"):
        folders[form] = tmp_path_factory.mktemp(form)
        for kind in (*ONE, *TWO):
            train(write_solver(folders[form], kind, form=form), status=0)
    return folders


def state_of(snapshots, form, kind):
    return snapshots[form] / f"{kind}_iter_2.solverstate{'.h5' if form == 'HDF5' else ''}"


def weights_of(snapshots, form, kind="SGD"):
    return snapshots[form] / f"{kind}_iter_2.caffemodel{'.h5' if form == 'HDF5' else ''}"


# --- solvers


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_the_state_of_another_type_of_solver(snapshots, tmp_path, form):
    for kind, other in itertools.product((*ONE, *TWO), (*ONE, *TWO)):
        if (kind in ONE) == (other in ONE):
            continue
        said = train(write_solver(tmp_path, kind), "-snapshot", state_of(snapshots, form, other))
        counts = (4, 2) if kind in ONE else (2, 4)
        assert str(state_of(snapshots, form, other)) in said
        assert f"holds {counts[0]} blobs of history, and a solver of type {kind} keeps {counts[1]}" in said
        theirs = "Adam or AdaDelta" if kind in ONE else "SGD, Nesterov, AdaGrad or RMSProp"
        assert f"the snapshot is of a solver of type {theirs}. Set type" in said and "-weights" in said
    for kind in ("SGD", "Adam"):
        solver = write_solver(tmp_path, kind, form=form)
        train(solver, "-snapshot", state_of(snapshots, form, kind), status=0)


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
def test_the_state_of_another_net(snapshots, tmp_path, form):
    layers, mark, loss = NET.replace('bottom: "z" bottom: "y"', 'bottom: "s" bottom: "y"').rpartition(
        'layer { name: "loss"'
    )
    scale = 'layer { name: "scale" type: "Scale" bottom: "z" top: "s" scale_param { bias_term: true } }\n'
    more = write_solver(tmp_path, net=layers + scale + mark + loss)
    said = train(more, "-snapshot", state_of(snapshots, form, "SGD"))
    assert "holds 2 blobs of history, and a solver of type SGD keeps 4" in said
    assert "the snapshot is of another net" in said
    bigger = write_solver(
        tmp_path, net=NET.replace("num_output: 2", "num_output: 3").replace("dim: 2", "dim: 3")
    )
    said = train(bigger, "-snapshot", state_of(snapshots, form, "SGD"))
    if form == "HDF5":
        assert "shape mismatch" in said
    else:
        assert "the history of layer 'ip' has another shape than the layer's weights, 3 3 (9)" in said
        assert "the snapshot is of another net" in said


# --- files


def test_a_solverstate_is_no_weights(snapshots, tmp_path):
    solver = write_solver(tmp_path)
    stock = tmp_path / "stock.solverstate"  # as a stock Caffe writes it
    state = new_message("SolverState")
    state.iter, state.learned_net = 2, str(weights_of(snapshots, "BINARYPROTO"))
    blob = state.history.add()
    blob.shape.dim.extend([2, 3])
    blob.data.extend([0.0] * 6)
    stock.write_bytes(state.SerializeToString())
    files = [stock, *(state_of(snapshots, form, kind) for form in snapshots for kind in ("SGD", "Adam"))]
    for file in files:
        expected = f"{file} is a solverstate, not weights: resume from it with -snapshot"
        assert expected in train(solver, "-weights", file)
        assert expected in train(write_solver(tmp_path / "inside", extra=f'weights: "{file}"'))
        assert expected in run(
            find_caffe(), "test", "-model", solver.parent / "net.prototxt", "-weights", file, "-iterations", 1
        )
        code = "import sys, caffe; caffe.Net(sys.argv[1], caffe.TEST, weights=sys.argv[2])"
        assert expected in run(sys.executable, "-c", code, solver.parent / "net.prototxt", file)


def test_weights_are_no_solverstate(snapshots, tmp_path):
    solver = write_solver(tmp_path)
    for form in snapshots:
        file = weights_of(snapshots, form)
        said = train(solver, "-snapshot", file)
        assert f"{file} is a file of weights, not a solverstate: start from it with -weights" in said
        train(solver, "-weights", file, status=0)
    code = "import sys, caffe; caffe.get_solver(sys.argv[1]).restore(sys.argv[2])"
    done = subprocess.run(
        [sys.executable, "-c", code, solver, weights_of(snapshots, "BINARYPROTO")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "is a file of weights, not a solverstate" in done.stderr


def test_other_files_are_neither(snapshots, tmp_path):
    solver = write_solver(tmp_path)
    write_mean(tmp_path / "mean.binaryproto", np.ones((3, 4, 5), np.float32))
    for file, kind in ((tmp_path / "mean.binaryproto", "a mean image"), (solver, "a text file")):
        assert f"{file} is {kind}, not weights: give a .caffemodel" in train(solver, "-weights", file)
        assert f"{file} is {kind}, not a solverstate: give a .solverstate" in train(solver, "-snapshot", file)


# --- databases


def write_images(folder, backend, *, sizes=((6, 8),), count=4, raw=False):
    """Write a database with convert_imageset, or with lmdb where the images differ in size."""
    rng = np.random.default_rng(0)
    (folder / "list.txt").write_text("".join(f"{index}.png 1\n" for index in range(count)))
    for index in range(count):
        size = sizes[index % len(sizes)]
        cv2.imwrite(str(folder / f"{index}.png"), rng.integers(0, 256, (*size, 3), np.uint8))
    if len(sizes) == 1 and not raw:
        command = [find_program("convert_imageset"), f"-backend={backend}", f"{folder}/", folder / "list.txt"]
        run(*command, folder / backend, status=0)
        return folder / backend
    with lmdb.open(str(folder / backend)) as env, env.begin(write=True) as transaction:
        for index in range(count):
            image = cv2.imread(str(folder / f"{index}.png"))
            height, width = image.shape[:2]
            datum = Datum(channels=3, height=height, width=width, label=1, encoded=not raw)
            datum.data = image.transpose(2, 0, 1).tobytes() if raw else (folder / f"{index}.png").read_bytes()
            transaction.put(f"{index:08d}".encode(), datum.SerializeToString())
    return folder / backend


def data_net(source, param):
    return (
        f'layer {{ name: "faces" type: "Data" top: "x" top: "y"'
        f' data_param {{ source: "{source}" batch_size: 2 {param} }} }}'
    )


def test_a_database_of_the_other_backend(tmp_path):
    code = "import sys, caffe; caffe.Net(sys.argv[1], caffe.TEST)"
    net = tmp_path / "net.prototxt"
    for backend in ("lmdb", "leveldb"):
        source = write_images(tmp_path, backend)
        before = sorted(path.name for path in source.iterdir())
        net.write_text(data_net(source, f"backend: {backend.upper()}"))
        run(sys.executable, "-c", code, net, status=0)
        wrong = {"lmdb": ("", "backend: LEVELDB"), "leveldb": ("backend: LMDB",)}[backend]
        for param in wrong:
            net.write_text(data_net(source, param))
            said = run(sys.executable, "-c", code, net)
            name = {"lmdb": "an LMDB", "leveldb": "a LevelDB"}[backend]
            assert f"layer 'faces' (Data): source '{source}' is {name}, and backend is" in said
            assert f"set backend: {backend.upper()} in data_param" in said
        if backend == "lmdb":
            assert sorted(path.name for path in source.iterdir()) == before
    net.write_text(data_net(tmp_path / "none", ""))
    assert str(tmp_path / "none") in run(sys.executable, "-c", code, net)


READERS = {
    "Data": "data_param { source: 'x' backend: LMDB }",
    "ImageData": "image_data_param { source: 'x' batch_size: 0 }",
    "HDF5Data": "hdf5_data_param { source: 'x' }",
    "WindowData": "window_data_param { source: 'x' }",
    "MemoryData": "memory_data_param { channels: 3 height: 4 width: 4 }",
    "MultiLabelData": "multi_label_data_param { source: 'x' }",
    "MultiLabelImageData": "multi_label_data_param { source: 'x' }",
    "MultilabelImageData": "image_data_param { source: 'x' batch_size: 0 }",
}


@pytest.mark.parametrize("kind", READERS)
def test_no_batch_size(tmp_path, kind):
    net = tmp_path / "net.prototxt"
    for param in (READERS[kind], ""):
        net.write_text(f"layer {{ name: 'faces' type: '{kind}' top: 'x' top: 'y' {param} }}")
        said = run(sys.executable, "-c", "import sys, caffe; caffe.Net(sys.argv[1], caffe.TEST)", net)
        assert "layer 'faces'" in said
        if param:
            assert "batch_size" in said


@pytest.mark.parametrize(("kind", "field"), [("Input", "input_param"), ("DummyData", "dummy_data_param")])
def test_no_shape(tmp_path, kind, field):
    net = tmp_path / "net.prototxt"
    for param in ("", f"{field} {{ }}"):
        net.write_text(f"layer {{ name: 'faces' type: '{kind}' top: 'x' {param} }}")
        code = (
            "import sys, caffe; net = caffe.Net(sys.argv[1], caffe.TEST); net.forward(); net.blobs['x'].data"
        )
        said = run(sys.executable, "-c", code, net)
        assert "layer 'faces'" in said and "shape" in said


# --- mean images


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("sizes", [((6, 8), (6, 9)), ((6, 8), (8, 6)), ((6, 8), (5, 8))])
def test_images_of_mixed_sizes_have_no_mean(tmp_path, sizes, raw):
    source = write_images(tmp_path, "lmdb", sizes=sizes, raw=raw)
    mean = tmp_path / "mean.binaryproto"
    said = run(find_program("compute_image_mean"), source, mean)
    first, second = (f"3 x {height} x {width}" for height, width in sizes)
    assert f"record '00000001' is {second}, but the first record is {first}" in said
    assert "-resize_height" in said and not mean.exists()


def test_a_mean_of_images_of_one_size(tmp_path):
    source = write_images(tmp_path, "lmdb")
    run(find_program("compute_image_mean"), source, tmp_path / "mean.binaryproto", status=0)
    mean = new_message("BlobProto")
    mean.ParseFromString((tmp_path / "mean.binaryproto").read_bytes())
    images = [cv2.imread(str(tmp_path / f"{index}.png")).transpose(2, 0, 1) for index in range(4)]
    np.testing.assert_allclose(np.reshape(mean.data, (3, 6, 8)), np.mean(images, 0), rtol=1e-6)


def test_records_that_are_damaged_have_no_mean(tmp_path):
    source = write_images(tmp_path, "lmdb", sizes=((6, 8), (6, 8)))
    good = tmp_path / "good"
    shutil.copytree(source, good)
    damages = {
        "image": Datum(channels=3, height=6, width=8, encoded=True, data=b"no image"),
        "values": Datum(channels=3, height=6, width=8, data=b"12345"),
    }
    for position, (name, datum) in itertools.product((0, 2), damages.items()):
        shutil.rmtree(source)
        shutil.copytree(good, source)
        with lmdb.open(str(source)) as env, env.begin(write=True) as transaction:
            transaction.put(f"{position:08d}".encode(), datum.SerializeToString())
        said = run(find_program("compute_image_mean"), source, tmp_path / "mean.binaryproto")
        assert f"record '{position:08d}'" in said, name
        assert not (tmp_path / "mean.binaryproto").exists()
