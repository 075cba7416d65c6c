"""Training: the trainer, its fits and files, whole-batch methods."""
