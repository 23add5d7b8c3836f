# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""What the commands of this package share."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """
    Silence both streams, since Airflow's log lines would mix with what a command prints.

    This includes their file descriptors, because Airflow's loggers keep the files.
    """
    with ExitStack() as undo:
        nowhere = undo.enter_context(open(os.devnull, "w"))
        for number, stream in ((1, sys.stdout), (2, sys.stderr)):
            stream.flush()
            undo.callback(os.close, kept := os.dup(number))
            undo.callback(os.dup2, kept, number)
            undo.callback(stream.flush)
            os.dup2(nowhere.fileno(), number)
        undo.enter_context(contextlib.redirect_stdout(nowhere))
        undo.enter_context(contextlib.redirect_stderr(nowhere))
        yield


def fail(reason: str) -> int:
    """
    Print an error on one line, and return the exit code.

    :param reason: text of the error
    """
    print(f"error: {' '.join(reason.split())}", file=sys.stderr)
    return 1
