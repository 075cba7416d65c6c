"""Conversion of the estimators to scikit-learn's own, and by skl2onnx, which supports those.

A converter cannot be registered before skl2onnx is imported, which takes seconds; so a finder on `sys.meta_path` waits
for that import. Rejected: importing skl2onnx together with `fastbp.sklearn` if it is installed.
"""

import importlib.util
import inspect
import sys
from importlib.abc import MetaPathFinder
from typing import Any

from fastbp._optional import package
from fastbp.sklearn.base import validation
from fastbp.sklearn.targets import WHO

FITTED = [
    "coefs_",
    "intercepts_",
    "n_features_in_",
    "n_outputs_",
    "n_layers_",
    "n_iter_",
    "t_",
    "out_activation_",
    "classes_",
    "feature_names_in_",
    "loss_",
    "loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "_label_binarizer",
    "_no_improvement_count",
    "_random_state",
]
CONVERTER = "skl2onnx"


def as_sklearns(est: Any) -> Any:
    """The scikit-learn estimator with the same predictions as a fitted one of ours."""
    validation.check_is_fitted(est)
    theirs = getattr(package("sklearn.neural_network", WHO), type(est).__name__)
    hidden = sorted(set(est._activations))
    known = theirs._parameter_constraints["activation"][0].options
    outputs = package("sklearn.neural_network._base", WHO).ACTIVATIONS
    if len(hidden) > 1 or not set(hidden) <= known:
        raise ValueError(
            f"scikit-learn has {', '.join(sorted(known))} for all hidden layers, got activation={est.activation!r}; "
            "the network can be written by to_onnx"
        )
    if est.out_activation_ not in outputs or getattr(est, "_heads", lambda: 1)() > 1:
        raise ValueError(f"scikit-learn has no estimator that predicts what loss={est.loss!r} does")
    known = inspect.signature(theirs).parameters
    given = {name: value for name, value in est.get_params(deep=False).items() if name in known}
    if "loss" in given:
        given["loss"] = "poisson" if est.out_activation_ == "exp" else "squared_error"
    made = theirs(**given | ({"activation": hidden[0]} if hidden else {}))
    for name in FITTED:
        if hasattr(est, name):
            setattr(made, name, getattr(est, name))
    made.coefs_, made.intercepts_ = ([A.copy() for A in arrays] for arrays in (est.coefs_, est.intercepts_))
    return made


def register_converters(*classes: type) -> None:
    """Register our estimators with skl2onnx: now, or when it is imported."""
    if CONVERTER in sys.modules:
        _register(classes)
    elif not any(isinstance(finder, _WhenImported) for finder in sys.meta_path):
        sys.meta_path.insert(0, _WhenImported(classes))


class _WhenImported(MetaPathFinder):
    """Finds no module itself: the other finders load skl2onnx, then it registers the converters."""

    def __init__(self, classes):
        self._classes = classes

    def find_spec(self, name, path=None, target=None):
        if name != CONVERTER:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.loader is not None:
            loader, execute = spec.loader, spec.loader.exec_module

            def exec_module(module):
                execute(module)
                _register(self._classes)

            loader.exec_module = exec_module
        return spec


def _register(classes):
    skl2onnx = sys.modules[CONVERTER]
    registered = importlib.import_module("skl2onnx.common._registration")
    for cls in classes:
        alias = f"Sklearn{cls.__name__}"
        options = {"zipmap": [True, False, "columns"], "output_class_labels": [False, True], "nocl": [True, False]}
        skl2onnx.update_registered_converter(
            cls,
            f"Fastbp{cls.__name__}",
            registered.get_shape_calculator(alias),
            _converter(registered.get_converter(alias)),
            options=options if "Classifier" in alias else None,
        )


def _converter(theirs):
    def convert(scope, operator, container):
        ours = operator.raw_operator
        operator.raw_operator = as_sklearns(ours)
        try:
            theirs(scope, operator, container)
        finally:
            operator.raw_operator = ours

    return convert
