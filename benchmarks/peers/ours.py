"""fastbp, by the calls that its users make."""

import fastbp as fb

TASKS = ("train", "gradient", "predict", "jacobian", "rows")


def start(problem, threads):
    kinds = {"train": Train, "gradient": Gradient, "predict": Predict, "jacobian": Jacobian, "rows": RowGradients}
    return kinds[problem.case.task](problem, threads)


class _Net:
    def __init__(self, problem, threads):
        case = problem.case
        layers = [fb.Dense(width, activation=case.activation) for width in case.widths[1:-1]]
        self.net = fb.Sequential(
            fb.Input(case.widths[0]), *layers, fb.Dense(case.widths[-1]), dtype=problem.dtype.name, seed=0
        )
        for layer, W, b in zip(self.net.layers, problem.weights, problem.biases, strict=True):
            layer.W[...], layer.b[...] = W, b
        self.problem = problem
        fb.set_num_threads(threads)

    def wait(self):
        pass


class Train(_Net):
    def __init__(self, problem, threads):
        super().__init__(problem, threads)
        rule = {"adam": fb.Adam, "sgd": fb.SGD}[problem.case.optimizer]
        self.trainer = fb.Trainer(self.net, problem.case.loss, rule(1e-3))

    def step(self, k):
        return self.trainer.step(self.problem.X[k], self.problem.y[k])

    def result(self):
        return [p for layer in self.net.layers for p in (layer.W, layer.b)]


class Gradient(_Net):
    def step(self, k):
        net, loss = self.net, self.problem.case.loss
        self.value, self.grad = net.value_and_grad(net.params, self.problem.X[k], self.problem.y[k], loss)

    def result(self):
        return [g for layer in self.net.layers for g in (layer.dW, layer.db)]


class Predict(_Net):
    def step(self, k):
        self.Y = self.net.predict(self.problem.X[k])

    def result(self):
        return [self.Y]


class Jacobian(_Net):
    def step(self, k):
        self.J = fb.jacobian(self.net, self.problem.X[k])

    def result(self):
        return [self.J]


class RowGradients(_Net):
    def step(self, k):
        self.rows = fb.per_sample_gradients(self.net, self.problem.X[k], self.problem.y[k], self.problem.case.loss)

    def result(self):
        return [self.rows]
