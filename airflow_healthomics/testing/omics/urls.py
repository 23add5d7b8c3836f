# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The addresses of HealthOmics, in the form that moto reads."""

from .responses import OmicsResponse

# Every operation has a host prefix ("workflows-", "control-storage-", ...). No method and path stand for two
# operations, so the prefix says nothing that the path does not. The region is spelled out, since a bucket's
# host ("my-omics.s3.amazonaws.com") must not match.
_PREFIX = r"(?:(?:workflows|control-storage|storage|analytics|tags)-)?"
_REGION = r"[a-z]{2}-[a-z-]+-\d"

url_bases = [rf"https?://{_PREFIX}omics(?:-fips)?\.{_REGION}\.(?:amazonaws\.com|api\.aws)"]

url_paths = {"{0}/.*$": OmicsResponse.dispatch}
