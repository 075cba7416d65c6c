"""Support of scikit-learn's callbacks (1.9 and later).

Their protocol has nested tasks: the fit, and in it each epoch or iteration. Callbacks get a copy of the estimator that
is ready to predict, created only if one of them asks for it.
"""

import numpy as np


class Teller:
    """Calls the callbacks set by `set_callbacks`, on the estimator or on a meta-estimator that contains it."""

    def __init__(self, est, X, y, weights):
        self._est = est
        self._fit = self._epoch = None
        self._shown = {"X": X, "y": y, "metadata": None if weights is None else {"sample_weight": weights}}
        if hasattr(est, "_init_callback_context"):
            self._fit = est._init_callback_context(max_subtasks=est.max_iter)
            self._fit.call_on_fit_task_begin(estimator=est, **self._shown)

    def begin(self) -> None:
        """An epoch begins."""
        if self._fit is not None and hasattr(self._est, "_skl_callbacks"):
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._est, **self._shown)

    def end(self) -> bool:
        """The epoch is done; return whether a callback stops the fit."""
        task, self._epoch = self._epoch, None
        return task is not None and self._ended(task)

    def close(self) -> None:
        """The fit is done."""
        if self._epoch is not None:  # begun, but training ended first
            self._epoch.call_on_fit_task_end(estimator=self._est)
        if self._fit is not None:
            self._ended(self._fit)

    def _ended(self, task):
        return task.call_on_fit_task_end(estimator=self._est, reconstruction_attributes=self._fitted, **self._shown)

    def _fitted(self):
        parameters = {"coefs_": self._est.coefs_, "intercepts_": self._est.intercepts_}
        return {name: [np.copy(part) for part in parts] for name, parts in parameters.items()}
