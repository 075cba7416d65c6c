"""MLPClassifier and MLPRegressor for scikit-learn, drop-in replacements of its own."""

from fastbp.sklearn.estimators import MLPClassifier, MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]


def __dir__():
    return __all__
