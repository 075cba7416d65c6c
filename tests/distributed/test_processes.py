"""Ranks that are processes: mpiexec with 1, 2 and 4, and torch.distributed's gloo with 2."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastbp as fb
import train_on_ranks as script

SCRIPT = Path(script.__file__)
MPIEXEC = shutil.which("mpiexec", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
has_mpi = pytest.mark.skipif(
    MPIEXEC is None or importlib.util.find_spec("mpi4py") is None, reason='pip install "fastbp[mpi]"'
)
has_torch = pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="pip install torch")
STARTS = [
    *(pytest.param("mpi", size, marks=has_mpi) for size in (1, 2, 4)),
    pytest.param("torch", 2, marks=has_torch),
]
SECONDS = 120


def run(transport, size, task, folder):
    """What each rank has written, and the text on standard error."""
    start = [MPIEXEC, "-n", str(size), sys.executable]
    if transport == "torch":
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(size)]
    command = [*start, str(SCRIPT), transport, task, str(folder)]
    environment = {**os.environ, "FASTBP_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    environment["PYTHONPATH"] = str(Path(fb.__file__).parents[1])
    done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads((folder / f"{rank}.json").read_text(encoding="utf-8")) for rank in range(size)], done.stderr


@pytest.mark.parametrize(("transport", "size"), STARTS)
def test_a_fit(transport, size, tmp_path):
    found, shown = run(transport, size, "fit", tmp_path)
    assert len({rank["bits"] for rank in found}) == 1
    assert [rank["size"] for rank in found] == [size] * size
    assert [path.name for path in tmp_path.glob("*.safetensors")] == ["rank0.safetensors"]
    assert shown.count("epoch 1/3") == 1
    X, y = script.data()
    cuts = [len(X) * rank // size for rank in range(size + 1)]
    shards = [np.arange(*cuts[rank : rank + 2]) for rank in range(size)]
    batches = [
        np.concatenate([shard[k : k + script.SIZE] for shard in shards])
        for k in range(0, max(map(len, shards)), script.SIZE)
    ]
    one = script.net()
    expected = one.fit([(X[rows], y[rows]) for rows in batches], validation_data=(X, y), **script.how())
    np.testing.assert_allclose(found[0]["params"], one.params, rtol=1e-11, atol=1e-12)
    for name, values in expected.history.items():
        np.testing.assert_allclose(found[0]["history"][name], values, rtol=1e-11)


@pytest.mark.parametrize(("transport", "size"), STARTS[1:])
def test_a_rank_without_rows(transport, size, tmp_path):
    found, _ = run(transport, size, "uneven", tmp_path)
    assert len({rank["bits"] for rank in found}) == 1


@pytest.mark.parametrize(("transport", "size"), STARTS)
def test_an_error_of_one_rank(transport, size, tmp_path):
    found, _ = run(transport, size, "fails", tmp_path)
    assert {rank["error"] for rank in found} == {f"rank {size - 1}: OSError: the disk is gone"}
