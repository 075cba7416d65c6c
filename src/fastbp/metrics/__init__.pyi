"""The public names of this folder: the one list of them."""

from fastbp.metrics.metric import (
    Metric as Metric,
)
from fastbp.metrics.metrics import (
    METRICS as METRICS,
    accuracy as accuracy,
    balanced_accuracy as balanced_accuracy,
    binary_accuracy as binary_accuracy,
    f1 as f1,
    log_loss as log_loss,
    mae as mae,
    mape as mape,
    mse as mse,
    precision as precision,
    r2 as r2,
    recall as recall,
    rmse as rmse,
    roc_auc as roc_auc,
    top_k_accuracy as top_k_accuracy,
)
