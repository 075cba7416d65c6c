"""Rows that come one at a time, as a trainer takes them: dicts of features."""

from collections.abc import Mapping
from typing import Any

from fastbp.network.network import Network
from fastbp.training.one_by_one import Online


class RowByRow:
    """What a trainer does with a row; `online` holds the features and labels seen so far."""

    net: Network
    online: Online | None

    def _new_online(self, *known: Any) -> Online:
        raise NotImplementedError

    def learn_one(self, x: Mapping[Any, Any], y: Any) -> None:
        """Train on one sample, a dict of features as in River.

        Features take the columns of X in the order in which they come, labels the classes. When there are none left,
        the net grows: `net` is then another network with the same numbers in its corner, and with new weights that
        start as their initializer says and optimizer state 0; outputs of rows without what is new stay as they were.
        A feature that a row does not have is 0. One thread at a time may call it.

        Parameters
        ----------
        x : dict from feature to number
            The row; a feature that it does not have is 0.
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
        """The output for one row: the likeliest label (None if there is none), a bool, a number, or an array of them.

        Parameters
        ----------
        x : dict from feature to number
            Features that `learn_one` has not seen do not count.

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
            The row; a feature that it does not have is 0.

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
