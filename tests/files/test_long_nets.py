"""Nets of thousands of layers are built, saved, copied and read in time that grows with their number."""

import gc
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import fastbp as fb
from fastbp.layers import Layer


def chain_of(layer: Callable[[], Layer], count: int) -> fb.Model:
    x = h = fb.Input(2)
    for _ in range(count):
        h = layer()(h)
    return fb.Model(x, h)


def seconds(call: Callable[[], object]) -> float:
    """The least of three, without the garbage collector, whose time depends on all that the process holds."""
    taken = []
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            begin = time.process_time()
            call()
            taken.append(time.process_time() - begin)
    finally:
        gc.enable()
    return min(taken)


@pytest.mark.parametrize("layer", [lambda: fb.Dense(2), lambda: fb.Activation("tanh"), fb.BatchNorm])
def test_time_is_linear_in_the_number_of_layers(layer: Callable, tmp_path: Path) -> None:
    few, many = 500, 4000
    taken = {}
    for count in (few, many):
        net, path = chain_of(layer, count), tmp_path / f"{count}.safetensors"
        net.save(path)
        calls = (lambda net=net: chain_of(layer, len(net.layers)), lambda path=path: fb.load(path), net.copy)
        taken[count] = [seconds(call) for call in calls]
    for short, long in zip(taken[few], taken[many], strict=True):
        assert long < 3 * many / few * short, f"{few} layers take {short:.3f} s, {many} take {long:.3f} s"
