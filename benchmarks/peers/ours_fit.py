"""fastbp, whole epochs: one call of `fit` on arrays in memory, in their order."""

import numpy as np

from benchmarks.peers.ours import Train

TASKS = ("train",)


def start(problem, threads):
    return Fit(problem, threads)


class Fit(Train):
    def __init__(self, problem, threads):
        super().__init__(problem, threads)
        self.X, self.y = np.concatenate(problem.X), np.concatenate(problem.y)

    def several(self, count):
        epochs = max(1, round(count / len(self.problem.X)))
        self.trainer.fit(self.X, self.y, epochs=epochs, batch_size=self.problem.case.rows, shuffle=False)
        return epochs * len(self.problem.X)
