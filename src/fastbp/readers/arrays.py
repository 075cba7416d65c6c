"""Conversion of other libraries' tensors to arrays."""

import numpy as np

from fastbp.inputs import checks


def as_array(tensor) -> np.ndarray:
    """A tensor of PyTorch, or anything like an array, in NumPy."""
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        return (tensor if str(tensor.dtype) == "torch.float64" else tensor.float()).numpy()
    return checks.as_numbers(tensor, "an array of the state dict")
