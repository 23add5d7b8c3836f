# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Write the inputs of the pipeline example into the local S3: ``python -m dev.germline``."""

from __future__ import annotations

import os
import sys

import boto3

from dev.germline.inputs import BUCKET, SAMPLE_SHEET, write_inputs


def main() -> int:
    """Create the bucket and write the inputs, but not in AWS itself."""
    endpoint_url = os.environ.get("AWS_ENDPOINT_URL")
    if not endpoint_url:
        print("AWS_ENDPOINT_URL is not set. Set it to the local HealthOmics.", file=sys.stderr)
        return 1
    s3 = boto3.client("s3", endpoint_url=endpoint_url)
    s3.create_bucket(Bucket=BUCKET)
    write_inputs(s3)
    print(f"The sample sheet is s3://{BUCKET}/{SAMPLE_SHEET}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
