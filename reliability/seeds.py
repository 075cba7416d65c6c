"""Valid files of each format, made on demand, for the fuzzer to change."""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import fastbp as fb
from fastbp.files import safetensors

CSV = (
    "age,name,when,score\n31,Ann,2024-01-02,1.5\n4,Bo,2024-02-02,-2e3\n,Cy,2023-12-31,7\n",
    'a;b;c\n1,5;"x;y";3\n2,5;"line\nbreak";4\n1.234,5;"quo""te";NA\n',
    "price\tshare\tclass\n$1,200\t45%\tyes\n\u22123\t5%\tno\n",
    "x|y\n1|2\n3|4\n" * 3,
    "1,2\n3,4\n",
)
FANN = (
    "FANN_FLO_2.1\nnum_layers=3\nlearning_rate=0.700000\nconnection_rate=1.000000\nnetwork_type=0\n"
    "layer_sizes=3 4 2 \nscale_included=0\n"
    "neurons (num_inputs, activation_function, activation_steepness)=(0, 0, 0.0) (0, 0, 0.0) (0, 0, 0.0) "
    "(3, 5, 0.5) (3, 5, 0.5) (3, 5, 0.5) (0, 5, 0.0) (4, 3, 0.5) (0, 3, 0.0) \n"
    "connections (connected_to_neuron, weight)="
    "(0, 0.5) (1, -1.5) (2, 0.25) (0, 1.5) (1, 2.5) (2, 0.1) (0, 0.2) (1, 0.3) (2, 0.4) "
    "(3, 0.5) (4, -0.5) (5, 1e-3) (6, 2.0) \n",
    "FANN_FLO_2.0\nnum_layers=2\nnetwork_type=1\nlayer_sizes=3 2 \n"
    "neurons (num_inputs, activation_function, activation_steepness)=(0, 0, 0) (0, 0, 0) (0, 0, 0) "
    "(3, 0, 0.5) (0, 0, 0) \nconnections (connected_to_neuron, weight)=(0, 1) (1, 2) (2, 3) \n",
)
FANN_DATA = ("4 2 1\n-1 -1\n-1\n-1 1\n1\n1 -1\n1\n1 1\n-1\n", "1 3 2\n0.5 1e3 2\n0 1\n")


def chain() -> fb.Sequential:
    layers = (fb.Dense(5, "gelu"), fb.BatchNorm(), fb.Dropout(0.2), fb.Dense(3, "softmax"))
    return fb.Sequential(fb.Input(4), *layers, seed=1)


def graph() -> fb.Model:
    x, n = fb.Input(3), fb.Input(1)
    h = fb.Dense(4, "tanh")(x)
    e = fb.Embedding(5, 2)(n)
    joined = fb.Concatenate()(h, e, fb.Multiply()(h, h))
    a = fb.LayerNorm()(joined)
    return fb.Model((x, n), (fb.Dense(2)(a), fb.PReLU()(a[:, :3])), dtype="float64", seed=2)


def plain(dtype: str = "float32") -> fb.Sequential:
    return fb.Sequential(fb.Input(4), fb.Dense(6, "relu"), fb.LayerNorm(), fb.Dense(2), dtype=dtype, seed=3)


def _written(*makers: Callable[[Path], object], suffix: str = ".safetensors") -> list[bytes]:
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for k, make in enumerate(makers):
            path = Path(folder, f"{k}{suffix}")
            make(path)
            files.append(path.read_bytes())
    return files


def models() -> list[bytes]:
    return _written(chain().save, graph().save, plain("float64").save)


def trainers() -> list[bytes]:
    rng = np.random.default_rng(0)
    made = []
    for optimizer in (fb.Adam(), fb.Muon(), fb.SGD(momentum=0.9)):
        trainer = fb.Trainer(plain(), "mse", optimizer, metrics=["mae"])
        trainer.fit(rng.normal(size=(8, 4)), rng.normal(size=(8, 2)), epochs=1, batch_size=4)
        made.append(trainer.save)
    return _written(*made)


def state_dicts() -> list[bytes]:
    rng = np.random.default_rng(0)
    chains = (
        {"0.weight": (5, 3), "0.bias": (5,), "2.weight": (2, 5), "2.bias": (2,)},
        {"fc.weight": (4, 3), "n.weight": (4,), "n.bias": (4,), "n.running_mean": (4,), "n.running_var": (4,)},
        {"a.weight": (4, 2), "ln.weight": (4,), "ln.bias": (4,), "z.weight": (1, 4)},
    )
    made = [{name: rng.random(shape).astype(np.float32) for name, shape in each.items()} for each in chains]
    return _written(*(lambda path, arrays=arrays: safetensors.write(path, arrays, {}) for arrays in made))


def onnx_models() -> list[bytes]:
    return _written(chain().to_onnx, plain("float64").to_onnx, plain().to_onnx, suffix=".onnx")


def keras_models() -> list[bytes]:
    import keras

    first = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, "relu"), keras.layers.BatchNormalization()])
    x = keras.Input((3,))
    h = keras.layers.Dense(3, "gelu")(x)
    joined = keras.layers.Concatenate()([keras.layers.Multiply()([h, x]), keras.layers.LayerNormalization()(h)])
    second = keras.Model(x, keras.layers.Dense(2, "softmax")(joined))
    return _written(first.save, second.save, suffix=".keras")


def graphs() -> list[bytes]:
    return [json.dumps(net.config()).encode() for net in (chain(), graph(), plain())]


def texts(kind: tuple[str, ...]) -> list[bytes]:
    return [text.encode() for text in kind]
