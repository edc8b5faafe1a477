"""Weights are checked before Caffe sees them, and outputs are those of plain NumPy."""

import subprocess
import sys

import numpy as np
import pytest

import tiny_net as tiny
from drml.data.recipe import InputRecipe, Recipe
from drml.io.errors import UserError
from drml.nets.net import CaffeNet
from drml.nets.preprocessing import check_input_size
from drml.nets.prototxt import read_prototxt, transform_of
from drml.nets.pycaffe import fatal_line, import_caffe
from drml.nets.recipe import write_recipe
from drml.nets.weights import read_weights


@pytest.fixture
def deploy(tmp_path):
    return tiny.write_deploy(tmp_path)


@pytest.fixture
def weights(tmp_path):
    return tiny.write_caffemodel(tmp_path / "tiny.caffemodel", tiny.draw_parameters())


def open_net(deploy, weights, **options):
    return CaffeNet(deploy, weights, probe=False, **options)


# --- forward --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["caffemodel", "h5"])
def test_forward_is_that_of_numpy(tmp_path, deploy, kind):
    parameters = tiny.draw_parameters()
    if kind == "h5":
        path = tiny.write_hdf5(tmp_path / "tiny.caffemodel.h5", parameters)
    else:
        path = tiny.write_caffemodel(tmp_path / "tiny.caffemodel", parameters)
    images = tiny.draw_images(7)
    mean = np.random.default_rng(3).uniform(90, 160, (3, tiny.IMAGE, tiny.IMAGE))
    # 7 images in batches of 3: a partial batch at the end.
    net = open_net(deploy, path, mean=mean, scale=0.02, batch=3)
    expected = tiny.compute(parameters, tiny.transform(images, mean, 0.02))
    output = net.forward(images, ["fc9", "fc10", "prob"])
    for name, values in expected.items():
        assert output[name].shape == values.shape
        np.testing.assert_allclose(output[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    assert expected["prob"].std() > 0.05, "the test would not notice a constant"


def test_batch_size_does_not_matter(deploy, weights):
    images = tiny.draw_images(5)
    outputs = [
        open_net(deploy, weights, batch=batch).forward(images, ["fc10"])["fc10"] for batch in (1, 2, 9)
    ]
    np.testing.assert_allclose(outputs[0], outputs[1], rtol=1e-5)
    np.testing.assert_allclose(outputs[0], outputs[2], rtol=1e-5)


def test_results_stay_when_the_net_runs_again(deploy, weights):
    net = open_net(deploy, weights)
    first = net.forward(tiny.draw_images(2, seed=1), ["prob"])["prob"]
    kept = first.copy()
    net.forward(tiny.draw_images(2, seed=2), ["prob"])
    np.testing.assert_array_equal(first, kept)


def test_no_image_gives_no_row(deploy, weights):
    assert open_net(deploy, weights).forward([], ["prob"])["prob"].shape == (0, 3)


def test_names_and_shape(deploy, weights):
    net = open_net(deploy, weights)
    assert net.input_shape == (3, 20, 20)
    assert net.blob_names == ["data", "conv1", "fc9", "fc10", "prob"]


# --- preprocessing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [20, 21, 24, 27])
def test_crop_is_centred_as_caffes_is(deploy, weights, size):
    image = tiny.draw_images(1, size=size)[0]
    start = (size - 20) // 2
    expected = image.transpose(2, 0, 1)[:, start : start + 20, start : start + 20]
    np.testing.assert_array_equal(open_net(deploy, weights).preprocess(image), expected)


def test_mean_may_be_per_channel_or_of_the_input_size(deploy, weights):
    image = tiny.draw_images(1)[0]
    window = image.transpose(2, 0, 1)[:, 2:22, 2:22].astype(np.float32)
    values = np.array([100.0, 110.0, 120.0])
    by_channel = open_net(deploy, weights, mean=values, scale=0.5).preprocess(image)
    np.testing.assert_allclose(by_channel, (window - values[:, None, None]) * 0.5, rtol=1e-6)
    mean = np.random.default_rng(0).uniform(0, 255, (3, 20, 20)).astype(np.float32)
    np.testing.assert_allclose(open_net(deploy, weights, mean=mean).preprocess(image), window - mean)


def test_image_or_mean_of_the_wrong_size_is_refused(deploy, weights):
    net = open_net(deploy, weights, mean=np.zeros((3, 30, 30)))
    with pytest.raises(UserError, match="image of 19x19 with 3 channels does not fit"):
        net.preprocess(tiny.draw_images(1, size=19)[0])
    with pytest.raises(UserError, match="mean image of 30x30, but the images are 24x24"):
        net.preprocess(tiny.draw_images(1)[0])
    with pytest.raises(UserError, match=r"mean of shape 5x30x30 does not fit .*3x20x20"):
        open_net(deploy, weights, mean=np.zeros((5, 30, 30)))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        (InputRecipe(crop_size=20), None),
        (InputRecipe(crop_size=0, face_size=20), None),
        (InputRecipe(face_size=24), None),
        (InputRecipe(crop_size=0), None),
        (InputRecipe(), None),
        (InputRecipe(crop_size=18), "trained on crops of 18x18 pixels"),
        (InputRecipe(crop_size=0, face_size=24), "trained on whole faces of 24x24 pixels"),
    ],
)
def test_the_net_takes_the_crop_that_its_weights_were_trained_on(made, said):
    if said is None:
        check_input_size("w", Recipe(input=made), (3, 20, 20), "n")
    else:
        with pytest.raises(UserError, match=f"^n: takes an input of 20x22 .* w was {said}"):
            check_input_size("w", Recipe(input=made), (3, 20, 22), "n")
    check_input_size("w", None, (3, 1, 1), "n")


def test_a_deploy_net_of_another_crop_is_refused(deploy, weights, tmp_path):
    other = tmp_path / "other.caffemodel"
    write_recipe(weights, Recipe(au=tiny.AUS, input=InputRecipe(crop_size=18)), other)
    with pytest.raises(UserError, match=r"takes an input of 20x20 pixels, but .*other\.caffemodel was"):
        open_net(deploy, other)


# --- weights that do not fit ----------------------------------------------------------------------------


def refuse(deploy, path, match):
    with pytest.raises(UserError, match=match) as raised:
        open_net(deploy, path)
    assert str(path) in str(raised.value)
    assert "\n" not in str(raised.value)


WRITERS = {"caffemodel": tiny.write_caffemodel, "h5": tiny.write_hdf5}


@pytest.mark.parametrize("kind", WRITERS)
def test_wrong_shape_names_layer_and_both_shapes(tmp_path, deploy, kind):
    path = WRITERS[kind](tmp_path / f"w.{kind}", tiny.draw_parameters(outputs=8))
    refuse(deploy, path, r"layer 'fc10' has shape 8x6 in blob 0, .*deploy.prototxt needs 3x6")


@pytest.mark.parametrize("kind", WRITERS)
def test_missing_layer_is_named(tmp_path, deploy, kind):
    parameters = tiny.draw_parameters()
    del parameters["fc9"]
    path = WRITERS[kind](tmp_path / f"w.{kind}", parameters)
    refuse(deploy, path, r"no weights for layer 'fc9' \(6x64, 6\)")


@pytest.mark.parametrize("kind", WRITERS)
def test_layer_unknown_to_the_net_is_named(tmp_path, deploy, kind):
    parameters = tiny.draw_parameters()
    parameters["region2"] = [np.zeros((2, 3), np.float32)]
    path = WRITERS[kind](tmp_path / f"w.{kind}", parameters)
    refuse(deploy, path, r"layer 'region2' \(2x3\) is not in .*deploy.prototxt")


def test_missing_bias_is_named(tmp_path, deploy):
    parameters = tiny.draw_parameters()
    parameters["fc10"].pop()
    path = tiny.write_caffemodel(tmp_path / "w.caffemodel", parameters)
    refuse(deploy, path, r"layer 'fc10' has 1 blobs \(3x6\), .* needs 2 \(3x6, 3\)")


def test_padded_shape_of_a_new_file_does_not_fit(tmp_path, deploy):
    parameters = tiny.draw_parameters()
    parameters["fc10"][0] = parameters["fc10"][0].reshape(1, 1, 3, 6)
    path = tiny.write_caffemodel(tmp_path / "w.caffemodel", parameters)
    refuse(deploy, path, r"layer 'fc10' has shape 1x1x3x6 in blob 0, .* needs 3x6")


def test_old_four_axis_shapes_fit(tmp_path, deploy):
    parameters = tiny.draw_parameters()
    path = tiny.write_caffemodel(tmp_path / "old.caffemodel", parameters, old=True)
    images = tiny.draw_images(2)
    expected = tiny.compute(parameters, tiny.transform(images))["prob"]
    np.testing.assert_allclose(open_net(deploy, path).forward(images, ["prob"])["prob"], expected, atol=1e-4)


@pytest.mark.parametrize("kind", WRITERS)
def test_truncated_weights_are_refused(tmp_path, deploy, kind):
    path = WRITERS[kind](tmp_path / f"w.{kind}", tiny.draw_parameters())
    path.write_bytes(path.read_bytes()[:-700])
    refuse(deploy, path, "cut short")


@pytest.mark.parametrize(
    ("content", "match"),
    [(b"", "holds no weights"), (b"\xff" * 300, "not a .caffemodel"), (None, "no such weights file")],
)
def test_other_files_are_refused_as_weights(tmp_path, deploy, content, match):
    path = tmp_path / "w.caffemodel"
    if content is not None:
        path.write_bytes(content)
    refuse(deploy, path, match)


def test_hdf5_of_something_else_is_refused(tmp_path, deploy):
    import h5py

    path = tmp_path / "w.h5"
    with h5py.File(path, "w") as file:
        file["features"] = np.zeros(3)
    refuse(deploy, path, "no group 'data'")


# --- nets that Caffe does not take ----------------------------------------------------------------------


def test_missing_and_broken_prototxt_name_file_and_place(tmp_path, weights):
    with pytest.raises(UserError, match=r"none.prototxt: no such file"):
        open_net(tmp_path / "none.prototxt", weights)
    path = tmp_path / "broken.prototxt"
    path.write_text('name: "x"\nlayer { nmae: "data" }\n')
    with pytest.raises(UserError, match=r"broken.prototxt: not a NetParameter: line 2:9"):
        open_net(path, weights)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="not a text file"):
        open_net(path, weights)


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ('type: "ReLU"', 'type: "Relu"', "Unknown layer type: Relu"),
        ('bottom: "fc10"', 'bottom: "fc11"', "Unknown bottom blob 'fc11'"),
        ("kernel_size: 5", "kernel_size: 50", "Caffe refuses this net"),
    ],
)
def test_net_that_caffe_aborts_on_raises_an_error(tmp_path, weights, old, new, match):
    path = tmp_path / "deploy.prototxt"
    path.write_text(tiny.deploy_text().replace(old, new))
    with pytest.raises(UserError, match=match):
        CaffeNet(path, weights)


def test_training_net_is_refused(tmp_path, weights):
    tiny.write_solver(tmp_path)
    with pytest.raises(UserError, match=r"train_val.prototxt: has no Input layer; give a deploy.prototxt"):
        CaffeNet(tmp_path / "train_val.prototxt", weights)


def test_net_with_two_inputs_is_refused(tmp_path, weights):
    path = tmp_path / "two.prototxt"
    path.write_text(
        tiny.deploy_text() + 'layer { name: "m" type: "Input" top: "m" input_param { shape { dim: 2 } } }'
    )
    with pytest.raises(UserError, match="needs one input blob of N x C x H x W, has 2 inputs: data, m"):
        CaffeNet(path, weights)


def test_unknown_blob_lists_the_known_ones(deploy, weights):
    with pytest.raises(UserError, match="no blob 'fc7'; it has data, conv1, fc9, fc10, prob"):
        open_net(deploy, weights).forward(tiny.draw_images(1), ["fc7"])


def test_batch_of_zero_is_refused(deploy, weights):
    with pytest.raises(UserError, match="batch 0: give 1 or more"):
        open_net(deploy, weights, batch=0)


# --- messages -------------------------------------------------------------------------------------------


def test_transform_is_the_one_of_the_phase(tmp_path):
    tiny.write_solver(tmp_path)
    path = tmp_path / "train_val.prototxt"
    path.write_text(path.read_text().replace("mirror: true", "mirror: true mean_value: 7"))
    net = read_prototxt(path)
    assert transform_of(net, "TRAIN").mean_value == (7,)
    test = transform_of(net, "TEST")
    assert test.mean_value == ()
    assert test.scale == pytest.approx(0.02)
    assert (test.crop_size, test.mean_file) == (20, "data/drml/fold1/mean.binaryproto")
    assert transform_of(read_prototxt(tiny.write_deploy(tmp_path))) is None


def test_caffemodel_keeps_the_transform_it_was_trained_with(tmp_path):
    path = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=0.25)
    assert read_weights(path).transform.scale == 0.25


def test_fatal_line_is_found_in_a_log():
    log = (
        "I1123 10:00:00.000001    12 net.cpp:51] fine\n"
        "F1123 10:00:00.000002    12 db_lmdb.hpp:15] Check failed: mdb_status == 0 (2 vs. 0) No such file\n"
        "*** Check failure stack trace: ***\n    @     0x7f  google::LogMessage::Fail()\n"
    )
    assert fatal_line(log) == "Check failed: mdb_status == 0 (2 vs. 0) No such file"
    assert fatal_line("F20261123 10:00:00.1 12 a.cpp:1] worse\n") == "worse"
    assert fatal_line("nothing here") is None


def test_without_caffe_the_error_says_how_to_build_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "caffe", None)
    with pytest.raises(UserError, match=r"pycaffe not found .* run make"):
        import_caffe()


def test_the_package_imports_without_caffe_and_caffe_is_quiet(tmp_path, deploy, weights):
    code = (
        "import sys, drml, drml.cli, drml.nets.net\n"
        "import drml.training.train\n"
        "from drml.evaluation import features, metrics, scoring\n"
        "assert 'caffe' not in sys.modules\n"
        f"drml.nets.net.CaffeNet({str(deploy)!r}, {str(weights)!r}, probe=False)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout) == (0, "", "")
