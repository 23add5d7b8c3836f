# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The addresses of HealthOmics, in the form that moto reads."""

from .responses import OmicsResponse

# Every operation has a host prefix ("workflows-", "control-storage-", ...). No method and path stand for two
# operations, so the prefix says nothing that the path does not.
url_bases = [r"https?://(?:[a-z-]+-)?omics(?:-fips)?\.(.+)\.(?:amazonaws\.com|api\.aws)"]

url_paths = {"{0}/.*$": OmicsResponse.dispatch}
