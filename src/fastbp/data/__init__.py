"""Rows before a training: CSV files, their encoding, splits, batches, streams."""
