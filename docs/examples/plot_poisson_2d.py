"""
Poisson's equation in two dimensions
====================================

-lap u = 2 pi^2 sin(pi x) sin(pi y) on the unit square with u = 0 on its edge has the solution sin(pi x) sin(pi y). The
problem is that of Mueller and Zeinhofer, "Achieving high accuracy with PINNs via energy natural gradient descent"
(2023): 900 points inside, 120 on the edge, a net 2-32-1.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# ``fb.laplacian`` takes the sum of the second derivatives in one pass.

x = fb.Input(2, name="xy")
u = fb.Dense(1)(fb.Dense(32, "tanh")(x))
net = fb.Model(x, [u, -fb.laplacian(u, x)], dtype="float64", seed=0)

# %%
# Rows are of two kinds: inside, the Laplacian has a target; on the edge, u has one. NaN marks what is not known.


def solution(X):
    return np.sin(np.pi * X[:, :1]) * np.sin(np.pi * X[:, 1:])


def grid(side):
    return np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)


inside, side = grid((np.arange(30) + 0.5) / 30), np.linspace(0, 1, 30)
zeros, ones = np.zeros(30), np.ones(30)
edge = np.vstack([np.column_stack(c) for c in ((side, zeros), (side, ones), (zeros, side), (ones, side))])
X = np.vstack([inside, edge])
values = np.where(np.arange(len(X)) < len(inside), np.nan, 0.0)[:, None]
sources = np.where(np.isnan(values), 2 * np.pi**2 * solution(X), np.nan)

# %%
# Such losses are badly conditioned: Adam takes a minute for an error of 1e-3. Levenberg-Marquardt needs neither a
# learning rate nor weights of the two terms.

masked = fb.losses.MSE(mask_nan=True)
start = time.process_time()
found = fb.minimize(net, X, (values, sources), loss=(masked, masked), method="lm", max_iter=300)
seconds = time.process_time() - start

T = grid(np.linspace(0, 1, 101))
Y = net.predict(T)[0]
error = np.linalg.norm(Y - solution(T)) / np.linalg.norm(solution(T))
print(f"loss {found.loss:.1e} after {found.iterations} iterations")
print(f"relative error {error:.1e}, {seconds:.2f} s of CPU")
assert error < 1e-5

figure, axes = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
for ax, Z, title in zip(axes, (Y, Y - solution(T)), ("u", "error"), strict=True):
    mesh = ax.imshow(Z.reshape(101, 101), extent=(0, 1, 0, 1), origin="lower", cmap="viridis")
    figure.colorbar(mesh, ax=ax)
    ax.set(title=title, xlabel="x", ylabel="y")
