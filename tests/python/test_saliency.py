"""Saliency in drml.evaluation: gradients of a tiny net, against differences; regions; the folder."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

import detect_data
import tiny_net as tiny
from drml import cli
from drml.data.labels import ALL_AUS
from drml.data.registration import REFERENCE
from drml.data.split import open_split
from drml.evaluation.au_regions import REGIONS, region_mask
from drml.evaluation.saliency import focus, saliency_maps
from drml.evaluation.saliency_pictures import overlay
from drml.nets.net import CaffeGradientNet
from drml.nets.prototxt import read_prototxt, write_prototxt
from drml.nets.recipe import read_recipe
from drml.report.saliency import saliency_section
from tiny_levels import write_fold, write_net

SCALE = 0.02


@pytest.fixture
def net(tmp_path: Path) -> CaffeGradientNet:
    deploy = tiny.write_deploy(tmp_path)
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters())
    return CaffeGradientNet(deploy, weights, scale=SCALE, batch=2, probe=False)


def test_gradients_are_differences_of_the_scores(net: CaffeGradientNet) -> None:
    images = tiny.draw_images(3, seed=4)
    columns = [2, 0, 1]
    found = net.input_gradients(images, columns)
    assert found.shape == (3, 3, tiny.INPUT, tiny.INPUT)
    parameters = tiny.draw_parameters()
    rng = np.random.default_rng(0)
    for index, (image, column) in enumerate(zip(images, columns, strict=True)):
        for _ in range(6):
            c, y, x = rng.integers(0, (3, tiny.INPUT, tiny.INPUT))
            scores = []
            for step in (1e-3, -1e-3):
                planes = tiny.transform([image])
                planes[0, c, y, x] += step
                scores.append(tiny.compute(parameters, planes * SCALE)["fc10"][0, column])
            expected = (scores[0] - scores[1]) / 2e-3
            assert found[index, c, y, x] == pytest.approx(expected, rel=1e-3, abs=1e-7)


def test_a_map_is_the_largest_of_the_colours() -> None:
    class Net:
        """Its gradients are known: 2 outputs, 3 colours, 1 x 3 pixels."""

        input_shape = (3, 1, 3)

        def input_gradients(self, images: list[np.ndarray], columns: list[int]) -> np.ndarray:
            assert len(images) == len(columns)
            of_output = {
                4: [[[1, -5, 0]], [[-2, 3, 0]], [[0, 4, -0.5]]],
                7: [[[-8, 1, 2]], [[7, -1, 3]], [[6, 1, -4]]],
            }
            return np.array([of_output[column] for column in columns], np.float32)

    maps = saliency_maps(Net(), np.zeros((1, 3, 3), np.uint8), [7, 4])
    assert maps.tolist() == [[[8, 1, 4]], [[2, 5, 0.5]]]


def test_focus_is_the_share_inside() -> None:
    saliency = np.array([[1.0, 2.0], [3.0, 4.0]])
    region = np.array([[True, False], [False, True]])
    assert focus(saliency, region) == 0.5
    assert focus(saliency, ~region) == 0.5 and focus(saliency, region | True) == 1
    assert np.isnan(focus(np.zeros((2, 2)), region))


def test_every_au_has_a_symmetric_region_around_its_landmarks() -> None:
    assert set(REGIONS) == set(ALL_AUS)
    for au, patches in REGIONS.items():
        mask = region_mask(au)
        assert 0.02 < mask.mean() < 0.12, au
        # Mirrored about the reference's axis, x = 99.5: equal but for rounding at the border.
        assert (mask != mask[:, ::-1]).mean() < 0.01, au
        for patch in patches:
            for x, y in REFERENCE[list(patch.points)] + patch.shift:
                if 0 <= x < 200 and 0 <= y < 200:
                    assert mask[round(y), round(x)], (au, patch)
        large = region_mask(au, 256)
        assert large.mean() == pytest.approx(mask.mean(), abs=0.01)
    assert region_mask(1)[:60].sum() == region_mask(1).sum() and not region_mask(12)[:90].any()


def test_the_overlay_is_red_where_saliency_is() -> None:
    saliency = np.zeros((40, 40), np.float32)
    saliency[10:20, 10:20] = 1
    picture = overlay(np.full((40, 40, 3), 128, np.uint8), saliency)
    assert picture.shape == (40, 40, 3) and picture[15, 15, 2] > picture[15, 15, 0]
    assert picture[35, 35, 0] > picture[35, 35, 2]
    assert overlay(picture, np.zeros((40, 40), np.float32)).shape == (40, 40, 3)


def test_the_command_writes_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fold, images, labels, mean = tiny.write_data(tmp_path, count=4, synthetic=True)
    deploy = tiny.write_deploy(tmp_path)
    weights = tiny.write_caffemodel(tmp_path / "w.caffemodel", tiny.draw_parameters(), scale=SCALE)
    out = tmp_path / "saliency"
    arguments = ["saliency", "--net", str(deploy), "--weights", str(weights), "--out", str(out)]
    arguments += ["--data", str(fold / "test_lmdb")]
    key = "00000002_F001_T1_0002"
    assert cli.main([*arguments, "--key", key, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((out / "saliency.json").read_text())
    assert found["key"] == key and found["synthetic"] is True and list(found["aus"]) == ["AU1", "AU2", "AU4"]
    with np.load(out / "maps.npz") as file:
        maps, aus = file["maps"], file["aus"]
    assert maps.shape == (3, tiny.INPUT, tiny.INPUT) and aus.tolist() == [1, 2, 4]
    for column, au in enumerate((1, 2, 4)):
        region = region_mask(au, tiny.IMAGE)[2:22, 2:22]
        about = found["aus"][f"AU{au}"]
        assert about["focus"] == pytest.approx(focus(maps[column], region))
        scores = tiny.compute(tiny.draw_parameters(), tiny.transform([images[2]], mean, SCALE))["prob"][0]
        assert about["score"] == pytest.approx(scores[column], abs=1e-4)
        assert about["label"] == labels[2, column] and about["area"] == pytest.approx(region.mean())
        assert cv2.imread(str(out / f"AU{au}.png")).shape == (tiny.INPUT, tiny.INPUT, 3)
    assert cv2.imread(str(out / "grid.png")).shape[1] > 4 * tiny.INPUT
    np.testing.assert_array_equal(cv2.imread(str(out / "face.png")), images[2][2:22, 2:22])
    for more, said in (
        ([], "not empty; choose another folder"),
        (["--overwrite", "--key", "none"], "no record none"),
        (["--overwrite", "--aus", "1,2"], "3 outputs, but 2 AUs"),
    ):
        assert cli.main([*arguments, *more]) == 1
        error = capsys.readouterr().err
        assert error.count("\n") == 1 and said in error
    assert cli.main([*arguments, "--overwrite"]) == 0
    assert "SYNTHETIC DATA (a drawn face)" in capsys.readouterr().out
    text = deploy.read_text().replace('top: "prob"', 'top: "p"')
    deploy.write_text(text)
    assert cli.main([*arguments, "--overwrite"]) == 1
    assert "no layer makes 'prob' from one blob" in capsys.readouterr().err


def test_the_largest_face_of_a_photo_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = detect_data.write_weights(tmp_path / "net")
    photo, out = tmp_path / "photo.png", tmp_path / "out"
    cv2.imwrite(str(photo), detect_data.astronaut())
    deploy = weights.with_name("deploy.prototxt")
    arguments = ["saliency", "--net", str(deploy), "--weights", str(weights), "--out", str(out)]
    assert cli.main([*arguments, "--aus", "1,2,4", "--image", str(photo), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["key"] == str(photo) and not found["synthetic"] and found["aus"]["AU2"]["label"] is None
    # The face and its scores are those of drml detect.
    table = [
        "detect",
        str(photo),
        "--weights",
        str(weights),
        "--aus",
        "1,2,4",
        "--out",
        str(tmp_path / "csv"),
    ]
    assert cli.main([*table, "--aligned", str(tmp_path / "faces"), "-q"]) == 0
    row = next(csv.DictReader((tmp_path / "csv/images.csv").open()))
    assert found["aus"]["AU2"]["score"] == pytest.approx(float(row["AU02_p"]), abs=2e-5)
    face = cv2.imread(str(next((tmp_path / "faces").rglob("*.png"))))
    np.testing.assert_array_equal(cv2.imread(str(out / "face.png")), face[2:22, 2:22])
    (out / "mine.png").write_bytes(photo.read_bytes())
    assert cli.main([*arguments, "--overwrite", "--aus", "1,2,4", "--image", str(out / "mine.png")]) == 1
    assert "mine.png, which is an input" in capsys.readouterr().err and (out / "mine.png").exists()
    empty = tmp_path / "empty.png"
    cv2.imwrite(str(empty), np.full((300, 300, 3), 90, np.uint8))
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no picture")
    for path, said in (
        (empty, "empty.png: no face found in it"),
        (broken, "broken.jpg: "),
        (tmp_path / "none.png", "none.png: no such image"),
    ):
        command = [*arguments, "--overwrite", "--aus", "1,2,4", "--image", str(path)]
        assert cli.main(command) == 1
        error = capsys.readouterr().err
        assert said in error and error.count("\n") == 1


# --- intensities ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["both", "intensity"])
@pytest.mark.parametrize("sigmoid_first", [False, True])
def test_gradients_of_intensities_are_differences_of_the_estimates(
    tmp_path: Path, kind: str, sigmoid_first: bool
) -> None:
    deploy, weights, compute = write_net(tmp_path, kind)
    if sigmoid_first:  # a net of a user's own, in another order
        text = read_prototxt(deploy)
        head = next(layer for layer in text.layer if layer.name == "intensity_2")
        moved = type(head)()
        moved.CopyFrom(head)
        text.layer.remove(head)
        text.layer.append(moved)
        write_prototxt(text, deploy)
    recipe = read_recipe(weights)
    assert recipe is not None
    net = CaffeGradientNet(deploy, weights, scale=SCALE, mean=recipe.input.mean, batch=3, probe=False)
    # Both kinds in one batch, in no order.
    columns = [4, 0, 3, 1, 2] if kind == "both" else [1, 0, 1]
    images = tiny.draw_images(len(columns), seed=4)
    found = net.input_gradients(images, columns)
    rng = np.random.default_rng(0)
    for index, (image, column) in enumerate(zip(images, columns, strict=True)):
        for _ in range(6):
            c, y, x = rng.integers(0, (3, tiny.INPUT, tiny.INPUT))
            values = []
            for step in (1e-3, -1e-3):
                moved_image = image.astype(np.float64)
                moved_image[y + 2, x + 2, c] += step
                outputs = compute(moved_image[None])
                kinds = ("scores", "intensities") if kind == "both" else ("intensities",)
                values.append(np.concatenate([outputs[name][0] for name in kinds])[column])
            expected = (values[0] - values[1]) / 2e-3
            assert found[index, c, y, x] == pytest.approx(expected, rel=2e-3, abs=1e-6)


@pytest.mark.parametrize("kind", ["both", "intensity"])
def test_the_maps_of_each_output(tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    deploy, weights, compute = write_net(tmp_path, kind)
    fold = write_fold(tmp_path, kind)
    out = tmp_path / "maps"
    command = ["saliency", str(weights), str(fold), "--net", str(deploy), "--out", str(out)]
    assert cli.main(command) == 0
    printed = capsys.readouterr().out
    found = json.loads((out / "saliency.json").read_text())
    names = [*(["AU1", "AU2", "AU4"] if kind == "both" else []), "AU6_r", "AU12_r"]
    assert list(found["aus"]) == names
    image = next(open_split(fold).whole_records())[1]
    outputs = compute(image[None])
    row = next(csv.DictReader((fold / "test.csv").open()))
    for at, name in enumerate(names[-2:]):
        about = found["aus"][name]
        assert about["intensity"] == pytest.approx(np.clip(outputs["intensities"][0, at], 0, 5), abs=1e-3)
        assert about["label"] == int(row[name])
        assert f"{name:<6} intensity {about['intensity']:.2f}" in printed
    if kind == "both":
        assert found["aus"]["AU2"]["score"] == pytest.approx(outputs["probabilities"][0, 1], abs=1e-4)
        assert found["aus"]["AU2"]["label"] == int(row["AU2"])
    with np.load(out / "maps.npz") as file:
        assert file["aus"].tolist() == ([1, 2, 4] if kind == "both" else [])
        assert file["intensity_aus"].tolist() == [6, 12]
        maps = file["maps"]
    assert maps.shape == (len(names), tiny.INPUT, tiny.INPUT) and maps[-1].max() > 0
    region = region_mask(12, tiny.IMAGE)[2:22, 2:22]
    assert found["aus"]["AU12_r"]["focus"] == pytest.approx(focus(maps[-1], region))
    assert sorted(path.stem for path in out.glob("AU*.png")) == sorted(names)
    section = saliency_section(out)
    assert "AU 12 Lip corner puller, intensity" in section.body and "coded" in section.body
    if kind == "intensity":
        assert cli.main([*command, "--overwrite", "--aus", "1,2"]) == 1
        assert "0 outputs, but 2 AUs" in capsys.readouterr().err
