"""Caffe's scripts for pycaffe: classify.py, detect.py and draw_net.py."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from pycaffe_names import caffe
from test_pycaffe_io import NET
from test_pycaffe_spec import NOW, V0, V1

FOLDER = Path(caffe.__file__).parents[1]
RNG = np.random.default_rng(0)
HAS_TABLES = importlib.util.find_spec("tables") is not None


def run(script: str, *arguments: str | Path, cwd: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, FOLDER / script, *arguments], cwd=cwd, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_every_script_is_run_here() -> None:
    assert {path.name for path in FOLDER.glob("*.py")} == {"classify.py", "detect.py", "draw_net.py"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with a net, its weights and three images."""
    (tmp_path / "net.prototxt").write_text(NET)
    caffe.set_random_seed(1)
    caffe.Net(str(tmp_path / "net.prototxt"), caffe.TEST).save(str(tmp_path / "w.caffemodel"))
    (tmp_path / "images").mkdir()
    for name in ("c", "a", "b"):
        image = RNG.integers(0, 256, (11, 12, 3), dtype=np.uint8)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), image)
    return tmp_path


NET_OPTIONS = ("--model_def", "net.prototxt", "--pretrained_model", "w.caffemodel", "--mean_file", "")


def scores(folder: Path, bgr: np.ndarray) -> np.ndarray:
    """Return the scores of a crop, 8 x 8 x BGR between 0 and 255."""
    net = caffe.Net(str(folder / "net.prototxt"), caffe.TEST, weights=str(folder / "w.caffemodel"))
    return net.params["score"][0].data.astype(float) @ bgr.transpose(2, 0, 1).ravel()


def image(folder: Path, name: str) -> np.ndarray:
    return cv2.imread(str(folder / "images" / f"{name}.png"))


def test_classify_scores_a_folder_in_the_order_of_names(folder: Path) -> None:
    status, said = run(
        *("classify.py", "images", "out.npy", "--ext", "png", "--center_only", "--images_dim", "11,12"),
        *NET_OPTIONS,
        cwd=folder,
    )
    assert status == 0, said
    expected = [scores(folder, image(folder, name)[1:9, 2:10]) for name in "abc"]
    np.testing.assert_allclose(np.load(folder / "out.npy"), expected, rtol=1e-4, atol=1e-3)


def test_classify_averages_crops_of_an_array_less_the_mean(folder: Path) -> None:
    mean = np.array([10.0, 20.0, 30.0])
    np.save(folder / "mean.npy", mean)
    np.save(folder / "in.npy", image(folder, "a")[None, :, :, ::-1] / 255)
    status, said = run(
        *("classify.py", "in.npy", "out.npy", "--images_dim", "11,12", *NET_OPTIONS[:4]),
        *("--mean_file", "mean.npy", "--input_scale", "0.5"),
        cwd=folder,
    )
    assert status == 0, said
    bgr = (image(folder, "a") - mean) * 0.5
    crops = [bgr[y : y + 8, x : x + 8] for y, x in ((0, 0), (0, 4), (3, 0), (3, 4), (1, 2))]
    expected = np.mean([scores(folder, c) for crop in crops for c in (crop, crop[:, ::-1])], axis=0)
    np.testing.assert_allclose(np.load(folder / "out.npy"), [expected], rtol=1e-4, atol=1e-3)


WINDOWS = [("a", 0, 0, 8, 8), ("a", 2, 3, 10, 11), ("b", 3, 4, 11, 12)]


def detect(folder: Path, out: str) -> tuple[int, str]:
    rows = [f"images/{name}.png,{xmin},{ymin},{xmax},{ymax}" for name, ymin, xmin, ymax, xmax in WINDOWS]
    (folder / "windows.csv").write_text("filename,xmin,ymin,xmax,ymax\n" + "\n".join(rows) + "\n")
    return run(
        *("detect.py", "windows.csv", out, "--crop_mode", "list", "--context_pad", "0", *NET_OPTIONS),
        cwd=folder,
    )


def expected_scores(folder: Path) -> list[np.ndarray]:
    return [
        scores(folder, image(folder, name)[top:bottom, left:right])
        for name, top, left, bottom, right in WINDOWS
    ]


def test_detect_writes_the_scores_of_every_window(folder: Path) -> None:
    status, said = detect(folder, "out.csv")
    assert status == 0, said
    table = pd.read_csv(folder / "out.csv")
    assert list(table) == ["filename", "ymin", "xmin", "ymax", "xmax", "class0", "class1", "class2", "class3"]
    assert [tuple(row) for row in table.iloc[:, :5].to_numpy()] == [
        (f"images/{name}.png", *box) for name, *box in WINDOWS
    ]
    np.testing.assert_allclose(table.iloc[:, 5:], expected_scores(folder), rtol=1e-4, atol=1e-3)


@pytest.mark.skipif(not HAS_TABLES, reason="pandas writes HDF5 with PyTables, which drml does not need")
def test_detect_writes_hdf5(folder: Path) -> None:
    status, said = detect(folder, "out.h5")
    assert status == 0, said
    table = pd.read_hdf(folder / "out.h5", "df")
    np.testing.assert_allclose(np.stack(table["prediction"]), expected_scores(folder), rtol=1e-4, atol=1e-3)


@pytest.mark.skipif(HAS_TABLES, reason="PyTables is here")
def test_detect_says_what_hdf5_needs_before_it_works(folder: Path) -> None:
    status, said = detect(folder, "out.h5")
    assert status == 2
    assert said.splitlines()[-1].endswith("error: out.h5: pip install tables, or name a file *.csv")
    assert not (folder / "out.h5").exists()


@pytest.mark.parametrize("text", [NOW, V1, V0], ids=["now", "V1", "V0"])
def test_draw_net_draws_nets_of_every_format(text: str, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(text)
    for out in ("net.svg", "net.png"):
        status, said = run("draw_net.py", "net.prototxt", out, "--rankdir", "TB", cwd=tmp_path)
        assert status == 0, said
    assert "(Convolution)" in (tmp_path / "net.svg").read_text()
    height, width = cv2.imread(str(tmp_path / "net.png")).shape[:2]
    assert height > 200 and width > 100  # an empty graph has about ten pixels a side
