"""Arrays of what other libraries keep parameters in."""

import numpy as np

from fastbp.inputs import checks


def as_array(tensor) -> np.ndarray:
    """A tensor of PyTorch, a variable of Keras or anything like an array, in NumPy."""
    tensor = getattr(tensor, "value", tensor)  # of a variable, whatever the backend keeps it in
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        return (tensor if str(tensor.dtype) == "torch.float64" else tensor.float()).numpy()
    return checks.as_numbers(tensor, "an array of the state dict")
