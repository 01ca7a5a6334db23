# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whose engine it is, and what others have on it: refused before anything is changed."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.observe import Neighbour, Network
from ansible_collections.hardshell.xen.plugins.module_utils._engine.ports import parse_ports
from ansible_collections.hardshell.xen.plugins.module_utils._engine.refuse import refuse_foreign, refuse_taken_ports
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError

from .model import empty, spec_of

WEB: dict[str, t.Any] = {"web": {"image": "box:1", "ports": ["8080:80"]}}
OURS = Neighbour("shop_web", "shop", "acme", True, tuple(parse_ports("ports", "8080:80")))


def with_network(set_name: str, tenant: str, name: str = "shop_web") -> dict[str, Network]:
    return {name: Network(name, "n", set_name, tenant)}


@pytest.mark.parametrize(
    "held",
    [
        {"neighbours": (dataclasses.replace(OURS, name="other", set="blog", tenant="globex"),)},
        {"networks": with_network("blog", "globex", "blog_db")},
    ],
)
@pytest.mark.parametrize("adopt", [False, True])
def test_an_engine_with_the_mark_of_another_tenant_is_refused(held: dict[str, t.Any], adopt: bool) -> None:
    with pytest.raises(HardshellError, match="^tenant: the engine carries the mark of tenant 'globex'"):
        refuse_foreign(spec_of(WEB, adopt=adopt), dataclasses.replace(empty(), **held))


@pytest.mark.parametrize("suffix", ["", ".new", ".old"])
def test_a_name_that_the_set_needs_and_another_has_is_refused(suffix: str) -> None:
    strange = dataclasses.replace(OURS, name=f"shop_web{suffix}", set="", tenant="")
    with pytest.raises(HardshellError, match=rf"^containers\.web: the engine holds a container shop_web{suffix} "):
        refuse_foreign(spec_of(WEB), dataclasses.replace(empty(), neighbours=(strange,)))


@pytest.mark.parametrize(("set_name", "adopt", "refused"), [("", False, True), ("", True, False), ("blog", True, True)])
def test_a_network_of_that_name_is_used_only_where_it_is_nobodys_and_that_is_asked_for(
    set_name: str, adopt: bool, refused: bool
) -> None:
    state = dataclasses.replace(empty(), networks=with_network(set_name, ""))
    if refused:
        with pytest.raises(
            HardshellError, match="^network: the engine holds a network shop_web that is not this set's"
        ):
            refuse_foreign(spec_of(WEB, adopt=adopt), state)
    else:
        refuse_foreign(spec_of(WEB, adopt=adopt), state)


def test_what_is_the_sets_own_is_in_nobodys_way() -> None:
    others = dataclasses.replace(OURS, name="blog_db", set="blog", ports=())
    state = dataclasses.replace(empty(), neighbours=(OURS, others), networks=with_network("shop", "acme"))
    refuse_foreign(spec_of(WEB), state)
    refuse_taken_ports(spec_of(WEB), state)


@pytest.mark.parametrize(("running", "published"), [(True, "8080:80"), (True, "127.0.0.1:8080:1"), (False, "8080:80")])
def test_a_port_that_a_running_container_of_others_has_is_refused(running: bool, published: str) -> None:
    other = Neighbour("blog_web", "blog", "acme", running, tuple(parse_ports("ports", published)))
    state = dataclasses.replace(empty(), neighbours=(OURS, other))
    if running:
        with pytest.raises(HardshellError, match=r"^containers\.web\.ports: .* is taken by the container blog_web"):
            refuse_taken_ports(spec_of(WEB), state)
    else:
        refuse_taken_ports(spec_of(WEB), state)
