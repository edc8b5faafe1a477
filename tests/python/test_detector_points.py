"""The points that are found in photos: where they lie in registered faces, and the registration by them."""

from __future__ import annotations

import dataclasses
import json
import pkgutil
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

import detect_data as data
import tiny_net as tiny
from drml.data import detector_points
from drml.data.detector_points import SAMPLE, PointFinder, draw_sample, mean_points
from drml.data.face import Face
from drml.data.face_detector import model_file
from drml.data.landmark_files import landmarks_path, read_landmarks
from drml.data.landmark_model import LandmarkModel, landmark_model_file
from drml.data.prepare import Encoding, Sampling, prepare
from drml.data.readers.kinds import find_data_set
from drml.data.recipe import Recipe, RegistrationRecipe
from drml.data.recipe_text import read_data_recipe
from drml.data.registration import (
    REFERENCE,
    SIZE,
    apply,
    as_fractions,
    as_pixels,
    five_points,
    register,
    similarity,
    transform,
)
from drml.data.split import load_split, open_split
from drml.detect import Detector
from drml.io.errors import UserError
from drml.nets.trained import Net
from drml.synth import write_bp4d

GRID = np.stack(np.meshgrid(*[np.linspace(15, 185, 12)] * 2), axis=-1).reshape(-1, 2)  # over the face


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drawn") / "bp4d"
    write_bp4d(root, subjects=6, tasks=1, frames=9, jobs=1, progress=False)
    return root


@pytest.fixture(scope="module")
def given(drawn: Path) -> Path:
    out = drawn.parent / "given"
    prepare("bp4d", drawn, out, folds=[1], jobs=1, progress=False, encoding=Encoding(format="png"))
    return out / "fold1"


def records(root: Path) -> dict[str, tuple[Path, np.ndarray, str]]:
    """Key of each frame -> its image, its 49 landmarks and its subject."""
    scan = find_data_set("bp4d").read(root, aus=None, progress=False)
    return {one.key: (Path(str(one.image)), np.asarray(one.landmarks), one.subject) for one in scan.records}


def wrong_by(matrix: np.ndarray, landmarks: np.ndarray) -> float:
    """Return how far a transform is from that of the 49 landmarks: pixels of the face, RMS over it."""
    back = cv2.invertAffineTransform(transform(landmarks))
    return float(np.sqrt(((apply(matrix, apply(back, GRID)) - GRID) ** 2).sum(axis=1).mean()))


def found_by_hand(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the five points by OpenCV alone, and 49 by the landmark model."""
    detector = cv2.FaceDetectorYN.create(str(model_file()), "", image.shape[1::-1], 0.7)
    rows = detector.detect(image)[1]
    five = max(rows, key=lambda row: row[2] * row[3])[4:14].reshape(5, 2).astype(np.float64)
    return five, LandmarkModel().find(image, five)


def test_fractions_of_the_side_mean_the_same_place_at_every_size() -> None:
    corners = np.array([[-0.5, -0.5], [SIZE - 0.5, SIZE / 2 - 0.5]])
    assert as_fractions(corners) == (0, 0, 1, 0.5)
    for size in (24, 200, 256):
        np.testing.assert_allclose(
            as_fractions(as_pixels((0.25, 0.5, 0.75, 1), size), size), (0.25, 0.5, 0.75, 1)
        )
    five = five_points(REFERENCE)
    np.testing.assert_allclose(transform(five, 96, as_fractions(five)), transform(five, 96), atol=1e-9)


def test_points_are_brought_to_the_target() -> None:
    generator = np.random.default_rng(3)
    target = five_points(REFERENCE) + generator.normal(0, 4, (5, 2))
    points = apply(np.array([[2.0, 0.5, 7], [-0.5, 2.0, 9]]), target)
    np.testing.assert_allclose(
        apply(transform(points, target=as_fractions(target)), points), target, atol=1e-9
    )
    with pytest.raises(UserError, match="5 landmarks, but the registration has 49 points"):
        transform(points, target=as_fractions(REFERENCE))


class Faces:
    """A face detector that finds faces at given points."""

    def __init__(self, *points: np.ndarray) -> None:
        self.faces = [Face((0, 0, 9, 9), one, 1.0) for one in points]

    def find(self, image: np.ndarray) -> list[Face]:
        return self.faces


def test_the_face_is_the_one_that_the_landmarks_belong_to() -> None:
    finder = PointFinder()
    finder._landmark_model = None
    here, there = five_points(REFERENCE), five_points(REFERENCE + np.array([300, 0]))
    image = np.zeros((9, 9, 3), np.uint8)
    finder._detector = Faces(there, here + 3)  # type: ignore[assignment] # a stand-in
    np.testing.assert_array_equal(finder.find(image, REFERENCE), here + 3)
    np.testing.assert_array_equal(finder.find(image, here), here + 3)
    np.testing.assert_array_equal(finder.find(image), there)
    finder._detector = Faces(there)  # type: ignore[assignment] # a stand-in
    assert finder.find(image, REFERENCE) is None
    finder._detector = Faces()  # type: ignore[assignment] # a stand-in
    assert finder.find(image) is None


def test_the_sample_is_bounded_and_follows_from_the_seed() -> None:
    assert draw_sample(range(7), 0) == frozenset(range(7))
    some = draw_sample(range(5000), 1)
    assert len(some) == SAMPLE and some == draw_sample(list(range(5000))[::-1], 1) != draw_sample(
        range(5000), 2
    )


def test_the_mean_is_over_the_records_asked_for_and_of_no_fewer_than_ten() -> None:
    points = {index: np.full((5, 2), index, float) for index in range(20)}
    assert mean_points(points, range(10)) == (4.5,) * 10
    assert mean_points(points, range(11, 20)) == ()
    assert mean_points(points, [*range(10, 30)]) == (14.5,) * 10


def test_the_landmark_model_finds_the_landmarks_of_a_photo() -> None:
    image = data.astronaut()
    five, landmarks = found_by_hand(image)
    # The two models do not agree where a mouth ends; the eyes are 47 pixels apart.
    assert np.abs(five_points(landmarks) - five).max() < 10
    # The same face in an image that is turned and larger.
    matrix = np.array([[1.2, -0.4, 200], [0.4, 1.2, -20]])
    turned = cv2.warpAffine(image, matrix, (700, 700))
    again = LandmarkModel().find(turned, apply(matrix, five))
    assert np.abs(again - apply(matrix, landmarks)).max() < 1


def test_a_file_that_is_not_the_landmark_model_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.tflite: no such landmark model"):
        LandmarkModel(tmp_path / "none.tflite")
    for content in (b"", b"no net" * 99, landmark_model_file().read_bytes()[:9999]):
        (tmp_path / "bad.tflite").write_bytes(content)
        with pytest.raises(UserError, match=r"bad\.tflite: not the landmark model"):
            LandmarkModel(tmp_path / "bad.tflite")


def test_the_recipe_tells_where_the_points_of_training_faces_lie(drawn: Path, given: Path) -> None:
    recipe = read_data_recipe(given)
    assert recipe is not None and recipe.registration.points == "49 landmarks"
    assert recipe.registration.detector == "face_detection_yunet_2023mar, face_landmark"
    np.testing.assert_allclose(recipe.registration.target, (REFERENCE.ravel() + 0.5) / SIZE)
    train = open_split(given, "train").manifest
    assert train is not None
    known, placed = records(drawn), []
    for row in train.rows.values():
        image, landmarks, _ = known[row.key.split("_", 1)[1]]
        placed.append(apply(transform(landmarks), found_by_hand(cv2.imread(str(image)))[1]))
    np.testing.assert_allclose(
        as_pixels(recipe.registration.detector_target), np.mean(placed, axis=0), atol=1e-4
    )
    summary = json.loads((given.parent / "summary.json").read_text())
    assert summary["registration"]["faces"] == summary["registration"]["frames"] == len(train.rows)


def test_faces_can_be_registered_by_the_points_that_are_found(drawn: Path, tmp_path: Path) -> None:
    known = records(drawn)
    without = tmp_path / "bp4d"
    shutil.copytree(drawn, without, ignore=shutil.ignore_patterns("2DFeatures"))
    prepare(
        "bp4d",
        without,
        tmp_path / "out",
        folds=[2],
        points="detector",
        jobs=1,
        progress=False,
        encoding=Encoding(format="png", size=96),
    )
    fold = tmp_path / "out/fold2"
    recipe = read_data_recipe(fold)
    assert recipe is not None and recipe.registration.points == "detector"
    assert recipe.registration.target == recipe.registration.detector_target
    np.testing.assert_allclose(as_pixels(recipe.registration.target), REFERENCE, atol=1e-4)
    split = open_split(fold, "test")
    landmarks = read_landmarks(landmarks_path(split.lmdb))
    for key, face, _ in split.records():
        image = cv2.imread(str(known[key.split("_", 1)[1]][0]))
        found = found_by_hand(image)[1]
        np.testing.assert_array_equal(face, register(image, found, 96))
        np.testing.assert_allclose(landmarks[key], apply(transform(found, 96), found), atol=1e-4)


def test_photos_without_landmarks_are_registered_by_the_points_that_are_found(
    drawn: Path, tmp_path: Path
) -> None:
    known = list(records(drawn).values())
    lines = [
        "path,subject,AU1",
        *(f"{path},{subject},{index % 2 * 2 - 1}" for index, (path, _, subject) in enumerate(known)),
    ]
    (tmp_path / "list.csv").write_text("\n".join(lines) + "\n")
    options = {
        "images_anywhere": True,
        "sampling": Sampling(val_share=0.0),
        "folds": [1],
        "jobs": 1,
        "progress": False,
    }
    prepare("images", tmp_path / "list.csv", tmp_path / "out", points="detector", **options)
    split = open_split(tmp_path / "out/fold1", "test")
    placed = np.stack(list(read_landmarks(landmarks_path(split.lmdb)).values()))
    assert np.abs(placed.mean(axis=0) - REFERENCE).max() < 25  # drawn faces are not the reference shape
    # As "given", photos that are not square are broken: they are no registered faces.
    with pytest.raises(UserError, match="not square"):
        prepare("images", tmp_path / "list.csv", tmp_path / "no", **options)


def without_model(monkeypatch: pytest.MonkeyPatch, module: str) -> None:
    """Let the package with the model of drml.data.MODULE be missing."""
    name = f"drml.data.{module}._MODEL"
    monkeypatch.setattr(name, dataclasses.replace(pkgutil.resolve_name(name), package="no_such_package"))


def test_without_its_models_data_are_prepared_and_the_recipe_says_less(
    drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_model(monkeypatch, "landmark_model")
    options = {"folds": [1], "jobs": 1, "progress": False}
    monkeypatch.setattr("drml.data.register_task._finders", [])
    prepare("bp4d", drawn, tmp_path / "five", **options)
    recipe = read_data_recipe(tmp_path / "five/fold1")
    assert recipe is not None and recipe.registration.detector == "face_detection_yunet_2023mar"
    assert len(recipe.registration.detector_target) == 10
    assert not capsys.readouterr().err
    without_model(monkeypatch, "face_detector")
    prepare("bp4d", drawn, tmp_path / "none", **options)
    recipe = read_data_recipe(tmp_path / "none/fold1")
    assert recipe is not None and recipe.registration.points == "49 landmarks"
    assert recipe.registration.detector is None and recipe.registration.detector_target == ()
    assert "the face detector's model was not found" in capsys.readouterr().err
    with pytest.raises(UserError, match="the face detector's model was not found"):
        prepare("bp4d", drawn, tmp_path / "no", points="detector", **options)
    with pytest.raises(UserError, match="points 'eyes': choose one of given, detector"):
        prepare("bp4d", drawn, tmp_path / "no", points="eyes", **options)


def test_whole_frames_are_registered_nearly_as_the_training_faces(drawn: Path, given: Path) -> None:
    """Drawn faces have another shape than the reference, and the test has other subjects."""
    recipe = read_data_recipe(given)
    assert recipe is not None
    test = open_split(given, "test").manifest
    assert test is not None
    target, known = as_pixels(recipe.registration.detector_target), records(drawn)
    learned, reference = [], []
    for row in test.rows.values():
        path, landmarks, _ = known[row.key.split("_", 1)[1]]
        five, found = found_by_hand(cv2.imread(str(path)))
        learned.append(wrong_by(similarity(found, target), landmarks))
        reference.append(wrong_by(transform(five), landmarks))
    assert len(learned) >= 9
    assert np.mean(learned) < 2.5 < np.mean(reference)
    assert np.mean(learned) < 0.6 * np.mean(reference)


class LinearNet:
    """A net that has learned: logistic regressions on thumbnails of a fold's registered training faces."""

    face_size = SIZE

    def __init__(self, fold: Path, registration: RegistrationRecipe) -> None:
        faces, labels, _ = load_split(fold, "train")
        aus = read_data_recipe(fold).au  # type: ignore[union-attr] # a prepared fold has one
        both = [(labels == 1).sum(axis=0)[k] > 5 < (labels == -1).sum(axis=0)[k] for k in range(len(aus))]
        self.aus = tuple(au for au, usable in zip(aus, both, strict=True) if usable)
        self.recipe = Recipe(au=self.aus, registration=registration)
        self._models = []
        for column in np.flatnonzero(both):
            known = labels[:, column] != 0
            model = LogisticRegression(C=0.01, max_iter=1000)
            self._models.append(model.fit(self._inputs(faces[known]), labels[known, column]))

    def _inputs(self, faces: Sequence[np.ndarray]) -> np.ndarray:
        small = [cv2.resize(face, (34, 34), interpolation=cv2.INTER_AREA) for face in faces]
        return np.array([cv2.cvtColor(one, cv2.COLOR_BGR2GRAY).ravel() / 64 for one in small])

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        inputs = self._inputs(images)
        return np.stack([model.predict_proba(inputs)[:, 1] for model in self._models], axis=1)


def test_detect_on_whole_frames_says_what_the_net_says_of_the_registered_faces(
    drawn: Path, given: Path
) -> None:
    """From the photo to the probabilities, on subjects that neither the net nor the registration has seen."""
    split = open_split(given, "test")
    assert split.manifest is not None
    keys, faces = zip(*((key, face) for key, face, _ in split.records()), strict=True)
    frames = [str(drawn / split.manifest.rows[key].source) for key in keys]
    recipe = read_data_recipe(given)
    assert recipe is not None
    apart = {}
    for name, registration in (("learned", recipe.registration), ("reference", RegistrationRecipe())):
        net = LinearNet(given, registration)
        assert len(net.aus) >= 5
        scored = net(faces)
        table = Detector(net, largest=True, threshold=0.5)(frames)
        assert len(table) == len(frames) and table.success.eq(1).all()
        detected = table[[f"AU{au:02d}_p" for au in net.aus]].to_numpy()
        # How far the outputs move, as a share of how much they differ between faces.
        apart[name] = np.sqrt(np.mean((logit(detected) - logit(scored)) ** 2, axis=0)) / logit(scored).std(0)
        if name == "learned":
            assert ((detected >= 0.5) == (scored >= 0.5)).mean() > 0.9
    assert apart["learned"].mean() < 0.5 and apart["learned"].mean() < 0.7 * apart["reference"].mean()


class KeepingNet:
    """Keeps the faces that it gets."""

    aus, face_size = (1,), None

    def __init__(self, recipe: Recipe | None = None) -> None:
        self.faces: list[np.ndarray] = []
        self.recipe = recipe

    def __call__(self, images: Sequence[np.ndarray]) -> np.ndarray:
        self.faces += list(images)
        return np.zeros((len(images), 1))


def test_detect_registers_as_the_recipe_of_the_net_says(monkeypatch: pytest.MonkeyPatch) -> None:
    image = data.astronaut()
    five, landmarks = found_by_hand(image)
    lower, wider = as_fractions(five_points(REFERENCE) + np.array([0, 9])), as_fractions(REFERENCE * 1.1 - 10)
    for registered, points, target in (
        (RegistrationRecipe(), five, ()),
        (RegistrationRecipe("49 landmarks", target=wider), five, ()),
        (RegistrationRecipe("49 landmarks", target=wider, detector_target=lower), five, lower),
        (RegistrationRecipe("49 landmarks", target=lower, detector_target=wider), landmarks, wider),
        (RegistrationRecipe("none", detector_target=wider), landmarks, wider),
        (RegistrationRecipe("detector", target=wider, detector_target=lower), landmarks, wider),
    ):
        net = KeepingNet(Recipe(registration=registered))
        Detector(net)(image)
        expected = register(image, points, SIZE, target)
        assert np.abs(net.faces[-1].astype(int) - expected).max() <= 1
    for bad in ((0.5, 0.5), (0.5,) * 10):
        with pytest.raises(UserError, match="registration in the net's recipe is damaged"):
            Detector(KeepingNet(Recipe(registration=RegistrationRecipe("none", detector_target=bad))))
    without_model(monkeypatch, "landmark_model")
    net = KeepingNet(Recipe(registration=RegistrationRecipe("none", detector_target=wider)))
    with pytest.warns(
        UserWarning, match=r"KeepingNet: face_landmark\.tflite: .* Faces are registered by five"
    ):
        Detector(net)(image)
    expected = register(image, five)
    assert np.abs(net.faces[-1].astype(int) - expected).max() <= 1


def test_a_net_whose_recipe_does_not_tell_causes_one_warning(detect_weights: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Detector(Net(detect_weights, aus=tiny.AUS))
    other = data.write_weights(tmp_path / "net")
    data.change_recipe(other, registration=RegistrationRecipe("49 landmarks"))
    with pytest.warns(UserWarning, match="does not say where the face detector's points lie") as caught:
        Detector(Net(other, aus=tiny.AUS))
    assert len(caught) == 1


def test_a_recipe_keeps_the_registration(given: Path) -> None:
    recipe = read_data_recipe(given)
    assert recipe is not None
    again = Recipe.from_bytes(recipe.to_bytes())
    np.testing.assert_allclose(
        again.registration.detector_target, recipe.registration.detector_target, atol=1e-7
    )
    assert dataclasses.replace(again.registration, target=(), detector_target=()) == RegistrationRecipe(
        "49 landmarks", recipe.registration.detector
    )
    assert detector_points.SAMPLE == 400
