# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""When a batch counts as a success. PROCESSED only means that all its runs are in a terminal state."""

from __future__ import annotations

import re
from decimal import Context
from fractions import Fraction
from typing import Any, Final, NamedTuple

from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.requests.json_values import json_problems

_RULE: Final = (
    "must be 'all', 'any', a number of runs (a whole number from 1, such as 950), or a share of the runs: a "
    "percentage above 0% and up to 100%, such as '95%', or a fraction above 0.0 and up to 1.0, such as 0.95"
)

#: A batch has at most six digits of runs. More than twenty decimals cannot be intended.
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_PERCENTAGE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,20})?)%")
_FRACTION: Final = re.compile(r"[01]\.[0-9]{1,20}")


class SuccessPolicy(NamedTuple):
    """
    The minimum of completed runs of a batch; created by :func:`parse_success_policy`, which sets one field.

    :param runs: minimum number of runs, or None if ``share`` is set
    :param share: minimum share of all runs, above 0 and up to 1. It is exact, so that 95% of 20 are 19.
    """

    runs: int | None = None
    share: Fraction | None = None

    def required(self, total: int) -> int:
        """
        Return the required number of completed runs: at least 1, and possibly more than there are runs.

        :param total: number of runs of the batch
        """
        if self.share is None:
            return self.runs or 1
        return max(1, -(-self.share.numerator * total // self.share.denominator))

    def is_met(self, succeeded: int, total: int) -> bool:
        """
        Whether the batch is a success. A batch without runs is not.

        :param succeeded: number of completed runs
        :param total: number of runs, including those that could not be started
        """
        return total > 0 and succeeded >= self.required(total)

    def describe(self, total: int) -> str:
        """Return the policy for a batch, such as ``at least 95% of the runs (950 of 1,000)``."""
        return f"{self} ({self.required(total):,} of {total:,})"

    def __str__(self) -> str:
        """Return the policy in words, such as ``at least 95% of the runs``."""
        if self.share is None:
            return f"at least {self.runs:,} run{'' if self.runs == 1 else 's'}"
        return "all runs" if self.share == 1 else f"at least {_percent(self.share)} of the runs"


def parse_success_policy(value: Any, *, operation: str = "StartRunBatch") -> SuccessPolicy:
    """
    Parse the argument ``success_policy``.

    A value with a decimal point or a percent sign is a share. Any other number is a number of runs: 1 and
    ``"1"`` mean one run; 1.0, ``"1.0"`` and ``"100%"`` mean all. Text may come from a template; leading and
    trailing blanks are ignored.

    =====================================  ==================================================
    ``"all"``                              every run; the same as ``"100%"``
    ``"any"``                              at least one run; the same as 1
    950, ``"950"``                         at least 950 runs
    0.95, ``"0.95"``, ``"95%"``            at least 95% of all runs, calculated exactly
    ``"99.9%"``                            and rounded up to whole runs
    =====================================  ==================================================

    :param value: the argument after rendering
    :param operation: API operation to name in errors
    :raises HealthOmicsRequestError: if the value is invalid
    :raises HealthOmicsTemplateError: if a template could not be rendered for a temporary reason
    """
    policy = _parsed(value.strip() if isinstance(value, str) else value)
    if policy is None:
        problems = list(json_problems(value, "success_policy"))
        raise HealthOmicsRequestError(operation, problems or [f"success_policy {_RULE}"])
    return policy


def _parsed(value: Any) -> SuccessPolicy | None:
    if isinstance(value, str):
        return _parsed_text(value)
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return SuccessPolicy(runs=int(value)) if value >= 1 else None
    if isinstance(value, float) and 0 < value <= 1:
        # repr() has the digits the user wrote, since 0.95 has no exact binary representation.
        return SuccessPolicy(share=Fraction(repr(float(value))))
    return None


def _parsed_text(text: str) -> SuccessPolicy | None:
    if text == "all":
        return SuccessPolicy(share=Fraction(1))
    if text == "any":
        return SuccessPolicy(runs=1)
    if _COUNT.fullmatch(text):
        return SuccessPolicy(runs=int(text)) if int(text) else None
    if percentage := _PERCENTAGE.fullmatch(text):
        share = Fraction(percentage[1]) / 100
    elif _FRACTION.fullmatch(text):
        share = Fraction(text)
    else:
        return None
    return SuccessPolicy(share=share) if 0 < share <= 1 else None


def _percent(share: Fraction) -> str:
    # Enough digits for any share that the patterns above accept.
    percentage = share * 100
    number = Context(prec=50).divide(percentage.numerator, percentage.denominator)
    return f"{number.normalize():f}%"
