# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Links from a task to its run: console, logs and outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, quote_plus

from airflow.providers.amazon.aws.links.base_aws import BASE_AWS_CONSOLE_LINK, BaseAwsLink

from airflow_healthomics.compat import IS_AIRFLOW_2, XCom

if TYPE_CHECKING:
    from airflow_healthomics.compat import BaseOperator, TaskInstanceKey
    from airflow_healthomics.hooks.omics import HealthOmicsHook

#: https://docs.aws.amazon.com/omics/latest/dev/monitoring-cloudwatch-logs.html
LOG_GROUP: Final = "/aws/omics/WorkflowLog"

_LOG_STREAM_FORMAT: Final = (
    BASE_AWS_CONSOLE_LINK
    + "/cloudwatch/home?region={region_name}#logsV2:log-groups/log-group/"
    + quote_plus(LOG_GROUP)
    + "/log-events/"
)


class HealthOmicsLink(BaseAwsLink):
    """
    Base of the links. The XCom under ``xcom_key`` is the URL.

    Airflow 3 renders a link from this XCom alone. It writes the XCom when the task ends or defers, with the
    result of :meth:`get_link`. Airflow 2 calls :meth:`get_link` in its webserver.
    """

    @property
    def xcom_key(self) -> str:
        """XCom key of the URL."""
        return self.key

    def get_link(self, operator: BaseOperator, *, ti_key: TaskInstanceKey) -> str:
        """Return the URL, or an empty string for a task without a run."""
        if IS_AIRFLOW_2:
            return XCom.get_value(key=self.key, ti_key=ti_key) or ""
        urls: Mapping[str, str] = getattr(operator, "link_urls", {})
        return urls.get(self.key, "")


class HealthOmicsRunLink(HealthOmicsLink):
    """The run in the HealthOmics console."""

    name = "HealthOmics Run"
    key = "healthomics_run_link"
    format_str = BASE_AWS_CONSOLE_LINK + "/omics/home?region={region_name}#/runs/{run_id}"


class HealthOmicsRunLogLink(HealthOmicsLink):
    """The run log of the service in CloudWatch."""

    name = "HealthOmics Run Log"
    key = "healthomics_run_log_link"
    format_str = _LOG_STREAM_FORMAT + "run%2F{run_id}"


class HealthOmicsEngineLogLink(HealthOmicsLink):
    """The log of the workflow engine in CloudWatch."""

    name = "HealthOmics Engine Log"
    key = "healthomics_engine_log_link"
    format_str = _LOG_STREAM_FORMAT + "run%2F{run_id}%2Fengine"


class HealthOmicsOutputsLink(HealthOmicsLink):
    """The run's outputs in S3."""

    name = "HealthOmics Outputs"
    key = "healthomics_outputs_link"
    format_str = BASE_AWS_CONSOLE_LINK + "/s3/buckets/{bucket}?region={region_name}&prefix={prefix}"


RUN_LINKS: Final[tuple[HealthOmicsLink, ...]] = (
    HealthOmicsRunLink(),
    HealthOmicsRunLogLink(),
    HealthOmicsEngineLogLink(),
    HealthOmicsOutputsLink(),
)


#: Links of a task that writes files to S3 without a run.
OUTPUTS_LINKS: Final[tuple[HealthOmicsLink, ...]] = (HealthOmicsOutputsLink(),)


def outputs_url(uri: str, region_name: str, partition: str) -> str:
    """
    Return the URL of a folder in the S3 console.

    :param uri: S3 URI of the folder
    :param region_name: region of the run or job
    :param partition: AWS partition, such as ``aws``
    """
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return HealthOmicsOutputsLink().format_link(
        region_name=region_name,
        aws_domain=BaseAwsLink.get_aws_domain(partition) or "aws.amazon.com",
        bucket=bucket,
        prefix=quote(f"{prefix.rstrip('/')}/" if prefix else "", safe=""),
    )


def run_urls(run: Mapping[str, Any], region_name: str, partition: str) -> dict[str, str]:
    """
    Return the URLs of a run by XCom key. The outputs link requires ``runOutputUri``.

    :param run: answer of StartRun or GetRun
    :param region_name: region of the run
    :param partition: AWS partition, such as ``aws``
    """
    values = {
        "region_name": region_name,
        "aws_domain": BaseAwsLink.get_aws_domain(partition) or "aws.amazon.com",
        "run_id": run["id"],
    }
    links = [link for link in RUN_LINKS if not isinstance(link, HealthOmicsOutputsLink)]
    urls = {link.key: link.format_link(**values) for link in links}
    if output_uri := run.get("runOutputUri"):
        urls[HealthOmicsOutputsLink.key] = outputs_url(output_uri, region_name, partition)
    return urls


def console_url(run_id: str, hook: HealthOmicsHook) -> str:
    """Return the URL of a run in the HealthOmics console."""
    return run_urls({"id": run_id}, hook.conn_region_name, hook.conn_partition)[HealthOmicsRunLink.key]


def task_log_url(run_id: str, task_id: str, region_name: str, partition: str) -> str:
    """
    Return the CloudWatch URL of the log of a HealthOmics task.

    :param run_id: HealthOmics run id
    :param task_id: HealthOmics task id
    :param region_name: region of the run
    :param partition: AWS partition, such as ``aws``
    """
    domain = BaseAwsLink.get_aws_domain(partition) or "aws.amazon.com"
    form = _LOG_STREAM_FORMAT + "run%2F{run_id}%2Ftask%2F{task_id}"
    return form.format(region_name=region_name, aws_domain=domain, run_id=run_id, task_id=task_id)


def batch_urls(batch: Mapping[str, Any], region_name: str, partition: str) -> dict[str, str]:
    """
    Return the URLs of a batch, by the XCom keys of the run links: the runs in the console, and their outputs.

    :param batch: answer of GetBatch
    :param region_name: region of the batch
    :param partition: AWS partition, such as ``aws``
    """
    outputs = batch.get("defaultRunSetting", {}).get("outputUri")
    urls = run_urls({"id": "", **({"runOutputUri": outputs} if outputs else {})}, region_name, partition)
    # AWS documents no console page for a batch, so this is the list of runs.
    kept = (HealthOmicsRunLink.key, HealthOmicsOutputsLink.key)
    return {key: url.removesuffix("/") for key, url in urls.items() if key in kept}
