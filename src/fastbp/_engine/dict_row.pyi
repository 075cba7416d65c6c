"""Types of dict_row.pyx."""

from typing import Any

import numpy as np

class DictRow:
    row: np.ndarray
    target: np.ndarray

    def __init__(self, columns: dict, labels: dict | None, row: np.ndarray, target: np.ndarray) -> None: ...
    def fill(self, x: dict, all_known: bool = False) -> bool: ...
    def take(self, x: Any, y: Any) -> bool: ...
