"""Write the binary ones of tests/fuzz/seeds anew: small valid inputs, from which the fuzzers start.

Usage: python tests/fuzz/make_seeds.py, in the environment that `make` sets up.
"""

from __future__ import annotations

import io
import shutil
import tempfile
from pathlib import Path

import cv2
import h5py
import lmdb
import numpy as np
from caffe.proto import caffe_pb2 as messages

SEEDS = Path(__file__).resolve().parent / "seeds"


def image(extension: str) -> bytes:
    """Return a picture of 5 x 4 pixels in a format."""
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3)).astype(np.uint8)
    return cv2.imencode(extension, pixels)[1].tobytes()


def datums() -> dict[str, bytes]:
    """Records as MultiLabelData reads them: images of each format, and a raw one."""
    found = {}
    for extension in (".jpg", ".png", ".bmp", ".tiff", ".webp", ".ppm"):
        datum = messages.Datum(data=image(extension), encoded=True, labels=[1, 0, -1])
        found[extension[1:]] = datum.SerializeToString()
    raw = messages.Datum(channels=3, height=3, width=4, data=bytes(range(36)), labels=[1], label=2)
    found["raw"] = raw.SerializeToString()
    floats = messages.Datum(channels=1, height=3, width=4, float_data=[0.5] * 12)
    found["floats"] = floats.SerializeToString()
    return found


def lmdb_file(sizes: list[int]) -> bytes:
    """Return the data file of an LMDB whose records have about these sizes."""
    with tempfile.TemporaryDirectory() as folder:
        with lmdb.open(folder, map_size=1 << 20) as env, env.begin(write=True) as txn:
            for i, size in enumerate(sizes):
                datum = messages.Datum(
                    channels=3, height=size, width=1, data=b"x" * (3 * size), labels=[1, -1]
                )
                txn.put(f"{i:08d}".encode(), datum.SerializeToString())
        return (Path(folder) / "data.mdb").read_bytes()


def blob(*shape: int) -> object:
    """Return a BlobProto of this shape."""
    message = messages.BlobProto()
    message.shape.dim.extend(shape)
    message.data.extend([0.5] * int(np.prod(shape)))
    return message


WEIGHTS = {
    "region": [(4, 3, 3, 3, 3), (4, 3), (4, 3), (4, 3), (1,)],
    "fc": [(2, 48), (2,)],
}


def weights() -> dict[str, bytes]:
    """Weights, solver states and a mean image for the net of tests/fuzz/weights.cpp."""
    net = messages.NetParameter()
    for name, shapes in WEIGHTS.items():
        net.layer.add(name=name, type="Region" if name == "region" else "InnerProduct").blobs.extend(
            blob(*shape) for shape in shapes
        )
    shapes = [shape for shapes in WEIGHTS.values() for shape in shapes]
    state = messages.SolverState(iter=1, current_step=0)
    state.history.extend(blob(*shape) for shape in shapes)
    resumed = messages.SolverState()
    resumed.CopyFrom(state)
    resumed.resume.loss.append(0.5)
    resumed.resume.smoothed_loss = 0.5
    rank = resumed.resume.rank.add(generator=" ".join(map(str, range(624))))
    rank.layer.add(layer="data", type="DummyData", position=3, records=5, seed=7)
    h5_weights, h5_state = io.BytesIO(), io.BytesIO()
    with h5py.File(h5_weights, "w", libver="latest") as file:
        for name, of_layer in WEIGHTS.items():
            for i, shape in enumerate(of_layer):
                file[f"data/{name}/{i}"] = np.full(shape, 0.5, np.float32)
    with h5py.File(h5_state, "w", libver="latest") as file:
        file["iter"] = np.array([1], np.int32)
        file["current_step"] = np.array([0], np.int32)
        for i, shape in enumerate(shapes):
            file[f"history/{i}"] = np.full(shape, 0.5, np.float32)
    return {
        "caffemodel": b"w" + net.SerializeToString(),
        "solverstate": b"s" + state.SerializeToString(),
        "resumed": b"r" + resumed.SerializeToString(),
        "mean": b"m" + blob(1, 3, 4, 4).SerializeToString(),
        "caffemodel_h5": b"W" + h5_weights.getvalue(),
        "solverstate_h5": b"S" + h5_state.getvalue(),
    }


def main() -> None:
    """Write them all."""
    seeds = {
        "datum": datums(),
        "lmdb": {
            "one_page": lmdb_file([3, 4]),
            "two_leaves": lmdb_file([600, 500, 600]),
            "long_values": lmdb_file([1500, 3]),
        },
        "weights": weights(),
    }
    for target, files in seeds.items():
        shutil.rmtree(SEEDS / target, ignore_errors=True)
        (SEEDS / target).mkdir(parents=True)
        for name, content in files.items():
            (SEEDS / target / name).write_bytes(content)


if __name__ == "__main__":
    main()
