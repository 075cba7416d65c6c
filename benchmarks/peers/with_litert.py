"""LiteRT (TensorFlow Lite) with its XNNPACK delegate; TensorFlow converts the net once."""

import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

from benchmarks.peers.ours import Predict

TASKS = ("predict",)


def start(problem, threads):
    return Invoked(problem, threads) if problem.dtype.itemsize == 4 else None


class Invoked(Predict):
    def __init__(self, problem, threads):
        super().__init__(problem, threads)
        activate = tf.tanh if problem.case.activation == "tanh" else tf.nn.relu

        @tf.function(input_signature=[tf.TensorSpec((problem.case.rows, problem.case.widths[0]), tf.float32)])
        def forward(X):
            for W, b in zip(problem.weights[:-1], problem.biases[:-1], strict=True):
                X = activate(X @ tf.constant(W) + tf.constant(b))
            return X @ tf.constant(problem.weights[-1]) + tf.constant(problem.biases[-1])

        holder = tf.Module()
        converter = tf.lite.TFLiteConverter.from_concrete_functions([forward.get_concrete_function()], holder)
        self.interpreter = Interpreter(model_content=converter.convert(), num_threads=threads)
        self.interpreter.allocate_tensors()
        (given,), (made,) = self.interpreter.get_input_details(), self.interpreter.get_output_details()
        self.into, self.out = (self.interpreter.tensor(tensor["index"]) for tensor in (given, made))

    def step(self, k):
        self.into()[...] = self.problem.X[k]
        self.interpreter.invoke()

    def result(self):
        return [self.out().copy()]
