"""
The heat equation
=================

u_t = a u_xx on 0 < x < 1 with u = 0 at both ends and u = sin(pi x) + sin(3 pi x) / 2 at the beginning. By separation of
variables each wave of the start decays on its own: exp(-a pi^2 t) sin(pi x) + exp(-9 a pi^2 t) sin(3 pi x) / 2.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

A = 0.05

# %%
# The conditions are built in: at t = 0 the net has no say, and x (1 - x) is 0 at both ends.

xt = fb.Input(2, name="xt")
x, t = xt[:, 0], xt[:, 1]
start_of_u = fb.sin(np.pi * x) + 0.5 * fb.sin(3 * np.pi * x)
u = start_of_u + t * x * (1 - x) * fb.Dense(1)(fb.Dense(16, "tanh")(fb.Dense(16, "tanh")(xt)))
residual = fb.diff(u, t) - A * fb.diff(fb.diff(u, x), x)
net = fb.Model(xt, [u, residual], dtype="float64", seed=0)


def solution(X):
    decay = np.exp(-A * np.pi**2 * X[:, 1:])
    return decay * np.sin(np.pi * X[:, :1]) + decay**9 * np.sin(3 * np.pi * X[:, :1]) / 2


# %%
# Points inside the square, drawn at random; the residual's target is 0 in all of them, u has none.

X = np.random.default_rng(0).uniform(0, 1, (1000, 2))
unknown, zero = np.full((1000, 1), np.nan), np.zeros((1000, 1))
masked = fb.losses.MSE(mask_nan=True)
start = time.process_time()
found = fb.minimize(net, X, (unknown, zero), loss=(masked, masked), method="lm", max_iter=100)
seconds = time.process_time() - start

side = np.linspace(0, 1, 101)
T = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
Y = net.predict(T)[0]
error = np.linalg.norm(Y - solution(T)) / np.linalg.norm(solution(T))
print(f"mean square of the residual {found.loss:.1e} after {found.iterations} iterations")
print(f"relative error {error:.1e}, {seconds:.2f} s of CPU")
assert error < 1e-4

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
mesh = left.imshow(Y.reshape(101, 101), extent=(0, 1, 0, 1), origin="lower", cmap="inferno")
figure.colorbar(mesh, ax=left, label="u")
left.set(xlabel="x", ylabel="t")
for row, color in ((0, "#222222"), (20, "#4a7ebb"), (50, "#77933c"), (100, "#c0504d")):
    right.plot(side, solution(T).reshape(101, 101)[row], color="#cccccc", linewidth=5)
    right.plot(side, Y.reshape(101, 101)[row], color=color, label=f"t = {side[row]:.1f}")
right.set(xlabel="x", ylabel="u (grey: solution)")
right.legend()
