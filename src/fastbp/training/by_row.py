"""Online learning with a trainer: one sample at a time, as a dict of features."""

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastbp.training.one_by_one import Online, move_to
from fastbp.training.steps import Steps


class RowByRow(Steps):
    """A trainer's methods for single samples; `online` holds the features and labels seen so far."""

    online: Online | None = None

    def _new_online(self, *known: Any) -> Online:
        return Online(self.net, self.objective.losses[0], self.step, partial(move_to, self), *known)

    def learn_one(self, x: Mapping[Any, Any], y: Any) -> None:
        """Train on one sample, a dict of features as in River.

        Features are assigned to columns of X, and labels to classes, in the order in which they first appear. When no
        column or class is left, the network grows: `net` is replaced by a larger network with the same parameters. New
        weights are drawn by their initializer, and their optimizer state is 0. Outputs for rows without the
        new features do not change. Not thread-safe.

        Parameters
        ----------
        x : dict from feature to number
            The sample; a missing feature is 0.
        y : label, bool or number
            A label of any kind for a loss of classes, a bool or 0 and 1 for `binary_cross_entropy`, else a number; an
            array of them for several outputs.

        Raises
        ------
        DivergenceError
            If the loss or the update is not finite.

        Examples
        --------
        >>> from fastbp import Dense, Input, Sequential, Trainer
        >>> trainer = Trainer(Sequential(Input(1), Dense(1), seed=0), "cross_entropy", "sgd")
        >>> for word, label in [("rain", "wet"), ("sun", "dry")] * 50:
        ...     trainer.learn_one({word: 1.0}, label)
        >>> trainer.predict_one({"rain": 1.0}), trainer.net["dense_1"].W.shape
        ('wet', (2, 2))
        """
        online = self.online
        (self._rows if online is None else online).learn(x, y)

    def predict_one(self, x: Mapping[Any, Any]) -> Any:
        """Predict one sample: the most likely label (None if there is none yet), a bool, a number, or an array of them.

        Parameters
        ----------
        x : dict from feature to number
            The sample; features that `learn_one` has not seen are ignored.

        Returns
        -------
        label, bool, float or ndarray of shape (outputs,)
            A label, a bool for one logit, else the outputs.
        """
        return self._rows.value(x)

    def predict_proba_one(self, x: Mapping[Any, Any]) -> dict[Any, float]:
        """The probability of each label seen so far; of False and True for one logit.

        Parameters
        ----------
        x : dict from feature to number
            The sample; a missing feature is 0.

        Returns
        -------
        dict from label to float
            The probabilities, which add up to 1.
        """
        return self._rows.shares(x)

    @property
    def _rows(self):
        if self.online is None:
            self.online = self._new_online()
        return self.online
