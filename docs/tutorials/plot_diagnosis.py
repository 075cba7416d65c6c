"""
Why does my network not learn?
==============================

Six networks, each broken in one way that is met in practice. The loss curve of a broken network says *that* something
is wrong; :func:`fastbp.diagnose` says *what*, from one forward and one backward pass, with numbers and a remedy.

The task is the same for all six: the handwritten digits, ten classes.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

X, y = fb.datasets.digits()
X, y, X_test, y_test = X[:1400], y[:1400], X[1400:], y[1400:]


def stack(*layers, inputs=64):
    return fb.Sequential(fb.Input(inputs), *layers, seed=0)


def trained(net, X=X, y=y, loss="cross_entropy", optimizer=None, epochs=12):
    return net.fit(X, y, loss=loss, optimizer=optimizer or fb.Adam(lr=1e-3), epochs=epochs, seed=0).history["loss"]


# %%
# A network that works
# --------------------
#
# First what a healthy report looks like. ``grad`` is the size of the gradient in each layer; what matters is that it
# stays within a few powers of ten from the last layer to the first.

good = stack(fb.Dense(32, "relu"), fb.Dense(32, "relu"), fb.Dense(10))
curves = {"working": trained(good)}
print(fb.diagnose(good, X, y, "cross_entropy"))
assert fb.diagnose(good, X, y, "cross_entropy").verdict == "healthy"

# %%
# 1. Vanishing gradients
# ----------------------
#
# Ten sigmoid layers. The slope of a sigmoid is at most 1/4, and the slopes multiply: hardly any gradient reaches the
# first layers.

deep = stack(*[fb.Dense(32, "sigmoid") for _ in range(10)], fb.Dense(10))
report = fb.diagnose(deep, X, y, "cross_entropy")
curves["1. ten sigmoid layers"] = trained(deep)
vanishing = report
print(report.verdict, "|", report.reason)
assert report.verdict == "vanishing"

# %%
# 2. Dead ReLU units
# ------------------
#
# A ReLU unit whose input is negative for every sample has slope 0 and never recovers. Large negative biases do this,
# and so does a single step with a learning rate that is far too high.

dead = stack(fb.Dense(32, "relu", biases=-20.0), fb.Dense(10))
report = fb.diagnose(dead, X, y, "cross_entropy")
curves["2. dead ReLU units"] = trained(dead)
print(report.verdict, "|", report.reason)
assert report.verdict == "dead"

# %%
# 3. Inputs that were not scaled
# ------------------------------
#
# The pixels here are multiplied by 5,000, as raw sensor readings or prices often are. Standardize the inputs:
# subtract the mean and divide by the standard deviation, both of the training rows.

raw = 5000 * X + 20000
unscaled = stack(fb.Dense(32, "tanh"), fb.Dense(10))
report = fb.diagnose(unscaled, raw, y, "cross_entropy")
curves["3. inputs not scaled"] = trained(unscaled, raw)
print(report.verdict, "|", report.reason)
assert report.verdict != "healthy"

# %%
# 4. An output that cannot reach the targets
# ------------------------------------------
#
# Here the digit is predicted as a number, 0 to 9, by a unit that ends in a sigmoid: it never leaves 0 to 1.

narrow = stack(fb.Dense(32, "relu"), fb.Dense(1, "sigmoid"))
report = fb.diagnose(narrow, X, y, "mse")
curves["4. output out of range"] = trained(narrow, loss="mse")
print(report.verdict, "|", report.reason)
assert report.cause == "output"

# %%
# The same mistake in its most frequent form is refused before training: a softmax or sigmoid in front of a loss that
# takes the raw outputs, the *logits*, and applies the softmax itself.

try:
    trained(stack(fb.Dense(32, "relu"), fb.Dense(10, "softmax")))
except ValueError as error:
    print(error)
else:
    raise AssertionError("not refused")

# %%
# 5. A learning rate that is too low
# ----------------------------------
#
# Nothing is wrong with the network or the data; it just hardly moves. The diagnosis trains a copy for a few steps to
# tell this case from the others. :class:`fastbp.LearningRateFinder` searches for a good rate.

slow = stack(fb.Dense(32, "relu"), fb.Dense(10))
curves["5. learning rate too low"] = trained(slow, optimizer=fb.SGD(lr=1e-5))
report = fb.diagnose(slow, X, y, "cross_entropy")
print(report.verdict, "|", report.reason)
assert report.cause == "rate"

# %%
# 6. Targets that have nothing to do with the inputs
# --------------------------------------------------
#
# The labels were shuffled, as happens when two tables are joined by the wrong key. No network can learn this, but a
# large one learns it *by heart*: the training loss falls, the loss on held-out rows does not. Always hold out rows.

shuffled = np.random.default_rng(0).permutation(y)
hopeless = stack(fb.Dense(32, "relu"), fb.Dense(10))
report = fb.diagnose(hopeless, X, shuffled, "cross_entropy")
curves["6. labels shuffled"] = trained(hopeless, y=shuffled)
print(report.verdict, "|", report.reason)

# %%
# Loss curves beside the diagnosis
# --------------------------------
#
# Seen from outside, the six look much the same. So that they share an axis, each loss is divided by that of the best
# constant prediction: log(10) = 2.3 for a guess among ten classes, the variance of the targets for the mean squared
# error. A curve that stays at 1 has learned nothing.

fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
for name, losses in curves.items():
    style = {"color": "black", "lw": 2} if name == "working" else {}
    constant = np.var(y) if name.startswith("4") else np.log(10)
    axes[0].plot(np.arange(1, len(losses) + 1), np.array(losses) / constant, label=name, **style)
axes[0].axhline(1, color="0.6", ls=":", label="best constant")
axes[0].set(xlabel="epoch", ylabel="training loss, relative to the best constant", ylim=(0, 4))
axes[0].legend(fontsize=8, loc="upper right", ncols=2)
for label, told in {"ten sigmoid layers": vanishing, "working": fb.diagnose(good, X, y, "cross_entropy")}.items():
    sizes = [node.gradient for node in told.nodes if node.gradient]
    axes[1].semilogy(np.linspace(0, 1, len(sizes)), sizes, "o-", label=label)
axes[1].set(xlabel="depth (0: first layer, 1: last layer)", ylabel="size of the gradient")
axes[1].legend()
plt.show()
