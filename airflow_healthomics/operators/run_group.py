# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Create and delete HealthOmics run groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_healthomics.creating.run_group import RunGroupResource
from airflow_healthomics.operators.named_base import CreateNamedOperator, DeleteNamedOperator


class HealthOmicsCreateRunGroupOperator(CreateNamedOperator):
    """
    Create a run group, or find the one with the same name. Returns its id.

    Limits and tags of an existing run group are updated to the given ones. An argument that is not given is
    left as it is, and no limit or tag is removed. Of several run groups with the name, the oldest is used.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.create_run_group`

    :param name: name of the run group, 1 to 128 characters (templated)
    :param max_runs: maximum number of runs at a time, 1 to 100,000 (templated)
    :param max_cpus: maximum number of CPUs of all tasks at a time, 1 to 100,000 (templated)
    :param max_gpus: maximum number of GPUs of all tasks at a time, 1 to 100,000 (templated)
    :param max_duration: maximum duration of a run in minutes, 1 to 100,000 (templated)
    :param tags: tags of the run group, at most 50 (templated)
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
    :raises HealthOmicsApiError: if a call is refused
    """

    named_type = RunGroupResource
    typed_template_fields = ("name", "max_runs", "max_cpus", "max_gpus", "max_duration", "tags")
    template_fields: Sequence[str] = aws_template_fields(*typed_template_fields)

    def __init__(
        self,
        *,
        name: str,
        max_runs: int | None = None,
        max_cpus: int | None = None,
        max_gpus: int | None = None,
        max_duration: int | None = None,
        tags: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.max_runs = max_runs
        self.max_cpus = max_cpus
        self.max_gpus = max_gpus
        self.max_duration = max_duration
        self.tags = tags

    def build_request(self) -> Mapping[str, Any]:
        """Return the validated fields of CreateRunGroup."""
        return self.hook.build_run_group_request(
            name=self.name,
            max_runs=self.max_runs,
            max_cpus=self.max_cpus,
            max_gpus=self.max_gpus,
            max_duration=self.max_duration,
            tags=self.tags,
        )


class HealthOmicsDeleteRunGroupOperator(DeleteNamedOperator):
    """
    Delete a run group, by its id or name. Returns its id.

    The task also succeeds if the run group does not exist. HealthOmics refuses to delete one with active
    runs.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.delete_run_group`

    :param run_group_id: id of the run group, 1 to 18 digits (templated)
    :param name: instead of the id, the name of the run group (templated)
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
    :raises HealthOmicsApiError: if a call is refused, for instance because the run group has active runs
    """

    named_type = RunGroupResource
    typed_template_fields = ("run_group_id", "name")
    template_fields: Sequence[str] = aws_template_fields(*typed_template_fields)

    def __init__(self, *, run_group_id: str | None = None, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.run_group_id = run_group_id
        self.name = name
