"""Our own net as plain C (`net.to_c`), compiled here and called through ctypes."""

import ctypes
from pathlib import Path

import numpy as np

from benchmarks.peak import compiled
from benchmarks.peers._exported import Exported

TASKS = ("predict",)


def start(problem, threads):
    return Library(problem, threads) if problem.case.rows == 1 else None


class Library(Exported):
    suffix = ".c"

    def write(self, path):
        self.net.to_c(path)

    def load(self, path, threads):
        function = compiled(Path(path), "-O3", "-ffast-math").predict
        self.Y = np.empty((1, self.problem.case.widths[-1]), self.problem.dtype)
        addresses = {id(X): ctypes.c_void_p(X.ctypes.data) for X in self.problem.X}
        out = ctypes.c_void_p(self.Y.ctypes.data)

        def run(X):
            function(addresses[id(X)], out)
            return self.Y

        return run
