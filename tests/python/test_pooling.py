"""Pooling at the border of a map, against its definition: every value is finite, or the net is refused."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from drml.nets.pycaffe import fatal_line, import_caffe

NET = """
layer {{ name: "x" type: "Input" top: "x"
  input_param {{ shape {{ dim: 2 dim: 3 dim: {height} dim: {width} }} }} }}
layer {{ name: "pool" type: "Pooling" bottom: "x" top: "y" pooling_param {{ {param} }} }}
"""


def count_windows(size, kernel, stride, pad, ceil):
    """Return how many windows begin along one side; 0 if the last lies outside of the map and its padding."""
    steps = (size + 2 * pad - kernel) / stride
    count = int(np.ceil(steps) if ceil else np.floor(steps)) + 1
    if pad and (count - 1) * stride >= size + pad:
        count -= 1
    return count if count > 0 and (count - 1) * stride < size + pad else 0


def pool(x, kernel, stride, pad, ceil, method):
    height, width = (count_windows(side, kernel, stride, pad, ceil) for side in x.shape[2:])
    y = np.empty((*x.shape[:2], height, width))
    for row, column in itertools.product(range(height), range(width)):
        top, left = row * stride - pad, column * stride - pad
        # The window ends where the padding does.
        bottom, right = min(top + kernel, x.shape[2] + pad), min(left + kernel, x.shape[3] + pad)
        part = x[:, :, max(top, 0) : bottom, max(left, 0) : right]
        assert part.size
        if method == "MAX":
            y[:, :, row, column] = part.max((2, 3))
        else:
            y[:, :, row, column] = part.sum((2, 3)) / ((bottom - top) * (right - left))
    return y


@pytest.mark.parametrize("engine", ["", "engine: CAFFE"])
@pytest.mark.parametrize("method", ["MAX", "AVE"])
def test_windows_at_the_border(tmp_path, method, engine):
    caffe = import_caffe()
    rng = np.random.default_rng(0)
    path = tmp_path / "net.prototxt"
    tried = refused = 0
    for size, kernel, stride, ceil in itertools.product(
        ((1, 4), (5, 7), (6, 8)), (1, 2, 3), (1, 2, 3, 4), (True, False)
    ):
        for pad in range(kernel):
            shape = [count_windows(side, kernel, stride, pad, ceil) for side in size]
            if 0 in shape:
                refused += 1
                continue
            tried += 1
            param = f"pool: {method} kernel_size: {kernel} stride: {stride} pad: {pad} {engine}"
            param += "" if ceil else " round_mode: FLOOR"
            path.write_text(NET.format(height=size[0], width=size[1], param=param))
            net = caffe.Net(str(path), caffe.TEST)
            x = (rng.standard_normal((2, 3, *size)) - 1).astype(np.float32)
            net.blobs["x"].data[...] = x
            net.forward()
            y = net.blobs["y"].data
            assert np.isfinite(y).all() and y.shape == (2, 3, *shape), param
            expected = pool(x.astype(np.float64), kernel, stride, pad, ceil, method)
            np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6, err_msg=param)
    assert tried > 60 and refused > 10


@pytest.mark.parametrize("engine", ["", "engine: CAFFE"])
@pytest.mark.parametrize("method", ["MAX", "AVE"])
@pytest.mark.parametrize(
    ("size", "param"),
    [
        ((6, 8), "kernel_size: 1 stride: 4"),
        ((5, 6), "kernel_h: 1 kernel_w: 3 stride: 3"),
        ((2, 2), "kernel_size: 4"),
    ],
)
def test_a_window_outside_of_the_map_is_refused(tmp_path, size, param, method, engine):
    path = tmp_path / "net.prototxt"
    path.write_text(NET.format(height=size[0], width=size[1], param=f"pool: {method} {param} {engine}"))
    done = subprocess.run(
        [sys.executable, "-c", "import sys, caffe; caffe.Net(sys.argv[1], caffe.TEST)", path],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    said = fatal_line(done.stderr)
    assert f"over a map of {size[0]} x {size[1]}: the last would lie outside of it" in said
    assert "no smaller than the stride and no larger than the map" in said
