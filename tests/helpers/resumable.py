"""A trainer and a fit with dropout, metrics and callbacks: what may be broken off and taken up again."""

import numpy as np

import fastbp as fb
from nets import OPTIMIZERS, small_data, small_net


def build(dtype: str = "float64", optimizer: str = "adam", seed: int = 5, **settings) -> fb.Trainer:
    net = small_net(dtype, dropout=0.3, seed=seed)
    return fb.Trainer(net, "cross_entropy", OPTIMIZERS[optimizer](), metrics=["accuracy", "log_loss"], **settings)


def comforts() -> list[fb.Callback]:
    return [
        fb.ReduceLROnPlateau(patience=1, min_delta=0.02, factor=0.5),
        fb.EarlyStopping(patience=4, restore_best=True),
    ]


def fit(trainer: fb.Trainer, callbacks=(), **settings) -> fb.History:
    X, y = small_data("indices")
    validation = (X[:20] + 0.3, y[:20])
    usual = {"epochs": 6, "batch_size": 10, "validation_data": validation, "sample_weight": np.linspace(0.5, 2, 53)}
    return trainer.fit(X, y, callbacks=[*callbacks], **{**usual, **settings})
