"""What the tests of the command line share: a run in this process, and what came of it."""

import csv
import json

from fastbp.cli import main


def run(capsys, *arguments):
    """Exit code, standard output, standard error."""
    code = main([str(argument) for argument in arguments])
    return (code, *capsys.readouterr())


def trained(capsys, *arguments):
    code, out, err = run(capsys, "train", *arguments, "--json")
    assert code == 0, err
    assert out.count("\n") == 1
    return json.loads(out)


def error_of(capsys, *arguments, code=1):
    got, out, err = run(capsys, *arguments)
    assert got == code
    assert not out
    assert err.count("\n") == 1
    assert err.startswith("fastbp: error: ")
    return err


def predictions(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))
