"""
Hyperparameter search
=====================

Width, learning rate, dropout, weight decay: which values are best for these data? A random search with early stopping
tries some forty networks in seconds, then cross-validation compares the best ones, and a test set that nobody has
looked at gives the final number.

With scikit-learn, ``GridSearchCV`` and ``RandomizedSearchCV`` do this for :class:`fastbp.sklearn.MLPClassifier
<fastbp.MLPClassifier>`; here NumPy is enough.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# Three sets of rows
# ------------------
#
# A small training set of 300 digits, where overfitting is a danger. The test rows are put away until the end: whoever
# chooses among forty networks by the test rows has *trained* on the test rows.

X, y = fb.datasets.digits()
order = np.random.default_rng(0).permutation(len(X))
train, validate, test = order[:300], order[300:800], order[800:]

# %%
# The search space
# ----------------
#
# Random search rather than a grid: with forty networks a grid of four parameters has two or three values of each, a
# random search forty. Rates and decays are drawn on a logarithmic scale.

rng = np.random.default_rng(1)


def drawn():
    return {
        "width": int(2 ** rng.uniform(3, 8)),
        "layers": int(rng.integers(1, 4)),
        "lr": float(10 ** rng.uniform(-4, -1)),
        "dropout": float(rng.uniform(0, 0.5)),
        "weight_decay": float(10 ** rng.uniform(-4, 0)),
    }


def network(width, layers, dropout, **_):
    hidden = [layer for _ in range(layers) for layer in (fb.Dense(width, "relu"), fb.Dropout(dropout))]
    return fb.Sequential(fb.Input(64), *hidden, fb.Dense(10), seed=0)


def optimizer(lr, weight_decay, **_):
    return fb.AdamW(lr=lr, weight_decay=weight_decay)


# %%
# Random search with early stopping
# ---------------------------------
#
# Early stopping ends the bad ones soon, and the number of epochs need not be searched for. A learning rate that is
# far too high raises :class:`fastbp.DivergenceError`, with ``TerminateOnNaN`` the fit just ends.


def tried(settings):
    stop = fb.EarlyStopping("val_loss", patience=8, restore_best=True)
    history = network(**settings).fit(
        X[train],
        y[train],
        loss="cross_entropy",
        optimizer=optimizer(**settings),
        epochs=100,
        validation_data=(X[validate], y[validate]),
        callbacks=[stop, fb.TerminateOnNaN()],
        seed=0,
    )
    return stop.best, len(history.history["loss"])


settings = [drawn() for _ in range(40)]
losses, epochs = np.array([tried(one) for one in settings]).T
ranking = np.argsort(losses)
for n in ranking[:5]:
    print(f"{losses[n]:.3f} after {epochs[n]:.0f} epochs", {k: round(v, 4) for k, v in settings[n].items()})

# %%
# What the search says
# --------------------
#
# Learning rates around 0.001 and wide layers do best. With a rate that is too low the network is not finished after
# 100 epochs, with one that is too high training is unstable. Dropout and weight decay hardly matter here, since early
# stopping is a regularization already.

names = ["lr", "width", "dropout", "weight_decay"]
fig, axes = plt.subplots(1, 4, figsize=(12, 3.4), sharey=True, layout="constrained")
for ax, name in zip(axes, names, strict=True):
    values = np.array([one[name] for one in settings])
    ax.scatter(values, losses, s=14, color="0.6")
    ax.scatter(values[ranking[:5]], losses[ranking[:5]], s=30, color="tab:red")
    ax.set(xlabel=name, yscale="log")
    if name != "dropout":
        ax.set_xscale("log", base=2 if name == "width" else 10)
axes[0].set_ylabel("loss on the validation rows")
axes[0].set_yticks([0.2, 0.5, 1, 2], ["0.2", "0.5", "1", "2"])
axes[0].minorticks_off()
fig.suptitle("Forty networks; the best five are red")

# %%
# Cross-validation of the best
# ----------------------------
#
# The best five differ by less than chance: another 500 rows would rank them differently. ``cross_validate`` trains
# each five times, each time without another fifth of the rows, so that every row counts once.

both = np.concatenate([train, validate])
means, spreads = [], []
for n in ranking[:5]:
    scores = fb.cross_validate(
        lambda n=n: network(**settings[n]),
        X[both],
        y[both],
        k=5,
        seed=0,
        stratify=True,
        loss="cross_entropy",
        optimizer=optimizer(**settings[n]),
        epochs=40,
        metrics=["accuracy"],
    )
    means.append(scores["accuracy"].mean())
    spreads.append(scores["accuracy"].std())
    print(f"accuracy {means[-1]:.4f} +- {spreads[-1]:.4f} over the folds")
chosen = settings[ranking[int(np.argmax(means))]]

# %%
# Once on the test rows
# ---------------------
#
# The chosen settings, trained on all other rows, against those of one of the worst: what the search has gained.


def tested(settings):
    net = network(**settings)
    net.fit(X[both], y[both], loss="cross_entropy", optimizer=optimizer(**settings), epochs=40, seed=0)
    return net.evaluate(X[test], y[test], loss="cross_entropy", metrics=["accuracy"])["accuracy"]


poor = settings[ranking[-8]]
found = {"chosen": tested(chosen), "one of the worst": tested(poor)}
print({name: round(score, 4) for name, score in found.items()})
assert found["chosen"] > 0.95 > found["one of the worst"]

fig, ax = plt.subplots(figsize=(7, 3.4), layout="constrained")
ax.errorbar(range(1, 6), means, spreads, fmt="o", capsize=4, label="cross-validation, mean and spread over folds")
ax.axhline(found["chosen"], color="tab:red", ls="--", label="chosen one, on the test rows")
ax.set(xlabel="rank in the random search", ylabel="accuracy", xticks=range(1, 6))
ax.legend()
plt.show()
