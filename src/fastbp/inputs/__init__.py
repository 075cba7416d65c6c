"""Checks of what users pass, and arrays of other packages. Nothing here is public."""
