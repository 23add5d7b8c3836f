# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Every operation of the local HealthOmics, called by the AWS CLI.

The scenario is in transcripts. Their lines are commands without ``aws omics``; an indented line continues the
line before. ``name = command`` keeps the answer for later lines as ``$name``. ``=>`` is followed by the
expected answer, and ``!!`` by the expected error; every other command must succeed.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from string import Template
from typing import Any, Final

import pytest
from botocore import xform_name

from airflow_healthomics.testing import HealthOmicsServer

from .archives import archive
from .conftest import ROLE, aws
from .test_aws_cli import environment, pytestmark  # noqa: F401 - pytest finds the mark by its name
from .test_operations import IMPLEMENTED

SHELL: Final = Path(__file__).with_name("aws_cli_shell.py")
SUBSCRIBER: Final = "222222222222"
LINE: Final = re.compile(r"(?:(\w+) = )?(.+?)(?: => (.+)| !! (\w+))?")

GENOME: Final = b">chr1\nACGTACGT\n"
READS: Final = b"@r1\nACGT\n+\nFFFF\n"
WDL: Final = "version 1.0\nworkflow align { input { File reads } }\n"


def commands(transcript: str) -> list[str]:
    """Return the lines of a transcript, each with its continuation."""
    return [line for line in re.sub(r"\n +", " ", transcript).splitlines() if line]


class Shell:
    """
    Runs transcripts.

    :param environ: environment of the AWS CLI
    :ivar names: values of the names in transcripts
    """

    def __init__(self, environ: dict[str, str], names: dict[str, Any]) -> None:
        self.names = names
        self._process = subprocess.Popen(
            [sys.executable, "-P", SHELL],
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, transcript: str) -> None:
        """Run the commands, and check their answers."""
        for line in commands(transcript):
            matched = LINE.fullmatch(line)
            assert matched
            name, command, expected, error = matched.groups()
            code, output, errors = self._call(shlex.split(self._filled(command)))
            assert (code == 0) == (error is None), f"{line}: {errors}"
            assert error is None or f"({error})" in errors, f"{line}: {errors}"
            answer = json.loads(output) if output.strip() else None
            assert expected is None or answer == json.loads(self._filled(expected)), line
            if name:
                self.names[name] = answer

    def _filled(self, text: str) -> str:
        return Template(text).substitute(self.names)

    def _call(self, arguments: list[str]) -> tuple[int, str, str]:
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps(["omics", *arguments]), file=self._process.stdin, flush=True)
        code, output, errors = json.loads(self._process.stdout.readline())
        return code, output, errors

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[HealthOmicsServer]:
    """A strict server with files in its S3, and the environment variables for clients."""
    with HealthOmicsServer(strict=True, manual=True, storage_part_bytes=8) as local:
        for name, value in local.environ.items():
            monkeypatch.setenv(name, value)
        s3 = aws("s3")
        for bucket in ("inputs", "outputs"):
            s3.create_bucket(Bucket=bucket)
        s3.put_object(Bucket="inputs", Key="hg38.fa", Body=GENOME)
        s3.put_object(Bucket="inputs", Key="a.bam", Body=READS)
        yield local


@pytest.fixture
def open_shell(server: HealthOmicsServer, tmp_path: Path) -> Iterator[Callable[..., Shell]]:
    """Return a function that opens a shell with further environment variables, and the same names."""
    names: dict[str, Any] = {"home": tmp_path, "role": ROLE, "subscriber": SUBSCRIBER}
    shells: list[Shell] = []

    def opened(**more: str) -> Shell:
        shells.append(Shell(environment(server, tmp_path) | more, names))
        return shells[-1]

    yield opened
    for shell in shells:
        shell.close()


WORKFLOWS = """
workflow = create-workflow --name align --definition-zip fileb://$home/align.zip --tags team=lab --query id
list-workflows --name align --query items[].[id,status] => [["$workflow", "ACTIVE"]]
update-workflow --id $workflow --description 'Aligns reads'
get-workflow --id $workflow --query [name,description,engine,main,tags]
    => ["align", "Aligns reads", "WDL", "main.wdl", {"team": "lab"}]
get-workflow --id $workflow --query keys(parameterTemplate) => ["reads"]
create-workflow-version --workflow-id $workflow --version-name v1 --definition-zip fileb://$home/align.zip
    --query [workflowId,versionName] => ["$workflow", "v1"]
update-workflow-version --workflow-id $workflow --version-name v1 --description 'First version'
get-workflow-version --workflow-id $workflow --version-name v1 --query [description,status]
    => ["First version", "ACTIVE"]
list-workflow-versions --workflow-id $workflow --query items[].versionName => ["v1"]
"""

SETTINGS = """
group = create-run-group --name cohort --max-runs 5 --max-cpus 64 --max-gpus 1 --max-duration 600 --query id
update-run-group --id $group --max-cpus 96
get-run-group --id $group --query [name,maxRuns,maxCpus,maxGpus,maxDuration] => ["cohort", 5, 96, 1, 600]
list-run-groups --name cohort --query items[].id => ["$group"]
cache = create-run-cache --name tasks --cache-s3-location s3://outputs/cache --query id
update-run-cache --id $cache --cache-behavior CACHE_ALWAYS
get-run-cache --id $cache --query [name,cacheBehavior,status] => ["tasks", "CACHE_ALWAYS", "ACTIVE"]
list-run-caches --query items[].id => ["$cache"]
create-configuration --name private
    --run-configurations 'vpcConfig={securityGroupIds=[sg-1],subnetIds=[subnet-1]}' --query name => "private"
get-configuration --name private --query [status,runConfigurations.vpcConfig.subnetIds]
    => ["ACTIVE", ["subnet-1"]]
list-configurations --query items[].name => ["private"]
"""

RUNS = """
run = start-run --workflow-id $workflow --workflow-version-name v1 --name sample --role-arn $role
    --output-uri s3://outputs/runs --parameters '{"reads": "s3://inputs/a.bam"}' --run-group-id $group
    --priority 3 --cache-id $cache --cache-behavior CACHE_ON_FAILURE --networking-mode VPC
    --configuration-name private --retention-mode REMOVE --storage-type STATIC --storage-capacity 1200
    --log-level ALL --tags sample=1 --query id
list-runs --name sample --status PENDING --query items[].id => ["$run"]
get-run --id $run --query [workflowId,workflowVersionName,parameters,runGroupId,priority,cacheId]
    => ["$workflow", "v1", {"reads": "s3://inputs/a.bam"}, "$group", 3, "$cache"]
get-run --id $run --query [cacheBehavior,configuration.name,retentionMode,logLevel]
    => ["CACHE_ON_FAILURE", "private", "REMOVE", "ALL"]
get-run --id $run --query [storageType,storageCapacity,tags] => ["STATIC", 1200, {"sample": "1"}]
second = start-run --run-id $run --role-arn $role --output-uri s3://outputs/runs --query id
get-run --id $second --query [runId,name,tags] => ["$run", "sample", {}]
cancel-run --id $second
get-run --id $second --query status => "STOPPING"
delete-run --id $run !! ConflictException
start-run --run-id $run --role-arn $role --output-uri s3://outputs --storage-type BIG !! ValidationException
"""

RUNNING = """
task = list-run-tasks --id $run --status RUNNING --query items[0].taskId
get-run-task --id $run --task-id $task --query [taskId,status] => ["$task", "RUNNING"]
delete-run-group --id $group !! ConflictException
"""

ENDED = """
wait run-completed --id $run
list-runs --status COMPLETED --query items[].id => ["$run"]
list-runs --run-group-id $group --page-size 1 --query items[].status => ["COMPLETED", "CANCELLED"]
arn = get-run --id $run --query arn
tag-resource --resource-arn $arn --tags team=lab
untag-resource --resource-arn $arn --tag-keys sample
list-tags-for-resource --resource-arn $arn => {"tags": {"team": "lab"}}
delete-run --id $second
get-run --id $second !! ResourceNotFoundException
"""

BATCH = """
batch = start-run-batch --batch-name cohort --batch-run-settings
    '{"inlineSettings": [{"runSettingId": "A", "name": "a"}, {"runSettingId": "B"}, {"runSettingId": "C"}]}'
    --default-run-setting '{"workflowId": "$workflow", "roleArn": "$role", "outputUri": "s3://outputs",
    "parameters": {"reads": "s3://inputs/a.bam"}}' --query id
get-batch --batch-id $batch --query [name,status] => ["cohort", "CREATING"]
"""

BATCH_IN_PROGRESS = """
list-batch --status INPROGRESS --query items[].[id,totalRuns] => [["$batch", 3]]
list-runs-in-batch --batch-id $batch --page-size 2 --query runs[].runSettingId => ["A", "B", "C"]
list-runs --batch-id $batch --name a --query length(items) => 1
cancel-run-batch --batch-id $batch
get-batch --batch-id $batch --query status => "STOPPING"
delete-batch --batch-id $batch !! ConflictException
"""

BATCH_CANCELLED = """
get-batch --batch-id $batch --query [status,runSummary.cancelledRunCount] => ["CANCELLED", 3]
delete-run-batch --batch-id $batch
"""

BATCH_WITHOUT_RUNS = """
list-runs --batch-id $batch --query length(items) => 0
delete-batch --batch-id $batch
get-batch --batch-id $batch !! ResourceNotFoundException
"""

OFFER = """
arn = get-workflow --id $workflow --query arn
share = create-share --resource-arn $arn --principal-subscriber $subscriber --share-name lab --query shareId
list-shares --resource-owner SELF --query shares[].shareName => ["lab"]
accept-share --share-id $share !! ResourceNotFoundException
"""

ACCEPTANCE = """
get-workflow --id $workflow --workflow-owner-id 123456789012 !! ResourceNotFoundException
list-shares --resource-owner OTHER --filter status=PENDING --query shares[].shareId => ["$share"]
accept-share --share-id $share => {"status": "ACTIVATING"}
get-share --share-id $share --query share.[status,resourceId] => ["ACTIVE", "$workflow"]
get-workflow --id $workflow --workflow-owner-id 123456789012 --query name => "align"
"""

CLEANUP = """
delete-share --share-id $share => {"status": "DELETING"}
delete-run --id $run
delete-run-group --id $group
delete-run-cache --id $cache
delete-configuration --name private
delete-workflow --id $workflow !! ConflictException
delete-workflow-version --workflow-id $workflow --version-name v1
delete-workflow --id $workflow
list-runs => {"items": []}
list-workflows --type PRIVATE => {"items": []}
list-run-groups => {"items": []}
list-run-caches => {"items": []}
list-configurations => {"items": []}
list-shares --resource-owner SELF => {"shares": []}
list-variant-stores !! AccessDeniedException
"""


def test_from_a_workflow_to_its_runs(server: HealthOmicsServer, open_shell: Callable[..., Shell]) -> None:
    """Register a workflow, run it alone and in a batch with all kinds of settings, share it and clean up."""
    shell, control = open_shell(), server.control
    Path(shell.names["home"], "align.zip").write_bytes(archive(main_wdl=WDL))
    shell.run(WORKFLOWS + SETTINGS + RUNS)
    run_id, second_id = shell.names["run"], shell.names["second"]
    control.advance("RUNNING", run_id=run_id)
    shell.run(RUNNING)
    control.advance("COMPLETED", run_id=run_id)
    control.advance("CANCELLED", run_id=second_id)
    shell.run(ENDED + BATCH)
    control.advance_batch("INPROGRESS")
    shell.run(BATCH_IN_PROGRESS)
    control.advance_batch("CANCELLED")
    shell.run(BATCH_CANCELLED)
    control.advance_batch("RUNS_DELETED")
    shell.run(BATCH_WITHOUT_RUNS + OFFER)
    open_shell(**credentials(SUBSCRIBER)).run(ACCEPTANCE)
    shell.run(CLEANUP)


def credentials(account: str) -> dict[str, str]:
    """Return the environment variables of another account."""
    role = f"arn:aws:iam::{account}:role/other"
    given = aws("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return {
        "AWS_ACCESS_KEY_ID": given["AccessKeyId"],
        "AWS_SECRET_ACCESS_KEY": given["SecretAccessKey"],
        "AWS_SESSION_TOKEN": given["SessionToken"],
    }


REFERENCES = """
genomes = create-reference-store --name genomes --query id
get-reference-store --id $genomes --query name => "genomes"
list-reference-stores --query referenceStores[].id => ["$genomes"]
job = start-reference-import-job --reference-store-id $genomes --role-arn $role
    --sources 'sourceFile=s3://inputs/hg38.fa,name=hg38,tags={build=38}' --query id
list-reference-import-jobs --reference-store-id $genomes --query importJobs[].status => ["SUBMITTED"]
"""

IMPORTED_REFERENCE = """
wait reference-import-job-completed --reference-store-id $genomes --id $job
reference = get-reference-import-job --reference-store-id $genomes --id $job --query sources[0].referenceId
list-references --reference-store-id $genomes --filter name=hg38 --query references[].id => ["$reference"]
reference_arn = get-reference-metadata --reference-store-id $genomes --id $reference --query arn
list-tags-for-resource --resource-arn $reference_arn => {"tags": {"build": "38"}}
get-reference --reference-store-id $genomes --id $reference --part-number 2 $home/part
get-reference --reference-store-id $genomes --id $reference --part-number 2 --range 1-3 $home/range
"""

READ_SETS = """
reads = create-sequence-store --name reads --query id
update-sequence-store --id $reads --description Cohort --query name => "reads"
get-sequence-store --id $reads --query [description,status] => ["Cohort", "ACTIVE"]
list-sequence-stores --query sequenceStores[].id => ["$reads"]
job = start-read-set-import-job --sequence-store-id $reads --role-arn $role --sources
    '[{"sourceFiles": {"source1": "s3://inputs/a.bam"}, "sourceFileType": "BAM", "name": "HG1",
    "subjectId": "subject", "sampleId": "one", "referenceArn": "$reference_arn"},
    {"sourceFiles": {"source1": "s3://inputs/b.bam"}, "sourceFileType": "BAM", "name": "HG2",
    "subjectId": "subject", "sampleId": "two", "referenceArn": "$reference_arn"}]' --query id
list-read-set-import-jobs --sequence-store-id $reads --query importJobs[].id => ["$job"]
"""

IMPORTED_READ_SETS = """
get-read-set-import-job --sequence-store-id $reads --id $job --query [status,sources[1].statusMessage]
    => ["COMPLETED_WITH_FAILURES", "The source file does not exist."]
set = list-read-sets --sequence-store-id $reads --filter sampleId=one --query readSets[0].id
get-read-set --sequence-store-id $reads --id $set --part-number 1 $home/reads
delete-reference --reference-store-id $genomes --id $reference !! ConflictException
job = start-read-set-export-job --sequence-store-id $reads --role-arn $role
    --destination s3://outputs/sets/ --sources readSetId=$set --query id
list-read-set-export-jobs --sequence-store-id $reads --query exportJobs[].id => ["$job"]
"""

ARCHIVED_READ_SETS = """
get-read-set-export-job --sequence-store-id $reads --id $job --query status => "COMPLETED"
get-read-set --sequence-store-id $reads --id $set --part-number 1 $home/reads !! ConflictException
job = start-read-set-activation-job --sequence-store-id $reads --sources readSetId=$set --query id
list-read-set-activation-jobs --sequence-store-id $reads --query activationJobs[].id => ["$job"]
get-read-set-metadata --sequence-store-id $reads --id $set --query status => "ARCHIVED"
"""

UPLOADS = """
get-read-set-activation-job --sequence-store-id $reads --id $job --query [status,sources[0].status]
    => ["COMPLETED", "FINISHED"]
get-read-set-metadata --sequence-store-id $reads --id $set --query [name,status] => ["HG1", "ACTIVE"]
upload = create-multipart-read-set-upload --sequence-store-id $reads --name HG3 --source-file-type FASTQ
    --subject-id subject --sample-id three --query uploadId
first = upload-read-set-part --sequence-store-id $reads --upload-id $upload --part-source SOURCE1
    --part-number 1 --payload $home/first --query checksum
second = upload-read-set-part --sequence-store-id $reads --upload-id $upload --part-source SOURCE1
    --part-number 2 --payload $home/second --query checksum
list-multipart-read-set-uploads --sequence-store-id $reads --query uploads[].name => ["HG3"]
list-read-set-upload-parts --sequence-store-id $reads --upload-id $upload --part-source SOURCE1 --page-size 1
    --query parts[].[partSize,checksum] => [[10, "$first"], [6, "$second"]]
uploaded = complete-multipart-read-set-upload --sequence-store-id $reads --upload-id $upload --parts
    partSource=SOURCE1,partNumber=1,checksum=$first partSource=SOURCE1,partNumber=2,checksum=$second
    --query readSetId
get-read-set-metadata --sequence-store-id $reads --id $uploaded
    --query [name,status,files.source1.contentLength] => ["HG3", "ACTIVE", 16]
upload = create-multipart-read-set-upload --sequence-store-id $reads --name HG4 --source-file-type FASTQ
    --subject-id subject --sample-id four --query uploadId
abort-multipart-read-set-upload --sequence-store-id $reads --upload-id $upload
list-multipart-read-set-uploads --sequence-store-id $reads => {"uploads": []}
"""

POLICY_AND_CLEANUP = """
access_point = get-sequence-store --id $reads --query s3Access.s3AccessPointArn
put-s3-access-policy --s3-access-point-arn $access_point --s3-access-policy '{"Statement": []}'
    --query storeId => "$reads"
get-s3-access-policy --s3-access-point-arn $access_point --query s3AccessPolicy => "{\\"Statement\\": []}"
delete-s3-access-policy --s3-access-point-arn $access_point
get-s3-access-policy --s3-access-point-arn $access_point !! ResourceNotFoundException
delete-sequence-store --id $reads !! ConflictException
batch-delete-read-set --sequence-store-id $reads --ids $set $uploaded
list-read-sets --sequence-store-id $reads => {"readSets": []}
delete-sequence-store --id $reads
list-sequence-stores => {"sequenceStores": []}
delete-reference --reference-store-id $genomes --id $reference
delete-reference-store --id $genomes
list-reference-stores => {"referenceStores": []}
"""


def test_from_files_to_stores_and_back(server: HealthOmicsServer, open_shell: Callable[..., Shell]) -> None:
    """Import a reference and reads, download, export, archive, activate and upload reads, and clean up."""
    shell, control = open_shell(), server.control
    home = Path(shell.names["home"])
    shell.run(REFERENCES)
    control.advance_job("COMPLETED")
    shell.run(IMPORTED_REFERENCE)
    assert (home / "part").read_bytes() == GENOME[8:]
    assert (home / "range").read_bytes() == GENOME[9:12]
    shell.run(READ_SETS)
    control.advance_job("COMPLETED")
    shell.run(IMPORTED_READ_SETS)
    assert (home / "reads").read_bytes() == READS[:8]
    control.advance_job("COMPLETED")
    read_set = shell.names["set"]
    names = [each["Key"] for each in aws("s3").list_objects_v2(Bucket="outputs")["Contents"]]
    assert names == [f"sets/{read_set}/a.bam", f"sets/{read_set}/a.bam.bai"]
    control.archive_read_sets()
    shell.run(ARCHIVED_READ_SETS)
    control.advance_job("COMPLETED")
    (home / "first").write_bytes(READS[:10])
    (home / "second").write_bytes(READS[10:])
    shell.run(UPLOADS + POLICY_AND_CLEANUP)


TRANSCRIPTS: Final = (
    *(WORKFLOWS, SETTINGS, RUNS, RUNNING, ENDED),
    *(BATCH, BATCH_IN_PROGRESS, BATCH_CANCELLED, BATCH_WITHOUT_RUNS),
    *(OFFER, ACCEPTANCE, CLEANUP),
    *(REFERENCES, IMPORTED_REFERENCE),
    *(READ_SETS, IMPORTED_READ_SETS, ARCHIVED_READ_SETS, UPLOADS, POLICY_AND_CLEANUP),
)


def test_the_scenario_has_every_operation() -> None:
    """A new operation requires a line in a transcript."""
    matches = [LINE.fullmatch(line) for text in TRANSCRIPTS for line in commands(text)]
    called = {match[2].split()[0] for match in matches if match and not match[4]}
    assert called - {"wait"} == {xform_name(operation, "-") for operation in IMPLEMENTED}
