"""Estimators for scikit-learn, with the parameters and the numbers of its own."""

from fastbp.sklearn.estimators import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]


def __dir__():
    return __all__
