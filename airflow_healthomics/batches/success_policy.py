# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""When a processed batch is a success: the state PROCESSED only says that all its runs have ended."""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Context
from fractions import Fraction
from typing import Any, Final

from airflow_healthomics.exceptions import HealthOmicsRequestError
from airflow_healthomics.requests.json_values import json_problems

_RULE: Final = (
    "must be 'all', 'any', a number of runs (a whole number from 1, such as 950), or a share of the runs: a "
    "percentage above 0% and up to 100%, such as '95%', or a fraction above 0.0 and up to 1.0, such as 0.95"
)

#: No batch has more runs than six digits can say; more decimals than twenty are no share that somebody meant.
_COUNT: Final = re.compile(r"[0-9]{1,9}")
_PERCENTAGE: Final = re.compile(r"([0-9]{1,3}(?:\.[0-9]{1,20})?)%")
_FRACTION: Final = re.compile(r"[01]\.[0-9]{1,20}")


@dataclass(frozen=True, kw_only=True)
class SuccessPolicy:
    """
    How many runs of a batch must succeed; made by :func:`parse_success_policy`.

    :param runs: the least number of runs, or None if a share of them counts
    :param share: the least share of all runs, above 0 and up to 1; exact, so that 95% of 20 are 19
    """

    runs: int | None = None
    share: Fraction | None = None

    def __post_init__(self) -> None:
        """Refuse what no batch could be measured by."""
        if (self.runs is None) == (self.share is None):
            raise ValueError("give either runs or share")
        if self.runs is not None and self.runs < 1:
            raise ValueError("runs must be 1 at least")
        if self.share is not None and not 0 < self.share <= 1:
            raise ValueError("share must be above 0 and up to 1")

    def required(self, total: int) -> int:
        """
        Return the least number of successes that is enough: at least 1, and perhaps more than there are runs.

        :param total: how many runs the batch has
        """
        if self.share is None:
            return self.runs or 1
        return max(1, -(-self.share.numerator * total // self.share.denominator))

    def is_met(self, succeeded: int, total: int) -> bool:
        """
        Whether the batch is a success. A batch of no runs never is.

        :param succeeded: how many of its runs completed
        :param total: how many runs it has, those included that could not be started
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
    Return what the ``success_policy`` argument asks for.

    It may be text that a template has rendered, blanks around it aside. A value with a decimal point or a
    percent sign is a share, one without is a number of runs: 1 and ``"1"`` mean one run; 1.0, ``"1.0"`` and
    ``"100%"`` mean all.

    =====================================  ==================================================
    ``"all"``                              every run; the same as ``"100%"``
    ``"any"``                              one run or more; the same as 1
    950, ``"950"``                         so many runs or more
    0.95, ``"0.95"``, ``"95%"``            such a share of all runs or more, exactly reckoned:
    ``"99.9%"``                            a run that is required in part is required
    =====================================  ==================================================

    :param value: the argument after rendering
    :param operation: API operation that it is for
    :raises HealthOmicsRequestError: if it is none of these
    :raises HealthOmicsTemplateError: if a template could not be rendered for a reason that may pass
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
        # By its shortest digits, which are those that were written: 0.95 is not a binary fraction.
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
    # A share that was written in decimals needs no more digits than these.
    percentage = share * 100
    number = Context(prec=50).divide(percentage.numerator, percentage.denominator)
    return f"{number.normalize():f}%"
