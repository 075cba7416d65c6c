"""The public names of this folder: the one list of them."""

from fastbp.plotting.curves import (
    confusion as confusion,
    confusion_matrix as confusion_matrix,
    loss_curves as loss_curves,
    residuals as residuals,
    weights as weights,
)
from fastbp.plotting.surfaces import decision_boundary as decision_boundary, prediction_interval as prediction_interval
