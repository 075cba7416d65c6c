"""
Time series forecasting by lags
===============================

A network without memory can forecast a series: give it the last values, the *lags*, as columns. This tutorial makes
such a table, splits it by time, forecasts one step and many, and compares with the two forecasts that every model has
to beat.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# A series
# --------
#
# The hourly load of a small power grid, made here: a day's cycle, a week's cycle, and noise that lasts (an
# autoregressive process). Thirty weeks.

rng = np.random.default_rng(0)
hours = np.arange(30 * 7 * 24)
day, week = 2 * np.pi * hours / 24, 2 * np.pi * hours / (7 * 24)
noise = np.zeros(len(hours))
for n in range(1, len(hours)):
    noise[n] = 0.9 * noise[n - 1] + 1.2 * rng.normal()
weekend = (hours // 24) % 7 >= 5
load = 50 + (8 - 5 * weekend) * np.sin(day - 2) + 3 * np.sin(2 * day) - 6 * weekend + noise

# %%
# Lags as columns
# ---------------
#
# Row n holds the values of the 48 hours before hour n, and its target is the value of hour n. The calendar is known
# in advance, so sine and cosine of the day and of the week are columns too; hour 23 is then as near to hour 0 as to
# hour 22.

LAGS = 48


def table(series):
    windows = np.lib.stride_tricks.sliding_window_view(series, LAGS)[:-1]  # (rows, lags): a view, nothing is copied
    return windows, series[LAGS:]


calendar = np.stack([np.sin(day), np.cos(day), np.sin(week), np.cos(week), weekend], axis=1)[LAGS:]

# %%
# Split by time, not at random
# ----------------------------
#
# Neighbouring rows share almost all of their lags. A random split would put the answers of the held-out rows into the
# training rows, and the error would look far too good. Train on the first 24 weeks, choose the epoch on the next
# three (early stopping), and test on the last three. Scale by the training rows only.

train, validate, test = slice(0, 24 * 168 - LAGS), slice(24 * 168 - LAGS, 27 * 168 - LAGS), slice(27 * 168 - LAGS, None)
mean, std = load[: 24 * 168].mean(), load[: 24 * 168].std()
scaled = (load - mean) / std
lags, y = table(scaled)
X = np.hstack([lags, calendar]).astype("float32")

net = fb.Sequential(fb.Input(X.shape[1]), fb.Dense(48, "relu"), fb.Dense(24, "relu"), fb.Dense(1), seed=0)
history = net.fit(
    X[train],
    y[train],
    optimizer=fb.AdamW(lr=1e-3, weight_decay=3e-2),
    epochs=100,
    batch_size=32,
    validation_data=(X[validate], y[validate]),
    callbacks=[fb.EarlyStopping(patience=15, restore_best=True)],
    seed=0,
)

# %%
# The next hour
# -------------
#
# The naive forecasts are *the value now* and *the value at this hour a week ago*.

actual = load[LAGS:][test]


def rmse(forecast):
    return float(np.sqrt(np.mean((forecast - actual) ** 2)))


next_hour = net.predict(X[test])[:, 0] * std + mean
at = np.arange(len(load))[LAGS:][test]
scores = {"network": rmse(next_hour), "the value now": rmse(load[at - 1]), "a week ago": rmse(load[at - 168])}
print({name: round(score, 2) for name, score in scores.items()}, "best possible about 1.2, the noise of one hour")
assert scores["network"] < 0.8 * min(scores["the value now"], scores["a week ago"])

# %%
# The next two days
# -----------------
#
# There are two ways to more than one hour. A *recursive* forecast feeds each forecast back as the newest lag; a small
# bias of one hour then adds up over 48. A *direct* forecast has an output for each hour ahead. Nothing but the width
# of the last layer and the targets change. The rows whose targets would reach into the next set are left out.

HORIZON = 48
ahead = np.lib.stride_tricks.sliding_window_view(scaled[LAGS:], HORIZON)  # (rows, hours ahead)


def inner(rows):
    return slice(rows.start, (rows.stop or len(X)) - HORIZON)


direct = fb.Sequential(
    fb.Input(X.shape[1]), fb.Dense(64, "relu"), fb.Dropout(0.1), fb.Dense(64, "relu"), fb.Dense(HORIZON), seed=0
)
direct.fit(
    X[inner(train)],
    ahead[inner(train)],
    optimizer=fb.AdamW(lr=1e-3, weight_decay=3e-2),
    epochs=100,
    batch_size=32,
    validation_data=(X[inner(validate)], ahead[inner(validate)]),
    callbacks=[fb.EarlyStopping(patience=10, restore_best=True)],
    seed=0,
)


def recursive(rows):
    """Forecasts from each of the rows on, all together, shape (rows, HORIZON)."""
    window, found = lags[rows], np.empty((len(rows), HORIZON))
    for step in range(HORIZON):
        found[:, step] = net.predict(np.hstack([window, calendar[rows + step]]))[:, 0]
        window = np.hstack([window[:, 1:], found[:, step : step + 1]])
    return found


rows = np.arange(len(X))[inner(test)]
truth = ahead[rows]
a_week_ago = ahead[rows - 168]
errors = {
    "direct": np.sqrt(np.mean((direct.predict(X[rows]) - truth) ** 2, axis=0)) * std,
    "recursive": np.sqrt(np.mean((recursive(rows) - truth) ** 2, axis=0)) * std,
}
weekly = np.sqrt(np.mean((a_week_ago - truth) ** 2)) * std
print({name: (by_hour[[0, 11, 47]]).round(2).tolist() for name, by_hour in errors.items()}, round(weekly, 2))
assert errors["direct"][-1] < weekly

fig, axes = plt.subplots(1, 2, figsize=(12, 4), layout="constrained", width_ratios=(1.6, 1))
row = rows[150]
shown = np.arange(-72, HORIZON)
axes[0].plot(shown, load[LAGS + row + shown], color="0.5", label="load")
axes[0].plot(np.arange(HORIZON), direct.predict(X[row]).ravel() * std + mean, color="tab:red", label="direct")
axes[0].plot(np.arange(HORIZON), recursive(rows[150:151])[0] * std + mean, color="tab:blue", ls="--", label="recursive")
axes[0].axvline(0, color="0.8", lw=1)
axes[0].set(xlabel="hours", ylabel="load", title="A forecast of two days, made at hour 0")
axes[0].legend(loc="upper center")
axes[1].plot(np.arange(1, HORIZON + 1), errors["direct"], color="tab:red", label="direct")
axes[1].plot(np.arange(1, HORIZON + 1), errors["recursive"], color="tab:blue", ls="--", label="recursive")
axes[1].axhline(weekly, color="0.5", ls=":", label="a week ago")
axes[1].set(xlabel="hours ahead", ylabel="root mean square error", title="Error by horizon", ylim=(0, None))
axes[1].legend(loc="lower right")

# %%
# Which lags matter
# -----------------
#
# The gradient of the output by the inputs, averaged over the test rows. The last hour counts by far the most; the
# cycles of day and week come from the calendar columns.

slopes = np.abs(fb.input_gradient(net, X[test])).mean(axis=0)[:LAGS]
fig, ax = plt.subplots(figsize=(8, 3), layout="constrained")
ax.bar(np.arange(-LAGS, 0), slopes)
ax.set(xlabel="lag in hours", ylabel="mean |slope|", title="How strongly the forecast depends on each lag")
assert slopes.argmax() == LAGS - 1
plt.show()
