"""scikit-learn: partial_fit of an MLP, one batch a call."""

import math
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.cases import LR


def start(problem, threads):
    # It has no gradient of its own, and tells classes apart only where each has been named.
    return None if problem.case.task == "gradient" else Estimator(problem)


class Estimator:
    def __init__(self, problem):
        warnings.simplefilter("ignore", ConvergenceWarning)
        case = problem.case
        self.problem, self.classifies = problem, case.loss == "cross_entropy"
        # Its squared error is half of ours, and a sum over the outputs; Adam does not see the factor.
        rate = LR * 2 / case.widths[-1] if case.optimizer == "sgd" else LR
        kind = MLPClassifier if self.classifies else MLPRegressor
        self.net = kind(
            hidden_layer_sizes=case.widths[1:-1],
            activation=case.activation,
            solver=case.optimizer,
            alpha=0.0,
            batch_size=case.rows,
            learning_rate_init=rate,
            momentum=0.0,
            shuffle=False,
        )
        self.classes = {"classes": np.arange(case.widths[-1])} if self.classifies else {}
        self.y = [y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y for y in problem.y]
        self.net.partial_fit(problem.X[0], self.y[0], **self.classes)
        # From the common start, with an optimizer that has not moved yet.
        for mine, theirs in zip(self.net.coefs_ + self.net.intercepts_, problem.weights + problem.biases, strict=True):
            mine[...] = theirs
        optimizer = self.net._optimizer
        optimizer.t = 0
        for state in (*getattr(optimizer, "ms", ()), *getattr(optimizer, "vs", ())):
            state[...] = 0
        self.net.t_ = 0

    def wait(self):
        pass

    def step(self, k):
        if self.problem.case.task == "predict":
            X = self.problem.X[k]
            self.Y = self.net.predict_proba(X) if self.classifies else self.net.predict(X)
        else:
            if self.problem.case.optimizer == "adam":
                # Its epsilon stands before the correction of the bias, that of all others after it.
                optimizer = self.net._optimizer
                optimizer.epsilon = 1e-8 * math.sqrt(1 - 0.999 ** (optimizer.t + 1))
            self.net.partial_fit(self.problem.X[k], self.y[k])

    def result(self):
        if self.problem.case.task == "train":
            return [p for pair in zip(self.net.coefs_, self.net.intercepts_, strict=True) for p in pair]
        return [np.log(self.Y)] if self.classifies else [self.Y]
