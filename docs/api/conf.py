"""Sphinx's settings for the API page: `make docs` builds it and fails on every warning."""

import drml

project = "DRML on Caffe"
version = release = drml.__version__
extensions = ["sphinx.ext.autodoc", "numpydoc"]
html_theme = "alabaster"
html_theme_options = {"nosidebar": True, "page_width": "60em", "body_max_width": "60em"}
html_copy_source = False
html_show_sphinx = False

autodoc_typehints = "none"  # numpydoc shows the types that the docstring names
autodoc_member_order = "bysource"
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

# An entry is an error if it has no docstring, or does not describe its parameters and what it returns. The
# public names also need an example, their methods do not: tests/python/test_front_door.py checks that.
numpydoc_validation_checks = {"GL08", "SS01", "PR01", "PR02", "PR03", "PR07", "RT01", "RT03"}
# What scikit-learn's base classes document.
numpydoc_validation_exclude = {r"\.set_\w+_request$", r"\.get_metadata_routing$", r"\.(get|set)_params$"}
