# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""XAPI's errors as sentences: what the code means and what to do about it.

The codes and their parameters are those of XAPI's data model. A code that the table does not know is shown with its parameters.
"""

from __future__ import annotations

import re
import typing as t

from .._errors import HardshellError

_SENTENCES: dict[str, str] = {
    "SESSION_AUTHENTICATION_FAILED": "the pool does not accept this user name and password; check xapi_username and xapi_password",
    "SESSION_AUTHORIZATION_FAILED": "the account has no role in this pool; give it one, or use another xapi_username",
    "SESSION_INVALID": "the session has ended; make a new one with hardshell.xen.session, or give xapi_password",
    "HOST_IS_SLAVE": "this member is not the pool's coordinator, which is {0}; add it to xapi_host",
    "HOST_IN_EMERGENCY_MODE": "the host has lost its coordinator and is in emergency mode; wait for the pool to recover",
    "HOST_STILL_BOOTING": "the host is still booting; try again in a minute",
    "HANDLE_INVALID": "the {0} is not there any more; somebody removed it meanwhile, run again",
    "UUID_INVALID": "there is no {0} with the UUID {1}",
    "VM_BAD_POWER_STATE": "the VM is {2} where it must be {1}; somebody changed its power state meanwhile, run again",
    "OTHER_OPERATION_IN_PROGRESS": "another operation on the {0} is under way ({2}); wait for it and run again",
    "OPERATION_NOT_ALLOWED": "{0}",
    "OPERATION_BLOCKED": "the operation is blocked on this object ({1}); take the block off in the pool first",
    "VM_IS_TEMPLATE": "it is a template",
    "VM_MISSING_PV_DRIVERS": "the guest has no Xen drivers, so devices cannot be changed while it runs; set allow_power_cycle or halt it",
    "VM_LACKS_FEATURE": "the guest does not answer to this operation; force: true turns it off hard",
    "VM_SHUTDOWN_TIMEOUT": "the guest did not shut down in time; force: true turns it off hard",
    "VM_FAILED_SHUTDOWN_ACKNOWLEDGMENT": "the guest did not take notice of the shutdown; force: true turns it off hard",
    "VM_NON_SUSPENDABLE": "the guest says that it cannot be suspended: {1}",
    "VM_SUSPEND_TIMEOUT": "the guest did not suspend in time; see its kernel log, or ask for another state",
    "VM_FAILED_SUSPEND_ACKNOWLEDGMENT": "the guest did not take notice of the suspend; see that its agent runs",
    "VM_CRASHED": "the guest crashed meanwhile; see its console",
    "VM_REBOOTED": "the guest rebooted meanwhile; run again",
    "VM_HALTED": "the guest turned itself off meanwhile; see its console",
    "BOOTLOADER_FAILED": "the guest could not be started: {1}",
    "FAILED_TO_START_EMULATOR": "the emulator of the VM's devices did not start ({1}): {2}",
    "VM_NO_SUSPEND_SR": "there is no storage repository for suspended VMs; set the pool's suspend-image-SR",
    "VM_REQUIRES_SR": "no host that can run the VM has all of its storage repositories attached",
    "VM_REQUIRES_NETWORK": "no host that can run the VM has all of its networks",
    "NO_HOSTS_AVAILABLE": "no host of the pool can run the VM now: too little free memory, hosts disabled, or storage or networks that are not everywhere",
    "HOST_NOT_ENOUGH_FREE_MEMORY": "the host has {1} bytes of memory free where {0} are needed; lower memory or free some",
    "HOST_NOT_ENOUGH_PCPUS": "the VM has {0} vCPUs and the host {1} physical ones; lower vcpus",
    "HOST_DISABLED": "the host is disabled (maintenance mode)",
    "HOST_OFFLINE": "the host is offline; bring it back, or, when its power is surely off, let the pool give up its VMs with 'xe host-declare-dead'",
    "CANNOT_CONTACT_HOST": "the host cannot be reached, though the pool takes it for alive; bring it back, "
    "or, when its power is surely off, let the pool give up its VMs with 'xe host-declare-dead'",
    "HOST_NOT_LIVE": "the host is not alive",
    "HA_OPERATION_WOULD_BREAK_FAILOVER_PLAN": "HA could then no longer restart all VMs that it protects; free memory or add a host, "
    "or take ha_restart_priority from a VM",
    "HA_CONSTRAINT_VIOLATION_SR_NOT_SHARED": "HA protects VMs on storage that every host has, and a storage repository of this one is not so",
    "HA_CONSTRAINT_VIOLATION_NETWORK_NOT_SHARED": "HA protects VMs on networks that every host has, and a network of this one is not so",
    "NOT_SUPPORTED_DURING_UPGRADE": "the pool is being updated, and does not do this until all of its hosts are of one version",
    "VM_HOST_INCOMPATIBLE_VERSION_MIGRATE": "the host is of an older version than the one the VM is on; update it first",
    "VM_INCOMPATIBLE_WITH_THIS_HOST": "the VM uses features of its CPU that the host does not have ({2}); halt it and start it there",
    "VM_IS_IMMOBILE": "the VM has something that ties it to its host, such as a passed-through device or nested virtualization; halt it first",
    "VM_HAS_PCI_ATTACHED": "a PCI device of the host is passed through to the VM, which stays with it",
    "VM_MIGRATE_FAILED": "the migration failed, and the VM is where it was: {3}",
    "TOO_MANY_STORAGE_MIGRATES": "{0} migrations with storage are under way already, which is the most at a time; run again when one has ended",
    "SR_DOES_NOT_SUPPORT_MIGRATION": "a storage repository cannot have disks migrated ({1}); name another sr",
    "MIRROR_FAILED": "the disk could not be mirrored to its new place, often for lack of space there; it is where it was",
    "TOO_MANY_PENDING_TASKS": "the pool has too many tasks to do; run again in a while, with fewer forks",
    "TOO_BUSY": "the pool is too busy; run again in a while, with fewer forks",
    "MEMORY_CONSTRAINT_VIOLATION_ORDER": "the memory is below what the template allows; raise memory",
    "MEMORY_CONSTRAINT_VIOLATION_MAXPIN": "the pool does not allow a memory range here: {0}",
    "SR_FULL": "the storage repository is full: {0} bytes wanted, {1} there; free some or name another sr",
    "SR_BACKEND_FAILURE_44": "the storage repository has no space left; free some or name another sr",
    "SR_BACKEND_FAILURE_46": "the disk is not available on its storage repository: {1}",
    "SR_BACKEND_FAILURE_47": "the storage repository is not available: {1}",
    "SR_BACKEND_FAILURE_40": "the storage repository cannot be read: {1}",
    "SR_BACKEND_FAILURE_73": "the host could not mount the storage repository's NFS export: {1}",
    "SR_BACKEND_FAILURE_79": "the storage repository cannot hold a disk of this size: {1}",
    "SR_BACKEND_FAILURE_109": "the disk has too long a chain of snapshots and clones; remove some and let the storage repository coalesce, "
    "or make a full copy (clone: full)",
    "SR_BACKEND_FAILURE_180": "the thinly provisioned storage repository is out of space; free some or name another sr",
    "SR_HAS_NO_PBDS": "no host is connected to the storage repository",
    "SR_NOT_ATTACHED": "the storage repository is not attached to a host",
    "VDI_IN_USE": "the disk is in use ({1})",
    "VDI_CBT_ENABLED": "a backup has changed block tracking turned on for the disk; turn it off for this (VDI.disable_cbt)",
    "VDI_ON_BOOT_MODE_INCOMPATIBLE_WITH_OPERATION": "a disk of the VM is reset at every start (on_boot), which does not go with this",
    "VDI_TOO_LARGE": "the disk is larger than the storage repository can hold, which is {1} bytes",
    "VDI_IO_ERROR": "the disk could not be written: {0}",
    "VDI_MISSING": "the disk is not on its storage repository any more",
    "VDI_READONLY": "the disk is read-only",
    "DEVICE_ALREADY_EXISTS": "the device position {0} is taken already; run again",
    "DEVICE_DETACH_REJECTED": "the guest does not let go of the device; unmount it in the guest, or halt the VM",
    "DEVICE_DETACH_TIMEOUT": "the guest did not let go of the device in time; unmount it in the guest, or halt the VM",
    "DEVICE_ATTACH_TIMEOUT": "the guest did not take the device in time; see its kernel log, or halt the VM",
    "MAC_INVALID": "{0} is not a MAC address",
    "LICENCE_RESTRICTION": "the pool's licence does not allow {0}",
    "LICENSE_EXPIRED": "the licence of the pool has expired",
    "TASK_CANCELLED": "the operation was cancelled in the pool",
    "MESSAGE_METHOD_UNKNOWN": "the pool does not know the call {0}; it is older than XenServer 8 and XCP-ng 8.3",
    "INTERNAL_ERROR": "XAPI failed inside: {all}",
}


class XapiError(HardshellError):
    """XAPI refused or failed a call. ``code`` is XAPI's own, ``parameters`` its list of texts, ``asked`` what was being done."""

    def __init__(self, asked: str, description: t.Sequence[str]) -> None:
        self.code = str(description[0]) if description else "INTERNAL_ERROR"
        self.parameters = [str(text) for text in description[1:]]
        self.asked = asked
        super().__init__(f"{asked}: {meaning(self.code, self.parameters)} [{self.code}]", xapi_error=self.code)

    def doing(self, asked: str) -> XapiError:
        """The same error, told with other words for what was being done."""
        return XapiError(asked, [self.code, *self.parameters])


class ConnectionLost(HardshellError):
    """The connection ended before the answer: the call may or may not have taken effect."""


class TlsError(HardshellError):
    """The server did not show a certificate that we trust."""


def meaning(code: str, parameters: t.Sequence[str]) -> str:
    """One sentence for an error code and its parameters."""
    if code == "RBAC_PERMISSION_DENIED":
        return _denied(*[*parameters, "", ""][:2])
    sentence = _SENTENCES.get(code)
    shown = ", ".join(text for text in parameters if text and not text.startswith("OpaqueRef:"))
    if sentence is None:
        return f"the pool answered {code}" + (f": {shown}" if shown else "")
    padded = [*parameters, *["?"] * 5]
    return sentence.format(*padded, all=shown or "it does not say why")


def _denied(permission: str, told: str) -> str:
    """The call, in lower case, that the account's role lacks; XAPI lists the roles that have it in a sentence of its own (``rbac.ml``)."""
    roles = re.search(r"Roles with this permission: ([^)]*)", told)
    enough = f"one of these does: {roles[1]}" if roles else "docs/REAL-POOL.md says which is needed for what"
    return f"the account's role does not allow {permission}; {enough}. Have a role added to the account, or use another xapi_username"
