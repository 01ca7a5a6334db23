# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The plan for one network of a tenant. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._errors import HardshellError, OptionError
from .._plan import Change, Plan
from . import marks
from .converge import Outcome
from .network_facts import NetworkSpec, ObservedNetworks, Port, TenantNetwork, Vlan
from .pool_facts import near_names

KIND = "network"


@dataclass(frozen=True)
class NewNetwork:
    network: TenantNetwork


@dataclass(frozen=True)
class ChangedNetwork:
    before: TenantNetwork
    after: TenantNetwork


@dataclass(frozen=True)
class RemovedNetwork:
    network: TenantNetwork


@dataclass(frozen=True)
class NewVlan:
    """A VLAN to be made on a port. The network may be one that the same plan makes."""

    vlan: Vlan
    port: Port


@dataclass(frozen=True)
class RemovedVlan:
    vlan: Vlan


def plan_network(spec: NetworkSpec, observed: ObservedNetworks) -> Outcome:
    """The plan for one network. Raises ``HardshellError`` for what cannot be done, so before anything is changed."""
    if spec.state == "absent":
        return _plan_absent(spec, observed)
    before = observed.ours or _to_adopt(spec, observed)
    start = before or TenantNetwork(spec.name)
    _refuse_other_purposes(spec, start, observed)
    vlans, ports, warnings = _vlans(spec, start, observed)
    after = replace(
        start,
        name=spec.name,
        tenant=spec.tenant,
        known_as=spec.name,
        description=start.description if spec.description is None else spec.description,
        mtu=spec.mtu or start.mtu,
        default_locking_mode=spec.default_locking_mode or start.default_locking_mode,
        purpose=start.purpose if spec.purpose is None else spec.purpose,
        tags=marks.tags_of(spec.tenant, spec.tags, start.tags),
        vlans=vlans,
    )
    if after.default_locking_mode != start.default_locking_mode and start.plugged:
        raise HardshellError(
            f"default_locking_mode: the pool does not change it while interfaces on {spec.name!r} are in use; "
            f"halt the VMs on it first: {_listed(start.users)}"
        )
    changes = [_vlan_change("delete", vlan, RemovedVlan(vlan)) for vlan in start.vlans if vlan not in vlans]
    own = _own_change(before, after)
    changes += [own] if own else []
    needs = ("network",) if own else ()
    changes += [
        replace(_vlan_change("create", vlan, NewVlan(vlan, ports[vlan.host])), needs=needs)
        for vlan in vlans
        if vlan not in start.vlans
    ]
    plan = Plan(tuple(changes), before.settings() if before else {}, after.settings())
    return Outcome(plan, after.facts(), warnings)


def concerns_users(spec: NetworkSpec, network: TenantNetwork) -> bool:
    """Whether it matters for what is asked which VMs are on the network."""
    return (
        spec.state == "absent"
        or _moves(spec, network)
        or spec.default_locking_mode not in (None, network.default_locking_mode)
    )


def _moves(spec: NetworkSpec, network: TenantNetwork) -> bool:
    return spec.vlan is not None and (
        network.vlan != spec.vlan or (spec.device is not None and network.device != spec.device)
    )


def _plan_absent(spec: NetworkSpec, observed: ObservedNetworks) -> Outcome:
    network = observed.ours
    if network is None:
        _refuse_strangers(spec, observed.strangers)
        return Outcome(Plan(), None)
    if network.interfaces:
        raise HardshellError(
            f"state: the network {spec.name!r} still has {network.interfaces} interfaces of VMs on it and stays; "
            f"move or remove them first, halted VMs too: {_listed(network.users)}"
        )
    changes = [_vlan_change("delete", vlan, RemovedVlan(vlan)) for vlan in network.vlans]
    needs = tuple(change.id for change in changes)
    changes.append(
        Change(
            "network", "delete", KIND, network.name, network.settings(), None, needs, payload=RemovedNetwork(network)
        )
    )
    return Outcome(Plan(tuple(changes), network.settings(), {}), None)


def _to_adopt(spec: NetworkSpec, observed: ObservedNetworks) -> TenantNetwork | None:
    if not observed.strangers:
        return None
    if not spec.adopt:
        _refuse_strangers(spec, observed.strangers)
    for network in observed.strangers:
        _refuse_other_tenants(spec, network)
        if network.physical or network.system:
            what = "carries a physical interface of a host" if network.physical else "is the pool's own"
            raise OptionError("adopt", True, f"the network {network.name!r} {what} and belongs to no tenant")
    if len(observed.strangers) > 1:
        uuids = ", ".join(str(network.uuid) for network in observed.strangers)
        raise OptionError("name", spec.name, f"several networks are named so; rename those not meant: {uuids}")
    return observed.strangers[0]


def _refuse_strangers(spec: NetworkSpec, strangers: t.Iterable[TenantNetwork]) -> None:
    for network in strangers:
        _refuse_other_tenants(spec, network)
        raise HardshellError(
            f"name: a network named {spec.name!r} is there ({network.uuid}) that does not carry the marks of {spec.tenant}; "
            + (
                "it is not ours to remove"
                if spec.state == "absent"
                else "choose another name, or set adopt: true to take it over"
            )
        )


def _refuse_other_tenants(spec: NetworkSpec, network: TenantNetwork) -> None:
    if network.tenant is not None and network.tenant != spec.tenant:
        raise HardshellError(
            f"name: the network {network.name!r} ({network.uuid}) belongs to {network.tenant}, not to {spec.tenant}; choose another name"
        )


def _refuse_other_purposes(spec: NetworkSpec, network: TenantNetwork, observed: ObservedNetworks) -> None:
    """XAPI holds the whole pool to one of the purposes (xapi_network.ml, NETWORK_INCOMPATIBLE_PURPOSES)."""
    for purpose in spec.purpose or ():
        for other, names in observed.purposes.items():
            held = [name for name in names if name != network.name]
            if other != purpose and held:
                raise OptionError(
                    "purpose",
                    purpose,
                    f"a pool serves disks with TLS or without, and {', '.join(map(repr, held))} has the purpose {other}",
                )


def _vlans(
    spec: NetworkSpec, network: TenantNetwork, observed: ObservedNetworks
) -> tuple[tuple[Vlan, ...], dict[str, Port], tuple[str, ...]]:
    """The VLANs that the network is to have, the ports of the new ones by host, and warnings."""
    if spec.vlan is None:
        return network.vlans, {}, ()
    moves = _moves(spec, network)
    if moves and network.physical:
        raise OptionError("vlan", spec.vlan, f"the network {spec.name!r} carries a physical interface of a host")
    if moves and network.interfaces:
        now = f"VLAN {network.vlan} on {network.device}" if network.vlans else "no VLAN"
        raise HardshellError(
            f"vlan: the network {spec.name!r} has {now} and VMs on it, which would lose their connection; "
            f"move them to another network first, halted VMs too: {_listed(network.users)}"
        )
    device = _device(spec, network, observed.ports)
    holder = observed.taken.get((device, spec.vlan))
    if holder is not None and holder.ref != network.ref:
        raise OptionError(
            "vlan", spec.vlan, f"on {device} it is the network {holder.name!r} already; choose another tag"
        )
    kept = () if moves else network.vlans
    carried = {vlan.host for vlan in kept}
    ports = {
        port.host: port for port in observed.ports if port.device == device and port.live and port.host not in carried
    }
    made = [Vlan(spec.vlan, device, port.host, port.host_name) for port in ports.values()]
    lacking = sorted(
        {port.host_name for port in observed.ports}
        - {port.host_name for port in observed.ports if port.device == device}
    )
    warnings = (
        (f"device: {', '.join(lacking)} has no {device}, so VMs on {spec.name!r} cannot run there",) if lacking else ()
    )
    return tuple(sorted((*kept, *made), key=lambda vlan: vlan.host_name)), ports, warnings


def _device(spec: NetworkSpec, network: TenantNetwork, ports: t.Sequence[Port]) -> str:
    devices = sorted({port.device for port in ports})
    if spec.device is not None:
        if spec.device not in devices:
            raise OptionError(
                "device", spec.device, f"no host has such an interface; {near_names(spec.device, devices)}"
            )
        return spec.device
    if network.device is not None:
        return network.device
    if len(devices) != 1:
        raise OptionError(
            "device", None, f"name the interface that carries the VLAN: {', '.join(devices) or 'no host has one'}"
        )
    return devices[0]


def _own_change(before: TenantNetwork | None, after: TenantNetwork) -> Change | None:
    if before is None:
        return Change("network", "create", KIND, after.name, None, _own(after), payload=NewNetwork(after))
    was, will = _own(before), _own(after)
    changed = [key for key in will if was[key] != will[key]]
    adopted = before.known_as != after.known_as or before.tenant != after.tenant
    if not changed and not adopted:
        return None
    return Change(
        "network",
        "adopt" if adopted else "update",
        KIND,
        after.name,
        {key: was[key] for key in changed},
        {key: will[key] for key in changed},
        payload=ChangedNetwork(before, after),
    )


def _own(network: TenantNetwork) -> dict[str, t.Any]:
    """The settings of the network itself, without its VLANs."""
    return {key: value for key, value in network.settings().items() if key not in ("vlan", "device", "hosts")}


def _vlan_change(action: str, vlan: Vlan, payload: t.Any) -> Change:
    shown = {"tag": vlan.tag, "device": vlan.device, "host": vlan.host_name}
    before, after = (shown, None) if action == "delete" else (None, shown)
    return Change(f"{action} vlan:{vlan.host}", action, "vlan", vlan.title, before, after, payload=payload)


def _listed(names: t.Sequence[str] | None) -> str:
    return ", ".join(repr(name) for name in names or ()) or "of templates or snapshots"
