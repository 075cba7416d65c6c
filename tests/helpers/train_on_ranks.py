"""A script that ranks run, as mpiexec or torchrun starts it: it trains a net and prints a line of JSON for each rank.

python train_on_ranks.py mpi|torch TASK FOLDER
"""

import hashlib
import importlib
import json
import sys

import numpy as np
import pytest

import fastbp as fb

ROWS, INPUTS, OUTPUTS = 61, 5, 3
SIZE = 8


def data():
    rng = np.random.default_rng(7)
    return rng.normal(size=(ROWS, INPUTS)), rng.integers(0, OUTPUTS, ROWS)


def net():
    layers = [fb.Dense(7, "tanh"), fb.BatchNorm(), fb.Dropout(0.2), fb.Dense(OUTPUTS)]
    return fb.Sequential(fb.Input(INPUTS), *layers, dtype="float64", seed=4)


def how():
    """All but the data: what one process takes too."""
    return {"loss": "cross_entropy", "optimizer": fb.Adam(lr=0.02, clip_norm=1.0), "metrics": ["accuracy"], "epochs": 3}


def result(history, trained):
    return {"history": history.history, "params": trained.params.tolist()}


def fit(group, folder):
    """A fit with a checkpoint, each rank on its rows."""
    trained, (X, y) = net(), data()
    stopping = fb.EarlyStopping(patience=50)
    callbacks = [stopping, fb.ModelCheckpoint(f"{folder}/rank0.safetensors")]
    Xr, yr = fb.distributed.shard(X, y, group)
    more = {"batch_size": SIZE, "shuffle": False, "group": group, "callbacks": callbacks, "validation_data": (X, y)}
    history = trained.fit(Xr, yr, progress=True, **more, **how())
    return result(history, trained)


def uneven(group, folder):
    """The last rank has no rows."""
    trained, (X, y) = net(), data()
    rows = 0 if group.rank == group.size - 1 else 9 * (group.rank + 1)
    history = trained.fit(X[:rows], y[:rows], batch_size=SIZE, group=group, **how())
    return result(history, trained)


def fails(group, folder):
    """The last rank raises after some batches."""

    def fail(trainer, batch, logs):
        if batch == 2 and group.rank == group.size - 1:
            raise OSError("the disk is gone")

    trained, (X, y) = net(), data()
    try:
        trained.fit(X, y, batch_size=SIZE, group=group, callbacks=[fb.LambdaCallback(on_batch_end=fail)], **how())
    except fb.distributed.RankError as error:
        return {"error": str(error)}
    except OSError as error:  # of one rank
        return {"error": f"rank 0: OSError: {error}"}
    return {}


def main(transport, task, folder):
    if transport == "torch":
        torch = pytest.importorskip("torch")
        importlib.import_module("torch.distributed").init_process_group("gloo")
    group = getattr(fb.distributed, transport)()
    found = {"fit": fit, "uneven": uneven, "fails": fails}[task](group, folder)
    bits = hashlib.sha256(json.dumps(found).encode()).hexdigest()
    with open(f"{folder}/{group.rank}.json", "w", encoding="utf-8") as file:
        json.dump({"rank": group.rank, "size": group.size, "bits": bits, **found}, file)
    if transport == "torch":
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
