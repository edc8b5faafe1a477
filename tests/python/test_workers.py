"""Worker processes end with the process that started them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

POOL = """
import os, time
from drml.io.workers import WorkerPool

pool = WorkerPool(1)
print(pool.submit(os.getpid).result(), flush=True)
pool.submit(time.sleep, 300)
time.sleep(300)
"""


def test_a_worker_of_a_killed_process_ends() -> None:
    process = subprocess.Popen([sys.executable, "-c", POOL], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert int(process.stdout.readline()) != process.pid
    process.kill()
    # The worker has the same stdout, so this ends when the worker does.
    assert process.communicate(timeout=60)[0] == ""


def test_nothing_forks_a_process_that_may_have_threads() -> None:
    """A lock that another thread holds stays locked in the child for ever; Python 3.12 warns of it."""
    root = Path(__file__).parents[2]
    forks = re.compile(r"\bos\.(?:fork|forkpty)\(|get_context\(\"fork\"\)|set_start_method|mp_context=None")
    pools = re.compile(r"\bmultiprocessing\.(?:Process|Pool)\(|ProcessPoolExecutor\(")
    # run.py has one thread, and its children run pytest in it.
    allowed = {root / "python/drml/io/workers.py", root / "tools/mutants/run.py", Path(__file__)}
    for folder in ("python", "tests", "tools", "examples"):
        for path in (root / folder).rglob("*.py"):
            text = path.read_text()
            assert not forks.search(text) or path in allowed, path
            assert not pools.search(text) or path in allowed, path
