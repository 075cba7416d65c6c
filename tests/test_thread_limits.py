"""Limits that others set: threadpoolctl's, and those of the workers of loky, Dask and Ray."""

import os
import subprocess
import sys

import numpy as np
import pytest

import fastbp as fb
from fastbp.threads import register_threadpoolctl

CODE = """
import os, numpy as np, fastbp as fb
from fastbp._engine.threads import started
def work(k):
    net = fb.Sequential(fb.Input(300), fb.Dense(500), fb.Dense(300), seed=0)
    X = np.ones((2000, 300), np.float32)
    net.fit(X, X, epochs=2, batch_size=500)
    return fb.get_num_threads(), started(), os.getpid()
"""


def run(code: str, **environment: str) -> str:
    rest = {name: value for name, value in os.environ.items() if name not in ("OMP_NUM_THREADS", "FASTBP_NUM_THREADS")}
    command = [sys.executable, "-W", "ignore", "-c", CODE + code]
    got = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, env={**rest, **environment})
    assert not got.returncode, got.stderr
    return got.stdout.strip()


def test_threadpoolctl_sees_and_limits() -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    register_threadpoolctl()
    register_threadpoolctl()
    fb.Sequential(fb.Input(2), fb.Dense(1), seed=0).predict(np.eye(2))
    before = fb.get_num_threads()
    (ours,) = [pool for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "fastbp"]
    assert ours["num_threads"] == before
    with threadpoolctl.threadpool_limits(limits=1):
        assert fb.get_num_threads() == 1
    assert fb.get_num_threads() == before
    fb.set_num_threads(None)


def test_threadpoolctl_is_told_on_first_use() -> None:
    pytest.importorskip("threadpoolctl")
    code = """
import threadpoolctl
with threadpoolctl.threadpool_limits(limits=1): pass
work(0)
with threadpoolctl.threadpool_limits(limits=1): print(work(0)[0])
"""
    assert run(code) == "1"


def test_workers_of_loky() -> None:
    pytest.importorskip("joblib")
    code = """
from joblib import Parallel, delayed
cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
found = Parallel(n_jobs=cores)(delayed(work)(k) for k in range(2 * cores))
print(max(n for n, _, _ in found), max(n for _, n, _ in found))
"""
    assert run(code) == "1 1"


def test_workers_of_dask() -> None:
    pytest.importorskip("distributed")
    code = """
if __name__ == "__main__":
    from distributed import Client
    with Client(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as client:
        print(*client.submit(lambda: os.environ["OMP_NUM_THREADS"]).result())
        print(*client.submit(work, 0).result()[:2])
"""
    assert run(code).splitlines() == ["1", "1 1"]


def test_what_ray_sets() -> None:
    """Ray sets OMP_NUM_THREADS in a worker to the processors of its task."""
    assert run("print(*work(0)[:2])", OMP_NUM_THREADS="1") == "1 1"


def test_fit_many_keeps_to_the_limit() -> None:
    code = """
import threading
seen = []
watch = lambda k: [fb.LambdaCallback(on_tick=lambda trainer, rows, logs: seen.append(threading.active_count()))]
X = np.ones((2000, 30), np.float32)
nets = [fb.Sequential(fb.Input(30), fb.Dense(50), fb.Dense(30), seed=k) for k in range(8)]
fb.set_num_threads(2)
fb.fit_many(nets, X, X, epochs=3, callbacks=watch)
print(max(seen) - 1, started())
"""
    assert run(code) in ("2 1", "1 1")
