"""Averages of parameters that constraints hold: they are of what the constraints leave."""

import numpy as np
import pytest

import fastbp as fb

CONSTRAINTS = {
    "non-negative": fb.NonNegative(),
    "largest norm": fb.MaxNorm(0.5),
}
AVERAGES = {"ema": {"ema": 0.5}, "swa": {"swa_start": 1}, "late swa": {"swa_start": 2, "swa_every": 2}}
RULES = {
    "sgd": lambda **given: fb.SGD(1.0, **given),
    "clipped": lambda **given: fb.SGD(1.0, clip_norm=0.7, **given),
    "muon": lambda **given: fb.Muon(0.5, **given),
    "accumulating": lambda **given: fb.SGD(1.0, accumulate=2, **given),
}


@pytest.mark.parametrize("by_hand", [False, True])
@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("average", AVERAGES)
@pytest.mark.parametrize("constraint", CONSTRAINTS)
def test_an_average_is_of_constrained_parameters(
    constraint: str, average: str, rule: str, by_hand: bool, dtype: np.dtype
) -> None:
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(40, 3)), rng.normal(size=(40, 2))
    net = fb.Sequential(fb.Input(3), fb.Dense(2, constraint=CONSTRAINTS[constraint]), dtype=dtype, seed=0)
    optimizer = RULES[rule](**AVERAGES[average])
    trainer, steps = fb.Trainer(net, "mse", optimizer), []
    every = optimizer.settings["accumulate"]
    for n in range(0, 40, 5):
        if by_hand:
            _, dout = fb.losses.mse(net.forward(X[n : n + 5]), y[n : n + 5].astype(dtype))
            net.backward(dout)
            optimizer.step(net)
        else:
            trainer.step(X[n : n + 5], y[n : n + 5], threads=2)
        if (n // 5 + 1) % every == 0:
            steps.append(net.params.astype(np.float64))
    wanted = steps[0]
    if average == "ema":
        for params in steps[1:]:
            wanted = 0.5 * wanted + 0.5 * params
    else:
        wanted = np.mean(steps if average == "swa" else steps[1::2], axis=0)
    tolerance = 1e-6 if dtype == np.float32 else 1e-14
    np.testing.assert_allclose(optimizer.average(net), wanted, rtol=0, atol=tolerance)
