"""NumPy arrays from other libraries' tensors and variables."""

import numpy as np

from fastbp.inputs import checks


def as_array(tensor) -> np.ndarray:
    """A NumPy array from a PyTorch tensor, a Keras variable or anything array-like; real numbers only."""
    tensor = getattr(tensor, "value", tensor)  # of a variable, in any backend
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        if not tensor.dtype.is_floating_point:
            return _real(tensor.numpy())
        return (tensor if str(tensor.dtype) == "torch.float64" else tensor.float()).numpy()
    return _real(checks.as_numbers(tensor, "an array of the state dict"))


def _real(array: np.ndarray) -> np.ndarray:
    if array.dtype.kind not in "fiu":
        raise ValueError(f"parameters must be real numbers, got an array of {array.dtype}")
    return array
