# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Planning the network interfaces of a VM, by name. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._plan import Change
from .disks import can_plug
from .pool_facts import Network, Pool
from .vm_facts import Nic, Vm
from .vm_spec import NicSpec, VmSpec


@dataclass(frozen=True)
class NewNic:
    """An interface to be made, in the place of ``replaced`` if that is given."""

    name: str
    network: Network
    device: int
    mac: str | None
    replaced: Nic | None = None


@dataclass(frozen=True)
class ChangedNic:
    """An interface to be moved to ``network``, and to be known by ``name`` from now on."""

    nic: Nic
    network: Network | None = None
    name: str | None = None


@dataclass(frozen=True)
class NicPlan:
    changes: tuple[Change, ...]
    nics: tuple[Nic, ...]
    halt_for: tuple[str, ...]


def plan_nics(spec: VmSpec, vm: Vm, pool: Pool) -> NicPlan:
    """What makes the VM's interfaces what the spec asks for. Raises ``OptionError`` for a network that is not there."""
    if spec.networks is None:
        return NicPlan((), vm.nics, ())
    asked = [
        (wanted, pool.network(f"networks[{index}].network", wanted.network))
        for index, wanted in enumerate(spec.networks)
    ]
    listed = {wanted.name for wanted, _network in asked}
    unwanted = [nic for nic in vm.nics if nic.name is not None and nic.name not in listed]
    nics = [nic for nic in vm.nics if nic not in unwanted]
    changes = [
        Change(f"nic:{nic.name}", "delete", "network interface", str(nic.name), _shown(nic), None, payload=nic)
        for nic in unwanted
    ]
    replugged = [str(nic.name) for nic in unwanted]
    for wanted, network in asked:
        current = next((nic for nic in nics if nic.name == wanted.name), None)
        if current is None:
            # One that nobody named yet, on the same network, is the one that is meant: so an adopted VM keeps its interfaces.
            current = next(
                (nic for nic in nics if nic.name is None and nic.network_ref == network.ref and _mac_fits(wanted, nic)),
                None,
            )
        if current is None:
            device = _free_device(nics)
            made = Nic(wanted.name, network.name, network.ref, wanted.mac, device)
            nics.append(made)
            replugged.append(wanted.name)
            payload: t.Any = NewNic(wanted.name, network, device, wanted.mac)
            changes.append(_change("create", wanted.name, None, made, payload))
        elif not _mac_fits(wanted, current):
            made = Nic(wanted.name, network.name, network.ref, wanted.mac, current.device)
            nics[nics.index(current)] = made
            replugged.append(wanted.name)
            payload = NewNic(wanted.name, network, current.device or 0, wanted.mac, replaced=current)
            changes.append(_change("update", wanted.name, current, made, payload))
        elif current.network_ref != network.ref or current.name != wanted.name:
            moved = replace(current, name=wanted.name, network=network.name, network_ref=network.ref)
            nics[nics.index(current)] = moved
            payload = ChangedNic(
                current,
                network if current.network_ref != network.ref else None,
                wanted.name if current.name != wanted.name else None,
            )
            changes.append(_change("update", wanted.name, current, moved, payload))
    halt_for = (
        ()
        if can_plug(vm)
        else tuple(f"networks: {name} cannot be plugged or unplugged in it as it is" for name in replugged)
    )
    return NicPlan(tuple(changes), tuple(sorted(nics, key=lambda nic: nic.device or 0)), halt_for)


def _mac_fits(wanted: NicSpec, nic: Nic) -> bool:
    return wanted.mac is None or nic.mac is None or wanted.mac == nic.mac.lower()


def _free_device(nics: t.Sequence[Nic]) -> int:
    taken = {nic.device for nic in nics}
    return next(device for device in range(len(nics) + 1) if device not in taken)


def _change(action: str, name: str, before: Nic | None, after: Nic, payload: t.Any) -> Change:
    return Change(
        f"nic:{name}", action, "network interface", name, before and _shown(before), _shown(after), payload=payload
    )


def _shown(nic: Nic) -> dict[str, t.Any]:
    return {"name": nic.name, "network": nic.network, "mac": nic.mac}
