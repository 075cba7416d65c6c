"""PyTorch's modules and state dicts, read."""
