"""Types of sources.pyx."""

from typing import Any

import numpy as np

class Source:
    array: np.ndarray
    dtype: np.dtype
    name: str
    finite: bool
    limits: np.ndarray | None
    shape: tuple[int, ...]

    def __init__(
        self,
        array: np.ndarray,
        dtype: np.dtype,
        name: str = "X",
        finite: bool = False,
        limits: np.ndarray | None = None,
    ) -> None: ...
    def __len__(self) -> int: ...
    def __getitem__(self, rows: Any) -> np.ndarray: ...

class SparseSource(Source):
    def __init__(
        self, array: Any, dtype: np.dtype, data: np.ndarray, columns: np.ndarray, starts: np.ndarray
    ) -> None: ...
    def limit(self, limits: np.ndarray) -> None: ...
