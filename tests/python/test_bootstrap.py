"""Confidence intervals by bootstrap over subjects, against a loop that draws rows and scores them."""

import math

import numpy as np
import pytest

from drml.evaluation import bootstrap, metrics
from drml.evaluation.folds import mean_of_folds, pool
from drml.evaluation.score_table import evaluate

AUS = (1, 2, 4, 6)
DRAWS = 60


def draw_test(seed=0):
    """Return labels, scores and subjects: 7 subjects of 3 to 30 frames; AU2 is rare, AU6 unknown."""
    rng = np.random.default_rng(seed)
    sizes = np.array([30, 3, 11, 5, 17, 4, 8])
    subjects = rng.permutation(np.repeat([f"F{number:03d}" for number in range(7)], sizes))
    labels = rng.choice([-1, 0, 1], (len(subjects), 4), p=[0.5, 0.2, 0.3])
    # Only two subjects show AU2, so that some draws have no positives; one subject's AU4 is unknown.
    labels[:, 1] = np.where(np.isin(subjects, ["F001", "F005"]), labels[:, 1], -np.abs(labels[:, 1]))
    labels[subjects == "F000", 2] = 0
    labels[:, 3] = 0
    scores = np.clip(0.5 + 0.2 * labels + 0.3 * rng.standard_normal(labels.shape), 0, 1)
    return labels, np.round(scores, 1), subjects  # rounded, so that scores tie


def percentiles(values):
    defined = [value for value in values if not math.isnan(value)]
    if not defined:
        return math.nan, math.nan, 0
    return (*np.percentile(defined, [2.5, 97.5]), len(defined))


def by_drawing_rows(labels, scores, subjects, threshold, seed):
    """Return low, high and draws by (figure, AU or "Avg."); each draw repeats the rows of its subjects."""
    rng = np.random.default_rng(seed)
    names = sorted(set(subjects))
    values = {(figure, au): [] for figure in ("f1", "auc") for au in (*AUS, "Avg.")}
    for _ in range(DRAWS):
        drawn = [names[index] for index in rng.integers(len(names), size=len(names))]
        rows = np.concatenate([np.flatnonzero(subjects == name) for name in drawn])
        for figure in ("f1", "auc"):
            of_aus = []
            for column, au in enumerate(AUS):
                y, p = labels[rows, column], scores[rows, column]
                limit = np.broadcast_to(threshold, len(AUS))[column]
                of_aus.append(metrics.f1_frame(y, p, limit) if figure == "f1" else metrics.roc_auc(y, p))
                values[figure, au].append(of_aus[-1])
            defined = [value for value in of_aus if not math.isnan(value)]
            values[figure, "Avg."].append(np.mean(defined) if defined else math.nan)
    return {key: percentiles(some) for key, some in values.items()}


@pytest.mark.parametrize("pairs", [True, False], ids=["pairs of subjects", "weights of frames"])
@pytest.mark.parametrize(("seed", "threshold"), [(0, 0.5), (3, 0.3), (1, (0.2, 0.5, 0.7, 0.5))])
def test_intervals_are_those_of_drawing_rows(monkeypatch, pairs, seed, threshold):
    monkeypatch.setattr(bootstrap, "PAIRS_LIMIT", 2000 if pairs else 0)
    labels, scores, subjects = draw_test(seed)
    table = evaluate(
        labels, scores, aus=AUS, threshold=threshold, subjects=subjects, bootstrap=DRAWS, seed=seed
    )
    expected = by_drawing_rows(labels, scores, subjects, threshold, seed)
    assert 0 < expected["auc", 2][2] < DRAWS, "AU2 should be missing in some draws"
    assert expected["auc", 6][2] == expected["f1", 6][2] == 0
    for figure in ("f1", "auc"):
        found = [*table.intervals.by_au[figure], table.intervals.average[figure]]
        for au, one in zip((*AUS, "Avg."), found, strict=True):
            np.testing.assert_allclose((one.low, one.high, one.draws), expected[figure, au], rtol=1e-9)


def test_the_pairs_are_used_for_few_subjects_only(monkeypatch):
    labels, scores, subjects = draw_test()
    called = []
    for name in ("_wins_by_pairs", "_wins_by_frames"):
        way = getattr(bootstrap, name)
        monkeypatch.setattr(bootstrap, name, lambda *given, n=name, w=way: called.append(n) or w(*given))
    for draws, limit in ((7, 2000), (6, 2000), (7, 6)):
        monkeypatch.setattr(bootstrap, "PAIRS_LIMIT", limit)
        evaluate(labels[:, :1], scores[:, :1], subjects=subjects, bootstrap=draws)
    assert called == ["_wins_by_pairs", "_wins_by_frames", "_wins_by_frames"]


def test_the_figures_stay_as_they_are_and_the_seed_decides():
    labels, scores, subjects = draw_test()
    plain = evaluate(labels, scores, aus=AUS)
    one, same, other = (
        evaluate(labels, scores, aus=AUS, subjects=subjects, bootstrap=20, seed=seed) for seed in (0, 0, 1)
    )
    assert plain.intervals is None
    assert str(plain.rows) == str(one.rows)
    assert str(one.intervals) == str(same.intervals) != str(other.intervals)
    assert evaluate(labels, scores, subjects=subjects, bootstrap=0).intervals is None
    assert evaluate(labels, scores, subjects=subjects).intervals.draws == 1000


def test_intervals_are_printed_written_and_given_to_pandas():
    labels, scores, subjects = draw_test()
    table = evaluate(labels, scores, aus=AUS, subjects=subjects, bootstrap=20)
    lines = str(table).splitlines()
    assert "F1-frame (95% CI)" in lines[0] and "ROC-AUC (95% CI)" in lines[0]
    first = table.intervals.by_au["f1"][0]
    assert f"{table.rows[0].f1:.3f} ({first.low:.2f}-{first.high:.2f})" in lines[2]
    assert "- CI: 95%, 20 draws of 7 subjects, seed 0" in lines
    assert "(" not in next(line for line in lines if line.startswith(" 6"))
    found = table.to_dict()["intervals"]
    assert {key: found[key] for key in ("confidence", "draws", "seed", "subjects")} == {
        "confidence": 0.95,
        "draws": 20,
        "seed": 0,
        "subjects": 7,
    }
    assert found["aus"][0] == {
        "au": 1,
        "f1": {"low": first.low, "high": first.high, "draws": 20},
        "auc": found["aus"][0]["auc"],
    }
    assert found["aus"][3]["auc"] == {"low": None, "high": None, "draws": 0}
    assert found["average"]["auc"]["low"] == table.intervals.average["auc"].low
    frame = table.to_frame()
    assert list(frame.columns)[-4:] == ["f1_low", "f1_high", "auc_low", "auc_high"]
    assert frame.loc["AU1", "f1_low"] == first.low
    assert frame.loc["Avg.", "auc_high"] == table.intervals.average["auc"].high
    assert "intervals" not in evaluate(labels, scores, aus=AUS).to_dict()


def test_the_table_fits_into_100_columns():
    aus = (1, 2, 4, 6, 7, 10, 12, 14, 15, 17, 23, 24)
    rng = np.random.default_rng(0)
    labels = np.repeat(rng.choice([-1, 1], (20, 12)), 6000, axis=0)
    table = evaluate(labels, 0.4 - 0.1 * labels, aus=aus, subjects=np.arange(len(labels)) % 4, bootstrap=2)
    lines = str(table).splitlines()
    assert "-1.000" in lines[2] and "120000" in lines[2]
    assert max(map(len, lines)) <= 100


def test_folds_are_drawn_together():
    labels, scores, subjects = draw_test()
    folds = [(labels[:30], scores[:30]), (labels[30:], scores[30:])]
    given = {"aus": AUS, "subjects": subjects, "bootstrap": 20, "seed": 5}
    assert str(pool(folds, **given).intervals) == str(evaluate(labels, scores, **given).intervals)
    assert mean_of_folds([evaluate(labels, scores, **given)] * 2).intervals is None


def test_wrong_subjects_and_draws_are_refused():
    labels, scores, subjects = draw_test()
    with pytest.raises(ValueError, match=r"subjects of 78 frames, got shape \(3,\)"):
        evaluate(labels, scores, subjects=subjects[:3])
    with pytest.raises(ValueError, match="at least two subjects, but there are 1"):
        evaluate(labels, scores, subjects=[""] * len(labels))
    with pytest.raises(ValueError, match="-1 draws"):
        evaluate(labels, scores, subjects=subjects, bootstrap=-1)
