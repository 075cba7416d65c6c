"""scikit-learn's own tests of its multilayer perceptrons, with our classes in the place of its own.

They are read from the installed scikit-learn, whose wheel ships them; nothing of them stands here but the names of
those that are left out, with reasons.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest

IMPORT = "from sklearn.neural_network import MLPClassifier, MLPRegressor\n"
LEFT_OUT = {
    "test_gradient": "calls the private _loss_grad_lbfgs with lists of buffers, which ours does not have",
}

# Theirs silence the warnings they expect; ours are errors elsewhere.
pytestmark = pytest.mark.filterwarnings("default")


def their_tests() -> dict[str, object]:
    spec = find_spec("sklearn.neural_network.tests.test_mlp")
    assert spec is not None
    assert spec.origin is not None
    text = Path(spec.origin).read_text(encoding="utf-8")
    assert text.count(IMPORT) == 1
    namespace: dict[str, object] = {"__name__": __name__}
    text = text.replace(IMPORT, IMPORT.replace("sklearn.neural_network", "fastbp.sklearn"))
    exec(compile(text, spec.origin, "exec"), namespace)
    return {name: thing for name, thing in namespace.items() if name.startswith("test_")}


THEIRS = their_tests()
globals().update({name: thing for name, thing in THEIRS.items() if name not in LEFT_OUT})


@pytest.fixture
def global_random_seed() -> int:
    return 42


def test_they_are_many_and_those_left_out_exist() -> None:
    assert len(THEIRS) > 35
    assert set(LEFT_OUT) < set(THEIRS)
