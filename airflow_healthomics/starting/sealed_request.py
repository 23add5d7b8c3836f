# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Requests encrypted for a trigger.

A request contains the parameters of a run, which are patients' data. Airflow encrypts the arguments of a
trigger in its database, but before 3.3 its API shows them decrypted. So they are encrypted here as well, with
the same key.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Any, Final

#: Characters of an encrypted request. Airflow encrypts it again, which adds a third to its length, and MySQL
#: stores 65,535 bytes.
_LIMIT: Final = 40_000


def seal(fields: Mapping[str, Any]) -> str | None:
    """
    Encrypt a request with Airflow's ``[core] fernet_key``.

    :param fields: fields of the API operation
    :return: None if Airflow has no key, or if the request is too large for a trigger
    """
    fernet = _fernet()
    if fernet is None:
        return None
    sealed: str = fernet.encrypt(zlib.compress(json.dumps(fields).encode())).decode()
    return sealed if len(sealed) <= _LIMIT else None


def unseal(sealed: str) -> dict[str, Any] | None:
    """
    Decrypt a request.

    :param sealed: the encrypted request
    :return: None if the triggerer has another key than the worker
    """
    from cryptography.fernet import InvalidToken

    fernet = _fernet()
    if fernet is None:
        return None
    try:
        fields: dict[str, Any] = json.loads(zlib.decompress(fernet.decrypt(sealed.encode())))
    except InvalidToken:
        return None
    return fields


def _fernet() -> Any:
    """Return Airflow's cipher, or None if it has no key."""
    try:
        from airflow.models.crypto import get_fernet
    except ImportError:  # a worker with nothing but Airflow's Task SDK
        return None
    fernet = get_fernet()
    return fernet if fernet.is_encrypted else None
