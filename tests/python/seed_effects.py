"""What a seed has to change in drawn data, whichever layout they are written in."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest


def check_seed_effects(
    monkeypatch: pytest.MonkeyPatch, writer: ModuleType, write: Callable[[int], Any], pictures: int
) -> None:
    """Check that the persons, their expressions and their views follow from the seed, each by itself.

    That the files differ would not tell which part of them does. `write` draws one person's `pictures` with
    the seed that it is given, by the functions `render` and `habit` of the module `writer`.
    """
    drawn: dict[int, list[tuple[Any, ...]]] = {1: [], 2: []}
    habits: list[np.ndarray] = []
    draw, of_person = writer.render, writer.habit

    def watched_habit(*given: Any) -> np.ndarray:
        habits.append(of_person(*given))
        return habits[-1]

    monkeypatch.setattr(writer, "habit", watched_habit)
    for seed, pictured in drawn.items():

        def watched(subject: Any, aus: Any, view: Any, pictured: Any = pictured, **options: Any) -> Any:
            pictured.append((subject, aus, view))
            return draw(subject, aus, view, **options)

        monkeypatch.setattr(writer, "render", watched)
        write(seed)
    assert len(habits) == 2 and (habits[0] != habits[1]).all()
    assert len(drawn[1]) == len(drawn[2]) == pictures
    for (one, aus, view), (other, other_aus, other_view) in zip(drawn[1], drawn[2], strict=True):
        assert one.name == other.name and one.face_width != other.face_width
        assert (one.seed, other.seed) == (1, 2)
        assert aus != other_aus
        assert view.yaw != other_view.yaw and view.seed != other_view.seed
