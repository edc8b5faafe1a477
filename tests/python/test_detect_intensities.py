"""drml detect with intensities: their columns, and their adjustment, held to means and medians in loops."""

from __future__ import annotations

import json
import math
import weakref
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

import detect_data as data
from drml.cli import main
from drml.data.face import Face
from drml.detect import Detector, Outputs, adjusting, write_detections
from drml.detect.adjusting import Adjustment, RunningMedian, adjust_frames, median_of_largest_face
from drml.detect.drawing import Annotator
from drml.detect.frames import Frame
from drml.detect.pipeline import DetectedFrame
from drml.detect.sources import Source
from drml.detect.table import columns, rows
from drml.io.errors import UserError


class LevelNet:
    """Stands for a trained net: what it gives depends on the face's brightness alone."""

    face_size = 48

    def __init__(self, aus: tuple[int, ...] = (1,), intensity_aus: tuple[int, ...] = (6, 12)) -> None:
        self.aus, self.intensity_aus = aus, intensity_aus

    def __call__(self, images: Any) -> np.ndarray:
        bright = np.array([image.mean() / 255 for image in images])[:, None]
        return np.hstack([bright * np.ones(len(self.aus)), 5 * bright * np.ones(len(self.intensity_aus))])


def face(number: int, side: float = 50) -> Face:
    return Face((10.0, 10.0, side, side), np.zeros((5, 2)), 0.9, number)


def clip(values: list[dict[int, float | None]], fps: float = 10) -> Iterator[DetectedFrame]:
    """Frames of a video: for each, id -> intensity of AU6, twice that of AU12; None if not registered."""
    source = Source("clip.mp4", "video", "clip")
    crop = np.zeros((4, 4, 3), np.uint8)
    for number, found in enumerate(values, 1):
        levels = [0.0 if value is None else value for value in found.values()]
        yield DetectedFrame(
            Frame(source, number, (number - 1) / fps, None),
            [face(one) for one in found],
            [None if value is None else crop for value in found.values()],
            np.zeros((len(found), 0)),
            np.array([[level, level / 2] for level in levels]).reshape(len(found), 2),
        )


def draw(frames: int, seed: int = 0) -> list[dict[int, float | None]]:
    """Two faces, one of which comes and goes, and is not registered at times."""
    rng = np.random.default_rng(seed)
    values: list[dict[int, float | None]] = []
    for index in range(frames):
        found: dict[int, float | None] = {0: float(rng.uniform(0, 5))}
        if index % 7 < 5:
            found[1] = None if index % 11 == 3 else float(rng.uniform(0, 5))
        values.append(found)
    return values


def naive(
    values: list[dict[int, float | None]], *, neutral: Any, smooth: float, centred: bool, fps: float
) -> list[dict[int, float]]:
    """The same adjustment, frame by frame from all frames, for AU6."""
    relative: list[dict[int, float]] = []
    for index, found in enumerate(values):
        relative.append({})
        for number, value in found.items():
            if value is None:
                continue
            seen = [one[number] for one in values[: index + 1] if one.get(number) is not None]
            base = float(np.median(np.array(seen, float))) if neutral == "median" else (neutral or 0.0)
            relative[index][number] = value - base
    results = []
    low, high = (-smooth / 2, smooth / 2) if centred else (-smooth, 0)
    for index, found in enumerate(relative):
        results.append({})
        for number in found:
            window = [
                other[number]
                for at, other in enumerate(relative)
                if number in other and low - 1e-9 <= (at - index) / fps <= high + 1e-9
            ]
            results[index][number] = min(max(sum(window) / len(window), 0.0), 5.0)
    return results


@pytest.mark.parametrize("neutral", [None, "median", 1.25])
@pytest.mark.parametrize(
    ("smooth", "centred"), [(0, False), (0.35, False), (0.4, True), (1.0, True), (99, True)]
)
def test_adjusted_intensities_are_those_of_plain_loops(neutral: Any, smooth: float, centred: bool) -> None:
    values = draw(60)
    given = np.array([neutral, neutral / 2]) if isinstance(neutral, float) else neutral
    adjustment = Adjustment(given, smooth, centred)
    expected = naive(values, neutral=neutral, smooth=smooth, centred=centred, fps=10)
    found = list(adjust_frames(clip(values), adjustment))
    assert [one.frame.number for one in found] == list(range(1, 61))
    for detected, raw, wanted in zip(found, values, expected, strict=True):
        for index, one in enumerate(detected.faces):
            if one.id in wanted:
                assert detected.adjusted[index, 0] == pytest.approx(wanted[one.id], abs=1e-9)
                assert detected.intensities[index, 0] == raw[one.id]  # as it was
            else:
                assert not detected.adjusted[index].any()


def test_a_face_that_left_is_forgotten_and_one_that_may_return_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Face 0 is away for 15 frames, after which the tracker still knows it; the others are there for one frame
    # each, as a crowd that passes by.
    values: list[dict[int, float | None]] = [{0: 4.0}, *({n: 1.0} for n in range(1, 16)), {0: 2.0}]
    values += [{n: 1.0} for n in range(100, 160)]
    medians: list[weakref.ref[RunningMedian]] = []

    class Counted(RunningMedian):
        def __init__(self, columns: int) -> None:
            super().__init__(columns)
            medians.append(weakref.ref(self))

    monkeypatch.setattr(adjusting, "RunningMedian", Counted)
    alive = []
    expected = naive(values, neutral="median", smooth=1.0, centred=True, fps=10)
    for index, detected in enumerate(adjust_frames(clip(values), Adjustment("median", 1.0, True))):
        (one,) = detected.faces
        assert detected.adjusted[0, 0] == pytest.approx(expected[index][one.id], abs=1e-9)
        alive.append(sum(median() is not None for median in medians))
    assert len(medians) == 76, "face 0 has one median, with what it showed before"
    # Those of the last 15 frames, this frame, and the half of the window ahead of it.
    assert max(alive) <= 15 + 1 + 6


def test_a_face_that_is_never_registered_keeps_its_id_and_its_zero() -> None:
    # It lies outside of the image for twenty frames, in which the tracker sees it.
    values: list[dict[int, float | None]] = [{0: 1.0}, *({0: None} for _ in range(20)), {0: 3.0}]
    *_, last = adjust_frames(clip(values), Adjustment("median"))
    assert last.adjusted[0, 0] == 1, "3, less the median of 1 and 3"


def test_a_causal_window_delays_no_frame_and_a_centred_one_by_half_of_it() -> None:
    taken = []

    def counted() -> Iterator[DetectedFrame]:
        for detected in clip(draw(20)):
            taken.append(detected.frame.number)
            yield detected

    next(adjust_frames(counted(), Adjustment(None, 0.5)))
    assert taken == [1]
    taken.clear()
    next(adjust_frames(counted(), Adjustment(None, 0.6, True)))
    assert taken == [1, 2, 3, 4, 5]  # frame 1 and 0.3 s after it, and one that lies beyond


def test_the_running_median() -> None:
    values = np.random.default_rng(2).normal(size=(31, 3)).round(1)
    median = RunningMedian(3)
    for index, row in enumerate(values):
        assert median.add(row) == pytest.approx(np.median(values[: index + 1], axis=0))


def test_a_neutral_clip_is_the_median_of_its_largest_face() -> None:
    frames = list(clip([{0: 1.0, 1: 4.0}, {0: 2.0}, {1: None}, {}, {0: 5.0}]))
    frames[0].faces[1] = face(1, side=80)
    assert median_of_largest_face(frames, "clip") == pytest.approx([4.0, 2.0])
    with pytest.raises(UserError, match="clip: no face found in it"):
        median_of_largest_face(clip([{}, {1: None}]), "clip")


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"smooth": -1.0}, "smooth -1: give a length"),
        ({"smooth": math.nan}, "smooth nan"),
        ({"smooth": math.inf}, "smooth inf"),
        ({"neutral": "mean"}, "neutral 'mean': give 'median'"),
    ],
)
def test_wrong_adjustments(options: dict[str, Any], fault: str) -> None:
    with pytest.raises(UserError, match=fault):
        Adjustment(**options)


def test_columns_and_rows() -> None:
    assert columns((1,), False, (6, 12), adjusted=True)[-6:] == [
        *("AU01_c", "AU01_p", "AU06_r", "AU12_r"),
        *("AU06_r_adjusted", "AU12_r_adjusted"),
    ]
    assert not [name for name in columns((1, 2), True) if "_r" in name]
    for adjustment in (None, Adjustment("median", 0.5)):
        frames = clip([{0: 3.0}, {}, {0: None}])
        found = list(frames if adjustment is None else adjust_frames(frames, adjustment))
        width = len(columns((), False, (6, 12), adjusted=adjustment is not None))
        for detected in found:
            assert {len(row) for row in rows(detected, (), (), False)} == {width}
        assert rows(found[0], (), (), False)[0][15:17] == ["3.0000", "1.5000"]
        assert set(rows(found[1], (), (), False)[0][15:]) == {"0"}


def test_the_table_of_a_photo_and_a_video(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), data.astronaut())
    video = data.write_video(tmp_path / "clip.mp4", list(data.moving(12)))
    detector = Detector(LevelNet())
    table = detector(photo)
    assert table.AU06_r[0] == pytest.approx(5 * table.AU01_p[0], abs=1e-3) and 0 < table.AU06_r[0] < 5
    write_detections(
        [str(photo), str(video)],
        detector,
        Outputs(tmp_path / "out", tmp_path / "drawn"),
        adjustment=Adjustment(detector.neutral_intensities(photo), 0.2, True),
        progress=False,
    )
    images, frames = (pd.read_csv(tmp_path / "out" / name) for name in ("images.csv", "clip.csv"))
    assert images.AU06_r[0] == table.AU06_r[0] and "AU06_r_adjusted" not in images
    relative = frames.AU06_r - table.AU06_r[0]
    wanted = [
        max(0, np.mean([relative[at] for at in range(12) if abs(at - index) / 25 <= 0.1 + 1e-9]))
        for index in range(12)
    ]
    assert frames.AU06_r_adjusted.to_numpy() == pytest.approx(wanted, abs=2e-4)
    assert (tmp_path / "drawn" / "photo.png").is_file() or list((tmp_path / "drawn").iterdir())


def test_the_table_in_python_has_adjusted_intensities(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), data.astronaut())
    video = data.write_video(tmp_path / "clip.mp4", list(data.moving(6)))
    detector = Detector(LevelNet())
    rest = detector.neutral_intensities(photo)
    table = detector([photo, video], adjustment=Adjustment(rest, 0.1))
    written = tmp_path / "out"
    write_detections(
        [str(video)], detector, Outputs(written), adjustment=Adjustment(rest, 0.1), progress=False
    )
    frames = pd.read_csv(written / "clip.csv")
    of_video = table[table.input == str(video)]
    for name in ("AU06_r", "AU06_r_adjusted", "AU12_r_adjusted"):
        np.testing.assert_array_equal(of_video[name].to_numpy(), frames[name].to_numpy())
    assert len(frames) == 6 and frames.AU06_r_adjusted.nunique() > 1
    assert table.AU06_r_adjusted.isna().tolist() == [True] + [False] * 6
    assert "AU06_r_adjusted" not in detector(video)
    with pytest.raises(UserError, match="estimates no intensities, so that there is nothing to adjust"):
        Detector(LevelNet(intensity_aus=()))(photo, adjustment=Adjustment("median"))


def test_photos_alone_are_not_adjusted(tmp_path: Path) -> None:
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), data.astronaut())
    with pytest.raises(UserError, match=r"photo.png: only intensities of videos and webcams are adjusted"):
        write_detections(
            [str(photo)],
            Detector(LevelNet()),
            Outputs(tmp_path / "out"),
            adjustment=Adjustment("median"),
            progress=False,
        )
    assert not (tmp_path / "out").exists()


def test_a_face_keeps_its_zero_over_a_short_gap(tmp_path: Path) -> None:
    """A face that is hidden for 5 frames goes on; one that is hidden for 20 begins anew."""
    still = data.frame([(20, 20)])
    seen = [np.clip(still * (0.7 + 0.3 * (index % 9) / 9), 0, 255).astype(np.uint8) for index in range(40)]
    blank = np.full_like(seen[0], 90)
    for gap, ids in ((5, {0}), (20, {0, 1})):
        frames = [blank if 10 <= index < 10 + gap else image for index, image in enumerate(seen)]
        video = data.write_video(tmp_path / f"gap{gap}.mp4", frames)
        table = Detector(LevelNet())(video, adjustment=Adjustment("median"))
        faces = table[table.success == 1]
        assert set(faces.face_id) == ids
        last = faces[faces.face_id == max(ids)]
        wanted = [
            max(0.0, value - float(np.median(last.AU06_r[: at + 1]))) for at, value in enumerate(last.AU06_r)
        ]
        assert last.AU06_r_adjusted.to_numpy() == pytest.approx(wanted, abs=2e-4)


def test_an_occurrence_net_writes_no_intensities(tmp_path: Path, capsys: Any) -> None:
    weights = data.write_weights(tmp_path / "net")
    photo = tmp_path / "photo.png"
    cv2.imwrite(str(photo), data.astronaut())
    command = ["detect", str(photo), "--weights", str(weights), "--aus", "1,2,4", "--quiet"]
    assert main([*command, "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["intensity_aus"] == []
    assert not [name for name in pd.read_csv(tmp_path / "out" / "images.csv") if "_r" in name]
    assert main([*command, "--out", str(tmp_path / "other"), "--neutral", "median"]) == 1
    assert "estimates no intensities, which --neutral and --smooth adjust" in capsys.readouterr().err
    with pytest.raises(SystemExit) as ended:
        main([*command, "--out", str(tmp_path / "other"), "--centred"])
    assert ended.value.code == 2


def test_pictures_show_intensities() -> None:
    detected = next(clip([{0: 4.5}]))
    detected.probabilities = np.array([[0.9]])
    detected.frame.image = np.full((240, 320, 3), 90, np.uint8)
    both = Annotator((1,), (0.5,), (6, 12))
    high = both.draw(detected)
    detected.intensities = np.array([[0.0, 0.0]])
    low = both.draw(detected)
    assert high.shape == low.shape and (high != low).any()
    assert both.present(np.array([0.9, 4.5, 2.0])) == [1]
    assert Annotator((), (), (6, 12)).present(np.array([0.9, 1.0])) == [12]
