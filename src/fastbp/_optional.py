"""Optional dependencies: imported on first use, with an error that says how to install them."""

from importlib import import_module

DISTRIBUTIONS = {"sklearn": "scikit-learn"}  # names on PyPI that differ from the import


def package(name: str, who: str):
    """The module of this name, which `who` needs."""
    root = name.partition(".")[0]
    try:
        import_module(root)
        return import_module(name)
    except ImportError as error:
        known = DISTRIBUTIONS.get(root, root)
        if error.name is None or error.name.partition(".")[0] != root:  # the package itself misses another package
            raise ImportError(f"{who} needs {known}, which cannot be loaded: {error}") from error
        raise ImportError(f"{who} needs {known}: pip install {known}") from error
