# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Documentation fragment: what a VM's own record sets, beside its devices."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  vcpus:
    description:
      - Number of virtual CPUs. A running VM gets it at once where O(vcpus_max) allows it, the guest can take it and the pool's licence does not
        forbid it. Else a change needs the VM halted. Taken from the template when not given.
    type: int
  vcpus_max:
    description:
      - Most virtual CPUs that the VM may have while it runs. Is O(vcpus) where only that is given. A change needs the VM halted.
    type: int
  cores_per_socket:
    description:
      - How many virtual CPUs one socket shows the guest. Must divide O(vcpus_max). A change needs the VM halted.
    type: int
  cpu_weight:
    description:
      - Share of the physical CPUs against the other VMs of the host, from 1 to 65535; XAPI's default is 256.
      - XAPI takes a change when the VM is started the next time.
    type: int
  cpu_cap:
    description:
      - The most that the VM may use, in percent of one physical CPU, so V(250) for two and a half; V(0) for no limit.
      - XAPI takes a change when the VM is started the next time.
    type: int
  memory:
    description:
      - Size of the memory, as V(1GiB), V(512MiB), V(2GB) or a number of bytes; XAPI's C(memory_dynamic_max). Taken from the template when not given.
      - A change between the static limits is made at once, also while the VM runs, by ballooning. One of the static limits needs the VM halted.
    type: str
  memory_static_max:
    description:
      - The most that O(memory) can be raised to while the VM runs. Is O(memory) where only that is given. A change needs the VM halted.
    type: str
  memory_static_min:
    description:
      - The least that O(memory_dynamic_min) can be lowered to while the VM runs. Stays as it is, or follows O(memory_dynamic_min) down, when not given.
        A change needs the VM halted.
    type: str
  memory_dynamic_min:
    description:
      - What the pool may take the memory down to when the host needs it for others. Is O(memory) where only that is given.
    type: str
  firmware:
    description:
      - What the VM boots with. A change needs the VM halted, and a guest that was installed with the other mostly boots no more.
    type: str
    choices: [bios, uefi]
  secure_boot:
    description:
      - Whether only signed boot loaders are started. Needs O(firmware=uefi), and the pool's UEFI certificates. A change needs the VM halted.
    type: bool
  vtpm:
    description:
      - Whether the VM has a virtual TPM. V(false) destroys one with all keys in it. A change needs the VM halted.
      - A VM with a virtual TPM cannot be suspended.
    type: bool
  boot_order:
    description:
      - What to boot from, the first first. Counts when the VM is started the next time.
    type: list
    elements: str
    choices: [disk, cd, network]
  affinity:
    description:
      - Name or UUID of the host that the VM is started on if it can be; an empty text for none.
    type: str
  resident_on:
    description:
      - Name or UUID of the host that the VM is to run on. A running VM that is on another is moved there by live migration; one that is started is
        started there. Nothing is moved when not given, and the VM's disks never are, so they must be on shared storage.
      - Unlike O(affinity) this is held to at each run, also against what the pool's own balancing did since.
    type: str
  group:
    description:
      - Name of the tenant's group that the VM is in, as M(hardshell.xen.vm_group) makes it, such as one that spreads its VMs over hosts; an empty text for
        none. When this is used, leave O(hardshell.xen.vm_group#module:vms) out there.
    type: str
  appliance:
    description:
      - Name or UUID of the appliance (vApp) that the VM is in; an empty text for none.
    type: str
  start_order:
    description:
      - Place in the order in which an appliance and high availability start VMs, the lowest first.
    type: int
  start_delay:
    description:
      - Seconds that the pool waits after it started the VM, before it goes on with the next.
    type: int
  shutdown_delay:
    description:
      - Seconds that the pool waits after it shut the VM down, before it goes on with the next.
    type: int
  ha_restart_priority:
    description:
      - What high availability does when the VM's host fails. V(restart) restarts it and reserves room for that, V(best-effort) restarts it if there is
        room, V(none) does not.
    type: str
    choices: [restart, best-effort, none]
  auto_power_on:
    description:
      - Whether the VM is started when its host is powered on. V(true) also sets the pool's own key C(auto_poweron), without which it starts none;
        V(false) leaves that as it is. High availability has its own rules, O(ha_restart_priority).
    type: bool
  delete_protection:
    description:
      - Whether the pool refuses to destroy the VM, whoever asks. Is O(blocked_operations) of C(destroy).
      - O(state=absent) is refused for such a VM unless V(false) is given with it.
    type: bool
  blocked_operations:
    description:
      - Operations that the pool refuses for the VM, each with the reason that it gives, such as C(clean_shutdown) or C(snapshot).
        A reason of V(null) allows the operation again. Others are left alone.
      - XAPI checks each by its own name, so who blocks C(start) may want to block C(start_on) too.
    type: dict
  folder:
    description:
      - Folder that XenCenter shows the VM in, such as V(/acme/web); an empty text for none.
    type: str
  other_config:
    description:
      - Keys to be set in the VM's C(other_config), each by itself; one that is V(null) is removed. Others are left alone.
      - Keys of this collection, of XAPI and of other options are refused.
    type: dict
  platform:
    description:
      - Keys to be set in the VM's C(platform), such as C(vga) or C(viridian), each by itself; one that is V(null) is removed. Others are left alone.
        They count when the VM is started the next time.
      - Keys of XAPI and of other options are refused.
    type: dict
  xenstore_data:
    description:
      - Keys below C(vm-data/) to be set in the VM's C(xenstore_data), where the guest can read them, each by itself; one that is V(null) is removed.
      - Whoever may read the pool can read them, so no secrets.
    type: dict
"""
