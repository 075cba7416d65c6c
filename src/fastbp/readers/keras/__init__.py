"""Reader of Keras models."""
