# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Run the pipeline example in a real Airflow against the local HealthOmics, and check its results.

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
from collections import Counter
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import boto3
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from airflow_healthomics.testing import HealthOmicsServer
from dev import trigger_form
from dev.germline.inputs import BUCKET, SAMPLES, write_inputs
from dev.germline.report import show_batch, show_outputs, show_report, show_tasks, show_variants
from dev.local_airflow import LocalAirflow, LocalAirflowError

EXAMPLE_DAGS: Final = Path(__file__).parent.parent / "example_dags"
DAG_ID: Final = "example_healthomics_pipeline"

CONNECTION: Final[Mapping[str, Any]] = {
    "conn_type": "aws",
    "extra": {
        "service_config": {
            "omics": {
                "role_arn": "arn:aws:iam::123456789012:role/HealthOmicsRun",
                "output_uri": f"s3://{trigger_form.BUCKET}/germline",
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
    """Run the demo and return its exit code: 0 only if the pipeline found exactly the planted variants."""
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
            prepare_aws(server)
            reporter.say(f"{len(SAMPLES)} samples are in the local S3, each with other variants in its reads")
            airflow = stack.enter_context(
                LocalAirflow(
                    EXAMPLE_DAGS,
                    environment=server.environ,
                    connections={"aws_default": CONNECTION},
                    say=reporter.say,
                )
            )
            run_id = airflow.trigger_dag(DAG_ID)
            reporter.say(f"[bold]{DAG_ID}[/] is triggered")
            if keep:
                reporter.say(f"The page of the batch: {run_page(airflow, run_id)}")
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


def prepare_aws(server: HealthOmicsServer) -> None:
    """Write the inputs of the pipeline, and plan the runs of the trigger form."""
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    write_inputs(s3)
    trigger_form.prepare(server.control, PACE["running_seconds"])


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
            if "stopTime" in task
        }
        tasks = {
            f"task {_label(task)}": task["state"] or "waiting"
            for task in airflow.task_instances(DAG_ID, run_id)
        }
        for what, state in (runs | inner | tasks).items():
            if known.get(what, "waiting") != state:
                reporter.say(f"{what} is [bold]{state}[/]")
        known.update(runs | inner | tasks)
        counts = [f"{count} runs {status}" for status, count in Counter(runs.values()).items()]
        active = [
            f"{what.removeprefix('task ')} {state}"
            for what, state in tasks.items()
            if state in ("queued", "running", "deferred")
        ]
        reporter.show(" · ".join([*counts, *active]))

    state = airflow.wait_for_dag_run(DAG_ID, run_id, look=look)
    look()
    return state


def show_results(airflow: LocalAirflow, run_id: str, console: Console) -> int:
    """Show the results of the pipeline, check its variants, and return the exit code."""
    summary = airflow.xcom(DAG_ID, run_id, "batch", "summary")
    runs = airflow.xcom(DAG_ID, run_id, "batch", "successes")
    show_batch(summary, console)
    show_tasks(runs, console)
    show_outputs(summary["outputUri"], console)
    is_same = show_variants(SAMPLES, runs, console)
    reported = show_report(airflow.xcom(DAG_ID, run_id, "write_report"), console)
    planted = {name: len(sample.variants()) for name, sample in SAMPLES.items()}
    if not is_same or reported != planted:
        console.print("\nThe variants differ from the planted ones.", style="red")
        return 1
    console.print(
        f"\nThe workflow has found all {sum(planted.values())} planted variants of the {len(planted)} "
        "samples, and no others."
    )
    return 0


def show_failure(airflow: LocalAirflow, run_id: str, console: Console) -> None:
    """Show the logs of Airflow's processes and of failed tasks."""
    console.print(airflow.log_tails(), markup=False, highlight=False)
    for task in airflow.task_instances(DAG_ID, run_id):
        if task["state"] == "failed":
            log = airflow.task_log(DAG_ID, run_id, task["task_id"], map_index=task["map_index"])
            console.print(f"\nTask {_label(task)} failed:", style="red", markup=False)
            console.print(*log.splitlines()[-30:], sep="\n", markup=False, highlight=False)


def run_page(airflow: LocalAirflow, run_id: str) -> str:
    """Return the URL of the page of the batch."""
    return f"{airflow.url}/dags/{DAG_ID}/runs/{quote(run_id)}/tasks/batch/plugin/healthomics"


def wait_for_ctrl_c(airflow: LocalAirflow, server: HealthOmicsServer, run_id: str, console: Console) -> None:
    """Print how to explore the demo, and wait."""
    exports = " ".join(f"{name}={value}" for name, value in server.environ.items())
    console.print(
        f"\nAirflow is at {airflow.url}, user {airflow.username}, password {airflow.password}\n"
        f"The page of the batch: {run_page(airflow, run_id)}\n"
        f"A form for people who have samples: {airflow.url}/dags/{trigger_form.DAG_ID}, then Trigger\n"
        f"Any AWS client: {exports} aws omics list-runs\n"
        "Press Ctrl-C to stop everything.",
        markup=False,
        highlight=False,
    )
    with suppress(KeyboardInterrupt):
        threading.Event().wait()


def _label(task: Mapping[str, Any]) -> str:
    """Return the name of a task instance, with the number of a mapped one."""
    return f"{task['task_id']} {task['map_index']}".removesuffix(" -1")


def _use_only(environ: Mapping[str, str]) -> None:
    """Point this process's AWS clients at the local AWS, without any settings of the machine."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ.update({**environ, **nothing})


if __name__ == "__main__":
    sys.exit(main())
