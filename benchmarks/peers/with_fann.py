"""FANN through cynn, one row a call: a net from a file of FANN's, since cynn has no way to set weights."""

import tempfile
from pathlib import Path

import numpy as np
from cynn.fann import FannNetwork

import fastbp as fb
from benchmarks.cases import LR

TASKS = ("train", "predict")
LINEAR, TANH = 0, 5  # FANN's numbers of activations


def start(problem, threads):
    case = problem.case
    fits = case.rows == 1 and case.activation == "tanh" and case.loss == "mse" and problem.dtype == np.float32
    return Single(problem) if fits and (case.task == "predict" or case.optimizer == "sgd") else None


def in_file(problem) -> str:
    """The net in the format of FANN: the neurons of all layers, a bias neuron at the end of each, and connections."""
    widths = problem.case.widths
    neurons, connections, first = [f"(0, {LINEAR}, 0)"] * (widths[0] + 1), [], 0
    for k, (W, b) in enumerate(zip(problem.weights, problem.biases, strict=True)):
        kind = LINEAR if k == len(widths) - 2 else TANH
        neurons += [f"({len(W) + 1}, {kind}, 1)"] * len(b) + [f"(0, {LINEAR}, 0)"]
        for column in np.vstack([W, b]).T:
            connections += [f"({first + i}, {weight:.20e})" for i, weight in enumerate(column)]
        first += len(W) + 1
    sizes = " ".join(str(width + 1) for width in widths)
    # Steps by single rows (0) and plain errors (0), which our mean of squares has twice, over the outputs.
    settings = {"learning_rate": 2 * LR / widths[-1], "training_algorithm": 0, "train_error_function": 0}
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "any.net")
        FannNetwork(list(widths)).save(path)
        lines = Path(path).read_text().splitlines()
    made = []
    for line in lines:
        name = line.split("=")[0]
        if name in settings:
            line = f"{name}={settings[name]}"
        elif name == "layer_sizes":
            line = f"{name}={sizes} "
        elif name.startswith("neurons"):
            line = f"{name}={' '.join(neurons)} "
        elif name.startswith("connections"):
            line = f"{name}={' '.join(connections)} "
        made.append(line)
    return "\n".join(made) + "\n"


class Single:
    def __init__(self, problem):
        self.case = problem.case
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "start.net"
            path.write_text(in_file(problem))
            self.net = FannNetwork.load(str(path))
        self.X, self.y = [X[0] for X in problem.X], [y[0] for y in problem.y]

    def step(self, k):
        if self.case.task == "predict":
            self.Y = self.net.predict(self.X[k])
        else:
            self.net.train(self.X[k], self.y[k])

    def wait(self):
        pass

    def result(self):
        if self.case.task == "predict":
            return [np.array([self.Y])]
        with tempfile.TemporaryDirectory() as folder:
            path = str(Path(folder) / "end.net")
            self.net.save(path)
            read = fb.from_fann(path, dtype="float64")
        return [p for layer in read.layers if layer.kind == "dense" for p in (layer.W, layer.b)]
