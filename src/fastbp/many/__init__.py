"""Many networks at once: their fits, populations, ensembles, cross-validation."""
