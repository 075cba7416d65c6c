"""Types of cpu.pyx."""

FEATURES: dict[str, tuple[int, int, int]]
LEVELS: dict[str, tuple[tuple[str, ...], int]]

def has(name: str) -> bool: ...
def supported() -> list[str]: ...
