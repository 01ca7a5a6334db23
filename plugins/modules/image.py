#!/usr/bin/python

# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: image
short_description: Disk images as templates of a pool
version_added: 0.1.0
description:
  - Uploads a disk image into a storage repository and makes it a template that M(hardshell.xen.vm) clones.
  - An image is known by its name and checksum. The same image is not uploaded again; another one under the same name takes its place,
    and VMs made from the old one keep their disks.
  - With O(version), the old one stays as a version of its own. The template named O(name) is always the current version, which is what
    M(hardshell.xen.vm) makes VMs from by that name; an older one is named O(name), a space and its version.
  - An upload that was interrupted is found by the next run, removed and done again.
author:
  - hardshell.xen contributors (@hardshell)
extends_documentation_fragment:
  - hardshell.xen.xapi
  - hardshell.xen.attributes
  - hardshell.xen.attributes.idempotent
  - hardshell.xen.attributes.in_controller
  - hardshell.xen.attributes.actiongroup_xapi
options:
  name:
    description:
      - Name of the template.
    type: str
    required: true
  path:
    description:
      - The image as a file on the machine where this module runs. It may be compressed with gzip, bzip2, xz or zstd, which is seen by its first
        bytes. For zstd, Python 3.14 or the program C(zstd) must be there.
      - A compressed image is unpacked into the temporary folder of that machine.
    type: path
  url:
    description:
      - The image as an C(http), C(https) or C(file) URL, fetched by the machine where this module runs. It may be compressed as O(path).
    type: str
  checksum:
    description:
      - SHA-256 sum of the file, compressed where it is, as V(sha256:HEX). What does not match is refused before anything is changed.
      - With it, an image that is there already is neither read nor fetched. Needed with O(url).
    type: str
  format:
    description:
      - Format of the file. V(auto) looks at its first bytes. V(qcow2) is converted with C(qemu-img), which must be there then.
      - Of an V(xva), as C(xe vm-export) writes it, the disk is taken, which must be its only one. The template around it is that of this module's options,
        and networks, addresses and settings of the VM in the archive do not come along.
      - With O(state=exported), what O(path) is to be; V(auto) goes by the end of its name. V(raw) and V(vhd) are the disk, V(xva) is the template with it,
        which C(xe vm-import) and other tools of the pool read.
    type: str
    choices: [auto, raw, vhd, qcow2, xva]
    default: auto
  size:
    description:
      - Size of the disk, as V(4GiB), where it is to be larger than the image. Not for O(format=vhd).
    type: str
  sr:
    description:
      - Name or UUID of the storage repository. Defaults to the pool's default SR.
    type: str
  description:
    description:
      - What the pool shows as the template's description.
    type: str
  firmware:
    description:
      - How the template's VMs boot. The image must be made for it.
    type: str
    choices: [bios, uefi]
    default: bios
  secure_boot:
    description:
      - Whether UEFI verifies the boot chain. Only with O(firmware=uefi).
    type: bool
    default: false
  vcpus:
    description:
      - Virtual CPUs of a VM made from the template, unless M(hardshell.xen.vm) says otherwise.
    type: int
    default: 1
  memory:
    description:
      - Memory of a VM made from the template, unless M(hardshell.xen.vm) says otherwise, as V(1GiB).
    type: str
    default: 1GiB
  memory_minimum:
    description:
      - The least memory that the image can work with, as V(256MiB).
    type: str
    default: 128MiB
  version:
    description:
      - The version that this image is, such as V(12.20251124). With O(state=absent) only this version is removed.
      - To go back to a version that is still there, give its file or its O(checksum) again. Nothing is uploaded for that.
    type: str
  keep:
    description:
      - How many versions stay, the current one among them. All, when not given.
      - VMs made from a version that is removed keep their disks. What those share with it stays in the storage repository until the last of them is gone.
    type: int
  upload_timeout:
    description:
      - Seconds that the pool may take to write the image.
    type: int
    default: 3600
  state:
    description:
      - Whether the template should be there. V(absent) removes a template that this module made with its disk, all of its versions, and what
        interrupted uploads left.
      - V(exported) writes the image, or one O(version) of it, to O(path). Beside it stands C(PATH.exported.json), which tells what the file was made of.
        A file that is of this image already is left alone. One of another version, or that somebody wrote into since, is written anew. One without
        it is refused, since this module did not write it.
    type: str
    choices: [present, absent, exported]
    default: present
seealso:
  - module: hardshell.xen.vm
"""

EXAMPLES = r"""
- name: A template from a disk image
  hardshell.xen.image:
    name: debian-12-docker
    path: ~/.cache/hardshell.xen/debian-12-docker.raw
    firmware: bios
    memory: 1GiB

- name: A template from a cloud image
  hardshell.xen.image:
    name: debian-12
    url: https://images.example/debian-12-genericcloud-amd64.qcow2
    checksum: sha256:9f2c1b0d7d1a8d0f0e0c4ac6b1d27f1b5e1c24c17cf1c7a1c7f1f7b5b7d3d5a1
    firmware: uefi

- name: A compressed image as the current version, with two older ones to go back to
  hardshell.xen.image:
    name: debian-12
    path: ~/images/debian-12-20251124.raw.xz
    version: "20251124"
    keep: 3

- name: A template from a VM that was exported with "xe vm-export compress=zstd"
  hardshell.xen.image:
    name: appliance
    path: /srv/images/appliance.xva
    firmware: uefi
    memory: 4GiB

- name: A copy of it as a file
  hardshell.xen.image:
    name: debian-12
    path: /srv/images/debian-12.vhd
    state: exported

- name: Remove it
  hardshell.xen.image:
    name: debian-12
    state: absent
"""

RETURN = r"""
image:
  description:
    - The template as it is after the task, or as it would be in check mode. V(null) after O(state=absent).
  type: dict
  returned: success
  contains:
    uuid: {description: UUID of the template., type: str, returned: success}
    name: {description: Its name., type: str, returned: success}
    description: {description: Its description., type: str, returned: success}
    checksum: {description: "Checksum of the file it was made from, as V(sha256:HEX).", type: str, returned: success}
    version: {description: "The version that it is, V(null) without one.", type: str, returned: success}
    firmware: {description: "V(bios) or V(uefi).", type: str, returned: success}
    secure_boot: {description: Whether UEFI verifies the boot chain., type: bool, returned: success}
    vcpus: {description: Number of virtual CPUs., type: int, returned: success}
    memory: {description: Memory in bytes., type: int, returned: success}
    memory_minimum: {description: The least memory in bytes., type: int, returned: success}
    size: {description: Size of the disk in bytes., type: int, returned: success}
    sr: {description: Name of its storage repository., type: str, returned: success}
    vdi: {description: UUID of its disk., type: str, returned: success}
changes:
  description: The changes made, or in check mode to be made, in order.
  type: list
  elements: dict
  returned: success
journal:
  description: What was done of the changes, with seconds.
  type: list
  elements: dict
  returned: when something was changed
"""

from ansible_collections.hardshell.xen.plugins.module_utils._module import ModuleDefinition, run_as_module
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import connection_arguments
from ansible_collections.hardshell.xen.plugins.module_utils._pool.image_module import run

DEFINITION = ModuleDefinition(
    argument_spec={
        **connection_arguments(),
        "name": {"type": "str", "required": True},
        "path": {"type": "path"},
        "url": {"type": "str"},
        "checksum": {"type": "str"},
        "format": {"type": "str", "choices": ["auto", "raw", "vhd", "qcow2", "xva"], "default": "auto"},
        "size": {"type": "str"},
        "sr": {"type": "str"},
        "description": {"type": "str"},
        "firmware": {"type": "str", "choices": ["bios", "uefi"], "default": "bios"},
        "secure_boot": {"type": "bool", "default": False},
        "vcpus": {"type": "int", "default": 1},
        "memory": {"type": "str", "default": "1GiB"},
        "memory_minimum": {"type": "str", "default": "128MiB"},
        "version": {"type": "str"},
        "keep": {"type": "int"},
        "upload_timeout": {"type": "int", "default": 3600},
        "state": {"type": "str", "choices": ["present", "absent", "exported"], "default": "present"},
    },
    mutually_exclusive=[["path", "url"]],
    required_if=[("state", "present", ["path", "url"], True), ("state", "exported", ["path"])],
    required_by={"url": ["checksum"]},
    run=run,
)


def main() -> None:
    run_as_module(DEFINITION)


if __name__ == "__main__":
    main()
