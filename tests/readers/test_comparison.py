"""The comparison of a net with its original leaves no trace."""

import pytest

import fastbp as fb

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
