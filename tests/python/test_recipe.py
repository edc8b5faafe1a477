"""The recipe of a net: its messages, its text and binary form, and the files of weights that carry it."""

import dataclasses
import shutil

import h5py
import numpy as np
import pytest
from google.protobuf import text_format

from drml.data.recipe import DataRecipe, InputRecipe, Recipe, RegistrationRecipe, TrainingRecipe
from drml.data.recipe_text import read_data_recipe, recipe_path, write_data_recipe
from drml.io import messages
from drml.io.errors import UserError
from drml.nets.recipe import read_recipe, write_recipe

DISFA_TWELVE = (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26)

FULL = Recipe(
    au=DISFA_TWELVE,
    labels="DISFA: intensity 2 or more",
    threshold=tuple(k / 16 for k in range(1, 13)),
    threshold_data="fold 1, val",
    input=InputRecipe("BGR", 200, 170, 0.0078125, (), np.arange(12, dtype=np.float32).reshape(3, 2, 2)),
    registration=RegistrationRecipe("detector", "YuNet", (0.25, 0.5), (0.125, 0.75)),
    data=DataRecipe("DISFA", "fold 1 of 3", "ab" * 32, 1234, "every frame"),
    training=TrainingRecipe(400, 12800, "type: 'SGD'", "other.caffemodel"),
    program=("drml 1.0", "caffe 1.0.0"),
)
ONLY_AUS = Recipe(au=(1, 2))


@pytest.mark.parametrize("recipe", [Recipe(), ONLY_AUS, FULL])
def test_a_recipe_survives_both_forms(recipe):
    assert Recipe.from_bytes(recipe.to_bytes()) == recipe
    assert Recipe.from_text(recipe.to_text()) == recipe


def test_recipes_with_other_means_are_different():
    other = dataclasses.replace(FULL.input, mean=FULL.input.mean + 1)
    assert dataclasses.replace(FULL, input=other) != FULL
    assert dataclasses.replace(FULL, input=dataclasses.replace(other, mean=None)) != FULL


def test_every_field_of_the_messages_has_an_attribute():
    def compare(message, kind):
        assert [one.name for one in message.fields] == [one.name for one in dataclasses.fields(kind)]

    compare(messages.Recipe.DESCRIPTOR, Recipe)
    parts = {"input": InputRecipe, "registration": RegistrationRecipe}
    parts |= {"data": DataRecipe, "training": TrainingRecipe}
    for name, kind in parts.items():
        compare(messages.Recipe.DESCRIPTOR.fields_by_name[name].message_type, kind)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("au: 1 au: 1", "different"),
        ("au: 1 threshold: .5 threshold: .5", "2 thresholds for 1 AUs"),
        ("au: 1 threshold: nan", "finite"),
        ("au: 1 input { scale: 0 }", "finite"),
        ("au: 1 input { mean_value: inf }", "finite"),
        ("au: 1 input { mean { num: 1 channels: 3 height: 2 width: 2 data: 1 } }", "1 values"),
        ('au: 1 input { channels: "RGB" }', "RGB"),
        ("au: 1 registration { target: 1 }", "x and y"),
        ("no: 1", "line 1"),
    ],
)
def test_a_recipe_that_is_not_possible_is_refused(tmp_path, text, fault):
    with pytest.raises(ValueError, match=fault):
        Recipe.from_text(text)
    (tmp_path / "recipe.prototxt").write_text(text)
    with pytest.raises(UserError, match=fault) as error:
        read_data_recipe(tmp_path / "train_lmdb")
    assert str(tmp_path / "recipe.prototxt") in str(error.value)


def test_the_recipe_of_data_is_in_the_folder_of_the_fold(tmp_path):
    fold = tmp_path / "fold1"
    (fold / "other").mkdir(parents=True)
    (fold / "other" / "data.mdb").touch()
    for data in (fold, fold / "train_lmdb", fold / "other", f"{fold}/train_lmdb/"):
        assert recipe_path(data) == fold / "recipe.prototxt"
    assert read_data_recipe(fold) is None
    write_data_recipe(fold, FULL)
    assert read_data_recipe(fold / "test_lmdb") == FULL


# Files of weights, each with a function that reads its weights as bytes.


def _net(**fields):
    from drml.nets.pycaffe import new_message

    net = new_message("NetParameter")
    net.name = "net"
    layer = net.layer.add(name="fc", type="InnerProduct")
    blob = layer.blobs.add()
    blob.shape.dim.extend([2, 3])
    blob.data.extend(np.linspace(0, 1, 6).tolist())
    for name, value in fields.items():
        setattr(net, name, value)
    return net


@pytest.fixture
def caffemodel(tmp_path):
    path = tmp_path / "net.caffemodel"
    path.write_bytes(_net().SerializeToString())
    return path


@pytest.fixture
def hdf5(tmp_path):
    path = tmp_path / "net.caffemodel.h5"
    with h5py.File(path, "w") as file:
        file["data/fc/0"] = np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3)
    return path


@pytest.fixture
def onnx_file(tmp_path):
    onnx = pytest.importorskip("onnx")
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    out = onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    model = onnx.helper.make_model(onnx.helper.make_graph([node], "g", [value], [out]))
    onnx.helper.set_model_props(model, {"aus": "1,2", "model": "DRML"})
    path = tmp_path / "net.onnx"
    path.write_bytes(model.SerializeToString())
    return path


@pytest.mark.parametrize("kind", ["caffemodel", "hdf5", "onnx_file"])
def test_weights_carry_a_recipe(request, kind, tmp_path):
    path = request.getfixturevalue(kind)
    assert read_recipe(path) is None
    before = path.read_bytes()
    copy = tmp_path / f"copy{path.suffix}"
    write_recipe(path, FULL, copy)
    assert path.read_bytes() == before
    assert read_recipe(copy) == FULL
    write_recipe(copy, ONLY_AUS)
    assert read_recipe(copy) == ONLY_AUS
    assert sorted(tmp_path.iterdir()) == sorted([path, copy])


def test_the_weights_of_a_caffemodel_stay_as_they_are(caffemodel):
    before = caffemodel.read_bytes()
    write_recipe(caffemodel, FULL)
    after = caffemodel.read_bytes()
    assert after.startswith(before)
    write_recipe(caffemodel, ONLY_AUS)
    assert caffemodel.read_bytes().startswith(before) and len(caffemodel.read_bytes()) < len(after)


def test_the_weights_of_an_hdf5_file_stay_as_they_are(hdf5):
    write_recipe(hdf5, FULL)
    with h5py.File(hdf5) as file:
        assert np.array_equal(file["data/fc/0"], np.linspace(0, 1, 6, dtype=np.float32).reshape(2, 3))
        assert bytes(file["recipe"][()].tobytes()) == FULL.to_bytes()


def test_an_onnx_file_names_the_aus_of_its_recipe(onnx_file):
    onnx = pytest.importorskip("onnx")
    write_recipe(onnx_file, FULL)
    model = onnx.load(onnx_file)
    onnx.checker.check_model(model)
    found = {one.key: one.value for one in model.metadata_props}
    assert found["aus"] == ",".join(map(str, DISFA_TWELVE)) and found["model"] == "DRML"
    assert len(found) == len(model.metadata_props)
    assert text_format.Parse(found["recipe"], messages.Recipe()) == FULL.to_message()


def test_a_snapshot_stays_as_it_is(caffemodel, tmp_path):
    snapshot = tmp_path / "drml_iter_4.caffemodel"
    shutil.copyfile(caffemodel, snapshot)
    (tmp_path / "drml_iter_4.solverstate").touch()
    final = tmp_path / "final.caffemodel"
    final.symlink_to(snapshot.name)
    before = snapshot.read_bytes()
    with pytest.raises(UserError, match="belongs to a snapshot"):
        write_recipe(snapshot, FULL)
    write_recipe(final, FULL)
    assert snapshot.read_bytes() == before and not final.is_symlink()
    assert read_recipe(final) == FULL and read_recipe(snapshot) is None


@pytest.mark.parametrize("kind", ["caffemodel", "hdf5", "onnx_file"])
def test_damaged_weights_are_refused(request, kind):
    path = request.getfixturevalue(kind)
    write_recipe(path, FULL)
    whole = path.read_bytes()
    for size in (len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=path.name):
            read_recipe(path)
        with pytest.raises(UserError, match=path.name):
            write_recipe(path, ONLY_AUS)
        assert path.read_bytes() == whole[:size]


def test_a_file_that_is_missing_is_named(tmp_path):
    with pytest.raises(UserError, match="no such weights file"):
        read_recipe(tmp_path / "none.caffemodel")


@pytest.mark.parametrize("dim", [(1, 3, 2, 2), (3, 2, 2)])
def test_a_mean_image_in_the_newer_form_is_read(dim):
    blob = messages.BlobProto(data=range(12))
    blob.shape.dim.extend(dim)
    recipe = messages.Recipe(au=[1], input={"mean": blob})
    mean = Recipe.from_message(recipe).input.mean
    assert np.array_equal(mean, np.arange(12, dtype=np.float32).reshape(3, 2, 2))
    for wrong in ((2, 3, 2, 1), (3, 2), (3, 2, 3), (-3, -2, 2)):
        recipe.input.mean.shape.dim[:] = wrong
        with pytest.raises(ValueError, match="12 values for"):
            Recipe.from_message(recipe)
