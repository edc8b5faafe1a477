"""The kit for a machine with a GPU: its steps on small commands, and run.sh on scripts in Caffe's place."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "tools/gpu_kit"))
import caffe_times
import gtest_shards
import libraries
import plan
import report
import steps
import training

KIT = Path(__file__).parents[2] / "tools/gpu_kit"
QUIET = {"tell": lambda text: None, "budget_s": 60.0, "header": {"gpu": "a card"}}


def make_steps(folder: Path, *made: steps.Step, gpu: str | None = "a card", **options: object) -> dict:
    """Run steps; return what results.json says of each, by name."""
    settings = {
        **QUIET,
        "folder": folder,
        "out": folder / "out",
        "env": dict(os.environ),
        "gpu": gpu,
        **options,
    }
    results = steps.run_steps(list(made), **settings)
    written = json.loads((folder / "out/results.json").read_text())
    assert [step["name"] for step in written["steps"]] == [result.name for result in results]
    return {step["name"]: step for step in written["steps"]}


def shell(name: str, script: str, limit_s: float = 20, **options: object) -> steps.Step:
    """Return a step that runs a script of Bash and keeps the length of its output."""
    return steps.Step(name, name, limit_s, lambda c: {"length": len(c.call("bash", "-c", script))}, **options)


def is_running(pid: int) -> bool:
    try:
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except FileNotFoundError:
        return False


def test_a_step_beyond_its_limit_is_ended_with_all_it_started_and_the_rest_goes_on(tmp_path: Path) -> None:
    begin = time.monotonic()
    found = make_steps(
        tmp_path,
        # Neither the shell nor what it started listens to SIGTERM.
        shell("slow", "trap '' TERM; sleep 100 & echo $! >child; echo begun; wait; sleep 100", limit_s=1),
        shell("next", "echo fine"),
    )
    assert time.monotonic() - begin < 15
    assert (found["slow"]["outcome"], found["next"]["outcome"]) == ("timed out", "passed")
    assert found["slow"]["reason"].startswith("stopped after")
    assert "begun" in (tmp_path / "out/slow.log").read_text()
    assert not is_running(int((tmp_path / "child").read_text()))


def test_a_step_that_fails_says_why_and_the_rest_goes_on(tmp_path: Path) -> None:
    found = make_steps(
        tmp_path,
        shell("status", "echo first; echo the reason >&2; exit 7"),
        shell("signal", "kill -SEGV $$"),
        steps.Step("fault", "a fault of the kit", 5, lambda c: {"impossible": 1 // 0}),
        steps.Step("absent", "no such program", 5, lambda c: {"said": c.call("/no/such/program")}),
        shell("next", "echo fine"),
    )
    assert found["status"]["reason"] == "bash ended with exit status 7: the reason"
    assert "SIGSEGV" in found["signal"]["reason"]
    assert "ZeroDivisionError" in found["fault"]["reason"]
    assert "/no/such/program" in found["absent"]["reason"]
    assert [step["outcome"] for step in found.values()] == ["failed"] * 4 + ["passed"]


def test_what_a_step_measured_before_it_was_stopped_is_kept(tmp_path: Path) -> None:
    def measure(context: steps.Context) -> dict:
        context.figures["rows"] = rows = []
        for script in ("echo 1", "sleep 100"):
            rows.append(context.call("bash", "-c", script).splitlines()[-1])
        return {}

    found = make_steps(tmp_path, steps.Step("times", "times", 1.5, measure))
    assert (found["times"]["outcome"], found["times"]["figures"]) == ("timed out", {"rows": ["1"]})


def test_without_a_gpu_or_without_time_a_step_is_skipped(tmp_path: Path) -> None:
    made = [shell("on_gpu", "exit 1"), shell("on_cpu", "exit 0", needs_gpu=False)]
    found = make_steps(tmp_path, *made, gpu=None)
    assert (found["on_gpu"]["outcome"], found["on_gpu"]["reason"]) == ("skipped", "there is no GPU here")
    assert found["on_cpu"]["outcome"] == "passed"
    late = make_steps(tmp_path, shell("first", "sleep 100"), shell("second", "exit 0"), budget_s=1.0)
    assert [step["outcome"] for step in late.values()] == ["timed out", "skipped"]
    assert late["second"]["reason"] == "no time was left for it"


@pytest.mark.parametrize(
    ("outcomes", "gpu", "status"),
    [
        (["passed", "skipped"], "a card", 0),
        (["passed", "failed"], "a card", 1),
        (["timed out"], "a card", 1),
        (["skipped"], None, 3),
        (["failed", "skipped"], None, 1),
    ],
)
def test_the_exit_status_tells_what_happened(outcomes: list[str], gpu: str | None, status: int) -> None:
    results = [steps.Result(one, one, one, "", 0, 1, "") for one in outcomes]
    assert steps.exit_status(results, gpu) == status


GTEST = """#!/usr/bin/env bash
for argument; do [[ $argument == --gtest_filter=* ]] || exit 9; done
echo "[==========] Running 2 tests from 1 test case."
echo "[ RUN      ] GPUFirst/0.TestA"
echo "[       OK ] GPUFirst/0.TestA (3 ms)"
echo "[ RUN      ] GPUFirst/0.TestB$GTEST_SHARD_INDEX"
{middle}
echo "[==========] 2 tests from 1 test case ran. (4 ms total)"
{end}
"""
FAILS = """echo "[  FAILED  ] GPUFirst/0.TestB$GTEST_SHARD_INDEX, where TypeParam = float (1 ms)" """
PASSES = """echo "[       OK ] GPUFirst/0.TestB$GTEST_SHARD_INDEX (1 ms)" """


@pytest.mark.parametrize(
    ("middle", "end", "outcome", "reason"),
    [
        (PASSES, "exit 0", "passed", ""),
        (FAILS, "exit 1", "failed", "of 4 cases failed: GPUFirst/0.TestB0, GPUFirst/0.TestB1"),
        ("kill -ABRT $$", "", "failed", "a process ended with signal SIGABRT in GPUFirst/0.TestB0"),
        ("sleep 100", "", "timed out", ""),
    ],
)
def test_cases_are_counted_over_all_processes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, middle: str, end: str, outcome: str, reason: str
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 4)
    program = tmp_path / "test_program"
    program.write_text(GTEST.format(middle=middle, end=end))
    program.chmod(0o755)
    out = tmp_path / "out"
    limit = 2 if outcome == "timed out" else 20
    step = steps.Step("tests", "tests", limit, lambda c: gtest_shards.run_shards(c, str(program), out))
    found = make_steps(tmp_path, step)["tests"]
    assert found["outcome"] == outcome, found
    assert reason in found["reason"]
    assert found["figures"]["cases"] == (4 if middle in (PASSES, FAILS) else 2)
    assert "TestA" in (out / "tests.log").read_text()


# Lines of `caffe train` as this project's own log has them.
LOG = """I1130 03:57:09.2 27923 solver.cpp:240] Iteration 0 (-7.8e-31 iter/s, 5.8s/1 iters), loss = 8.5
I1130 03:57:15.0 27923 solver.cpp:240] Iteration 1 (0.17 iter/s, 5.8s/1 iters), loss = 7.11274
I1130 03:57:15.0 27923 solver.cpp:259]     Train net output #0: loss = 7.11274 (* 1 = 7.11274 loss)
"""


def test_losses_are_read_from_the_log_and_compared() -> None:
    losses = {int(number): float(loss) for number, loss in training.LOSS.findall(LOG)}
    assert losses == {0: 8.5, 1: 7.11274}
    assert training.check_losses(losses, {0: 8.5, 1: 7.113}, 2) == pytest.approx(2.6e-4 / 7.11274)
    late = training.EARLY
    assert training.check_losses({late: 1.0}, {late: 1.04}, 1) == pytest.approx(0.04)
    for expected, found, count in (
        ({0: 1.0}, {0: 1.002}, 1),  # too far apart for the first iterations
        ({late: 1.0}, {late: 1.06}, 1),
        ({0: 1.0}, {0: float("nan")}, 1),
        ({0: 1.0}, {0: 1.0}, 2),  # an iteration is missing
    ):
        with pytest.raises(steps.Failure):
            training.check_losses(expected, found, count)


def test_weights_that_differ_in_a_bit_are_found(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("a", "b")]
    for file in files:
        file.write_bytes(b"\0\1\2")
    training.check_same(*files)
    files[1].write_bytes(b"\0\1\3")
    with pytest.raises(steps.Failure, match="differ"):
        training.check_same(*files)


def test_libraries_are_taken_from_the_first_folder_that_has_them(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for folder, names in ((first, libraries.NEEDED[:1]), (second, libraries.NEEDED[:2])):
        folder.mkdir()
        for name in names:
            (folder / name).touch()
    assert libraries.find_libraries([str(first), str(second)]) == (
        [str(first), str(second)],
        [libraries.NEEDED[2]],
    )


def make_kit(folder: Path, caffe: str) -> Path:
    """Make a kit whose programs are scripts."""
    (folder / "kit").mkdir(parents=True)
    for file in KIT.glob("*.py"):
        shutil.copy(file, folder / "kit")
    shutil.copy(KIT / "run.sh", folder)
    (folder / "version.txt").write_text("of a test\n")
    (folder / "bin").mkdir()
    times = '{"forward_ms": 1, "backward_ms": 2, "update_ms": 0.5, "iteration_ms": 4, "loss": 1}'
    gtest = GTEST.format(middle=PASSES, end="exit 0")
    for name, script in (
        ("caffe", caffe),
        ("gpu_times", f"#!/bin/sh\necho '{times}'\n"),
        ("test_on_gpu", gtest),
        ("test_upstream", gtest),
    ):
        (folder / "bin" / name).write_text(script)
        (folder / "bin" / name).chmod(0o755)
    cuda = folder / "cuda"
    cuda.mkdir()
    for name in libraries.NEEDED:
        (cuda / name).touch()
    return folder


def run_kit(kit: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """Run run.sh where nvidia-smi is not on the PATH."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHON": sys.executable,
        "CUDA_LIBRARIES": str(kit / "cuda"),
        **env,
    }
    command = [kit / "run.sh", *arguments]
    return subprocess.run(
        command, env=environment, cwd=kit.parent, capture_output=True, text=True, timeout=120
    )


def test_a_machine_without_a_gpu_is_told_so_at_once(tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "kit", "#!/bin/sh\necho 'no CUDA-capable device is detected' >&2\nexit 1\n")
    begin = time.monotonic()
    done = run_kit(kit, "--out", "found")
    assert done.returncode == 3, done.stderr
    assert time.monotonic() - begin < 30
    assert "GPU: none that Caffe can use (no CUDA-capable device is detected)" in done.stdout
    written = json.loads((tmp_path / "found/results.json").read_text())
    assert written["gpu"] is None
    assert {step["outcome"] for step in written["steps"]} == {"skipped"}
    assert (tmp_path / "found/results.md").read_text().startswith("# No GPU\n")


def test_missing_libraries_are_named_with_the_way_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / libraries.NEEDED[1]).touch()
    monkeypatch.setattr(plan, "candidate_folders", lambda: [str(tmp_path)])
    monkeypatch.setattr(sys, "argv", ["run.sh", "--out", str(tmp_path / "out")])
    assert plan.main() == 1
    said = capsys.readouterr().err
    assert f"{libraries.NEEDED[0]}, {libraries.NEEDED[2]}: not found" in said
    assert "pip install nvidia-cublas" in said
    assert not (tmp_path / "out").exists()


CAFFE = """#!/usr/bin/env bash
case $1 in
  device_query) echo "I1130 common.cpp:177] Name:                          NVIDIA Test" >&2 ;;
  time)
    echo 'I1130 caffe.cpp:412]    region2 forward: 1.5 ms.'
    echo 'I1130 caffe.cpp:415]    region2 backward: 3 ms.' ;;
  train)
    prefix=$(sed -n 's/.*snapshot_prefix: "\\([^"]*\\)".*/\\1/p' "$3")
    count=$(sed -n 's/^max_iter: \\([0-9]*\\) .*/\\1/p' "$3")
    for ((i = 0; i < count; ++i)); do
      echo "solver.cpp:240] Iteration $i (1 iter/s, 1s/1 iters), loss = 2.$i"
    done
    for n in 100 200; do
      echo weights >"${prefix}_iter_$n.caffemodel"
      touch "${prefix}_iter_$n.solverstate"
    done
    [[ $prefix != */second/* || -z ${SECOND_DIFFERS:-} ]] || echo other >"${prefix}_iter_200.caffemodel" ;;
esac
"""


def test_all_steps_of_run_sh(tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "kit", CAFFE)
    done = run_kit(kit)
    steps_made = {s["name"]: s for s in json.loads((tmp_path / "results/results.json").read_text())["steps"]}
    assert done.returncode == 0, (done.stdout, done.stderr)
    skipped = {name for name, step in steps_made.items() if step["outcome"] == "skipped"}
    assert skipped <= {"torch"}
    assert steps_made["card"]["figures"] == {"nvidia_smi": "not found"}
    assert steps_made["train"]["figures"]["iterations"] == 200
    rows = steps_made["times"]["figures"]["rows"]
    assert len(rows) == len(caffe_times.FORMS) * len(caffe_times.MODELS) * len(caffe_times.BATCHES)
    solvers = (tmp_path / "results/times").glob("*.prototxt")
    assert all("solver_mode: GPU" in solver.read_text() for solver in solvers)
    page = (tmp_path / "results/results.md").read_text()
    assert "# NVIDIA Test" in page
    assert "| drml | 16 | Caffe, TF32 | 1.00 | 2.00 | 0.50 | 4.00 | 4000 |" in page
    assert "| region2 | 1.500 / 3.000 | 1.500 / 3.000 |" in page
    assert plan.BUDGET_S + libraries.LONGEST_QUERY_S <= 8 * 60


def test_two_trainings_that_differ_are_a_failure(tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "kit", CAFFE)
    done = run_kit(kit, "--steps", "train", SECOND_DIFFERS="1")
    assert done.returncode == 1
    assert "first/drml_iter_200.caffemodel and second/drml_iter_200.caffemodel differ" in done.stdout
    assert run_kit(kit, "--steps", "trane").returncode == 2


def test_an_old_python_is_refused(tmp_path: Path) -> None:
    kit = make_kit(tmp_path / "kit", CAFFE)
    old = tmp_path / "python"
    old.write_text('#!/bin/sh\n[ "$1" = --version ] && echo Python 3.8.1\nexit 1\n')
    old.chmod(0o755)
    done = run_kit(kit, PYTHON=str(old))
    assert (done.returncode, "Python 3.8.1 is too old" in done.stderr) == (1, True)


def test_a_case_that_pytorch_could_not_run_is_shown_as_such() -> None:
    rows = [{"model": "lcn", "batch": 128, "form": "float32", "fault": "CUDA out of memory"}]
    assert report.time_rows([], rows)[-1] == "| lcn | 128 | PyTorch, float32 | CUDA out of memory | | | | |"
