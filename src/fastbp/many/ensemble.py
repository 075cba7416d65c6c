"""Ensemble: networks whose mean output is one prediction.

For ONNX and C it is one graph, in which the networks are layers before an `Average`. Rejected: an ensemble that trains;
`fit_many` trains networks, and scikit-learn has bagging and voting.
"""

import os
from collections.abc import Sequence
from typing import Any, Literal, Self, overload

import numpy as np

from fastbp import activations
from fastbp._typing import Arrays
from fastbp.errors import DAMAGE, ModelFormatError
from fastbp.files import model_file, safetensors
from fastbp.inputs import checks
from fastbp.layers.dense import Activation
from fastbp.layers.merge import Average
from fastbp.layers.node import Input
from fastbp.model import Model
from fastbp.network.network import Network

KEY = "fastbp.ensemble"
FORMAT = {"format": "fastbp ensemble", "fastbp.version": "1"}


class Ensemble:
    """Networks with the same inputs and output, whose outputs are averaged.

    Parameters
    ----------
    nets : list of Model
        With one output each; they may differ inside.
    activation : str, optional
        Applied to each network's output before the mean: "softmax" or "sigmoid" for the mean probability of networks
        that were trained on logits, by `cross_entropy` or `binary_cross_entropy`. None if not given.

    Raises
    ------
    ValueError
        If there is no network, or they differ in inputs, output or dtype.

    See Also
    --------
    fit_many : Trains its networks.
    Trainers : Networks trained step by step.

    Examples
    --------
    >>> from fastbp import Dense, Sequential
    >>> nets = [Sequential(Input(4), Dense(3), seed=seed) for seed in range(5)]
    >>> ensemble = Ensemble(nets, activation="softmax")
    >>> mean, std = ensemble.predict(np.ones((2, 4)), std=True)
    >>> mean.shape, std.shape, ensemble.predict_each(np.ones((2, 4))).shape
    ((2, 3), (2, 3), (5, 2, 3))
    """

    def __init__(self, nets: Sequence[Network], *, activation: str | None = None):
        self.nets = checks.instances(list(nets), Network, "nets")
        if not self.nets:
            raise ValueError("an ensemble wants at least one net, got none")
        self.activation = (
            None if activation is None else activations.resolve(checks.instance(activation, str, "activation")).name
        )
        first = _ends(self.nets[0])
        for k, net in enumerate(self.nets):
            if len(net.outputs) != 1:
                raise ValueError(f"the nets of an ensemble have one output, nets[{k}] has {len(net.outputs)}")
            if _ends(net) != first:
                raise ValueError(
                    f"the nets of an ensemble have the same inputs, outputs and dtype; nets[0] has {first}, "
                    f"nets[{k}] {_ends(net)}"
                )

    def predict_each(self, X: Arrays, *, threads: int | None = None) -> np.ndarray:
        """The output of each network.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; a tuple for several.
        threads : int, optional
            Number of threads of the engine, which chooses if not given.

        Returns
        -------
        ndarray of shape (nets, rows, outputs)
            The networks' outputs, in the order of the networks.
        """
        return np.stack([self._output(net, X, threads) for net in self.nets])

    @overload
    def predict(self, X: Arrays, *, std: Literal[False] = False, threads: int | None = None) -> np.ndarray: ...

    @overload
    def predict(
        self, X: Arrays, *, std: Literal[True], threads: int | None = None
    ) -> tuple[np.ndarray, np.ndarray]: ...

    def predict(
        self, X: Arrays, *, std: bool = False, threads: int | None = None
    ) -> np.ndarray | tuple[np.ndarray, np.ndarray]:
        """The mean of the networks' outputs, and on request their spread.

        Parameters
        ----------
        X : array of shape (rows, inputs), or a tuple of them
            The inputs; a tuple for several.
        std : bool, default=False
            Whether to return the standard deviation of the networks' outputs too, with the number of networks as
            divisor.
        threads : int, optional
            Number of threads of the engine, which chooses if not given.

        Returns
        -------
        mean : ndarray of shape (rows, outputs)
            The mean over the networks.
        std : ndarray of shape (rows, outputs)
            If it was asked for.
        """
        if std:
            each = self.predict_each(X, threads=threads).astype(np.float64)
            dtype = self.nets[0].dtype
            return each.mean(axis=0).astype(dtype), each.std(axis=0).astype(dtype)
        total: Any = 0.0
        for net in self.nets:
            total = total + self._output(net, X, threads).astype(np.float64)
        return (total / len(self.nets)).astype(self.nets[0].dtype)

    def _output(self, net, X, threads):
        Y = net.predict(X, threads=threads)
        return Y if self.activation is None else activations.resolve(self.activation)(Y)

    def to_model(self) -> Model:
        """One model that computes the mean: the networks, copied, as its layers.

        Returns
        -------
        Model
            The mean, with layers of its own.
        """
        nets = self.nets
        inputs = [Input(node.width) for node in nets[0].inputs]
        ends: list[Any] = [net(*inputs, copy=True) for net in nets]
        if self.activation is not None:
            ends = [Activation(self.activation)(end) for end in ends]
        return Model(inputs, ends[0] if len(ends) == 1 else Average()(*ends), dtype=nets[0].dtype)

    def to_onnx(self, path: str | os.PathLike[str], *, opset: int = 17) -> None:
        """Export the mean as one ONNX file; see `Model.to_onnx`.

        Parameters
        ----------
        path : str or path-like
            The file to write.
        opset : int, default=17
            ONNX opset version, 13 or later.
        """
        self.to_model().to_onnx(path, opset=opset)

    def to_c(self, path: str | os.PathLike[str], *, name: str = "predict") -> None:
        """Export the mean as one C99 file; see `Model.to_c`.

        Parameters
        ----------
        path : str or path-like
            The file to write.
        name : str, default="predict"
            Name of the function.
        """
        self.to_model().to_c(path, name=name)

    def save(self, path: str | os.PathLike) -> None:
        """Write all networks to one .safetensors file, which `Ensemble.load` reads.

        Parameters
        ----------
        path : str or path-like
            The file to write.

        Raises
        ------
        TypeError
            If a layer is made of Python functions, which a file cannot hold.
        """
        for net in self.nets:
            model_file.refuse_functions(net)
        described = {"activation": self.activation, "nets": [net.config() for net in self.nets]}
        parts = [net.snapshot()[0] for net in self.nets]
        arrays = {f"{k}.{name}": array for k, part in enumerate(parts) for name, array in part.items()}
        safetensors.write(path, arrays, {**FORMAT, KEY: model_file.encoded(described)})

    @classmethod
    def load(cls, path: str | os.PathLike) -> Self:
        """Read what `save` wrote.

        Parameters
        ----------
        path : str or path-like
            A .safetensors file.

        Returns
        -------
        Ensemble

        Raises
        ------
        ModelFormatError
            If the file is damaged or holds no ensemble.
        """
        arrays, metadata = safetensors.read(path)
        try:
            if any(metadata.get(key) != value for key, value in FORMAT.items()):
                raise ModelFormatError("it is no ensemble; fb.load reads a model")
            described = model_file.decoded(metadata, KEY)
            nets = []
            for k, config in enumerate(described["nets"]):
                own = {name.removeprefix(f"{k}."): A for name, A in arrays.items() if name.startswith(f"{k}.")}
                nets.append(Network.from_config(config, own))
            return cls(nets, activation=described["activation"])
        except DAMAGE as error:
            raise ModelFormatError(f"{os.fspath(path)}: {error}") from error

    def __len__(self) -> int:
        return len(self.nets)

    def __repr__(self):
        return f"<Ensemble of {len(self.nets)} nets>"


def _ends(net):
    return [node.width for node in net.inputs], [node.width for node in net.outputs], net.dtype.name
