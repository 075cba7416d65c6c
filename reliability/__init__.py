"""Searches for faults, each a script with a limit of time: `python -m reliability.NAME --help`."""
