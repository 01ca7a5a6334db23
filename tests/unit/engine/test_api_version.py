# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which version of the API is spoken, with an engine of any age."""

from __future__ import annotations

import typing as t
from types import SimpleNamespace

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.api import Engine
from ansible_collections.hardshell.xen.plugins.module_utils._engine.refuse import refuse_unknown
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .model import spec_of


class Client:
    """Answers every request as one engine would, and remembers what was asked."""

    base_url = "http://engine"
    timeout = 60

    def __init__(self, version: str, **headers: str) -> None:
        self.asked: list[str] = []
        self._answer = SimpleNamespace(
            status_code=200, headers={"Api-Version": version, "Content-Length": "2", **headers}, content=b""
        )

    def request(self, method: str, url: str, **_options: t.Any) -> t.Any:
        self.asked.append(f"{method} {url}")
        return self._answer


@pytest.mark.parametrize(
    ("offered", "spoken"),
    [("1.41", (1, 41)), ("1.47", (1, 47)), ("1.51", (1, 51)), ("1.52", (1, 51)), ("1.100", (1, 51))],
)
def test_the_newest_version_that_both_sides_know_is_spoken(offered: str, spoken: tuple[int, int]) -> None:
    client = Client(offered)
    engine = Engine(client, "unix:///engine")
    engine.agree_on_version()
    engine.post("/containers/one/start")
    assert engine.api == spoken
    assert client.asked == [
        "GET http://engine/_ping",
        f"POST http://engine/v{spoken[0]}.{spoken[1]}/containers/one/start",
    ]


@pytest.mark.parametrize(
    ("offered", "sign"),
    [("1.40", r"1\.41 \(Docker Engine 20\.10\) or later is needed"), ("", "is not a Docker Engine")],
)
def test_an_engine_that_is_too_old_or_none_is_refused(offered: str, sign: str) -> None:
    with pytest.raises(HardshellError, match=sign):
        Engine(Client(offered), "unix:///engine").agree_on_version()


def test_podmans_service_is_refused_for_what_it_does_not_keep() -> None:
    with pytest.raises(HardshellError, match="is Podman"):
        Engine(Client("1.41", **{"Libpod-Api-Version": "4.3.1"}), "unix:///engine").agree_on_version()


def test_what_the_engine_does_not_know_is_refused_by_name() -> None:
    spec = spec_of({"web": {"image": "box:1", "annotations": {"a": "b"}}})
    with pytest.raises(
        HardshellError,
        match=r"^containers\.web\.annotations: the engine speaks API 1\.41, .* 1\.43 \(Docker Engine 24\)",
    ):
        refuse_unknown(spec, (1, 41))
    refuse_unknown(spec, (1, 43))
    refuse_unknown(spec_of({"web": {"image": "box:1", "annotations": {}}}), (1, 41))
