"""
Backpropagation by hand
=======================

One training step of a small network, worked out with pencil-and-paper numbers: the forward pass, the loss, the
gradient of every weight, and the update. Then the same step by the library, digit for digit.

The network has two inputs, two hidden units and one output, and every unit has the sigmoid activation. It has nine
parameters, few enough to look at all of them.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# The network and one sample
# --------------------------
#
# ``W[i, o]`` is the weight from input ``i`` to output ``o``, so a layer computes ``X @ W + b``. ``X`` has one row per
# sample; here there is one row.

X = np.array([[0.5, 1.0]])
t = np.array([[1.0]])  # the target
W1, b1 = np.array([[0.2, -0.4], [0.6, 0.1]]), np.array([0.0, 0.3])
W2, b2 = np.array([[0.5], [-0.7]]), np.array([0.1])

# %%
# Forward pass
# ------------
#
# Each layer first computes the weighted sum ``Z`` (the *pre-activation*) and then ``Y = sigmoid(Z)``. For the first
# hidden unit::
#
#     Z1[0] = 0.5 * 0.2 + 1.0 * 0.6 + 0.0 = 0.7        Y1[0] = 1 / (1 + exp(-0.7)) = 0.6682
#     Z1[1] = 0.5 * (-0.4) + 1.0 * 0.1 + 0.3 = 0.2     Y1[1] = 1 / (1 + exp(-0.2)) = 0.5498


def sigmoid(Z):
    return 1 / (1 + np.exp(-Z))


Z1 = X @ W1 + b1
Y1 = sigmoid(Z1)
Z2 = Y1 @ W2 + b2
Y2 = sigmoid(Z2)
loss = np.mean((Y2 - t) ** 2)

print("hidden layer  Z1 =", Z1.round(4), " Y1 =", Y1.round(4))
print("output layer  Z2 =", Z2.round(4), " Y2 =", Y2.round(4))
print("loss", loss.round(4))

# %%
# Backward pass
# -------------
#
# ``dT`` means dLoss/dT and has the shape of ``T``. Start at the loss and go back one operation at a time. Each line
# below is *the gradient that arrives, times the local slope*:
#
# * the loss ``(Y2 - t)**2`` has the slope ``2 (Y2 - t)``;
# * the sigmoid has the slope ``y (1 - y)``, at most 1/4: this is why gradients vanish in a deep stack of sigmoids;
# * in ``Z = X @ W + b`` a weight's slope is its input, so ``dW = X.T @ dZ``; the bias has the slope 1, so ``db`` is
#   ``dZ``, summed over the rows; and the input gets ``dX = dZ @ W.T``.

dY2 = 2 * (Y2 - t)
dZ2 = dY2 * Y2 * (1 - Y2)
dW2, db2 = Y1.T @ dZ2, dZ2.sum(axis=0)

dY1 = dZ2 @ W2.T
dZ1 = dY1 * Y1 * (1 - Y1)
dW1, db1 = X.T @ dZ1, dZ1.sum(axis=0)

for name, value in {"dY2": dY2, "dZ2": dZ2, "dW2": dW2, "dY1": dY1, "dZ1": dZ1, "dW1": dW1}.items():
    print(f"{name} =", value.round(5).tolist())

# %%
# The picture shows both passes. Values go forward, from left to right, in black; gradients go back, in red. The
# gradient shrinks on its way: a quarter or less is left after each sigmoid.

fig, ax = plt.subplots(figsize=(9, 4.2), layout="constrained")
places = {"x0": (0, 1), "x1": (0, 0), "h0": (1, 1), "h1": (1, 0), "y": (2, 0.5)}
values = {"x0": X[0, 0], "x1": X[0, 1], "h0": Y1[0, 0], "h1": Y1[0, 1], "y": Y2[0, 0]}
gradients = {"h0": dY1[0, 0], "h1": dY1[0, 1], "y": dY2[0, 0]}
edges = [("x0", "h0", W1[0, 0], dW1[0, 0]), ("x0", "h1", W1[0, 1], dW1[0, 1])]
edges += [("x1", "h0", W1[1, 0], dW1[1, 0]), ("x1", "h1", W1[1, 1], dW1[1, 1])]
edges += [("h0", "y", W2[0, 0], dW2[0, 0]), ("h1", "y", W2[1, 0], dW2[1, 0])]
for start, end, weight, gradient in edges:
    (xa, ya), (xb, yb) = places[start], places[end]
    ax.plot([xa, xb], [ya, yb], color="0.75", zorder=1)
    at = 0.3 if end != "y" else 0.5  # where on the edge its label stands
    label = {"ha": "center", "fontsize": 9, "zorder": 2}
    box = {"facecolor": "white", "edgecolor": "none", "pad": 1}
    x, y = xa + at * (xb - xa), ya + at * (yb - ya)
    ax.text(x, y + 0.01, f"W = {weight:.1f}", va="bottom", bbox=box, **label)
    ax.text(x, y - 0.01, f"dW = {gradient:.4f}", va="top", color="tab:red", bbox=box, **label)
for name, (x, y) in places.items():
    ax.scatter(x, y, s=3200, color="white", edgecolor="0.3", zorder=3)
    ax.text(x, y + (0.03 if name in gradients else 0), f"{values[name]:.4g}", ha="center", va="center", zorder=4)
    if name in gradients:
        ax.text(x, y - 0.06, f"{gradients[name]:.4f}", ha="center", va="center", color="tab:red", fontsize=9, zorder=4)
for x, title in enumerate(("inputs X", "hidden units Y1", "output Y2")):
    ax.text(x, 1.28, title, ha="center")
ax.plot([], [], color="black", label="value, forward")
ax.plot([], [], color="tab:red", label="gradient of the loss, backward")
ax.legend(loc="lower right", frameon=False)
ax.set(xlim=(-0.25, 2.35), ylim=(-0.3, 1.4))
ax.axis("off")

# %%
# The update
# ----------
#
# Gradient descent subtracts the learning rate times the gradient from every parameter. The output was too low, so the
# step has to raise it.

lr = 0.5
after = sigmoid(sigmoid(X @ (W1 - lr * dW1) + b1 - lr * db1) @ (W2 - lr * dW2) + b2 - lr * db2)
print(f"output before {Y2[0, 0]:.4f}, after one step {after[0, 0]:.4f}, target {t[0, 0]:.0f}")
assert np.mean((after - t) ** 2) < loss

# %%
# The same by the library
# -----------------------
#
# ``forward`` keeps what the backward pass needs, ``backward`` fills ``net.grads``; ``W``, ``b``, ``dW`` and ``db`` of
# a layer are NumPy arrays that you may read and write.

net = fb.Sequential(
    fb.Input(2),
    fb.Dense(2, "sigmoid", weights=W1, biases=b1),
    fb.Dense(1, "sigmoid", weights=W2, biases=b2),
    dtype="float64",
)
value, dY = fb.losses.mse(net.forward(X), t)
net.backward(dY)
first, last = net.layers
assert np.isclose(value, loss, rtol=1e-14)
for theirs, mine in ((first.dW, dW1), (first.db, db1), (last.dW, dW2), (last.db, db2)):
    assert np.allclose(theirs, mine, rtol=1e-12)

fb.SGD(lr=lr).step(net)
assert np.allclose(net.predict(X), after, rtol=1e-12)

# %%
# Finite differences: is the gradient right?
# ------------------------------------------
#
# A gradient can be checked without any calculus. Move one weight a little to both sides and look at the loss:
# ``(loss(w + e) - loss(w - e)) / 2e``. ``fb.check_gradients`` does this for every parameter. The step must be neither
# too long, or the curve bends, nor too short, or rounding takes over; the figure shows both.


def loss_at(w):
    W = W1.copy()
    W[1, 0] = w
    return np.mean((sigmoid(sigmoid(X @ W + b1) @ W2 + b2) - t) ** 2)


steps = np.logspace(-13, 0, 40)
difference = np.array([(loss_at(0.6 + e) - loss_at(0.6 - e)) / (2 * e) for e in steps])
errors = np.abs(difference / dW1[1, 0] - 1)
assert errors.min() < 1e-8
assert fb.check_gradients(net, X, t, "mse") < 1e-6

fig, ax = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
ax.loglog(steps, errors, "o-", ms=3)
ax.set(xlabel="length e of the difference step", ylabel="relative error of dW1[1, 0]")
ax.annotate("rounding", (1e-10, 1e-3), ha="left")
ax.annotate("the curve bends", (2e-3, 1e-4), ha="right")
plt.show()
