"""Texts that are numbers, as tables are written; the oracle is what the writers of the spellings say."""

import time

import numpy as np
import pytest

from fastbp.data.number_text import Form, form_of, number

READ = [
    (["5%", "12.5 %", "0"], "%", [5, 12.5, 0]),
    (["$1,234.50", "$3", "-$4", "5"], "$", [1234.5, 3, -4, 5]),
    (["5 €", "1.234,56 €"], "€", [5, 1234.56]),
    (["EUR 5", "EUR 1.200,00"], "EUR", [5, 1200]),
    (["US$1.5", "US$1,000"], "US$", [1.5, 1000]),
    (["(12)", "3", "($7)"], "$", [-12, 3, -7]),
    (["12-", "3"], "", [-12, 3]),
    (["1,5", "2,25"], "", [1.5, 2.25]),
    (["1.234,5", "2"], "", [1234.5, 2]),
    (["0,100", "12,345"], "", [0.1, 12.345]),  # no group of thousands begins with 0
    (["1,234,567", "1"], "", [1234567, 1]),
    (["1,234", "1.5"], "", [1234, 1.5]),
    (["10,00,000", "5.5"], "", [1000000, 5.5]),
    (["1 234,5", "7"], "", [1234.5, 7]),
    (["1\xa0234", "5"], "", [1234, 5]),
    (["1\u202f234\u202f567,5", "5"], "", [1234567.5, 5]),
    (["1'234.5", "2"], "", [1234.5, 2]),
    (["1\u2019234", "2"], "", [1234, 2]),
    (["\u22125", "3"], "", [-5, 3]),
    (["\u22125%", "3 %"], "%", [-5, 3]),
    (["\uff11\uff12\uff0e\uff15", "3"], "", [12.5, 3]),
    (["\u0663\u066b\u0665", "\u0662"], "", [3.5, 2]),
    (["1e3 %", "2%"], "%", [1000, 2]),
    (["NA", "5%", ""], "%", [np.nan, 5, np.nan]),
]
NOT_READ = [
    ["5%", "5"],  # of which unit is the second?
    ["$5", "€5"],
    ["1,5", "2.5"],
    ["12 kg", "3"],
    ["2020-01-01"],
    ["1/2"],
    ["5:30"],
    ["1.2.3", "1"],
    ["1,2,3"],
    ["--5"],
    ["$"],
    ["."],
    ["%5"],
    ["(5", "1"],
    ["(-5)", "1"],
    ["1_000"],
    ["0x10"],
    ["1 2"],
    ["5%%"],
]


@pytest.mark.parametrize(("cells", "unit", "values"), READ, ids=lambda each: str(each)[:30])
def test_spellings_of_numbers(cells, unit, values) -> None:
    form = form_of(cells)
    assert isinstance(form, Form)
    assert form.unit == unit
    np.testing.assert_array_equal([form.number(cell) for cell in cells], values)


@pytest.mark.parametrize("cells", NOT_READ, ids=str)
def test_what_is_no_number_in_any_spelling(cells) -> None:
    assert form_of(cells) is None


def test_a_cell_that_could_be_two_numbers_is_told() -> None:
    assert form_of(["17", "1,234"]) == "1,234"
    assert form_of(["17", "1,234"], ",").number("1,234") == 1.234
    assert form_of(["17", "1,234"], ".").number("1,234") == 1234


def test_a_column_with_a_decimal_comma_has_no_points() -> None:
    form = form_of(["1,5", "2,25"])
    assert form.number("1.234") == 1234
    assert form.number("1.5") is None


@pytest.mark.parametrize("locale", ["en", "de", "fr"])
def test_numbers_that_are_written_are_read_again(locale, rng) -> None:
    values = [float(f"{x:.2f}") for x in np.concatenate([rng.normal(size=40) * 1e5, rng.normal(size=40)])]
    group, mark = {"en": ",.", "de": ".,", "fr": "\u202f,"}[locale]
    cells = [f"{x:,.2f}".replace(",", "\0").replace(".", mark).replace("\0", group) for x in values]
    form = form_of(cells)
    assert [form.number(cell) for cell in cells] == values


def test_a_long_cell_costs_no_time() -> None:
    start = time.process_time()
    for cell in (" " * 10**6 + "1x", "1," * 500_000, "1 " * 500_000, "(" * 10**6, "-" * 10**6):
        assert number(cell) is None
        assert form_of([cell]) is None
    assert time.process_time() - start < 2
