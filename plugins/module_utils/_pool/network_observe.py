# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Observing the networks of a pool: one call, and two more where it matters which VMs are on a network."""

from __future__ import annotations

import dataclasses
import typing as t

from . import marks
from .bulk_reads import Records, field_is, records_where, snapshot_of
from .network_facts import PURPOSES, NetworkSpec, ObservedNetworks, Port, TenantNetwork, Vlan
from .network_plan import concerns_users
from .session import NULL_REF, Record, Session

CLASSES = ("network", "pif", "vlan", "host", "host_metrics")
_SYSTEM_KEYS = ("is_host_internal_management_network", "is_guest_installer_network")


def observe_networks(session: Session, spec: NetworkSpec) -> ObservedNetworks:
    """What the pool holds of the network of that name, and what a VLAN could be made on."""
    seen = snapshot_of(session, *CLASSES)
    networks = {ref: network_of(ref, record, seen) for ref, record in seen.get("network", {}).items()}
    ours = next((each for each in networks.values() if spec.known(each)), None)
    strangers = tuple(each for each in networks.values() if each.name == spec.name and not spec.known(each))
    if ours is not None:
        ours = _with_users(session, spec, ours)
    elif spec.adopt and len(strangers) == 1:
        strangers = (_with_users(session, spec, strangers[0]),)
    pifs = seen.get("pif", {}).values()
    return ObservedNetworks(
        ours=ours,
        strangers=strangers,
        ports=tuple(_ports(seen)),
        taken={
            (pif["device"], int(pif["VLAN"])): networks[pif["network"]]
            for pif in pifs
            if int(pif["VLAN"]) >= 0 and pif["network"] in networks
        },
        purposes={
            purpose: tuple(sorted(each.name for each in networks.values() if purpose in each.purpose))
            for purpose in PURPOSES
        },
    )


def network_of(ref: str, record: Record, seen: t.Mapping[str, Records]) -> TenantNetwork:
    pifs = [seen["pif"][pif] for pif in record["PIFs"] if pif in seen.get("pif", {})]
    return TenantNetwork(
        name=record["name_label"],
        tenant=record["other_config"].get(marks.TENANT),
        known_as=record["other_config"].get(marks.NETWORK),
        description=record["name_description"],
        mtu=int(record["MTU"]),
        default_locking_mode=record["default_locking_mode"],
        purpose=tuple(sorted(record["purpose"])),
        tags=tuple(sorted(record["tags"])),
        vlans=tuple(
            sorted((_vlan(pif, seen) for pif in pifs if int(pif["VLAN"]) >= 0), key=lambda vlan: vlan.host_name)
        ),
        physical=any(int(pif["VLAN"]) < 0 for pif in pifs),
        system=any(record["other_config"].get(key) == "true" for key in _SYSTEM_KEYS),
        ref=ref,
        uuid=record["uuid"],
        bridge=record["bridge"],
        interfaces=len(record["VIFs"]),
    )


def _vlan(pif: Record, seen: t.Mapping[str, Records]) -> Vlan:
    host = seen.get("host", {}).get(pif["host"], {})
    return Vlan(int(pif["VLAN"]), pif["device"], pif["host"], host.get("name_label", ""), pif["VLAN_master_of"])


def _ports(seen: t.Mapping[str, Records]) -> t.Iterator[Port]:
    for ref, pif in seen.get("pif", {}).items():
        carries = pif["physical"] or pif["bond_master_of"]
        if int(pif["VLAN"]) >= 0 or not carries or pif["bond_slave_of"] != NULL_REF or not pif["managed"]:
            continue
        host = seen.get("host", {}).get(pif["host"])
        if host is None:
            continue
        live = bool(seen.get("host_metrics", {}).get(host["metrics"], {}).get("live"))
        yield Port(ref, pif["host"], host["name_label"], pif["device"], live)


def _with_users(session: Session, spec: NetworkSpec, network: TenantNetwork) -> TenantNetwork:
    """The network with the VMs that are on it, where that matters for what is asked."""
    if not network.interfaces or not concerns_users(spec, network):
        return network
    vifs = records_where(session, "VIF", field_is("network", str(network.ref))).values()
    vms = records_where(session, "VM", field_is("_ref", *sorted({vif["VM"] for vif in vifs}))).values()
    plugged = any(vif["currently_attached"] for vif in vifs)
    return dataclasses.replace(network, users=tuple(sorted(vm["name_label"] for vm in vms)), plugged=plugged)
