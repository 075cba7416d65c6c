"""The losses: a class and a function for each entry of the engine's table, made here in a loop.

`table.pyi` lists them for editors and type checkers; `docs/write_stubs.py` writes it.
"""

from fastbp import _engine
from fastbp._configured import called
from fastbp.losses import loss_checks
from fastbp.losses.loss import Loss

# Descriptions of the losses' parameters; parameters of one name do the same in every loss.
MEANINGS = {
    "alpha": "Factor of the positive targets, 1 - alpha that of the negative ones; or a factor of each class.",
    "class_weight": "Factor of the loss of each class.",
    "delta": "The |d| above which the loss is linear instead of quadratic.",
    "eps": "Added to a mean, or lower bound of a variance, so that no logarithm or quotient is infinite.",
    "expectiles": "The expectile of each output, in 0 ... 1; 0.5 is the mean.",
    "gamma": "Exponent of the focus on samples that are predicted badly; 0 is the cross entropy.",
    "label_smoothing": "Fraction of each target that is spread evenly over the classes.",
    "log_input": "Whether the outputs are logarithms of the mean.",
    "log_variance": "Whether the second half of the outputs are logarithms of the variance.",
    "pos_weight": "Factor of the positive targets.",
    "power": "Exponent p of the variance as a function of the mean: 1 < p < 2 for amounts with zeros.",
    "quantiles": "The quantile of each output, in 0 ... 1; 0.5 is the median.",
}


class _Signature:
    """The signature of a loss's class, from its entry: created on access, since `inspect` is slow to load."""

    def __get__(self, loss, cls):
        from inspect import Parameter, Signature

        parameters = [
            Parameter(name, Parameter.POSITIONAL_OR_KEYWORD, default=value)
            for name, value in loss_checks.as_parameters(cls.row, (), {}).items()
        ]
        return Signature([*parameters, Parameter("mask_nan", Parameter.KEYWORD_ONLY, default=False)])


def _name_of(row):
    """The name of a class: cross_entropy becomes CrossEntropy; short words are abbreviations: mse becomes MSE."""
    words = row.name.split("_")
    return "".join(word.upper() if len(word) < 4 and word != "log" else word.title() for word in words)


def _siblings_of(row):
    """The other losses with the same range of targets."""
    kind = row.low < 0, row.high
    return ", ".join(_name_of(one) for one in _engine.LOSSES.values() if (one.low < 0, one.high) == kind and one != row)


def _class_of(row):
    """The class of an entry."""
    name = _name_of(row)
    standards = loss_checks.as_parameters(row, (), {})
    lines = [
        f"    {one.name} : {_kind_of(one)}, default={standards[one.name]}\n        {MEANINGS[one.name]}"
        for one in row.parameters
    ]
    doc = "\n".join(
        [
            f"{'Of each row' if row.by_rows else 'Mean over the outputs'}: {row.formula}.",
            "\n    Parameters\n    ----------",
            *lines,
            "    mask_nan : bool, default=False",
            "        Whether NaN marks a missing target, which has no loss and no gradient.\n",
            f"    See Also\n    --------\n    {_siblings_of(row)} : Other losses of such targets.\n",
            f"    Examples\n    --------\n    >>> from fastbp import losses\n    >>> losses.{name}()",
            f"    {called(name, standards)}\n",
        ]
    )
    body = {"row": row, "__doc__": doc, "__module__": "fastbp.losses", "__signature__": _Signature()}
    return type(name, (Loss,), body)


def _kind_of(parameter):
    vectors = {"each output": "float, or one for each output", "heads": "float or list of float", "flag": "bool"}
    return vectors.get(parameter.kind, "float")


for _row in _engine.LOSSES.values():
    _made = _class_of(_row)
    globals()[_made.__name__], globals()[_row.name] = _made, _made()

NAMES = (*_engine.LOSSES, *(cls.__name__ for cls in Loss.classes.values()))
