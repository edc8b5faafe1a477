from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drml.data.labels import BP4D_AUS
from drml.data.sampling import (
    Sampling,
    count_drawn,
    count_labels,
    describe_sampling,
    draw,
    draw_video,
    training_labels,
)
from drml.io.errors import UserError


def labels_of(seed: int, frames: int, aus: int) -> np.ndarray:
    return np.random.default_rng(seed).choice([-1, 0, 1], (frames, aus), p=[0.5, 0.1, 0.4]).astype(np.int8)


@given(st.integers(0, 10**6), st.integers(0, 120), st.integers(0, 40), st.integers(0, 40))
def test_so_many_of_each_kind_or_all_there_are(
    seed: int, frames: int, positives: int, negatives: int
) -> None:
    labels = labels_of(seed, frames, 3)
    drawn = draw_video(labels, "F001_T1", (1, 2, 4), positives=positives, negatives=negatives, seed=seed)
    for column in range(3):
        for value, asked in ((1, positives), (-1, negatives), (0, 0)):
            there = labels[:, column] == value
            assert (drawn[:, column] & there).sum() == min(asked, there.sum())


def test_the_papers_numbers_are_the_default() -> None:
    labels = np.repeat(np.array([[1], [-1]], np.int8), 500, axis=0)
    drawn = draw_video(labels, "F001_T1", (12,))
    assert drawn[:500].sum() == 100 and drawn[500:].sum() == 200
    np.testing.assert_array_equal(draw(["F001_T1"] * 1000, range(1000), labels, (12,)), drawn)


def test_the_defaults_are_seed_0_and_a_mask() -> None:
    assert (Sampling().seed, Sampling().unsampled, Sampling().val_share) == (0, "mask", 0.2)
    assert not Sampling().all_frames and Sampling().positives is Sampling().negatives is None
    labels = labels_of(3, 60, 2)
    usual = draw_video(labels, "v", (1, 2), positives=5, negatives=5)
    np.testing.assert_array_equal(usual, draw_video(labels, "v", (1, 2), positives=5, negatives=5, seed=0))
    np.testing.assert_array_equal(
        usual, draw(["v"] * 60, range(60), labels, (1, 2), positives=5, negatives=5)
    )


def test_the_draw_is_the_same_as_in_earlier_versions() -> None:
    """Prepared data sets name their seed; the same frames must follow from it."""
    drawn = draw_video(np.ones((12, 1), np.int8), "F001_T1", (12,), positives=4, seed=7)
    # random.Random("7/F001_T1/AU12").sample(range(12), 4), by Python 3.11
    assert np.flatnonzero(drawn[:, 0]).tolist() == [1, 4, 6, 9]


def test_intensities_are_drawn_level_by_level() -> None:
    levels = np.repeat(np.array([0, 1, 2, 3, 4, 5, 9], np.int8), [30, 9, 8, 7, 2, 1, 20])
    labels = np.stack([np.where(levels >= 3, 1, -1).astype(np.int8), levels], axis=1)
    drawn = draw_video(labels, "SN001", (12,), positives=3, negatives=11, intensity_aus=(12,))
    assert [int(drawn[levels == level, 1].sum()) for level in (0, 1, 2, 3, 4, 5, 9)] == [11, 3, 3, 3, 2, 1, 0]
    assert drawn[labels[:, 0] == 1, 0].sum() == 3 and drawn[labels[:, 0] == -1, 0].sum() == 11
    # An occurrence that was not drawn is 0, an intensity 9.
    masked = training_labels(labels, drawn, intensities=1)
    for row, one in enumerate(masked.tolist()):
        assert one == [
            labels[row, 0] if drawn[row, 0] else 0,
            labels[row, 1] if drawn[row, 1] else 9,
        ]
    found = count_drawn(labels, drawn, (12,), (12,))
    assert found["levels"] == {
        "AU12_r": {
            str(level): {"drawn": some, "of": of, "share": pytest.approx(some / of, abs=5e-5)}
            for level, some, of in ((0, 11, 30), (1, 3, 9), (2, 3, 8), (3, 3, 7), (4, 2, 2), (5, 1, 1))
        }
    }
    assert found["labels"]["of"] == len(levels) + (levels != 9).sum()
    assert found["frames"] == {
        "drawn": sum(map(any, drawn.tolist())),
        "of": len(levels),
        "share": pytest.approx(sum(map(any, drawn.tolist())) / len(levels), abs=5e-5),
    }


def test_labels_are_counted_au_by_au() -> None:
    labels = np.array([[1, -1, 4], [1, 0, 0], [-1, 0, 9], [1, 0, 4], [0, 0, 5]], np.int8)
    assert count_labels(labels, (1, 6, 12)[:2], (12,)) == {
        "known": {"AU1": 4, "AU6": 1},
        "base_rate": {"AU1": 0.75, "AU6": 0.0},
        "levels": {"AU12_r": {"0": 1, "1": 0, "2": 0, "3": 0, "4": 2, "5": 1, "9": 1}},
    }
    assert count_labels(labels[:, 1:2][1:], (6,)) == {"known": {"AU6": 0}, "base_rate": {"AU6": None}}
    # Rounded to four digits: two of three are present.
    assert count_labels(labels[[0, 1, 2], :1], (1,))["base_rate"] == {"AU1": 0.6667}


@given(st.integers(0, 10**6))
def test_the_draw_of_a_video_depends_on_nothing_else(seed: int) -> None:
    labels = labels_of(seed, 90, 2)
    videos = ["F001_T1"] * 30 + ["F001_T2"] * 30 + ["M001_T1"] * 30
    frames = [*range(30)] * 3
    options = {"positives": 5, "negatives": 7, "seed": seed % 7}
    drawn = draw(videos, frames, labels, (6, 12), **options)
    assert drawn.sum(axis=1).max() <= 2
    # In any order of the frames,
    order = list(range(90))
    random.Random(seed).shuffle(order)
    shuffled = draw([videos[i] for i in order], [frames[i] for i in order], labels[order], (6, 12), **options)
    np.testing.assert_array_equal(shuffled, drawn[order])
    # of the AUs,
    np.testing.assert_array_equal(draw(videos, frames, labels[:, ::-1], (12, 6), **options), drawn[:, ::-1])
    # and with a video or an AU alone.
    alone = draw(videos[30:60], frames[30:60], labels[30:60, 1:], (12,), **options)
    np.testing.assert_array_equal(alone, drawn[30:60, 1:])


def test_seed_video_and_au_each_change_the_draw() -> None:
    labels = np.ones((200, 2), np.int8)

    def drawn(seed: int, video: str) -> np.ndarray:
        return draw_video(labels, video, (1, 2), positives=50, seed=seed)

    first = drawn(0, "F001_T1")
    np.testing.assert_array_equal(first, drawn(0, "F001_T1"))
    assert (first[:, 0] != first[:, 1]).any()
    assert (first != drawn(1, "F001_T1")).any()
    assert (first != drawn(0, "F001_T2")).any()


def test_every_frame_is_as_likely() -> None:
    labels = np.ones((20, 1), np.int8)
    hits = sum(draw_video(labels, "v", (1,), positives=5, seed=seed)[:, 0].astype(int) for seed in range(800))
    # 200 expected for each of 20; five standard deviations are 61.
    assert np.abs(hits - 200).max() < 61


def test_labels_not_drawn_for_become_unknown_or_stay() -> None:
    labels = np.array([[1, -1], [0, 1]], np.int8)
    drawn = np.array([[True, False], [False, True]])
    assert training_labels(labels, drawn, "keep").tolist() == labels.tolist()
    for masked in (training_labels(labels, drawn), training_labels(labels, drawn, "mask")):
        assert masked.tolist() == [[1, 0], [0, 1]] and masked.dtype == np.int8
    with pytest.raises(UserError, match="'forget': choose one of mask, keep"):
        training_labels(labels, drawn, "forget")


def test_long_videos_are_sampled_label_by_label() -> None:
    """Twelve AUs draw nearly every frame of BP4D's videos; what is sampled are the labels."""
    rng = np.random.default_rng(0)
    rates = np.linspace(0.05, 0.6, len(BP4D_AUS))
    videos, frames = np.repeat(["F001_T1", "F001_T2"], 447), np.tile(np.arange(447), 2)
    labels = np.where(rng.random((2 * 447, len(BP4D_AUS))) < rates, 1, -1).astype(np.int8)
    labels[rng.random(labels.shape) < 0.02] = 0
    drawn = draw(videos.tolist(), frames.tolist(), labels, BP4D_AUS)
    masked = training_labels(labels, drawn)
    found = count_drawn(labels, drawn, BP4D_AUS)
    for column, au in enumerate(BP4D_AUS):
        for kind, value, most in (("positives", 1, 100), ("negatives", -1, 200)):
            there = [(labels[videos == video, column] == value).sum() for video in ("F001_T1", "F001_T2")]
            expected = sum(min(most, count) for count in there)
            assert (masked[:, column] == value).sum() == expected
            assert found[kind][f"AU{au}"] == {
                "drawn": expected,
                "of": sum(there),
                "share": round(expected / sum(there), 4),
            }
    # Nothing unknown was drawn, and what was not drawn is unknown.
    assert not (drawn & (labels == 0)).any()
    np.testing.assert_array_equal(masked != 0, drawn)
    assert found["labels"]["drawn"] == (masked != 0).sum() and found["labels"]["of"] == (labels != 0).sum()
    assert found["frames"]["share"] > 0.99 and found["labels"]["share"] < 0.65


def test_nothing_to_draw_from_has_no_share() -> None:
    found = count_drawn(np.zeros((3, 1), np.int8), np.zeros((3, 1), bool), (7,))
    assert found["positives"]["AU7"] == found["labels"] == {"drawn": 0, "of": 0, "share": None}
    assert found["frames"] == {"drawn": 0, "of": 3, "share": 0.0}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"positives": 5, "unsampled": "mask"},
            "for each AU and video, up to 5 with it and all without it; labels",
        ),
        (
            {"positives": 5, "negatives": 9, "unsampled": "keep"},
            "labels of AUs for which a frame was not drawn are kept",
        ),
        (
            {"positives": 5, "negatives": 9, "unsampled": "mask", "target": "intensity"},
            "for each AU and video, up to 5 of each level from 1 to 5 and up to 9 of level 0; labels",
        ),
        (
            {"positives": 5, "negatives": 9, "unsampled": "mask", "target": "both"},
            "up to 5 with it and up to 9 without it; of intensities, up to 5 of each level from 1 to 5",
        ),
        ({"positives": None, "negatives": None, "unsampled": "mask"}, "all frames"),
        ({"positives": 5, "negatives": 9, "all_frames": True}, "all frames"),
    ],
)
def test_sampling_in_words(options: dict[str, Any], said: str) -> None:
    assert said in describe_sampling(options)


def test_all_frames_and_numbers_of_frames_contradict_each_other() -> None:
    with pytest.raises(UserError, match="negatives 9: nothing is sampled with all_frames"):
        Sampling(negatives=9, all_frames=True)


@pytest.mark.parametrize("name", ["positives", "negatives"])
def test_negative_counts_are_refused(name: str) -> None:
    with pytest.raises(UserError, match="cannot be negative"):
        draw_video(np.ones((3, 1)), "v", (1,), **{name: -1})
    with pytest.raises(UserError, match=rf"{name} -1"):
        Sampling(**{name: -1})
    assert not draw_video(np.ones((3, 1)), "v", (1,), positives=0, negatives=0).any()


def test_frames_of_one_kind_alone_can_be_drawn() -> None:
    assert Sampling(positives=0, negatives=1).negatives == Sampling(positives=1, negatives=0).positives == 1
    assert Sampling(positives=1, negatives=1).positives == 1
    with pytest.raises(UserError, match="there would be no training frames"):
        Sampling(positives=0, negatives=0)
