# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
The members of requests that the local HealthOmics implements.

A newer botocore accepts further members. They are refused, because a test with a member that has no effect
shows nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from .exceptions import NotImplementedHereError

#: Members by structure of the service model. A test compares them with the model. These are only validated:
#: ``outputBucketOwnerId``, and of workflows ``containerRegistryMapUri``, ``parameterTemplatePath``,
#: ``readmeMarkdown``, ``readmeUri`` and ``workflowBucketOwnerId``.
IMPLEMENTED: Final[Mapping[str, frozenset[str]]] = {
    structure: frozenset(members.split())
    for structure, members in {
        "AbortMultipartReadSetUploadRequest": "sequenceStoreId uploadId",
        "AcceptShareRequest": "shareId",
        "ActivateReadSetFilter": "createdAfter createdBefore status",
        "BatchDeleteReadSetRequest": "ids sequenceStoreId",
        "BatchRunSettings": "inlineSettings s3UriSettings",
        "CancelRunBatchRequest": "batchId",
        "CancelRunRequest": "id",
        "CompleteMultipartReadSetUploadRequest": "parts sequenceStoreId uploadId",
        "CompleteReadSetUploadPartListItem": "checksum partNumber partSource",
        "ContainerRegistryMap": "imageMappings registryMappings",
        "CreateConfigurationRequest": "description name requestId runConfigurations tags",
        "CreateMultipartReadSetUploadRequest": (
            "clientToken description generatedFrom name referenceArn sampleId sequenceStoreId sourceFileType "
            "subjectId tags"
        ),
        "CreateReferenceStoreRequest": "clientToken description name sseConfig tags",
        "CreateRunCacheRequest": (
            "cacheBehavior cacheBucketOwnerId cacheS3Location description name requestId tags"
        ),
        "CreateRunGroupRequest": "maxCpus maxDuration maxGpus maxRuns name requestId tags",
        "CreateSequenceStoreRequest": (
            "clientToken description eTagAlgorithmFamily fallbackLocation name propagatedSetLevelTags "
            "s3AccessConfig sseConfig tags"
        ),
        "CreateShareRequest": "principalSubscriber resourceArn shareName",
        "CreateWorkflowRequest": (
            "accelerators containerRegistryMap containerRegistryMapUri definitionRepository definitionUri "
            "definitionZip description engine main name parameterTemplate parameterTemplatePath "
            "readmeMarkdown readmePath readmeUri requestId storageCapacity storageType tags "
            "workflowBucketOwnerId"
        ),
        "CreateWorkflowVersionRequest": (
            "accelerators containerRegistryMap containerRegistryMapUri definitionRepository definitionUri "
            "definitionZip description engine main parameterTemplate parameterTemplatePath readmeMarkdown "
            "readmePath readmeUri requestId storageCapacity storageType tags versionName "
            "workflowBucketOwnerId workflowId"
        ),
        "DefaultRunSetting": (
            "cacheBehavior cacheId configurationName engineSettings logLevel name networkingMode "
            "outputBucketOwnerId outputUri parameters priority requesterPaysEnabled retentionMode roleArn "
            "runGroupId runTags scratchStorageMode sessionPolicy storageCapacity storageType workflowId "
            "workflowOwnerId workflowType workflowVersionName"
        ),
        "DefinitionRepository": "connectionArn excludeFilePatterns fullRepositoryId sourceReference",
        "DeleteBatchRequest": "batchId",
        "DeleteConfigurationRequest": "name",
        "DeleteReferenceRequest": "id referenceStoreId",
        "DeleteReferenceStoreRequest": "id",
        "DeleteRunBatchRequest": "batchId",
        "DeleteRunCacheRequest": "id",
        "DeleteRunGroupRequest": "id",
        "DeleteRunRequest": "id",
        "DeleteS3AccessPolicyRequest": "s3AccessPointArn",
        "DeleteSequenceStoreRequest": "id",
        "DeleteShareRequest": "shareId",
        "DeleteWorkflowRequest": "id",
        "DeleteWorkflowVersionRequest": "versionName workflowId",
        "ExportReadSet": "readSetId",
        "ExportReadSetFilter": "createdAfter createdBefore status",
        "Filter": "resourceArns status type",
        "GetBatchRequest": "batchId",
        "GetConfigurationRequest": "name",
        "GetReadSetActivationJobRequest": "id sequenceStoreId",
        "GetReadSetExportJobRequest": "id sequenceStoreId",
        "GetReadSetImportJobRequest": "id sequenceStoreId",
        "GetReadSetMetadataRequest": "id sequenceStoreId",
        "GetReadSetRequest": "file id partNumber sequenceStoreId",
        "GetReferenceImportJobRequest": "id referenceStoreId",
        "GetReferenceMetadataRequest": "id referenceStoreId",
        "GetReferenceRequest": "file id partNumber range referenceStoreId",
        "GetReferenceStoreRequest": "id",
        "GetRunCacheRequest": "id",
        "GetRunGroupRequest": "id",
        "GetRunRequest": "export id",
        "GetRunTaskRequest": "id taskId",
        "GetS3AccessPolicyRequest": "s3AccessPointArn",
        "GetSequenceStoreRequest": "id",
        "GetShareRequest": "shareId",
        "GetWorkflowRequest": "export id type workflowOwnerId",
        "GetWorkflowVersionRequest": "export type versionName workflowId workflowOwnerId",
        "ImageMapping": "destinationImage sourceImage",
        "ImportReadSetFilter": "createdAfter createdBefore status",
        "ImportReferenceFilter": "createdAfter createdBefore status",
        "InlineSetting": (
            "engineSettings name outputBucketOwnerId outputUri parameters priority runSettingId runTags"
        ),
        "ListBatchRequest": "maxItems name runGroupId startingToken status",
        "ListConfigurationsRequest": "maxResults startingToken",
        "ListMultipartReadSetUploadsRequest": "maxResults nextToken sequenceStoreId",
        "ListReadSetActivationJobsRequest": "filter maxResults nextToken sequenceStoreId",
        "ListReadSetExportJobsRequest": "filter maxResults nextToken sequenceStoreId",
        "ListReadSetImportJobsRequest": "filter maxResults nextToken sequenceStoreId",
        "ListReadSetUploadPartsRequest": "filter maxResults nextToken partSource sequenceStoreId uploadId",
        "ListReadSetsRequest": "filter maxResults nextToken sequenceStoreId",
        "ListReferenceImportJobsRequest": "filter maxResults nextToken referenceStoreId",
        "ListReferenceStoresRequest": "filter maxResults nextToken",
        "ListReferencesRequest": "filter maxResults nextToken referenceStoreId",
        "ListRunCachesRequest": "maxResults startingToken",
        "ListRunGroupsRequest": "maxResults name startingToken",
        "ListRunTasksRequest": "id maxResults startingToken status",
        "ListRunsInBatchRequest": "batchId maxItems runId runSettingId startingToken submissionStatus",
        "ListRunsRequest": "batchId maxResults name runGroupId startingToken status",
        "ListSequenceStoresRequest": "filter maxResults nextToken",
        "ListSharesRequest": "filter maxResults nextToken resourceOwner",
        "ListTagsForResourceRequest": "resourceArn",
        "ListWorkflowVersionsRequest": "maxResults startingToken type workflowId workflowOwnerId",
        "ListWorkflowsRequest": "maxResults name startingToken type",
        "PutS3AccessPolicyRequest": "s3AccessPointArn s3AccessPolicy",
        "ReadSetFilter": (
            "createdAfter createdBefore creationType generatedFrom name referenceArn sampleId status "
            "subjectId"
        ),
        "ReadSetUploadPartListFilter": "createdAfter createdBefore",
        "ReferenceFilter": "createdAfter createdBefore md5 name",
        "ReferenceStoreFilter": "createdAfter createdBefore name",
        "RegistryMapping": (
            "credentialArn ecrAccountId ecrRepositoryPrefix upstreamRegistryUrl upstreamRepositoryPrefix"
        ),
        "RunConfigurations": "vpcConfig",
        "S3AccessConfig": "accessLogLocation",
        "SequenceStoreFilter": "createdAfter createdBefore name status updatedAfter updatedBefore",
        "SourceFiles": "source1 source2",
        "SourceReference": "type value",
        "SseConfig": "keyArn type",
        "StartReadSetActivationJobRequest": "clientToken sequenceStoreId sources",
        "StartReadSetActivationJobSourceItem": "readSetId",
        "StartReadSetExportJobRequest": "clientToken destination roleArn sequenceStoreId sources",
        "StartReadSetImportJobRequest": "clientToken roleArn sequenceStoreId sources",
        "StartReadSetImportJobSourceItem": (
            "description generatedFrom name referenceArn sampleId sourceFileType sourceFiles subjectId tags"
        ),
        "StartReferenceImportJobRequest": "clientToken referenceStoreId roleArn sources",
        "StartReferenceImportJobSourceItem": "description name sourceFile tags",
        "StartRunBatchRequest": "batchName batchRunSettings defaultRunSetting requestId tags",
        "StartRunRequest": (
            "cacheBehavior cacheId configurationName engineSettings logLevel name networkingMode outputUri "
            "outputUriPrefixMode parameters parametersUri priority requestId requesterPaysEnabled "
            "retentionMode roleArn runGroupId runId scratchStorageMode sessionPolicy storageCapacity "
            "storageType tags workflowId workflowOwnerId workflowType workflowVersionName"
        ),
        "TagResourceRequest": "resourceArn tags",
        "UntagResourceRequest": "resourceArn tagKeys",
        "UpdateRunCacheRequest": "cacheBehavior description id name",
        "UpdateRunGroupRequest": "id maxCpus maxDuration maxGpus maxRuns name",
        "UpdateSequenceStoreRequest": (
            "clientToken description fallbackLocation id name propagatedSetLevelTags s3AccessConfig"
        ),
        "UpdateWorkflowRequest": "description id name readmeMarkdown storageCapacity storageType",
        "UpdateWorkflowVersionRequest": (
            "description readmeMarkdown storageCapacity storageType versionName workflowId"
        ),
        "UploadReadSetPartRequest": "partNumber partSource payload sequenceStoreId uploadId",
        "VpcConfig": "securityGroupIds subnetIds vpcOwnerAccountId",
        "WorkflowParameter": "description optional",
    }.items()
}


def refuse_not_implemented(shape: Any, request: Mapping[str, Any]) -> None:
    """
    Refuse a valid request with members that the local HealthOmics does not implement.

    :raises NotImplementedHereError: with their names.
    """
    if names := list(not_implemented(shape, request)):
        raise NotImplementedHereError(
            f"{', '.join(names)} of {shape.name} is not implemented by the local HealthOmics"
        )


def not_implemented(shape: Any, value: Any, path: str = "") -> Iterator[str]:
    """
    Yield the path of each member that the local HealthOmics does not implement.

    :param shape: A botocore shape.
    :param value: A value that is valid for the shape.
    """
    if shape.type_name == "list":
        for index, item in enumerate(value):
            yield from not_implemented(shape.member, item, f"{path}[{index}]")
    elif shape.type_name == "map":
        for key, item in value.items():
            yield from not_implemented(shape.value, item, f"{path}.{key}")
    elif shape.type_name == "structure" and not getattr(shape, "is_document_type", False):
        known = IMPLEMENTED.get(shape.name, frozenset())
        for name, item in value.items():
            below = f"{path}.{name}" if path else name
            if name not in known:
                yield below
            elif item is not None:
                yield from not_implemented(shape.members[name], item, below)
