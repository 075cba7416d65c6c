"""
From Keras, line by line
========================

The same network and the same training in Keras 3 and in fastbp, side by side; then a Keras model is converted, from
memory and from its file. With the same start values and the order of the rows fixed, both give the same losses.
"""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")  # or tensorflow, torch

import keras
import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

# %%
# Side by side
# ------------
#
# .. list-table::
#    :header-rows: 1
#
#    * - Keras
#      - fastbp
#    * - ``keras.Input((64,))``
#      - ``fb.Input(64)``
#    * - ``Dense(32, activation="relu")``
#      - ``fb.Dense(32, "relu")``
#    * - ``keras.Sequential([...])``
#      - ``fb.Sequential(...)``
#    * - ``keras.Model(x, h)``
#      - ``fb.Model(x, h)``
#    * - ``kernel_initializer="he_normal"``
#      - ``weights="he_normal"``
#    * - ``layer.get_weights()[0]``
#      - ``layer.W``, the live array
#    * - ``SparseCategoricalCrossentropy(from_logits=True)``
#      - ``"cross_entropy"``, class indices
#    * - ``CategoricalCrossentropy(from_logits=True)``
#      - ``"cross_entropy"``, probabilities
#    * - ``BinaryCrossentropy(from_logits=True)``
#      - ``"binary_cross_entropy"``
#    * - ``Dense(10, activation="softmax")`` as the last layer
#      - ``fb.Dense(10)``, and ``net.predict_proba(X)``
#    * - ``model.compile(...)``, then ``fit``
#      - ``net.fit(X, y, loss=, optimizer=, metrics=)``
#    * - ``EarlyStopping(patience=5, restore_best_weights=True)``
#      - ``fb.EarlyStopping(patience=5, restore_best=True)``
#    * - ``model.train_on_batch(x, y)``
#      - ``trainer.step(x, y)``
#    * - ``model.evaluate(X, y)``
#      - ``net.evaluate(X, y, loss=, metrics=)``
#    * - ``model.summary()``
#      - ``print(net)``
#    * - ``model.save("net.keras")``
#      - ``net.save("net.safetensors")``

X, y = fb.datasets.digits()
X_train, y_train, X_test, y_test = X[:1400], y[:1400], X[1400:], y[1400:]

# %%
# The network
# -----------
#
# Only the ``Input`` differs, and the softmax: in fastbp the loss takes logits, as with ``from_logits=True`` of Keras,
# which is more exact.

keras.utils.set_random_seed(0)
model = keras.Sequential(
    [
        keras.Input((64,)),
        keras.layers.Dense(32, activation="relu"),
        keras.layers.Dense(10),
    ]
)

net = fb.Sequential(
    fb.Input(64),
    fb.Dense(32, "relu"),
    fb.Dense(10),
    seed=0,
)

# %%
# The same start values for both. Matrices have the same layout, (inputs, outputs).

for layer, other in zip(net.layers, model.layers, strict=True):
    layer.W[:], layer.b[:] = other.get_weights()

# %%
# Training
# --------
#
# ``compile`` and ``fit`` are one call. Keras's Adam has an epsilon of 1e-7; most others, fastbp too, have 1e-8.

model.compile(
    loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    optimizer=keras.optimizers.Adam(1e-3),
    metrics=["accuracy"],
)
theirs = model.fit(
    X_train, y_train, epochs=15, batch_size=32, shuffle=False, validation_data=(X_test, y_test), verbose=0
)

ours = net.fit(
    X_train,
    y_train,
    loss="cross_entropy",
    optimizer=fb.Adam(lr=1e-3, eps=1e-7),
    metrics=["accuracy"],
    epochs=15,
    batch_size=32,
    shuffle=False,
    validation_data=(X_test, y_test),
)

# %%
# The histories have the same keys and the same numbers.

print("Keras ", {key: round(float(values[-1]), 4) for key, values in theirs.history.items()})
print("fastbp", {key: round(float(values[-1]), 4) for key, values in ours.history.items()})
for key in ("loss", "val_loss"):
    assert np.allclose(theirs.history[key], ours.history[key], rtol=1e-2)

# %%
# Prediction
# ----------

p_theirs = np.asarray(keras.ops.softmax(model.predict(X_test, verbose=0)))
p_ours = net.predict_proba(X_test)
print(f"largest difference of a probability {np.abs(p_theirs - p_ours).max():.1e}")
assert np.abs(p_theirs - p_ours).max() < 0.02

# %%
# Convert a model
# ---------------
#
# ``fb.from_keras`` takes a model, or a ``.keras`` file, and compares both on random rows before it returns. The
# functional API is supported too: merges, slices, operators on tensors.

x = keras.Input((64,))
h = keras.layers.Dense(16, activation="gelu")(x)
out = keras.layers.Dense(10)(keras.layers.Concatenate()([h * keras.ops.sigmoid(h), x]))
functional = keras.Model(x, out)
converted = fb.from_keras(functional)
print(converted)
assert np.allclose(converted.predict(X_test), functional.predict(X_test, verbose=0), atol=1e-5)

functional.save("net.keras")
assert np.array_equal(fb.from_keras("net.keras").params, converted.params)

fig, axes = plt.subplots(1, 2, figsize=(11, 3.8), layout="constrained")
epochs = np.arange(1, 16)
for ax, key in zip(axes, ("loss", "accuracy"), strict=True):
    for color, name in (("C0", key), ("C1", f"val_{key}")):
        ax.plot(epochs, theirs.history[name], color=color, lw=5, alpha=0.4, label=f"Keras, {name}")
        ax.plot(epochs, ours.history[name], color=color, lw=1, label=f"fastbp, {name}")
    ax.set(xlabel="epoch", ylabel=key)
    ax.legend()
plt.show()
