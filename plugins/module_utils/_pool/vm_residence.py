# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Bringing a VM to the host that it is to run on: by starting it there, or by live migration. Pure."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass

from .._errors import OptionError
from .._plan import Change
from .pool_facts import Host, Pool, one_named
from .power import UNPAUSE, PowerStep, on_host
from .vm_cpu import Cpu
from .vm_facts import Vm
from .vm_spec import VmSpec

OPTION = "resident_on"
MIGRATE = "pool_migrate"
UNRESTRICTED = "vcpu-unrestricted"
STARTS = ("start", "start_on")
MOTION_RESTRICTION = "restrict_xen_motion"


@dataclass(frozen=True)
class Migration:
    host: Host


@dataclass(frozen=True)
class Residence:
    """The host, None where it does not matter; the steps up, on it; and a migration before or after them."""

    host: Host | None
    up: tuple[PowerStep, ...]
    before: tuple[Change, ...] = ()
    after: tuple[Change, ...] = ()


def plan_residence(
    spec: VmSpec, vm: Vm, pool: Pool, up: tuple[PowerStep, ...], *, final: str, halts: bool
) -> Residence:
    """How a VM comes to be where it is to run. ``halts``: it is shut down before ``up``. Raises ``OptionError`` where it cannot."""
    wanted = spec.settings.placement.resident_on
    if not wanted or final not in ("running", "paused"):
        return Residence(None, up)
    host = one_named(OPTION, wanted, pool.members, "host")
    there = vm.host_ref == host.ref and not halts and vm.power_state in ("running", "paused")
    if there:
        return Residence(host, up)
    if not host.enabled:
        raise OptionError(OPTION, wanted, "that host is disabled, as for maintenance; enable it, or name another")
    if halts or vm.power_state in ("halted", "suspended"):
        return Residence(host, (on_host(up[0], host.ref), *up[1:]))
    if pool.restrictions.get(MOTION_RESTRICTION) == "true":
        raise OptionError(OPTION, wanted, f"the pool's licence does not allow live migration ({MOTION_RESTRICTION})")
    _refuse_local_disks(wanted, vm, pool)
    if MIGRATE in vm.settings.keys.blocked:
        raise OptionError(OPTION, wanted, f"{MIGRATE} of the VM is blocked ({vm.settings.keys.blocked[MIGRATE]})")
    was, will = {"host": vm.host}, {"host": host.name}
    migration = Change("migration", "migrate", "vm", spec.name, was, will, payload=Migration(host))
    if vm.power_state == "running":
        return Residence(host, up, before=(migration,))
    if UNPAUSE in up:
        return Residence(host, up, after=(migration,))
    raise OptionError(
        OPTION, wanted, f"the VM is paused on {vm.host!r}, and only a running one can be moved; use state: running"
    )


def refuse_too_many_vcpus(cpu: Cpu, platform: t.Mapping[str, str], pool: Pool, residence: Residence) -> None:
    """Raise ``OptionError`` for a start that no host can do: XAPI holds the most vCPUs against the host's physical ones
    (``assert_enough_pcpus`` in ``xapi_vm_helpers.ml``)."""
    if not any(step.message in STARTS for step in residence.up):
        return
    if platform.get(UNRESTRICTED, "").lower() in ("true", "1"):
        return
    hosts = [residence.host] if residence.host else [host for host in pool.members if host.enabled]
    most = max((host.cpus for host in hosts), default=0)
    if 0 < most < cpu.maximum:
        where = f"the host {residence.host.name!r}" if residence.host else "the host with the most"
        raise OptionError(
            "vcpus" if cpu.maximum == cpu.at_startup else "vcpus_max",
            cpu.maximum,
            f"{where} has {most} physical CPUs, and XAPI starts no VM with more; give that or less, or set platform: {{{UNRESTRICTED}: true}}",
        )


def _refuse_local_disks(wanted: str, vm: Vm, pool: Pool) -> None:
    shared = {repository.name for repository in pool.storage if repository.shared}
    if vm.cd and vm.cd.iso and vm.cd.iso.disk.sr not in shared:
        expected = (
            f"the ISO {vm.cd.iso.name!r} in the VM's drive is on storage of one host alone ({vm.cd.iso.disk.sr!r}), "
            "and XAPI counts it among the disks; take it out with iso: '' first"
        )
        raise OptionError(OPTION, wanted, expected)
    local = [disk for disk in (*vm.disks, *([vm.drive.disk] if vm.drive.disk else [])) if disk.sr not in shared]
    if local:
        names = ", ".join(f"{disk.name or disk.uuid!r} on {disk.sr!r}" for disk in local)
        raise OptionError(
            OPTION,
            wanted,
            f"the VM has disks on storage of one host alone ({names}); move them to shared storage first",
        )
