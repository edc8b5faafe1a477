"""The recipe of a net: its messages, its text and binary form, and the files of weights that carry it."""

import dataclasses
import errno
import io
import json
import os
import shutil

import h5py
import numpy as np
import pytest
from google.protobuf import text_format

from drml.data.recipe import DataRecipe, InputRecipe, Recipe, RegistrationRecipe, TrainingRecipe
from drml.data.recipe_text import read_data_recipe, recipe_path, write_data_recipe
from drml.io import messages
from drml.io.errors import UserError
from drml.io.limits import PROTO_BYTES
from drml.nets.protobuf_fields import (
    Field,
    NotProtobufError,
    content_of,
    encode_field,
    fields_of,
    splice,
)
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


def test_an_onnx_file_names_the_aus_of_intensities_if_there_are_any(onnx_file):
    onnx = pytest.importorskip("onnx")

    def properties():
        return {one.key: one.value for one in onnx.load(onnx_file).metadata_props}

    write_recipe(onnx_file, Recipe(au=(1,), intensity_au=(6, 12)))
    assert properties()["intensity_aus"] == "6,12" and properties()["aus"] == "1"
    names = json.loads(properties()["au_names"])
    assert names == {"AU1": "Inner brow raiser", "AU6": "Cheek raiser", "AU12": "Lip corner puller"}
    write_recipe(onnx_file, ONLY_AUS)
    assert "intensity_aus" not in properties() and properties()["aus"] == "1,2"


def test_properties_of_an_onnx_file_may_lack_a_key_or_a_value(onnx_file):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(onnx_file)
    model.metadata_props.add().key = "empty"
    model.metadata_props.add().value = "nameless"
    onnx.save(model, onnx_file)
    assert read_recipe(onnx_file) is None
    write_recipe(onnx_file, FULL)
    assert read_recipe(onnx_file) == FULL
    kept = [(one.key, one.value) for one in onnx.load(onnx_file).metadata_props]
    assert ("empty", "") in kept and ("", "nameless") in kept


def test_caffe_reads_the_recipe_as_a_field_of_the_net(caffemodel):
    from drml.nets.pycaffe import new_message

    write_recipe(caffemodel, FULL)
    net = new_message("NetParameter")
    net.ParseFromString(caffemodel.read_bytes())
    assert Recipe.from_bytes(net.recipe.SerializeToString()) == FULL
    # Protobuf merges a field that comes several times.
    (one, two) = (new_message("NetParameter") for _ in range(2))
    one.recipe.au.append(1)
    two.recipe.au.append(2)
    caffemodel.write_bytes(_net().SerializeToString() + one.SerializeToString() + two.SerializeToString())
    assert read_recipe(caffemodel) == ONLY_AUS


def test_files_that_are_too_large_are_refused(caffemodel, hdf5):
    write_recipe(hdf5, FULL)
    for path, factor in ((caffemodel, 1), (hdf5, 2)):
        os.truncate(path, factor * PROTO_BYTES + 1)  # takes no place on the disk
        with pytest.raises(UserError, match=f"{path.name}.*bytes"):
            read_recipe(path)
    os.truncate(hdf5, PROTO_BYTES + 1)
    assert read_recipe(hdf5) == FULL


@pytest.mark.parametrize("data", [np.zeros(4, np.int32), np.zeros((2, 2), np.uint8)])
def test_a_recipe_in_hdf5_is_a_row_of_bytes(hdf5, data):
    with h5py.File(hdf5, "r+") as file:
        file["recipe"] = data
    with pytest.raises(UserError, match="its dataset is not one of bytes"):
        read_recipe(hdf5)
    write_recipe(hdf5, FULL)
    assert read_recipe(hdf5) == FULL


def test_a_file_stays_if_its_copy_cannot_be_written(caffemodel, tmp_path, monkeypatch):
    link = tmp_path / "final.caffemodel"
    link.symlink_to(caffemodel.name)

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(shutil, "copymode", full)
    with pytest.raises(UserError, match=r"final\.caffemodel: cannot be written \(No space left on device\)"):
        write_recipe(link, FULL)
    assert link.is_symlink() and sorted(tmp_path.iterdir()) == sorted([link, caffemodel])
    before = caffemodel.read_bytes()
    with pytest.raises(UserError, match=r"net\.caffemodel: cannot be written"):
        write_recipe(caffemodel, FULL)
    assert caffemodel.read_bytes() == before


# Single fields of protobuf messages, byte by byte as the encoding's specification has them.

FIELDS = (
    (b"\x08\x96\x01", (1, 3, 0)),  # 150 as a varint: no content
    (b"\x12\x07testing", (2, 2, 7)),
    (b"\x19" + bytes(8), (3, 1, 8)),
    (b"\x25" + bytes(4), (4, 1, 4)),
    (b"\xc2\x3e\x80\x01" + bytes(128), (1000, 4, 128)),
    (b"\x08" + b"\xff" * 9 + b"\x01", (1, 11, 0)),  # 2^64 - 1
    (b"\x2a\x00", (5, 2, 0)),
)


def test_the_fields_of_a_message_are_found():
    whole, expected = b"", []
    for content, (number, head, length) in FIELDS:
        start = len(whole)
        expected.append(Field(number, start, start + head, start + head + length))
        whole += content
    assert list(fields_of(io.BytesIO(whole))) == expected
    ends = {one.end for one in expected}
    for size in range(len(whole)):
        part = io.BytesIO(whole[:size])
        if size in {0, *ends}:
            assert list(fields_of(part)) == [one for one in expected if one.end <= size]
        else:
            with pytest.raises(NotProtobufError):
                list(fields_of(part))


@pytest.mark.parametrize(
    "content",
    [
        b"\x02\x00",  # number 0
        b"\x0b\x01",  # a group
        b"\x0e\x01",  # no such wire type
        b"\x08" + b"\xff" * 10 + b"\x01",  # a varint of 11 bytes
        b"\x12\x05four",
    ],
)
def test_what_is_no_protobuf_is_refused(content):
    with pytest.raises(NotProtobufError):
        list(fields_of(io.BytesIO(content)))


@pytest.mark.parametrize("number", [1, 15, 16, 1000])
@pytest.mark.parametrize("length", [0, 1, 127, 128, 300, 16383, 16384])
def test_a_field_is_encoded_as_protobuf_does(number, length):
    content = bytes(range(256)) * 64 + b"x"
    tag = {1: b"\x0a", 15: b"\x7a", 16: b"\x82\x01", 1000: b"\xc2\x3e"}[number]
    size = {127: b"\x7f", 128: b"\x80\x01", 300: b"\xac\x02", 16383: b"\xff\x7f", 16384: b"\x80\x80\x01"}
    expected = tag + size.get(length, bytes([length % 256])) + content[:length]
    assert encode_field(number, content[:length]) == expected
    file = io.BytesIO(expected)
    (one,) = fields_of(file)
    assert one.number == number and content_of(file, one, length) == content[:length]
    if length:
        with pytest.raises(ValueError, match=f"{length} bytes; at most {length - 1} are read"):
            content_of(file, one, length - 1)


def test_large_fields_are_copied_whole(tmp_path):
    large = bytes(range(256)) * (10 << 10) + b"end"  # 2.5 MiB
    path, part = tmp_path / "whole", tmp_path / "part"
    # One byte of this field is left after whole chunks of 1 MiB.
    odd = encode_field(5, bytes((1 << 20) - 3))
    assert len(odd) == (1 << 20) + 1
    kept = encode_field(2, large) + odd + encode_field(1, b"b") + b"\x18\x05"
    path.write_bytes(encode_field(1, b"a") + kept)
    splice(path, part, lambda file, one: one.number == 1 and content_of(file, one, 9) == b"a", b"\x20\x01")
    assert part.read_bytes() == kept + b"\x20\x01"


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
    said = {"caffemodel": "not a .caffemodel", "onnx_file": "not an ONNX file", "hdf5": "whole weights"}
    write_recipe(path, FULL)
    whole = path.read_bytes()
    for size in (len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(UserError, match=f"{path.name}.*{said[kind]}"):
            read_recipe(path)
        with pytest.raises(UserError, match=f"{path.name}.*{said[kind]}"):
            write_recipe(path, ONLY_AUS)
        assert path.read_bytes() == whole[:size]


def test_a_recipe_that_ends_far_beyond_the_file_is_cut_short(caffemodel):
    with caffemodel.open("ab") as file:
        file.write(b"\xc2\x3e\x80\x80\x80\x80\x80\x20")  # field 1000, of 2^40 bytes
    with pytest.raises(UserError, match=r"not a \.caffemodel, or cut short"):
        read_recipe(caffemodel)


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
