"""What stands in several files agrees, and the page on an index leads nowhere wrong."""

import ast
import os
import re
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
RELATIVE = r"\]\((?!https?:|#)"


def of_setup(name: str, **given: object):
    """A function of setup.py, which cannot be imported without building, with some of its global names."""
    tree = ast.parse((ROOT / "setup.py").read_text(encoding="utf-8"))
    wanted = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef)]
    wanted = [node for node in wanted if "setuptools" not in ast.unparse(node)]
    names: dict = {"Extension": None, **given}
    exec(compile(ast.Module(list(wanted), []), "setup.py", "exec"), names)
    return names[name]


def test_the_version_is_the_same_everywhere() -> None:
    version = PROJECT["version"]
    assert re.search(rf"^version: {re.escape(version)}$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert newest is not None
    assert newest[1] == version


@pytest.mark.parametrize("named", [False, True])
def test_the_page_of_an_index_has_no_relative_links(named: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for variable, value in (("GITHUB_SERVER_URL", "https://example.org"), ("GITHUB_REPOSITORY", "somebody/fastbp")):
        monkeypatch.setenv(variable, value if named else "")
    text = of_setup("readme")()
    assert re.search(RELATIVE, (ROOT / "README.md").read_text(encoding="utf-8"))
    assert not re.search(RELATIVE, text)
    assert ("https://example.org/somebody/fastbp/blob/HEAD/docs/sklearn.md" in text) == named
    assert bool(of_setup("urls")()) == named


def test_every_file_of_a_licence_is_there() -> None:
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])
    assert "CC-BY-4.0" in PROJECT["license"]
    assert "CC BY 4.0" in (ROOT / PROJECT["license-files"][1]).read_text()


def test_actions_are_pinned_by_commit_and_permissions_are_few() -> None:
    workflows = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
    assert [path.stem for path in workflows] == ["release", "tests", "wheels"]
    for path in workflows:
        text = path.read_text(encoding="utf-8")
        assert re.search(r"^permissions: \{\}$", text, re.MULTILINE), path.name
        for used in re.findall(r"uses: (\S+)", text):
            assert used.startswith("./") or re.fullmatch(r"[\w-]+/[\w-]+@[0-9a-f]{40}", used), used


def test_all_is_translated_again_only_where_setup_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not because of an older file beside, as that of Cython itself, which would cost a developer half a minute."""
    build = pytest.importorskip("Cython.Build")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(build, "cythonize", lambda extensions, force, **options: force)
    ages = {"setup.py": 2, "build/cython/cython_shared.c": 1, "build/cython/src/one.c": 3}
    for name, age in ages.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        os.utime(path, (age, age))
    translated = of_setup("translated", TRANSLATED=Path("build/cython"), DIRECTIVES={})
    modules = [SimpleNamespace(sources=["src/one.pyx"]), SimpleNamespace(sources=["src/new.pyx"])]
    assert not translated(modules)
    os.utime("build/cython/src/one.c", (1, 1))
    assert translated(modules)
