"""Sphinx configuration."""

import lazymmu

project = "lazymmu"
author = "The lazymmu developers"
copyright = "2026, the lazymmu developers"
release = lazymmu.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.intersphinx"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "lazymmu"
