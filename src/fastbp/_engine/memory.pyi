"""Types of memory.pyx: to Python no more than that it is there."""

class Arena:
    def __init__(self, size: int) -> None: ...
