"""Worker processes end with the process that started them."""

from __future__ import annotations

import subprocess
import sys

import pytest

POOL = """
import os, time
from drml.io.workers import WorkerPool

pool = WorkerPool(1)
print(pool.submit(os.getpid).result(), flush=True)
pool.submit(time.sleep, 300)
time.sleep(300)
"""
SYNTH = """
import multiprocessing, os, time
from concurrent.futures import ProcessPoolExecutor
from drml.synth.folder import _init_worker

if __name__ == "__main__":
    fork = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(2, mp_context=fork, initializer=_init_worker)
    print(pool.submit(os.getpid).result(), flush=True)
    pool.submit(time.sleep, 300), pool.submit(time.sleep, 300)
    time.sleep(300)
"""


@pytest.mark.parametrize("script", [POOL, SYNTH])
def test_a_worker_of_a_killed_process_ends(script: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert int(process.stdout.readline()) != process.pid
    process.kill()
    # The worker has the same stdout, so this ends when the worker does.
    assert process.communicate(timeout=60)[0] == ""
