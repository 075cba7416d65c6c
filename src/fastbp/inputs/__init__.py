"""Input validation, and arrays of other packages. Private."""
