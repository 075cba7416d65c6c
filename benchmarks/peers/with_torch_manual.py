"""PyTorch without autograd: the backward pass by hand, every product into memory that exists, one fused update."""

import torch

from benchmarks.cases import LR
from benchmarks.peers.with_torch import Eager

TASKS = ("train", "gradient")


def start(problem, threads):
    return ByHand(problem, threads)


class ByHand(Eager):
    def __init__(self, problem, threads):
        super().__init__(problem, threads)
        tensors = [[torch.from_numpy(p.copy()) for p in parts] for parts in (problem.weights, problem.biases)]
        self.W, self.b = tensors
        rows, kind = problem.case.rows, self.W[0].dtype
        self.Y, self.dY = ([torch.empty(rows, len(b), dtype=kind) for b in self.b] for _ in range(2))
        self.parameters = [p for pair in zip(self.W, self.b, strict=True) for p in pair]
        for p in self.parameters:
            p.grad = torch.empty_like(p)
        rule = {"adam": torch.optim.Adam, "sgd": torch.optim.SGD}[problem.case.optimizer]
        self.optimizer = rule(self.parameters, lr=LR, fused=True)
        self.tanh, self.mse = problem.case.activation == "tanh", problem.case.loss == "mse"

    @torch.no_grad()
    def step(self, k):
        X, last = self.X[k], len(self.W) - 1
        for layer, (W, b, Y) in enumerate(zip(self.W, self.b, self.Y, strict=True)):
            torch.addmm(b, X, W, out=Y)
            if layer < last:
                X = torch.tanh(Y, out=Y) if self.tanh else torch.relu_(Y)
        d = self.dY[last]
        if self.mse:
            torch.sub(Y, self.y[k], out=d).mul_(2 / Y.numel())
        else:
            torch.softmax(Y, 1, out=d)
            d[torch.arange(len(d)), self.y[k]] -= 1
            d.div_(len(d))
        for layer in range(last, -1, -1):
            below = self.Y[layer - 1] if layer else self.X[k]
            torch.mm(below.t(), self.dY[layer], out=self.W[layer].grad)
            torch.sum(self.dY[layer], 0, out=self.b[layer].grad)
            if layer:
                d = torch.mm(self.dY[layer], self.W[layer].t(), out=self.dY[layer - 1])
                d.mul_(1 - below * below if self.tanh else below > 0)
        if self.case.task == "train":
            self.optimizer.step()

    def result(self):
        return [(p if self.case.task == "train" else p.grad).numpy() for p in self.parameters]
