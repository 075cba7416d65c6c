"""
The Black-Scholes equation
==========================

The price V(S, t) of a call: V_t + s^2 S^2 V_SS / 2 + r S V_S - r V = 0, and max(S - K, 0) when it expires. In
x = log(S / K) and the time tau that is left it is V_tau = s^2 V_xx / 2 + (r - s^2 / 2) V_x - r V. The formula of
Black and Scholes is the reference, also for delta, V_S, which is a node of the same net.
"""

import math
import time

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

SIGMA, RATE = 0.3, 0.05

# %%
# Prices are in units of K. The price at the end has a kink, which no smooth net follows: the problem begins a tenth of
# a year before, with the price known there.


def normal(x):
    return 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def price_and_delta(X):
    x, tau = X[:, :1], X[:, 1:]
    d = (x + (RATE + SIGMA**2 / 2) * tau) / (SIGMA * np.sqrt(tau))
    return np.exp(x) * normal(d) - np.exp(-RATE * tau) * normal(d - SIGMA * np.sqrt(tau)), normal(d)


xt = fb.Input(2, name="x_tau")
V = fb.Dense(1)(fb.Dense(20, "tanh")(fb.Dense(20, "tanh")(xt)))
Vx, Vtau = fb.diff(V, xt[:, 0]), fb.diff(V, xt[:, 1])
residual = Vtau - SIGMA**2 / 2 * fb.diff(Vx, xt[:, 0]) - (RATE - SIGMA**2 / 2) * Vx + RATE * V
delta = Vx / fb.exp(xt[:, 0])
net = fb.Model(xt, [V, residual, delta], dtype="float64", seed=0)

# %%
# Rows of three kinds: the equation inside, the price at tau = 0.1, and the price far out of and far in the money.

rng = np.random.default_rng(0)
inside = np.column_stack([rng.uniform(-1, 1, 1000), rng.uniform(0.1, 1, 1000)])
early = np.column_stack([np.linspace(-1, 1, 100), np.full(100, 0.1)])
sides = np.column_stack([np.repeat([-1.0, 1.0], 40), np.tile(np.linspace(0.1, 1, 40), 2)])
X = np.vstack([inside, early, sides])
known = np.arange(len(X))[:, None] >= len(inside)
values, zeros = np.where(known, price_and_delta(X)[0], np.nan), np.where(known, np.nan, 0.0)
nothing = np.full_like(values, np.nan)
masked = fb.losses.MSE(mask_nan=True)
start = time.process_time()
found = fb.minimize(net, X, (values, zeros, nothing), loss=(masked, masked, masked), method="lm", max_iter=100)
seconds = time.process_time() - start

T = np.stack(np.meshgrid(np.linspace(-0.7, 0.7, 101), np.linspace(0.1, 1, 91)), -1).reshape(-1, 2)
price, _, slope = net.predict(T)
exact, exact_slope = price_and_delta(T)
error = np.linalg.norm(price - exact) / np.linalg.norm(exact)
of_delta = np.linalg.norm(slope - exact_slope) / np.linalg.norm(exact_slope)
print(f"loss {found.loss:.1e} after {found.iterations} iterations; relative error of delta {of_delta:.1e}")
print(f"relative error {error:.1e}, {seconds:.2f} s of CPU")
assert error < 1e-4
assert of_delta < 1e-3

figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
S = np.exp(T[:101, 0])
for ax, got, want, name in zip(axes, (price, slope), (exact, exact_slope), ("price", "delta"), strict=True):
    for row, color in ((0, "#c0504d"), (90, "#4a7ebb")):
        ax.plot(S, want.reshape(91, 101)[row], color="#cccccc", linewidth=5)
        ax.plot(S, got.reshape(91, 101)[row], color=color, label=f"{T[101 * row, 1]:.1f} years left")
    ax.set(xlabel="S / K", ylabel=f"{name} (grey: formula)")
    ax.legend()
