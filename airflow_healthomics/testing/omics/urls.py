# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""URL patterns of HealthOmics for moto."""

from .responses import OmicsResponse

# Every operation has a host prefix ("workflows-", "control-storage-", ...). Method and path identify an
# operation without it. The region has a strict pattern, since the host of a bucket
# ("my-omics.s3.amazonaws.com") must not match.
_PREFIX = r"(?:(?:workflows|control-storage|storage|analytics|tags)-)?"
_REGION = r"[a-z]{2}-[a-z-]+-\d"

url_bases = [rf"https?://{_PREFIX}omics(?:-fips)?\.{_REGION}\.(?:amazonaws\.com|api\.aws)"]

url_paths = {"{0}/.*$": OmicsResponse.dispatch}
