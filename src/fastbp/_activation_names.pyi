"""The activation functions: written from the table by docs/write_stubs.py."""

from fastbp.activations import ActivationFunction

def abs() -> ActivationFunction:
    """The activation function f(z) = |z|, with slope 0 at 0."""

def celu(alpha: float = 1.0) -> ActivationFunction:
    """The activation function f(z) = z > 0: z; else alpha (exp(z / alpha) - 1)."""

def cos() -> ActivationFunction:
    """The activation function f(z) = cos(z)."""

def elliot() -> ActivationFunction:
    """The activation function f(z) = 1/2 + z / (2 + 2 |z|)."""

def elu(alpha: float = 1.0) -> ActivationFunction:
    """The activation function f(z) = z > 0: z; else alpha (exp(z) - 1)."""

def exp() -> ActivationFunction:
    """The activation function f(z) = exp(z)."""

def gaussian() -> ActivationFunction:
    """The activation function f(z) = exp(-z^2)."""

def gelu() -> ActivationFunction:
    """The activation function f(z) = z/2 (1 + erf(z / sqrt(2)))."""

def gelu_tanh() -> ActivationFunction:
    """The activation function f(z) = z/2 (1 + tanh(sqrt(2 / pi) (z + 0.044715 z^3)))."""

def hard_shrink(lambd: float = 0.5) -> ActivationFunction:
    """The activation function f(z) = |z| > lambd: z; else 0."""

def hard_sigmoid() -> ActivationFunction:
    """The activation function f(z) = z / 6 + 1/2, but within 0 ... 1."""

def hard_swish() -> ActivationFunction:
    """The activation function f(z) = z (z / 6 + 1/2), with the bracket within 0 ... 1."""

def hard_tanh(min_val: float = -1.0, max_val: float = 1.0) -> ActivationFunction:
    """The activation function f(z) = z, but within min_val ... max_val."""

def leaky_relu(negative_slope: float = 0.01) -> ActivationFunction:
    """The activation function f(z) = z > 0: z; else negative_slope z."""

def linear() -> ActivationFunction:
    """The activation function f(z) = z."""

def log_sigmoid() -> ActivationFunction:
    """The activation function f(z) = log(1 / (1 + exp(-z)))."""

def log_softmax() -> ActivationFunction:
    """The activation function f(z) = z - log(the sum of exp(z) over the row)."""

def mish() -> ActivationFunction:
    """The activation function f(z) = z tanh(log(1 + exp(z)))."""

def quick_gelu() -> ActivationFunction:
    """The activation function f(z) = z / (1 + exp(-1.702 z))."""

def relu() -> ActivationFunction:
    """The activation function f(z) = z > 0: z; else 0."""

def relu6() -> ActivationFunction:
    """The activation function f(z) = z, but within 0 ... 6."""

def rrelu(lower: float = 0.125, upper: float = 0.3333333333333333) -> ActivationFunction:
    """The activation function f(z) = z > 0: z; else a z with a drawn from lower ... upper in training, and their mean else."""

def selu() -> ActivationFunction:
    """The activation function f(z) = z > 0: l z; else l a (exp(z) - 1), l = 1.0507..., a = 1.6733... (Klambauer 2017)."""

def sigmoid() -> ActivationFunction:
    """The activation function f(z) = 1 / (1 + exp(-z))."""

def silu() -> ActivationFunction:
    """The activation function f(z) = z / (1 + exp(-z))."""

def sin() -> ActivationFunction:
    """The activation function f(z) = sin(z)."""

def soft_shrink(lambd: float = 0.5) -> ActivationFunction:
    """The activation function f(z) = z > lambd: z - lambd; z < -lambd: z + lambd; else 0."""

def softmax() -> ActivationFunction:
    """The activation function f(z) = exp(z) / the sum of exp(z) over the row."""

def softmin() -> ActivationFunction:
    """The activation function f(z) = exp(-z) / the sum of exp(-z) over the row."""

def softplus(beta: float = 1.0) -> ActivationFunction:
    """The activation function f(z) = log(1 + exp(beta z)) / beta."""

def softsign() -> ActivationFunction:
    """The activation function f(z) = z / (1 + |z|)."""

def square() -> ActivationFunction:
    """The activation function f(z) = z^2."""

def squareplus(b: float = 4.0) -> ActivationFunction:
    """The activation function f(z) = (z + sqrt(z^2 + b)) / 2."""

def tanh() -> ActivationFunction:
    """The activation function f(z) = tanh(z)."""

def tanh_shrink() -> ActivationFunction:
    """The activation function f(z) = z - tanh(z)."""

def threshold(threshold: float = 1.0, value: float = 0.0) -> ActivationFunction:
    """The activation function f(z) = z > threshold: z; else value."""
