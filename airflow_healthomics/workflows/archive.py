# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""
Zip archives of workflow definitions, and digests of their content.

The digest covers the paths of the files, their contents and whether they are executable. It does not cover
the archive itself: zlib compresses differently on different machines.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple

#: Directories and files that are no part of a definition: HealthOmics ignores hidden ones when it looks for
#: definition files, and macOS and Python add the others.
#: https://docs.aws.amazon.com/omics/latest/dev/workflow-defn-packaging.html
_IGNORED: Final = frozenset({"__MACOSX", "__pycache__"})

#: Time of all entries, the earliest that a zip archive can have, and the permissions of files.
_TIME: Final = (1980, 1, 1, 0, 0, 0)
_REGULAR: Final = 0o100644
_EXECUTABLE: Final = 0o100755

#: Bytes of all files, which are held in memory. The archive is limited to a tenth of it.
MAX_CONTENT: Final = 1_000_000_000

#: Seconds for a command of git.
_GIT_SECONDS: Final = 300


class File(NamedTuple):
    """
    A file of a definition.

    :param path: relative path, with slashes
    :param content: its content
    :param is_executable: whether its owner may execute it, such as a script in ``bin``
    """

    path: str
    content: bytes
    is_executable: bool = False


class Archive(NamedTuple):
    """
    A definition.

    :param content: the zip archive
    :param digest: SHA-256 of the content of its files, as 64 hexadecimal digits
    :param file_count: number of files
    """

    content: bytes
    digest: str
    file_count: int


def archive_of(files: Iterable[File]) -> Archive:
    """
    Return the archive of files. Hidden files, and others that are no part of a definition, are left out.

    :param files: in any order
    :raises ValueError: if there are none, they are too large, two have the same path, or a path leads out of
        the archive
    """
    kept, size = [], 0
    for file in files:
        if _is_ignored(file.path):
            continue
        size += len(file.content)
        if size > MAX_CONTENT:
            raise ValueError(f"has more than {MAX_CONTENT:,} bytes of files, too much for a workflow")
        kept.append(file)
    if not kept:
        raise ValueError("has no files")
    kept.sort()
    digest, buffer = hashlib.sha256(), io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        previous = None
        for file in kept:
            if file.path == previous:
                raise ValueError(f"has two files {file.path}")
            previous = file.path
            for part in (file.path.encode(), b"x" if file.is_executable else b"-", file.content):
                # Lengths keep the end of one part from being the beginning of the next.
                digest.update(len(part).to_bytes(8, "big") + part)
            info = zipfile.ZipInfo(file.path, date_time=_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.create_system = 3  # Unix, on every system
            info.external_attr = (_EXECUTABLE if file.is_executable else _REGULAR) << 16
            archive.writestr(info, file.content)
    return Archive(buffer.getvalue(), digest.hexdigest(), len(kept))


def files_in_folder(folder: Path) -> Iterator[File]:
    """
    Yield the files below a folder. Links to files count as files; links to folders are not followed.

    :param folder: its path
    :raises ValueError: if a file cannot be read
    """
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not _is_ignored(name)]
        for path in (Path(parent, name) for name in names if not _is_ignored(name)):
            relative = path.relative_to(folder).as_posix()
            try:
                yield File(relative, path.read_bytes(), bool(path.stat().st_mode & 0o100))
            except OSError as error:
                raise ValueError(f"has a file {relative} that cannot be read: {error.strerror}") from None


def files_in_zip(content: bytes) -> Iterator[File]:
    """
    Yield the files in a zip archive.

    :param content: the archive
    :raises ValueError: if it is not a zip archive, or is damaged
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for info in archive.infolist():
                if not info.is_dir():
                    is_executable = bool(info.external_attr >> 16 & 0o100)
                    yield File(info.filename, archive.read(info), is_executable)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError):
        # RuntimeError: it is encrypted.
        raise ValueError("is not a readable zip archive") from None


def files_in_commit(checkout: Path, ref: str) -> Iterator[File]:
    """
    Yield the files of a commit, below a folder of a git checkout.

    :param checkout: folder of the checkout, or a bare repository
    :param ref: commit, tag or branch
    :raises ValueError: if git is missing or fails
    """
    content = _git(checkout, "archive", "--format=tar", resolved_commit(checkout, ref))
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        for member in archive.getmembers():
            try:
                opened = None if member.isdir() else archive.extractfile(member)
            except KeyError:
                raise ValueError(f"has a link {member.name} to a file outside the folder") from None
            if opened is not None:
                yield File(member.name, opened.read(), bool(member.mode & 0o100))


def resolved_commit(checkout: Path, ref: str) -> str:
    """
    Return the hash of a commit.

    :param checkout: folder of the checkout, or a bare repository
    :param ref: commit, tag or branch
    :raises ValueError: if git is missing or finds no such commit
    """
    if ref.startswith("-"):
        raise ValueError(f"has no commit {ref}")
    return _git(checkout, "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}").decode().strip()


def _git(folder: Path, *arguments: str) -> bytes:
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, timeout=_GIT_SECONDS, check=False)  # noqa: S603
    except FileNotFoundError:
        raise ValueError("needs git, which is not installed here") from None
    except subprocess.TimeoutExpired:
        raise ValueError(f"is too slow: git took more than {_GIT_SECONDS} seconds") from None
    if done.returncode:
        reason = done.stderr.decode(errors="replace").strip() or "it finds no such commit"
        raise ValueError(f"cannot be read by git: {reason}")
    return done.stdout


def _is_ignored(path: str) -> bool:
    """Whether a path is no part of a definition."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or "\\" in path:
        raise ValueError(f"has a path that leads out of it: {path}")
    return any(part.startswith(".") or part in _IGNORED for part in pure.parts)
