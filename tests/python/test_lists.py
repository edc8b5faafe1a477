"""Lists as editors and spreadsheets write them, read by Caffe's tools and data layers."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import h5py
import lmdb
import numpy as np
import pytest

from drml.io.shipped import find_program
from drml.nets.pycaffe import import_caffe

caffe = import_caffe()
from caffe.proto import caffe_pb2  # noqa: E402 -- only importable once import_caffe has set the log level

NAMES = ["a.png", "my face.png", "sub/c.png"]
LABELS = [1, 12, 0]

# By what is unusual about it: the list of these names and labels.
IMAGE_LISTS = {
    "nothing": "a.png 1\nmy face.png 12\nsub/c.png 0\n",
    "Windows' line ends": "a.png 1\r\nmy face.png 12\r\nsub/c.png 0\r\n",
    "old line ends": "a.png 1\rmy face.png 12\rsub/c.png 0\r",
    "a byte order mark": "\ufeffa.png 1\nmy face.png 12\nsub/c.png 0\n",
    "several blanks": "a.png  1\nmy face.png   12\nsub/c.png  0\n",
    "a blank at the end": "a.png 1 \nmy face.png 12  \nsub/c.png 0\t\n",
    "tabs": "a.png\t1\nmy face.png\t12\nsub/c.png \t0\n",
    "blanks in front": " a.png 1\n\tmy face.png 12\n  sub/c.png 0\n",
    "empty lines": "\na.png 1\n\n \nmy face.png 12\nsub/c.png 0\n\n\n",
    "no line end": "a.png 1\nmy face.png 12\nsub/c.png 0",
    "labels with a fraction of zero": "a.png 1.0\nmy face.png 12.\nsub/c.png 0.0\n",
    "all at once": "\ufeff\r\n a.png \t1 \r\n\r\nmy face.png  12\t\r\nsub/c.png 0.0",
}
every_list = pytest.mark.parametrize("unusual", IMAGE_LISTS)


@pytest.fixture
def images(tmp_path: Path) -> list[np.ndarray]:
    """Return three images, H x W x 3, BGR, which lie in tmp_path under `NAMES`."""
    rng = np.random.default_rng(0)
    made = [rng.integers(0, 256, (8, 8, 3), dtype=np.uint8) for _ in NAMES]
    (tmp_path / "sub").mkdir()
    for name, image in zip(NAMES, made, strict=True):
        cv2.imwrite(str(tmp_path / name), image)
    return made


def write(path: Path, text: str) -> Path:
    path.write_bytes(text.encode())
    return path


def convert(folder: Path, listed: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    program = find_program("convert_imageset")
    assert program is not None
    return subprocess.run(
        [program, *flags, f"{folder}/", listed, folder / "lmdb"], capture_output=True, text=True, check=False
    )


def records(folder: Path) -> dict[str, caffe_pb2.Datum]:
    path = str(folder / "lmdb")
    with lmdb.open(path, readonly=True, lock=False) as database, database.begin() as view:
        return {bytes(key).decode(): caffe_pb2.Datum.FromString(bytes(value)) for key, value in view.cursor()}


def forward(net: Path) -> dict[str, np.ndarray]:
    opened = caffe.Net(str(net), caffe.TEST)
    # Copies: the memory of a data layer's tops goes with the net.
    return {name: values.copy() for name, values in opened.forward().items()}


@every_list
def test_convert_imageset_writes_every_image(unusual: str, tmp_path: Path, images: list[np.ndarray]) -> None:
    done = convert(tmp_path, write(tmp_path / "list.txt", IMAGE_LISTS[unusual]))
    assert done.returncode == 0, done.stderr
    found = records(tmp_path)
    assert list(found) == [f"{i:08d}_{name}" for i, name in enumerate(NAMES)]
    for datum, image, label in zip(found.values(), images, LABELS, strict=True):
        assert datum.label == label
        np.testing.assert_array_equal(caffe.io.datum_to_array(datum), image.transpose(2, 0, 1))


@every_list
def test_image_data_reads_every_image(unusual: str, tmp_path: Path, images: list[np.ndarray]) -> None:
    listed = write(tmp_path / "list.txt", IMAGE_LISTS[unusual])
    net = write(
        tmp_path / "net.prototxt",
        f"""layer {{ name: "data" type: "ImageData" top: "data" top: "label"
        image_data_param {{ source: "{listed}" root_folder: "{tmp_path}/" batch_size: 3 }} }}""",
    )
    tops = forward(net)
    np.testing.assert_array_equal(tops["label"], LABELS)
    np.testing.assert_array_equal(tops["data"], np.stack(images).transpose(0, 3, 1, 2))


# getline ends its lines, and knows \n alone.
@pytest.mark.parametrize("unusual", [name for name in IMAGE_LISTS if name != "old line ends"])
def test_multi_label_image_data_reads_every_image(
    unusual: str, tmp_path: Path, images: list[np.ndarray]
) -> None:
    listed = write(tmp_path / "list.txt", IMAGE_LISTS[unusual].replace("12", "-1"))
    net = write(
        tmp_path / "net.prototxt",
        f"""layer {{ name: "data" type: "MultiLabelImageData" top: "data" top: "label"
        multi_label_data_param {{ source: "{listed}" root_folder: "{tmp_path}/" batch_size: 3
          num_labels: 1 }} }}""",
    )
    tops = forward(net)
    np.testing.assert_array_equal(tops["label"].ravel(), [1, -1, 0])
    np.testing.assert_array_equal(tops["data"], np.stack(images).transpose(0, 3, 1, 2))


PATHS = ["one.h5", "my rows.h5", "sub/three.h5"]
PATH_LISTS = {
    "nothing": "{}/one.h5\n{}/my rows.h5\n{}/sub/three.h5\n",
    "Windows' line ends": "{}/one.h5\r\n{}/my rows.h5\r\n{}/sub/three.h5\r\n",
    "old line ends": "{}/one.h5\r{}/my rows.h5\r{}/sub/three.h5\r",
    "all at once": "\ufeff\n  {}/one.h5 \r\n\r\n{}/my rows.h5\t\r\n {}/sub/three.h5",
}


@pytest.mark.parametrize("unusual", PATH_LISTS)
def test_hdf5_data_reads_every_file(unusual: str, tmp_path: Path) -> None:
    rows = np.random.default_rng(0).standard_normal((3, 2, 5)).astype(np.float32)
    (tmp_path / "sub").mkdir()
    for name, values in zip(PATHS, rows, strict=True):
        with h5py.File(tmp_path / name, "w") as file:
            file["data"] = values
    text = PATH_LISTS[unusual].replace("{}", str(tmp_path))
    listed = write(tmp_path / "list.txt", text)
    net = write(
        tmp_path / "net.prototxt",
        f"""layer {{ name: "data" type: "HDF5Data" top: "data"
        hdf5_data_param {{ source: "{listed}" batch_size: 6 }} }}""",
    )
    read = forward(net)["data"]
    np.testing.assert_array_equal(read, rows.reshape(6, 5))


WINDOW_FILES = {
    "nothing": "# 0\nmy face.png\n3\n8\n8\n2\n7 0.9 0 0 7 7\n0 0.1 0 0 3 3\n",
    "Windows' line ends": "# 0\r\nmy face.png\r\n3\r\n8\r\n8\r\n2\r\n7 0.9 0 0 7 7\r\n0 0.1 0 0 3 3\r\n",
    "all at once": (
        "\ufeff\r\n# 0 \r\n\r\n my face.png\t\r\n3\r\n8 \r\n8\r\n2\r\n7  0.9 0 0 7 7 \r\n0 0.1 0 0 3 3"
    ),
}


@pytest.mark.parametrize("unusual", WINDOW_FILES)
def test_window_data_reads_every_image(unusual: str, tmp_path: Path, images: list[np.ndarray]) -> None:
    listed = write(tmp_path / "windows.txt", WINDOW_FILES[unusual])
    net = write(
        tmp_path / "net.prototxt",
        f"""layer {{ name: "data" type: "WindowData" top: "data" top: "label"
        transform_param {{ crop_size: 8 }}
        window_data_param {{ source: "{listed}" root_folder: "{tmp_path}/" batch_size: 2
          fg_fraction: 1 crop_mode: "warp" }} }}""",
    )
    tops = forward(net)
    # Of the windows only the first is of the foreground: the whole image, which has the crop's size.
    np.testing.assert_array_equal(tops["label"], [7, 7])
    for read in tops["data"]:
        np.testing.assert_array_equal(read, images[1].transpose(2, 0, 1))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"a.png 1\nsub/c.png\n", "line 2: 'sub/c.png' does not end with a label"),
        (b"\r\na.png 1\r\nmy face.png\r\n", "line 3: 'my face.png' does not end with a label"),
        (b"a.png 0.5\n", "line 1: 'a.png 0.5' does not end with a label"),
        (b"a.png nan\n", "line 1: 'a.png nan' does not end with a label"),
        (b"a.png,1\n", "line 1: 'a.png,1' does not end with a label"),
        (b"a.png 99999999999\n", "line 1: 'a.png 99999999999' does not end with a label"),
        ("a.png 1\n".encode("utf-16"), "it is no plain text (UTF-16?); save it as UTF-8"),
        ("a.png 1\n".encode("utf-16-le"), "it is no plain text (UTF-16?); save it as UTF-8"),
        (b"", "it is empty"),
        (b" \r\n\n", "it is empty"),
        (None, "No such file or directory"),
    ],
)
def test_other_lists_are_refused_before_anything_is_written(
    text: bytes | None, said: str, tmp_path: Path, images: list[np.ndarray]
) -> None:
    listed = tmp_path / "list.txt"
    if text is not None:
        listed.write_bytes(text)
    done = convert(tmp_path, listed)
    assert done.returncode == 1
    assert f"list '{listed}'" in done.stderr and said in done.stderr
    assert not (tmp_path / "lmdb").exists()


def test_image_data_refuses_a_line_without_a_label(tmp_path: Path, images: list[np.ndarray]) -> None:
    listed = write(tmp_path / "list.txt", "a.png 1\nsub/c.png\n")
    net = write(
        tmp_path / "net.prototxt",
        f"""layer {{ name: "data" type: "ImageData" top: "data" top: "label"
        image_data_param {{ source: "{listed}" root_folder: "{tmp_path}/" batch_size: 1 }} }}""",
    )
    done = subprocess.run(
        [sys.executable, "-c", f"import caffe; caffe.Net({str(net)!r}, caffe.TEST)"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert f"list '{listed}', line 2: 'sub/c.png' does not end with a label" in done.stderr


@pytest.mark.parametrize("flags", [(), ("--encoded",), ("--shuffle",), ("--backend=leveldb",)])
def test_convert_imageset_counts_what_it_cannot_read(
    flags: tuple[str, ...], tmp_path: Path, images: list[np.ndarray]
) -> None:
    (tmp_path / "broken.png").write_bytes((tmp_path / "a.png").read_bytes()[:30])
    listed = write(
        tmp_path / "list.txt", "a.png 1\nmissing.png 2\nbroken.png 3\nmy face.png 4\nsub/c.png 5\n"
    )
    done = convert(tmp_path, listed, *flags)
    assert done.returncode == 1
    assert "2 of 5 images could not be read and are missing in the database" in done.stderr
    assert f"Image {tmp_path}/missing.png: No such file" in done.stderr
    assert f"Image {tmp_path}/broken.png: " in done.stderr
    if "--backend=leveldb" not in flags:
        assert sorted(datum.label for datum in records(tmp_path).values()) == [1, 4, 5]
