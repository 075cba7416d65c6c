"""Columns of pandas and polars: each kind either holds numbers, or is refused by the name of its dtype."""

import datetime
import decimal

import numpy as np
import pytest

from fastbp.inputs import checks

DAY, NOON = datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 12)
REFUSED = {
    "date": [DAY, DAY],
    "datetime": [NOON, NOON],
    "timezone": [NOON.replace(tzinfo=datetime.UTC)] * 2,
    "duration": [datetime.timedelta(1)] * 2,
    "time": [datetime.time(1)] * 2,
    "struct": [{"x": 1.0}, {"x": 2.0}],
    "list": [[1.0], [2.0]],
    "text": ["1", "2"],
    "binary": [b"1", b"2"],
    "object": [object(), object()],
}
TAKEN = {
    "bool": [True, False],
    "int": [1, 2],
    "float": [1.5, 2.5],
    "decimal": [decimal.Decimal("1.5"), decimal.Decimal("2.5")],
    "null": [1.0, None],
    "null of int": [1, None],
}


def made(package: str, values: list, alone: bool):
    module = pytest.importorskip(package)
    return module.Series(values) if alone else module.DataFrame({"a": values, "b": [1.0, 2.0]})


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("package", ["pandas", "polars"])
@pytest.mark.parametrize("kind", REFUSED)
def test_no_numbers(package, kind, alone) -> None:
    with pytest.raises(TypeError, match="X must hold numbers, got dtype") as caught:
        checks.as_numbers(made(package, REFUSED[kind], alone), "X")
    assert alone or "column 'a' of X" in str(caught.value)


@pytest.mark.parametrize("alone", [True, False])
@pytest.mark.parametrize("package", ["pandas", "polars"])
@pytest.mark.parametrize("kind", TAKEN)
def test_numbers(package, kind, alone) -> None:
    array = checks.as_numbers(made(package, TAKEN[kind], alone), "X")
    wanted = np.array([np.nan if value is None else float(value) for value in TAKEN[kind]])
    np.testing.assert_array_equal((array if alone else array[:, 0]).astype(np.float64), wanted)


def test_kinds_of_polars_alone() -> None:
    polars = pytest.importorskip("polars", "1.0")
    for dtype in (polars.Categorical, polars.Enum(["a", "b"])):
        with pytest.raises(TypeError, match="must hold numbers, got dtype"):
            checks.as_numbers(polars.DataFrame({"a": polars.Series(["a", "b"], dtype=dtype)}), "X")
    with pytest.raises(TypeError, match="must hold numbers, got dtype Duration"):
        checks.as_numbers(polars.DataFrame({"a": [datetime.timedelta(1)]}), "X")  # all columns of one kind
    with pytest.raises(TypeError, match=r"X is a LazyFrame: pass X.collect\(\)"):
        checks.as_numbers(polars.LazyFrame({"a": [1.0]}), "X")
    rows = polars.Series([[1.0, 2.0], [3.0, 4.0]], dtype=polars.Array(polars.Float64, 2))
    assert checks.as_numbers(rows, "X").tolist() == [[1, 2], [3, 4]]


def test_kinds_of_pandas_alone() -> None:
    pandas = pytest.importorskip("pandas")
    assert checks.as_numbers(pandas.Series([1, 2], dtype="category"), "X").tolist() == [1, 2]
    assert checks.as_numbers(pandas.Series([True, False], dtype="boolean"), "X").tolist() == [1, 0]
    for column in (pandas.period_range("2020", "2021", freq="D"), pandas.interval_range(0, 2)):
        with pytest.raises(TypeError, match="must hold numbers"):
            checks.as_numbers(pandas.Series(column), "X")


def test_only_x_may_be_sparse() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    A = sparse.csr_array(np.ones((2, 1)))
    with pytest.raises(
        TypeError, match=r"^y is sparse: fit, .* take a sparse X and no other, elsewhere pass y.toarray\(\)$"
    ):
        checks.as_numbers(A, "y")
    with pytest.raises(TypeError, match=r"^X is sparse: fit, .* take it, elsewhere pass X.toarray\(\)$"):
        checks.as_numbers(A, "X")
