# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The simulation notices if the package lacks one of its protections."""

from __future__ import annotations

import pytest

from tests.simulation.__main__ import findings
from tests.simulation.plan import parse
from tests.simulation.plans import random_plan
from tests.simulation.sabotage import SABOTAGES
from tests.unit.conftest import needs_store

pytestmark = needs_store

#: For each protection, a history that needs it: one of the exhaustive plans, or the seed of a random one.
NEEDED: dict[str, str | int] = {
    "write-ahead": "fates=L 0 3:crash 4:kill:first",
    "uuid": "- 0 8:crash 10:give_away",
    "guard after StartRun": "store=False,fates=L 0 0:kill:first",
    "grace": 1,
    "epoch": "fates=L 0 34:clear",
}


@pytest.mark.parametrize("protection", SABOTAGES)
def test_the_simulation_notices(protection: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each protection is needed by a history that keeps all promises with it."""
    source = NEEDED[protection]
    plan = parse(source) if isinstance(source, str) else random_plan(source)
    assert findings(plan) == []
    SABOTAGES[protection](monkeypatch)
    assert findings(plan)
