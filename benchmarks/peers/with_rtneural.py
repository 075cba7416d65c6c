"""RTNeural, a net of fixed form in C++, compiled from sources whose folder RTNEURAL names and called through ctypes."""

import ctypes
import os
from pathlib import Path

import numpy as np

from benchmarks.peak import compiled

TASKS = ("predict",)
SOURCE = Path(__file__).parents[1] / "rtneural.cpp"
FOLDER = os.environ.get("RTNEURAL", "")
if not FOLDER:
    raise ImportError(
        "set RTNEURAL to the folder of `git clone --recursive https://github.com/jatinchowdhury18/RTNeural`"
    )


def start(problem, threads):
    return Library(problem) if problem.case.rows == 1 else None


class Library:
    def __init__(self, problem):
        case, pairs = problem.case, list(zip(problem.case.widths, problem.case.widths[1:], strict=False))
        activation = {"tanh": "TANH", "relu": "RELU"}[case.activation]
        layers = ", ".join(f"DENSE({i},{o}), {activation}({o})" for i, o in pairs[:-1])
        words = {
            "REAL": "float" if problem.dtype == np.float32 else "double",
            "INPUTS": case.widths[0],
            "OUTPUTS": case.widths[-1],
            "LAYERS": f"{layers}, DENSE({pairs[-1][0]},{pairs[-1][1]})",
            "EACH": " ".join(f"L({k},{i},{o})" for k, (i, o) in enumerate(pairs)),
            "RTNEURAL_USE_XSIMD": 1,
            "RTNEURAL_DEFAULT_ALIGNMENT": 64,
        }
        flags = [f"-D{name}={value}" for name, value in words.items()]
        folders = [f"-I{FOLDER}", f"-I{FOLDER}/modules/xsimd/include"]
        self.c = compiled(SOURCE, "-std=c++17", "-O3", "-ffast-math", *folders, *flags, libraries=("-lstdc++", "-lm"))
        for k, (W, b) in enumerate(zip(problem.weights, problem.biases, strict=True)):
            self.c.weights(k, ctypes.c_void_p(W.ctypes.data), ctypes.c_void_p(b.ctypes.data))
        self.X = problem.X
        self.at = [ctypes.c_void_p(X.ctypes.data) for X in problem.X]
        self.Y = np.empty((1, case.widths[-1]), problem.dtype)
        self.out = ctypes.c_void_p(self.Y.ctypes.data)

    def step(self, k):
        self.c.predict(self.at[k], self.out)

    def wait(self):
        pass

    def result(self):
        return [self.Y]
