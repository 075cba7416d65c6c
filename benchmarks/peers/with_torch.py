"""PyTorch, eager, with its fused optimizers."""

import torch
from torch import nn

from benchmarks.cases import LR

TASKS = ("train", "gradient", "predict", "jacobian", "rows")


def start(problem, threads):
    return Eager(problem, threads)


class Eager:
    def __init__(self, problem, threads):
        torch.set_num_threads(threads)
        case = self.case = problem.case
        layers = []
        for W, b in zip(problem.weights, problem.biases, strict=True):
            linear = nn.Linear(*W.shape, dtype=torch.from_numpy(W).dtype)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(W.T.copy()))
                linear.bias.copy_(torch.from_numpy(b))
            layers += [linear, nn.Tanh() if case.activation == "tanh" else nn.ReLU()]
        self.net = nn.Sequential(*layers[:-1])
        self.loss = nn.MSELoss() if case.loss == "mse" else nn.CrossEntropyLoss()
        rule = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[case.optimizer]
        self.optimizer = rule(self.net.parameters(), lr=LR, fused=True)
        self.X = [torch.from_numpy(X) for X in problem.X]
        self.y = [torch.from_numpy(y) for y in problem.y]
        self.forward = self.net
        self.objective = lambda X, y: self.loss(self.net(X), y)
        call, parameters = torch.func.functional_call, dict(self.net.named_parameters())
        self.detached = {name: p.detach() for name, p in parameters.items()}
        self.jacobian = torch.func.vmap(torch.func.jacrev(lambda x: call(self.net, self.detached, (x,))))
        of_row = torch.func.grad(lambda p, x, y: self.loss(call(self.net, p, (x,)), y))
        self.rows = torch.func.vmap(of_row, in_dims=(None, 0, 0))

    def wait(self):
        pass

    def step(self, k):
        if self.case.task == "predict":
            with torch.inference_mode():
                self.Y = self.forward(self.X[k])
            return
        if self.case.task == "jacobian":
            self.Y = self.jacobian(self.X[k])
            return
        if self.case.task == "rows":
            self.Y = self.rows(self.detached, self.X[k], self.y[k])
            return
        self.optimizer.zero_grad()
        self.objective(self.X[k], self.y[k]).backward()
        if self.case.task == "train":
            self.optimizer.step()

    def result(self):
        if self.case.task in ("predict", "jacobian"):
            return [self.Y.numpy()]
        if self.case.task == "rows":  # a weight of PyTorch's is ours transposed
            parts = [part.transpose(-1, -2) if part.ndim == 3 else part for part in self.Y.values()]
            return [torch.cat([part.reshape(self.case.rows, -1) for part in parts], dim=1).numpy()]
        parts = [p if self.case.task == "train" else p.grad for p in self.net.parameters()]
        return [p.detach().numpy().T for p in parts]
