"""drml.evaluation.features: every blob, both file forms, nothing half-written."""

import h5py
import numpy as np
import pytest

import tiny_net as tiny
from drml.evaluation import features
from drml.io.errors import UserError


@pytest.fixture
def setup(tmp_path):
    deploy = tiny.write_deploy(tmp_path)
    parameters = tiny.draw_parameters()
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", parameters, scale=0.02)
    fold, images, labels, mean = tiny.write_data(tmp_path / "data")
    expected = tiny.compute(parameters, tiny.transform(images, mean, 0.02))
    (tmp_path / "out").mkdir()
    return (deploy, weights, fold / "test_lmdb"), tmp_path / "out", labels, expected


def run(inputs, out, **options):
    return features.extract(*inputs, out, progress=False, probe=False, **options)


@pytest.mark.parametrize("ending", ["npz", "h5"])
@pytest.mark.parametrize("blob", ["fc9", "prob"])
def test_rows_are_those_of_the_net(setup, ending, blob):
    inputs, out, labels, expected = setup
    path = out / f"f.{ending}"
    # Batches of 4, 4 and 2.
    done = run(inputs, path, blob=blob, batch=4)
    assert (done.rows, done.shape) == (10, expected[blob].shape[1:])
    if ending == "npz":
        with np.load(path) as file:
            content = {name: file[name] for name in file.files}
        keys = content["keys"].tolist()
    else:
        with h5py.File(path) as file:
            content = {name: file[name][()] for name in file}
            keys = [key.decode() for key in content["keys"]]
    assert set(content) == {"keys", "features", "labels"}
    np.testing.assert_allclose(content["features"], expected[blob], rtol=1e-4, atol=1e-5)
    assert content["features"].dtype == np.float32
    np.testing.assert_array_equal(content["labels"], labels)
    assert keys == [f"{i:08d}_F{1 + i % 2:03d}_T1_{i:04d}" for i in range(10)]
    assert [file.name for file in out.iterdir()] == [path.name]


def test_maps_keep_their_shape(setup):
    inputs, out, _, _ = setup
    assert run(inputs, out / "f.h5", blob="conv1").shape == (4, 4, 4)
    assert run(inputs, out / "f.npz", blob="conv1").shape == (4, 4, 4)
    with np.load(out / "f.npz") as npz, h5py.File(out / "f.h5") as hdf5:
        np.testing.assert_array_equal(npz["features"], hdf5["features"][()])


def test_unknown_blob_lists_those_there_are(setup):
    inputs, out, _, _ = setup
    with pytest.raises(UserError, match="no blob 'fc7'; it has data, conv1, fc9, fc10, prob"):
        run(inputs, out / "f.npz", blob="fc7")
    assert not list(out.iterdir())


def test_unknown_ending_and_what_cannot_be_written_are_refused(setup, tmp_path):
    inputs, out, _, _ = setup
    with pytest.raises(UserError, match=r"ending '.mat' is unknown"):
        run(inputs, out / "f.mat")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"f\.npz: cannot be written \(Not a directory"):
        run(inputs, tmp_path / "file" / "f.npz")


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_failure_on_the_way_leaves_the_old_file(setup, ending):
    inputs, out, _, _ = setup
    path = out / f"f.{ending}"
    path.write_bytes(b"old")
    manifest = inputs[2].with_name("test.csv")
    lines = manifest.read_text().splitlines(keepends=True)
    manifest.write_text("".join(lines[:-1]))
    with pytest.raises(UserError, match="key 00000009"):
        run(inputs, path, batch=2)
    assert [file.name for file in out.iterdir()] == [path.name]
    assert path.read_bytes() == b"old"


@pytest.mark.parametrize("ending", ["npz", "h5"])
def test_write_that_fails_is_an_error_and_leaves_nothing(setup, ending):
    inputs, out, _, _ = setup
    # The system refuses the write, as it does on a full disk.
    with tiny.file_size_limit(1000), pytest.raises(OSError, match=rf"f\.{ending}"):
        run(inputs, out / f"f.{ending}", blob="conv1")
    assert not list(out.iterdir())
