"""Modules of PyTorch, read by `from_torch`, and compared with what they give."""

import warnings

import numpy as np
import pytest

import fastbp as fb

torch = pytest.importorskip("torch")
nn = torch.nn

WIDTH = 6
BATCH = np.random.default_rng(0).normal(size=(40, WIDTH)) * np.geomspace(0.1, 60, 40)[:, None]


class Of(nn.Module):
    """A module that calls a function."""

    def __init__(self, function):
        super().__init__()
        self.a, self.function = nn.Linear(WIDTH, WIDTH), function

    def forward(self, x):
        return self.function(self.a(x))


def agrees_or_is_refused(module, name: str, X: np.ndarray = BATCH, whole: bool = False) -> bool:
    """Whether the module is read; the outputs are those of the module then, else the setting is named."""
    torch.manual_seed(0)
    with torch.no_grad():
        for tensor in (*module.parameters(), *module.buffers()):
            if tensor.is_floating_point():
                tensor += (0.1 + 0.3 * torch.rand(tensor.shape)).to(tensor.dtype)
    module = module.eval()
    found = [each.dtype for each in module.parameters()] or [torch.float32]
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a softmax that is not told its dimension
        x = torch.from_numpy(np.abs(X.astype(int)) % 7 if whole else X)
        wanted = module(x.clone() if whole else x.clone().to(found[0])).double().numpy()
    try:
        net = fb.from_torch(module, inputs=X.shape[1], check=False)
    except ValueError as error:
        assert name in str(error)  # noqa: PT017  (an error is one of two right answers)
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        again = fb.from_torch(module, inputs=X.shape[1])  # with the check, which finds nothing
    np.testing.assert_array_equal(again.params, net.params)
    tolerance = {torch.float64: 1e-7, torch.float32: 1e-5}.get(found[0], 0.05)
    got = net.predict(x.numpy())
    assert got.shape == wanted.reshape(len(X), -1).shape
    np.testing.assert_allclose(got, wanted.reshape(got.shape), rtol=tolerance, atol=tolerance * np.abs(wanted).max())
    return True
