"""The encoding of tables: what is fitted to the training rows, and what new rows must have."""

import json

import numpy as np
import pytest

from fastbp import ModelFormatError
from fastbp.data import encoding
from fastbp.data.encoding import Encoding, Number, Text, prepare

# Fitting the encoding


def test_numbers_are_standardised_by_the_training_rows(read):
    rng = np.random.default_rng(0)
    a, y = rng.normal(50, 9, 40), rng.normal(-3, 0.1, 40)
    table = read(
        "a,y\n" + "".join(f"{a[k]!r},{y[k]!r}\n" for k in range(40)).replace("np.float64(", "").replace(")", "")
    )
    done = prepare(table, "y", seed=3)
    train = done.train
    assert done.encoding.task == "regression"
    assert (len(train), len(done.held_out)) == (32, 8)
    np.testing.assert_allclose(done.X[:, 0], (a - a[train].mean()) / a[train].std(), rtol=1e-5)
    np.testing.assert_allclose(done.y[:, 0], (y - y[train].mean()) / y[train].std(), rtol=1e-5)
    assert done.X.dtype == done.y.dtype == np.float32
    np.testing.assert_allclose(done.encoding.decode(done.y)["prediction"], y, rtol=1e-6)


def test_text_is_one_hot_and_classes(read):
    table = read("size,colour,kind\n1,red,b\n2,,a\n3,blue,b\n4,red,a\n")
    done = prepare(table, "kind", validation=0)
    assert done.encoding.features[1] == Text("colour", ("", "blue", "red"))
    assert done.X[:, 1:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0], [0, 0, 1]]
    assert done.encoding.target == Text("kind", ("a", "b"))
    assert done.y.tolist() == [1, 0, 1, 0]
    assert done.y.dtype == np.int64
    assert done.encoding.width == done.X.shape[1] == 4
    assert done.train.tolist() == [0, 1, 2, 3]
    assert done.held_out.tolist() == []


def test_a_value_that_only_a_held_out_row_has_is_known(read):
    text = "a,y\n" + "".join(f"v{k},{k % 7}.5\n" for k in range(30))
    done = prepare(read(text), "y")
    assert done.encoding.width == 30
    assert np.array_equal(done.X.sum(axis=1), np.ones(30))


@pytest.mark.parametrize(
    ("cells", "task", "kind"),
    [
        ([0, 1, 1, 0], "auto", "classification"),
        ([0, 1, 2, 3], "auto", "regression"),  # each once
        ([*range(20)] * 2, "auto", "classification"),
        ([*range(21)] * 2, "auto", "regression"),
        ([1.0, 2.0, 1.0, 2.0], "auto", "classification"),
        ([1.5, 2.5, 1.5, 2.5], "auto", "regression"),
        ([1.5, 2.5, 1.5, 2.5], "classification", "classification"),
        ([0, 1, 1, 0], "regression", "regression"),
        (["a", "b", "c", "d"], "auto", "classification"),
        (["yes", "no", "yes", "no"], "classification", "classification"),
    ],
)
def test_which_task_a_target_makes(read, cells, task, kind):
    table = read("a,y\n" + "".join(f"{k},{cell}\n" for k, cell in enumerate(cells)))
    assert prepare(table, "y", task=task, validation=0).encoding.task == kind


@pytest.mark.parametrize(
    ("cells", "values", "y"),
    [
        (["10", "2", "2.0", " 10", "-1", "-1"], ("-1", "2", "10"), [2, 1, 1, 2, 0, 0]),
        (["10", "2", "2.0", " 010", "-1", "-1"], ("-1", "2", "2.0", "010", "10"), [4, 1, 2, 3, 0, 0]),
        (["1", "+1", "1e0", "0", "-0", "0.0"], ("0", "1"), [1, 1, 1, 0, 0, 0]),
        (["1000", "1e3", "2"], ("2", "1000"), [1, 1, 0]),
        (["1.0", "2.0", "1.0"], ("1.0", "2.0"), [0, 1, 0]),
        (["0.5", "0.50", ".5", "1"], (".5", "1"), [0, 0, 0, 1]),
        (["007", "7", "08"], ("007", "7", "08"), [0, 1, 2]),
        (["9007199254740992", "9007199254740993"], ("9007199254740992", "9007199254740993"), [0, 1]),
        (["1" * 400, "1" * 399 + "2"], ("1" * 400, "1" * 399 + "2"), [0, 1]),
        (["True", "False", "true"], ("False", "True", "true"), [1, 0, 2]),
        (["2020-01-02", "2020-01-01"], ("2020-01-01", "2020-01-02"), [1, 0]),
        (["1", "a", "1.0"], ("1", "1.0", "a"), [0, 2, 1]),
        (["none", "mild", "severe"], ("mild", "none", "severe"), [1, 0, 2]),
    ],
)
def test_labels_are_as_in_the_file_and_equal_numbers_are_one(read, cells, values, y):
    table = read("a,y\n" + "".join(f"{k},{cell}\n" for k, cell in enumerate(cells)))
    done = prepare(table, "y", task="classification", validation=0)
    assert done.encoding.target.values == values
    assert done.y.tolist() == y


def test_text_and_ignore(read):
    table = read("id,zip,a,y\n1,01234,1,7\n2,01234,2,8\n3,99999,3,7\n4,99999,4,8\n")
    done = prepare(table, "y", ignore=["id"], text=["zip", "y"], validation=0)
    assert [column.name for column in done.encoding.features] == ["zip", "a"]
    assert done.encoding.features[0].values == ("01234", "99999")
    assert done.encoding.target.values == ("7", "8")


def test_missing_numbers_take_the_training_mean(reader, read):
    table = read("a,y\n1,0\n,1\n4,0\n7,1\n")
    with pytest.raises(ValueError, match="line 3, column 'a': a number is missing"):
        prepare(table, "y", validation=0)
    done = prepare(table, "y", missing="mean", validation=0)
    assert done.encoding.features[0].mean == 4
    assert done.X[1, 0] == 0
    new = read("a\n\n4\nNA\n")
    assert done.encoding.encode(new).tolist() == [[0], [0]]  # an empty line is no row


@pytest.mark.parametrize("cells", [[5, 5, 5, 5], [0.1] * 4, [0, 0, 0, 0], [1e300] * 4])
def test_constant_numbers_become_zero(read, cells):
    table = read("a,b,y\n" + "".join(f"{cell},{k},{k % 2}\n" for k, cell in enumerate(cells)))
    done = prepare(table, "y", validation=0)
    assert np.abs(done.X[:, 0]).max() < 1e-6
    assert done.encoding.features[0].std == 1


@pytest.mark.parametrize("size", [1e308, 1e-308, 5e-324])
def test_numbers_of_any_size_are_standardised(read, size):
    table = read("a,y\n" + "".join(f"{a * size!r},{k % 2}\n" for k, a in enumerate([-1.0, 1.0, 1.0, -1.0])))
    done = prepare(table, "y", validation=0)
    assert np.isfinite(done.X).all()
    if size > 1e-300:
        np.testing.assert_allclose(done.X[:, 0], [-1, 1, 1, -1], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("a,b\n1,2\n3,4\n", {}, "no column 'y'; it has 'a', 'b'"),
        ("a,y\n1,2\n3,4\n", {"ignore": ["b", "c"]}, "no columns 'b', 'c'; it has 'a', 'y'"),
        ("a,y\n1,2\n3,4\n", {"text": ["b"]}, "no column 'b'"),
        ("a,y\n1,2\n3,4\n", {"ignore": ["y"]}, "cannot be ignored"),
        ("a,y\n1,2\n3,4\n", {"ignore": ["a"]}, "no column besides the target"),
        ("y\n1\n2\n", {}, "no column besides the target"),
        ("a,y\n1,x\n2,x\n", {}, "line 2, column 'y': the target is 'x' in every row"),
        ("a,y\n1,3\n2,3.0\n", {}, "column 'y': the target is '3' in every row"),
        ("a,y\n1,2.5\n", {}, "'2.5' in every row"),
        ("a,y\n1,x\n2,\n3,z\n", {}, "line 3, column 'y': the target has no value there"),
        ("a,y\n1,1\n2,NA\n3,2\n", {"missing": "mean"}, "line 3, column 'y': the target has no value there"),
        ("a,y\n1,1\n2,x\n3,2\n", {"task": "regression"}, "line 3, column 'y': 'x' is not a number"),
        ("a,y\n1,1.5\n2,inf\n3,2\n", {}, "line 3, column 'y': 'inf' is not a finite number"),
        ("a,y\ninf,1\n2,2\n", {}, "line 2, column 'a': 'inf' is not a finite number"),
        ("a,y\n1,p\n2,q\n", {}, "2 rows have 2 different labels, so that none can be held out"),
        (
            "a,y\n" + "".join(f"t{k},{k % 2}\n" for k in range(1001)),
            {},
            "column 'a' has 1001 different values",
        ),
        ("a,y\n" + "".join(f"{k},t{k}\n" for k in range(1001)), {}, "column 'y' has 1001 different values"),
    ],
)
def test_tables_that_cannot_be_learned_from(reader, read, text, options, words):
    with pytest.raises(ValueError, match=words) as caught:
        prepare(read(text), "y", **options)
    assert "\n" not in str(caught.value)


# The encoding in the model file


ENCODING = Encoding(
    (Number("age", 31.25, 0.1), Text("sex ä", ("", "f", 'm"'))),
    Text("kind", ("a", "b")),
    "mean",
)


def test_json_round_trip():
    assert Encoding.from_json(ENCODING.to_json()) == ENCODING
    other = Encoding((Number("a", 1 / 3, 1e-300),), Number("y", -0.0, 2.0))
    assert Encoding.from_json(other.to_json()) == other


def test_new_rows_need_the_features_and_nothing_else(reader, read):
    new = read('more,sex ä,kind,age\nx,f,?,31.35\ny,"m""",,31.15\n')
    np.testing.assert_allclose(ENCODING.encode(new), [[1, 0, 1, 0], [-1, 0, 0, 1]], rtol=1e-5)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("sex,b\nf,1\n", "no columns 'age', 'sex ä'; it has 'sex', 'b'"),
        ("age,sex ä\n3,f\n4,x\n", "line 3, column 'sex ä': 'x' is unknown; known: '', 'f', 'm\"'"),
        ("age,sex ä\n3,f\nx,f\n", "line 3, column 'age': 'x' is not a number"),
        ("age,sex ä\n3,f\n1e300,f\n", "line 3, column 'age': '1e300' is too far from the mean, 31.25"),
        ("age,sex ä\n3,f\n-inf,f\n", "line 3, column 'age': '-inf' is not a finite number"),
    ],
)
def test_new_rows_that_do_not_fit(reader, read, text, words):
    with pytest.raises(ValueError, match=words):
        ENCODING.encode(read(text))


def test_a_long_list_of_known_values_is_cut(read):
    column = Text("a", tuple(f"v{k}" for k in range(500)))
    with pytest.raises(ValueError, match=r"'v19' \.\.\. \(500 in all\)$"):
        column.encode(read("a\nx\n"), "error")


def test_probabilities_are_a_softmax_of_any_logits():
    columns = ENCODING.decode(np.array([[0, np.log(3)], [1000, -1000], [-5, -5]], dtype=np.float32))
    assert columns["prediction"] == ["b", "a", "a"]
    np.testing.assert_allclose(columns["probability_a"], [0.25, 1, 0.5], rtol=1e-6)
    np.testing.assert_allclose(columns["probability_b"], [0.75, 0, 0.5], rtol=1e-6)


def damaged(change) -> str:
    fields = json.loads(ENCODING.to_json())
    change(fields)
    return json.dumps(fields)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "3",
        "[]",
        "{}",
        "null",
        "[" * 100_000,
        damaged(lambda f: f.pop("features")),
        damaged(lambda f: f.pop("target")),
        damaged(lambda f: f.pop("missing")),
        damaged(lambda f: f.update(missing="zero")),
        damaged(lambda f: f.update(features=[])),
        damaged(lambda f: f.update(features=3)),
        damaged(lambda f: f.update(features=[[]])),
        damaged(lambda f: f["features"].append(f["features"][0])),
        damaged(lambda f: f.update(target=f["features"][0])),
        damaged(lambda f: f.update(target=None)),
        damaged(lambda f: f["features"][0].update(std=0.0)),
        damaged(lambda f: f["features"][0].update(std=-1.0)),
        damaged(lambda f: f["features"][0].update(std=float("inf"))),
        damaged(lambda f: f["features"][0].update(std="1")),
        damaged(lambda f: f["features"][0].update(mean=float("nan"))),
        damaged(lambda f: f["features"][0].update(mean=None)),
        damaged(lambda f: f["features"][0].update(mean=10**400)),
        damaged(lambda f: f["features"][0].update(name=3)),
        damaged(lambda f: f["features"][0].update(more=3)),
        damaged(lambda f: f["features"][1].update(values=[])),
        damaged(lambda f: f["features"][1].update(values="ab")),
        damaged(lambda f: f["features"][1].update(values=["a", "a"])),
        damaged(lambda f: f["features"][1].update(values=["a", 3])),
        damaged(lambda f: f["features"][1].update(values=[["a"], "b"])),
    ],
)
def test_a_damaged_encoding(text):
    with pytest.raises(ModelFormatError, match="the table's encoding is damaged"):
        Encoding.from_json(text)


def test_the_tasks_are_those_of_the_encoding():
    assert {"auto", ENCODING.task, Encoding((Number("a", 0.0, 1.0),), Number("y", 0.0, 1.0)).task} == set(
        encoding.TASKS
    )
