"""What a module of PyTorch does besides its settings: hooks, ties, its mode; read, or refused by name."""

import numpy as np
import pytest

import fastbp as fb

torch = pytest.importorskip("torch")
nn, F, prune = torch.nn, torch.nn.functional, pytest.importorskip("torch.nn.utils.prune")
from torch_modules import BATCH, WIDTH, Of, agrees_or_is_refused  # noqa: E402


def _hooked(register: str, hook) -> nn.Module:
    module = nn.Sequential(nn.Linear(WIDTH, 4))
    getattr(module[0], register)(hook)
    return module


def _own_forward() -> nn.Module:
    module = nn.Sequential(nn.Linear(WIDTH, 4))
    module[0].forward = lambda x: x
    return module


def _of_the_root() -> nn.Module:
    module = nn.Sequential(nn.Linear(WIDTH, 4))
    module.register_forward_hook(lambda module, x, y: y * 2)
    return module


def _of_a_gradient(method: str) -> nn.Module:
    module = nn.Sequential(nn.Linear(WIDTH, 4))
    getattr(module[0].weight, method)(lambda dW: None)
    return module


def _tied(name: str) -> nn.Module:
    module = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))
    setattr(module[2], name, getattr(module[0], name))
    return module


def _half_frozen() -> nn.Module:
    module = nn.Sequential(nn.Linear(WIDTH, 4))
    module[0].bias.requires_grad_(False)
    return module


class Ungraded(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(WIDTH, 4), nn.Linear(4, 2)

    def forward(self, x):
        with torch.no_grad():
            h = self.a(x)
        return self.b(h)


class Linear(nn.Linear):
    def forward(self, x):
        return super().forward(x) * 2


class Counting(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(WIDTH, 4)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return self.a(x) * self.calls


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(WIDTH, 4)

    def forward(self, x):
        return self.a(x) * torch.rand(())


class ByMode(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(WIDTH, 4)

    def forward(self, x):
        return self.a(x) * (3 if self.training else 2)


class Called(nn.Sequential):
    def __call__(self, x):
        return super().__call__(x) + 1


REFUSED = {
    "forward hooks": lambda: _hooked("register_forward_hook", lambda module, x, y: y * 2),
    "forward pre hooks": lambda: _hooked("register_forward_pre_hook", lambda module, x: (x[0] * 2,)),
    "has forward hooks": _of_the_root,
    "module '0' has backward hooks": lambda: _hooked("register_full_backward_hook", lambda module, dx, dy: None),
    "module '0' has backward pre hooks": lambda: _hooked("register_full_backward_pre_hook", lambda module, dy: None),
    "the weight of module '0' has backward hooks": lambda: _of_a_gradient("register_hook"),
    "has post accumulate grad hooks": lambda: _of_a_gradient("register_post_accumulate_grad_hook"),
    "the weight of module '2' is a parameter of module '0' too": lambda: _tied("weight"),
    "the bias of module '2' is a parameter of module '0' too": lambda: _tied("bias"),
    "bias is frozen": _half_frozen,
    "a is computed under torch.no_grad": Ungraded,
    "a forward of its own": _own_forward,
    "parametrizations, of weight": lambda: nn.utils.parametrizations.weight_norm(nn.Linear(WIDTH, 4)),
    "forward pre hooks ": lambda: prune.l1_unstructured(nn.Linear(WIDTH, 4), "weight", 0.5),
    "real numbers": lambda: nn.Linear(WIDTH, 4, dtype=torch.complex64),
    "changes from call to call": Noisy,
    "cannot be read from PyTorch": lambda: nn.Sequential(Linear(WIDTH, 4), nn.AlphaDropout()),
    "AlphaDropout": lambda: nn.Sequential(nn.Linear(WIDTH, 4), nn.AlphaDropout()),
    "track_running_stats": lambda: nn.BatchNorm1d(WIDTH, track_running_stats=False),
    "training is True": lambda: Of(lambda h: F.dropout(h)),
    "differs from the original's": lambda: Called(nn.Linear(WIDTH, 4)),
    "it is read, but not of 6 columns, columns of whole numbers": lambda: Of(lambda h: h * h.long()),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_a_module_does_besides(words: str) -> None:
    with pytest.raises(ValueError, match=words.strip()):
        fb.from_torch(REFUSED[words](), inputs=WIDTH)


def test_a_frozen_module_is_frozen_and_no_grad_around_the_call_changes_nothing() -> None:
    module = nn.Sequential(nn.Linear(WIDTH, 4), nn.Linear(4, 3))
    module[0].requires_grad_(False)
    with torch.no_grad():
        net = fb.from_torch(module)
    assert [layer.trainable for layer in net.layers] == [False, True]


def test_a_subclass_is_read_by_what_its_forward_does() -> None:
    assert agrees_or_is_refused(nn.Sequential(Linear(WIDTH, 4)), "")


def test_a_module_that_counts_its_calls_is_no_net() -> None:
    with pytest.raises(ValueError, match=r"from call to call|differs from the original's|cannot be read"):
        fb.from_torch(Counting())


@pytest.mark.parametrize("training", [False, True])
def test_the_module_is_read_in_evaluation_mode_and_left_in_its_own(training: bool) -> None:
    module = nn.Sequential(ByMode(), nn.Dropout(0.3)).train(training)
    module[1].train(not training)
    net = fb.from_torch(module)
    assert [module.training, module[0].training, module[1].training] == [training, training, not training]
    x = torch.from_numpy(BATCH).float()
    with torch.no_grad():
        np.testing.assert_allclose(net.predict(BATCH), module.eval()(x).numpy(), rtol=1e-5, atol=1e-5)
    assert isinstance(net.layers[-1], fb.Dropout)


def test_parameters_that_two_modules_share_are_shared() -> None:
    first, second = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
    second.weight, second.bias = first.weight, first.bias
    net = fb.from_torch(nn.Sequential(first, nn.Tanh(), second))
    assert net.params.size == WIDTH * WIDTH + WIDTH


def test_the_check_can_be_left_out() -> None:
    module = Called(nn.Linear(WIDTH, 4))
    with pytest.raises(ValueError, match=r"by 1 in column \d, .* for the row .*check=False"):
        fb.from_torch(module)
    assert fb.from_torch(module, check=False).params.size == 4 * WIDTH + 4


def sin(x):
    """A function of another package, by a name that PyTorch has too."""
    return x * 2


torch.fx.wrap("sin")


def test_functions_of_other_packages_are_not_taken_for_ours() -> None:
    with pytest.raises(ValueError, match=r"sin.* cannot be read"):
        fb.from_torch(Of(lambda h: sin(h)))
    with pytest.raises(ValueError, match="expit"):
        fb.from_torch(Of(torch.special.expit))
