"""Ranks that are threads, for the tests of data parallel training."""

import threading
from collections.abc import Callable
from typing import Any

import fastbp as fb

SECONDS = 60  # after which a rank is taken to wait for ever


def on_ranks(size: int, work: Callable[[Any], Any]) -> list[Any]:
    """What `work(group)` returns on each rank, or raises."""
    results: list[Any] = [None] * size

    def run(group):
        try:
            results[group.rank] = work(group)
        except BaseException as error:
            results[group.rank] = error

    threads = [threading.Thread(target=run, args=(group,), daemon=True) for group in fb.distributed.threads(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
        assert not thread.is_alive(), "a rank waits for ever"
    return results


def of_ranks(size: int, work: Callable[[Any], Any]) -> list[Any]:
    """What `work(group)` returns on each rank; raises what the first raises."""
    results = on_ranks(size, work)
    for result in results:
        if isinstance(result, BaseException):
            raise result
    return results
