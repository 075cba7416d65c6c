"""MLPClassifier and MLPRegressor for scikit-learn, drop-in replacements of its own; estimators around any network."""

from fastbp.sklearn.estimators import MLPClassifier, MLPRegressor
from fastbp.sklearn.graphs import NetworkClassifier, NetworkRegressor

__all__ = ["MLPClassifier", "MLPRegressor", "NetworkClassifier", "NetworkRegressor"]


def __dir__():
    return __all__
