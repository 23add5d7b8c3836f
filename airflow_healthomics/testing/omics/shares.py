# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Shares of workflows between the accounts of a region."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count
from typing import Any, Final

from airflow_healthomics.testing.local import LOCAL

from .backend import Backend
from .exceptions import ConflictException, ResourceNotFoundException, ValidationException
from .listing import page
from .share import Share
from .storage.changes import PlannedChange
from .workflow import Workflow

_ACCOUNT: Final = re.compile("[0-9]{12}")
#: Places in the lists, over all accounts.
_NUMBERS = count(1)


class Shares:
    """
    The shares that an account owns, and the operations on these and on those of other accounts.

    :param workflow: Returns the private workflow of the account with an ARN, or None.
    :param everywhere: Returns the shares of all accounts in the region.
    """

    def __init__(
        self,
        backend: Backend,
        workflow: Callable[[str], Workflow | None],
        everywhere: Callable[[], Iterable[Shares]],
    ) -> None:
        self._backend = backend
        self._workflow = workflow
        self._everywhere = everywhere
        self._owned: dict[str, Share] = {}

    def __iter__(self) -> Iterator[Share]:
        return iter(list(self._owned.values()))

    # --- operations ---

    def create_share(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """
        Offer a private workflow to another account.

        Annotation stores and variant stores can be shared too, but there are none.
        """
        subscriber = params["principalSubscriber"]
        if not _ACCOUNT.fullmatch(subscriber) or subscriber == self._backend.account_id:
            raise ValidationException("principalSubscriber must be the id of another account")
        workflow = self._workflow(params["resourceArn"])
        if workflow is None:
            raise ResourceNotFoundException(f"Resource {params['resourceArn']} not found")
        now = LOCAL.clock.now()
        share_id = "-".join(LOCAL.uuid().replace("-", "") for _ in range(2))
        share = self._owned[share_id] = Share(
            id=share_id,
            number=next(_NUMBERS),
            owner=self._backend.account_id,
            region=self._backend.region_name,
            workflow=workflow,
            request=params,
            created=now,
            updated=now,
        )
        share.enter("PENDING", now)
        return {"shareId": share.id, "status": share.status, "shareName": params.get("shareName")}

    def accept_share(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Accept a PENDING share, as its subscriber. It is ACTIVATING, then ACTIVE."""
        share = self._find(params["shareId"])
        if share.subscriber != self._backend.account_id:
            raise ResourceNotFoundException(f"Share {share.id} not found")
        if share.status != "PENDING":
            raise ConflictException(f"Share {share.id} is {share.status}, not PENDING")
        share.enter("ACTIVATING", LOCAL.clock.now())
        self._plan(share, lambda at: share.enter("ACTIVE", at) if share.status == "ACTIVATING" else None)
        return {"status": share.status}

    def get_share(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a share, to its owner and to its subscriber."""
        return {"share": self._find(params["shareId"]).view()}

    def list_shares(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return a page of the shares that this account owns, or that others offered to it."""
        wanted: Mapping[str, Any] = params.get("filter") or {}
        owned = params["resourceOwner"] == "SELF"
        chosen = self if owned else (share for shares in self._everywhere() for share in shares)
        return page(
            sorted(chosen, key=lambda share: share.number),
            params,
            key=lambda share: share.number,
            item=Share.view,
            wanted=lambda share: (
                (owned or share.subscriber == self._backend.account_id)
                and share.workflow.arn in wanted.get("resourceArns", [share.workflow.arn])
                and share.status in wanted.get("status", [share.status])
                and "WORKFLOW" in wanted.get("type", ["WORKFLOW"])
            ),
            result_member="shares",
            token_member="nextToken",
        )

    def delete_share(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Delete a share, as its owner or subscriber. Runs that use the workflow continue."""
        share = self._find(params["shareId"])
        if share.status != "DELETING":
            share.enter("DELETING", LOCAL.clock.now())
            self._plan(share, lambda at: self._remove(share, at))
        return {"status": share.status}

    # --- for workflows ---

    def workflow_of(self, workflow_id: str, owner: str) -> Workflow | None:
        """Return the workflow of another account that an ACTIVE share gives access to, if any."""
        for shares in self._everywhere():
            for share in shares:
                place = (share.workflow.id, share.owner, share.subscriber, share.status)
                if place == (workflow_id, owner, self._backend.account_id, "ACTIVE"):
                    return share.workflow
        return None

    def _find(self, share_id: str) -> Share:
        for shares in self._everywhere():
            share = shares._owned.get(share_id)
            if share is not None and self._backend.account_id in (share.owner, share.subscriber):
                return share
        raise ResourceNotFoundException(f"Share {share_id} not found")

    def _remove(self, share: Share, at: float) -> None:
        share.enter("DELETED", at)
        for shares in self._everywhere():
            shares._owned.pop(share.id, None)

    def _plan(self, share: Share, make: Callable[[float], None]) -> None:
        change = PlannedChange(share.updated, lambda options: options.share_changing_seconds, make)
        self._backend.schedule.add(change)
