# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Run the germline example in a real Airflow against the local HealthOmics, and check its results.

The local HealthOmics computes: the workflow aligns generated reads and must find the planted variants.

``python -m dev.demo [--keep]``
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
import time
import webbrowser
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import boto3
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from airflow_healthomics.testing import HealthOmicsServer
from dev.germline import definition
from dev.germline.report import show_tasks, show_variants
from dev.germline.sample import Sample
from dev.local_airflow import LocalAirflow, LocalAirflowError

EXAMPLE_DAGS: Final = Path(__file__).parent.parent / "example_dags"
DAG_ID: Final = "example_healthomics_germline"
FORM_DAG_ID: Final = "example_healthomics_trigger_form"
#: The initial values of the form.
FORM_WORKFLOW_ID: Final = "1234567"
BUCKET: Final = "example-healthomics-outputs"

#: Where the example has its reads, and the workflow its reference; in the local S3 they are generated.
INPUT_BUCKET: Final = "omics-us-east-1"
READS: Final = "sample-inputs/9500764"
REFERENCE: Final = "references/tiny.fasta"
SAMPLE: Final = Sample()
SAMPLE_NAME: Final = "ERR194159"

#: Named after, and with the parameters of, germline-fastqs-to-vcf of
#: https://github.com/aws-samples/amazon-omics-tutorials
WORKFLOW_NAME: Final = "germline-fastqs-to-vcf"
PARAMETER_TEMPLATE: Final[Mapping[str, Any]] = {
    "sample_name": {"description": "Name of the sample"},
    "fastq_pairs": {"description": "Paired FASTQ files with read group and platform"},
    "ecr_registry": {"description": "Amazon ECR registry with the containers"},
    "aws_region": {"description": "Region of the reference data"},
}

LANES: Final = ("C0L01ACXX.1", "C0L01ACXX.2", "C0L01ACXX.3", "C0M7LACXX.7")

#: The tasks of that workflow, for planned runs: name, start and duration in hundredths of the run, CPUs, GiB
#: and instance type.
TASKS: Final = (
    *((f"FastqToBam {lane}", 0, 14, 2, 4, "omics.c.large") for lane in LANES),
    *(
        (f"BwaMem {lane}", 15, 20 + 3 * number, 16, 32, "omics.c.4xlarge")
        for number, lane in enumerate(LANES)
    ),
    ("MarkDuplicates", 46, 12, 8, 32, "omics.m.2xlarge"),
    ("BaseRecalibrator", 59, 9, 2, 8, "omics.m.large"),
    ("ApplyBQSR", 69, 8, 2, 8, "omics.m.large"),
    *((f"HaplotypeCaller shard-{number}", 78, 12 + number, 2, 16, "omics.r.large") for number in range(6)),
    ("MergeVcfs", 96, 4, 2, 4, "omics.c.large"),
)

CONNECTION: Final[Mapping[str, Any]] = {
    "conn_type": "aws",
    "extra": {
        "service_config": {
            "omics": {
                "role_arn": "arn:aws:iam::123456789012:role/HealthOmicsRun",
                "output_uri": f"s3://{BUCKET}/germline",
            }
        }
    },
}

#: Otherwise webbrowser would open a text browser in this terminal.
HAS_WINDOWS: Final = sys.platform == "darwin" or bool({"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys())

#: Seconds of a run in each state; in AWS a run lasts hours. A computed run is RUNNING as long as it takes.
PACE: Final[Mapping[str, Any]] = {
    "pending_seconds": 3,
    "starting_seconds": 4,
    "running_seconds": 10,
    "stopping_seconds": 3,
}


class Reporter:
    """Prints a line for each change and, on a terminal, a clock."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._progress = Progress(
            SpinnerColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._clock = self._progress.add_task("")
        self._started = time.monotonic()

    def __enter__(self) -> Reporter:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Print a change."""
        self.console.print(f"[dim]{time.monotonic() - self._started:5.1f} s[/]  {text}", highlight=False)

    def show(self, text: str) -> None:
        """Show the current state beside the clock."""
        self._progress.update(self._clock, description=text)


def main() -> int:
    """Run the demo and return its exit code: 0 only if the run succeeded and its outputs exist."""
    parser = argparse.ArgumentParser(prog="python -m dev.demo", description=main.__doc__)
    parser.add_argument("--keep", action="store_true", help="leave everything running until Ctrl-C")
    keep = parser.parse_args().keep
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    console = Console(soft_wrap=True)
    try:
        # Commands of tasks find the Python of this environment first.
        os.environ["PATH"] = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
        with HealthOmicsServer(**PACE, compute=True) as server:
            return demonstrate(server, console, keep=keep)
    except LocalAirflowError as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted. All processes are stopped.")
        return 130


def demonstrate(server: HealthOmicsServer, console: Console, *, keep: bool) -> int:
    """Start Airflow, trigger the example, wait for its end and show its results."""
    with ExitStack() as stack:
        with Reporter(console) as reporter:
            reporter.say(f"AWS HealthOmics, S3 and CloudWatch Logs, locally: {server.endpoint_url}")
            _use_only(server.environ)
            workflow_id = prepare_aws(server)
            airflow = stack.enter_context(
                LocalAirflow(
                    EXAMPLE_DAGS,
                    environment=server.environ,
                    connections={"aws_default": CONNECTION},
                    say=reporter.say,
                )
            )
            run_id = airflow.trigger_dag(DAG_ID, {"workflow_id": workflow_id})
            reporter.say(f"[bold]{DAG_ID}[/] is triggered, with workflow {workflow_id}, {WORKFLOW_NAME}")
            if keep:
                reporter.say(f"Its page: {run_page(airflow, run_id)}")
                reporter.say(f"User {airflow.username}, password {airflow.password}")
                if console.is_terminal and HAS_WINDOWS:
                    webbrowser.open(run_page(airflow, run_id))
            state = follow(airflow, server, run_id, reporter)
        code = 1
        if state == "success":
            code = show_results(airflow, run_id, console)
        else:
            show_failure(airflow, run_id, console)
        if keep:
            wait_for_ctrl_c(airflow, server, run_id, console)
    return code


def prepare_aws(server: HealthOmicsServer) -> str:
    """Create buckets, inputs and the workflow, and return the workflow's id."""
    s3 = boto3.client("s3")
    for bucket in (BUCKET, INPUT_BUCKET):
        s3.create_bucket(Bucket=bucket)
    s3.put_object(Bucket=INPUT_BUCKET, Key=REFERENCE, Body=SAMPLE.fasta())
    for lane, *files in SAMPLE.fastq_pairs(LANES):
        for number, content in enumerate(files, 1):
            key = f"{READS}/{lane}.5-percent.R{number}.fastq.gz"
            s3.put_object(Bucket=INPUT_BUCKET, Key=key, Body=content)
    # With a fixed id, since the form has an initial value for it. AWS would choose one. It has no definition,
    # so its runs are simulated.
    server.control.add_workflow(FORM_WORKFLOW_ID, name=WORKFLOW_NAME, parameter_template=PARAMETER_TEMPLATE)
    server.control.plan_run(
        workflow_id=FORM_WORKFLOW_ID, times=None, tasks=planned_tasks(PACE["running_seconds"])
    )
    workflow = boto3.client("omics").create_workflow(
        name=WORKFLOW_NAME,
        engine="WDL",
        definitionZip=definition(),
        parameterTemplate=PARAMETER_TEMPLATE,
        requestId=WORKFLOW_NAME,
    )
    return str(workflow["id"])


def planned_tasks(seconds: float) -> list[dict[str, Any]]:
    """
    Return the tasks of a planned run, for the local HealthOmics.

    :param seconds: that the run stays RUNNING
    """
    return [
        {
            "name": name,
            "after": seconds * begin / 100,
            "seconds": seconds * share / 100,
            "cpus": cpus,
            "memory": memory,
            "instance_type": instance_type,
            "cpus_in_use": round(cpus * 0.82, 2),
            "memory_in_use": round(memory * 0.57, 2),
        }
        for name, begin, share, cpus, memory, instance_type in TASKS
    ]


def follow(airflow: LocalAirflow, server: HealthOmicsServer, run_id: str, reporter: Reporter) -> str:
    """Print each change of state until the end of the DAG run, and return its state."""
    known: dict[str, str] = {}
    omics = boto3.client("omics")

    def look() -> None:
        started = server.control.runs()
        runs = {f"HealthOmics run {run['id']}": run["status"] for run in started}
        inner = {
            f"{task['name']} in HealthOmics run {run['id']}": task["status"]
            for run in started
            for task in omics.list_run_tasks(id=run["id"])["items"]
        }
        tasks = {
            f"task {task['task_id']}": task["state"] or "waiting"
            for task in airflow.task_instances(DAG_ID, run_id)
        }
        for what, state in (runs | inner | tasks).items():
            if known.get(what, "waiting") != state:
                reporter.say(f"{what} is [bold]{state}[/]")
        known.update(runs | inner | tasks)
        words = [f"{what.removeprefix('task ')} {state}" for what, state in tasks.items()]
        reporter.show(" · ".join([*runs.values(), *words]))

    state = airflow.wait_for_dag_run(DAG_ID, run_id, look=look)
    look()
    return state


def show_results(airflow: LocalAirflow, run_id: str, console: Console) -> int:
    """Show the result of the run, check its variants, and return the exit code."""
    summary = airflow.xcom(DAG_ID, run_id, "wait")
    show_summary(summary, console)
    show_tasks(summary, console)
    outputs = show_outputs(summary["runOutputUri"], console)
    same = bool(outputs) and show_variants(SAMPLE, vcf_of(summary["runOutputUri"]), console)
    show_links(airflow.links(DAG_ID, run_id, "wait"), console)
    if not same:
        console.print("\nThe variants differ from the planted ones.", style="red")
        return 1
    console.print(f"\nThe workflow has found all {len(SAMPLE.variants())} planted variants, and no others.")
    return 0


def vcf_of(output_uri: str) -> str:
    """Return the VCF of the run."""
    bucket, _, prefix = output_uri.removeprefix("s3://").partition("/")
    stored = boto3.client("s3").get_object(Bucket=bucket, Key=f"{prefix}/out/vcf/{SAMPLE_NAME}.vcf")
    return str(stored["Body"].read().decode())


def show_summary(summary: Mapping[str, Any], console: Console) -> None:
    """Show the XComs of the sensor for the next task."""
    table = Table(
        "field",
        Column("value", overflow="fold"),
        title="The run, as the sensor's XCom has it",
        title_justify="left",
    )
    for name, value in summary.items():
        if not isinstance(value, dict):
            table.add_row(name, str(value))
    console.print("", table)


def show_outputs(output_uri: str, console: Console) -> int:
    """Show the objects of the run in S3, and return the number of outputs."""
    bucket, _, prefix = output_uri.removeprefix("s3://").partition("/")
    found = boto3.client("s3").list_objects_v2(Bucket=bucket, Prefix=f"{prefix}/").get("Contents", [])
    table = Table(
        "object", Column("bytes", justify="right"), title=f"Outputs in {output_uri}/", title_justify="left"
    )
    for item in found:
        table.add_row(item["Key"].removeprefix(f"{prefix}/"), str(item["Size"]))
    console.print("", table)
    return sum(item["Key"].startswith(f"{prefix}/out/") for item in found)


def show_links(links: Mapping[str, str | None], console: Console) -> None:
    """Show the links of the task in the Airflow UI."""
    console.print("\n[italic]Links of the task in the Airflow UI to the AWS console[/]")
    for name, url in links.items():
        console.print(f"{name}: {url}", markup=False)


def show_failure(airflow: LocalAirflow, run_id: str, console: Console) -> None:
    """Show the logs of Airflow's processes and of failed tasks."""
    console.print(airflow.log_tails(), markup=False, highlight=False)
    for task in airflow.task_instances(DAG_ID, run_id):
        if task["state"] == "failed":
            log = airflow.task_log(DAG_ID, run_id, task["task_id"])
            console.print(f"\nTask {task['task_id']} failed:", style="red")
            console.print(*log.splitlines()[-30:], sep="\n", markup=False, highlight=False)


def run_page(airflow: LocalAirflow, run_id: str) -> str:
    """Return the URL of the run page."""
    return f"{airflow.url}/dags/{DAG_ID}/runs/{quote(run_id)}/tasks/wait/plugin/healthomics"


def wait_for_ctrl_c(airflow: LocalAirflow, server: HealthOmicsServer, run_id: str, console: Console) -> None:
    """Print how to explore the demo, and wait."""
    exports = " ".join(f"{name}={value}" for name, value in server.environ.items())
    console.print(
        f"\nAirflow is at {airflow.url}, user {airflow.username}, password {airflow.password}\n"
        f"The page of the run: {run_page(airflow, run_id)}\n"
        f"A form for people who have samples: {airflow.url}/dags/{FORM_DAG_ID}, then Trigger\n"
        f"Any AWS client: {exports} aws omics list-runs\n"
        "Press Ctrl-C to stop everything.",
        markup=False,
        highlight=False,
    )
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


def _use_only(environ: Mapping[str, str]) -> None:
    """Point this process's AWS clients at the local AWS, without any settings of the machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ.update({**environ, **nothing})


if __name__ == "__main__":
    sys.exit(main())
