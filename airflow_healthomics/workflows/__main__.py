# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Register workflows from a terminal or in CI."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from airflow_healthomics.compat import AirflowException
from airflow_healthomics.hooks.commands import fail, silenced
from airflow_healthomics.service.errors import api_error

_REGISTER = """
Register a workflow version, unless one with the same content is registered already, and wait until it is
ACTIVE. Print workflowId, versionName and isNew as JSON.
"""


def main(arguments: list[str] | None = None) -> int:
    """Register workflows from a terminal or in CI."""
    parser = argparse.ArgumentParser(prog="python -m airflow_healthomics.workflows", description=main.__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    _add_register(commands.add_parser("register", help="register a workflow version", description=_REGISTER))
    options, warnings = parser.parse_args(arguments), _Warnings()
    try:
        registered = _registered(options, warnings)
    except (BotoCoreError, ClientError) as error:
        return fail(str(api_error(getattr(error, "operation_name", "The call"), "the workflow", error)))
    except AirflowException as error:
        return fail(str(error))
    for line in warnings.lines:
        print(f"warning: {line}", file=sys.stderr)
    print(json.dumps(registered))
    return 0


class _Warnings(logging.Handler):
    """Keeps warnings until the streams are no longer silenced."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text of a warning."""
        self.lines.append(record.getMessage())


def _add_register(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", help="folder or zip file, or S3 URI of a zip file")
    which = parser.add_mutually_exclusive_group(required=True)
    which.add_argument("--name", help="name of the workflow to find or create")
    which.add_argument("--workflow-id", help="id of an existing workflow")
    parser.add_argument("--version-name", help="name of the version; by default from the digest")
    parser.add_argument("--git-ref", help="commit, tag or branch of a git checkout")
    parser.add_argument("--archive-s3-uri", help="S3 URI of a prefix for an archive of more than 4.4 MB")
    parser.add_argument("--workflow-bucket-owner-id", help="AWS account id of the owner of the S3 bucket")
    parser.add_argument("--engine", help="WDL, WDL_LENIENT, NEXTFLOW or CWL; detected by default")
    parser.add_argument("--main", help="path of the main definition file; detected by default")
    parser.add_argument("--parameter-template", metavar="FILE", help="JSON file; derived by default")
    parser.add_argument("--accelerators", help="GPU")
    parser.add_argument("--storage-type", help="default of runs: STATIC or DYNAMIC")
    parser.add_argument("--storage-capacity", type=int, help="default of runs in GiB, with STATIC")
    parser.add_argument("--container-registry-map", metavar="FILE", help="JSON file")
    parser.add_argument("--container-registry-map-uri", help="S3 URI of such a file")
    parser.add_argument("--description", help="description of a new version")
    parser.add_argument("--tag", action="append", type=_tag, metavar="KEY=VALUE", help="may be repeated")
    parser.add_argument("--aws-conn-id", help="Airflow connection; by default boto3's default credentials")
    parser.add_argument("--region", help="AWS region")


def _tag(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not key or not separator:
        raise argparse.ArgumentTypeError("must be KEY=VALUE")
    return key, value


def _registered(options: argparse.Namespace, warnings: logging.Handler) -> dict[str, Any]:
    # Errors are raised and reported.
    with silenced():
        # Imported late, since it is slow, and not needed for --help or a wrong argument.
        from airflow_healthomics.hooks.omics import HealthOmicsHook
        from airflow_healthomics.workflows.definition import read_definition
        from airflow_healthomics.workflows.register import register
        from airflow_healthomics.workflows.registry import WorkflowRegistry
        from airflow_healthomics.workflows.request import ARGUMENTS, build_registration

        hook = HealthOmicsHook(aws_conn_id=options.aws_conn_id, region_name=options.region)
        if options.aws_conn_id:
            hook.get_connection(options.aws_conn_id)  # The hook would ignore a missing connection.
        names = ("name", "workflow_id", "version_name", "workflow_bucket_owner_id", "description", *ARGUMENTS)
        registration = build_registration(
            hook.conn.meta.service_model,
            tags=dict(options.tag) if options.tag else None,
            **{name: getattr(options, name) for name in names},
        )
        definition = read_definition(options.source, options.git_ref, hook)
        # A separate logger, since Airflow configures the others.
        log = logging.Logger(__name__, level=logging.WARNING)
        log.addHandler(warnings)
        return register(WorkflowRegistry(hook, log, registration, definition, options.archive_s3_uri))


if __name__ == "__main__":
    sys.exit(main())
