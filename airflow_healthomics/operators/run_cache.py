# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Create and delete HealthOmics run caches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from airflow.providers.amazon.aws.utils.mixins import aws_template_fields

from airflow_healthomics.creating.run_cache import RunCacheResource
from airflow_healthomics.operators.named_base import CreateNamedOperator, DeleteNamedOperator


class HealthOmicsCreateRunCacheOperator(CreateNamedOperator):
    """
    Create a run cache, or find the one with the same name. Returns its id.

    The description, the behavior and tags of an existing run cache are updated to the given ones; a different
    S3 location is refused, because the API cannot change it. An argument that is not given is left as it is.
    Of several run caches with the name, the oldest is used.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.create_run_cache`

    :param name: name of the run cache, 1 to 128 characters (templated)
    :param cache_s3_location: S3 URI of the cached outputs, like ``s3://bucket/prefix``, in the region of the
        runs (templated)
    :param cache_behavior: ``CACHE_ON_FAILURE``, the default of HealthOmics, or ``CACHE_ALWAYS`` (templated)
    :param description: description, 1 to 256 characters (templated)
    :param cache_bucket_owner_id: AWS account id of the owner of the bucket; by default the account of the
        connection (templated)
    :param tags: tags of the run cache, at most 50 (templated)
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
    :raises HealthOmicsResourceDiffersError: if the run cache with this name has another S3 location or bucket
        owner
    :raises HealthOmicsApiError: if a call is refused
    """

    named_type = RunCacheResource
    typed_template_fields = (
        "name",
        "cache_s3_location",
        "cache_behavior",
        "description",
        "cache_bucket_owner_id",
        "tags",
    )
    template_fields: Sequence[str] = aws_template_fields(*typed_template_fields)

    def __init__(
        self,
        *,
        name: str,
        cache_s3_location: str,
        cache_behavior: Literal["CACHE_ON_FAILURE", "CACHE_ALWAYS"] | None = None,
        description: str | None = None,
        cache_bucket_owner_id: str | None = None,
        tags: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.name = name
        self.cache_s3_location = cache_s3_location
        self.cache_behavior = cache_behavior
        self.description = description
        self.cache_bucket_owner_id = cache_bucket_owner_id
        self.tags = tags

    def build_request(self) -> Mapping[str, Any]:
        """Return the validated fields of CreateRunCache."""
        return self.hook.build_run_cache_request(
            name=self.name,
            cache_s3_location=self.cache_s3_location,
            cache_behavior=self.cache_behavior,
            description=self.description,
            cache_bucket_owner_id=self.cache_bucket_owner_id,
            tags=self.tags,
        )


class HealthOmicsDeleteRunCacheOperator(DeleteNamedOperator):
    """
    Delete a run cache, by its id or name. Returns its id.

    The task also succeeds if the run cache does not exist. HealthOmics refuses to delete one that active runs
    use. The cached outputs in S3 stay.

    .. seealso::
        For more information on how to use this operator, take a look at
        :external+boto3:py:meth:`Omics.Client.delete_run_cache`

    :param cache_id: id of the run cache, 1 to 18 digits (templated)
    :param name: instead of the id, the name of the run cache (templated)
    :param aws_conn_id: Airflow connection for AWS. If it is None or empty, boto3's default credential chain
        is used (templated)
    :param region_name: AWS region; the connection's by default (templated)
    :param verify: whether to verify TLS certificates, or the path of a CA bundle (templated)
    :param botocore_config: configuration of the botocore client
    :raises HealthOmicsRequestError: if an argument breaks a rule; nothing was sent
    :raises HealthOmicsApiError: if a call is refused, for instance because active runs use the run cache
    """

    named_type = RunCacheResource
    typed_template_fields = ("cache_id", "name")
    template_fields: Sequence[str] = aws_template_fields(*typed_template_fields)

    def __init__(self, *, cache_id: str | None = None, name: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cache_id = cache_id
        self.name = name
