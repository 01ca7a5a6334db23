# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that a container gets before it starts: what is refused, what is sent, and that what is in them is not shown."""

from __future__ import annotations

import io
import tarfile
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.files import (
    PlacedFile,
    archive,
    fingerprints,
    parse_files,
)
from ansible_collections.hardshell.xen.plugins.module_utils._engine.plan import plan
from ansible_collections.hardshell.xen.plugins.module_utils._errors import OptionError
from hypothesis import given
from hypothesis import strategies as st

from .model import after, empty, spec_of, wanted_of

KEY = "/run/secrets/key"


def with_file(content: str, **more: t.Any) -> dict[str, dict[str, t.Any]]:
    return {"a": {"image": "box:1", "files": {KEY: {"content": content, **more}}}}


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["x"], r"^containers\.a\.files: "),
        ({KEY: "hunter2"}, r"^containers\.a\.files\./run/secrets/key: 'str'"),
        ({KEY: {"content": None}}, r"\.content: 'NoneType' .*the file's text"),
        ({KEY: {"content": ["hunter2"]}}, r"\.content: 'list'"),
        ({KEY: {"contents": "x"}}, r"\.contents: .*did you mean 'content'"),
        ({KEY: {"content": "x", "uid": "root"}}, r"\.uid: 'root'"),
        ({KEY: {"content": "x", "mode": "rw"}}, r"\.mode: 'rw'"),
        ({KEY: {"content": "x", "mode": 99999}}, r"\.mode: 99999"),
        ({KEY: {"content": "x", "mode": 644}}, r"\.mode: 644 .*in quotes, as \"0644\""),
        ({KEY: {"content_base64": "hunter2!"}}, r"\.content_base64: 'str' .*slurp"),
        ({KEY: {"content_base64": 7}}, r"\.content_base64: 'int'"),
        ({KEY: {"content_base64": "aGk=", "content": "x"}}, r"\.content_base64: 'str' .*keep one"),
        ({"key": {"content": "x"}}, r"^containers\.a\.files\.key: 'key' .*absolute path"),
    ],
)
def test_refusals(files: t.Any, message: str) -> None:
    with pytest.raises(OptionError, match=message) as failed:
        spec_of({"a": {"image": "box:1", "files": files}})
    assert "hunter2" not in failed.value.message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"read_only": True}, "read-only root"),
        ({"tmpfs": ["/run"]}, "mounted at /run would cover it"),
        ({"volumes": ["data:/run/secrets"]}, "mounted at /run/secrets would cover it"),
    ],
)
def test_where_a_file_would_not_be_seen_it_is_refused(options: dict[str, t.Any], message: str) -> None:
    with pytest.raises(OptionError, match=rf"^containers\.a\.files: .*{message}"):
        spec_of({"a": {**with_file("x")["a"], **options}})


def test_a_mount_with_a_like_name_covers_nothing() -> None:
    spec = spec_of({"a": {**with_file("x")["a"], "tmpfs": ["/run/secret"]}})
    assert spec.members["a"].files[KEY] == PlacedFile(b"x")


def test_a_changed_file_replaces_the_container_and_is_not_shown() -> None:
    old, new = spec_of(with_file("hunter2")), spec_of(with_file("hunter3"))
    observed = after(old, empty(), plan(old, empty(), wanted_of(old)))
    assert plan(old, observed, wanted_of(old)).summaries() == []
    (change,) = plan(new, observed, wanted_of(new)).summaries()
    assert (change["action"], change["reason"]) == ("replace", "files differs")
    assert change["before"] == {"files": {KEY: "(hidden), as it was"}}
    assert "hunter" not in f"{change}{new}{wanted_of(new)}"


@pytest.mark.parametrize("more", [{"uid": 1}, {"gid": 1}, {"mode": "0400"}])
def test_a_change_of_owner_or_permissions_is_one(more: dict[str, t.Any]) -> None:
    old, new = spec_of(with_file("x")), spec_of(with_file("x", **more))
    observed = after(old, empty(), plan(old, empty(), wanted_of(old)))
    assert [change["action"] for change in plan(new, observed, wanted_of(new)).summaries()] == ["replace"]


def test_equal_files_of_two_members_do_not_look_alike() -> None:
    files = parse_files("files", {KEY: {"content": "x"}})
    assert fingerprints("shop/a", files) != fingerprints("shop/b", files)
    assert fingerprints("shop/a", files) == fingerprints("shop/a", files)


paths = st.lists(st.from_regex(r"[a-z]{1,4}", fullmatch=True), min_size=1, max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
placed = st.builds(
    PlacedFile, st.binary(max_size=30), st.integers(0, 9), st.integers(0, 9), st.sampled_from([0o400, 0o444])
)


@given(st.dictionaries(paths, placed, max_size=3))
def test_the_archive_holds_the_files_and_nothing_else(files: dict[str, PlacedFile]) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive(files))) as tar:
        found = {
            f"/{entry.name}": PlacedFile(
                t.cast("io.BufferedReader", tar.extractfile(entry)).read(), entry.uid, entry.gid, entry.mode
            )
            for entry in tar
        }
    assert found == files


def test_bytes_that_are_no_text_come_in_base64() -> None:
    plain = parse_files("f", {KEY: {"content": "hi", "mode": "0400"}})
    assert parse_files("f", {KEY: {"content_base64": "aG\nk=\n", "mode": 0o400}}) == plain
    assert parse_files("f", {KEY: {"content_base64": "/wA="}})[KEY].content == b"\xff\0"
