# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Measure the cost of waiting for many runs, for this provider and for the pattern of the amazon provider.

``make bench``, or ``make bench BENCH='--sizes 10 --interval 5'`` for a short one.

*Both sides* wait for the same kind of runs (most RUNNING, a few in each other active status) with the same
poll interval, against the same local HealthOmics, which serves them from this process, in the triggerer of a
real Airflow (scheduler, triggerer, API server, SQLite). Each answer takes 50 to 100 ms. "ours" is
HealthOmicsRunTrigger in this environment. "peer" is a subclass of AwsBaseWaiterTrigger with a custom waiter
(``benchmarks/peer.py``). It requires aiobotocore and so an older botocore, in a separate environment. Each
measurement has a new triggerer process. Up to 100 runs, the triggers are those of deferred mapped tasks
(HealthOmicsRunSensor, or an operator that defers to the peer's trigger). Above, they are added to the
triggerer's runner directly, since a thousand tasks are slow with SQLite and two cores.

A probe (``benchmarks/probe.py``) in the runner process measures, in this order:

1. *Sleeping.* Each trigger sleeps before the first line of its ``run`` until all triggers exist. The
   resources at this point are the baseline: the side's imported modules and Airflow's overhead for the
   triggers, but no client.
2. *Start.* The triggers are released one after another, without a pause. "Until all are polled" is the time
   from then to the first answer of HealthOmics for the last run: an answer of GetRun, or a page of ListRuns
   with the run, after the start of the run's trigger. It excludes the time that Airflow needs to create the
   triggers, which is equal on both sides (``seconds_to_create`` in the JSON).
3. *Steady state*, over some poll intervals. Requests are counted at the server. CPU time is that of the
   runner process, all threads, user and system, above the baseline. Its supervisor, which also writes the
   logs, is counted separately. Memory is the process's unique set size after a garbage collection and
   malloc_trim, above the baseline, divided by the number of runs, including client and service model; "each
   further run" excludes the cost of the first run of a triggerer. The event loop's stall is the delay of a
   timer of 50 ms. "By its own code" is the longest time in one iteration of the event loop, from the first
   answer to the last end, that was spent in steps of the side's triggers and, for ours, in all other tasks
   and callbacks of the package. It is wall-clock time, so other processes and threads add to it; the JSON
   also has the event loop's CPU time.
4. *Ends.* Runs complete in random order at random times within two poll intervals, evenly spread, at most
   five a second: each end requires a GetRun call, and AWS allows ten per second. The delay is the time from
   the end of a run at the server to the event of its trigger. The events are held until the last one, since
   the workers that they start would slow down the triggerer.

For 1 and 4 runs, requests are counted with a shorter interval; for 1 run also the memory.

Each number of runs is measured three times; the results have the median and the spread. The quotas of AWS are
not applied here, because a thousand calls an interval exceed them; ``benchmarks/quotas.py`` simulates them,
with other runs in the account and several triggerers.
"""

from __future__ import annotations

import argparse
import inspect
import json
import logging
import math
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import boto3
import psutil
from rich.console import Console

from airflow_healthomics.testing import HealthOmicsServer
from airflow_healthomics.triggers import HealthOmicsRunTrigger
from benchmarks.instruments import Answer, Answers, BenchmarkError, ProbeClient, wait_until
from benchmarks.report import combined, few_table, judge, main_table, server_line
from dev.local_airflow import LocalAirflow, LocalAirflowError

ROOT: Final = Path(__file__).parent.parent
RESULTS: Final = Path(__file__).parent / "results"

SIDES: Final[Mapping[str, str]] = {
    "ours": "airflow_healthomics.triggers.run.HealthOmicsRunTrigger",
    "peer": "benchmarks.peer.PeerRunTrigger",
}

#: Maximum number of runs with tasks.
MOST_TASKS: Final = 100
#: Maximum number of runs whose tasks are followed to their end.
FOLLOWED: Final = 10
FEW: Final = (1, 4)
FEW_INTERVAL: Final = 5.0
#: Durations in poll intervals.
SLEEPING = 1
STEADY = 2
FEW_STEADY = 3
ENDS = 2
#: Each end requires a GetRun call, and AWS allows ten per second.
ENDS_PER_SECOND = 5

#: Minimum and maximum duration of a call in seconds, beside that of the local HealthOmics.
LATENCY: Final = (0.05, 0.1)

SETTLE_SECONDS: Final = 5.0
PACKAGES: Final = (
    "apache-airflow",
    "apache-airflow-providers-amazon",
    "botocore",
    "aiobotocore",
    "airflow-provider-healthomics",
)


class SideBenchmark:
    """
    The benchmark of one side.

    :param side: ours or peer
    :param airflow: a started Airflow
    :param server: the local HealthOmics
    :param answers: recorded answers of the server
    :param interval: poll interval in seconds
    :param say: called with a text for each step
    """

    def __init__(
        self,
        side: str,
        airflow: LocalAirflow,
        server: HealthOmicsServer,
        answers: Answers,
        interval: float,
        say: Callable[[str], None],
    ) -> None:
        self.side, self.airflow, self.server, self.answers = side, airflow, server, answers
        self.interval = interval
        self.probe = ProbeClient(airflow.home / "probe.sock")
        self._tell = say

    def count_few(self) -> dict[str, Any]:
        """Count the requests per interval for 1 and 4 runs, and measure the memory of the first."""
        runs = self._start_runs(max(FEW))
        self._renew_triggerer()
        counts: dict[str, float] = {}
        memory = []
        arrived = 0
        for number in FEW:
            self.probe.call(
                "inject", kwargs=[self._kwargs(run, FEW_INTERVAL) for run in runs[arrived:number]]
            )
            arrived = number
            self._wait_for_arrivals(number)
            time.sleep(SETTLE_SECONDS)
            memory.append(self.probe.call("memory")["uss"])
            self.probe.call("open")
            self._wait_for_polls(number)
            time.sleep(FEW_INTERVAL / 2)
            began = time.time()
            time.sleep(FEW_STEADY * FEW_INTERVAL)
            counts[str(number)] = len(self.answers.between(began, time.time())) / FEW_STEADY
            self._say(f"{number} runs, {counts[str(number)]:.1f} requests an interval")
        return {"requests_per_interval": counts, "first_run_memory_bytes": memory[1] - memory[0]}

    def measure(self, number: int) -> dict[str, Any]:
        """Measure everything for a number of runs."""
        self._say(f"{number} runs: preparing")
        runs = self._start_runs(number)
        self._renew_triggerer()
        began = time.time()
        dag_run_id = self._defer(runs) if number <= MOST_TASKS else None
        if dag_run_id is None:
            self.probe.call("inject", kwargs=[self._kwargs(run, self.interval) for run in runs])
        self._wait_for_arrivals(number)
        result: dict[str, Any] = {"runs": number, "tasks": dag_run_id is not None}
        result["seconds_to_create"] = time.time() - began

        self._say(f"{number} runs: sleeping")
        time.sleep(SETTLE_SECONDS)
        asleep = self._window(SLEEPING * self.interval)
        memory_asleep = self.probe.call("memory")

        self._say(f"{number} runs: starting")
        self.probe.call("mark")
        opened = self.probe.call("open")
        result["seconds_to_poll_all"] = self._wait_for_polls(number) - opened
        start = self.probe.call("read")
        first_answer = min(answer.time for answer in self.answers.between(opened, math.inf))

        self._say(f"{number} runs: steady, all polled after {result['seconds_to_poll_all']:.1f} s")
        time.sleep(self.interval / 2)
        awake = self._window(STEADY * self.interval)
        memory_awake = self.probe.call("memory")

        self._say(f"{number} runs: ending")
        self.probe.call("mark")
        delays = self._end(runs)
        end = self.probe.call("read")

        # Only iterations of the event loop after the creation of the client.
        slow = [
            (own, cpu)
            for part in (start, awake, end)
            for ended, took, cpu, own in part["slow"]
            if ended - took >= first_answer
        ]
        requests = awake["answers"]
        result |= {
            "requests_per_interval": len(requests) / STEADY,
            "requests_by_operation": _counts(requests),
            "cpu_seconds_per_minute": awake["cpu"] - asleep["cpu"],
            "cpu_seconds_per_minute_asleep": asleep["cpu"],
            "supervisor_cpu_seconds_per_minute": awake["supervisor_cpu"] - asleep["supervisor_cpu"],
            "supervisor_cpu_seconds_per_minute_asleep": asleep["supervisor_cpu"],
            "memory_bytes_per_run": (memory_awake["uss"] - memory_asleep["uss"]) / number,
            "memory_bytes": memory_awake,
            "memory_bytes_asleep": memory_asleep,
            "stall_ms": _milliseconds(max(awake["late"])),
            "stall_ms_p99": _milliseconds(percentile(awake["late"], 99)),
            "stall_ms_asleep": _milliseconds(max(asleep["late"])),
            "stall_ms_p99_asleep": _milliseconds(percentile(asleep["late"], 99)),
            "stall_ms_start": _milliseconds(max(start["late"])),
            "stall_ms_ends": _milliseconds(max(end["late"])),
            "whole_stall_ms": _milliseconds(max((*start["late"], *awake["late"], *end["late"]))),
            "own_stall_ms": _milliseconds(max((own for own, _ in slow), default=0.0)),
            "own_stall_cpu_ms": _milliseconds(max((min(pair) for pair in slow), default=0.0)),
            "delay_seconds": statistics.median(delays),
            "delay_seconds_p99": percentile(delays, 99),
            "delay_seconds_deciles": [round(percentile(delays, 10 * part), 3) for part in range(11)],
            "server_cpu_share": awake["server_cpu"],
            "server_answer_ms_p99": _milliseconds(percentile([answer.seconds for answer in requests], 99)),
        }
        self._clean_up(dag_run_id, follow=number <= FOLLOWED)
        self._say(
            f"{number} runs: {result['requests_per_interval']:.1f} requests an interval, "
            f"{result['cpu_seconds_per_minute']:.2f} s CPU a minute, "
            f"{result['memory_bytes_per_run'] / 1024:.1f} KiB a run, "
            f"own stall {result['own_stall_ms']:.0f} ms, delay {result['delay_seconds']:.1f} s"
        )
        return result

    # --- steps ---

    def _say(self, text: str) -> None:
        self._tell(f"{self.side}: {text}")

    def _start_runs(self, number: int) -> list[dict[str, Any]]:
        """Start runs, most of them RUNNING, and return the answers of GetRun."""
        control = self.server.control
        control.reset()
        self.answers.latency = (0.0, 0.0)
        del self.answers.entries[:]
        omics = boto3.client("omics")
        runs = []
        of_each = max(1, number * 3 // 100)
        others = [status for status in ("PENDING", "STARTING", "STOPPING") for _ in range(of_each)]
        for index in range(number):
            started = omics.start_run(
                workflowId="1",
                roleArn="arn:aws:iam::123456789012:role/omics",
                outputUri="s3://benchmark/outputs",
                requestId=f"run-{index}",
                name=f"run-{index}",
            )
            status = others[index - 1] if 0 < index <= len(others) else "RUNNING"
            control.advance(status, run_id=started["id"])
            runs.append(omics.get_run(id=started["id"]))
        self.answers.latency = LATENCY
        return runs

    def _renew_triggerer(self) -> None:
        self.airflow.stop_process("triggerer", gracefully=False)
        self.probe.forget()
        self.airflow.start_process("triggerer")
        self.probe.wait()

    def _kwargs(self, run: Mapping[str, Any], interval: float) -> dict[str, Any]:
        """Return the arguments of a trigger, like an operator."""
        if self.side == "peer":
            return {"run_id": run["id"], "waiter_delay": round(interval), "aws_conn_id": "aws_default"}
        known = {
            "run_id": run["id"],
            "uuid": run["uuid"],
            "creation_time": run["creationTime"].isoformat(),
            "waiter_delay": interval,
            "aws_conn_id": "aws_default",
        }
        # The peer's trigger polls each run separately and needs no creation time.
        accepted = inspect.signature(HealthOmicsRunTrigger.__init__).parameters
        return {name: value for name, value in known.items() if name in accepted or name == "aws_conn_id"}

    def _defer(self, runs: Sequence[Mapping[str, Any]]) -> str:
        return self.airflow.trigger_dag("waiting", {"run_ids": [run["id"] for run in runs]})

    def _wait_for_arrivals(self, number: int) -> None:
        self.airflow.wait_until(
            lambda: self.probe.call("arrived") >= number, f"{number} triggers are in the triggerer"
        )

    def _wait_for_polls(self, number: int) -> float:
        """Wait until every run was polled once, and return the time of the last one."""

        def first() -> dict[str, float]:
            times = self.probe.call("times")
            return self.answers.first_after({run_id: at for run_id, (at, _) in times.items() if at})

        wait_until(lambda: len(first()) >= number, f"{number} runs are polled", 600)
        return max(first().values())

    def _window(self, seconds: float) -> dict[str, Any]:
        """Return the resources used in a period, CPU in seconds per minute, and the server's answers."""
        me = psutil.Process()
        server_before, before = sum(me.cpu_times()[:2]), self.probe.call("mark")
        time.sleep(seconds)
        after, server_after = self.probe.call("read"), sum(me.cpu_times()[:2])
        took = after["time"] - before["time"]
        return {
            "cpu": (after["cpu"] - before["cpu"]) * 60 / took,
            "supervisor_cpu": (after["supervisor_cpu"] - before["supervisor_cpu"]) * 60 / took,
            "late": after["late"],
            "slow": after["slow"],
            "answers": self.answers.between(before["time"], before["time"] + seconds),
            "server_cpu": (server_after - server_before) / took,
        }

    def _end(self, runs: Sequence[Mapping[str, Any]]) -> list[float]:
        """Complete runs at random times, and return the delays of their events."""
        chance = random.Random(0)
        number = min(len(runs), int(ENDS * self.interval * ENDS_PER_SECOND))
        # One in each of equal parts of the time, so that even a few runs are evenly distributed.
        part = ENDS * self.interval / number
        moments = [(index + chance.random()) * part for index in range(number)]
        began, ended = time.time(), {}
        for run, moment in zip(chance.sample(runs, number), moments, strict=True):
            time.sleep(max(0.0, began + moment - time.time()))
            ended[run["id"]] = time.time()
            self.server.control.advance("COMPLETED", run_id=run["id"])

        def fired() -> dict[str, float]:
            times = self.probe.call("times")
            return {run_id: at for run_id, (_, at) in times.items() if run_id in ended and at}

        wait_until(lambda: len(fired()) == len(ended), "every trigger has fired", 3 * self.interval + 60)
        return [at - ended[run_id] for run_id, at in fired().items()]

    def _clean_up(self, dag_run_id: str | None, *, follow: bool) -> None:
        """End all deferred tasks, since the next triggerer would adopt them."""
        if dag_run_id is None:
            return
        if not follow:
            self.airflow.mark_dag_run("waiting", dag_run_id, "failed")
            return
        self.probe.call("release")
        state = self.airflow.wait_for_dag_run("waiting", dag_run_id)
        if state != "success":
            raise BenchmarkError(f"The DAG run ended as {state}\n{self.airflow.log_tails()}")


def _counts(answers: Sequence[Answer]) -> dict[str, int]:
    operations = [answer.operation for answer in answers]
    return {operation: operations.count(operation) for operation in sorted(set(operations))}


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 2)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile of the values."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0


# --- both sides ---


def run(options: argparse.Namespace, console: Console) -> dict[str, Any]:
    """Measure the sides one after the other, and return the results."""
    results: dict[str, Any] = {
        "date": datetime.now(UTC).date().isoformat(),
        "interval": options.interval,
        "repetitions": options.repetitions,
        "machine": _machine(),
        "versions": {
            side: _versions(sys.executable if side == "ours" else options.peer_python) for side in SIDES
        },
        "few": {},
        "sides": {},
    }
    began = time.monotonic()

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.0f} s[/]  {text}", highlight=False)

    answers = Answers()
    with answers.recorded(), HealthOmicsServer(manual=True, any_workflow=True, create_buckets=True) as server:
        os.environ.update(server.environ)
        for side in options.sides:
            python = sys.executable if side == "ours" else options.peer_python
            airflow = LocalAirflow(
                Path(__file__).parent / "dags",
                environment={
                    **server.environ,
                    "PYTHONPATH": str(ROOT),
                    "BENCH_SIDE": side,
                    "BENCH_TRIGGER": SIDES[side],
                    "BENCH_INTERVAL": str(options.interval),
                },
                connections={"aws_default": _connection(server.endpoint_url)},
                poll_seconds=options.interval,
                separate_execution_api=True,
                python=python,
                modules={"triggerer": "benchmarks.triggerer"},
            )
            say(f"{side}: starting Airflow")
            with airflow:
                benchmark = SideBenchmark(side, airflow, server, answers, options.interval, say)
                results["few"][side] = few = benchmark.count_few()
                of_side = {
                    str(number): combined(benchmark.measure(number) for _ in range(options.repetitions))
                    for number in sorted(options.sizes)
                }
                for entry in of_side.values():
                    beyond_first = (
                        entry["memory_bytes_per_run"] * entry["runs"] - few["first_run_memory_bytes"]
                    )
                    entry["memory_bytes_per_further_run"] = beyond_first / max(1, entry["runs"] - 1)
                results["sides"][side] = of_side
    results["seconds"] = round(time.monotonic() - began)
    return results


def _connection(endpoint_url: str) -> dict[str, Any]:
    # Every HealthOmics operation has a host prefix, but there is no host "workflows-127.0.0.1".
    config = {"inject_host_prefix": False}
    return {"conn_type": "aws", "extra": {"endpoint_url": endpoint_url, "config_kwargs": config}}


def _machine() -> dict[str, Any]:
    return {
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30),
        "system": os.uname().sysname,
        "architecture": os.uname().machine,
        "python": sys.version.split()[0],
    }


def _versions(python: str) -> dict[str, str]:
    """Return the versions of the installed packages of an environment."""
    script = (
        "import importlib.metadata as m, json, sys\n"
        "have = {d.name.lower(): d.version for d in m.distributions()}\n"
        "print(json.dumps({n: have[n] for n in sys.argv[1:] if n in have}))"
    )
    output = subprocess.run([python, "-c", script, *PACKAGES], capture_output=True, check=True, text=True)
    versions: dict[str, str] = json.loads(output.stdout)
    return versions


def main() -> int:
    """Run the benchmark, print its tables, and return the exit code: 0 whatever the results."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.waiting", description=main.__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=[10, 100, 1000], help="waiting runs")
    parser.add_argument("--interval", type=float, default=20, help="poll interval in seconds, a whole number")
    parser.add_argument("--repetitions", type=int, default=3, help="measurements for each number of runs")
    parser.add_argument("--sides", nargs="+", choices=list(SIDES), default=list(SIDES))
    parser.add_argument(
        "--peer-python", default=str(ROOT / ".venv-bench/bin/python"), help="Python with aiobotocore"
    )
    parser.add_argument("--output", type=Path, help="folder of waiting.json and waiting.png")
    options = parser.parse_args()
    # Absolute, since Airflow's processes have another working directory; not resolved, since the link
    # identifies the environment.
    options.peer_python = str(Path(options.peer_python).absolute())
    if not Path(options.peer_python).exists():
        parser.error(f"{options.peer_python} is missing; make bench sets it up")
    # Only a full run replaces the results that the documentation shows.
    is_full = all(
        getattr(options, name) == parser.get_default(name)
        for name in ("sizes", "interval", "repetitions", "sides")
    )
    output = options.output or (RESULTS if is_full else RESULTS / "partial")
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    nothing = {"AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    os.environ.update(nothing)
    # Airflow makes botocore log the source of the endpoint.
    logging.getLogger("botocore").setLevel(logging.WARNING)
    console = Console(soft_wrap=True)
    if not console.is_terminal:
        console.width = 120
    try:
        results = run(options, console)
    except (BenchmarkError, LocalAirflowError) as error:
        console.print(str(error), style="red", markup=False, highlight=False)
        return 1
    except KeyboardInterrupt:
        console.print("Interrupted; everything is stopped.")
        return 130
    results["targets"] = judge(results)
    output.mkdir(parents=True, exist_ok=True)
    (output / "waiting.json").write_text(json.dumps(results, indent=1) + "\n")
    subprocess.run(
        [options.peer_python, "-m", "benchmarks.plot", output / "waiting.json"], cwd=ROOT, check=True
    )
    console.print("", main_table(results), few_table(results))
    console.print(server_line(results), highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
