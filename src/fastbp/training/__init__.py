"""Training: the trainer, its fits and checkpoints, full-batch methods."""
