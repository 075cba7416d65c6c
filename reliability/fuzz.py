"""Changed files for each reader: it must read them or raise what SECURITY.md promises, within time and memory.

    python -m reliability.fuzz --inputs 20000 --seconds 300 model trainer onnx

Input k of a reader depends on the reader, the seed and k alone: `--at K` makes and reads that input. Each reader runs
in a child process with limited memory, where an alarm ends slow inputs; a child that dies leaves the input's number.
"""

import argparse
import contextlib
import ctypes
import os
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

os.environ.setdefault("KERAS_BACKEND", "numpy")
os.environ.setdefault("OMP_NUM_THREADS", "1")

import json

import numpy as np

import fastbp as fb
from fastbp.data import csv_file
from fastbp.network.network import Network
from reliability import mutations, seeds

SECONDS, BYTES = 5.0, 2**29  # time for one input; memory beyond what the child has when it begins
WIDEST, NODES = 2**14, 2000  # limits of the nets that are used after they were read
ROOT = Path(__file__).parents[1]


class TooLong(BaseException):
    """An input took more than its seconds."""


def _use(net: fb.Model) -> None:
    """Use a net that was read."""
    if sum(node.width for node in net.nodes) < WIDEST and len(net.nodes) < NODES:
        xs = tuple(np.zeros((3, node.width)) for node in net.inputs)
        net.predict(xs if len(xs) > 1 else xs[0])


def _trainer(path: Path) -> None:
    trainer = fb.Trainer.load(path)
    net = trainer.net
    _use(net)
    if len(net.inputs) == len(net.outputs) == 1 and sum(node.width for node in net.nodes) < WIDEST:
        with contextlib.suppress(FloatingPointError):  # the step may diverge: a file may have a rate of 1e308
            trainer.step(np.zeros((3, net.inputs[0].width)), np.zeros((3, net.outputs[0].width)))


def _keras(path: Path) -> None:
    _use(fb.from_keras(path))


def _table(path: Path) -> None:
    table = csv_file.read(path)
    for name in table.columns:
        try:
            form = table.form(name)
        except ValueError:
            continue
        if form is not None:
            table.numbers(name, form)


def _graph(path: Path) -> None:
    try:
        config = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return  # invalid JSON, which `json` refuses
    try:
        _use(Network.from_config(config))
    except MemoryError:  # without arrays, weights are drawn, as many as the graph says
        raise ValueError("as large as it says") from None


class Reader(NamedTuple):
    """Functions that make valid files, change them and read them."""

    seeds: Callable[[], list[bytes]]
    change: Callable[[random.Random, bytes, list[bytes]], bytes]
    read: Callable[[Path], object]
    suffix: str


READERS = {
    "model": Reader(seeds.models, mutations.changed_safetensors, lambda path: _use(fb.load(path)), ".safetensors"),
    "trainer": Reader(seeds.trainers, mutations.changed_safetensors, _trainer, ".safetensors"),
    "torch": Reader(
        seeds.state_dicts,
        mutations.changed_safetensors,
        lambda path: _use(fb.from_torch(path, "relu")),
        ".safetensors",
    ),
    "onnx": Reader(seeds.onnx_models, mutations.changed_onnx, lambda path: _use(fb.from_onnx(path)), ".onnx"),
    "keras": Reader(seeds.keras_models, mutations.changed_archive, _keras, ".keras"),
    "fann": Reader(
        partial(seeds.texts, seeds.FANN), mutations.changed_text, lambda path: _use(fb.from_fann(path)), ".net"
    ),
    "fann_data": Reader(partial(seeds.texts, seeds.FANN_DATA), mutations.changed_text, fb.datasets.read_fann, ".train"),
    "csv": Reader(partial(seeds.texts, seeds.CSV), mutations.changed_text, _table, ".csv"),
    "graph": Reader(seeds.graphs, mutations.changed_json, _graph, ".json"),
}


def made(reader: Reader, corpus: list[bytes], name: str, seed: int, k: int) -> bytes:
    """Input k; the first inputs are the valid files themselves."""
    if k < len(corpus):
        return corpus[k]
    rng = random.Random(f"{name} {seed} {k}")
    return reader.change(rng, rng.choice(corpus), corpus)


def _alarm(number, frame) -> None:
    raise TooLong


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def child(name: str, seed: int, first: int, last: int, place: Path, seconds: float) -> int:
    """Read inputs first ... last - 1; return the number of inputs that raised a forbidden exception."""
    reader, bad, kinds = READERS[name], 0, Counter[str]()
    corpus = reader.seeds()
    path = place / f"input{reader.suffix}"
    signal.signal(signal.SIGALRM, _alarm)
    path.write_bytes(corpus[0])
    reader.read(path)  # loads all modules that load lazily
    resource.setrlimit(resource.RLIMIT_AS, (_address_space() + BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    warnings.simplefilter("ignore")
    begin, k, longest = time.monotonic(), first, 0.0
    while k < last and time.monotonic() < begin + seconds:
        path.write_bytes(made(reader, corpus, name, seed, k))
        (place / "number").write_text(str(k))
        start = time.monotonic()
        signal.setitimer(signal.ITIMER_REAL, SECONDS)
        try:
            reader.read(path)
            kinds["read"] += 1
        except ValueError as error:  # ModelFormatError is a ValueError
            kinds[type(error).__name__] += 1
        except (Exception, TooLong) as error:
            bad += 1
            kinds[type(error).__name__] += 1
            print(f"{name} --at {k}: {type(error).__name__}: {str(error)[:200]}")
            if bad <= 5:
                traceback.print_exc(limit=-4)
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        longest = max(longest, time.monotonic() - start)
        k += 1
        if name == "keras" and k % 100 == 0:
            import keras

            keras.backend.clear_session()
    took = time.monotonic() - begin
    print(f"{name}: {k - first} inputs, {dict(kinds)}, {bad} bad, {took:.0f} s, longest {longest:.2f} s", flush=True)
    return min(bad, 100)


def _parent(name: str, options: argparse.Namespace) -> bool:
    """Run a reader in a child process; return whether all went well."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        command = [sys.executable, "-X", "faulthandler", "-m", "reliability.fuzz", "--child", folder, name]
        command += ["--seed", str(options.seed), "--inputs", str(options.inputs), "--seconds", str(options.seconds)]
        command += ["--at", str(options.at)] if options.at is not None else []
        try:
            done = subprocess.run(command, cwd=ROOT, timeout=options.seconds + 120, check=False)
        except subprocess.TimeoutExpired:
            print(f"{name}: stuck at input {Path(folder, 'number').read_text()}")
            return False
        if done.returncode < 0 or done.returncode > 100:
            print(f"{name}: died ({done.returncode}) at input {Path(folder, 'number').read_text()}")
        return done.returncode == 0


def _die_with_the_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m reliability.fuzz", description=__doc__.partition("\n")[0])
    parser.add_argument("readers", nargs="*", metavar="reader", help=f"of {', '.join(READERS)}; all if none is given")
    parser.add_argument("--inputs", type=int, default=20000, help="how many for each reader")
    parser.add_argument("--seconds", type=float, default=300.0, help="at most so long for each reader")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at", type=int, help="only this input")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    unknown = sorted(set(options.readers) - set(READERS))
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}")
    if options.child:
        _die_with_the_parent()
        first, last = (0, options.inputs) if options.at is None else (options.at, options.at + 1)
        return child(options.readers[0], options.seed, first, last, options.child, options.seconds)
    fine = [_parent(name, options) for name in options.readers or READERS]
    return 0 if all(fine) else 1


if __name__ == "__main__":
    sys.exit(main())
