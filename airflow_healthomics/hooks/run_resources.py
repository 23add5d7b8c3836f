# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The hook's methods for run groups, run caches and configurations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from airflow_healthomics.hooks.base import ConnectedHook, without_metadata
from airflow_healthomics.requests.creation import build_configuration_request, build_create_request


class RunResourcesHook(ConnectedHook):
    """Methods for the run groups, run caches and configurations that runs use."""

    # --- run groups ---

    def build_run_group_request(self, **arguments: Any) -> dict[str, Any]:
        """
        Return the validated request of :meth:`create_run_group`.

        :param arguments: as for :meth:`create_run_group`
        :raises HealthOmicsRequestError: if an argument breaks a rule
        """
        shape = self._input_shape("CreateRunGroup")
        return build_create_request("CreateRunGroup", arguments, shape)

    def create_run_group(self, **arguments: Any) -> dict[str, Any]:
        """
        Create a run group. Names are not unique.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.create_run_group`

        :param arguments: CreateRunGroup fields in snake case: ``name``, ``max_runs``, ``max_cpus``,
            ``max_gpus``, ``max_duration`` (minutes), ``tags`` and ``request_id``
        :return: ``id``, ``arn`` and ``tags``
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        return without_metadata(self.conn.create_run_group(**self.build_run_group_request(**arguments)))

    def get_run_group(self, run_group_id: str) -> dict[str, Any]:
        """
        Describe a run group.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_run_group`

        :param run_group_id: HealthOmics run group id
        """
        return without_metadata(self.conn.get_run_group(id=run_group_id))

    def list_run_groups(self, *, name: str | None = None, page_size: int = 100) -> Iterator[dict[str, Any]]:
        """
        Iterate over the run groups of the account and region, page by page.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListRunGroups`

        :param name: name of the run groups; AWS does not document how it is compared
        :param page_size: run groups per call, 1 to 100
        :return: items of ListRunGroups, without ``tags``
        """
        return self._items("list_run_groups", page_size, {"name": name})

    def update_run_group(self, run_group_id: str, **arguments: Any) -> None:
        """
        Change limits or the name of a run group. Other limits stay; none can be removed.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.update_run_group`

        :param run_group_id: HealthOmics run group id
        :param arguments: UpdateRunGroup fields in snake case, as for :meth:`create_run_group`
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        shape = self._input_shape("UpdateRunGroup")
        fields = build_create_request("UpdateRunGroup", arguments, shape)
        self.conn.update_run_group(id=run_group_id, **fields)

    def delete_run_group(self, run_group_id: str) -> None:
        """
        Delete a run group without active runs.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.delete_run_group`

        :param run_group_id: HealthOmics run group id
        """
        self.conn.delete_run_group(id=run_group_id)

    # --- run caches ---

    def build_run_cache_request(self, **arguments: Any) -> dict[str, Any]:
        """
        Return the validated request of :meth:`create_run_cache`.

        :param arguments: as for :meth:`create_run_cache`
        :raises HealthOmicsRequestError: if an argument breaks a rule
        """
        shape = self._input_shape("CreateRunCache")
        return build_create_request("CreateRunCache", arguments, shape, ("cache_s3_location",))

    def create_run_cache(self, **arguments: Any) -> dict[str, Any]:
        """
        Create a run cache. Names are not unique.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.create_run_cache`

        :param arguments: CreateRunCache fields in snake case: ``cache_s3_location`` (required), ``name``,
            ``description``, ``cache_behavior``, ``cache_bucket_owner_id``, ``tags`` and ``request_id``
        :return: ``id``, ``arn``, ``status`` and ``tags``
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        return without_metadata(self.conn.create_run_cache(**self.build_run_cache_request(**arguments)))

    def get_run_cache(self, cache_id: str) -> dict[str, Any]:
        """
        Describe a run cache.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_run_cache`

        :param cache_id: HealthOmics run cache id
        """
        return without_metadata(self.conn.get_run_cache(id=cache_id))

    def list_run_caches(self, *, page_size: int = 100) -> Iterator[dict[str, Any]]:
        """
        Iterate over the run caches of the account and region, page by page.

        .. seealso::
            - :external+boto3:py:class:`Omics.Paginator.ListRunCaches`

        :param page_size: run caches per call, 1 to 100
        :return: items of ListRunCaches, without ``tags`` and ``description``
        """
        return self._items("list_run_caches", page_size, {})

    def update_run_cache(self, cache_id: str, **arguments: Any) -> None:
        """
        Change the name, the description or the behavior of a run cache.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.update_run_cache`

        :param cache_id: HealthOmics run cache id
        :param arguments: UpdateRunCache fields in snake case: ``name``, ``description``, ``cache_behavior``
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        shape = self._input_shape("UpdateRunCache")
        self.conn.update_run_cache(id=cache_id, **build_create_request("UpdateRunCache", arguments, shape))

    def delete_run_cache(self, cache_id: str) -> None:
        """
        Delete a run cache that no active run uses. The cached data in S3 stays.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.delete_run_cache`

        :param cache_id: HealthOmics run cache id
        """
        self.conn.delete_run_cache(id=cache_id)

    # --- configurations ---

    def build_configuration_request(self, **arguments: Any) -> dict[str, Any]:
        """
        Return the validated request of :meth:`create_configuration`.

        :param arguments: as for :meth:`create_configuration`
        :raises HealthOmicsRequestError: if an argument breaks a rule
        """
        shape = self._input_shape("CreateConfiguration")
        return build_configuration_request(arguments, shape)

    def create_configuration(self, **arguments: Any) -> dict[str, Any]:
        """
        Create a configuration, which lets runs reach a VPC. It becomes ACTIVE in up to 15 minutes.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.create_configuration`

        :param arguments: ``name`` (unique), ``subnet_ids``, ``security_group_ids``,
            ``vpc_owner_account_id``, ``description``, ``tags`` and ``request_id``
        :return: ``name``, ``arn``, ``uuid``, ``status`` and more
        :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
        """
        return without_metadata(
            self.conn.create_configuration(**self.build_configuration_request(**arguments))
        )

    def get_configuration(self, name: str) -> dict[str, Any]:
        """
        Describe a configuration.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.get_configuration`

        :param name: name of the configuration
        """
        return without_metadata(self.conn.get_configuration(name=name))

    def delete_configuration(self, name: str) -> None:
        """
        Delete a configuration that no active run uses.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.delete_configuration`

        :param name: name of the configuration
        """
        self.conn.delete_configuration(name=name)

    # --- all ---

    def tag_resource(self, arn: str, tags: Mapping[str, str]) -> None:
        """
        Add tags to a resource, or change their values.

        .. seealso::
            - :external+boto3:py:meth:`Omics.Client.tag_resource`

        :param arn: ARN of the resource
        :param tags: values by key
        """
        self.conn.tag_resource(resourceArn=arn, tags=dict(tags))
