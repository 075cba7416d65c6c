"""The float32 FMA peak of one core, now: it changes by a factor of two on a shared machine."""

import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

SOURCE = Path(__file__).with_name("peak.c")
SECONDS = 1e-3  # of a sample


class Peak:
    """Compiles the loop for this machine; `sample` measures."""

    def __init__(self) -> None:
        compiler = shutil.which(os.environ.get("CC", "cc"))
        if compiler is None:
            raise SystemExit("the benchmark needs a C compiler to measure the machine's peak; set CC")
        with tempfile.TemporaryDirectory() as folder:
            library = f"{folder}/peak.so"
            flags = ["-O2", "-march=native", "-mprefer-vector-width=512", "-ffp-contract=fast", "-shared", "-fPIC"]
            if not self._compiled([compiler, *flags, str(SOURCE), "-o", library]):
                flags.remove("-mprefer-vector-width=512")
                subprocess.run([compiler, *flags, str(SOURCE), "-o", library], check=True)
            self._operations = ctypes.CDLL(library).operations
        self._operations.restype, self._operations.argtypes = ctypes.c_double, [ctypes.c_long]
        self._rounds = 1000
        while self._timed()[0] < SECONDS:
            self._rounds *= 2

    @staticmethod
    def _compiled(command):
        return subprocess.run(command, stderr=subprocess.DEVNULL, check=False).returncode == 0

    def _timed(self):
        begin = time.perf_counter()
        done = self._operations(self._rounds)
        return time.perf_counter() - begin, done

    def sample(self) -> float:
        """Floating-point operations in a second."""
        seconds, done = self._timed()
        return done / seconds
