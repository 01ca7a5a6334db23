# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Planning the network interfaces of a VM, by name. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, replace

from .._errors import OptionError
from .._plan import Change
from .disks import can_plug
from .nic_spec import NicSpec
from .pool_facts import Network, Pool
from .vm_facts import Nic, Vm
from .vm_spec import VmSpec

LOCKING_RESTRICTION = "restrict_vif_locking"


@dataclass(frozen=True)
class NewNic:
    """The interface ``nic`` to be made, in the place of ``replaced`` if that is given."""

    nic: Nic
    replaced: Nic | None = None


@dataclass(frozen=True)
class ChangedNic:
    """An interface to be made ``after`` without making it anew. ``plug``: it must be unplugged and plugged for that, or was not plugged."""

    before: Nic
    after: Nic
    plug: bool


@dataclass(frozen=True)
class NicPlan:
    changes: tuple[Change, ...]
    nics: tuple[Nic, ...]
    halt_for: tuple[str, ...]


def plan_nics(spec: VmSpec, vm: Vm, pool: Pool) -> NicPlan:
    """What makes the VM's interfaces what the spec asks for. Raises ``OptionError`` for a network that is not there."""
    if spec.wait and spec.wait.address and not (vm.nics if spec.networks is None else spec.networks):
        raise OptionError(
            "wait_for", str(spec.wait), f"{spec.name!r} has no interface and so never an address; give it networks"
        )
    if spec.networks is None:
        return NicPlan((), vm.nics, ())
    asked = [
        (wanted, pool.network(f"networks[{index}].network", wanted.network))
        for index, wanted in enumerate(spec.networks)
    ]
    if pool.restrictions.get(LOCKING_RESTRICTION) == "true":
        _refuse_locking(asked, vm.nics)
    listed = {wanted.name for wanted, _network in asked}
    unwanted = [nic for nic in vm.nics if nic.name is not None and nic.name not in listed]
    nics = [nic for nic in vm.nics if nic not in unwanted]
    changes = [
        Change(f"nic:{nic.name}", "delete", "network interface", str(nic.name), _shown(nic), None, payload=nic)
        for nic in unwanted
    ]
    replugged = [str(nic.name) for nic in unwanted]
    for wanted, network in asked:
        current = _current(wanted, network, nics)
        if current is None:
            made = _made(wanted, network, Nic(wanted.name, network.name, device=_free_device(nics), mtu=network.mtu))
            nics.append(made)
            replugged.append(wanted.name)
            changes.append(_change("create", wanted.name, None, made, NewNic(made)))
            continue
        after = _made(wanted, network, current)
        unplugged = vm.power_state == "running" and vm.has_drivers and not current.plugged and current.vif is not None
        after = replace(after, plugged=after.plugged or unplugged)
        if after == current:
            continue
        if (after.mac, after.mtu) != (current.mac, current.mtu):
            after = replace(after, uuid=None, vif=None, addresses=())
            replugged.append(wanted.name)
            payload: t.Any = NewNic(after, replaced=current)
        else:
            plug = unplugged or after.rate_limit != current.rate_limit
            if plug and vm.power_state != "halted":
                replugged.append(wanted.name)
            payload = ChangedNic(current, after, plug)
        nics[nics.index(current)] = after
        changes.append(_change("update", wanted.name, current, after, payload))
    halt_for = (
        ()
        if can_plug(vm)
        else tuple(f"networks: {name} cannot be plugged or unplugged in it as it is" for name in replugged)
    )
    return NicPlan(tuple(changes), tuple(sorted(nics, key=lambda nic: nic.device or 0)), halt_for)


def _refuse_locking(asked: t.Sequence[tuple[NicSpec, Network]], nics: t.Sequence[Nic]) -> None:
    """Refuse what XAPI would, once the VM was made: to lock an interface needs a licence (assert_locking_licensed in xapi_vif_helpers.ml).

    One that is locked already may be changed otherwise, unless another has to be made in its place.
    """
    for index, (wanted, network) in enumerate(asked):
        current = _current(wanted, network, nics)
        if wanted.locking_mode == "locked" and (
            current is None or _locking(_made(wanted, network, current)) != _locking(current)
        ):
            expected = (
                f"the pool's licence does not allow it ({LOCKING_RESTRICTION}); leave it out, or ask for disabled"
            )
            raise OptionError(f"networks[{index}].locking_mode", "locked", expected)


def _locking(nic: Nic) -> tuple[t.Any, ...]:
    """What locks an interface, and what it cannot have without being made anew."""
    return nic.locking_mode, nic.ipv4_allowed, nic.ipv6_allowed, nic.mac, nic.mtu


def _current(wanted: NicSpec, network: Network, nics: t.Sequence[Nic]) -> Nic | None:
    """The interface that is meant: the one of that name, or one that nobody named yet on the same network, as an adopted VM has."""
    named = next((nic for nic in nics if nic.name == wanted.name), None)
    return named or next(
        (nic for nic in nics if nic.name is None and nic.network_ref == network.ref and _mac_fits(wanted, nic)), None
    )


def _made(wanted: NicSpec, network: Network, nic: Nic) -> Nic:
    """``nic`` as it is asked for."""
    mode = wanted.locking_mode or nic.locking_mode
    locked = wanted.locking_mode == "locked"
    return replace(
        nic,
        name=wanted.name,
        network=network.name,
        network_ref=network.ref,
        mac=nic.mac if _mac_fits(wanted, nic) and nic.mac is not None else wanted.mac,
        mtu=wanted.mtu or nic.mtu,
        rate_limit=nic.rate_limit if wanted.rate_limit is None else wanted.rate_limit or None,
        locking_mode=mode,
        ipv4_allowed=wanted.ipv4_allowed or () if locked else nic.ipv4_allowed,
        ipv6_allowed=wanted.ipv6_allowed or () if locked else nic.ipv6_allowed,
    )


def _mac_fits(wanted: NicSpec, nic: Nic) -> bool:
    return wanted.mac is None or nic.mac is None or wanted.mac == nic.mac.lower()


def _free_device(nics: t.Sequence[Nic]) -> int:
    taken = {nic.device for nic in nics}
    return next(device for device in range(len(nics) + 1) if device not in taken)


def _change(action: str, name: str, before: Nic | None, after: Nic, payload: t.Any) -> Change:
    """A change of an interface: of one that is there, what differs."""
    will = _shown(after)
    was = None
    if before is not None:
        was = _shown(before)
        will = {key: value for key, value in will.items() if was[key] != value}
        was = {key: was[key] for key in will}
        if before.plugged != after.plugged:
            was, will = {**was, "plugged": before.plugged}, {**will, "plugged": after.plugged}
    return Change(f"nic:{name}", action, "network interface", name, was, will, payload=payload)


def _shown(nic: Nic) -> dict[str, t.Any]:
    unshown = ("device", "uuid", "addresses")
    return {key: value for key, value in nic.facts().items() if key not in unshown}
