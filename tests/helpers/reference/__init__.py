"""The plain-NumPy truth: one line per activation, loss and optimizer rule, and a small net to put them in.

Everything here is written from the formulas, in the precision of its arguments (float64 or long double),
without looking at the engine. A derivative stands beside its function and is itself checked by finite
differences. The names are those of the engine's tables; a row of the engine without a line here fails the
suite. Automatic differentiation was rejected: it would hide a wrong convention at a kink.
"""

from reference.activations import ACTIVATIONS, TERMS, activation, activation_vjp, logistic, softmax
from reference.losses import LOSSES, loss, targets
from reference.measures import assert_gradient, magnitudes, ulps
from reference.nets import Net, Op, mirror
from reference.rules import RULES, Chain, adam, muon_direction, orthogonalised, rprop

__all__ = [
    "ACTIVATIONS",
    "LOSSES",
    "RULES",
    "TERMS",
    "Chain",
    "Net",
    "Op",
    "activation",
    "activation_vjp",
    "adam",
    "assert_gradient",
    "logistic",
    "loss",
    "magnitudes",
    "mirror",
    "muon_direction",
    "orthogonalised",
    "rprop",
    "softmax",
    "targets",
    "ulps",
]
