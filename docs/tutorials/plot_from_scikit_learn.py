"""
From scikit-learn, line by line
===============================

From ``MLPRegressor`` of scikit-learn to a network of layers, side by side; then a fitted pipeline, with its scaling,
is converted into one network, which can be differentiated, exported to C or ONNX, and trained further. If you only
want the estimator with more options, change one import: :doc:`plot_replacing_mlpclassifier`.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp as fb

warnings.simplefilter("ignore", ConvergenceWarning)  # fits end after a number of epochs on purpose

# %%
# Side by side
# ------------
#
# .. list-table::
#    :header-rows: 1
#
#    * - scikit-learn
#      - fastbp
#    * - ``hidden_layer_sizes=(64, 32)``
#      - ``fb.Dense(64, "relu"), fb.Dense(32, "relu")``
#    * - ``activation="logistic"``
#      - ``"sigmoid"``, or another for each layer
#    * - ``solver="adam", learning_rate_init=1e-3``
#      - ``optimizer=fb.Adam(lr=1e-3)``
#    * - ``solver="lbfgs"``
#      - ``fb.minimize(net, X, y, method="l-bfgs")``
#    * - ``alpha=1e-4``, L2 regularization
#      - ``fb.AdamW(weight_decay=...)``; or ``fb.Adam(weight_decay=...)`` for L2
#    * - ``max_iter=200``
#      - ``epochs=200``
#    * - ``early_stopping=True, n_iter_no_change=10``
#      - ``callbacks=[fb.EarlyStopping(patience=10, restore_best=True)]``
#    * - ``validation_fraction=0.1``
#      - ``validation_split=0.1``
#    * - ``random_state=0``
#      - ``seed=0`` of the model and of ``fit``
#    * - ``predict`` of a regressor
#      - ``net.predict(X)``, shape (rows, outputs)
#    * - ``predict_proba``
#      - ``net.predict_proba(X)``
#    * - ``partial_fit``
#      - ``trainer.step(X, y)``
#    * - ``coefs_[0]``, ``intercepts_[0]``
#      - ``net.layers[0].W``, ``net.layers[0].b``, the same layout
#    * - ``loss_curve_``
#      - ``history.history["loss"]``; scikit-learn's squared error is half of ``mse``
#    * - ``cross_val_score``
#      - ``fb.cross_validate``
#    * - a pickle
#      - ``net.save("net.safetensors")``

rng = np.random.default_rng(0)
X = rng.uniform(-2, 2, (1500, 3)) * [1, 10, 100] + [0, 5, 50]  # columns of different size


def target(X):
    a, b, c = ((X - [0, 5, 50]) / [1, 10, 100]).T
    return np.sin(2 * a) + b * c


y = target(X) + 0.05 * rng.normal(size=len(X))
X_train, y_train, X_test, y_test = X[:1000], y[:1000], X[1000:], y[1000:]

# %%
# The same training
# -----------------
#
# Both start from the same weights and see the rows in the same order. ``partial_fit`` of scikit-learn is one pass
# over the rows, and so is one epoch of ``fit``.

scaler = StandardScaler().fit(X_train)
Z_train, Z_test = scaler.transform(X_train), scaler.transform(X_test)

settings = {"hidden_layer_sizes": (32, 32), "activation": "tanh", "batch_size": 50, "alpha": 0.0, "random_state": 0}
theirs = MLPRegressor(**settings, learning_rate_init=3e-3, shuffle=False, max_iter=60, tol=0.0, n_iter_no_change=60)
theirs.fit(Z_train, y_train)

start = MLPRegressor(**settings, learning_rate_init=1e-300, max_iter=1).fit(
    Z_train, y_train
)  # hardly moves: start values
net = fb.Sequential(fb.Input(3), fb.Dense(32, "tanh"), fb.Dense(32, "tanh"), fb.Dense(1), dtype="float64")
for layer, W, b in zip(net.layers, start.coefs_, start.intercepts_, strict=True):
    layer.W[:], layer.b[:] = W, b
half = 0.5 * fb.losses.mse  # scikit-learn's squared error
history = net.fit(
    Z_train, y_train, loss=half, optimizer=fb.Adam(lr=3e-3, eps_hat=True), epochs=60, batch_size=50, shuffle=False
)

difference = np.abs(np.array(theirs.loss_curve_) / np.array(history.history["loss"]) - 1)
print(f"largest relative difference of the losses {difference.max():.1e}")
assert difference.max() < 1e-4

# %%
# Convert a fitted pipeline
# -------------------------
#
# ``fb.from_sklearn`` turns the scaler into a frozen layer, so the network takes the raw columns. The conversion is
# checked on random rows before it returns.

pipeline = make_pipeline(
    StandardScaler(), MLPRegressor(hidden_layer_sizes=(32, 32), activation="tanh", max_iter=300, random_state=0)
)
pipeline.fit(X_train, y_train)
converted = fb.from_sklearn(pipeline, dtype="float64")
print(converted)
assert np.allclose(converted.predict(X_test)[:, 0], pipeline.predict(X_test), rtol=1e-9)

# %%
# What the network can do
# -----------------------
#
# *Sensitivity*: the derivative of the prediction by each column, for all rows at once. *Further training* on more
# rows or with another loss. *Export*: ``converted.to_c("net.c")``, ``converted.to_onnx("net.onnx")``.

slopes = fb.jacobian(converted, X_test)[:, 0]  # (rows, columns)
a, b, c = ((X_test - [0, 5, 50]) / [1, 10, 100]).T
true_slopes = np.stack([2 * np.cos(2 * a), c / 10, b / 100], axis=1)
correlations = [np.corrcoef(slopes[:, k], true_slopes[:, k])[0, 1] for k in range(3)]
print("correlation of learned and true slopes:", np.round(correlations, 3))
assert min(correlations) > 0.9

before = converted.evaluate(X_test, y_test)["loss"]
converted.fit(X_train, y_train, optimizer=fb.Adam(lr=fb.schedules.Cosine(3e-3, 60 * 32)), epochs=60, seed=0)
after = converted.evaluate(X_test, y_test)["loss"]
print(f"mean squared error on new rows: {before:.4f}, after further training {after:.4f}")
assert after < before

fig, axes = plt.subplots(1, 2, figsize=(11, 3.9), layout="constrained")
axes[0].semilogy(theirs.loss_curve_, lw=5, alpha=0.4, label="scikit-learn")
axes[0].semilogy(history.history["loss"], label="fastbp")
axes[0].set(xlabel="epoch", ylabel="loss", title="The same training")
axes[0].legend()
order = np.argsort(X_test[:, 0])
axes[1].plot(X_test[order, 0], true_slopes[order, 0], color="0.6", lw=3, label="true slope")
axes[1].scatter(X_test[:, 0], slopes[:, 0], s=6, label="slope of the network, one point a row")
axes[1].set(xlabel="first column", ylabel="derivative of the prediction", title="Sensitivity", ylim=(None, 4.2))
axes[1].legend(loc="upper right")
plt.show()
