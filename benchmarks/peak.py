"""The float32 FMA peak of one core, now: it changes by a factor of two on a shared machine."""

import ctypes
import os
import shlex
import subprocess
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).with_name("peak.c")
SECONDS = 1e-3  # duration of a sample


def compiled(source: Path, *flags: str, libraries: tuple[str, ...] = ("-lm",)) -> ctypes.CDLL:
    """A file of C or C++ compiled to a library, for this processor or the instruction set that FASTBP_ISA chooses.

    It is linked without the flags: the fast-math flags would flush subnormal numbers to zero in the whole process.
    """
    compiler = shlex.split(os.environ.get("CC", "cc"))
    target = {"avx2": ["-mno-avx512f"], "generic": ["-mno-avx"]}.get(os.environ.get("FASTBP_ISA", ""), [])
    words = [*compiler, *flags, "-march=native", *target, "-fPIC", "-c", str(source)]
    with tempfile.TemporaryDirectory() as folder:
        made, library = f"{folder}/compiled.o", f"{folder}/compiled.so"
        for more in (["-mprefer-vector-width=512"], []):  # not every compiler knows it
            try:
                done = subprocess.run([*words, *more, "-o", made], stderr=subprocess.PIPE, text=True, check=False)
            except FileNotFoundError:
                raise SystemExit(f"the benchmark needs a C compiler, not found: {compiler[0]}; set CC") from None
            if done.returncode == 0:
                subprocess.run([*compiler, "-shared", made, "-o", library, *libraries], check=True)
                return ctypes.CDLL(library)
    raise SystemExit(done.stderr)


class Peak:
    """Compiles the loop for this machine; `sample` measures."""

    def __init__(self) -> None:
        self._operations = compiled(SOURCE, "-O2", "-ffp-contract=fast").operations
        self._operations.restype, self._operations.argtypes = ctypes.c_double, [ctypes.c_long]
        self._rounds = 1000
        while self._timed()[0] < SECONDS:
            self._rounds *= 2

    def _timed(self):
        begin = time.perf_counter()
        done = self._operations(self._rounds)
        return time.perf_counter() - begin, done

    def sample(self) -> float:
        """Floating-point operations per second."""
        seconds, done = self._timed()
        return done / seconds
