# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Serve the local HealthOmics: ``python -m airflow_healthomics.testing --port 5000``."""

from __future__ import annotations

import argparse
import shlex
import signal
import threading

from . import HealthOmicsServer, Options


def main() -> None:
    """Print the environment variables for AWS clients, then serve until SIGINT or SIGTERM."""
    defaults = Options()
    parser = argparse.ArgumentParser(prog="python -m airflow_healthomics.testing", description=main.__doc__)
    parser.add_argument("--host", default="127.0.0.1", help="the address to listen on (default %(default)s)")
    parser.add_argument("--port", type=int, default=0, help="0 chooses a free port (default)")
    for state in ("pending", "starting", "running", "stopping"):
        parser.add_argument(
            f"--{state}-seconds",
            type=float,
            default=defaults.seconds(state),
            help=f"seconds that a run stays {state.upper()} (default %(default)s)",
        )
    for flag, meaning in (
        ("manual", "change the state of runs only by the control API"),
        ("any-workflow", "accept any workflow id"),
        ("create-buckets", "create missing output buckets instead of failing the run"),
        ("throttling", "throttle at the documented default rates"),
        ("compute", "run the commands of WDL and CWL workflows on this machine"),
    ):
        parser.add_argument(f"--{flag}", action="store_true", help=meaning)
    parser.add_argument("--engine-python", help="an interpreter with the engines, if this one has none")
    options = vars(parser.parse_args())
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with HealthOmicsServer(options.pop("port"), host=options.pop("host"), **options) as server:
        for name, value in server.environ.items():
            print(f"export {name}={shlex.quote(value)}", flush=True)
        print(
            "# AWS SDK for JavaScript: pass disableHostPrefix: true to the client, or use the endpoint "
            f"{server.prefixable_endpoint_url}",
            flush=True,
        )
        stop.wait()


if __name__ == "__main__":
    main()
