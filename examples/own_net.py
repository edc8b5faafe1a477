"""Use the layers of this project in a net of your own, through pycaffe, and train it for a few iterations.

Usage: own_net.py FOLD OUT [ITERATIONS]. FOLD is a fold of drml prepare (data/drml/fold1), OUT a new folder.
"""

import sys
from pathlib import Path

import caffe
from caffe import layers as L


def own_net(fold: Path, aus: int) -> caffe.NetSpec:
    """Build a net with a region layer of 4 x 4 patches between two ordinary layers."""
    xavier = {"type": "xavier"}
    transform = {"crop_size": 160, "scale": 0.02, "mean_file": str(fold / "mean.binaryproto")}
    source = {"source": str(fold / "train_lmdb"), "batch_size": 8, "num_labels": aus}
    net = caffe.NetSpec()
    net.data, net.label = L.MultiLabelData(ntop=2, transform_param=transform, multi_label_data_param=source)
    net.conv1 = L.Convolution(net.data, kernel_size=8, stride=4, num_output=8, weight_filler=xavier)
    region = {"grid_h": 4, "grid_w": 4, "kernel_size": 3, "weight_filler": xavier}
    net.region2 = L.Region(net.conv1, region_param=region)
    net.fc3 = L.InnerProduct(net.region2, num_output=aus, weight_filler=xavier)
    net.loss = L.MultiLabelSigmoidCrossEntropyLoss(net.fc3, net.label)
    return net


if __name__ == "__main__":
    fold, out = Path(sys.argv[1]), Path(sys.argv[2])
    out.mkdir(parents=True)
    (out / "train_val.prototxt").write_text(str(own_net(fold, aus=12).to_proto()))
    solver_text = f'net: "{out}/train_val.prototxt" base_lr: 0.0001 momentum: 0.9 lr_policy: "fixed"'
    (out / "solver.prototxt").write_text(solver_text)
    solver = caffe.SGDSolver(str(out / "solver.prototxt"))
    for iteration in range(int(sys.argv[3]) if len(sys.argv) > 3 else 20):
        solver.step(1)
        print(f"iteration {iteration}: loss {solver.net.blobs['loss'].data:.4f}")
    solver.net.save(str(out / "own.caffemodel"))
