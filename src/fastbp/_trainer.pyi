"""The type of the trainer that calls a callback, for type checkers alone: callbacks stand below training."""

from fastbp.training.trainer import Trainer as Trainer
