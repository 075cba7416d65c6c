"""What the runtimes of exported nets share: our own net of the case, written as a file, and its outputs."""

import tempfile

from benchmarks.peers.ours import Predict


class Exported(Predict):
    """A case of prediction; `load(path, threads)` makes what `self.run(X)` calls."""

    suffix = ".onnx"

    def __init__(self, problem, threads):
        super().__init__(problem, threads)
        with tempfile.TemporaryDirectory() as folder:
            path = f"{folder}/net{self.suffix}"
            self.write(path)
            self.run = self.load(path, threads)

    def write(self, path):
        self.net.to_onnx(path)

    def step(self, k):
        self.Y = self.run(self.problem.X[k])
