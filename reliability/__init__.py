"""Searches for faults, each a script with a time limit: `python -m reliability.NAME --help`."""
