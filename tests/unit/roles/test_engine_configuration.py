# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The engine's configuration, as the role container_host wants it."""

from __future__ import annotations

import base64
import importlib.util
import json
import typing as t
from pathlib import Path

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).parents[3] / "roles"


def wanted(found: str, **variables: t.Any) -> t.Any:
    """The content of daemon.json that the role puts in the place of what is ``found``."""
    role = ROLES / "container_host"
    known: dict[str, t.Any] = {"ansible_host": "vm", "inventory_hostname": "vm", "ansible_facts": {}, "role_path": role}
    for file in ("defaults/main.yml", "vars/main.yml"):
        loaded = yaml.safe_load((role / file).read_text(encoding="utf-8"))
        known.update({name: _trusted(value) for name, value in loaded.items()})
    seen = base64.b64encode(found.encode()).decode()
    known.update(variables, __container_host_looked={"stdout": f"hardshell-daemon: {seen}\r\n"})
    return Templar(DataLoader(), variables=known).template(trust_as_template("{{ __container_host_wanted_daemon }}"))


def _trusted(value: t.Any) -> t.Any:
    return trust_as_template(value) if isinstance(value, str) else value


def built_into_the_image() -> str:
    path = ROLES / "guest_image/files/debian_guest.py"
    specification = importlib.util.spec_from_file_location("debian_guest", path)
    assert specification
    assert specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    return t.cast("str", module.LATE_FILES["/etc/docker/daemon.json"])


def test_the_guest_image_holds_what_the_role_asks_for_without_being_told() -> None:
    image = built_into_the_image()
    assert wanted("") == json.loads(image)
    assert wanted(image) == json.loads(image)


@pytest.mark.parametrize(
    ("found", "asked", "there"),
    [
        pytest.param('{"log-driver": "journald"}', {}, {"log-driver": "journald", "live-restore": True}, id="a driver of its own"),
        pytest.param('{"live-restore": false, "log-opts": {}}', {}, {"live-restore": False, "log-opts": {}}, id="switched off"),
        pytest.param(
            '{"live-restore": false, "log-opts": {"tag": "a"}}',
            {"live-restore": True, "log-opts": {"labels": "b"}},
            {"live-restore": True, "log-opts": {"tag": "a", "labels": "b"}},
            id="asked for",
        ),
    ],
)  # fmt: skip
def test_what_is_there_counts_and_what_is_asked_for_counts_more(
    found: str, asked: dict[str, t.Any], there: dict[str, t.Any]
) -> None:
    assert wanted(found, container_host_daemon=asked) == there
