# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Configuration of the documentation site; ``make docs`` builds it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

DOCS = Path(__file__).parent
BUILD = DOCS.parent / "build"

# The second is for the results of benchmarks/.
sys.path[:0] = [str(DOCS / "_ext"), str(DOCS.parent)]

# Importing Airflow writes a configuration file, and its warnings are none of this site.
os.environ["AIRFLOW_HOME"] = str(BUILD / "docs-airflow")
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")
os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")

from boto3_inventory import BOTO3_URL, write_inventory  # noqa: E402 - after the path

from airflow_healthomics import __version__  # noqa: E402 - after the environment

project = "airflow-healthomics"
author = "The airflow-healthomics authors"
copyright = author
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "myst_parser",
    "generated_parts",
    "measured",
    "log_lines",
    "references",
]
exclude_patterns = ["_ext", "_static"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_class_signature = "mixed"
autodoc_inherit_docstrings = False
autoclass_content = "class"
python_maximum_signature_line_length = 90

# Nothing is fetched while the site is built: the names come from the installed botocore. Other references to
# code outside this package become plain text (docs/_ext/references.py).
intersphinx_mapping = {"boto3": (BOTO3_URL, str(write_inventory(BUILD / "docs-inventories" / "boto3.inv")))}
intersphinx_disabled_reftypes = ["*"]  # only by the role that names the inventory

html_theme = "furo"
html_title = "AWS HealthOmics for Apache Airflow"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "source_repository": "https://github.com/airflow-healthomics/airflow-provider-healthomics/",
    "source_branch": "main",
    "source_directory": "docs/",
}
