# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Networks of a set with options, or that were there before it, and addresses that are fixed."""

from __future__ import annotations

import dataclasses
import typing as t

import pytest
from ansible_collections.hardshell.xen.plugins.module_utils._engine.compose.parameters import parse_task
from ansible_collections.hardshell.xen.plugins.module_utils._engine.observe import Network, read_attachment
from ansible_collections.hardshell.xen.plugins.module_utils._engine.plan import plan
from ansible_collections.hardshell.xen.plugins.module_utils._engine.refuse import refuse_foreign, refuse_networks
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError, OptionError

from .model import after, empty, parameters, spec_of, wanted_of

BACK: dict[str, t.Any] = {"internal": True, "ipam_config": [{"subnet": "172.30.0.0/24"}]}
MEMBERS: dict[str, t.Any] = {
    "web": {"image": "box:1", "networks": ["front", "back"]},
    "db": {"image": "box:1", "networks": {"back": {"aliases": ["store"], "ipv4_address": "172.30.0.9"}}},
}


def deployed(**networks: t.Any) -> tuple[t.Any, t.Any]:
    spec = spec_of(MEMBERS, network="declared", networks=networks)
    return spec, after(spec, empty(), plan(spec, empty(), wanted_of(spec)))


def test_other_options_are_another_network_and_the_old_one_goes_last() -> None:
    spec, observed = deployed(back=BACK)
    assert plan(spec, observed, wanted_of(spec)).changed is False
    (old,) = set(observed.networks) - {"shop_front"}
    other, _now = deployed(back={**BACK, "internal": False})
    planned = plan(other, observed, wanted_of(other))
    told = [(change.action, change.kind, change.name) for change in planned.changes]
    (new,) = set(other.networks()) - {"shop_front"}
    assert new != old
    assert told[0] == ("create", "network", new)
    assert told[-1] == ("remove", "network", old)
    assert ("replace", "container", "db") in told
    now = after(other, observed, planned)
    assert plan(other, now, wanted_of(other)).summaries() == []


def test_what_is_to_be_made_is_shown_as_it_is_written() -> None:
    spec = spec_of(MEMBERS, network="declared", networks={"back": BACK})
    made = [change for change in plan(spec, empty(), wanted_of(spec)).changes if change.kind == "network"]
    assert [change.after for change in made] == [{"driver": "bridge", **BACK}, {"driver": "bridge"}]
    assert made[0].payload == {
        "Internal": True,
        "IPAM": {"Driver": "default", "Config": [{"Subnet": "172.30.0.0/24"}]},
    }


def test_an_external_network_is_joined_and_left_alone() -> None:
    spec, _now = deployed(front={"external": True, "name": "proxy"}, back=BACK)
    assert "proxy" in wanted_of(spec)["web"].attachments
    with pytest.raises(HardshellError, match=r"^networks\.front: the engine holds no network proxy"):
        refuse_networks(spec, empty())
    there = dataclasses.replace(empty(), networks={"proxy": Network("proxy", "1", "", "")})
    refuse_networks(spec, there)
    refuse_foreign(spec, there)
    planned = plan(spec, there, wanted_of(spec))
    assert "network:proxy" not in [change.id for change in planned.changes]
    gone = plan(spec_of(None, state="absent"), after(spec, there, planned), {})
    assert "network:proxy" not in [change.id for change in gone.changes]


@pytest.mark.parametrize(
    ("report", "fits"),
    [
        ({"Internal": True, "IPAM": {"Config": [{"Subnet": "172.30.0.0/24", "Gateway": "172.30.0.1"}]}}, True),
        ({"Internal": False, "IPAM": {"Config": [{"Subnet": "172.30.0.0/24"}]}}, False),
        ({"Internal": True, "IPAM": {"Config": [{"Subnet": "172.31.0.0/24"}]}}, False),
    ],
)
def test_a_network_that_keeps_its_name_keeps_its_options(report: dict[str, t.Any], fits: bool) -> None:
    spec, _now = deployed(back={**BACK, "name": "inside"})
    there = dataclasses.replace(empty(), networks={"inside": Network("inside", "1", "shop", "acme", report)})
    if fits:
        refuse_networks(spec, there)
    else:
        with pytest.raises(HardshellError, match=r"^networks\.back: the engine holds inside with other options"):
            refuse_networks(spec, there)


def there_is(name: str, subnet: str, set_name: str = "", **report: t.Any) -> t.Any:
    network = Network(
        name, "1", set_name, "acme" if set_name else "", {"IPAM": {"Config": [{"Subnet": subnet}]}, **report}
    )
    return dataclasses.replace(empty(), networks={name: network})


def test_a_subnet_that_another_network_has_is_refused_before_anything_is_done() -> None:
    spec, _now = deployed(back=BACK)
    with pytest.raises(
        HardshellError,
        match=r"^networks\.back: 172\.30\.0\.0/24 overlaps with the network lan; .*choose another subnet$",
    ):
        refuse_networks(spec, there_is("lan", "172.30.0.0/16"))
    refuse_networks(spec, there_is("lan", "172.31.0.0/16"))
    refuse_networks(spec, there_is("lan", "fd00::/64"))
    refuse_networks(spec, there_is("ingress", "172.30.0.0/16", Scope="swarm"))


def test_other_options_with_the_same_subnet_are_refused_with_the_way_out() -> None:
    spec, _now = deployed(back={**BACK, "internal": False})
    (name,) = set(deployed(back=BACK)[0].networks()) - {"shop_front"}
    with pytest.raises(
        HardshellError, match=rf"{name}, which is the set's own with other options; .*another subnet.*state=absent"
    ):
        refuse_networks(spec, there_is(name, "172.30.0.0/24", "shop"))


def test_two_networks_of_a_set_have_no_addresses_in_common() -> None:
    front = {"ipam_config": [{"subnet": "172.30.0.128/25"}]}
    with pytest.raises(
        OptionError, match=r"^networks\.front\.ipam_config: '172\.30\.0\.128/25' .*'back' has addresses in it"
    ):
        deployed(back=BACK, front=front)


def test_a_lost_address_is_seen_and_given_again() -> None:
    spec, observed = deployed(back=BACK)
    wanted = wanted_of(spec)
    place = wanted["db"].attachments[spec.network_name("back")]
    assert place.endpoint()["IPAMConfig"] == {"IPv4Address": "172.30.0.9"}
    assert read_attachment({"Aliases": ["db", "store"], "IPAMConfig": {"IPv4Address": "172.30.0.9"}}, "f" * 64) == place
    lost = [
        dataclasses.replace(
            one,
            attachments={name: dataclasses.replace(own, fixed=frozenset()) for name, own in one.attachments.items()},
        )
        for one in observed.containers
    ]
    planned = plan(spec, dataclasses.replace(observed, containers=tuple(lost)), wanted)
    assert [(change.action, change.name.split(" ")[0]) for change in planned.changes] == [("reconnect", "db")]


@pytest.mark.parametrize(
    ("networks", "db", "option"),
    [
        ({"back": {}}, {"ipv4_address": "172.30.0.9"}, "containers.db.networks.back"),
        ({"back": BACK}, {"ipv4_address": "172.31.0.9"}, "containers.db.networks.back"),
        ({"back": BACK}, {"ipv4_address": "fd00::1"}, "containers.db.networks.back.ipv4_address"),
        ({"back": BACK}, {"ipv4_address": 9}, "containers.db.networks.back.ipv4_address"),
        ({"bakc": BACK}, None, "networks.bakc"),
        ({"back": {**BACK, "external": True}}, None, "networks.back"),
        ({"back": {"ipam_config": [{"subnet": "172.30.0.1/24"}]}}, None, "networks.back.ipam_config[0].subnet"),
        ({"back": {"ipam_config": [{"gateway": "172.30.0.1"}]}}, None, "networks.back.ipam_config[0].subnet"),
        ({"back": {"ipam_config": {"subnet": "x"}}}, None, "networks.back.ipam_config"),
        ({"back": {"internl": True}}, None, "networks.back.internl"),
        ({"back": {"name": "a b"}}, None, "networks.back.name"),
    ],
)
def test_what_cannot_be_is_refused_by_name(networks: dict[str, t.Any], db: t.Any, option: str) -> None:
    definition = {**MEMBERS, "db": {"image": "box:1", "networks": {"back": db}}}
    with pytest.raises(OptionError) as failed:
        spec_of(definition, network="declared", networks=networks)
    assert failed.value.option == option


def test_two_members_and_replicas_have_no_address_in_common() -> None:
    both = dict.fromkeys(("a", "b"), MEMBERS["db"])
    both["b"] = {"image": "box:1", "networks": {"back": {"ipv4_address": "172.30.0.9"}}}
    with pytest.raises(OptionError, match=r"^containers\.b\.networks\.back: .*'a' has this address"):
        spec_of(both, network="declared", networks={"back": BACK})
    with pytest.raises(OptionError, match="several replicas"):
        spec_of({"db": {**MEMBERS["db"], "replicas": 2}}, network="declared", networks={"back": BACK})


def test_networks_go_with_members_that_name_them() -> None:
    with pytest.raises(OptionError, match=r"^networks: \['back'\] .*network=declared"):
        spec_of({"db": {"image": "box:1"}}, networks={"back": BACK})


def test_the_networks_of_a_file_and_the_names_of_version_3() -> None:
    document = {
        "services": {
            "web": {"image": "w", "networks": {"default": {"ipv4_address": "172.30.0.7"}}, "volumes": ["d:/d"]}
        },
        "networks": {"default": {"external": {"name": "proxy"}}},
        "volumes": {"d": {"external": {"name": "data-of-old"}}},
    }
    spec = parse_task({**parameters(None, network=None, pull=None), "compose": document})
    assert spec.networks() == ("proxy",)
    assert spec.declared["default"].external
    assert spec.external_volumes == {"data-of-old"}
    with pytest.raises(OptionError, match=r"^networks\.default: .*network=per-link"):
        parse_task({**parameters(None, network="per-link", pull=None), "compose": document})
