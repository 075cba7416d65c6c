"""Every allocation fails once: MemoryError and a usable process, never a crash.

    python -m reliability.failing_allocations --seconds 60

For each of construct, step, fit, predict, save and load, allocation n fails, n = 1, 2, 3 ... until the call makes fewer
allocations: first the engine's from the C library, then NumPy's. A preloaded shim makes them fail. After each failure
another net must train and predict. Allocations of Python's own objects are left out: some failures crash CPython 3.11.
"""

import argparse
import ctypes
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

import fastbp as fb
from fastbp import derivatives

HERE = Path(__file__).parent
PARTS = {"engine": "fastbp/_engine", "NumPy": "_multiarray_umath"}
RNG = np.random.default_rng(0)
X, T = RNG.normal(size=(40, 4)), RNG.normal(size=(40, 2))


def net_of() -> fb.Sequential:
    return fb.Sequential(fb.Input(4), fb.Dense(8, "tanh"), fb.BatchNorm(), fb.Dropout(0.1), fb.Dense(2), seed=0)


def calls(folder: str) -> dict[str, Callable[[], Callable[[], Any]]]:
    """Functions by name, each of which prepares a call and returns it."""
    path = os.path.join(folder, "net.safetensors")
    net_of().save(path)

    def bound(method: Callable, of: Callable = net_of) -> Callable[[], Callable[[], Any]]:
        return lambda: partial(method, of())

    return {
        "construct": lambda: net_of,
        "step": bound(lambda trainer: trainer.step(X, T), lambda: fb.Trainer(net_of())),
        "fit": bound(lambda net: net.fit(X, T, epochs=2, batch_size=8)),
        "predict": bound(lambda net: net.predict(X)),
        "jacobian": bound(lambda net: derivatives.jacobian(net, X[:3])),
        "save": bound(lambda net: net.save(os.path.join(folder, "other.safetensors"))),
        "load": lambda: partial(fb.load, path),
    }


def usable() -> None:
    net = net_of()
    net.fit(X, T, epochs=1, batch_size=16)
    assert np.isfinite(net.predict(X)).all()


class Shim:
    """The functions of the preloaded library."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(None)
        self.library.allocations.restype = ctypes.c_long

    def fail(self, n: int) -> None:
        self.library.fail_at(ctypes.c_long(n))

    def clear(self) -> int:
        """Make no more allocations fail; return the number of allocations so far."""
        count = self.library.allocations()
        self.library.fail_at(ctypes.c_long(0))
        return count


def through(name: str, make: Callable, shim: Shim, end: float) -> bool:
    """Let each allocation of one call fail; print how far the search came, return whether all went well."""
    n, errors, good = 1, 0, True
    while time.monotonic() < end:
        call, count = make(), 0
        shim.fail(n)
        try:
            call()
        except MemoryError:
            errors += 1
        except BaseException as error:
            good = False
            shim.clear()
            print(f"{name}: allocation {n} gave {type(error).__name__}: {error}", flush=True)
            count = n
        finally:
            count = max(count, shim.clear())
        usable()
        if count < n:
            break
        n += 1
    done = "all" if time.monotonic() < end else "time was over"
    print(f"{name}: {n - 1} allocations failed ({done}), {errors} times MemoryError", flush=True)
    return good


def child(which: str, seconds: float) -> int:
    with tempfile.TemporaryDirectory() as folder:
        made, shim, good = calls(folder), Shim(), True
        for make in made.values():
            make()()  # loads all modules that load lazily
        usable()
        for name, make in made.items():
            good &= through(f"{which}, {name}", make, shim, time.monotonic() + seconds / len(made))
        return 0 if good else 1


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m reliability.failing_allocations", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="for each of both kinds")
    parser.add_argument("--child", choices=PARTS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        return child(options.child, options.seconds)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        shim = os.path.join(folder, "failing.so")
        compiler = os.environ.get("CC", "cc").split()
        subprocess.run([*compiler, "-O1", "-shared", "-fPIC", "-o", shim, HERE / "failing.c", "-ldl"], check=True)
        for which, part in PARTS.items():
            command = [sys.executable, "-X", "faulthandler", "-m", "reliability.failing_allocations"]
            command += ["--child", which, "--seconds", str(options.seconds)]
            environment = {**os.environ, "LD_PRELOAD": shim, "FAILS_IN": part}
            done = subprocess.run(
                command, cwd=HERE.parent, env=environment, timeout=2 * options.seconds + 60, check=False
            )
            if done.returncode < 0:
                print(f"{which}: died of signal {-done.returncode}")
            good &= done.returncode == 0
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
