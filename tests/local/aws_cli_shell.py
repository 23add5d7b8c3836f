# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Run commands of the AWS CLI in one process, since importing it takes most of the time of a command.

The script reads a JSON list of arguments from each line, and writes its exit code, output and errors. A test
cannot do that in its own process, because the AWS CLI contains its own botocore.
"""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

from awscli.clidriver import create_clidriver


def main() -> None:
    """Run commands until the end of the input."""
    driver = create_clidriver()
    for line in sys.stdin:
        with redirect_stdout(io.StringIO()) as output, redirect_stderr(io.StringIO()) as errors:
            try:
                code = driver.main(json.loads(line))
            except SystemExit as wrong_arguments:
                code = wrong_arguments.code
        print(json.dumps([code, output.getvalue(), errors.getvalue()]), flush=True)


if __name__ == "__main__":
    main()
