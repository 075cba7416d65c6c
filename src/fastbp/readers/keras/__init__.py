"""Models of Keras, read."""
