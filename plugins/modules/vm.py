#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: vm
short_description: Virtual machines of a tenant
version_added: 0.1.0
description:
  - Makes, changes, starts, stops and removes one virtual machine of a tenant on a XenServer or XCP-ng pool.
  - What exists is compared with what is asked for, and only the difference is changed. Check mode stops after the comparison.
  - A run that was interrupted at any moment is finished or cleaned up by the next one.
  - The VM carries marks of its tenant and host in C(other_config) and the tag C(tenant:NAME). A VM without them is changed only with
    O(adopt=true), one of another tenant never.
author:
  - hardshell.xen contributors (@hardshell)
extends_documentation_fragment:
  - hardshell.xen.xapi
  - hardshell.xen.vm_settings
  - hardshell.xen.attributes
  - hardshell.xen.attributes.in_controller
  - hardshell.xen.attributes.actiongroup_xapi
attributes:
  idempotent:
    description: When run twice in a row with the same arguments, the second run reports no change.
    support: partial
    details:
      - O(state=restarted) restarts on each run.
options:
  name:
    description:
      - The VM's name in the pool. A VM that carries our marks of O(tenant) and O(host) under another name is renamed to it.
    type: str
    required: true
  tenant:
    description:
      - The tenant that owns the VM, a DNS label.
    type: str
    required: true
  host:
    description:
      - The inventory host that this VM is. Defaults to O(name).
    type: str
  uuid:
    description:
      - UUID of the VM, where several have its name.
    type: str
  description:
    description:
      - What the pool shows as the VM's description. Not touched when not given; empty for a new VM.
    type: str
  template:
    description:
      - Name or UUID of the template that the VM is made from. This or O(source) is needed to make a VM.
      - The system disk notes which template it is a clone of. Another one is refused, or with O(allow_replace=true) the disk is made anew from it.
        A newer version of the same name gives a warning instead of the refusal. What M(hardshell.xen.image) made counts as the same as long as its checksum is.
    type: str
  source:
    description:
      - Name or UUID of a VM or a snapshot that a new VM is made from, instead of O(template). A VM must be halted; a snapshot can be taken of one that runs.
      - It must not hold another tenant's data. Its disks keep the names that they have in it; its config drive, which holds its secrets, is left out.
    type: str
  clone:
    description:
      - How the disks of O(template) or O(source) are made the new VM's. V(fast) shares their blocks with it until one of both writes.
      - V(full) copies them whole, to O(sr), or each to the storage repository that its original is on when O(sr) is not given.
    type: str
    choices: [fast, full]
    default: fast
  sr:
    description:
      - Name or UUID of the storage repository for new disks, the config drive and a full copy (O(clone)). Defaults to the pool's default SR.
    type: str
  disks:
    description:
      - Disks by name. A disk that is not there is added, one that is too small is grown. A disk that is not listed is left alone,
        if not O(remove_unmanaged_disks).
      - Growing needs the VM halted. Shrinking is refused. A running guest with Xen drivers takes a new disk and gives one back at once.
      - All are read-write, since XAPI gives an HVM guest no others.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The disk's name, unique in the VM. V(root) is the disk that came with the template.
        type: str
        required: true
      size:
        description:
          - Its size, as V(10GiB). Rounded up to a multiple of 2 MiB. Needed for a new disk.
        type: str
      sr:
        description:
          - Name or UUID of the storage repository for the disk. A new one without it is made on O(sr).
          - A disk that is elsewhere is moved there, while the VM runs if its guest has Xen drivers. Its VDI is another one then, with another UUID.
            The pool's licence must allow storage migration. A disk that this module did not make stays where it is.
        type: str
      description:
        description:
          - Description of the disk's VDI.
        type: str
      vdi:
        description:
          - Name or UUID of a disk that exists, to be attached instead of a new one being made. Another tenant's, and one that a VM holds, are refused.
          - A disk that this module did not make is never changed or destroyed. It stays when the VM or the entry goes.
        type: str
      keep:
        description:
          - Whether the disk outlives its VM. It is marked with C(hardshell:keep) in its C(other_config), and stays unattached with O(state=absent).
          - A VM of the same O(tenant) and O(host) that asks for a disk of that name later has it attached again; others name it with O(disks[].vdi).
          - V(false) takes the mark away, and with O(disks[].state=absent) removes a disk that was kept.
        type: bool
      qos:
        description:
          - The disk's share of the storage's time, XAPI's C(ionice). Counts from the next time the disk is plugged, as when the VM starts.
        type: dict
        suboptions:
          sched:
            description:
              - The scheduler's class; V(none) takes the setting away.
            type: str
            choices: [real-time, best-effort, idle, none]
            default: best-effort
          class:
            description:
              - V(highest), V(high), V(normal), V(low), V(lowest), or a number from V(0), which comes first, to V(7).
            type: str
            default: normal
      state:
        description:
          - V(absent) detaches the disk. One that was made here is destroyed with all that is on it, if it is not kept and no other VM holds it.
        type: str
        choices: [present, absent]
        default: present
  remove_unmanaged_disks:
    description:
      - Remove the disks that are not listed in O(disks), as O(disks[].state=absent) does, but for the one that the VM starts from.
    type: bool
    default: false
  iso:
    description:
      - Name or UUID of the ISO in the VM's CD drive; an empty text ejects what is in it. Not touched when not given.
      - Changed at once, also in a running VM. A VM without a CD drive gets one, for which it must be halted.
    type: str
  networks:
    description:
      - Network interfaces by name. Those that this module made and that are not listed any more are removed; others are left alone.
      - When not given, a new VM keeps the interfaces of its template; when given, they are replaced.
    type: list
    elements: dict
    suboptions:
      name:
        description:
          - The interface's name, unique in the VM. Defaults to O(networks[].network).
        type: str
      network:
        description:
          - Name or UUID of the network. A change moves the interface, also of a running VM.
        type: str
        required: true
      mac:
        description:
          - Its MAC address. The pool makes one when not given. A change replaces the interface.
        type: str
      mtu:
        description:
          - Largest packet in bytes, from 576 to 65535. That of the network for a new interface. A change replaces the interface and keeps its MAC address.
        type: int
      rate_limit:
        description:
          - The most that the VM may send through it, in kilobytes (of 1024 bytes) a second; V(0) takes a limit away. What it receives is not limited.
          - A change of a running VM unplugs the interface for a moment, since XAPI reads the limit when it is plugged.
        type: int
      locking_mode:
        description:
          - Which traffic passes. V(locked) is that with its own MAC address and with O(networks[].ipv4_allowed) and O(networks[].ipv6_allowed) alone,
            so that a tenant cannot take another's address; V(disabled) is none; V(network_default) is what the network says.
          - V(network_default) for a new interface. Changed at once, also of a running VM. The pool wants the role C(pool-operator) for it.
        type: str
        choices: [network_default, locked, unlocked, disabled]
      ipv4_allowed:
        description:
          - IPv4 addresses that may be used with O(networks[].locking_mode=locked); none when not given then.
        type: list
        elements: str
      ipv6_allowed:
        description:
          - IPv6 addresses that may be used with O(networks[].locking_mode=locked); none when not given then. A guest uses a link-local one too.
        type: list
        elements: str
  planned_networks:
    description:
      - Names of networks that an earlier task of the same run makes, as M(hardshell.xen.network) does.
      - In check mode that task made none, so there they count as made. Otherwise this changes nothing.
    type: list
    elements: str
    default: []
  config_drive:
    description:
      - A disk with cloud-init configuration, labelled C(cidata) and in the layout of the NoCloud data source, with OpenStack's layout beside it.
      - It is complete before the VM is started. It holds secrets, so remove it with O(config_drive.state=absent) once the guest is configured.
    type: dict
    suboptions:
      user_data:
        description:
          - cloud-init user-data, as text, or as a mapping that becomes a C(#cloud-config) document.
          - Or a configuration for Ignition, specification 3, for guests such as Flatcar and Fedora CoreOS. It is known by its key C(ignition). The drive is
            labelled C(config-2) then, which their images for OpenStack read.
          - Never shown; what is shown is a SHA-256 sum. Changed content for a VM that has booted needs O(allow_power_cycle).
        type: str
      vendor_data:
        description:
          - cloud-init vendor-data, as text, or as a mapping that becomes a C(#cloud-config) document. It is what who runs the pool gives to every guest;
            where O(config_drive.user_data) says the same, that counts. Not for Ignition, which knows none.
          - The key of O(ssh_host_key) travels beside it and wins over keys in it. Never shown, as O(config_drive.user_data).
        type: str
      meta_data:
        description:
          - More meta-data beside C(instance-id) and C(local-hostname), which is O(host) if not given here.
        type: dict
      network_config:
        description:
          - cloud-init network-config, version 2 or 1. Where C(macaddress) is C(nic:NAME), the MAC address of that interface is put.
        type: dict
      sr:
        description:
          - Name or UUID of the storage repository for the drive. Defaults to O(sr).
        type: str
      state:
        description:
          - V(present) has the drive made and attached unless the VM has taken the same content already.
          - V(absent) removes it, from a running VM too, and remembers its content as taken.
        type: str
        choices: [present, absent]
        default: present
  ssh_host_key:
    description:
      - Make an ed25519 SSH host key pair for the guest beforehand, so that the first connection can be verified.
      - The private half goes into the config drive and nowhere else. The public half is kept on the VM and returned as RV(vm.ssh_host_key).
      - Needs O(config_drive).
    type: bool
    default: false
  tags:
    description:
      - Tags that the VM must have beside C(tenant:NAME). Others are left alone.
    type: list
    elements: str
  adopt:
    description:
      - Take over a VM of that name that carries no marks, with its disks. One of another tenant is never taken.
      - The disk that it boots from is V(root). Another one is the disk of O(disks) that names it in O(disks[].vdi), or whose name its VDI has,
        alone or after the VM's, as in V(shop data). The others are named by their position, as in V(disk1).
      - A disk that another VM holds too is not taken over, and with O(remove_unmanaged_disks) one that is not listed is only detached.
    type: bool
    default: false
  allow_power_cycle:
    description:
      - Allow a running VM to be shut down and started again where a change needs it. Without it such a change is refused.
    type: bool
    default: false
  allow_replace:
    description:
      - Allow the system disk (V(root)) to be made anew where O(template) is another one than it was made from. All that is on it is lost.
      - The VM stays, with its UUID, MAC addresses, other disks, snapshots and settings. Firmware and Secure Boot become the template's, unless given.
      - The old disk goes when the new one is attached; with O(disks[].keep) it stays unattached. A config drive that was taken away is needed again
        and must be given. A running VM needs O(allow_power_cycle=true) too.
    type: bool
    default: false
  state:
    description:
      - V(present) makes or changes the VM and leaves its power state; a new VM is left halted.
      - V(running), V(halted), V(paused) and V(suspended) do that and then bring it to the power state.
      - V(restarted) shuts it down cleanly and starts it, each time.
      - V(absent) shuts it down and removes it with its own disks, its snapshots and what interrupted runs left of it. Disks that another VM holds, that
        this module did not make, and those with O(disks[].keep) stay.
    type: str
    choices: [present, running, halted, paused, suspended, restarted, absent]
    default: present
  shutdown_timeout:
    description:
      - Seconds to wait for a clean shutdown or reboot of the guest.
      - A guest that the same task has started first has as many more to come up, since it can do neither before, nor be suspended.
    type: int
    default: 300
  force:
    description:
      - When the guest does not shut down cleanly in time, turn it off. Without it the task fails, and the VM keeps running.
    type: bool
    default: false
  wait_for:
    description:
      - What to wait for in a running VM before the task ends, all of it within one O(wait_for.timeout).
    type: dict
    suboptions:
      address:
        description:
          - V(true) waits until the guest reports an address that is not link-local; a network such as V(10.1.0.0/16) or V(2001:db8::/32) for one in it.
          - The address found is returned as RV(vm.address).
        type: str
      nic:
        description:
          - Name of the interface that the address must be on. Any, if not given.
        type: str
      guest_agent:
        description:
          - Wait until an agent in the guest has told the pool its version, as C(xe-guest-utilities) and C(xen-guest-agent) do.
        type: bool
        default: false
      ssh:
        description:
          - Wait until an SSH server answers at the address, asked from where the module runs. Any address, if O(wait_for.address) is not given.
        type: bool
        default: false
      ssh_port:
        description:
          - Port of the SSH server.
        type: int
        default: 22
      timeout:
        description:
          - Seconds to wait.
        type: int
        default: 300
seealso:
  - module: hardshell.xen.session
  - module: hardshell.xen.image
"""

EXAMPLES = r"""
- name: A VM with a data disk, configured by cloud-init, running and reachable
  hardshell.xen.vm:
    name: acme-shop
    tenant: acme
    template: debian-12-docker
    vcpus: 2
    memory: 1GiB
    disks:
      - {name: root, size: 10GiB}
      - {name: data, size: 20GiB}
    networks:
      - {name: front, network: acme-private}
    config_drive:
      user_data:
        hostname: acme-shop
        users:
          - name: admin
            ssh_authorized_keys: ["{{ lookup('ansible.builtin.file', '~/.ssh/id_ed25519.pub') }}"]
    ssh_host_key: true
    state: running
    wait_for: {address: 10.1.0.0/16, timeout: 300}
  register: made

- name: Make it one of a protected, spread pair with room to grow while it runs
  hardshell.xen.vm:
    name: acme-shop
    tenant: acme
    vcpus: 2
    vcpus_max: 4
    memory: 2GiB
    memory_static_max: 8GiB
    cpu_cap: 200
    group: web
    ha_restart_priority: restart
    auto_power_on: true
    delete_protection: true
    folder: /acme/web
    xenstore_data: {vm-data/role: shop}
    state: running
    allow_power_cycle: true

- name: Give it a database disk that outlives it, and take the old one away
  hardshell.xen.vm:
    name: acme-shop
    tenant: acme
    disks:
      - {name: database, size: 50GiB, keep: true, qos: {class: high}}
      - {name: data, state: absent}

- name: Insert a rescue ISO
  hardshell.xen.vm:
    name: acme-shop
    tenant: acme
    iso: systemrescue-12.iso

- name: Let it send 10 MiB/s at most, and from its own address alone
  hardshell.xen.vm:
    name: acme-shop
    tenant: acme
    networks:
      - name: front
        network: acme-private
        rate_limit: 10240
        locking_mode: locked
        ipv4_allowed: [10.1.0.10]

- name: A full copy of it as it was last night, on another storage repository
  hardshell.xen.vm:
    name: acme-shop-test
    tenant: acme
    source: acme-shop nightly
    clone: full
    sr: slow disks

- name: Give it more memory, shutting it down for that
  hardshell.xen.vm:
    name: acme-shop
    tenant: acme
    memory: 4GiB
    state: running
    allow_power_cycle: true

- name: Roll a new golden image out, keeping the VM, its addresses and its other disks
  hardshell.xen.vm:
    name: acme-shop
    tenant: acme
    template: debian-12-docker
    config_drive:
      user_data: "{{ lookup('ansible.builtin.file', 'acme-shop.yml') }}"
    ssh_host_key: true
    state: running
    allow_replace: true
    allow_power_cycle: true

- name: Remove the config drive, which holds secrets
  hardshell.xen.vm:
    name: acme-shop
    tenant: acme
    config_drive: {state: absent}

- name: Remove the VM with its disks
  hardshell.xen.vm:
    name: acme-shop
    tenant: acme
    state: absent
"""

RETURN = r"""
vm:
  description:
    - The VM as it is after the task, or as it would be in check mode. What only the pool can know is V(null) then.
    - V(null) after O(state=absent).
  type: dict
  returned: success
  contains:
    uuid: {description: Its UUID., type: str, returned: success}
    name: {description: Its name., type: str, returned: success}
    description: {description: Its description., type: str, returned: success}
    template: {description: "Name of the template that its system disk was made from, V(null) where that is not known.", type: str, returned: success}
    template_id: {description: "Checksum of the image that this template was made from, else its UUID.", type: str, returned: success}
    tenant: {description: The tenant that owns it., type: str, returned: success}
    inventory_host: {description: The inventory host that it is., type: str, returned: success}
    power_state: {description: "V(running), V(halted), V(paused) or V(suspended).", type: str, returned: success}
    vcpus: {description: "Number of virtual CPUs, of a running VM those that it has now.", type: int, returned: success}
    vcpus_max: {description: Most virtual CPUs that it may have while it runs., type: int, returned: success}
    cores_per_socket: {description: Virtual CPUs a socket., type: int, returned: success}
    cpu_weight: {description: Share of the physical CPUs against other VMs., type: int, returned: success}
    cpu_cap: {description: "The most it may use, in percent of one physical CPU; 0 for no limit.", type: int, returned: success}
    memory: {description: "Memory in bytes, XAPI's C(memory_dynamic_max).", type: int, returned: success}
    memory_static_min: {description: Least memory in bytes that it can have without a halt., type: int, returned: success}
    memory_static_max: {description: Most memory in bytes that it can have without a halt., type: int, returned: success}
    memory_dynamic_min: {description: Memory in bytes that the pool may take it down to., type: int, returned: success}
    firmware: {description: "V(bios) or V(uefi).", type: str, returned: success}
    secure_boot: {description: "Whether Secure Boot is on; V(null) where the pool decides at start.", type: bool, returned: success}
    vtpm: {description: Whether it has a virtual TPM., type: bool, returned: success}
    boot_order: {description: "What it boots from, the first first.", type: list, elements: str, returned: success}
    affinity: {description: Name of the host that it prefers., type: str, returned: success}
    group: {description: "Name in the pool of the group that it is in, as V(acme/web).", type: str, returned: success}
    appliance: {description: Name of the appliance that it is in., type: str, returned: success}
    start_order: {description: Place in the order of starts., type: int, returned: success}
    start_delay: {description: Seconds to wait after its start., type: int, returned: success}
    shutdown_delay: {description: Seconds to wait after its shutdown., type: int, returned: success}
    ha_restart_priority: {description: "V(restart), V(best-effort) or V(none).", type: str, returned: success}
    auto_power_on: {description: Whether it asks to be started when its host is powered on., type: bool, returned: success}
    folder: {description: "Its folder, empty where it is in none.", type: str, returned: success}
    delete_protection: {description: Whether the pool refuses to destroy it., type: bool, returned: success}
    blocked_operations: {description: "Operations that the pool refuses, with the reasons.", type: dict, returned: success}
    other_config: {description: "Its C(other_config), without marks and keys that XAPI and options keep.", type: dict, returned: success}
    platform: {description: "Its C(platform), without keys that XAPI and options keep.", type: dict, returned: success}
    xenstore_data: {description: Its C(xenstore_data)., type: dict, returned: success}
    host: {description: Name of the host that it runs on., type: str, returned: success}
    addresses: {description: "All addresses the guest reports, in the order of the interfaces.", type: list, elements: str, returned: success}
    address: {description: The address that was waited for; else the first that is not link-local., type: str, returned: success}
    tags: {description: Its tags., type: list, elements: str, returned: success}
    disks:
      description: Its disks in the order of the devices.
      type: list
      elements: dict
      returned: success
      contains:
        name: {description: The disk's name; V(null) for one that this module does not know., type: str, returned: success}
        size: {description: Size in bytes., type: int, returned: success}
        sr: {description: Name of its storage repository., type: str, returned: success}
        description: {description: Description of its VDI., type: str, returned: success}
        keep: {description: Whether it outlives the VM., type: bool, returned: success}
        qos: {description: "C(sched) and C(class) of its share of the storage's time, V(null) without one.", type: dict, returned: success}
        device: {description: Position in the VM., type: int, returned: success}
        uuid: {description: UUID of its VDI., type: str, returned: success}
    networks:
      description: Its interfaces in the order of the devices.
      type: list
      elements: dict
      returned: success
      contains:
        name: {description: The interface's name; V(null) for one that this module does not know., type: str, returned: success}
        network: {description: Name of the network., type: str, returned: success}
        mac: {description: MAC address., type: str, returned: success}
        mtu: {description: Largest packet in bytes., type: int, returned: success}
        rate_limit: {description: "Kilobytes (of 1024 bytes) a second that may be sent, V(null) without a limit.", type: int, returned: success}
        locking_mode: {description: "V(network_default), V(locked), V(unlocked) or V(disabled).", type: str, returned: success}
        ipv4_allowed: {description: IPv4 addresses that count when it is locked., type: list, elements: str, returned: success}
        ipv6_allowed: {description: IPv6 addresses that count when it is locked., type: list, elements: str, returned: success}
        device: {description: Position in the VM., type: int, returned: success}
        uuid: {description: UUID of the VIF., type: str, returned: success}
        addresses: {description: The addresses the guest reports on it., type: list, elements: str, returned: success}
    iso:
      description: What is in its CD drive; V(null) for nothing.
      type: dict
      returned: success
      contains:
        name: {description: Name of the ISO., type: str, returned: success}
        uuid: {description: UUID of its VDI., type: str, returned: success}
        sr: {description: Name of its library., type: str, returned: success}
    ssh_host_key: {description: "The guest's public SSH host key, V(null) if none was made here.", type: str, returned: success}
    config_drive:
      description: The config drive.
      type: dict
      returned: success
      contains:
        state:
          description: "V(attached), V(removed) when the guest has taken it, or V(absent) when there never was one."
          type: str
          returned: success
        sha256: {description: SHA-256 sum of its content as it was asked for., type: str, returned: success}
changes:
  description: The changes made, or in check mode to be made, in order.
  type: list
  elements: dict
  returned: success
  contains:
    action: {description: "What is done, as V(create), V(update), V(delete), V(start).", type: str, returned: success}
    kind: {description: "To what, as V(vm), V(disk), V(network interface).", type: str, returned: success}
    name: {description: Its name., type: str, returned: success}
    before: {description: As it was., type: raw, returned: when there was something}
    after: {description: As it is., type: raw, returned: when there is something}
    reason: {description: Why., type: str, returned: when it is not plain}
journal:
  description: What was done of the changes, with seconds.
  type: list
  elements: dict
  returned: when something was changed
"""

from ansible_collections.hardshell.xen.plugins.module_utils._module import ModuleDefinition, run_as_module
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.disk_spec import disk_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.nic_spec import nic_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_module import run
from ansible_collections.hardshell.xen.plugins.module_utils._pool.vm_settings import settings_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.wait_spec import wait_arguments

DEFINITION = ModuleDefinition(
    argument_spec={
        **connection_arguments(),
        "name": {"type": "str", "required": True},
        "tenant": {"type": "str", "required": True},
        "host": {"type": "str"},
        "uuid": {"type": "str"},
        "description": {"type": "str"},
        "template": {"type": "str"},
        "source": {"type": "str"},
        "clone": {"type": "str", "choices": ["fast", "full"], "default": "fast"},
        **settings_arguments(),
        "sr": {"type": "str"},
        "disks": {
            "type": "list",
            "elements": "dict",
            "options": disk_arguments(),
        },
        "remove_unmanaged_disks": {"type": "bool", "default": False},
        "iso": {"type": "str"},
        "networks": {
            "type": "list",
            "elements": "dict",
            "options": nic_arguments(),
        },
        "planned_networks": {"type": "list", "elements": "str", "default": []},
        "config_drive": {
            "type": "dict",
            "options": {
                "user_data": {"type": "str", "no_log": True},
                "vendor_data": {"type": "str", "no_log": True},
                "meta_data": {"type": "dict"},
                "network_config": {"type": "dict"},
                "sr": {"type": "str"},
                "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            },
        },
        "ssh_host_key": {"type": "bool", "default": False, "no_log": False},
        "tags": {"type": "list", "elements": "str"},
        "adopt": {"type": "bool", "default": False},
        "allow_power_cycle": {"type": "bool", "default": False},
        "allow_replace": {"type": "bool", "default": False},
        "state": {
            "type": "str",
            "choices": ["present", "running", "halted", "paused", "suspended", "restarted", "absent"],
            "default": "present",
        },
        "shutdown_timeout": {"type": "int", "default": 300},
        "force": {"type": "bool", "default": False},
        "wait_for": {
            "type": "dict",
            "options": wait_arguments(),
        },
    },
    run=run,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
