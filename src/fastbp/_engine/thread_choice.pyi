"""Types of thread_choice.pyx."""

from collections.abc import Sequence

def choices(times: Sequence[tuple[float, float]]) -> list[bool]: ...
