# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""HealthOmics inside the test process, without a server."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from moto import mock_aws

from .activation import activated
from .control import Control
from .local import LOCAL
from .omics.computations import COMPUTATIONS
from .omics.side_effects import forget_unread
from .options import Options


@contextmanager
def mock_healthomics(**options: Any) -> Iterator[Control]:
    """
    Mock all AWS calls of this process with moto and the local HealthOmics, which starts empty.

    Usable as a context manager, which yields the :class:`Control`, or as a decorator. There is no background
    thread: due transitions are applied at each request and by the verbs of the control.

    :param options: Fields of :class:`Options`.
    """
    settings = Options(**options)
    with activated(), mock_aws():
        LOCAL.reset(settings)
        try:
            yield Control()
        finally:
            LOCAL.faults.clear()
            forget_unread()
            COMPUTATIONS.end()
