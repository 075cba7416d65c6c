"""Sphinx's settings for the site; `make site` copies the pages to build/site-source and builds them there."""

import inspect
import re
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from sphinx.roles import XRefRole

import fastbp as fb

HERE = Path(__file__).parent
warnings.filterwarnings("ignore", message=".*non-interactive", category=UserWarning)

project = "fastbp"
author = "The fastbp developers"
copyright = author

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinx_gallery.gen_gallery",
]
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = [
    "**/GALLERY_HEADER.rst",
    "**/sg_execution_times.rst",
    "sg_execution_times.rst",
    "_templates",
    "tutorials",
    "examples",
]
templates_path = ["_templates"]
highlight_language = "none"  # indented blocks hold diagrams and formulas; code blocks name their language
nitpicky = True
smartquotes = False  # u'' is a derivative

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4

autosummary_generate = True
# Where names differ by case only, pages would overwrite each other on macOS and Windows.
autosummary_filename_map = {f"fastbp.{name}": f"fastbp.{name}-function" for name in fb.__all__ if name.islower()}
autodoc_typehints = "none"  # the docstrings describe types
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # autodoc puts members on the page of their class
numpydoc_xref_param_type = False

default_role = "mentioned"  # the role of `names` in docstrings

# Ordered from what most readers need to what few need; the examples are ordered by name.
TUTORIALS = (
    *("first_net", "table_of_data", "replacing_mlpclassifier", "diagnosis", "backpropagation_by_hand", "uncertainty"),
    *("hyperparameter_search", "time_series", "autoencoder", "cart_pole", "neural_ode", "microcontroller"),
    *("from_scikit_learn", "from_pytorch", "from_keras", "from_fann"),
)
SCRIPTS = [f"plot_{name}.py" for name in TUTORIALS]
SCRIPTS += sorted({path.name for path in HERE.glob("*/plot_*.py")} - {*SCRIPTS})

# A gallery without scripts is left out, since Sphinx would warn about it.
GALLERIES = [name for name in ("tutorials", "examples") if any(HERE.joinpath(name).glob("plot_*.py"))]
sphinx_gallery_conf = {
    "examples_dirs": GALLERIES,
    "gallery_dirs": [f"auto_{name}" for name in GALLERIES],
    "filename_pattern": r"plot_",
    "ignore_pattern": r"^(?!.*plot_).*\.py$",
    "within_subsection_order": SCRIPTS.index,
    "download_all_examples": False,
    "show_signature": False,
    "show_memory": False,
    "capture_repr": (),  # show what a block prints, not what its last line returns
    "min_reported_time": 5,
    "abort_on_example_error": False,
    "only_warn_on_example_error": False,
    "remove_config_comments": True,
}


class Mentioned(XRefRole):
    """A link to the page of a name, if it has one."""

    def process_link(self, env, refnode, has_explicit_title, title, target):
        context = {f"py:{key}": env.ref_context.get(f"py:{key}") for key in ("module", "class")}
        refnode.attributes |= {"refdomain": "py", "reftype": "obj", "mentioned": True, **context}
        return title, re.sub(r"^fb\.", "fastbp.", target)


def without_page(app, env, node, content):
    """Link `fastbp.activations.elu` to the page of `fastbp.elu`; show a name without a page as code."""
    path, _, name = node.get("reftarget", "").rpartition(".")
    if path.startswith("fastbp."):
        python, builder = env.domains["py"], app.builder
        if found := python.resolve_xref(env, node["refdoc"], builder, "obj", f"fastbp.{name}", node, content):
            return found
    return content if node.get("mentioned") else None


# Members without an underscore that the package calls but users do not, by the class that declares them.
INTERNAL = {
    "Described": "arguments label",
    "Registered": "configured",
    "Configured": "configured",
    "ActivationFunction": "label settings",
    "Layer": "arity bind clone decays describe op output_width settings shapes start start_values starting_from tells "
    "why_not_stored",
    "Merge": "aligned",
    "Slice": "columns_of",
    "_InPython": "backward_rows forward_rows tangent",
    "PythonLayer": "gradient_rows",
    "Loss": "outputs_a_target takes_shares targets term",
    "Metric": "add adds_up measure of_sums sums",
    "Optimizer": "by_steps chain_for diverged next_rate rates rules rules_for take_rate",
    "OnPlateau": "see see_logs",
    "Watch": "see",
    "Logger": "write",
    "FileLogger": "add",
    "ServiceLogger": "close open",
    "History": "add chart check restore table",
    "Diagnosis": "chart table",
    "Network": "as_inputs as_sources in_double",
    "AsLayer": "table",
    "Trainer": "go_to mode_of place position state",
    "Steps": "diverged",
}
# Methods that subclasses define; only the page of the base class has them.
HOOKS = {
    "Callback": "on_batch_end on_close on_divergence on_epoch_begin on_epoch_end on_tick on_train_begin on_train_end "
    "restore state",
    "PythonLayer": "backward forward gradients output_width shapes start",
    "Schedule": "at",
}


def internal_of(cls: type) -> set[str]:
    """The members of a class that no user calls."""
    own = HOOKS.get(cls.__name__, "").split()
    listed = (f"{INTERNAL.get(base.__name__, '')} {HOOKS.get(base.__name__, '')}".split() for base in cls.__mro__)
    return {name for names in listed for name in names if name not in own and hasattr(cls, name)}


def classes() -> Iterator[tuple[str, type]]:
    """The public classes by their full names."""
    for name in fb.__all__:
        if name == "river" and find_spec("river") is None:
            continue
        thing = getattr(fb, name)
        members = {f"{name}.{key}": getattr(thing, key) for key in dir(thing)} if inspect.ismodule(thing) else {}
        for key, found in (members | {name: thing}).items():
            if inspect.isclass(found):
                yield f"fastbp.{key}", found


autosummary_context = {"internal": {name: ", ".join(sorted(internal_of(cls))) for name, cls in classes()}}


def left_out(app, what, name, thing, skip, options) -> bool:
    """Whether to leave out a member: also if it is from scikit-learn or Python, whose pages describe it."""
    module = getattr(thing, "__module__", None) or getattr(getattr(thing, "__objclass__", None), "__module__", "")
    return skip or (what == "class" and not str(module).startswith("fastbp") and callable(thing))


def escaped(app, what, name, thing, options, lines: list[str]) -> None:
    """Escape formulas in docstrings, which are no markup: `p *= 1 - lr * decay`, `|d|`; examples stay as they are."""
    example = False
    for k, line in enumerate(lines):
        example = bool(line.strip()) and (example or line.lstrip().startswith(">>>"))
        if example:
            continue
        line = re.sub(r"\.\.\.(?=\s)", "\N{HORIZONTAL ELLIPSIS}", line)  # "..." would end a summary
        lines[k] = re.sub(
            r"(?<!\S)\*(?=[=,])|(?<!\S)\*(?=\s)|(?<![`\w])\|(?=\w[^|]*\|)|(?<=\w)_(?=[\s,.;:)\"]|$)", r"\\\g<0>", line
        )


def setup(app) -> None:
    """Connect the functions above; Sphinx calls it."""
    app.add_role("mentioned", Mentioned())
    app.connect("missing-reference", without_page)
    app.connect("autodoc-process-docstring", escaped, priority=900)  # after numpydoc
    app.connect("autodoc-skip-member", left_out)


html_theme = "pydata_sphinx_theme"
html_title = "fastbp"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
html_theme_options = {
    "logo": {"text": "fastbp"},
    "header_links_before_dropdown": 6,
    "navbar_persistent": [],
    "navbar_end": ["search-button", "theme-switcher"],
    "navigation_with_keys": False,
    "show_prev_next": True,
    "show_toc_level": 2,
    "footer_start": ["copyright"],
    "footer_end": [],
}
html_sidebars = {"index": [], "installation": []}  # these pages have no pages below them
toc_object_entries_show_parents = "hide"
