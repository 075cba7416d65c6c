"""What y is to an estimator: labels, one or several a row, or values; its loss in the engine's terms and its score."""

from typing import Any, ClassVar

import numpy as np

from fastbp import losses
from fastbp.estimators import WHO
from fastbp.optional import package
from fastbp.solvers import Target

LabelBinarizer = package("sklearn.preprocessing", WHO).LabelBinarizer
multiclass = package("sklearn.utils.multiclass", WHO)
weighing = package("sklearn.utils.class_weight", WHO)
r2_score = package("sklearn.metrics", WHO).r2_score


class Classes:
    """Labels: class numbers for a softmax; 0 and 1 for a sigmoid, with two classes or with several labels a row."""

    _checks_of_y: ClassVar[dict] = {}
    classes_: np.ndarray
    class_weight: Any
    warm_start: bool
    out_activation_: str
    n_outputs_: int

    def _learn_classes(self, y, classes):
        """In the first call of `partial_fit`, what `classes` says."""
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
        return 1 if self._label_binarizer.y_type_ == "binary" else len(self.classes_)

    def _strata(self, y):
        return self._encoded(y, np.dtype(float)).astype(bool) if self.n_outputs_ == 1 else None

    def _link(self):
        return "softmax" if self._label_binarizer.y_type_ == "multiclass" else "logistic"

    def _target(self):
        if self.out_activation_ == "softmax":
            return Target(losses.cross_entropy)
        return Target(losses.binary_cross_entropy, self.n_outputs_, self.n_outputs_)

    def _encoded(self, y, dtype):
        kind = self._label_binarizer.y_type_
        if kind == "multiclass":
            return np.searchsorted(self.classes_, y).astype(np.int64, copy=False)
        if kind == "binary":
            return (y == self.classes_[1] if len(self.classes_) == 2 else np.zeros(len(y))).astype(dtype)[:, None]
        return np.ascontiguousarray(self._label_binarizer.transform(y), dtype)

    def _score_of(self, P, t, weights):
        right = P.argmax(axis=1) == t if t.ndim == 1 else ((P > 0.5) == (t > 0.5)).all(axis=1)
        return float(np.average(right, weights=weights))


class Values:
    """Numbers, one or several a row."""

    _checks_of_y: ClassVar[dict] = {"y_numeric": True}

    def _learn_targets(self, y, incremental):
        pass

    def _known_targets(self, y):
        pass

    def _class_weighted(self, y, weights, incremental):
        return weights

    def _columns(self, y):
        return 1 if y.ndim == 1 else y.shape[1]

    def _strata(self, y):
        return None

    def _link(self):
        return "exp" if self.loss == "poisson" else "identity"

    def _target(self):
        return Target(losses.mse, 0.5, self.n_outputs_ / 2)

    def _encoded(self, y, dtype):
        return np.ascontiguousarray(y.reshape(len(y), -1), dtype)

    def _score_of(self, P, t, weights):
        return float(r2_score(t, P, sample_weight=weights))
