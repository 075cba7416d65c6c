"""The two exceptions of fastbp; everything else is a ValueError, TypeError, KeyError or RuntimeError.

Each is a subclass of a built-in exception, so callers can catch what they would catch from NumPy. Rejected: a common
base class, which nothing would use.
"""


class ModelFormatError(ValueError):
    """A model file or a configuration is damaged or invalid.

    See Also
    --------
    load : Reads a model file.

    Examples
    --------
    >>> from fastbp import Model
    >>> try:
    ...     Model.from_config({"class": "House"})
    ... except ModelFormatError as error:
    ...     print(error)
    no model: ValueError: unknown class of model 'House'; known: Model, Network, Sequential
    """


class DivergenceError(FloatingPointError, ValueError):
    """The loss or an update is no longer finite; the parameters are the last finite ones.

    See Also
    --------
    Trainer.fit, minimize : Raise it.

    Examples
    --------
    >>> from fastbp import SGD, Dense, Input, Sequential
    >>> net = Sequential(Input(1), Dense(1, weights="ones"))
    >>> try:
    ...     history = net.fit([[1e30]], [0.0], optimizer=SGD(lr=1.0), epochs=3)
    ... except DivergenceError as error:
    ...     print(str(error).partition(";")[0])
    the loss became inf at step 1 (epoch 1, batch 1)
    """


# The exceptions that building from a damaged configuration can raise.
DAMAGE = (ArithmeticError, AttributeError, IndexError, KeyError, RecursionError, TypeError, ValueError)
