"""Classifier and Regressor for River: networks that learn sample by sample, in its pipelines, ensembles and metrics."""

from fastbp.river.estimators import Classifier, Regressor

__all__ = ["Classifier", "Regressor"]


def __dir__():
    return __all__
