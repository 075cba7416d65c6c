"""Data larger than memory: `python -m benchmarks.chunks FOLDER [--kind h5py]` writes 2 GB, trains on it and deletes it.

Reading and training run in a process of their own, whose private memory (RssAnon, Linux) is sampled every 10 ms.
"""

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fastbp as fb

ROWS, WIDTH, PART = 4_000_000, 128, 65_536
KINDS = ("npy", "h5py", "zarr", "dask", "parquet")


def parts() -> Iterator[tuple[slice, np.ndarray]]:
    """All rows, part by part."""
    rng = np.random.default_rng(0)
    for k in range(0, ROWS, PART):
        rows = slice(k, min(k + PART, ROWS))
        yield rows, rng.normal(size=(rows.stop - k, WIDTH)).astype(np.float32)


def written(kind: str, folder: Path) -> None:
    """Write the data to disk."""
    shapes = {"X": (ROWS, WIDTH), "y": (ROWS, 1)}
    if kind == "parquet":
        import pyarrow as pa
        from pyarrow import parquet

        names = [f"x{k}" for k in range(WIDTH)]
        schema = pa.schema([(name, pa.float32()) for name in [*names, "y"]])
        settings = {"compression": "none", "use_dictionary": False}
        with parquet.ParquetWriter(folder / "data.parquet", schema, **settings) as file:
            for _, X in parts():
                file.write_table(pa.table([*X.T, X[:, 0]], schema=schema), row_group_size=PART)
        return
    if kind == "h5py":
        import h5py

        file = h5py.File(folder / "data.h5", "w")
        arrays = {n: file.create_dataset(n, s, "f4", chunks=(PART // 4, s[1])) for n, s in shapes.items()}
    elif kind == "npy":
        arrays = {n: np.lib.format.open_memmap(folder / f"{n}.npy", "w+", "f4", s) for n, s in shapes.items()}
    else:
        import zarr

        settings = {"dtype": "f4", "compressors": None}
        arrays = {
            n: zarr.create_array(folder / n, shape=s, chunks=(PART // 4, s[1]), **settings) for n, s in shapes.items()
        }
    for rows, X in parts():
        arrays["X"][rows], arrays["y"][rows] = X, X[:, :1]
    if kind == "h5py":
        file.close()


def batches(kind: str, folder: Path) -> fb.Chunks:
    """The batches to train on."""
    if kind == "parquet":
        return fb.Chunks.parquet(folder / "data.parquet", "y", batch_size=256, seed=0)
    found: Any
    if kind == "npy":
        found = [np.load(folder / f"{name}.npy", mmap_mode="r") for name in "Xy"]
    elif kind == "h5py":
        import h5py

        file = h5py.File(folder / "data.h5")
        found = [file["X"], file["y"]]
    elif kind == "zarr":
        import zarr

        found = [zarr.open(folder / name, mode="r") for name in "Xy"]
    else:
        from dask import array

        found = [array.from_zarr(str(folder / name)) for name in "Xy"]
    return fb.Chunks(*found, batch_size=256, seed=0)


def private() -> float:
    """Private memory of this process in MB."""
    status = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) / 1e3


def trained(kind: str, folder: Path) -> str:
    """Train; return one line with the peak of the memory and the seconds."""
    net = fb.Sequential(fb.Input(WIDTH), fb.Dense(16, "relu"), fb.Dense(1), seed=0)
    data, peak = batches(kind, folder), [0.0]
    before = private()

    def watch():
        while True:
            peak[0] = max(peak[0], private())
            time.sleep(0.01)

    threading.Thread(target=watch, daemon=True).start()
    times, peaks = [], []
    for run in (lambda: net.fit(data), lambda: sum(len(Y) for Y in net.predict(data))):
        begin = time.perf_counter()
        run()
        times.append(time.perf_counter() - begin)
        peaks.append(peak[0] - before)
    return f"{kind:8} fit +{peaks[0]:.0f} MB {times[0]:.1f} s, predict +{peaks[1]:.0f} MB {times[1]:.1f} s\n"


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kind", choices=KINDS, action="append")
    parser.add_argument("--read", action="store_true", help="train on what is there")
    arguments = parser.parse_args()
    for kind in arguments.kind or KINDS:
        if arguments.read:
            sys.stdout.write(trained(kind, arguments.folder))
            continue
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            written(kind, Path(folder))
            subprocess.run([sys.executable, "-m", "benchmarks.chunks", folder, "--kind", kind, "--read"], check=True)


if __name__ == "__main__":
    main()
