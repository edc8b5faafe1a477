"""A net small enough to be computed by hand, and data to feed it: shared by the tests that run Caffe."""

import csv
import json
import resource
from contextlib import contextmanager
from pathlib import Path

import cv2
import h5py
import numpy as np

from drml.data.labels import BP4D_AUS
from drml.data.lmdb import write_lmdb, write_mean
from drml.data.recipe import Recipe
from drml.nets.pycaffe import import_caffe
from drml.nets.recipe import write_recipe

AUS = (1, 2, 4)
OUTPUTS = 3
INPUT = 20
IMAGE = 24

_LAYERS = """
layer {{ name: "conv1" type: "Convolution" bottom: "data" top: "conv1"
  convolution_param {{ num_output: 4 kernel_size: 5 stride: 5
    weight_filler {{ type: "gaussian" std: 0.01 }} }} }}
layer {{ name: "relu1" type: "ReLU" bottom: "conv1" top: "conv1" }}
layer {{ name: "fc9" type: "InnerProduct" bottom: "conv1" top: "fc9"
  inner_product_param {{ num_output: 6 weight_filler {{ type: "gaussian" std: 0.1 }} }} }}
layer {{ name: "relu9" type: "ReLU" bottom: "fc9" top: "fc9" }}
layer {{ name: "fc10" type: "InnerProduct" bottom: "fc9" top: "fc10"
  inner_product_param {{ num_output: {outputs} weight_filler {{ type: "gaussian" std: 0.1 }} }} }}
"""


@contextmanager
def file_size_limit(size):
    """Let no file become larger than `size` bytes: the write then fails, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def deploy_text(outputs=OUTPUTS):
    return (
        'name: "tiny"\n'
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 1 dim: 3 dim: {INPUT}'
        f" dim: {INPUT} }} }} }}\n"
        + _LAYERS.format(outputs=outputs)
        + 'layer { name: "prob" type: "Sigmoid" bottom: "fc10" top: "prob" }\n'
    )


def write_deploy(folder, outputs=OUTPUTS):
    path = Path(folder) / "deploy.prototxt"
    path.write_text(deploy_text(outputs))
    return path


def draw_parameters(seed=0, outputs=OUTPUTS):
    """Return the weights and biases of conv1, fc9, fc10."""
    rng = np.random.default_rng(seed)
    shapes = {"conv1": (4, 3, 5, 5), "fc9": (6, 64), "fc10": (outputs, 6)}
    return {
        name: [
            (rng.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32),
            rng.standard_normal(shape[0]).astype(np.float32) * np.float32(0.1),
        ]
        for name, shape in shapes.items()
    }


def _carry_aus(path, parameters, aus):
    """Put a recipe into weights that says nothing but the AUs; `aus` is () for none at all."""
    if aus is None:
        aus = {3: AUS, 12: BP4D_AUS}.get(len(parameters["fc10"][0]) if "fc10" in parameters else 0, ())
    path = Path(path)
    if aus:
        carrier = path.rename(path.with_name(f"carrier{path.suffix}"))  # snapshots are not changed
        write_recipe(carrier, Recipe(au=tuple(aus)))
        carrier.rename(path)
    return path


def write_caffemodel(
    path, parameters, *, scale=None, mean_file="fold0/mean.binaryproto", old=False, aus=None
):
    """Write the weights as a snapshot has them; with `scale` also the data layer's transform.

    `old` writes shapes of four axes in the fields that Caffe had before `shape`. `aus` go into the recipe.
    """
    import_caffe()  # which also keeps its log quiet
    from caffe.proto import caffe_pb2

    net = caffe_pb2.NetParameter(name="tiny")
    if scale is not None:
        for phase, value in ((caffe_pb2.TEST, 123.0), (caffe_pb2.TRAIN, scale)):
            data = net.layer.add(name="data", type="Data", phase=phase)
            data.transform_param.scale = value
            if mean_file:
                data.transform_param.mean_file = mean_file
    for name, arrays in parameters.items():
        layer = net.layer.add(name=name)
        for array in arrays:
            blob = layer.blobs.add()
            if old:
                axes = (1,) * (4 - array.ndim) + array.shape
                blob.num, blob.channels, blob.height, blob.width = axes
            else:
                blob.shape.dim.extend(array.shape)
            blob.data.extend(array.ravel().tolist())
    net.layer.add(name="relu1")
    Path(path).write_bytes(net.SerializeToString())
    return _carry_aus(path, parameters, aus)


def write_hdf5(path, parameters, *, aus=None):
    with h5py.File(path, "w") as file:
        for name, arrays in parameters.items():
            group = file.create_group(f"data/{name}")
            for index, array in enumerate(arrays):
                group[str(index)] = array
        file.create_group("data/relu1")
    return _carry_aus(path, parameters, aus)


def compute(parameters, inputs):
    """Run the net on N x 3 x 20 x 20 inputs by plain NumPy; return fc9 (after its ReLU), fc10, prob."""
    weight, bias = (array.astype(np.float64) for array in parameters["conv1"])
    patches = inputs.astype(np.float64).reshape(-1, 3, 4, 5, 4, 5)
    conv1 = np.maximum(np.einsum("ncyixj,ocij->noyx", patches, weight) + bias[:, None, None], 0)
    fc9 = np.maximum(conv1.reshape(len(inputs), -1) @ parameters["fc9"][0].T + parameters["fc9"][1], 0)
    fc10 = fc9 @ parameters["fc10"][0].T + parameters["fc10"][1]
    return {"fc9": fc9, "fc10": fc10, "prob": 1 / (1 + np.exp(-fc10))}


def draw_images(count, seed=0, size=IMAGE):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 256, (size, size, 3), dtype=np.uint8) for _ in range(count)]


def draw_labels(count, seed=0, aus=AUS):
    return np.random.default_rng(seed + 1000).choice([-1, 0, 1], (count, len(aus)), p=[0.5, 0.1, 0.4])


def write_data(folder, *, count=10, seed=0, aus=AUS, split="test", mean=True, synthetic=False, size=IMAGE):
    """Write OUT/fold1/{split}_lmdb, its manifest and the mean image; return (fold, images, labels, mean)."""
    fold = Path(folder) / "fold1"
    fold.mkdir(parents=True, exist_ok=True)
    images, labels = draw_images(count, seed, size), draw_labels(count, seed, aus)
    keys = [f"{index:08d}_F{1 + index % 2:03d}_T1_{index:04d}" for index in range(count)]
    write_lmdb(
        fold / f"{split}_lmdb",
        # PNG: the pixels come back as they were.
        (
            (key, cv2.imencode(".png", image)[1].tobytes(), row.tolist())
            for key, image, row in zip(keys, images, labels, strict=True)
        ),
        shape=(3, size, size),
    )
    with (fold / f"{split}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["key", "source", "subject", "task", "frame", *(f"AU{au}" for au in aus)])
        for index, (key, row) in enumerate(zip(keys, labels, strict=True)):
            writer.writerow([key, f"{index}.jpg", f"F{1 + index % 2:03d}", "T1", index, *row])
    mean_image = np.random.default_rng(seed + 5).uniform(100, 150, (3, size, size)).astype(np.float32)
    if mean:
        write_mean(fold / "mean.binaryproto", mean_image)
    if synthetic:
        (Path(folder) / "synthetic.json").write_text(json.dumps({"seed": seed}))
    return fold, images, labels, mean_image


def transform(images, mean=None, scale=1.0):
    """Turn images into inputs by hand: centre crop 20 of 24, mean off, scale."""
    planes = np.stack([image.transpose(2, 0, 1) for image in images]).astype(np.float64)
    if mean is not None:
        planes = planes - mean
    return planes[:, :, 2:22, 2:22] * scale


TRAIN_VAL = """
name: "tiny"
layer {{ name: "data" type: "MultiLabelData" top: "data" top: "label" include {{ phase: TRAIN }}
  transform_param {{ crop_size: 20 mirror: true mean_file: "data/drml/fold1/mean.binaryproto" scale: 0.02 }}
  multi_label_data_param {{ source: "data/drml/fold1/train_lmdb" batch_size: 4 num_labels: 3 }} }}
layer {{ name: "data" type: "MultiLabelData" top: "data" top: "label" include {{ phase: TEST }}
  transform_param {{ crop_size: 20 mean_file: "data/drml/fold1/mean.binaryproto" scale: 0.02 }}
  multi_label_data_param {{ source: "data/drml/fold1/test_lmdb" batch_size: 5 num_labels: 3 }} }}
{layers}
layer {{ name: "loss" type: "MultiLabelSigmoidCrossEntropyLoss" bottom: "fc10" bottom: "label" top: "loss" }}
"""

SOLVER = """
net: "{net}"
test_iter: 2
test_interval: 10
test_initialization: true
base_lr: 0.01
lr_policy: "fixed"
momentum: 0.9
display: 5
max_iter: 20
snapshot: 0
snapshot_prefix: "models/tiny/tiny"
solver_mode: CPU
"""


def write_solver(folder, extra="", net="train_val.prototxt"):
    """Write solver.prototxt and its net beside it; return the solver."""
    folder = Path(folder)
    (folder / "train_val.prototxt").write_text(TRAIN_VAL.format(layers=_LAYERS.format(outputs=OUTPUTS)))
    path = folder / "solver.prototxt"
    path.write_text(SOLVER.format(net=net) + extra)
    return path


def write_training_data(folder):
    """Write the fold that `write_solver`'s net reads."""
    write_data(folder, count=12, seed=1, split="train", mean=False)
    return write_data(folder, count=10, seed=2)[0]
