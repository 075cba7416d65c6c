"""
Burgers' equation
=================

u_t + u u_x = nu u_xx with nu = 0.01 / pi on -1 < x < 1, 0 < t < 1, u = -sin(pi x) at the beginning and 0 at the ends:
the usual test of a physics-informed net, since a front of a width of 0.01 forms at x = 0. The reference is exact but
for an integral: Cole and Hopf's substitution makes the equation the heat equation.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

NU = 0.01 / np.pi

# %%
# Beginning and ends are built in. Derivatives are nodes like any other: the product of u and u_x is a gate.

xt = fb.Input(2, name="xt")
x, t = xt[:, 0], xt[:, 1]
h = xt
for _ in range(3):
    h = fb.Dense(20, "tanh")(h)
u = -fb.sin(np.pi * x) + t * (1 - x**2) * fb.Dense(1)(h)
ux = fb.diff(u, x)
residual = fb.diff(u, t) + u * ux - NU * fb.diff(ux, x)
net = fb.Model(xt, [u, residual], dtype="float64", seed=0)

# %%
# Cole and Hopf: u = -2 nu v_x / v, where v solves v_t = nu v_xx. Its integral over a Gaussian is a sum by Gauss and
# Hermite. It solves the problem on the whole line, whose waves are 0 at x = -1 and 1 by symmetry.


def solution(X):
    x, t = X[:, :1], X[:, 1:]
    nodes, weights = np.polynomial.hermite.hermgauss(200)
    places = np.pi * (x - 2 * np.sqrt(NU * t) * nodes)
    logs = -np.cos(places) / (2 * np.pi * NU)
    shares = weights * np.exp(logs - logs.max(axis=1, keepdims=True))
    return -(shares * np.sin(places)).sum(axis=1, keepdims=True) / shares.sum(axis=1, keepdims=True)


# %%
# 2,000 points, dense where the front will be: the cube of a uniform x.

X = np.random.default_rng(0).uniform(-1, 1, (2000, 2))
X = np.column_stack([X[:, 0] ** 3, (X[:, 1] + 1) / 2])
unknown, zero = np.full((2000, 1), np.nan), np.zeros((2000, 1))
masked = fb.losses.MSE(mask_nan=True)
start = time.process_time()
found = fb.minimize(net, X, (unknown, zero), loss=(masked, masked), method="lm", max_iter=130)
seconds = time.process_time() - start

side, times = np.linspace(-1, 1, 257), np.linspace(0, 1, 101)
T = np.stack(np.meshgrid(side, times), -1).reshape(-1, 2)
exact, Y = solution(T), net.predict(T)[0]
error = np.linalg.norm(Y - exact) / np.linalg.norm(exact)
print(f"mean square of the residual {found.loss:.1e} after {found.iterations} iterations")
print(f"relative error {error:.1e}, {seconds:.2f} s of CPU")
assert error < 1e-3

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
mesh = left.imshow(Y.reshape(101, 257).T, extent=(0, 1, -1, 1), origin="lower", aspect="auto", cmap="RdBu")
figure.colorbar(mesh, ax=left, label="u")
left.set(xlabel="t", ylabel="x")
for row, color in ((0, "#222222"), (25, "#4a7ebb"), (50, "#77933c"), (100, "#c0504d")):
    right.plot(side, exact.reshape(101, 257)[row], color="#cccccc", linewidth=5)
    right.plot(side, Y.reshape(101, 257)[row], color=color, label=f"t = {times[row]:.2f}")
right.set(xlabel="x", ylabel="u (grey: Cole and Hopf)")
right.legend()
