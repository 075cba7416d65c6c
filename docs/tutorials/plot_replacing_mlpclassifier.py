"""
Replacing MLPClassifier
=======================

:class:`fastbp.sklearn.MLPClassifier <fastbp.MLPClassifier>` has the parameters and the results of scikit-learn's, and
more: class weights, dropout, other activations, losses and optimizers, validation data. Only the import changes. This
tutorial replaces it in a pipeline, compares the results to the last digits, and then uses what scikit-learn's does
not have, on classes of unequal size.
"""

import warnings

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits, make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import balanced_accuracy_score, recall_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.neural_network import MLPClassifier as TheirClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import fastbp as fb
from fastbp.sklearn import MLPClassifier  # the line that changes

warnings.simplefilter("ignore", ConvergenceWarning)  # below, fits end after a number of epochs on purpose

# %%
# The same results
# ----------------
#
# With the same ``random_state`` the start values, the order of the rows and so the whole loss curve are the same, up
# to rounding.

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
settings = {"hidden_layer_sizes": (64, 32), "max_iter": 40, "tol": 0.0, "random_state": 0}

fitted = {}
for name, kind in {"scikit-learn": TheirClassifier, "fastbp": MLPClassifier}.items():
    fitted[name] = make_pipeline(StandardScaler(), kind(**settings)).fit(X_train, y_train)
    print(f"{name}: accuracy {fitted[name].score(X_test, y_test):.4f}")
theirs, ours = fitted["scikit-learn"][-1], fitted["fastbp"][-1]
assert np.allclose(ours.loss_curve_, theirs.loss_curve_, rtol=1e-6)
assert np.allclose(ours.coefs_[0], theirs.coefs_[0], atol=1e-6)

# %%
# Hyperparameter search
# ---------------------
#
# A grid search takes the estimator as it is. ``dropout`` is a parameter that scikit-learn's does not have.

search = GridSearchCV(
    make_pipeline(StandardScaler(), MLPClassifier(early_stopping=True, max_iter=100, random_state=0)),
    {"mlpclassifier__hidden_layer_sizes": [(32,), (64, 32)], "mlpclassifier__dropout": [0.0, 0.2]},
    cv=3,
)
search.fit(X_train, y_train)
print(search.best_params_, f"accuracy {search.score(X_test, y_test):.4f}")

# %%
# Class imbalance
# ---------------
#
# Now a table with 5 % positives. Without weights the network hardly ever answers "positive": that is right most of
# the time, and useless. ``class_weight="balanced"`` lets both classes count the same; the focal loss weighs hard rows
# higher.

X, y = make_classification(
    6000, 20, n_informative=6, n_clusters_per_class=3, weights=[0.96], class_sep=0.7, flip_y=0.02, random_state=0
)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
print(f"{y.mean():.1%} positives")
common = {"hidden_layer_sizes": (32,), "max_iter": 60, "random_state": 0, "alpha": 1e-2}
kinds = {
    "scikit-learn": TheirClassifier(**common),
    "class weights": MLPClassifier(**common, class_weight="balanced"),
    "class weights, dropout": MLPClassifier(**common, class_weight="balanced", dropout=0.2),
}
recalls, balanced, curves = {}, {}, {}
for name, estimator in kinds.items():
    predicted = make_pipeline(StandardScaler(), estimator).fit(X_train, y_train).predict(X_test)
    recalls[name], balanced[name] = recall_score(y_test, predicted), balanced_accuracy_score(y_test, predicted)
    print(f"{name}: recall {recalls[name]:.3f}, balanced accuracy {balanced[name]:.3f}")
assert balanced["class weights"] > balanced["scikit-learn"] + 0.05

# %%
# Overfitting, seen while it happens
# ----------------------------------
#
# ``fit`` takes validation data; their loss is in ``validation_loss_curve_``. A callback stops the fit when it no
# longer falls, and restores the best parameters.

scaler = StandardScaler().fit(X_train)
large = MLPClassifier((128, 128), max_iter=60, random_state=0, tol=0.0, n_iter_no_change=60)
large.fit(scaler.transform(X_train), y_train, X_val=scaler.transform(X_test), y_val=y_test)
stopped = MLPClassifier(
    (128, 128), max_iter=60, random_state=0, callbacks=[fb.EarlyStopping("val_loss", patience=5, restore_best=True)]
)
stopped.fit(scaler.transform(X_train), y_train, X_val=scaler.transform(X_test), y_val=y_test)
assert stopped.n_iter_ < large.n_iter_

fig, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
axes[0].plot(theirs.loss_curve_, lw=5, alpha=0.4, label="scikit-learn")
axes[0].plot(ours.loss_curve_, label="fastbp")
axes[0].set(xlabel="epoch", ylabel="loss", yscale="log", title="The same loss curve")
axes[0].legend()
places = np.arange(len(kinds))
axes[1].bar(places - 0.2, recalls.values(), 0.4, label="recall of positives")
axes[1].bar(places + 0.2, balanced.values(), 0.4, label="balanced accuracy")
axes[1].set_xticks(places, [name.replace(", ", ",\n") for name in kinds])
axes[1].set(title="Class imbalance", ylim=(0, 1.25))
axes[1].legend(loc="upper left", fontsize=9)
axes[2].plot(large.loss_curve_, label="training rows")
axes[2].plot(large.validation_loss_curve_, label="validation rows")
axes[2].axvline(np.argmin(large.validation_loss_curve_), color="0.6", ls=":", label="early stopping keeps this")
axes[2].set(xlabel="epoch", ylabel="loss", title="Overfitting of a large network", ylim=(0, None))
axes[2].legend(fontsize=9)
plt.show()
