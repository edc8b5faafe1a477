"""Runs a program of tests as several processes, which share its cases, and reads what became of each case."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from steps import Context, Failure, Skip, describe_status

GPU_CASES = "*GPU*:*/2.*:*/3.*:Im2colKernelTest*"
STARTED = re.compile(r"^\[ RUN      \] (\S+)$", re.MULTILINE)
ENDED = re.compile(r"^\[(       OK|  FAILED ) \] ([\w/.]+).*\(\d+ ms\)$", re.MULTILINE)
COMPLETE = re.compile(r"^\[==========\] \d+ tests? from \d+ test cases? ran", re.MULTILINE)


def read_log(text: str, status: int) -> tuple[int, list[str], str]:
    """Return how many cases ended, which of them failed, and why the process ended too early (or "")."""
    ended = ENDED.findall(text)
    failed = [name for outcome, name in ended if "FAILED" in outcome]
    if COMPLETE.search(text):
        return len(ended), failed, ""
    names = {name for _, name in ended}
    open_cases = [name for name in STARTED.findall(text) if name not in names]
    place = f"in {open_cases[-1]}" if open_cases else "before its first case"
    return len(ended), failed, f"a process ended with {describe_status(status)} {place}"


def run_shards(
    context: Context, program: str, out: Path, *, cases: str = GPU_CASES, most: int = 6
) -> dict[str, Any]:
    """Run the cases; return their number. It is a Failure if one fails or a process ends early."""
    shards = max(1, min(most, (os.cpu_count() or 2) // 2))
    name = Path(program).name
    scratch = out / f"{name}_files"
    scratch.mkdir(exist_ok=True)
    logs = [out / f"{name}_{i}.log" for i in range(shards)]
    processes = []
    for i, log in enumerate(logs):
        log.unlink(missing_ok=True)
        env = {"GTEST_TOTAL_SHARDS": str(shards), "GTEST_SHARD_INDEX": str(i), "TMPDIR": str(scratch)}
        processes.append(context.start(program, f"--gtest_filter={cases}", env=env, log_file=log))
    count, failed, broken = 0, [], []
    try:
        context.wait(*processes)
    finally:  # also of processes that were stopped
        for log, process in zip(logs, processes, strict=True):
            ran, wrong, fault = read_log(log.read_text(errors="replace"), process.returncode)
            count, failed = count + ran, failed + wrong
            broken += [fault] if fault else []
        context.figures.update(cases=count, failed=failed)
        context.log.write_text("".join(log.read_text(errors="replace") for log in logs))
    if failed:
        more = f" and {len(failed) - 5} more" if len(failed) > 5 else ""
        broken.insert(0, f"{len(failed)} of {count} cases failed: {', '.join(failed[:5])}{more}")
    if broken:
        raise Failure("; ".join(broken))
    if count == 0:
        raise Skip(f"{name} has no such case")
    return {"cases": count, "processes": shards}
