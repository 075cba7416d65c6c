"""
An autoencoder and its encoder
==============================

An autoencoder squeezes its input through a narrow layer and restores it. The narrow layer, the *code*, is a summary
learned without labels. Here it is used three times: to compress, to remove noise, and as features of a classifier
that has only thirty labels.

The point is that layers are shared: the encoder stands in the autoencoder and in the classifier, with one set of
weights.
"""

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb

X, y = fb.datasets.digits()
X, y, X_test, y_test = X[:1400], y[:1400], X[1400:], y[1400:]

# %%
# The autoencoder
# ---------------
#
# Nodes are called like functions. ``code`` is an ordinary node, of 12 numbers instead of 64 pixels. The loss compares
# the output with the input without noise, so the network also learns to remove noise (a *denoising* autoencoder).

image = fb.Input(64, name="image")
code = fb.Dense(12, name="code")(fb.Dense(64, "relu", name="squeeze")(image))
restored = fb.Dense(64, "sigmoid", name="restored")(fb.Dense(64, "relu", name="unfold")(code))
autoencoder = fb.Model(image, restored, seed=0)

rng = np.random.default_rng(0)


def with_noise(X, y, rng):
    return X + 0.2 * rng.normal(size=X.shape).astype("float32"), y


history = autoencoder.fit(
    X,
    X,
    optimizer=fb.Adam(lr=2e-3),
    epochs=80,
    batch_size=64,
    validation_data=(X_test, X_test),
    augment=with_noise,  # new noise in every batch
    seed=0,
)
print(f"mean squared error on new images: {history.history['val_loss'][-1]:.4f}, variance of a pixel {X.var():.4f}")

# %%
# The encoder is part of it
# -------------------------
#
# A model from the same nodes has the same parameters: nothing is copied, and the encoder follows the training of the
# autoencoder.

encoder = fb.Model(autoencoder.inputs, autoencoder["code"].output)
codes = encoder.predict(X_test)
assert codes.shape == (len(X_test), 12)
assert np.shares_memory(encoder["code"].W, autoencoder["code"].W)

noisy = X_test + 0.3 * rng.normal(size=X_test.shape).astype("float32")
clean = autoencoder.predict(noisy)
before, after = np.mean((noisy - X_test) ** 2), np.mean((clean - X_test) ** 2)
print(f"error of a noisy image {before:.4f}, after the autoencoder {after:.4f}")
assert after < before / 2

fig, axes = plt.subplots(3, 9, figsize=(9, 3.4), layout="constrained")
for k, (title, images) in enumerate({"original": X_test, "noisy": noisy, "restored": clean}.items()):
    for n in range(9):
        axes[k, n].imshow(images[n].reshape(8, 8), cmap="gray_r", vmin=0, vmax=1)
        axes[k, n].set(xticks=[], yticks=[])
    axes[k, 0].set_ylabel(title)

# %%
# A classifier with thirty labels
# -------------------------------
#
# Three labelled images of each digit. One network learns from the pixels, the other has the encoder in front, frozen:
# only its last layer is trained. ``Dense(trainable=False)`` would freeze a layer for good; here it is simpler to
# compute the codes once.

labelled = np.concatenate([np.flatnonzero(y == digit)[:3] for digit in range(10)])


def classifier(inputs):
    return fb.Sequential(fb.Input(inputs), fb.Dense(10), seed=0)


settings = {"loss": "cross_entropy", "optimizer": fb.AdamW(lr=1e-2, weight_decay=1e-2), "epochs": 200, "seed": 0}
on_pixels = classifier(64)
on_pixels.fit(X[labelled], y[labelled], **settings)

code_mean, code_std = encoder.predict(X).mean(axis=0), encoder.predict(X).std(axis=0)


def features(X):
    return (encoder.predict(X) - code_mean) / code_std


on_codes = classifier(12)
settings["optimizer"] = fb.AdamW(lr=1e-2, weight_decay=1e-2)
on_codes.fit(features(X[labelled]), y[labelled], **settings)

scores = {
    "64 pixels": on_pixels.evaluate(X_test, y_test, loss="cross_entropy", metrics=["accuracy"])["accuracy"],
    "12 codes": on_codes.evaluate(features(X_test), y_test, loss="cross_entropy", metrics=["accuracy"])["accuracy"],
}
print(scores)

# %%
# Both tasks at once
# ------------------
#
# Instead of one after the other, one network can learn both: it restores every image, and names those that have a
# label. Build the whole network first and its parts from it; all share one set of weights. The *row sets* of ``fit``
# say which rows count for which output, and 0.03 is the weight of the labelled ones.

image = fb.Input(64, name="image")
code = fb.Dense(12, name="code")(fb.Dense(64, "relu")(image))
restored = fb.Dense(64, "sigmoid", name="restored")(fb.Dense(64, "relu")(code))
digit = fb.Dense(10, name="digit")(fb.Dropout(0.2)(code))
both = fb.Model(image, [restored, digit], seed=0)
both.fit(
    {"all": (X, {"restored": X}), "labelled": (X[labelled], {"digit": y[labelled]}, 0.03)},
    loss={"restored": "mse", "digit": "cross_entropy"},
    optimizer=fb.Adam(lr=2e-3),
    epochs=80,
    batch_size=64,
    seed=0,
)
naming = fb.Model(both.inputs, both["digit"].output)
scores["both at once"] = naming.evaluate(X_test, y_test, loss="cross_entropy", metrics=["accuracy"])["accuracy"]
print(scores)

fig, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
centred = codes - codes.mean(axis=0)
plane = centred @ np.linalg.svd(centred, full_matrices=False)[2][:2].T  # the two main directions
points = axes[0].scatter(*plane.T, c=y_test, cmap="tab10", s=12, vmin=-0.5, vmax=9.5)
fig.colorbar(points, ax=axes[0], ticks=range(10), label="digit")
axes[0].set(title="Codes of new images", xlabel="first main direction", ylabel="second main direction")
axes[1].bar(list(scores), list(scores.values()), color=["0.7", "tab:blue", "tab:green"])
for n, value in enumerate(scores.values()):
    axes[1].text(n, value + 0.01, f"{value:.2f}", ha="center")
axes[1].set(ylim=(0, 1), ylabel="accuracy on new images", title="Classifiers with thirty labels")
plt.show()
