"""History: what a fit leaves behind, in lists of one number an epoch, as Keras has it."""

from collections.abc import Iterable

from fastbp.annotations import DataFrame
from fastbp.optional import package


class History:
    """Losses and metrics of a fit.

    Attributes
    ----------
    history : dict from str to list of float
        "loss", the metrics, and both with "val_" before them if there was validation data.
    epoch : list of int
        Numbers of the epochs, from 0 on.
    seconds : float
        Wall time of the epochs, validation included.
    samples : int
        Rows trained on, counted once an epoch.

    Examples
    --------
    >>> history = History(["loss"])
    >>> history.add({"loss": 0.5}, seconds=2.0, samples=100)
    >>> history.history, history.epoch, history.samples_per_second
    ({'loss': [0.5]}, [0], 50.0)
    """

    def __init__(self, names: Iterable[str] = ()):
        self.history: dict[str, list[float]] = {name: [] for name in names}
        self.epoch: list[int] = []
        self.seconds = 0.0
        self.samples = 0

    @property
    def samples_per_second(self) -> float:
        """Rows trained on in a second."""
        return self.samples / self.seconds if self.seconds else 0.0

    def add(self, logs: dict[str, float], seconds: float, samples: int) -> None:
        """Add an epoch."""
        self.epoch.append(len(self.epoch))
        for name, value in logs.items():
            self.history[name].append(value)
        self.seconds += seconds
        self.samples += samples

    def to_frame(self) -> DataFrame:
        """The history as a pandas DataFrame, a row an epoch.

        Raises
        ------
        ImportError
            If pandas is not installed.
        """
        pandas = package("pandas", "History.to_frame")
        return pandas.DataFrame(self.history, index=pandas.Index(self.epoch, name="epoch"))

    def __repr__(self):
        last = ", ".join(f"{name} {values[-1]:.4g}" for name, values in self.history.items() if values)
        return f"<History of {len(self.epoch)} epochs{f': {last}' if last else ''}>"
