"""Images of one's own: a CSV file through `prepare` to databases that train a net of as many outputs."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image

import tiny_net as tiny
from drml.cli import main
from drml.data import registration
from drml.data.lmdb import read_lmdb
from drml.data.manifest import read_manifest
from drml.data.prepare import Encoding, Sampling, prepare
from drml.data.readers import exclude, listed
from drml.data.readers.folds import deal_folds
from drml.data.verify import verify
from drml.evaluation import scoring
from drml.evaluation.predictions import read_predictions
from drml.io.errors import UserError
from drml.io.orientation import turn
from drml.nets.outputs import count_outputs, fit_outputs, output_layer
from drml.nets.prototxt import read_prototxt
from drml.nets.weights import read_caffemodel
from drml.training.setup import Changes, set_up
from drml.training.train import train

QUIET: dict[str, Any] = {"jobs": 1, "progress": False}
AUS = (5, 12, 43, 1, 99)


def write_list(
    folder: Path, rows: list[dict[str, Any]], name: str = "faces.csv", columns: list[str] | None = None
) -> Path:
    path = folder / name
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns or list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def write_faces(folder: Path, count: int = 12, size: int = 24, *, aus: tuple[int, ...] = AUS) -> Path:
    """Write faces as they are, of 6 subjects, and the list of them."""
    (folder / "faces").mkdir(parents=True)
    labels = tiny.draw_labels(count, aus=aus)
    labels[0] = -1  # the list has labels of each kind, whatever was drawn
    rows = []
    for index, picture in enumerate(tiny.draw_images(count, size=size)):
        cv2.imwrite(str(folder / f"faces/a b{index}.png"), picture)
        row = {"path": f"faces/a b{index}.png", "subject": f"Ann {index % 6}"}
        rows.append({**row, **{f"AU{au}": int(value) for au, value in zip(aus, labels[index], strict=True)}})
    return write_list(folder, rows)


def points_at(scale: float, shift: float) -> np.ndarray:
    return registration.REFERENCE * scale + shift


def with_points(row: dict[str, Any], points: np.ndarray) -> dict[str, Any]:
    return {
        **row,
        **{f"{axis}{i + 1}": points[i, k] for i in range(len(points)) for k, axis in enumerate("xy")},
    }


# --- the list -------------------------------------------------------------------------------------------


def test_records_are_what_the_list_says(tmp_path: Path) -> None:
    scan = listed.read(write_faces(tmp_path))
    assert scan.aus == AUS
    keys = [record.key for record in scan.records]
    assert keys == sorted(keys) and keys[0] == "Ann-0_0002" and len(keys) == 12
    labels = tiny.draw_labels(12, aus=AUS)
    labels[0] = -1
    for record in scan.records:
        index = record.frame - 2  # line 1 is the header
        assert record.image == tmp_path / f"faces/a b{index}.png" and record.landmarks is None
        assert record.subject == f"Ann {index % 6}" == record.video
        np.testing.assert_array_equal(record.labels, labels[index])
    assert listed.read(tmp_path / "faces.csv", aus=(1, 5)).records[0].labels.tolist() == [-1, -1]


def test_zero_one_labels_need_to_be_told(tmp_path: Path) -> None:
    tiny_image = tmp_path / "1.png"
    cv2.imwrite(str(tiny_image), tiny.draw_images(1)[0])
    cv2.imwrite(str(tmp_path / "2.png"), tiny.draw_images(1)[0])
    rows = [
        {"path": "1.png", "AU1": 1, "AU2": 0, "AU4": ""},
        {"path": "2.png", "AU1": 0, "AU2": 9, "AU4": 1},
    ]
    path = write_list(tmp_path, rows)
    with pytest.raises(UserError, match=r"line 3: '9' for AU2; labels are 1, -1, 0, nothing"):
        listed.read(path)
    records = listed.read(path, labels="01").records
    by_image = {record.image.name: record for record in records}  # type: ignore[union-attr]  # all are files
    assert by_image["1.png"].labels.tolist() == [1, -1, 0]
    assert by_image["2.png"].labels.tolist() == [-1, 0, 1]
    rows[1]["AU2"] = 1
    path = write_list(tmp_path, rows)
    with pytest.raises(
        UserError, match=r"faces.csv: line 2: labels 0, and no -1 in the whole list; .*labels 01"
    ):
        listed.read(path)
    rows[1]["AU2"] = -1
    assert len(listed.read(write_list(tmp_path, rows)).records) == 2
    with pytest.raises(UserError, match=r"line 3: '-1' for AU2; .*is --labels 01 right"):
        listed.read(path, labels="01")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"AU5": "2"}, r"line 4: '2' for AU5"),
        ({"AU5": "1.5"}, r"line 4: '1.5' for AU5"),
        ({"path": "gone.png"}, r"line 4: image 'gone.png' is not there \(looked for .*/gone.png\)"),
        ({"path": ""}, r"line 4: image '' is not there"),
        ({"path": "faces/a b0.png"}, r"line 4: image 'faces/a b0.png' again, first in line 2"),
        ({"subject": ""}, r"line 4: no subject"),
    ],
)
def test_bad_lines_are_named(tmp_path: Path, change: dict[str, str], said: str) -> None:
    rows = list(csv.DictReader(write_faces(tmp_path).open()))
    rows[2].update(change)
    with pytest.raises(UserError, match=rf"faces.csv: {said}"):
        listed.read(write_list(tmp_path, rows))


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ("subject,AU1", "line 1: no column 'path'"),
        ("path,subject", "no column of an AU"),
        ("path,AU1,AU1", "two columns are named 'AU1'"),
        ("path,AU1,age", "column 'age' is not one of path, subject"),
        ("path,AU1,x1,y1", "2 columns of landmarks; they are x1, y1 .. for 49 points"),
    ],
)
def test_bad_headers_are_told(tmp_path: Path, header: str, said: str) -> None:
    path = tmp_path / "faces.csv"
    path.write_text(f"{header}\n1.png,1,1\n")
    with pytest.raises(UserError, match=said):
        listed.read(path)


def test_bad_files_are_told(tmp_path: Path) -> None:
    path = tmp_path / "faces.csv"
    with pytest.raises(UserError, match="no such file; give a CSV file that lists images"):
        listed.read(path)
    path.write_text("path,AU1\n")
    with pytest.raises(UserError, match="no image after the header"):
        listed.read(path)
    path.write_text("path,AU1\n1.png\n")
    with pytest.raises(UserError, match="line 2: 1 value, the header has 2"):
        listed.read(path)
    with pytest.raises(UserError, match="no column for AU 7"):
        listed.read(path, aus=(7,))


def test_bad_landmarks_are_told(tmp_path: Path) -> None:
    path = write_faces(tmp_path)
    rows = [with_points(row, points_at(0.1, 0)) for row in csv.DictReader(path.open())]
    rows[1]["y3"] = "high"
    with pytest.raises(UserError, match="line 3: 'high' is not a coordinate of a landmark"):
        listed.read(write_list(tmp_path, rows))
    rows[1].update(with_points({}, np.ones((49, 2))))
    with pytest.raises(UserError, match="line 3: landmarks all in one point"):
        listed.read(write_list(tmp_path, rows))


def test_tables_of_pandas_are_read_as_they_are(tmp_path: Path) -> None:
    for name in ("a.png", "b.png"):
        cv2.imwrite(str(tmp_path / name), tiny.draw_images(1)[0])
    frame = pd.DataFrame(
        {"path": ["a.png", "b.png"], "subject": ["x", "y"], "AU01": [1.0, np.nan], "AU12": [-1.0, 1.0]}
    )
    for axis, column in zip("xy" * 5, registration.five_points(points_at(0.1, 0)).ravel(), strict=True):
        frame[f"{axis}{len([name for name in frame if name[0] == axis and name[1:].isdigit()]) + 1}"] = [
            column,
            np.nan,
        ]
    frame.to_csv(tmp_path / "faces.csv")
    scan = listed.read(tmp_path / "faces.csv")
    assert scan.aus == (1, 12)
    assert [record.labels.tolist() for record in scan.records] == [[1, -1], [0, 1]]
    np.testing.assert_allclose(scan.records[0].landmarks, registration.five_points(points_at(0.1, 0)))
    assert scan.records[1].landmarks is None
    # Read and written again, the index has a name.
    pd.read_csv(tmp_path / "faces.csv").to_csv(tmp_path / "again.csv", index=False)
    assert [r.labels.tolist() for r in listed.read(tmp_path / "again.csv").records] == [[1, -1], [0, 1]]
    (tmp_path / "twice.csv").write_text("path,AU1,AU01\na.png,1,1\n")
    with pytest.raises(UserError, match="two columns are named 'AU1'"):
        listed.read(tmp_path / "twice.csv")


def test_a_byte_order_mark_is_no_part_of_a_list(tmp_path: Path) -> None:
    path = write_faces(tmp_path, count=2)
    plain = [record.image for record in listed.read(path).records]
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [record.image for record in listed.read(path).records] == plain
    (tmp_path / "frames.csv").write_bytes(b"\xef\xbb\xbfvideo,first,last\nSN001,3,5\n")
    assert exclude.read_ranges(tmp_path / "frames.csv") == {"SN001": [range(3, 6)]}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"path;AU1\na.png;1\n", "its columns are separated by semicolons; save it with commas"),
        (b"path\tAU1\na.png\t1\n", "its columns are separated by tabs"),
        ("path,AU1\na.png,1\n".encode("utf-16"), "its text is UTF-16; save it as CSV in UTF-8"),
        ("path,AU1\na.png,1\n".encode("utf-16-be"), "its text is UTF-16 or binary"),
        ("path,AU1\nä.png,1\n".encode("latin-1"), r"is not text in UTF-8 \(byte 0xe4\)"),
    ],
)
def test_other_separators_and_encodings_are_named(tmp_path: Path, text: bytes, said: str) -> None:
    for read in (listed.read, read_manifest, read_predictions, exclude.read_ranges):
        (tmp_path / "faces.csv").write_bytes(text)
        with pytest.raises(UserError, match=rf"faces\.csv: {said}"):
            read(tmp_path / "faces.csv")


@pytest.mark.parametrize("stored", range(1, 9))
@pytest.mark.parametrize("count", [5, 49])
@pytest.mark.parametrize("name", ["a.jpg", "a.tiff"])
def test_landmarks_refer_to_the_upright_image_unless_told_otherwise(
    tmp_path: Path, stored: int, count: int, name: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = stored
    Image.new("RGB", (300, 200)).save(tmp_path / name, exif=exif)
    upright = points_at(0.8, 20.0)
    upright = upright if count == 49 else registration.five_points(upright)
    # Where the points lie in the stored pixels: by the inverse turn of one pixel at a time.
    marks = np.zeros((200, 300) if stored < 5 else (300, 200), np.int32)
    sides = marks.shape[::-1]
    places = upright.round().astype(int)
    stored_pixels = np.arange(marks.size).reshape(200, 300).astype(np.int32)
    seen = turn(stored_pixels, stored)
    assert seen.shape[::-1] == sides
    points = np.array([divmod(int(seen[y, x]), 300)[::-1] for x, y in places], float)
    if stored in (2, 4, 5, 7):  # in a mirrored image, the points are numbered from the other side
        points = points[registration.mirror_order(count)]
    row = with_points({"path": name, "AU1": 1}, points)
    path = write_list(tmp_path, [row, {**row, "path": "b.png", "AU1": -1}])
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((200, 300, 3), np.uint8))
    found = {
        pixels: next(
            record
            for record in listed.read(path, landmark_pixels=pixels).records
            if record.image.name == name  # type: ignore[union-attr]  # all are files
        )
        for pixels in listed.LANDMARK_PIXELS
    }
    np.testing.assert_array_equal(found["stored"].landmarks, places)
    np.testing.assert_array_equal(found["upright"].landmarks, points)


# --- prepared -------------------------------------------------------------------------------------------


def test_faces_as_they_are_go_into_folds_by_subject(tmp_path: Path) -> None:
    path = write_faces(tmp_path / "in", size=24)
    out = tmp_path / "out"
    summary = prepare(
        "images",
        path,
        out,
        sampling=Sampling(val_share=0.3),
        encoding=Encoding(size=24, format="png"),
        **QUIET,
    )
    assert summary["aus"] == list(AUS) and summary["images"] == 12 and summary["kind"] == "images"
    tested = []
    for fold in (1, 2, 3):
        splits = summary["folds"][str(fold)]
        groups = [set(splits[name]["subjects"]) for name in ("train", "val", "test")]
        assert not groups[0] & groups[1] and not groups[2] & (groups[0] | groups[1])
        assert set().union(*groups) == {f"Ann {index}" for index in range(6)}
        tested += splits["test"]["subjects"]
        for name in ("train", "val", "test"):
            verify(out / f"fold{fold}/{name}_lmdb", progress=False)
            assert not (out / f"fold{fold}/{name}_landmarks.npz").exists()
    assert len(tested) == len(set(tested)) == 6
    pictures = tiny.draw_images(12, size=24)
    with (out / "fold1/test.csv").open() as file:
        sources = {row["key"]: row["source"] for row in csv.DictReader(file)}
    for key, data, labels in read_lmdb(out / "fold1/test_lmdb"):
        index = int(Path(sources[key]).stem.removeprefix("a b"))
        np.testing.assert_array_equal(cv2.imdecode(np.frombuffer(data, np.uint8), 1), pictures[index])
        assert len(labels) == len(AUS)
    # All of them train: nothing is sampled away unless asked for.
    assert sum(summary["folds"]["1"][name]["images"] for name in ("train", "val", "test")) == 12
    again = prepare(
        "images", path, tmp_path / "again", sampling=Sampling(seed=1), encoding=Encoding(size=24), **QUIET
    )
    assert again["folds"]["1"]["test"]["subjects"] != summary["folds"]["1"]["test"]["subjects"]


def test_faces_are_registered_by_their_landmarks(tmp_path: Path) -> None:
    rows = []
    for index in range(6):
        points = points_at(1.5, 10.0 + index)
        picture = np.zeros((330, 330, 3), np.uint8)
        cv2.circle(
            picture, tuple(points[13].round().astype(int).tolist()), 4, (0, 0, 255), -1
        )  # the nose's tip
        cv2.imwrite(str(tmp_path / f"{index}.png"), picture)
        row = {"path": f"{index}.png", "AU1": 1 if index % 2 else -1}
        rows.append((row, points))
    path = write_list(tmp_path, [with_points(row, points) for row, points in rows])
    prepare("images", path, tmp_path / "out", sampling=Sampling(val_share=0), **QUIET)
    tip = registration.REFERENCE[13].round().astype(int)
    for fold in (1, 2, 3):
        assert (tmp_path / f"out/fold{fold}/test_landmarks.npz").is_file()
        for _, data, _labels in read_lmdb(tmp_path / f"out/fold{fold}/test_lmdb"):
            face = cv2.imdecode(np.frombuffer(data, np.uint8), 1)
            assert face.shape == (200, 200, 3) and face[tip[1], tip[0], 2] > 150
    # Five points register, too; there are no 49 of them to keep.
    five_rows = [with_points(row, registration.five_points(points)) for row, points in rows]
    prepare(
        "images", write_list(tmp_path, five_rows), tmp_path / "five", sampling=Sampling(val_share=0), **QUIET
    )
    (_, data, _labels), *_ = read_lmdb(tmp_path / "five/fold1/test_lmdb")
    assert cv2.imdecode(np.frombuffer(data, np.uint8), 1)[tip[1], tip[0], 2] > 150
    assert not (tmp_path / "five/fold1/test_landmarks.npz").exists()


def test_without_subjects_images_are_dealt_into_groups_and_that_is_told(tmp_path: Path) -> None:
    path = write_faces(tmp_path / "in", count=40)
    rows = [{k: v for k, v in row.items() if k != "subject"} for row in csv.DictReader(path.open())]
    summary = prepare(
        "images", write_list(tmp_path / "in", rows), tmp_path / "out", encoding=Encoding(size=24), **QUIET
    )
    assert summary["incomplete"] == {listed.NO_SUBJECTS: 40}
    assert all(name.startswith("group") for name in summary["folds"]["1"]["test"]["subjects"])


def test_a_face_that_is_not_square_is_broken(tmp_path: Path) -> None:
    path = write_faces(tmp_path / "in")
    cv2.imwrite(str(tmp_path / "in/faces/a b3.png"), np.zeros((24, 30, 3), np.uint8))
    with pytest.raises(UserError, match=r"a b3.png: the image \(30x24\) is not square; without landmarks"):
        prepare("images", path, tmp_path / "out", encoding=Encoding(size=24), **QUIET)


def test_dealt_folds_have_all_subjects_once() -> None:
    names = [f"s{index}" for index in range(11)]
    lists = deal_folds(names, seed=3)
    assert sorted(name for fold in lists for name in fold) == sorted(names)
    assert sorted(map(len, lists)) == [3, 4, 4] and lists != deal_folds(names, seed=4)
    with pytest.raises(UserError, match="2 subjects for 3 folds"):
        deal_folds(["a", "b"])


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_faces(tmp_path / "in")
    arguments = ["prepare", "images", str(path), str(tmp_path / "out"), "--size", "24", "--jobs", "1", "-q"]
    assert main([*arguments, "--aus", "12,5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["aus"] == [12, 5]
    assert main([*arguments, "--overwrite", "--labels", "01"]) == 1
    assert "is --labels 01 right" in capsys.readouterr().err
    for wrong in (["--camera", "left"], ["--intensity", "2"]):
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *wrong])
        assert ended.value.code == 2
    with pytest.raises(SystemExit):
        main(["prepare", "bp4d", str(tmp_path), str(tmp_path / "o"), "--labels", "01"])


# --- the net follows ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def five_aus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("five")
    prepare(
        "images", write_faces(folder / "in", count=18), folder / "out", encoding=Encoding(size=24), **QUIET
    )
    return folder / "out/fold1"


@pytest.fixture(scope="module")
def three_aus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_training_data(tmp_path_factory.mktemp("three"))


@pytest.fixture
def solver(tmp_path: Path) -> Path:
    tiny.write_deploy(tmp_path)
    return tiny.write_solver(tmp_path)


def blobs_of(weights: Path) -> dict[str, list[list[float]]]:
    return {layer.name: [list(b.data) for b in layer.blobs] for layer in read_caffemodel(weights).layer}


def test_a_net_gets_as_many_outputs_as_the_data_have_aus(
    solver: Path, five_aus: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    done = train(solver, out, data=five_aus, max_iter=2, progress=False)
    assert "fc10_5" in blobs_of(done.weights) and "fc10" not in blobs_of(done.weights)
    for name in ("train_val.prototxt", "deploy.prototxt"):
        net = read_prototxt(out / name)
        assert count_outputs(net) == 5 and output_layer(net).name == "fc10_5"
        assert list(output_layer(net).top) == ["fc10"]
    assert {
        layer.multi_label_data_param.num_labels
        for layer in read_prototxt(out / "train_val.prototxt").layer[:2]
    } == {5}
    result = scoring.score(
        out / "deploy.prototxt", done.weights, five_aus / "test_lmdb", progress=False, probe=False
    )
    assert [row.au for row in result.pooled.rows] == list(AUS)
    # The net that was read is as it was.
    assert count_outputs(read_prototxt(tmp_path / "train_val.prototxt")) == 3


def test_a_net_that_fits_is_left_alone(solver: Path, three_aus: Path, tmp_path: Path) -> None:
    set_up(solver, tmp_path / "out", Changes(data=three_aus))
    for name in ("train_val.prototxt", "deploy.prototxt"):
        assert output_layer(read_prototxt(tmp_path / "out" / name)).name == "fc10"


def test_a_trainings_folder_names_the_aus_of_its_outputs(
    solver: Path, five_aus: Path, three_aus: Path, tmp_path: Path
) -> None:
    def aus_of(data: Path, out: Path) -> list[int]:
        set_up(solver, out, Changes(data=data))
        return list(read_prototxt(out / "train_val.prototxt").recipe.au)

    # Of data that drml prepare wrote, Caffe takes the AUs from recipe.prototxt.
    assert aus_of(five_aus, tmp_path / "prepared") == []
    older = tmp_path / "older"
    shutil.copytree(five_aus, older, ignore=shutil.ignore_patterns("recipe.prototxt"))
    # In the order of the labels, which is that of the outputs.
    assert aus_of(older, tmp_path / "five") == list(AUS)
    # Without a manifest nobody knows them, and with a loss that we do not know, which outputs they are.
    bare = tmp_path / "bare"
    shutil.copytree(three_aus, bare, ignore=shutil.ignore_patterns("*.csv"))
    assert aus_of(bare, tmp_path / "none") == []
    net = solver.with_name("train_val.prototxt")
    net.write_text(net.read_text().replace("MultiLabelSigmoidCrossEntropyLoss", "HingeLoss"))
    assert aus_of(three_aus, tmp_path / "hinge") == []


def test_fine_tuning_takes_all_weights_but_the_last_layers(
    solver: Path, three_aus: Path, five_aus: Path, tmp_path: Path
) -> None:
    first = train(solver, tmp_path / "first", data=three_aus, max_iter=3, progress=False)
    solver.write_text(solver.read_text().replace("base_lr: 0.01", "base_lr: 0"))
    tuned = train(
        solver, tmp_path / "tuned", data=five_aus, weights=first.weights, max_iter=1, seed=1, progress=False
    )
    before, after = blobs_of(first.weights), blobs_of(tuned.weights)
    for name in ("conv1", "fc9"):
        assert before[name] == after[name], name
    assert "fc10" not in after and len(after["fc10_5"][1]) == 5
    # For other AUs that are as many: a new layer where it is asked for.
    same = train(
        solver, tmp_path / "same", data=three_aus, weights=first.out, max_iter=1, seed=1, progress=False
    )
    assert blobs_of(same.weights)["fc10"] == before["fc10"]
    fresh = train(
        *(solver, tmp_path / "fresh"),
        data=three_aus,
        weights=first.weights,
        max_iter=1,
        new_output=True,
        progress=False,
    )
    assert blobs_of(fresh.weights)["fc9"] == before["fc9"]
    assert blobs_of(fresh.weights)["fc10_3"][0] != before["fc10"][0]


def test_numbers_that_do_not_agree_are_refused(solver: Path, three_aus: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UserError, match=r"4 AUs were asked for, but the data that .*train_val.prototxt reads have 3"
    ):
        set_up(solver, tmp_path / "out", Changes(data=three_aus, num_aus=4))
    deploy = tmp_path / "deploy.prototxt"
    deploy.write_text(deploy.read_text().replace('name: "fc10"', 'name: "last"'))
    with pytest.raises(
        UserError,
        match=r"layer 'last' makes the scores, but in the net that is trained layer 'fc10' does",
    ):
        set_up(solver, tmp_path / "out", Changes(data=three_aus, new_output=True))
    assert not (tmp_path / "out").exists()


def test_the_number_of_aus_can_be_told(solver: Path, three_aus: Path, tmp_path: Path) -> None:
    """Without a manifest, nothing but the user knows."""
    for split in ("train", "test"):
        (three_aus / f"{split}.csv").rename(three_aus / f"{split}.moved")
    try:
        set_up(solver, tmp_path / "out", Changes(data=three_aus, num_aus=4))
        assert count_outputs(read_prototxt(tmp_path / "out/train_val.prototxt")) == 4
        set_up(solver, tmp_path / "as_it_is", Changes(data=three_aus))
        assert count_outputs(read_prototxt(tmp_path / "as_it_is/train_val.prototxt")) == 3
    finally:
        for split in ("train", "test"):
            (three_aus / f"{split}.moved").rename(three_aus / f"{split}.csv")


def test_nets_without_known_outputs_are_told(tmp_path: Path) -> None:
    net = read_prototxt(tiny.write_deploy(tmp_path))
    assert fit_outputs(net, 7) == "fc10" and count_outputs(net) == 7
    assert fit_outputs(net, 2, old="fc10_7") == "fc10_7"
    del net.layer[-1]
    with pytest.raises(UserError, match="no layer of the types"):
        output_layer(net)
    net = read_prototxt(tmp_path / "deploy.prototxt")
    net.layer[-1].bottom[0] = "data"
    with pytest.raises(UserError, match="'data' is not made by a layer"):
        output_layer(net)
