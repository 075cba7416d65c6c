"""Packages that fastbp can use and does not need: loaded when wanted, or an error that says how to get them."""

from importlib import import_module

DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # what pip calls packages that have another name there


def package(name: str, who: str):
    """The module of this name, which `who` needs."""
    root = name.partition(".")[0]
    try:
        import_module(root)
        return import_module(name)
    except ImportError as error:
        name = DISTRIBUTIONS.get(root, root)
        raise ImportError(f"{who} needs {name}: pip install {name}") from error
