"""Models of other libraries, read."""
