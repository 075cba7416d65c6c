"""
Sobolev training against plain training
=======================================

Where a simulator gives derivatives beside values, a net that is trained on both needs fewer rows: Czarnecki and others,
"Sobolev training for neural networks" (2017). Both nets here see the same 60 rows of a function of two variables.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# The function of Styblinski and Tang, and its gradient.


def f(X):
    return (X**4 - 16 * X**2 + 5 * X).sum(axis=1, keepdims=True) / 100


def slope(X):
    return (4 * X**3 - 32 * X + 5) / 100


def body(x):
    return fb.Dense(1)(fb.Dense(20, "tanh")(fb.Dense(20, "tanh")(x)))


X = np.random.default_rng(0).uniform(-4, 4, (60, 2))
x = fb.Input(2)
u = body(x)
sobolev = fb.Model(x, [u, fb.grad(u, x)], dtype="float64", seed=0)
x = fb.Input(2)
plain = fb.Model(x, body(x), dtype="float64", seed=0)

# %%
# The same optimizer, steps and seed for both.

start = time.process_time()
settings = {"epochs": 3000, "batch_size": 30, "seed": 0}
rate = fb.schedules.Cosine(1e-2, 6000)
sobolev.fit(X, (f(X), slope(X)), loss=("mse", "mse"), optimizer=fb.Adam(lr=rate), **settings)
plain.fit(X, f(X), optimizer=fb.Adam(lr=rate), **settings)
seconds = time.process_time() - start

side = np.linspace(-4, 4, 121)
T = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
outputs = sobolev.predict(T)[0], plain.predict(T)
error, without = (np.linalg.norm(Y - f(T)) / np.linalg.norm(f(T)) for Y in outputs)
print(f"on a grid, trained on values only: {without:.1e}; on values and gradients:")
print(f"relative error {error:.1e}, {seconds:.2f} s of CPU")
assert error < without / 3

figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
limits = {"vmin": f(T).min(), "vmax": f(T).max()}
titles = "function and the 60 rows", "values and gradients", "values only"
for ax, Z, title in zip(axes, (f(T), *outputs), titles, strict=True):
    ax.imshow(Z.reshape(121, 121), extent=(-4, 4, -4, 4), origin="lower", cmap="viridis", **limits)
    ax.set(title=title)
axes[0].plot(*X.T, "w.", markersize=3)
