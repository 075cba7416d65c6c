"""
A flow on two moons, whose likelihood is checked
================================================

A flow z(x) makes a density of a simple one: p(x) = N(z(x)) abs(det dz/dx), by change of variables. It is trained on the
mean of -log p. If the determinant were wrong, p would not integrate to 1: this is checked by a sum over a grid.
"""

import time

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# Coupling layers (RealNVP, Dinh and others 2017): one column is scaled and moved by functions of the other, so that
# z(x) can be inverted whatever the nets are. ``fb.logdet`` takes the determinant of the whole map.

x = fb.Input(2, name="x")
a, b = x[:, 0], x[:, 1]
for _ in range(8):
    h = fb.Dense(24, "tanh")(a)
    a, b = b * fb.exp(fb.Dense(1, "tanh")(h)) + fb.Dense(1)(h), a
z = fb.Concatenate()(a, b)
log_p = fb.logdet(z, x) - 0.5 * fb.dot(z, z) - np.log(2 * np.pi)
net = fb.Model(x, log_p, dtype="float64", seed=0)

# %%
# A loss may be a function that gives its value and its gradient.


def minus_mean(log_p, _):
    return -float(log_p.mean()), np.full_like(log_p, -1 / len(log_p))


def moons(rng, count):
    angle, moon = rng.uniform(0, np.pi, count), rng.integers(0, 2, count)
    turn = 1 - 2 * moon
    X = np.column_stack([np.cos(angle) * turn + moon - 0.5, np.sin(angle) * turn + 0.5 * moon - 0.25])
    return X + 0.1 * rng.normal(size=X.shape)


rng = np.random.default_rng(0)
X, T = moons(rng, 2000), moons(rng, 10_000)
start = time.process_time()
rate = fb.schedules.Cosine(2e-2, 300 * 10)
net.fit(X, np.zeros((2000, 1)), loss=minus_mean, optimizer=fb.Adam(lr=rate), epochs=300, batch_size=200, seed=0)
seconds = time.process_time() - start

# %%
# The true density is an integral along the two half circles, by which the likelihood is known too.


def true_log_density(X):
    angle = (np.arange(400) + 0.5) * np.pi / 400
    upper = np.column_stack([np.cos(angle) - 0.5, np.sin(angle) - 0.25])
    total = sum(np.exp(-((X[:, None] - arc) ** 2).sum(axis=2) / (2 * 0.1**2)).mean(axis=1) for arc in (upper, -upper))
    return np.log(total / 2 / (2 * np.pi * 0.1**2))


side = np.linspace(-4, 4, 801)
grid = np.stack(np.meshgrid(side, side), -1).reshape(-1, 2)
density = np.exp(net.predict(grid)).reshape(801, 801)
error = abs(density.sum() * (side[1] - side[0]) ** 2 - 1)
likelihood, best = -net.predict(T).mean(), -true_log_density(T).mean()
print(f"mean of -log p on new points: {likelihood:.3f}, of the true density {best:.3f}")
print("the density integrates to 1 with the")
print(f"relative error {error:.1e}, {seconds:.2f} s of CPU")
assert error < 1e-3
assert best - 0.02 < likelihood < best + 0.2

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
left.plot(*X.T, ".", markersize=2, color="#4a7ebb")
left.set(title="data", xlim=(-2.2, 2.2), ylim=(-1.4, 1.4), aspect="equal")
right.imshow(density, extent=(-4, 4, -4, 4), origin="lower", cmap="viridis")
right.set(title="density of the flow", xlim=(-2.2, 2.2), ylim=(-1.4, 1.4))
