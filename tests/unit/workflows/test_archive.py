# SPDX-FileCopyrightText: The airflow-healthomics authors
# SPDX-License-Identifier: Apache-2.0
"""Zip archives of definitions, and their digests."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_healthomics.workflows import archive
from airflow_healthomics.workflows.archive import (
    File,
    archive_of,
    files_in_commit,
    files_in_folder,
    files_in_zip,
    resolved_commit,
)

needs_git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

FILES = {"main.wdl": b"version 1.0", "tasks/align.wdl": b"version 1.0\n", "bin/report.sh": b"#!/bin/sh"}


def names_in(content: bytes) -> list[str]:
    """Return the names of the entries of a zip archive."""
    return zipfile.ZipFile(io.BytesIO(content)).namelist()


def zipped(files: dict[str, bytes], year: int = 2020) -> bytes:
    """Return a zip archive as others make it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as opened:
        for name, content in files.items():
            opened.writestr(zipfile.ZipInfo(name, (year, 1, 1, 0, 0, 0)), content)
    return buffer.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a definition, and what belongs to none."""
    junk = {".git/HEAD": b"x", "tasks/.DS_Store": b"x", "bin/__pycache__/a.pyc": b"x", ".nextflow.log": b"x"}
    for name, content in {**FILES, **junk}.items():
        path = tmp_path / "definition" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "definition" / "bin" / "report.sh").chmod(0o755)
    return tmp_path / "definition"


def git(folder: Path, *arguments: str) -> str:
    """Run git, whatever the settings of the user."""
    settings = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *settings, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_folder_has_the_same_archive_whenever_it_is_read(folder: Path) -> None:
    """The times of the files and the order of the file system do not matter."""
    first = archive_of(files_in_folder(folder))
    for path in folder.rglob("*"):
        os.utime(path, (1_000_000_000, 1_000_000_000))
    assert archive_of(reversed(list(files_in_folder(folder)))) == first
    assert names_in(first.content) == sorted(FILES)
    assert first.file_count == len(FILES)


def test_executable_files_stay_executable(folder: Path) -> None:
    """Nextflow runs the scripts in bin."""
    made = archive_of(files_in_folder(folder))
    infos = zipfile.ZipFile(io.BytesIO(made.content)).infolist()
    assert {info.filename for info in infos if info.external_attr >> 16 & 0o100} == {"bin/report.sh"}
    (folder / "bin" / "report.sh").chmod(0o644)
    assert archive_of(files_in_folder(folder)).digest != made.digest


def test_a_zip_file_has_the_digest_of_its_files() -> None:
    """Whoever made it, and when."""
    first = archive_of(files_in_zip(zipped(FILES)))
    again = archive_of(files_in_zip(zipped(dict(reversed(FILES.items())), year=2026)))
    assert first == again
    assert archive_of(files_in_zip(first.content)) == first
    assert archive_of(File(name, content) for name, content in FILES.items()) == first


def test_what_macos_adds_is_left_out() -> None:
    """It is no part of the workflow."""
    files = {**FILES, "__MACOSX/._main.wdl": b"x", "tasks/": b""}
    assert archive_of(files_in_zip(zipped(files))) == archive_of(files_in_zip(zipped(FILES)))


PATHS = st.text("abc/", min_size=1, max_size=5).filter(
    lambda path: not path.startswith("/") and not path.endswith("/") and "//" not in path
)
SETS = st.dictionaries(PATHS, st.binary(max_size=3), min_size=1, max_size=3)


@given(SETS, SETS)
def test_digests_are_equal_for_equal_files_only(one: dict[str, bytes], other: dict[str, bytes]) -> None:
    """The end of one file is never taken for the beginning of the next."""
    digests = [archive_of(File(*item) for item in files.items()).digest for files in (one, other)]
    assert (digests[0] == digests[1]) == (one == other)


@pytest.mark.parametrize("path", ["../main.wdl", "/main.wdl", "a/../../main.wdl", "..\\main.wdl"])
def test_a_path_that_leads_out_is_refused(path: str) -> None:
    """HealthOmics extracts the archive."""
    with pytest.raises(ValueError, match="leads out of it"):
        archive_of([File(path, b"x")])


def test_two_files_of_a_name_are_refused() -> None:
    """One of them would be lost."""
    with pytest.raises(ValueError, match=r"two files main\.wdl"):
        archive_of([File("main.wdl", b"x"), File("main.wdl", b"y")])


def test_no_files_are_refused(tmp_path: Path) -> None:
    """A folder is easily misspelt."""
    (tmp_path / ".hidden").write_text("x")
    with pytest.raises(ValueError, match="has no files"):
        archive_of(files_in_folder(tmp_path))


def test_too_many_bytes_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody passes the wrong folder, or a zip file that unpacks to more than a worker has."""
    monkeypatch.setattr(archive, "MAX_CONTENT", 30)
    read = iter([File("a", b"x" * 20), File("b", b"x" * 20), File("c", b"x" * 20)])
    with pytest.raises(ValueError, match="more than 30 bytes"):
        archive_of(read)
    assert [file.path for file in read] == ["c"]


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", zipped(FILES)[:-30]])
def test_a_damaged_zip_file_is_refused(content: bytes) -> None:
    """Before anything is sent."""
    with pytest.raises(ValueError, match="is not a readable zip archive"):
        list(files_in_zip(content))


def test_a_broken_link_is_refused(folder: Path) -> None:
    """By the name of the file."""
    (folder / "lost.wdl").symlink_to(folder / "nowhere.wdl")
    with pytest.raises(ValueError, match=r"lost\.wdl that cannot be read"):
        list(files_in_folder(folder))


# --- git ---


@pytest.fixture
def checkout(folder: Path) -> Path:
    """A checkout whose commit has the files, and which was changed since."""
    shutil.rmtree(folder / ".git")
    git(folder, "init", "--quiet")
    git(folder, "add", *FILES)
    git(folder, "commit", "--quiet", "--message", "first")
    git(folder, "tag", "v1")
    (folder / "main.wdl").write_text("version 1.1")
    (folder / "untracked.wdl").write_text("x")
    return folder


@needs_git
def test_a_commit_has_the_files_that_were_committed(checkout: Path) -> None:
    """Neither changes nor untracked files; the digest is that of such a folder."""
    files = {file.path: file for file in files_in_commit(checkout, "v1") if not file.path.startswith(".")}
    assert {path: file.content for path, file in files.items()} == FILES
    assert files["bin/report.sh"].is_executable
    (checkout / "main.wdl").write_bytes(FILES["main.wdl"])
    (checkout / "untracked.wdl").unlink()
    assert archive_of(files.values()).digest == archive_of(files_in_folder(checkout)).digest


@needs_git
def test_a_folder_of_a_checkout_has_its_files_only(checkout: Path) -> None:
    """A repository may have several workflows."""
    assert [file.path for file in files_in_commit(checkout / "tasks", "HEAD")] == ["align.wdl"]


@needs_git
def test_a_tag_is_resolved_to_its_commit(checkout: Path) -> None:
    """Annotated tags too."""
    commit = git(checkout, "rev-parse", "HEAD")
    git(checkout, "tag", "--annotate", "v2", "--message", "x")
    assert resolved_commit(checkout, "v1") == resolved_commit(checkout, "v2") == commit


@needs_git
@pytest.mark.parametrize("ref", ["v9", "--output=x", ""])
def test_an_unknown_commit_is_refused(checkout: Path, ref: str) -> None:
    """No ref is taken for an option of git."""
    with pytest.raises(ValueError, match=r"no (such )?commit"):
        list(files_in_commit(checkout, ref))
    assert not (checkout / "x").exists()


@needs_git
def test_a_folder_without_git_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the reason of git."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    with pytest.raises(ValueError, match=r"cannot be read by git: .*not a git repository"):
        list(files_in_commit(tmp_path, "HEAD"))


def test_a_missing_git_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Amazon MWAA has none."""
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ValueError, match="needs git"):
        list(files_in_commit(folder, "HEAD"))
