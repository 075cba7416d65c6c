"""Schedules of ours beside PyTorch's, and the rates that these give."""

import numpy as np
import pytest

from fastbp import schedules as s

torch = pytest.importorskip("torch")
T = torch.optim.lr_scheduler


COUNT = 60


# name: (ours, PyTorch's of an optimizer whose lr is ours at the start, or a formula)
SCHEDULES = {
    "constant": (s.Constant(0.3), lambda t: 0.3),
    "linear": (s.Linear(0.3, 0.2, 0.8, 17), lambda o: T.LinearLR(o, 0.2, 0.8, 17)),
    "step": (s.Step(0.3, 7, 0.5), lambda o: T.StepLR(o, 7, 0.5)),
    "multi-step": (s.MultiStep(0.3, [5, 6, 40], 0.3), lambda o: T.MultiStepLR(o, [5, 6, 40], 0.3)),
    "piecewise": (s.Piecewise([0.3, 0.5, 0.1], [4, 9]), lambda t: 0.3 if t < 4 else 0.5 if t < 9 else 0.1),
    "exponential": (s.Exponential(0.3, 0.9), lambda o: T.ExponentialLR(o, 0.9)),
    "polynomial": (s.Polynomial(0.3, 41, 1.7), lambda o: T.PolynomialLR(o, 41, 1.7)),
    "cosine": (s.Cosine(0.3, 11, 0.01), lambda o: T.CosineAnnealingLR(o, 11, 0.01)),
    "restarts": (s.CosineRestarts(0.3, 7, 1, 0.01), lambda o: T.CosineAnnealingWarmRestarts(o, 7, 1, 0.01)),
    "longer restarts": (s.CosineRestarts(0.3, 3, 2), lambda o: T.CosineAnnealingWarmRestarts(o, 3, 2)),
    "one cycle": (s.OneCycle(0.3, COUNT), lambda o: T.OneCycleLR(o, 0.3, COUNT)),
    "one cycle, linear": (
        s.OneCycle(0.3, COUNT, 0.4, "linear", 5.0, 100.0),
        lambda o: T.OneCycleLR(o, 0.3, COUNT, None, None, 0.4, "linear", div_factor=5.0, final_div_factor=100.0),
    ),
    "one cycle, three phases": (
        s.OneCycle(0.3, COUNT, three_phase=True),
        lambda o: T.OneCycleLR(o, 0.3, COUNT, three_phase=True),
    ),
    "warm-up": (
        s.WarmUp(s.Cosine(0.3, 20), 9, 0.1),
        lambda o: T.SequentialLR(o, [T.LinearLR(o, 0.1, 1.0, 9), T.CosineAnnealingLR(o, 20)], [9]),
    ),
    "warm-up to a number": (s.WarmUp(0.3, 4, 0.25), lambda o: T.LinearLR(o, 0.25, 1.0, 4)),
    "inverse root": (s.InverseSqrt(0.3, 10), lambda t: 0.3 * 10**0.5 * min((t + 1) ** -0.5, (t + 1) * 10**-1.5)),
    "function": (s.Function(lambda t: 0.3 / (1 + t)), lambda t: 0.3 / (1 + t)),
}


def wanted(make) -> list[float]:
    try:
        return [make(t) for t in range(COUNT)]
    except TypeError:
        pass
    except AttributeError:
        pass
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
    schedule, rates = make(optimizer), []
    for _ in range(COUNT):
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        if len(rates) < COUNT:
            schedule.step()
    return rates


def assert_rates(ours: s.Schedule, rates: list[float]) -> None:
    np.testing.assert_allclose([ours(t) for t in range(COUNT)], rates, rtol=1e-9, atol=1e-15)
    np.testing.assert_allclose(ours.at(np.arange(COUNT)), rates, rtol=1e-9, atol=1e-15)
