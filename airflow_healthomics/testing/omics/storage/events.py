# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Status changes of stores, their contents and their jobs as events in EventBridge.

The user guide's page "eventbridge" lists the kinds of events and their statuses. The members of their details
are those of the event patterns in the AWS CDK (module "aws-omics.events").
"""

from __future__ import annotations

from typing import Any

from airflow_healthomics.testing.omics.events import Place, send


def announce(kind: str, place: Place, at: float, *, resource: str, **detail: Any) -> None:
    """
    Send the "<kind> Status Change" event.

    :param place: Account and region.
    :param resource: ARN of the resource. A job has none, so that of its store.
    """
    send(f"{kind} Status Change", place, at, detail, resource=resource)
