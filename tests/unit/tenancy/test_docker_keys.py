# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The keys in which a pool's clients look for containers: what is written there, and what is read out of them."""

from __future__ import annotations

import typing as t
import xml.etree.ElementTree as ElementTree

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy import docker_keys
from ansible_collections.hardshell.xen.plugins.module_utils._tenancy.published import engine_facts, read_published
from hypothesis import given
from hypothesis import strategies as st

WEB: dict[str, t.Any] = {
    "Id": "5f1c2a" + "0" * 58,
    "Names": ["/shop_web"],
    "Image": "shop-web:1.4",
    "ImageID": "sha256:9b1d",
    "Command": "serve --password=s3cret",
    "Created": 1767225600,
    "State": "running",
    "Status": "Up 5 minutes (healthy)",
    "Ports": [
        {"IP": "0.0.0.0", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"IP": "::", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"},
        {"PrivatePort": 443, "Type": "tcp"},
    ],
    "Labels": {
        "hardshell.set": "shop",
        "hardshell.member": "web",
        "hardshell.links": "api,db:database",
        "token": "s3cret",
    },
    "HostConfig": {"NetworkMode": "shop_web", "Memory": 67108864, "NanoCpus": 500000000, "Privileged": False},
    "Env": ["TOKEN=s3cret"],
    "SizeRw": 4096,
    "NetworkSettings": {"Networks": {"shop_web": {"IPAddress": "172.18.0.2"}}},
}

# As xscontainer wrote it: texts escaped twice, Docker's own labels, sizes and networks.
XSCONTAINER = (
    '<?xml version="1.0" ?><docker_ps><item><entry><status>Up (Paused)</status><created>1446738110</created><image>nginx</image><labels>'
    '<SPECIAL_XS_ENCODED_ELEMENT name="1st">a</SPECIAL_XS_ENCODED_ELEMENT></labels><container>6a4bb9e65a</container><ports><item><IP>0.0.0.0</IP>'
    "<Type>tcp</Type><PublicPort>80</PublicPort><PrivatePort>80</PrivatePort></item></ports><names>front</names><sizerw>2</sizerw>"
    "<command>sh -c 'a &amp;amp;&amp;amp; b'</command><id>6a4bb9e65abc</id></entry></item></docker_ps>"
)


def ps(*containers: dict[str, t.Any]) -> str:
    return docker_keys.ps_document(docker_keys.published_containers(containers))[0]


def test_what_is_written_is_what_clients_look_for() -> None:
    """By what XenCenter's DockerContainers.cs and Xen Orchestra's tab of containers read."""
    text = ps(WEB)
    assert text.startswith('<?xml version="1.0" ?><docker_ps><item><entry>')
    (entry,) = ElementTree.fromstring(text).iterfind("item/entry")
    read = {
        name: entry.findtext(name) for name in ("id", "names", "status", "container", "created", "image", "command")
    }
    assert read == {
        "id": WEB["Id"],
        "names": "shop_web",
        "status": "Up",
        "container": "5f1c2a0000",
        "created": "1767225600",
        "image": "shop-web:1.4",
        "command": "serve",
    }
    first = entry.findall("ports/item")[1]
    assert [(child.tag, child.text) for child in first] == [
        ("IP", "0.0.0.0"),
        ("PrivatePort", "80"),
        ("PublicPort", "8080"),
        ("Type", "tcp"),
    ]
    assert "s3cret" not in text
    assert "172.18" not in text


def test_nothing_runs() -> None:
    assert ps() == '<?xml version="1.0" ?><docker_ps/>'
    assert read_published({"docker_ps": ps()}, "u").containers == ()


@pytest.mark.parametrize(
    ("state", "told", "status"),
    [
        ("running", "Up 2 seconds", "Up"),
        ("running", "Up 3 days (health: starting)", "Up"),
        ("paused", "Up 5 minutes (Paused)", "Up (Paused)"),
        ("exited", "Exited (137) 2 hours ago", "Exited (137)"),
        ("restarting", "Restarting (1) 4 seconds ago", "Restarting (1)"),
        ("created", "Created", "Created"),
        ("dead", "Dead", "Dead"),
    ],
)
def test_a_status_has_no_time_in_it(state: str, told: str, status: str) -> None:
    (container,) = read_published({"docker_ps": ps({**WEB, "State": state, "Status": told})}, "u").containers
    assert (container["state"], container["status"]) == (state, status)


def test_time_that_passes_and_another_order_of_ports_make_no_other_document() -> None:
    later = {
        **WEB,
        "Status": "Up 6 minutes (healthy)",
        "Ports": WEB["Ports"][::-1],
        "SizeRw": 8192,
        "NetworkSettings": {},
    }
    assert ps(later) == ps(WEB)
    assert ps({**WEB, "Status": "Up 6 minutes (unhealthy)"}) != ps(WEB)


def test_what_is_published_is_read_back() -> None:
    (web,) = read_published({"docker_ps": ps(WEB)}, "u").containers
    assert web == {
        "id": WEB["Id"],
        "name": "shop_web",
        "image": "shop-web:1.4",
        "image_id": "sha256:9b1d",
        "command": "serve",
        "created": 1767225600,
        "state": "running",
        "status": "Up",
        "health": "healthy",
        "ports": ["[::]:8080->80/tcp", "0.0.0.0:8080->80/tcp", "443/tcp"],
        "set": "shop",
        "member": "web",
        "tenant": None,
        "links": ["api", "db:database"],
        "memory": 67108864,
        "cpus": 0.5,
        "privileged": False,
    }


def test_what_xscontainer_wrote_is_read() -> None:
    found = read_published({"docker_ps": XSCONTAINER}, "u")
    (front,) = found.containers
    assert found.problem == ""
    assert (front["name"], front["state"], front["ports"]) == ("front", "paused", ["0.0.0.0:80->80/tcp"])
    assert front["command"] == "sh -c 'a && b'"
    assert (front["set"], front["memory"], front["privileged"]) == (None, None, None)


@pytest.mark.parametrize(
    "broken",
    [
        XSCONTAINER[:200],
        "garbage",
        '<!DOCTYPE a [<!ENTITY b "c">]><docker_ps/>',
        "<docker_ps>\x01</docker_ps>",
    ],
)
def test_what_cannot_be_read_is_a_problem_and_no_failure(broken: str) -> None:
    found = read_published({"docker_ps": broken}, "u")
    assert found.containers == ()
    assert found.problem.startswith("docker_ps cannot be read: ")
    assert engine_facts(broken) == {}


def test_what_a_clone_has_copied_is_not_its_own() -> None:
    copied = {"docker_ps": ps(WEB), "hardshell:vm": "of the original"}
    assert read_published(copied, "of the clone").containers == ()
    assert len(read_published(copied, "of the original").containers) == 1


def test_the_engine_is_read_back_without_what_changes_all_the_time() -> None:
    info = {
        "ServerVersion": "28.5",
        "NCPU": 2,
        "ContainersRunning": 3,
        "SystemTime": "now",
        "SecurityOptions": ["a", "b"],
    }
    told = engine_facts(docker_keys.info_document(info))
    assert told == {"ServerVersion": "28.5", "NCPU": "2", "SecurityOptions": ["a", "b"]}
    assert engine_facts(docker_keys.version_document({"ApiVersion": "1.51"})) == {"ApiVersion": "1.51"}


def test_what_is_too_much_is_left_out_by_name() -> None:
    many = [{**WEB, "Id": f"{number:064}", "Names": [f"/web-{number:04}"]} for number in range(300)]
    text, left_out = docker_keys.ps_document(docker_keys.published_containers(reversed(many)))
    assert len(text.encode()) <= docker_keys.MOST_BYTES
    kept = read_published({"docker_ps": text}, "u").containers
    assert len(kept) + left_out == 300
    assert [container["name"] for container in kept] == [f"web-{number:04}" for number in range(len(kept))]


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries({}, optional={key: st.text() for key in ("Id", "Image", "Command", "State", "Status")}),
    anything,
)
def test_whatever_an_engine_reports_is_written_whole(texts: dict[str, str], value: t.Any) -> None:
    """A document that XAPI would cut, or that is none, breaks the clients."""
    container = {**texts, "Names": [value], "Ports": [{"IP": value}], "Labels": {"hardshell.set": value}}
    text = ps(container)
    assert all(character.isprintable() for character in text)
    found = read_published({"docker_ps": text}, "u")
    assert (found.problem, len(found.containers)) == ("", 1)
    assert set(engine_facts(docker_keys.info_document({"Name": value, "other": value}))) <= {"Name"}
