"""Reader of PyTorch modules and state dicts."""
