"""The documentation site: `make docs` builds it into build/docs."""

import importlib
import re
from types import SimpleNamespace

from sphinx.ext.autodoc.mock import mock

import multisubnet

# The reference has the modules for frameworks, which are not installed here.
FRAMEWORKS = "dask", "jax", "keras", "torch"
with mock(FRAMEWORKS):
    for _name in FRAMEWORKS:
        _framework = importlib.import_module(_name)
        _framework.__version__, _framework.__version_info__ = "9999.0", (9999, 0)
        if _name == "keras":  # a decorator of classes
            _framework.saving = SimpleNamespace(
                register_keras_serializable=lambda package: lambda cls: cls
            )
        importlib.import_module(f"multisubnet.{_name}")

project = "multisubnet"
author = "the developers of multisubnet"
copyright = f"2026, {author}"
version = release = multisubnet.__version__

extensions = ["myst_parser", "numpydoc", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]

# Docstrings. Types stand in their Parameters sections, as NumPy has it, and not in signatures.
default_role = "autolink"
autodoc_typehints = "none"
autosummary_generate = False
toc_object_entries_show_parents = "hide"  # the sidebar has room for a method, not for its class
numpydoc_show_class_members = False
# All checks but those that ask for more sections than there is something to say in, for types and
# an order where parameters are those of another function, and for capitals.
numpydoc_validation_checks = {
    *("all", "ES01", "EX01", "PR03", "PR04", "PR09", "RT01", "RT02", "RT03", "RT04"),
    *("SA01", "SA03", "YD01"),
}
numpydoc_validation_exclude = {
    r"multisubnet\.(dask|jax|torch)\.[a-z]",  # they have the parameters of functions elsewhere
    r"\.Activation$",  # its parameters have names that **kwargs hide
    r"\.testing\.(Problem|DTYPES|LAYOUTS)",  # named tuples and constants say it in a sentence
}

# There is no intersphinx, which would need a network: names of others stand as they are. So do
# attributes, which the docstrings of their classes describe.
nitpick_ignore_regex = [
    ("py:.*", r"(numpy|hypothesis|cupy|dask|jax|keras|torch)\..*"),
]
nitpick_ignore = [
    ("py:obj", name)
    for name in (
        *("activation", "additive", "bias", "derivative", "device", "dtype", "feature_names"),
        *("inputs", "intercept", "layer_sizes", "layers", "multisubnet", "nbytes"),
        *("output_activation", "output_names", "set_names", "sets", "weight"),
    )
]

myst_heading_anchors = 3

html_theme = "pydata_sphinx_theme"
html_title = "multisubnet"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_sidebars = {"changelog": []}  # one page, without others beside it
html_theme_options = {
    "icon_links": [
        {
            "name": "GitHub",
            "url": "https://github.com/multisubnet/multisubnet",
            "icon": "fa-brands fa-github",
        }
    ]
}


def without_last_blank_line(app, page, source):
    """Take away the blank line that ends the output of an example for doctest."""
    source[0] = re.sub(r"\n+```$", "\n```", source[0], flags=re.MULTILINE)


def setup(app):
    """Connect what changes pages."""
    app.connect("source-read", without_last_blank_line)
