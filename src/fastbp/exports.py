"""The methods of a model that write other formats; each imports its writer."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from fastbp.network.network import Network


class Exports:
    """The exports of `Model`."""

    def to_c(self, path: str | os.PathLike[str], *, name: str = "predict") -> None:
        """Export the model as one C99 file: a function that computes the outputs of one row.

        `void predict(const float *x, float *y)`, with double for a float64 model, and with x1, x2 ..., y1, y2 ... for
        several inputs and outputs. It allocates nothing and needs only math.h, so it suits microcontrollers and
        plug-ins. Intermediate results are on the stack, or with `-DPREDICT_STORAGE=static` in static memory. The
        parameters are written with all their digits.

        Parameters
        ----------
        path : str or path-like
            The file to write.
        name : str, default="predict"
            Name of the function.

        Raises
        ------
        ValueError
            If a layer has no counterpart, or the name is not a C identifier.

        Examples
        --------
        >>> import tempfile
        >>> from fastbp import Dense, Input, Sequential
        >>> net = Sequential(Input(2), Dense(3, "tanh"), Dense(1), seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.to_c(f"{folder}/net.c")
        """
        from fastbp.writers import c as c_writer

        c_writer.write(cast("Network", self), path, name)

    def to_onnx(
        self,
        path: str | os.PathLike[str],
        *,
        opset: int = 17,
        labels: Sequence[int] | Sequence[str] | None = None,
        zipmap: bool = False,
    ) -> None:
        """Export the model to an ONNX file, for onnxruntime and others; the batch size is dynamic.

        Parameters
        ----------
        path : str or path-like
            The file to write.
        opset : int, default=17
            ONNX opset version, 13 or later.
        labels : list of int or str, optional
            The class labels, for an output with one column per class (or one column and two classes): the file then
            has the outputs "label" (rows,) and "probabilities" (rows, classes), as from skl2onnx. An output without a
            final softmax or sigmoid is taken as logits. The raw outputs are exported if not given.
        zipmap : bool, default=False
            With labels: name the outputs "output_label" and "output_probability", the latter a list of dicts, which
            is the default of skl2onnx.

        Raises
        ------
        ValueError
            If a layer has no counterpart.
        ImportError
            If the package `onnx` is not installed.

        Notes
        -----
        Parameters and arithmetic have the dtype of the model. In float64, functions that onnxruntime implements only
        in float32 are written as formulas; `gelu` computes erf in float32 there.

        Examples
        --------
        >>> import tempfile
        >>> from fastbp import Dense, Input, Sequential
        >>> net = Sequential(Input(2), Dense(3), seed=0)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     net.to_onnx(f"{folder}/net.onnx", labels=["setosa", "versicolor", "virginica"])
        """
        from fastbp.writers import onnx as onnx_writer

        onnx_writer.write(cast("Network", self), path, opset, labels, zipmap)

    def to_torch(self) -> Any:
        """Convert the model to a PyTorch module, in evaluation mode, with copies of the parameters.

        Returns
        -------
        torch.nn.Sequential for a chain of layers that torch.nn has, else torch.fx.GraphModule
            With the dtype of the model; frozen layers do not require gradients. Several outputs are a tuple.

        Raises
        ------
        ValueError
            If a layer has no counterpart.
        ImportError
            If PyTorch is not installed.

        Examples
        --------
        >>> from fastbp import Dense, Input, Sequential
        >>> Sequential(Input(2), Dense(3, "tanh"), Dense(1)).to_torch()  # doctest: +SKIP
        Sequential(
          (dense_1): Linear(in_features=2, out_features=3, bias=True)
          (dense_1_tanh): Tanh()
          (dense_2): Linear(in_features=3, out_features=1, bias=True)
        )
        """
        from fastbp.writers.torch import to_torch

        return to_torch(cast("Network", self))
