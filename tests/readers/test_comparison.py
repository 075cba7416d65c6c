"""The comparison of a net with its original: on rows that it takes, never skipped in silence, without a trace."""

import numpy as np
import pytest

import fastbp as fb
from fastbp.readers.comparison import compare

torch = pytest.importorskip("torch")
nn = torch.nn
WIDTH = 5


def test_the_check_draws_nothing_from_the_generator() -> None:
    torch.manual_seed(1)
    wanted = torch.rand(3)
    torch.manual_seed(1)
    module = nn.Sequential(nn.utils.skip_init(nn.Linear, WIDTH, 4), nn.RReLU())
    nn.init.ones_(module[0].weight), nn.init.ones_(module[0].bias)
    fb.from_torch(module)
    assert torch.equal(torch.rand(3), wanted)


def planted(X: np.ndarray) -> np.ndarray:
    return 1.001 * X @ np.arange(1.0, 7.0).reshape(3, 2)


def net_of(W: np.ndarray) -> fb.Sequential:
    net = fb.Sequential(fb.Input(3), fb.Dense(2, bias=False), dtype="float64")
    net["dense_1"].W[...] = W
    return net


def one_row_only(X: np.ndarray) -> np.ndarray:
    if len(X) > 1:
        raise RuntimeError("wants one row")
    return planted(X)


def within_one_only(X: np.ndarray) -> np.ndarray:
    if X.min() < 0 or X.max() > 1:
        raise AssertionError("wants pixels")
    return planted(X)


def small_only(X: np.ndarray) -> np.ndarray:
    if np.abs(X).max() > 0.5:
        raise ValueError("out of range")
    return planted(X)


@pytest.mark.parametrize("original", [planted, one_row_only, within_one_only, small_only])
def test_an_original_that_refuses_rows_is_compared_on_those_it_takes(original) -> None:
    W = np.arange(1.0, 7.0).reshape(3, 2)
    compare(net_of(1.001 * W), original, "Some")
    with pytest.raises(ValueError, match="differs from the original's"):
        compare(net_of(W), original, "Some")


def test_an_original_that_takes_no_row_is_named_in_a_warning() -> None:
    def original(X):
        raise KeyError("no such device")

    with pytest.warns(UserWarning, match=r"not compared with the original.*KeyError.*no such device.*check=False"):
        compare(net_of(np.ones((3, 2))), original, "Some")


def test_a_module_that_takes_other_shapes_is_not_read_in_silence() -> None:
    class Odd(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = torch.nn.Linear(3, 2)

        def forward(self, x):
            return self.a(x)

    module = Odd()
    module.a.register_buffer("scale", torch.ones(1))
    module.a.weight = torch.nn.Parameter(module.a.weight.detach().to(torch.bfloat16))  # which the bias is not
    with pytest.warns(UserWarning, match="not compared with the original"):
        fb.from_torch(module)


def test_a_sequential_of_keras_is_compared(monkeypatch) -> None:
    keras = pytest.importorskip("keras")
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    call = type(model).call
    monkeypatch.setattr(type(model), "call", lambda self, *args, **named: 1.001 * call(self, *args, **named))
    with pytest.raises(ValueError, match="differs from the original's"):
        fb.from_keras(model)
