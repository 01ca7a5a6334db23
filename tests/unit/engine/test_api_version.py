# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Which version of the API is spoken, with an engine of any age."""

from __future__ import annotations

import re
import typing as t
from types import SimpleNamespace

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.api import Engine
from ansible_collections.hardshell.xen.plugins.module_utils._engine.refuse import refuse_unknown
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .model import spec_of


class Client:
    """Answers every request as one engine would, and remembers what was asked.

    Refuses versions before ``oldest`` in the words of moby's daemon/server/middleware/version.go, as of Docker Engine 29.
    """

    base_url = "http://engine"
    timeout = 60

    def __init__(self, version: str, oldest: str = "1.24", **headers: str) -> None:
        self.asked: list[str] = []
        self._oldest = oldest
        self._headers = {"Api-Version": version, "Content-Length": "2", **headers}

    def request(self, method: str, url: str, **_options: t.Any) -> t.Any:
        self.asked.append(f"{method} {url}")
        asked = re.search(r"/v1\.(\d+)/", url)
        if asked and int(asked[1]) < int(self._oldest.partition(".")[2]):
            words = f"client version 1.{asked[1]} is too old. Minimum supported API version is {self._oldest}, please upgrade your client to a newer version"
            return SimpleNamespace(status_code=400, headers=self._headers, json=lambda: {"message": words})
        return SimpleNamespace(status_code=200, headers=self._headers, content=b"", json=dict)


@pytest.mark.parametrize(
    ("offered", "spoken"),
    [("1.41", (1, 41)), ("1.47", (1, 47)), ("1.55", (1, 55)), ("1.56", (1, 55)), ("1.100", (1, 55))],
)
def test_the_newest_version_that_both_sides_know_is_spoken(offered: str, spoken: tuple[int, int]) -> None:
    client = Client(offered)
    engine = Engine(client, "unix:///engine")
    engine.agree_on_version()
    engine.post("/containers/one/start")
    assert engine.api == spoken
    version = f"http://engine/v{spoken[0]}.{spoken[1]}"
    asked_again = [f"GET {version}/_ping"] if offered in ("1.56", "1.100") else []
    assert client.asked == ["GET http://engine/_ping", *asked_again, f"POST {version}/containers/one/start"]


@pytest.mark.parametrize(("oldest", "spoken"), [("1.44", (1, 55)), ("1.55", (1, 55)), ("1.57", (1, 57))])
def test_an_engine_that_no_longer_speaks_the_newest_known_version_is_spoken_to_in_its_oldest(
    oldest: str, spoken: tuple[int, int]
) -> None:
    engine = Engine(Client("1.60", oldest=oldest), "unix:///engine")
    engine.agree_on_version()
    assert engine.api == spoken
    engine.get("/containers/json")


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


def test_a_kernel_parameter_of_one_interface_is_refused_where_the_engine_moves_or_refuses_it() -> None:
    spec = spec_of({"web": {"image": "box:1", "sysctls": {"net.ipv4.conf.eth0.log_martians": 1}}})
    refuse_unknown(spec, (1, 45))
    with pytest.raises(
        HardshellError, match=r"^containers\.web\.sysctls\.net\.ipv4\.conf\.eth0\.log_martians: .*all or default"
    ):
        refuse_unknown(spec, (1, 46))
    refuse_unknown(spec_of({"web": {"image": "box:1", "sysctls": {"net.ipv4.conf.all.log_martians": 1}}}), (1, 55))
