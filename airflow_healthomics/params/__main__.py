# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Print the parameter template of a workflow as Python code for a DAG file."""

from __future__ import annotations

import argparse
import json
import re
import sys
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.hooks.commands import fail, silenced
from airflow_healthomics.params.form import TYPES
from airflow_healthomics.params.template import (
    plain_template,
    template_source,
)
from airflow_healthomics.service.errors import api_error


def main(arguments: list[str] | None = None) -> int:
    """Print the parameter template of a workflow as Python code for a DAG file."""
    parser = argparse.ArgumentParser(
        prog="python -m airflow_healthomics.params.form", description=main.__doc__
    )
    parser.add_argument("workflow_id", type=_workflow_id, help="1 to 18 digits")
    parser.add_argument("--version", metavar="NAME", help="workflow version; by default the default version")
    parser.add_argument("--type", choices=("PRIVATE", "READY2RUN"), help="PRIVATE by default")
    parser.add_argument("--owner-id", help="AWS account id of the owner of a shared workflow")
    parser.add_argument("--aws-conn-id", help="Airflow connection; by default boto3's default credentials")
    parser.add_argument("--region", help="AWS region")
    parser.add_argument("--json", action="store_true", help="print JSON instead, for a file")
    options = parser.parse_args(arguments)
    try:
        workflow = _fetched(options)
    except (BotoCoreError, ClientError) as error:
        return fail(str(api_error("GetWorkflow", f"workflow {options.workflow_id}", error)))
    except AirflowException as error:
        return fail(str(error))
    template = workflow.get("parameterTemplate")
    if not template:
        return fail(f"workflow {options.workflow_id} has no parameter template")
    if options.json:
        print(json.dumps(plain_template(template), indent=2))
        return 0
    name, version = workflow.get("name"), options.version and f"version {options.version}"
    what = " ".join(filter(None, (options.workflow_id, version, name and f"({name})")))
    print(template_source(template, what, TYPES), end="")
    return 0


def _workflow_id(text: str) -> str:
    if not re.fullmatch(r"[0-9]{1,18}", text):
        raise argparse.ArgumentTypeError("must be 1 to 18 digits")
    return text


def _fetched(options: argparse.Namespace) -> dict[str, Any]:
    # Airflow's log lines would mix with the printed code. Errors are raised and reported.
    with silenced():
        # Imported late, since it is slow, and not needed for --help or a wrong argument.
        from airflow_healthomics.hooks.omics import HealthOmicsHook

        hook = HealthOmicsHook(aws_conn_id=options.aws_conn_id, region_name=options.region)
        if options.aws_conn_id:
            hook.get_connection(options.aws_conn_id)  # The hook would ignore a missing connection.
        return hook.get_workflow(
            options.workflow_id,
            version_name=options.version,
            workflow_type=options.type,
            workflow_owner_id=options.owner_id,
        )


if __name__ == "__main__":
    sys.exit(main())
