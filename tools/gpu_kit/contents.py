"""Writes what the kit runs: nets and their solvers, the layers for PyTorch, and a small drawn data set.

Runs where the kit is built, with this project's own Python; the other machine needs none of it.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
from architecture import read_layers
from caffe_nets import training_net

ROOT = Path(__file__).resolve().parents[2]

MODELS = ("drml", "convnet", "alexnet", "lcn")
BATCHES = (16, 128)
TRAINING_BATCH = 16
# 72 training images of 200 x 200: an epoch ends within 200 iterations of 16, and a batch crosses its end.
SYNTHETIC = ("--layout", "bp4d", "--subjects", "9", "--tasks", "1", "--frames", "12", "--seed", "1")


def write_timed_nets(out: Path) -> None:
    """Write a training net with Input layers for each model and batch size, and each model's layers."""
    for model in MODELS:
        folder = ROOT / "models" / model
        layers = read_layers(folder / "deploy.prototxt")
        (out / f"{model}.json").write_text(json.dumps(layers))
        for batch in BATCHES:
            net = training_net(
                folder / "train_val.prototxt", batch, layers[0]["shape"], layers[-2]["out"], stock=False
            )
            (out / f"{model}_{batch}.prototxt").write_text(str(net))


def training_prototxt(dropout: bool) -> Any:
    """Return DRML's training net on the kit's data."""
    from caffe.proto import caffe_pb2
    from google.protobuf import text_format

    text = (ROOT / "models/drml/train_val.prototxt").read_text()
    source = text_format.Parse(text, caffe_pb2.NetParameter())
    net = caffe_pb2.NetParameter(name=source.name)
    for layer in source.layer:
        testing = layer.include and layer.include[0].phase == caffe_pb2.TEST
        if testing or (layer.type == "Dropout" and not dropout):
            continue
        copied = net.layer.add()
        copied.CopyFrom(layer)
        if layer.type == "MultiLabelData":
            copied.transform_param.mean_file = "data/mean.binaryproto"
            copied.multi_label_data_param.source = "data/train_lmdb"
            copied.multi_label_data_param.batch_size = TRAINING_BATCH
    return net


def write_data(out: Path) -> None:
    """Draw a data set and prepare it as `drml prepare` does; keep the training images and their mean."""
    drml = [sys.executable, "-m", "drml"]
    with tempfile.TemporaryDirectory() as scratch:
        drawn, prepared = Path(scratch, "drawn"), Path(scratch, "prepared")
        subprocess.run([*drml, "synth", drawn, *SYNTHETIC, "--quiet"], check=True)
        subprocess.run([*drml, "prepare", "bp4d", drawn, prepared, "--folds", "1", "--quiet"], check=True)
        fold = prepared / "fold1"
        (out / "train_lmdb").mkdir(parents=True)
        shutil.copy(fold / "train_lmdb/data.mdb", out / "train_lmdb")
        shutil.copy(fold / "mean.binaryproto", out)


def main() -> None:
    """Write nets/ and data/ into the kit's folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kit", type=Path, help="the kit's folder")
    kit = parser.parse_args().kit
    nets = kit / "nets"
    nets.mkdir(parents=True, exist_ok=True)
    write_timed_nets(nets)
    for dropout, name in ((True, "drml_train"), (False, "drml_without_dropout")):
        (nets / f"{name}.prototxt").write_text(str(training_prototxt(dropout)))
    shutil.rmtree(kit / "data", ignore_errors=True)
    write_data(kit / "data")


if __name__ == "__main__":
    main()
