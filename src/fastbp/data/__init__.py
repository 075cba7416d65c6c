"""Data before training: CSV files, their encoding, splits, batches, streams."""
