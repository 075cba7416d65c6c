"""Estimators as scikit-learn's own, and in files of skl2onnx."""

import numpy as np
import pytest

import fastbp as fb

sklearn = pytest.importorskip("sklearn")
from sklearn import neural_network  # noqa: E402
from sklearn.compose import ColumnTransformer  # noqa: E402
from sklearn.pipeline import make_pipeline  # noqa: E402
from sklearn.preprocessing import OneHotEncoder, StandardScaler  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
RNG = np.random.default_rng(2)
X = RNG.normal(size=(90, 5))
THREE = np.array(["a", "b", "c"])[np.digitize(X[:, 0], [-0.5, 0.5])]
TWO = X[:, 1] > 0
MANY = np.stack([X[:, 0] > 0, X[:, 1] > 0], axis=1).astype(int)


@pytest.mark.parametrize("y", [THREE, TWO, MANY], ids=["three", "two", "multilabel"])
@pytest.mark.parametrize("activation", ["identity", "logistic", "tanh", "relu"])
def test_classifiers(y, activation):
    ours = fb.MLPClassifier((7, 4), activation, max_iter=8, tol=0, random_state=0, dropout=0.1).fit(X, y)
    theirs = ours.to_sklearn()
    assert type(theirs) is neural_network.MLPClassifier
    assert (theirs.predict(X) == ours.predict(X)).all()
    np.testing.assert_allclose(theirs.predict_proba(X), ours.predict_proba(X), rtol=1e-10, atol=1e-14)


def test_regressors():
    for y in (X[:, 0], X[:, :3]):
        ours = fb.MLPRegressor(hidden_layer_sizes=(7,), activation="tanh", max_iter=8, tol=0, random_state=0).fit(X, y)
        theirs = ours.to_sklearn()
        np.testing.assert_allclose(theirs.predict(X), ours.predict(X), rtol=1e-10, atol=1e-14)
        before = ours.predict(X)
        theirs.coefs_[0][...] = 0
        assert (ours.predict(X) == before).all()


def test_what_scikit_learn_lacks():
    with pytest.raises(ValueError, match="got activation='gelu'"):
        fb.MLPRegressor(hidden_layer_sizes=(7,), activation="gelu", max_iter=2, tol=0).fit(X, X[:, 0]).to_sklearn()
    model = fb.MLPRegressor(hidden_layer_sizes=(7,), loss="quantile", quantile=[0.1, 0.9], max_iter=2, tol=0)
    model.fit(X, X[:, 0])
    with pytest.raises(ValueError, match="no estimator that predicts what loss='quantile' does"):
        model.to_sklearn()
    with pytest.raises(sklearn.exceptions.NotFittedError):
        fb.MLPRegressor().to_sklearn()


@pytest.mark.parametrize("y", [THREE, TWO], ids=["three", "two"])
def test_a_pipeline_with_a_column_transformer_in_onnx(y):
    skl2onnx = pytest.importorskip("skl2onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"size": X[:, 0], "age": X[:, 1], "kind": RNG.choice(["red", "green"], len(X))})
    columns = ColumnTransformer([("numbers", StandardScaler(), ["size", "age"]), ("kinds", OneHotEncoder(), ["kind"])])
    pipe = make_pipeline(columns, fb.MLPClassifier((7,), max_iter=20, tol=0, random_state=0)).fit(frame, y)
    types = skl2onnx.common.data_types
    inputs = [("size", types.DoubleTensorType([None, 1])), ("age", types.DoubleTensorType([None, 1]))]
    inputs.append(("kind", types.StringTensorType([None, 1])))
    name = f"{type(pipe[-1]).__name__.lower()}"
    model = skl2onnx.convert_sklearn(pipe, initial_types=inputs, options={f"{name}__zipmap": False})
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    fed = {column: frame[[column]].to_numpy() for column in frame}
    labels, shares = session.run(None, fed)
    assert (labels == pipe.predict(frame)).all()
    np.testing.assert_allclose(shares, pipe.predict_proba(frame), rtol=1e-4, atol=1e-5)


ORDERS = ["import fastbp.sklearn, skl2onnx", "import skl2onnx, fastbp.sklearn"]


@pytest.mark.parametrize("first", ORDERS)
def test_the_order_of_imports_does_not_matter(first, python):
    pytest.importorskip("skl2onnx")
    code = f"{first}\nimport numpy as np\n" + (
        "X = np.eye(4, dtype='f4')\n"
        "est = fastbp.sklearn.MLPRegressor(hidden_layer_sizes=(3,), max_iter=2, tol=0).fit(X, X[:, 0])\n"
        "print(len(skl2onnx.to_onnx(est, X).graph.node) > 2)"
    )
    done = python("-W", "ignore", "-c", code)
    assert done.stdout.strip() == "True", done.stderr


def test_importing_does_not_load_skl2onnx(python):
    done = python("-c", "import sys, fastbp.sklearn; print('skl2onnx' in sys.modules)")
    assert done.stdout.strip() == "False", done.stderr
