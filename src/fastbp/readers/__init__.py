"""Readers of models from other libraries."""
