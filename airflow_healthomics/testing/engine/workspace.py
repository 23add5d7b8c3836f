# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""The files of computed runs, in a temporary directory."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path


class Workspace:
    """
    A temporary directory with the inputs, the working directories, and the cached outputs of runs.

    It is made with the first file. Copies of inputs are named after their content, so that equal inputs of
    two runs have equal paths, by which miniwdl recognizes them.
    """

    def __init__(self) -> None:
        self._root: Path | None = None

    def _folder(self, *names: str) -> Path:
        if self._root is None:
            # Without symbolic links, since miniwdl refuses outputs outside of the working directory.
            self._root = Path(tempfile.mkdtemp(prefix="healthomics-")).resolve()
        folder = self._root.joinpath(*names)
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def run_folder(self, uuid: str) -> Path:
        """Return the folder of a run."""
        return self._folder("runs", uuid)

    def unpack(self, uuid: str, archive: bytes) -> Path:
        """Unpack the definition of a run, and return its folder."""
        folder = self.run_folder(uuid) / "definition"
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            opened.extractall(folder)
        return folder

    def copy(self, uri: str, etag: str, read: Callable[[], bytes]) -> Path:
        """
        Return the local copy of an object.

        :param read: Returns its content, which is needed only for the first copy.
        """
        digest = hashlib.sha256(f"{uri}\n{etag}".encode()).hexdigest()[:32]
        copy = self._folder("objects", digest) / uri.rpartition("/")[2]
        _write(copy, read)
        return copy

    def copy_all(self, prefix: str, objects: dict[str, tuple[str, Callable[[], bytes]]]) -> Path:
        """
        Return the local copy of all objects below a prefix.

        :param objects: ETag and reader by the rest of the key.
        """
        content = "\n".join(f"{key} {objects[key][0]}" for key in sorted(objects))
        digest = hashlib.sha256(f"{prefix}\n{content}".encode()).hexdigest()[:32]
        folder = self._folder("objects", digest) / prefix.rstrip("/").rpartition("/")[2]
        for key, (_, read) in objects.items():
            file = (folder / key).resolve()
            if file.is_relative_to(folder):
                file.parent.mkdir(parents=True, exist_ok=True)
                _write(file, read)
        return folder

    def cache_folder(self, cache_id: str) -> Path:
        """Return the folder of a run cache."""
        return self._folder("caches", cache_id)

    def new_cache_folder(self, uuid: str) -> Path:
        """Return the folder for what a run may add to its run cache."""
        return self._folder("runs", uuid, "cache")

    def save_cache(self, uuid: str, cache_id: str) -> None:
        """Add the outputs of a run's tasks to its run cache."""
        shutil.copytree(self.new_cache_folder(uuid), self.cache_folder(cache_id), dirs_exist_ok=True)

    def remove(self) -> None:
        """Remove everything."""
        if self._root is not None:
            shutil.rmtree(self._root, ignore_errors=True)
            self._root = None


def _write(file: Path, read: Callable[[], bytes]) -> None:
    """Write a file that no task can change, if it is not there yet."""
    if file.exists():
        return
    with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as partial:
        partial.write(read())
    os.chmod(partial.name, 0o444)
    os.replace(partial.name, file)


def files_below(folder: Path) -> dict[str, Path]:
    """Return the files of a folder by their relative paths, following links, without those of miniwdl."""
    return {
        str(Path(parent, name).relative_to(folder)): Path(parent, name)
        for parent, _, names in os.walk(folder, followlinks=True)
        for name in names
        if name != ".WDL_Directory"
    }


def tail(file: str | None, limit: int = 1_000_000) -> list[str]:
    """Return the last lines of a log file, of at most ``limit`` bytes."""
    if file is None or not os.path.exists(file):
        return []
    with open(file, "rb") as opened:
        opened.seek(max(0, os.path.getsize(file) - limit))
        return opened.read().decode(errors="replace").splitlines()
