"""Tables as they come: encodings, headers, units, gaps in the target, new texts, weights, files of rows held out."""

import time
import warnings

import numpy as np
import pytest

from fastbp.data import csv_file
from fastbp.data.csv_file import TableWarning
from fastbp.data.encoding import Encoding, Number, Text, prepare


@pytest.fixture
def file(tmp_path):
    def file(text, name="data.csv"):
        (tmp_path / name).write_bytes(text if isinstance(text, bytes) else text.encode())
        return tmp_path / name

    return file


def test_encodings(file) -> None:
    text = "größe,y\né,1\n"
    for encoding, named in (("utf-8", "utf-8"), ("utf-8-sig", "utf-8"), ("cp1252", "cp1252"), ("utf-16", "utf-16")):
        table = csv_file.read(file(text.encode(encoding)), encoding=named)
        assert list(table.columns) == ["größe", "y"]
        assert list(table.columns["größe"]) == ["é"]
    with pytest.raises(ValueError, match="--encoding names another"):
        csv_file.read(file(text.encode("cp1252")))
    with pytest.raises(ValueError, match="the encoding 'klingon'"):
        csv_file.read(file(text), encoding="klingon")


def test_delimiters_and_headers(file) -> None:
    table = csv_file.read(file("1:2\n3:4\n"), delimiter=":", header=False)
    assert {name: list(column) for name, column in table.columns.items()} == {
        "column 1": ["1", "3"],
        "column 2": ["2", "4"],
    }
    assert list(table.lines) == [1, 2]
    table = csv_file.read(file('"a";"b c"\n1;2\n'), header=False)
    assert [list(column) for column in table.columns.values()] == [["a", "1"], ["b c", "2"]]
    with pytest.raises(ValueError, match="line 2: 1 cells, the first line has 2"):
        csv_file.read(file("1,2\n3\n"), header=False)


def test_texts_that_stand_for_nothing(file) -> None:
    path = file("a,y\n-99,1\nNA,2\n3,3\n")
    table = csv_file.read(path, missing=["-99", "NA"])
    np.testing.assert_array_equal(table.numbers("a"), [np.nan, np.nan, 3])
    table = csv_file.read(path, missing=["-99"])
    with pytest.raises(ValueError, match="'NA' is not a number"):
        table.numbers("a")
    with pytest.raises(ValueError, match="line 3, column 'a': 'nan' is not a number"):
        csv_file.read(file("a,y\nx,1\nnan,2\n3,3\n"), missing=["x"]).numbers("a")


@pytest.mark.parametrize(
    "rows", [["Y", "N", "NA"], ["1", "0", "NA"], ["1.5", "2.5", "?"], ["Y", "N", ""], ["a", "b", "NaN"]]
)
def test_rows_without_a_target(read, rows) -> None:
    table = read("a,y\n" + "".join(f"{k},{rows[k % 3]}\n" for k in range(30)))
    with pytest.raises(ValueError, match=r"line 4, column 'y': the target has no value there .*--missing-target drop"):
        prepare(table, "y")
    done = prepare(table, "y", drop_gaps=True)
    assert (len(done.X), len(done.y), done.dropped) == (20, 20, 10)
    assert not isinstance(done.encoding.target, Text) or len(done.encoding.target.values) == 2


def test_no_row_with_a_target(read) -> None:
    with pytest.raises(ValueError, match="no row has a target"):
        prepare(read("a,y\n1,NA\nx,\n"), "y", drop_gaps=True, task="classification", text=["y"])


def test_new_texts_count_as_other(read) -> None:
    done = prepare(read("c,y\n" + "a,1.5\nb,2\n" * 5), "y")
    new = read("c\na\nz\nw\nz\n")
    with pytest.warns(TableWarning, match=r"3 of 4 rows have a value that training has not seen \('w', 'z'\)"):
        X = done.encoding.encode(new)
    assert X.tolist() == [[1, 0], [0, 0], [0, 0], [0, 0]]
    with pytest.raises(ValueError, match="line 3, column 'c': 'z' is unknown"):
        done.encoding.encode(new, "error")
    stored = Encoding.from_json(done.encoding.to_json())
    assert stored.unknown == "other"
    assert (
        Encoding.from_json(prepare(read("c,y\na,1.5\nb,2\n"), "y", unknown="error").encoding.to_json()).unknown
        == "error"
    )


def test_units_are_stored(read) -> None:
    done = prepare(read("p,y\n" + "".join(f"{k}%,{k}.5\n" for k in range(60))), "y")
    number = done.encoding.features[0]
    assert isinstance(number, Number)
    assert number.form.unit == "%"
    assert Encoding.from_json(done.encoding.to_json()) == done.encoding
    assert done.encoding.encode(read("p\n60%\n")).shape == (1, 1)
    with pytest.raises(ValueError, match="'60' is not a number with %"):
        done.encoding.encode(read("p\n60\n"))


def test_many_columns_of_one_text_each_are_not_made_in_silence(read) -> None:
    table = read("d,y\n" + "".join(f"{k} kg,{k}.5\n" for k in range(60)))
    with pytest.warns(TableWarning, match=r"column 'd' becomes 60 columns of zeros and ones"):
        prepare(table, "y")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prepare(table, "y", text=["d"])


def test_codes_taken_for_numbers_are_told(read) -> None:
    with pytest.warns(TableWarning, match="'00501', which is read as a number"):
        prepare(read("zip,y\n10001,1.5\n00501,2\n90210,3\n"), "y", validation=0)


def test_a_comma_that_means_two_things(read) -> None:
    assert read('a,b\n"1,234",0\n17,0\n').form("a").number("1,234") == 1234
    with pytest.raises(ValueError, match=r"line 2, column 'a': '1,234' has a comma in it: --decimal"):
        read("a;b\n1,234;0\n17;0\n").form("a")


def test_weights(read) -> None:
    done = prepare(read("a,w,y\n" + "1,0,1.5\n2,3,2\n3,1.5,4\n"), "y", weight="w", validation=0)
    assert done.weights.tolist() == [0, 1, 0.5]
    assert [column.name for column in done.encoding.features] == ["a"]
    for cell, words in (("-1", "is no weight"), ("", "is no weight"), ("x", "is not a number")):
        with pytest.raises(ValueError, match=f"line 3, column 'w': .*{words}"):
            prepare(read(f"a,w,y\n1,1,1.5\n2,{cell},2\n3,1,3\n"), "y", weight="w")
    with pytest.raises(ValueError, match="is 0 in every row"):
        prepare(read("a,w,y\n1,0,1.5\n2,0,2\n"), "y", weight="w")


def test_a_table_of_rows_held_out(file) -> None:
    train = csv_file.read(file("a,y\n" + "".join(f"{k},{'pq'[k % 2]}\n" for k in range(20))))
    other = csv_file.read(file("y,a\nq,100\np,3\n", "other.csv"))
    done = prepare(train, "y", validation=other)
    assert done.train.tolist() == list(range(20))
    assert done.held_out.tolist() == [20, 21]
    assert done.y[20:].tolist() == [1, 0]
    assert done.encoding.features[0].mean == 9.5
    np.testing.assert_allclose(done.X[20:, 0], (np.array([100, 3]) - 9.5) / np.arange(20).std(), rtol=1e-6)
    with pytest.raises(
        ValueError, match=r"other\.csv, line 2, column 'y': 'r' is no class of the training rows: 'p', 'q'"
    ):
        prepare(train, "y", validation=csv_file.read(file("y,a\nr,1\n", "other.csv")))


def test_names_with_commas(read) -> None:
    table = read('"a, b",c,"say ""d"""\n1,2,3\n')
    assert table.names(["a, b"]) == ["a, b"]
    assert table.names(['"a, b",c']) == ["a, b", "c"]
    assert table.names(["c", "a, b"]) == ["c", "a, b"]
    with pytest.raises(ValueError, match="no column 'x'"):
        table.names(["c,x"])


def test_time_is_linear_in_the_size(file) -> None:
    """Wide, long, with long cells, with quotes, and with many names in an error."""
    wide = ",".join(f"c{k}" for k in range(200_000)) + "\n" + ",".join("1" * 200_000) + "\n"
    texts = [wide, "a,b\n" + '"x",1\n' * 200_000, f"a,b\n{'x' * 10**5},1\n", "a,b\n" + ",\n" * 200_000]
    for text in texts:
        start = time.process_time()
        table = csv_file.read(file(text))
        assert table.columns
        with pytest.raises(ValueError, match="has no column"):
            table.require(["none"])
        assert time.process_time() - start < 2
    for quote in ('"', ""):
        with pytest.raises(ValueError, match="line 2: field larger than field limit"):
            csv_file.read(file(f"a,b\n{quote}{'x' * 200_000}{quote},1\n"))
