"""
The wave equation
=================

u_tt = u_xx on 0 < x < 1, a string fixed at both ends that is let go at rest as sin(pi x) + sin(2 pi x) / 2. Each of the
two swings with its own frequency: cos(pi t) sin(pi x) + cos(2 pi t) sin(2 pi x) / 2. The time is one whole period, 2.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# t^2 x (1 - x) N keeps the place and the speed of the start, and the ends.

xt = fb.Input(2, name="xt")
x, t = xt[:, 0], xt[:, 1]
h = fb.Dense(24, "tanh")(fb.Dense(24, "tanh")(xt))
u = fb.sin(np.pi * x) + 0.5 * fb.sin(2 * np.pi * x) + t**2 * x * (1 - x) * fb.Dense(1)(h)
residual = fb.diff(fb.diff(u, t), t) - fb.diff(fb.diff(u, x), x)
net = fb.Model(xt, [u, residual], dtype="float64", seed=0)


def solution(X):
    x, t = np.pi * X[:, :1], np.pi * X[:, 1:]
    return np.cos(t) * np.sin(x) + np.cos(2 * t) * np.sin(2 * x) / 2


X = np.random.default_rng(0).uniform(0, 1, (2000, 2)) * [1, 2]
unknown, zero = np.full((2000, 1), np.nan), np.zeros((2000, 1))
masked = fb.losses.MSE(mask_nan=True)
start = time.process_time()
found = fb.minimize(net, X, (unknown, zero), loss=(masked, masked), method="lm", max_iter=150)
seconds = time.process_time() - start

# %%
# The net is compared with the solution on a grid of the whole period.

side, times = np.linspace(0, 1, 101), np.linspace(0, 2, 201)
T = np.stack(np.meshgrid(side, times), -1).reshape(-1, 2)
Y = net.predict(T)[0]
error = np.linalg.norm(Y - solution(T)) / np.linalg.norm(solution(T))
print(f"mean square of the residual {found.loss:.1e} after {found.iterations} iterations")
print(f"relative error {error:.1e}, {seconds:.2f} s of CPU")
assert error < 1e-5

figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, Z, title in zip(axes, (Y, Y - solution(T)), ("u", "error"), strict=True):
    limit = np.abs(Z).max()
    mesh = ax.imshow(
        Z.reshape(201, 101), extent=(0, 1, 0, 2), origin="lower", aspect="auto", cmap="RdBu", vmin=-limit, vmax=limit
    )
    figure.colorbar(mesh, ax=ax)
    ax.set(title=title, xlabel="x", ylabel="t")
