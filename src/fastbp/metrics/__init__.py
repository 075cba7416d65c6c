"""Metrics: functions (y, output) -> float, and the table of them by name."""

from fastbp.metrics.metric import Metric
from fastbp.metrics.metrics import (
    METRICS,
    accuracy,
    balanced_accuracy,
    binary_accuracy,
    f1,
    log_loss,
    mae,
    mape,
    mse,
    precision,
    r2,
    recall,
    rmse,
    roc_auc,
    top_k_accuracy,
)

__all__ = [
    "METRICS",
    "Metric",
    "accuracy",
    "balanced_accuracy",
    "binary_accuracy",
    "f1",
    "log_loss",
    "mae",
    "mape",
    "mse",
    "precision",
    "r2",
    "recall",
    "rmse",
    "roc_auc",
    "top_k_accuracy",
]


def __dir__():
    return __all__
