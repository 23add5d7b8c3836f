# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Set up the queue from which watchers receive the ends of runs."""

from __future__ import annotations

import argparse
import os
import sys


def main(arguments: list[str] | None = None) -> int:
    """Set up the queue from which watchers receive the ends of runs."""
    parser = argparse.ArgumentParser(prog="python -m airflow_healthomics.events", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("template", help="print a template for CloudFormation")
    commands.add_parser("terraform", help="print a configuration for Terraform, a .tf.json file")
    check = commands.add_parser("check", help="say what is missing")
    check.add_argument("--queue-url", required=True, help="URL of the queue")
    check.add_argument("--aws-conn-id", help="Airflow connection; by default boto3's default credentials")
    check.add_argument("--region", help="AWS region")
    check.add_argument("--test-event", action="store_true", help="also send an event, and receive it")
    options = parser.parse_args(arguments)
    if options.command == "check":
        return _check(options)
    from airflow_healthomics.events import templates

    is_terraform = options.command == "terraform"
    print(
        templates.terraform_configuration() if is_terraform else templates.cloudformation_template(), end=""
    )
    return 0


def _check(options: argparse.Namespace) -> int:
    from botocore.exceptions import BotoCoreError, ClientError

    from airflow_healthomics.compat import AirflowException
    from airflow_healthomics.events.check import check_queue
    from airflow_healthomics.hooks.omics import HealthOmicsHook

    is_complete = True
    try:
        hook = HealthOmicsHook(aws_conn_id=options.aws_conn_id, region_name=options.region)
        if options.aws_conn_id:
            hook.get_connection(options.aws_conn_id)  # The hook would ignore a missing connection.
        for finding in check_queue(hook, options.queue_url, with_test_event=options.test_event):
            print(f"{'ok     ' if finding.is_ok else 'MISSING'}  {finding.text}")
            is_complete = is_complete and finding.is_ok
    except (AirflowException, BotoCoreError, ClientError) as error:
        print(f"error: {' '.join(str(error).split())}", file=sys.stderr)
        return 1
    return 0 if is_complete else 1


if __name__ == "__main__":
    # Airflow's log lines would mix with the output.
    os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "ERROR")
    sys.exit(main())
