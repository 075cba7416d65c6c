"""
A table of data, end to end
===========================

From a CSV file with missing values, categorical columns and class imbalance to a network that predicts: first from
the command line, then from Python, where every step can be changed.

The table is made here: 3,000 customers of a telephone company, of whom about one in six leaves. Whoever leaves is the
class of interest, and it is the rare one.
"""

import csv

import matplotlib.pyplot as plt
import numpy as np

import fastbp as fb
from fastbp.cli import main

# %%
# The file
# --------
#
# Two numeric columns, two categorical ones, and a target of text. One age in ten is missing.

rng = np.random.default_rng(0)
rows = 3000
age = rng.integers(18, 80, rows)
calls = rng.poisson(2, rows)  # to the hotline
contract = rng.choice(["monthly", "yearly", "two years"], rows, p=[0.5, 0.3, 0.2])
region = rng.choice(["north", "south", "east", "west"], rows)
score = -4.6 + 0.8 * calls + 1.6 * (contract == "monthly") - 0.03 * (age - 45) * (region == "south")
leaves = rng.random(rows) < 1 / (1 + np.exp(-score))
missing = rng.random(rows) < 0.1


def write(name, chosen):
    with open(name, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["age", "calls", "contract", "region", "leaves"])
        for n in chosen:
            cells = ["" if missing[n] else age[n], calls[n], contract[n], region[n], "yes" if leaves[n] else "no"]
            writer.writerow(cells)


write("customers.csv", range(2400))
write("new_customers.csv", range(2400, rows))
with open("customers.csv", encoding="utf-8") as file:
    print("".join(file.readline() for _ in range(5)))
print(f"{leaves.mean():.1%} leave")

# %%
# From the command line
# ---------------------
#
# In a shell::
#
#     fastbp train customers.csv --target leaves --missing mean --patience 10 --epochs 60 --out customers.safetensors
#     fastbp predict customers.safetensors new_customers.csv --out predictions.csv
#
# Text columns are one-hot encoded, numbers standardized, missing values replaced by the mean of the training rows,
# and 20 % of the rows held out. ``--patience`` is early stopping: training ends when the loss of the held-out rows
# has not fallen for ten epochs, and the best network is kept. The encoding is in the model file, so that ``predict``
# needs nothing else. ``main`` is the same command, called from Python.

command = ["train", "customers.csv", "--target", "leaves", "--missing", "mean", "--patience", "10", "--epochs", "60"]
assert main([*command, "--out", "customers.safetensors"]) == 0
assert main(["predict", "customers.safetensors", "new_customers.csv", "--out", "predictions.csv"]) == 0

with open("predictions.csv", encoding="utf-8") as file:
    predictions = list(csv.DictReader(file))
print(predictions[0])

# %%
# Accuracy misleads under class imbalance
# ---------------------------------------
#
# An accuracy above 80 % sounds good, but whoever answers "no" to every row has it as well. Look at the rare class:
# how many of those who leave are found? That is the *recall*.

truth = leaves[2400:]
accuracy = np.mean([(row["prediction"] == "yes") == left for row, left in zip(predictions, truth, strict=True)])
recall_of_command = np.mean([row["prediction"] == "yes" for row, left in zip(predictions, truth, strict=True) if left])
print(f"accuracy {accuracy:.3f}, answering always no {1 - truth.mean():.3f}, recall {recall_of_command:.3f}")

# %%
# From Python
# -----------
#
# The same by hand, in NumPy. Everything that is measured from data (means, standard deviations, the list of
# categories) is measured on the first file only. To measure it on the new customers too would leak the test rows into
# the training.
#
# A missing value gets two columns: the value, with the mean in its place, and a mark that says that it was missing.
# So the network can tell the two apart. A categorical column is one-hot encoded: a column for each category. For
# hundreds of categories, a ``fb.Embedding`` learns a short vector for each instead.

with open("customers.csv", encoding="utf-8") as file:
    table = list(csv.DictReader(file))
with open("new_customers.csv", encoding="utf-8") as file:
    new = list(csv.DictReader(file))

numbers, categorical = ["age", "calls"], ["contract", "region"]
categories = {name: sorted({row[name] for row in table}) for name in categorical}
values = np.array([[float(row[name] or "nan") for name in numbers] for row in table])
mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)


def encoded(table):
    values = np.array([[float(row[name] or "nan") for name in numbers] for row in table])
    gaps = np.isnan(values)
    scaled = np.where(gaps, 0, (values - mean) / std)
    one_hot = [[row[name] == one for name in categorical for one in categories[name]] for row in table]
    return np.hstack([scaled, gaps[:, :1], one_hot]).astype("float32")


X, y = encoded(table), np.array([row["leaves"] == "yes" for row in table]).astype(int)
X_new, y_new = encoded(new), truth.astype(int)
print(X.shape, X[0])

# %%
# ``class_weight="balanced"`` multiplies the loss of each sample by the inverse of the frequency of its class, so both
# classes count the same. Dropout and weight decay are the regularization, early stopping against overfitting watches
# a stratified split, which has the same share of each class.


def network():
    return fb.Sequential(
        fb.Input(X.shape[1]), fb.Dense(32, "relu"), fb.Dropout(0.2), fb.Dense(16, "relu"), fb.Dense(1), seed=0
    )


def fitted(**settings):
    net = network()
    history = net.fit(
        X,
        y,
        loss="binary_cross_entropy",
        optimizer=fb.AdamW(lr=2e-3, weight_decay=1e-2),
        epochs=60,
        batch_size=64,
        validation_split=fb.Split(0.2, seed=0, stratify=True),
        metrics=["accuracy", "recall", "roc_auc"],
        callbacks=[fb.EarlyStopping("val_loss", patience=10, restore_best=True)],
        seed=0,
        **settings,
    )
    return net, history


plain, history = fitted()
balanced, _ = fitted(class_weight="balanced")
for name, net in {"plain": plain, "balanced": balanced}.items():
    found = net.evaluate(
        X_new, y_new, loss="binary_cross_entropy", metrics=["accuracy", "recall", "precision", "roc_auc"]
    )
    print(name, {key: round(value, 3) for key, value in found.items()})

# %%
# The weights move the threshold, not the ranking
# -----------------------------------------------
#
# Both networks rank the customers about equally well (the ROC AUC), but the balanced one says "yes" far more often:
# more of those who leave are found, with more false alarms. The right trade depends on what a miss and a false alarm
# cost, and the threshold on the probability can be set afterwards, without training again.

p_plain, p_balanced = (net.predict_proba(X_new)[:, -1] for net in (plain, balanced))


def recall_and_precision(p, threshold):
    chosen = p > threshold
    return chosen[y_new == 1].mean(), y_new[chosen].mean()


fig, axes = plt.subplots(1, 2, figsize=(11, 4), layout="constrained")
axes[0].plot(history.history["loss"], label="training rows (with dropout)")
axes[0].plot(history.history["val_loss"], label="held-out rows")
axes[0].set(xlabel="epoch", ylabel="loss", title="Learning curves, without class weights")
axes[0].legend()
for name, p in {"plain": p_plain, "balanced": p_balanced}.items():
    points = np.array([recall_and_precision(p, at) for at in np.quantile(p, np.linspace(0, 0.97, 98))])
    (line,) = axes[1].plot(*points.T, label=name)
    axes[1].scatter(*recall_and_precision(p, 0.5), color=line.get_color(), zorder=3)
axes[1].set(xlabel="recall: share of the leavers who are found", ylabel="precision: share of hits among the alarms")
axes[1].set_title("Every threshold; the dots are 0.5")
axes[1].legend()

recalls = [recall_and_precision(p, 0.5)[0] for p in (p_plain, p_balanced)]
assert recalls[1] > recalls[0] + 0.2
plt.show()
