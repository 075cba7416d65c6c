"""Nets with derivatives as nodes against their twin in PyTorch."""

import numpy as np

import fastbp as fb

LIMIT = 1e-9  # of the largest number


def assert_as_torch(net: fb.Model, rows: int = 5, scale: float = 1.0, limit: float = LIMIT) -> None:
    """Outputs, and the gradient of a loss on all of them by inputs and parameters."""
    import torch_twin
    from torch_twin import torch

    rng = np.random.default_rng(rows)
    xs = [scale * rng.normal(size=(rows, node.width)) for node in net.inputs]
    dys = [rng.normal(size=(rows, node.width)) for node in net.outputs]
    params = {name: p.double().requires_grad_() for name, p in torch_twin.parameters(net).items()}
    tensors = [torch.tensor(x, requires_grad=True) for x in xs]
    outs = torch_twin.evaluate(net, params, *tensors)
    torch.autograd.backward(outs, [torch.tensor(dy) for dy in dys])
    one = len(xs) == 1
    for ys in (net.predict(xs[0] if one else tuple(xs)), net.forward(xs[0] if one else tuple(xs), training=False)):
        for y, out in zip(ys if len(dys) > 1 else [ys], outs, strict=True):
            assert_close(y, out.detach().numpy(), limit)
    dxs = net.backward(dys[0] if len(dys) == 1 else tuple(dys))
    for dx, tensor in zip([dxs] if one else dxs, tensors, strict=True):
        assert_close(dx, np.zeros(1) if tensor.grad is None else tensor.grad.numpy(), limit)
    frozen = {layer.name for layer in net.layers if layer.parameters and not layer.trainable}
    for name, part in net.slices.items():
        want = None if name.partition(".")[0] in frozen else params[name].grad
        assert_close(net.grads[part[0]], np.zeros(1) if want is None else want.numpy().reshape(-1), limit)


def assert_close(got: np.ndarray, want: np.ndarray, limit: float) -> None:
    assert np.abs(got - want).max() <= limit * max(1, np.abs(want).max())
