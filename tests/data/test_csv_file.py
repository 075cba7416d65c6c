"""CSV files: the same table with and without pandas, every fault told with its place."""

import csv
import sys

import numpy as np
import pytest

from fastbp.data import csv_columns, csv_file, number_text
from fastbp.data.csv_columns import Column


def rows_of(table):
    return [list(row) for row in zip(*table.columns.values(), strict=True)]


# Reading


@pytest.mark.parametrize(
    ("text", "names", "rows", "lines"),
    [
        ("a,b\n1,x\n2,y\n", ["a", "b"], [["1", "x"], ["2", "y"]], [2, 3]),
        ("a,b\n1,x\n2,y", ["a", "b"], [["1", "x"], ["2", "y"]], [2, 3]),
        ("a,b\r\n1,x\r\n2,y\r\n", ["a", "b"], [["1", "x"], ["2", "y"]], [2, 3]),
        ("a,b\r1,x\r2,y\r", ["a", "b"], [["1", "x"], ["2", "y"]], [2, 3]),
        ("\ufeffa,b\n1,x\n", ["a", "b"], [["1", "x"]], [2]),
        ("a;b\n1,5;x\n", ["a", "b"], [["1,5", "x"]], [2]),
        ("a\tb\n1\tx,y\n", ["a", "b"], [["1", "x,y"]], [2]),
        ("a|b\n1|x\n", ["a", "b"], [["1", "x"]], [2]),
        ('"a;b;c",d\n1,2\n', ["a;b;c", "d"], [["1", "2"]], [2]),
        (" a ,\tb\n 3 , x y \n", ["a", "b"], [["3", "x y"]], [2]),
        ("a,b\n1,\n2,\n", ["a", "b"], [["1", ""], ["2", ""]], [2, 3]),
        ("a,b\nNA,nan\nTrue,007\n", ["a", "b"], [["NA", "nan"], ["True", "007"]], [2, 3]),
        ("a,b\n#1,'x'\n", ["a", "b"], [["#1", "'x'"]], [2]),
        ('a,b\n"1,5","say ""hi"""\n', ["a", "b"], [["1,5", 'say "hi"']], [2]),
        ('a,b\n"two\nlines",1\nx,2\n', ["a", "b"], [["two\nlines", "1"], ["x", "2"]], [2, 4]),
        ("\n\na,b\n\n1,x\n\n\n2,y\n\n", ["a", "b"], [["1", "x"], ["2", "y"]], [5, 8]),
        ("a\n1\n\n2\n", ["a"], [["1"], ["2"]], [2, 4]),
        ("a\n1\n  \n2\n", ["a"], [["1"], [""], ["2"]], [2, 3, 4]),
        (",b,\n1,x,2\n", ["column 1", "b", "column 3"], [["1", "x", "2"]], [2]),
        ("1,2\n3,4\n", ["1", "2"], [["3", "4"]], [2]),
        ("a,b\nx\u2028y,\x1cz\x1d\n", ["a", "b"], [["x\u2028y", "z"]], [2]),
        ("größe,名前\n\uff11,Ωx\n", ["größe", "名前"], [["\uff11", "Ωx"]], [2]),
    ],
)
def test_what_is_read(reader, read, text, names, rows, lines):
    table = read(text)
    assert list(table.columns) == names
    assert rows_of(table) == rows
    assert list(table.lines) == lines
    assert len(table) == len(rows)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("\ufeff", "is empty"),
        ("\n \n", "is empty"),
        ("a,b\n", "no rows"),
        ("a,b", "no rows"),
        ("a,b,a,c,b\n1,2,3,4,5\n", "more than one column called 'a', 'b'"),
        ("a, a\n1,2\n", "more than one column called 'a'"),
        ("a,b\n1,2\n3\n", "line 3: 1 cells, the header has 2"),
        ("a,b\n1,2\n3,4,5\n", "line 3: 3 cells, the header has 2"),
        ("a,b\n1,2\n\n\n3,4,5\n", "line 5: 3 cells, the header has 2"),
        ('a,b\n"1\n2",2\n3\n', "line 4: 1 cells"),
        ("a,b\n1\n2,3,4\n", "line 2: 1 cells"),  # as many commas as there should be
        ('a,b\n1,2\n"3,4\n5,6\n', "line 3: "),
        ('a,b\n1,2\n"3"x,4\n', "line 3: "),
        (b"a,b\n1,2\n3,\xff\n", "not text in UTF-8: byte 0xff on line 3"),
        (b"a,b\n1,\x00\n", "zero byte"),
        ("a,b\n1,2\n".encode("utf-16"), "not text in UTF-8"),
        (b"PK\x03\x04\x14\x00\x06\x00", "zero byte"),
    ],
)
def test_what_is_no_table(reader, read, text, words):
    with pytest.raises(ValueError, match=words) as caught:
        read(text)
    assert "data.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


# Packages that read large files, each with those that are asked before it.
AHEAD: dict[str, tuple[str, ...]] = {"polars": (), "pandas": ("polars",), "pyarrow": ("polars", "pandas")}


def test_no_file(reader, tmp_path):
    with pytest.raises(FileNotFoundError):
        csv_file.read(tmp_path / "none.csv")


@pytest.mark.parametrize("package", list(AHEAD))
def test_a_large_file_is_read_by_a_package(read, monkeypatch, package):
    module = pytest.importorskip("pyarrow.csv" if package == "pyarrow" else package)
    calls = []
    read_csv = module.read_csv
    monkeypatch.setattr(module, "read_csv", lambda *a, **k: calls.append(1) or read_csv(*a, **k))
    read("a,b\n1,2\n")
    assert calls == []
    monkeypatch.setattr(csv_columns, "WORTH_A_PACKAGE", 0)
    for other in AHEAD[package]:
        monkeypatch.setitem(sys.modules, other, None)
    read("a,b\n" + "1,2\n" * 1001)
    assert calls


@pytest.mark.parametrize("package", list(AHEAD))
def test_random_texts_mean_the_same_with_every_package(read, monkeypatch, package):
    """Cells and numbers; the package reads files of any size here."""
    pytest.importorskip(package)
    monkeypatch.setattr(csv_columns, "WORTH_A_PACKAGE", 0)
    monkeypatch.setattr(csv_columns, "FEWEST_LINES", 0)
    rng = np.random.default_rng(3)
    pieces = [
        "1",
        "-2.5e3",
        "x",
        " ",
        ",",
        ",",
        ",",
        "\n",
        "\n",
        ";",
        "NA",
        '"',
        "é",
        "\r\n",
        "\t",
        "#",
        "'",
        "\\",
        *("-nan", "nan", "inf", "1_0", "+5", "0x1", "1e400", "9007199254740993", "18446744073709551616", "True", "-0"),
        *("0.1", "1e-320", "123456789.123456789", "007", "\u22125", "\uff11", "\xa01"),
    ]
    good = 0

    def outcome(text):
        try:
            table = read(text)
        except ValueError as error:
            return str(error)
        numbers = [column.numbers(table.missing) for column in table.columns.values()]
        cells = {name: list(column) for name, column in table.columns.items()}
        return cells, list(table.lines), [None if n is None else n.tobytes() for n in numbers]

    for trial in range(1500):
        if trial % 2:
            text = "a,b\n" + "".join(rng.choice(pieces, size=rng.integers(1, 14)))
        else:
            cells = rng.choice([p for p in pieces if not {*p} & {",", "\n", '"', "\r"}], size=(rng.integers(1, 5), 2))
            text = "a,b\n" + "\n".join(map(",".join, cells))
        with monkeypatch.context() as patch:
            for other in AHEAD[package]:
                patch.setitem(sys.modules, other, None)
            ours = outcome(text)
        with monkeypatch.context() as patch:
            for other in AHEAD:
                patch.setitem(sys.modules, other, None)
            assert outcome(text) == ours, repr(text)
        good += not isinstance(ours, str)
    assert good > 700


# Numbers


@pytest.mark.parametrize(
    ("cell", "number"),
    [("3", 3), (" 3", 3), ("-2.50", -2.5), ("+.5", 0.5), ("1.", 1), ("1e5", 1e5), ("1E-3", 1e-3), ("007", 7)],
)
def test_numbers(read, cell, number):
    table = read(f"a\n{cell}\n4\n")
    assert table.holds_numbers("a")
    assert table.numbers("a").tolist() == [number, 4]


@pytest.mark.parametrize("cell", ["", "NA", "n/a", "NaN", "null", "None", "?"])
def test_missing_numbers_are_nan(reader, read, cell):
    table = read(f"a,b\n1,0\n{cell},0\n3,0\n")
    assert table.holds_numbers("a")
    assert np.array_equal(table.numbers("a"), [1, np.nan, 3], equal_nan=True)


@pytest.mark.parametrize("cell", ["x", "1_000", "0x10", "1e", "--1", "1 2", "-nan", "1.2.3"])
def test_what_is_no_number(read, cell):
    table = read(f"a,b\n1,0\n{cell},0\n3,0\n")
    assert not table.holds_numbers("a")
    with pytest.raises(ValueError, match="line 3, column 'a'"):
        table.numbers("a")


@pytest.mark.parametrize("cell", ["inf", "-Infinity", "1e999"])
def test_infinity_names_its_place(read, cell):
    table = read(f"a,b\n1,0\n{cell},0\n")
    assert table.holds_numbers("a")
    with pytest.raises(ValueError, match=f"line 3, column 'a': '{cell}' is not a finite number"):
        table.numbers("a")


def test_a_slip_in_a_column_of_numbers_is_not_a_category(read):
    text = "a\n" + "1\n" * 9 + "l\n"
    with pytest.raises(ValueError, match="line 11, column 'a': 'l' is not a number, but 9 of the column's 10"):
        read(text).holds_numbers("a")
    assert not read(text + "l\n").holds_numbers("a")


def test_a_column_without_values(read):
    with pytest.raises(ValueError, match="column 'b' holds no values"):
        read("a,b\n1,\n2,NA\n").holds_numbers("b")


CELLS = [
    "1.5",
    "",
    '""',
    '"2"',
    '"a b"',
    "a",
    '"x, y"',
    '"say ""no"""',
    ' "3"',
    '"4" ',
    'a"b',
    '"two\nlines"',
    "NA",
    "-0",
]


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_file_with_quotes_is_what_the_standard_library_reads(width: int, tmp_path) -> None:
    """Plain quotes are taken away as a whole: never another cell, line or error."""
    rng, path = np.random.default_rng(width), tmp_path / "d.csv"
    for trial in range(300):
        few = CELLS[: 5 + trial % (len(CELLS) - 4)]
        rows = [",".join(rng.choice(few, width)) for _ in range(rng.integers(1, 6))]
        path.write_text("\n".join([",".join(f'"c{k}"' for k in range(width)), *rows]) + "\n")
        try:
            wanted = list(csv.reader(path.read_text().rstrip("\n").splitlines(keepends=True), strict=True))
            wanted = [row for row in wanted if row]
            fits = len(wanted) > 1 and all(len(row) == width for row in wanted)
        except csv.Error:
            fits = False
        if not fits:
            with pytest.raises(ValueError, match=r"d\.csv"):
                csv_file.read(path)
            continue
        table = csv_file.read(path)
        columns = [[cell.strip() for cell in column] for column in zip(*wanted[1:], strict=True)]
        assert [list(column) for column in table.columns.values()] == columns


@pytest.mark.parametrize(
    "cells", [["", "1", ""], ["", "", "", "2.5"], ["1", "", "nan"], ["1_0", ""], ["-nan", ""], ["1", " "]]
)
def test_gaps_are_the_same_one_by_one_and_as_a_whole(cells: list[str]) -> None:
    values = Column(cells).numbers(number_text.MISSING)
    one_by_one = [number_text.number(cell.strip()) for cell in cells]
    if None in one_by_one:
        assert values is None
    else:
        np.testing.assert_array_equal(values, one_by_one)
