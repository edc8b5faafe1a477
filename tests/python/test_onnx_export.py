"""drml export-onnx: whole nets against Caffe, intensities, mean inside, what the file says, and errors."""

import dataclasses
import json
import sys
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from skimage.data import astronaut

import tiny_net as tiny
from drml import cli
from drml.data.labels import BP4D_AUS
from drml.data.lmdb import write_mean
from drml.data.recipe import DataRecipe, InputRecipe, Recipe
from drml.io.errors import UserError
from drml.nets.net import CaffeNet
from drml.nets.onnx_export import export, files, layers
from drml.nets.onnx_net import OnnxNet
from drml.nets.prototxt import read_prototxt, write_prototxt
from drml.nets.pycaffe import import_caffe
from drml.nets.recipe import read_recipe, write_recipe
from drml.nets.trained import Net
from tiny_levels import LEVEL_AUS, write_net

caffe = import_caffe()
MODELS = Path(__file__).resolve().parents[2] / "models"


# --- the four nets --------------------------------------------------------------------------------------


def small_net(model, folder):
    """Write a deploy with few hidden units, LCN also with a smaller input; all else is as in models/."""
    net = read_prototxt(MODELS / model / "deploy.prototxt")
    for layer in net.layer:
        if layer.type == "InnerProduct" and layer.inner_product_param.num_output > 12:
            layer.inner_product_param.num_output = 24
        if layer.type == "Input" and model == "lcn":
            layer.input_param.shape[0].dim[2] = 80
            layer.input_param.shape[0].dim[3] = 84
    path = folder / "deploy.prototxt"
    write_prototxt(net, path)
    return path


def draw_weights(deploy, path):
    """Draw weights that keep values in bounds; statistics of Region near those of its input, by patch."""
    net = caffe.Net(str(deploy), caffe.TEST)
    rng = np.random.default_rng(2)
    for name, blobs in net.params.items():
        kind = net.layers[list(net._layer_names).index(name)].type
        weight = blobs[0]
        inputs = {"Region": slice(2, None), "LocallyConnected": slice(2, 5)}.get(kind, slice(1, None))
        weight.data[...] = rng.standard_normal(weight.shape) * np.sqrt(2 / np.prod(weight.data.shape[inputs]))
        blobs[1].data[...] = 0.1 * rng.standard_normal(blobs[1].shape)
        if kind == "Region":
            factor = 3.5
            blobs[2].data[...] = factor * rng.standard_normal(blobs[2].shape)
            blobs[3].data[...] = factor * rng.uniform(0.2, 3, blobs[3].shape)
            blobs[4].data[...] = factor
    net.save(str(path))
    write_recipe(path, Recipe(au=BP4D_AUS))
    return path


def make_images(size, count=3):
    """Return noise, and a photograph's face, as BGR images."""
    rng = np.random.default_rng(11)
    face = cv2.resize(astronaut()[10:215, 120:325, ::-1], size[::-1])
    return [face, *(rng.integers(0, 256, (*size, 3), dtype=np.uint8) for _ in range(count - 1))]


@pytest.mark.parametrize("model", ["drml", "convnet", "lcn", "alexnet"])
def test_exported_nets_compute_what_caffe_computes(tmp_path, model):
    deploy = small_net(model, tmp_path)
    weights = draw_weights(deploy, tmp_path / "w.caffemodel")
    done = export(deploy, weights, tmp_path / "m.onnx", scale=1 / 60, progress=False, probe=False)
    assert done.difference.good
    assert done.difference.outputs["probabilities"] < 1e-4

    net = CaffeNet(deploy, weights, probe=False)
    images = np.stack(make_images(net.input_shape[1:])).transpose(0, 3, 1, 2)
    batch = ((images.astype(np.float32) - 120) / 60).astype(np.float32)
    exported = OnnxNet(tmp_path / "m.onnx")
    for count in (1, 3):
        net.net.blobs["data"].reshape(count, *net.input_shape)
        net.net.reshape()
        net.net.blobs["data"].data[...] = batch[:count]
        net.net.forward()
        scores = exported.scores(batch[:count])
        expected = net.net.blobs["fc8" if model == "alexnet" else "fc10"].data
        assert scores.shape == (count, 12)
        assert expected.std() > 0.01
        np.testing.assert_allclose(scores, expected, atol=1e-4 * max(1, np.abs(expected).max()))
        np.testing.assert_allclose(exported.predict(batch[:count]), net.net.blobs["prob"].data, atol=1e-4)
    # Neither all the same nor all saturated: else nothing was compared.
    assert exported.predict(batch).std(axis=0).max() > 1e-3


def test_the_file_is_standard_onnx_with_metadata(tmp_path):
    deploy = small_net("drml", tmp_path)
    weights = draw_weights(deploy, tmp_path / "w.caffemodel")
    done = export(deploy, weights, tmp_path / "m.onnx", progress=False, probe=False)
    model = onnx.load(tmp_path / "m.onnx")
    onnx.checker.check_model(model, full_check=True)
    assert [(opset.domain, opset.version) for opset in model.opset_import] == [("", 17)]
    assert {node.domain for node in model.graph.node} == {""}
    assert [node.name for node in model.graph.input] == ["data"]
    assert [node.name for node in model.graph.output] == ["probabilities", "scores"]
    axes = model.graph.input[0].type.tensor_type.shape.dim
    assert (axes[0].dim_param, [axis.dim_value for axis in axes][1:]) == ("N", [3, 170, 170])
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["aus"] == "1,2,4,6,7,10,12,14,15,17,23,24"
    assert json.loads(properties["au_names"])["AU12"] == "Lip corner puller"
    assert "BGR" in properties["input"]
    assert "170x170" in properties["input"]
    assert "(pixel - mean) * 1," in properties["input"]
    assert "drml_version" in properties
    assert (model.producer_name, model.graph.name) == ("drml", "DRML")
    assert OnnxNet(tmp_path / "m.onnx").metadata == done.metadata
    assert done.metadata.aus == BP4D_AUS
    assert done.bytes == (tmp_path / "m.onnx").stat().st_size


def test_weights_are_stored_once(tmp_path):
    deploy = small_net("drml", tmp_path)
    weights = draw_weights(deploy, tmp_path / "w.caffemodel")
    done = export(deploy, weights, tmp_path / "m.onnx", progress=False, probe=False)
    assert done.bytes < weights.stat().st_size + 50_000


# --- intensities ----------------------------------------------------------------------------------------


@pytest.fixture(params=["both", "intensity"])
def levels(request, tmp_path):
    """Return a net with outputs for intensities, the ONNX file to write, and what computes its outputs."""
    deploy, weights, compute = write_net(tmp_path, request.param)
    return deploy, weights, tmp_path / "m.onnx", compute


def test_intensities_are_those_of_caffe_and_of_plain_numpy(levels, tmp_path):
    *files, compute = levels
    done = export(*files, progress=False, probe=False)
    face = cv2.resize(astronaut()[10:215, 120:325, ::-1], (24, 24))
    images = np.stack([face, *tiny.draw_images(4)])
    expected = compute(images)
    assert list(done.difference.outputs) == list(expected) == list(done.metadata.outputs)
    # Values that drml clips, and others: else the comparison would not see a clip in the file.
    assert (expected["intensities"] < 0).any() or (expected["intensities"] > 5).any()
    assert expected["intensities"].std() > 0.1
    exported = OnnxNet(files[2])
    pixels = images[:, 2:22, 2:22].transpose(0, 3, 1, 2)
    caffe_net = CaffeNet(*files[:2], mean=read_recipe(files[1]).input.mean, scale=0.02, probe=False)
    of_caffe = caffe_net.forward(images, ["intensity"])["intensity"]
    for name, values in expected.items():
        np.testing.assert_allclose(exported.run(pixels, name), values, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(exported.run(pixels, "intensities"), of_caffe, rtol=1e-5, atol=1e-5)
    if "scores" not in expected:
        with pytest.raises(UserError, match="no output 'scores'; it has intensities"):
            exported.scores(pixels)
    # Opened as the folder of a training is, it gives the same columns, clipped.
    opened, trained = Net(files[2]), Net(files[1], net=files[0])
    assert (opened.aus, opened.intensity_aus) == (trained.aus, trained.intensity_aus)
    assert opened.intensity_aus == LEVEL_AUS
    np.testing.assert_allclose(opened(images), trained(images), rtol=1e-4, atol=1e-4)


def test_the_file_says_which_outputs_are_intensities(levels, capsys):
    deploy, weights, out, compute = levels
    names = list(compute(np.zeros((1, 24, 24, 3), np.uint8)))
    command = ["export-onnx", str(weights), "--net", str(deploy), "--out", str(out)]
    assert cli.main(command) == 0
    assert " in intensities" in capsys.readouterr().out
    model = onnx.load(out)
    shapes = {one.name: one.type.tensor_type.shape.dim[1].dim_value for one in model.graph.output}
    assert shapes == {name: 2 if name == "intensities" else 3 for name in names}
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties["intensity_aus"] == "6,12"
    assert properties["aus"] == ("1,2,4" if "scores" in names else "")
    assert json.loads(properties["au_names"])["AU12"] == "Lip corner puller"
    assert read_recipe(out).intensity_au == LEVEL_AUS
    assert cli.main([*command, "--overwrite", "--json", "-q"]) == 0
    assert list(json.loads(capsys.readouterr().out)["difference"]) == ["images", *names]
    # The recipe can be written again, and the file still opens.
    write_recipe(out, read_recipe(out))
    assert OnnxNet(out).metadata.intensity_aus == LEVEL_AUS
    if "scores" not in names:
        assert cli.main([*command, "--overwrite", "--aus", "1,2"]) == 1
        assert "only estimates intensities" in capsys.readouterr().err


def test_a_convolution_may_make_the_intensities(levels, tmp_path):
    deploy, weights, out, compute = levels
    net = read_prototxt(deploy)
    head = next(layer for layer in net.layer if layer.name == "intensity_2")
    hidden = next(layer for layer in net.layer if layer.name == "fc9")
    parameters = CaffeNet(deploy, weights, probe=False).net.params
    blobs = {name: [np.array(blob.data) for blob in some] for name, some in parameters.items()}
    for layer, kernel in ((head, 1), (hidden, 4)):
        count = layer.inner_product_param.num_output
        layer.ClearField("inner_product_param")
        layer.type = "Convolution"
        layer.convolution_param.num_output = count
        layer.convolution_param.kernel_size.append(kernel)
    blobs["intensity_2"][0] = blobs["intensity_2"][0].reshape(2, 6, 1, 1)
    blobs["fc9"][0] = blobs["fc9"][0].reshape(6, 4, 4, 4)
    write_prototxt(net, deploy)
    recipe = read_recipe(weights)
    tiny.write_caffemodel(weights, blobs, aus=())
    write_recipe(weights, recipe)
    export(deploy, weights, out, progress=False, probe=False)
    images = np.stack(tiny.draw_images(3))
    found = OnnxNet(out).run(images[:, 2:22, 2:22].transpose(0, 3, 1, 2), "intensities")
    np.testing.assert_allclose(found, compute(images)["intensities"], rtol=1e-4, atol=1e-4)


# --- the mean inside ------------------------------------------------------------------------------------


@pytest.fixture
def setup(tmp_path):
    deploy = tiny.write_deploy(tmp_path)
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=0.02)
    return deploy, weights, tmp_path / "m.onnx"


def run(setup, **options):
    return export(*setup, aus=tiny.AUS, progress=False, probe=False, **options)


@pytest.mark.parametrize("size", [(24, 24), (27, 22), (20, 20)])
@pytest.mark.parametrize("scale", [None, 1.0, 0.5])
def test_with_its_mean_the_file_takes_pixels(setup, tmp_path, size, scale):
    mean = np.random.default_rng(4).uniform(60, 190, (3, *size)).astype(np.float32)
    write_mean(tmp_path / "mean.binaryproto", mean)
    done = run(setup, mean=tmp_path / "mean.binaryproto", scale=scale)
    assert done.metadata.mean_folded
    assert done.metadata.face_size == size
    assert done.metadata.scale == pytest.approx(0.02 if scale is None else scale)
    assert "pixels of 0 to 255" in done.metadata.input
    net = CaffeNet(setup[0], setup[1], mean=mean, scale=done.metadata.scale, probe=False)
    images = [np.random.default_rng(i).integers(0, 256, (*size, 3), dtype=np.uint8) for i in range(3)]
    expected = net.forward(images, ["prob", "fc10"])
    top, left = (size[0] - 20) // 2, (size[1] - 20) // 2
    pixels = np.stack([image[top : top + 20, left : left + 20].transpose(2, 0, 1) for image in images])
    exported = OnnxNet(setup[2])
    np.testing.assert_allclose(exported.predict(pixels), expected["prob"], atol=1e-5)
    np.testing.assert_allclose(exported.scores(pixels), expected["fc10"], rtol=1e-4, atol=1e-5)
    # By plain NumPy as well, which shares nothing with Caffe.
    window = mean[:, top : top + 20, left : left + 20].astype(np.float64)
    by_hand = tiny.compute(tiny.draw_parameters(), (pixels - window) * done.metadata.scale)
    np.testing.assert_allclose(exported.predict(pixels), by_hand["prob"], atol=1e-4)


def test_without_mean_the_file_takes_what_the_net_takes(setup):
    done = run(setup)
    assert not done.metadata.mean_folded
    assert (done.metadata.scale, done.scale_from) == (pytest.approx(0.02), "the weights' own net")
    inputs = np.random.default_rng(3).standard_normal((2, 3, 20, 20)).astype(np.float32)
    expected = tiny.compute(tiny.draw_parameters(), inputs)
    np.testing.assert_allclose(OnnxNet(setup[2]).scores(inputs), expected["fc10"], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("shape", "said"), [((3, 19, 24), "19x24 is smaller than the input 20x20"), ((2, 24, 24), "does not fit")]
)
def test_a_mean_that_does_not_fit_is_refused(setup, tmp_path, shape, said):
    write_mean(tmp_path / "mean.binaryproto", np.zeros(shape, np.float32))
    with pytest.raises(UserError, match=said):
        run(setup, mean=tmp_path / "mean.binaryproto")
    assert not setup[2].exists()


def test_the_recipe_goes_into_the_file(setup, tmp_path):
    mean = np.full((3, 24, 24), 100, np.float32)
    recipe = Recipe(
        au=(4, 9, 25),
        labels="as coded",
        threshold=(0.25, 0.5, 0.75),
        input=InputRecipe(face_size=24, scale=0.25, mean=mean),
        data=DataRecipe(name="DISFA"),
    )
    for weights in (setup[1], tiny.write_hdf5(tmp_path / "w.h5", tiny.draw_parameters())):
        write_recipe(weights, recipe)
        done = export(setup[0], weights, setup[2], progress=False, probe=False)
        assert (done.metadata.scale, done.scale_from) == (0.25, "recipe in the weights")
        assert done.metadata.mean_folded and done.metadata.face_size == (24, 24)
        without = dataclasses.replace(recipe, input=dataclasses.replace(recipe.input, mean=None))
        assert done.metadata.recipe == without == read_recipe(setup[2]) == OnnxNet(setup[2]).metadata.recipe
        export(setup[0], weights, setup[2], fold=False, progress=False, probe=False)
        assert read_recipe(setup[2]) == recipe
        named = export(setup[0], weights, setup[2], aus=(1, 2, 4), progress=False, probe=False)
        assert named.metadata.aus == (1, 2, 4) and read_recipe(setup[2]).threshold == ()


def test_a_file_of_an_older_version_needs_its_aus(setup):
    export(*setup, progress=False, probe=False)
    model = onnx.load(setup[2])
    kept = [entry for entry in model.metadata_props if entry.key != "recipe"]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    onnx.save(model, setup[2])
    mean = setup[2].with_name("old_mean.binaryproto")
    write_mean(mean, np.zeros((3, 24, 24), np.float32))
    with pytest.raises(UserError, match="carries no recipe"):
        Net(setup[2], mean=mean)
    assert Net(setup[2], mean=mean, aus=(4, 9, 25)).aus == (4, 9, 25)


# --- errors ---------------------------------------------------------------------------------------------


def leftovers(folder):
    return sorted(path.name for path in folder.iterdir() if "onnx" in path.name)


def test_unknown_aus_must_be_named(setup):
    tiny.write_caffemodel(setup[1], tiny.draw_parameters(), aus=())
    with pytest.raises(UserError, match=r"carries no recipe, .* name them with --aus"):
        export(*setup, progress=False, probe=False)
    with pytest.raises(UserError, match=r"3 outputs, but 2 AUs given"):
        export(*setup, aus=(1, 2), progress=False, probe=False)


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('type: "ReLU"', 'type: "TanH"', "layer 'relu1' is of type TanH, which cannot be exported"),
        ('type: "ReLU"', 'type: "Relu6"', "layer 'relu1' is of type Relu6, which cannot be exported"),
        ('top: "prob"', 'top: "p"', "no blob 'prob'|no layer of type Sigmoid makes a blob 'prob'"),
        ('type: "Sigmoid"', 'type: "ReLU"', "no layer of type Sigmoid makes a blob 'prob'"),
        ('name: "tiny"', 'layers { name: "x" type: RELU }', "an old prototxt"),
    ],
)
def test_a_net_that_cannot_be_exported(setup, old, new, said):
    text = setup[0].read_text()
    assert old in text
    setup[0].write_text(text.replace(old, new))
    with pytest.raises(UserError, match=said) as raised:
        run(setup)
    assert str(setup[0]) in str(raised.value)
    assert leftovers(setup[0].parent) == []


def test_a_file_that_differs_from_caffe_is_not_written(setup, monkeypatch):
    run(setup)
    before = setup[2].read_bytes()
    monkeypatch.setitem(layers.CONVERTERS, "ReLU", lambda graph, layer, x: x)
    with pytest.raises(UserError, match=r"m.onnx: not written: differs from Caffe by"):
        run(setup)
    assert setup[2].read_bytes() == before
    assert leftovers(setup[0].parent) == ["m.onnx"]


def test_weights_of_a_diverged_training_are_refused(setup):
    parameters = tiny.draw_parameters()
    parameters["fc10"][1][0] = np.nan
    tiny.write_caffemodel(setup[1], parameters)
    with pytest.raises(UserError, match="not finite"):
        run(setup)


def test_a_full_disk_leaves_nothing(setup):
    with tiny.file_size_limit(1000), pytest.raises(OSError, match="File too large"):
        run(setup)
    assert leftovers(setup[0].parent) == []


def test_without_onnx_runtime_it_is_written_and_not_compared(setup, monkeypatch):
    monkeypatch.setattr(files, "find_spec", lambda name: None)
    assert run(setup).difference is None
    assert OnnxNet(setup[2]).input_shape == (3, 20, 20)


# --- the command ----------------------------------------------------------------------------------------


def command(setup, *more):
    deploy, weights, out = map(str, setup)
    return ["export-onnx", "--net", deploy, "--weights", weights, "--out", out, "--aus", "1,2,4", *more]


def test_the_command_prints_the_largest_difference(setup, capsys):
    assert cli.main(command(setup)) == 0
    captured = capsys.readouterr()
    assert f"{setup[2]}: " in captured.out
    assert "largest difference from Caffe on 3 images" in captured.out
    assert "BGR, height x width 20x20" in captured.out


def test_json(setup, capsys):
    assert cli.main(command(setup, "--json", "-q", "--overwrite")) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["bytes"] == setup[2].stat().st_size
    assert found["aus"] == "1,2,4"
    assert 0 <= found["difference"]["probabilities"] < 1e-4
    assert found["difference"]["images"] == 3


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--net", "none.prototxt", "none.prototxt: no such file"),
        ("--weights", "none.caffemodel", "none.caffemodel: no such weights file"),
        ("--mean", "none.binaryproto", "none.binaryproto: the mean image cannot be read (No such file"),
        ("--out", "/dev/null/m.onnx", "/dev/null/m.onnx: cannot be written (Not a directory: /dev/null)"),
    ],
)
def test_a_mistake_is_one_line_and_exits_with_1(setup, capfd, option, value, said):
    assert cli.main(command(setup, "-q", option, value)) == 1
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("drml: error: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err
    assert leftovers(setup[0].parent) == []


def test_wrong_usage_exits_with_2(setup, capsys):
    for arguments, said in (
        (["export-onnx", "--net", str(setup[0])], "--out"),
        (command(setup, "--aus", "1,1,2"), "give each AU once"),
        (command(setup, "--scale", "0"), "give a finite number other than 0"),
    ):
        with pytest.raises(SystemExit) as ended:
            cli.main(arguments)
        assert ended.value.code == 2
        assert said in capsys.readouterr().err


def test_without_the_onnx_package_the_error_says_how_to_install_it(setup, monkeypatch, capsys):
    for name in [name for name in sys.modules if name == "onnx" or name.startswith("drml.nets.onnx_export")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert cli.main(command(setup, "-q")) == 1
    error = capsys.readouterr().err
    assert "pip install onnx onnxruntime" in error
    assert error.count("\n") == 1


# --- running the file -----------------------------------------------------------------------------------


def test_a_batch_of_another_shape_is_refused(setup):
    run(setup)
    net = OnnxNet(setup[2], threads=1)
    for shape in [(3, 20, 20), (2, 3, 20, 21), (2, 20, 20, 3)]:
        with pytest.raises(UserError, match=r"a batch of .* does not fit; it takes N x 3x20x20"):
            net.predict(np.zeros(shape, np.float32))
    assert net.predict(np.zeros((0, 3, 20, 20), np.float32)).shape == (0, 3)
    assert net.predict(np.zeros((5, 3, 20, 20), np.uint8)).dtype == np.float32


def test_onnx_files_of_others_are_refused(setup, tmp_path):
    path = tmp_path / "other.onnx"
    with pytest.raises(UserError, match=r"other.onnx: no such file"):
        OnnxNet(path)
    for content in (b"", b"no protobuf at all", setup[1].read_bytes()):
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"other.onnx: ONNX Runtime cannot load it"):
            OnnxNet(path)
    run(setup)
    path.write_bytes(setup[2].read_bytes()[:-3000])
    with pytest.raises(UserError, match=r"other.onnx: ONNX Runtime cannot load it"):
        OnnxNet(path)
    for key, value in [
        ("aus", None),
        ("aus", "1,x"),
        ("mean_folded", "perhaps"),
        ("aus", "1,2"),
        ("size", "20"),
    ]:
        model = onnx.load(setup[2])
        properties = {entry.key: entry.value for entry in model.metadata_props}
        del model.metadata_props[:]
        properties.pop(key)
        onnx.helper.set_model_props(model, properties if value is None else {**properties, key: value})
        onnx.save(model, path)
        with pytest.raises(UserError, match=r"other.onnx: .*give what drml export-onnx wrote"):
            OnnxNet(path)


def test_without_onnx_runtime_the_error_says_how_to_install_it(setup, monkeypatch):
    run(setup)
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"pip install onnx onnxruntime"):
        OnnxNet(setup[2])
