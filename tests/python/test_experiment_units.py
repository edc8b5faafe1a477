"""drml.experiments.units: done once, whole or not at all, gone on with."""

from __future__ import annotations

import fcntl
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from drml.experiments.scheduler import run_units
from drml.experiments.settings import data_digest
from drml.experiments.units import Unit, Workspace, read_result, run_unit
from drml.io.errors import UserError


class Work:
    """Counts how often it is done, and writes a file."""

    def __init__(self, fault: BaseException | None = None) -> None:
        self.times, self.fault = 0, fault

    def __call__(self, workspace: Workspace) -> dict[str, Any]:
        self.times += 1
        time.sleep(0.2)
        (workspace.folder / f"part{self.times}").write_text("x")
        if self.fault is not None:
            raise self.fault
        return {"times": self.times}


def unit(name: str, work: Callable[[Workspace], dict[str, Any]], **config: Any) -> Unit:
    return Unit(name, name.split("/")[1], config, {"command": f"drml experiment unit OUT {name}"}, work)


def test_the_digest_of_data_covers_every_part_and_not_the_place(tmp_path: Path) -> None:
    def write(fold: Path, **changed: bytes) -> str:
        for split in ("train", "val", "test"):
            (fold / f"{split}_lmdb").mkdir(parents=True)
            (fold / f"{split}_lmdb/data.mdb").write_bytes(changed.get(f"{split}_lmdb", b"pages"))
            (fold / f"{split}.csv").write_bytes(changed.get(split, split.encode()))
        (fold / "mean.binaryproto").write_bytes(changed.get("mean", b"mean"))
        return data_digest(fold)

    usual = write(tmp_path / "usual")
    assert write(tmp_path / "elsewhere/deep") == usual
    parts = ("train", "val", "test", "mean", "train_lmdb", "val_lmdb", "test_lmdb")
    others = [write(tmp_path / part, **{part: b"changed"}) for part in parts]
    assert len({usual, *others}) == 1 + len(parts)
    (tmp_path / "usual/mean.binaryproto").unlink()
    with pytest.raises(UserError, match=r"mean\.binaryproto: missing"):
        data_digest(tmp_path / "usual")


def test_a_unit_is_done_once(tmp_path: Path) -> None:
    work = Work()
    assert read_result(tmp_path, "fold1/a") is None
    began = time.monotonic()
    first = run_unit(tmp_path, unit("fold1/a", work, seed=1), progress=False)
    took = time.monotonic() - began
    assert run_unit(tmp_path, unit("fold1/a", work, seed=1), progress=False) == first
    assert work.times == 1 and first["times"] == 1 and first["versions"]["Python"]
    assert 0.2 <= first["seconds"] <= took + 0.1  # the work takes 0.2 s; the figure is rounded
    assert read_result(tmp_path, "fold1/a") == first
    folder = tmp_path / "fold1/a"
    assert {path.name for path in folder.iterdir()} == {"config.json", "log.txt", "part1", "result.json"}
    assert json.loads((folder / "config.json").read_text())["config"] == {"seed": 1}
    assert "finished in" in (folder / "log.txt").read_text()


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"seed": 2, "net": "abc"}, "made with seed 1, not 2"),
        ({"seed": 1, "net": "x" * 64}, r"made with net abc, not x{12}\.\.\.;"),
        ({"seed": 1}, "made with net abc, not null"),
    ],
)
def test_another_config_is_refused(tmp_path: Path, config: dict[str, Any], said: str) -> None:
    run_unit(tmp_path, unit("fold1/a", Work(), seed=1, net="abc"), progress=False)
    with pytest.raises(UserError, match=said):
        run_unit(tmp_path, unit("fold1/a", Work(), **config), progress=False)
    other = Work()
    with pytest.raises(UserError, match=said):  # before anything is begun
        run_units(tmp_path, [unit("fold1/b", other), unit("fold1/a", Work(), **config)], progress=False)
    assert not other.times


def test_an_interrupt_leaves_what_is_finished_and_the_rest_goes_on(tmp_path: Path) -> None:
    one, two = Work(), Work(KeyboardInterrupt())
    units = [unit("fold1/a", one), unit("fold1/b", two)]
    with pytest.raises(KeyboardInterrupt):
        run_units(tmp_path, units, progress=False)
    assert (tmp_path / "fold1/a/result.json").exists() and not (tmp_path / "fold1/b").exists()
    assert (tmp_path / "fold1/b.partial/part1").exists()
    two.fault = None
    run_units(tmp_path, units, progress=False)
    assert (one.times, two.times) == (1, 2)
    assert (tmp_path / "fold1/b/part1").exists() and (tmp_path / "fold1/b/part2").exists()
    assert "KeyboardInterrupt" in (tmp_path / "fold1/b/log.txt").read_text()


def test_what_an_interrupt_left_of_another_config_goes(tmp_path: Path) -> None:
    work = Work(UserError("no"))
    with pytest.raises(UserError):
        run_unit(tmp_path, unit("fold1/a", work, seed=1), progress=False)
    work.fault = None
    run_unit(tmp_path, unit("fold1/a", work, seed=2), progress=False)
    assert not (tmp_path / "fold1/a/part1").exists() and (tmp_path / "fold1/a/part2").exists()


def test_a_failed_unit_does_not_stop_the_others(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = Work()
    units = [unit("fold1/a", Work(UserError("x: broken"))), unit("fold1/b", good), unit("fold2/b", good)]
    with pytest.raises(UserError, match=r"fold1/a: x: broken; run the same command again"):
        run_units(tmp_path, units)
    assert good.times == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "[1/3] fold1/a" and said[2].startswith("[3/3] fold2/b, about 0 s left")


def test_two_processes_do_not_do_the_same_unit(tmp_path: Path) -> None:
    partial = tmp_path / "fold1/a.partial"
    partial.mkdir(parents=True)
    with (partial / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="fold1/a: another process is working on it"):
            run_unit(tmp_path, unit("fold1/a", Work()), progress=False)
    run_unit(tmp_path, unit("fold1/a", Work()), progress=False)


def test_what_another_process_finished_before_the_lock_is_not_done_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = Work(), Work()
    lock = fcntl.flock
    others: list[dict[str, Any]] = []

    def flock(file: Any, how: int) -> None:
        if not others:
            others.append({})  # the other process comes here as well
            others[0] = run_unit(tmp_path, unit("fold1/a", first), progress=False)
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", flock)
    assert run_unit(tmp_path, unit("fold1/a", second), progress=False) == others[0]
    assert (first.times, second.times) == (1, 0)


def test_damaged_files_are_named(tmp_path: Path) -> None:
    run_unit(tmp_path, unit("fold1/a", Work()), progress=False)
    (tmp_path / "fold1/a/result.json").write_text("{")
    with pytest.raises(UserError, match=r"result\.json: damaged; remove its folder"):
        run_unit(tmp_path, unit("fold1/a", Work()), progress=False)
