"""Caffe's tools on inputs of which one fails: they say which, end with status 1, and leave no half result."""

from __future__ import annotations

import subprocess
from pathlib import Path

import cv2
import lmdb
import numpy as np
import pytest
from google.protobuf import text_format

from drml.io.shipped import find_program
from drml.nets.pycaffe import import_caffe

caffe = import_caffe()
from caffe.proto import caffe_pb2  # noqa: E402 -- only importable once import_caffe has set the log level


def run(tool: str, *arguments: str | Path, cwd: Path) -> tuple[int, str]:
    program = find_program(tool)
    assert program is not None
    done = subprocess.run([program, *arguments], capture_output=True, cwd=cwd, check=False)
    return done.returncode, done.stderr.decode(errors="replace")


RNG = np.random.default_rng(0)
IMAGES = [RNG.integers(0, 256, (3, 4, 5), dtype=np.uint8) for _ in range(3)]


def raw(image: np.ndarray) -> bytes:
    return caffe.io.array_to_datum(image, 1).SerializeToString()


def encoded(data: bytes) -> bytes:
    return caffe_pb2.Datum(channels=3, height=4, width=5, encoded=True, data=data).SerializeToString()


def png(image: np.ndarray) -> bytes:
    return encoded(cv2.imencode(".png", image.transpose(1, 2, 0))[1].tobytes())


JUNK, BROKEN = b"\xff" * 20, encoded(b"no image")


def write_lmdb(path: Path, values: list[bytes]) -> None:
    with lmdb.open(str(path), map_size=1 << 24) as database, database.begin(write=True) as write:
        for i, value in enumerate(values):
            write.put(b"%08d" % i, value)


# --- compute_image_mean


def test_the_mean_image_is_that_of_all_records(tmp_path: Path) -> None:
    floats = caffe.io.array_to_datum(IMAGES[2].astype(float), 1).SerializeToString()
    write_lmdb(tmp_path / "lmdb", [raw(IMAGES[0]), png(IMAGES[1]), floats])
    status, said = run("compute_image_mean", "lmdb", "mean.binaryproto", cwd=tmp_path)
    assert status == 0, said
    blob = caffe_pb2.BlobProto.FromString((tmp_path / "mean.binaryproto").read_bytes())
    np.testing.assert_allclose(
        caffe.io.blobproto_to_array(blob)[0], np.mean(np.array(IMAGES, float), axis=0), rtol=1e-6
    )


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ([], "the database has no records"),
        ([JUNK, raw(IMAGES[0])], "record '00000000' is not a Datum"),
        ([raw(IMAGES[0]), JUNK], "record '00000001' is not a Datum"),
        ([JUNK, JUNK], "record '00000000' is not a Datum"),
        ([BROKEN, BROKEN], "the image of record '00000000' cannot be decoded"),
        ([raw(IMAGES[0]), raw(IMAGES[1]), BROKEN], "the image of record '00000002' cannot be decoded"),
        ([b"", raw(IMAGES[0])], "record '00000000' has no image"),
    ],
)
def test_no_mean_image_without_every_record(values: list[bytes], says: str, tmp_path: Path) -> None:
    write_lmdb(tmp_path / "lmdb", values)
    status, said = run("compute_image_mean", "lmdb", "mean.binaryproto", cwd=tmp_path)
    assert status == 1 and says in said
    assert [path.name for path in tmp_path.iterdir()] == ["lmdb"]


# --- extract_features

NET = """
layer {{ name: "data" type: "{data}" top: "data" top: "label" {parameters} }}
layer {{ name: "score" type: "InnerProduct" bottom: "data" top: "score"
  inner_product_param {{ num_output: 3 weight_filler {{ type: "xavier" }} }} }}
"""


def features_net(folder: Path, data: str, parameters: str) -> None:
    (folder / "net.prototxt").write_text(NET.format(data=data, parameters=parameters))
    score = NET[NET.index('layer {{ name: "score"') :].format()
    shape = 'input: "data" input_shape { dim: 1 dim: 3 dim: 4 dim: 5 }'
    (folder / "deploy.prototxt").write_text(shape + score)
    caffe.Net(str(folder / "deploy.prototxt"), caffe.TEST).save(str(folder / "w.caffemodel"))


def extract(folder: Path, batches: str) -> tuple[int, str]:
    return run(
        "extract_features", "w.caffemodel", "net.prototxt", "score", "out", batches, "lmdb", cwd=folder
    )


def test_features_are_those_of_the_net(tmp_path: Path) -> None:
    write_lmdb(tmp_path / "lmdb", [raw(image) for image in IMAGES])
    features_net(tmp_path, "Data", f'data_param {{ source: "{tmp_path}/lmdb" batch_size: 3 backend: LMDB }}')
    status, said = extract(tmp_path, "1")
    assert status == 0, said
    net = caffe.Net(str(tmp_path / "deploy.prototxt"), caffe.TEST, weights=str(tmp_path / "w.caffemodel"))
    weights = net.params["score"][0].data.astype(float)
    expected = np.stack([weights @ image.ravel() for image in IMAGES])
    with lmdb.open(str(tmp_path / "out"), readonly=True, lock=False) as database, database.begin() as view:
        found = [caffe_pb2.Datum.FromString(bytes(value)).float_data for _, value in view.cursor()]
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("batches", ["0", "-3", "all", "2x", "", "99999999999"])
def test_features_of_no_batches_are_refused(batches: str, tmp_path: Path) -> None:
    write_lmdb(tmp_path / "lmdb", [raw(image) for image in IMAGES])
    features_net(tmp_path, "Data", f'data_param {{ source: "{tmp_path}/lmdb" batch_size: 3 backend: LMDB }}')
    status, said = extract(tmp_path, batches)
    assert status == 1 and f"the number of batches is '{batches}'; it must be an integer from 1" in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("broken", [JUNK, BROKEN])
def test_features_of_a_broken_record_are_refused(broken: bytes, tmp_path: Path) -> None:
    write_lmdb(tmp_path / "lmdb", [raw(IMAGES[0]), raw(IMAGES[1]), broken])
    features_net(tmp_path, "Data", f'data_param {{ source: "{tmp_path}/lmdb" batch_size: 3 backend: LMDB }}')
    status, said = extract(tmp_path, "1")
    assert status == 1 and "Successfully" not in said


def test_features_of_a_missing_image_are_refused(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), IMAGES[0].transpose(1, 2, 0))
    (tmp_path / "list.txt").write_text("a.png 1\nmissing.png 2\n")
    features_net(
        tmp_path,
        "ImageData",
        f'image_data_param {{ source: "{tmp_path}/list.txt" root_folder: "{tmp_path}/" batch_size: 2 }}',
    )
    status, said = extract(tmp_path, "1")
    assert status == 1 and "missing.png" in said and "Successfully" not in said


# --- upgrade_*

V1 = """
input: "data" input_dim: 1 input_dim: 3 input_dim: 4 input_dim: 5
layers { name: "ip" type: INNER_PRODUCT bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
"""
UPGRADES = {
    "upgrade_net_proto_text": V1.encode(),
    "upgrade_net_proto_binary": text_format.Parse(V1, caffe_pb2.NetParameter()).SerializeToString(),
    "upgrade_solver_proto_text": b'net: "n" base_lr: 0.1 solver_type: ADAM',
}
every_upgrade = pytest.mark.parametrize("tool", UPGRADES)


@every_upgrade
def test_upgrades_write_todays_form(tool: str, tmp_path: Path) -> None:
    (tmp_path / "old").write_bytes(UPGRADES[tool])
    status, said = run(tool, "old", "new", cwd=tmp_path)
    assert status == 0, said
    written = (tmp_path / "new").read_bytes()
    if tool == "upgrade_solver_proto_text":
        solver = text_format.Parse(written.decode(), caffe_pb2.SolverParameter())
        assert solver.type == "Adam" and not solver.HasField("solver_type")
    else:
        net = caffe_pb2.NetParameter()
        if tool == "upgrade_net_proto_text":
            text_format.Parse(written.decode(), net)
        else:
            net.ParseFromString(written)
        assert [layer.type for layer in net.layer] == ["Input", "InnerProduct"] and not net.layers
        assert net.layer[1].inner_product_param.num_output == 2


@every_upgrade
@pytest.mark.parametrize("fault", ["missing", "garbage", "no folder", "a full disk"])
def test_upgrades_that_fail_say_so(tool: str, fault: str, tmp_path: Path) -> None:
    if fault != "missing":
        (tmp_path / "old").write_bytes(b"garbage {" if fault == "garbage" else UPGRADES[tool])
    out = {"no folder": "none/new", "a full disk": "/dev/full"}.get(fault, "new")
    status, said = run(tool, "old", out, cwd=tmp_path)
    assert status == 1
    assert {"no folder": "none/new", "a full disk": "No space left"}.get(fault, "old") in said
    assert not (tmp_path / "new").exists()
