"""
Uncertainty of predictions
==========================

How sure is a network? Three ways to get an interval instead of a number, and a check that the intervals are
*calibrated*: that an interval of 90 % holds nine in ten new points.

* **Quantile regression**: the network predicts several quantiles.
* **A Gaussian head**: the network predicts a mean and a variance.
* **An ensemble**: several networks, and how far they disagree.

The first two measure the noise of the data (*aleatoric* uncertainty). Only the ensemble measures what the network
does not know for lack of data (*epistemic* uncertainty).
"""

from statistics import NormalDist

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# Data
# ----
#
# The noise grows with x, and there are no points above 2: there the network has to extrapolate.

rng = np.random.default_rng(0)


def draw(rows):
    x = rng.uniform(-3, 2, rows)
    return x[:, None], np.sin(1.5 * x) + rng.normal(size=len(x)) * (0.08 + 0.08 * (x + 3))


X, y = draw(2000)
X_test, y_test = draw(4000)
grid = np.linspace(-3, 3.5, 325)[:, None]


def body(outputs, seed=0):
    return fb.Sequential(fb.Input(1), fb.Dense(32, "relu"), fb.Dense(32, "relu"), fb.Dense(outputs), seed=seed)


settings = {"epochs": 80, "batch_size": 64, "seed": 0}

# %%
# Quantile regression
# -------------------
#
# The quantile loss (*pinball* loss) makes each output that quantile of y given x. Nothing is assumed about the shape
# of the noise.

levels = [0.05, 0.25, 0.5, 0.75, 0.95]
quantile_net = body(5)
quantile_net.fit(X, y, loss=fb.losses.Quantile(levels), optimizer=fb.Adam(lr=5e-3), **settings)
low, _, median, _, high = quantile_net.predict(grid).T

# %%
# A Gaussian head
# ---------------
#
# Two outputs, the mean and the logarithm of the variance, and the negative log-likelihood of a normal distribution as
# loss. One network gives intervals of every level.

gaussian_net = body(2)
gaussian_net.fit(X, y, loss="gaussian_nll", optimizer=fb.Adam(lr=5e-3), **settings)
mean, log_variance = gaussian_net.predict(grid).T
std = np.exp(log_variance / 2)

# %%
# An ensemble
# -----------
#
# Eight Gaussian heads that differ in their start values and in the rows that they were trained on (a *bootstrap*
# sample). The variance of the mixture is the mean of the variances (noise) plus the variance of the means
# (disagreement).

members = []
for seed in range(8):
    rows = np.random.default_rng(seed).integers(len(X), size=len(X))
    net = body(2, seed=seed)
    net.fit(X[rows], y[rows], loss="gaussian_nll", optimizer=fb.Adam(lr=5e-3), **settings)
    members.append(net)


def mixture(X):
    outputs = np.array([net.predict(X) for net in members])  # (members, rows, 2)
    means, variances = outputs[..., 0], np.exp(outputs[..., 1])
    return means.mean(axis=0), np.sqrt(variances.mean(axis=0)), means.std(axis=0)


centre, noise, disagreement = mixture(grid)

fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), sharey=True, layout="constrained")
bands = {
    "Quantiles 5 % and 95 %": (median, low, high),
    "Gaussian head, 90 %": (mean, mean - 1.645 * std, mean + 1.645 * std),
    "Ensemble of 8, 90 %": (centre, *(centre + s * 1.645 * np.hypot(noise, disagreement) for s in (-1, 1))),
}
for ax, (title, (middle, below, above)) in zip(axes, bands.items(), strict=True):
    ax.scatter(X[:, 0], y, s=4, color="0.7")
    ax.fill_between(grid[:, 0], below, above, alpha=0.3)
    ax.plot(grid[:, 0], middle)
    ax.axvspan(2, 3.5, color="tab:orange", alpha=0.12)
    ax.set(title=title, xlabel="x", ylim=(-3, 3))
axes[0].set_ylabel("y")
axes[0].text(2.75, -2.7, "no data", ha="center", fontsize=9)

# %%
# Calibration
# -----------
#
# On new rows, count how many lie inside the interval of each level. The curve of a calibrated network is the
# diagonal; one below it is over-confident. The quantile network only has the levels that it was trained for.

LEVELS = np.array([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])
Z = np.array([NormalDist().inv_cdf((1 + level) / 2) for level in LEVELS])  # half widths, in standard deviations


def coverage(mean, std):
    return np.array([np.mean(np.abs(y_test - mean) < z * std) for z in Z])


mean_test, log_variance_test = gaussian_net.predict(X_test).T
gaussian = coverage(mean_test, np.exp(log_variance_test / 2))
centre_test, noise_test, disagreement_test = mixture(X_test)
ensemble = coverage(centre_test, np.hypot(noise_test, disagreement_test))
q = quantile_net.predict(X_test)
quantiles = [np.mean((q[:, a] < y_test) & (y_test < q[:, b])) for a, b in ((1, 3), (0, 4))]
print(f"90 % intervals hold: quantiles {quantiles[1]:.3f}, Gaussian {gaussian[8]:.3f}, ensemble {ensemble[8]:.3f}")
for found in (quantiles[1], gaussian[8], ensemble[8]):
    assert abs(found - 0.9) < 0.03

fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
ax.plot([0, 1], [0, 1], color="0.6", ls=":")
ax.plot(LEVELS, gaussian, "o-", label="Gaussian head")
ax.plot(LEVELS, ensemble, "s-", label="ensemble")
ax.plot([0.5, 0.9], quantiles, "D", label="quantiles", color="tab:green")
ax.set(xlabel="level of the interval", ylabel="share of new points inside", title="Calibration")
ax.legend()
plt.show()

# %%
# Where there are no data
# -----------------------
#
# Calibration on rows like those of the training says nothing about what lies beyond them. There the disagreement of
# the ensemble rises; the predicted noise only continues its trend, whatever that is.

beyond = grid[:, 0] > 2.5
print("disagreement", disagreement[beyond].mean(), "beyond the data,", np.median(disagreement[~beyond]), "among them")
assert disagreement[beyond].mean() > 3 * np.median(disagreement[~beyond])
fig, ax = plt.subplots(figsize=(6.5, 4), layout="constrained")
ax.plot(grid[:, 0], noise, label="noise (aleatoric)")
ax.plot(grid[:, 0], disagreement, label="disagreement (epistemic)")
ax.axvspan(2, 3.5, color="tab:orange", alpha=0.12)
ax.text(2.75, 0.02, "no data", ha="center", fontsize=9)
ax.set(xlabel="x", ylabel="standard deviation", title="Two kinds of uncertainty")
ax.legend()
plt.show()
