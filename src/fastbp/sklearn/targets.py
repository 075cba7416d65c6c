"""Targets of the estimators: single labels, multilabel or values; their losses in the engine, and scores."""

import math
from typing import Any, ClassVar, NamedTuple

import numpy as np

from fastbp import losses
from fastbp._optional import package
from fastbp.losses.loss import Loss

WHO = "fastbp.sklearn"

LabelBinarizer = package("sklearn.preprocessing", WHO).LabelBinarizer
multiclass = package("sklearn.utils.multiclass", WHO)
weighing = package("sklearn.utils.class_weight", WHO)
r2_score = package("sklearn.metrics", WHO).r2_score


class Target(NamedTuple):
    """The loss of an estimator, in the terms of the engine."""

    loss: Loss
    value: float = 1.0  # ratio of the reported loss to that of the engine
    offset: bool = False  # whether terms that do not depend on the outputs are reported, as for "poisson"
    clips: bool = False  # whether probabilities are clipped at the epsilon of the dtype in the reported loss
    inside: bool = False  # whether the loss compares predictions, so that their activation belongs to the network

    def offsets(self, t: np.ndarray) -> np.ndarray:
        """The constant that the engine omits from the loss of each sample."""
        logs = np.log(t, out=np.zeros_like(t), where=t > 0)
        return (t * logs - t).sum(axis=1)


def chosen(loss: str | Loss) -> Loss:
    """A loss by name, or the loss itself."""
    found = Loss.classes.resolve(loss)
    if not isinstance(found, Loss):
        raise TypeError(f"loss must be one of fastbp's, got {loss!r}")
    return found


def link_of(loss: Loss) -> str:
    """The activation that turns outputs into predictions, by its name in scikit-learn."""
    if loss.row.labels:
        return "softmax"
    if loss.takes_shares or loss.row.low == -1:  # logits, or margins
        return "logistic"
    return "exp" if loss.settings.get("log_input") else "identity"


class Classes:
    """Labels: class numbers for a softmax; 0 and 1 for a sigmoid, with two classes or with several labels per row."""

    _checks_of_y: ClassVar[dict] = {}
    classes_: np.ndarray
    class_weight: Any
    loss: Any
    warm_start: bool
    out_activation_: str
    n_outputs_: int

    def _learn_classes(self, y, classes):
        """Set the classes from `classes`, in the first call of `partial_fit`."""
        if multiclass._check_partial_fit_first_call(self, classes):
            kind = multiclass.type_of_target(y)
            self._label_binarizer = LabelBinarizer().fit(y if kind.startswith("multilabel") else classes)

    def _learn_targets(self, y, incremental):
        if not hasattr(self, "classes_") or not (self.warm_start or incremental):
            self._label_binarizer = LabelBinarizer().fit(y)
            self.classes_ = self._label_binarizer.classes_
        elif self.warm_start:
            classes = multiclass.unique_labels(y)
            if set(classes) != set(self.classes_):
                raise ValueError(
                    "warm_start can only be used where `y` has the same classes as in the previous call to fit."
                    f" Previously got {self.classes_}, `y` has {classes}"
                )
        else:
            self._known_targets(y)

    def _known_targets(self, y):
        known = self.classes_
        comparable = y.ndim == 1 and y.dtype == known.dtype and y.dtype.kind in "biu"
        if comparable and (known[np.searchsorted(known, y).clip(max=len(known) - 1)] == y).all():
            return
        classes = multiclass.unique_labels(y)
        if len(np.setdiff1d(classes, self.classes_, assume_unique=True)):
            raise ValueError(
                f"`y` has classes not in `self.classes_`. `self.classes_` has {self.classes_}. 'y' has {classes}."
            )

    def _class_weighted(self, y, weights, incremental):
        if self.class_weight is None:
            return weights
        if incremental and self.class_weight == "balanced":
            raise ValueError(
                "class_weight='balanced' needs all of y, which partial_fit does not see; pass a dict made with "
                "sklearn.utils.compute_class_weight"
            )
        of_rows = weighing.compute_sample_weight(self.class_weight, y)
        return of_rows if weights is None else of_rows * weights

    def _columns(self, y):
        kind, loss = self._label_binarizer.y_type_, self._loss_of_classes()
        if loss is not None and loss.row.labels and kind not in ("binary", "multiclass"):
            raise ValueError(f"loss {loss.row.name} is for one label a row, y has several")
        one = kind == "binary" and not (loss is not None and loss.row.labels)
        return 1 if one else max(2, len(self.classes_)) if kind == "binary" else len(self.classes_)

    def _loss_of_classes(self):
        """The loss, or None for scikit-learn's own."""
        if isinstance(self.loss, str) and self.loss == "log_loss":
            return None
        loss = chosen(self.loss)
        row = loss.row
        heads = row.heads > 1 or any(one.kind == "heads" for one in row.parameters)
        if heads or (row.low, row.high) not in ((0, 1), (-1, 1), (-math.inf, math.inf)):
            raise ValueError(f"loss {row.name} is not for classes")
        return loss

    def _strata(self, y):
        return (y == self.classes_[-1])[:, None] if self._label_binarizer.y_type_ == "binary" else None

    def _link(self):
        many, loss = self._label_binarizer.y_type_ == "multiclass", self._loss_of_classes()
        link = "identity" if loss is None else link_of(loss)
        return link if link != "identity" else "softmax" if many else "logistic"

    def _target(self):
        loss = self._loss_of_classes()
        if loss is not None:
            return Target(loss, inside=link_of(loss) == "identity")
        if self.out_activation_ == "softmax":
            return Target(losses.cross_entropy, clips=True)
        return Target(self.n_outputs_ * losses.binary_cross_entropy, clips=True)

    def _encoded(self, y, dtype):
        kind, loss = self._label_binarizer.y_type_, self._target().loss
        if kind == "binary" and not loss.row.labels:
            return (y == self.classes_[1] if len(self.classes_) == 2 else np.zeros(len(y))).astype(dtype)[:, None]
        if kind not in ("binary", "multiclass"):
            return np.ascontiguousarray(self._label_binarizer.transform(y), dtype)
        numbers = np.searchsorted(self.classes_, y).astype(np.int64, copy=False)
        return numbers if loss.row.labels else np.eye(self.n_outputs_, dtype=dtype)[numbers]

    def _score_of(self, P, t, weights):
        if t.ndim == 1 or self._label_binarizer.y_type_ == "multiclass":
            right = P.argmax(axis=1) == (t if t.ndim == 1 else t.argmax(axis=1))
        else:
            right = ((P > 0.5) == (t > 0.5)).all(axis=1)
        return float(np.average(right, weights=weights))


class Values:
    """Numbers, one or several per row."""

    _checks_of_y: ClassVar[dict] = {"y_numeric": True}
    loss: Any
    quantile: Any
    n_outputs_: int

    def _learn_targets(self, y, incremental):
        pass

    def _known_targets(self, y):
        pass

    def _class_weighted(self, y, weights, incremental):
        return weights

    def _columns(self, y):
        return self._heads() * (1 if y.ndim == 1 else y.shape[1])

    def _strata(self, y):
        return None

    def _loss_of_values(self):
        if isinstance(self.loss, str) and self.loss == "squared_error":
            return losses.mse
        loss = chosen(self.loss)
        return loss.configured(quantiles=self.quantile) if self.loss == "quantile" else loss

    def _heads(self):
        """The number of outputs for each target."""
        loss = self._loss_of_values()
        lists = [loss.settings[one.name] for one in loss.row.parameters if one.kind == "heads"]
        return loss.row.heads * math.prod(np.size(one) for one in lists)

    def _levels(self):
        """The levels, if the outputs of a target are quantiles or expectiles; else None."""
        loss = self._loss_of_values()
        lists = [loss.settings[one.name] for one in loss.row.parameters if one.kind == "heads"]
        return np.atleast_1d(lists[0]) if lists else None

    def _central(self, P):
        """One prediction for each target."""
        heads, levels = self._heads(), self._levels()
        if heads == 1:
            return P
        if levels is None:  # means first, then their variances
            return P[:, : P.shape[1] // heads]
        return self._ordered(P)[:, :, int(np.abs(np.sort(levels) - 0.5).argmin())]

    def _ordered(self, P):
        """The quantiles of each target, sorted, since those of a network may cross."""
        return np.sort(P.reshape(len(P), -1, self._heads()), axis=2)

    def _link(self):
        return link_of(self._loss_of_values())

    def _target(self):
        loss, targets = self._loss_of_values(), self.n_outputs_ // self._heads()
        if (
            self.loss == "squared_error"
        ):  # the reported loss is half the mean of squares, the minimized one half their sum
            return Target(targets / 2 * loss, 1 / targets)
        if self.loss == "poisson":
            return Target(targets * loss, offset=True)
        return Target(loss)

    def _encoded(self, y, dtype):
        loss = self._loss_of_values()
        return loss.targets(y.reshape(len(y), -1), len(y), self.n_outputs_, dtype, "y")

    def _score_of(self, P, t, weights):
        return float(r2_score(t, self._central(P), sample_weight=weights))
