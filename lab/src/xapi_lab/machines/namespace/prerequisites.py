# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""What this machine must have for VMs in namespaces."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

PROGRAMS = {
    "ip": "iproute2",
    "nsenter": "util-linux",
    "ebtables": "iptables",
    "sshd": "openssh-server",
    "ssh-keygen": "openssh-client",
    "useradd": "passwd",
}
SYSTEM_PATH = "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin"


def missing() -> str | None:
    """What is missing, in words for the person who wants such a VM; None when all is there."""
    if os.geteuid() != 0:
        return "backend namespace: making namespaces, mounts and network interfaces needs root; start the lab as root"
    for program, package in PROGRAMS.items():
        if shutil.which(program, path=SYSTEM_PATH) is None:
            return f"backend namespace: {program} is not installed; install the Debian package {package}"
    if "overlay" not in Path("/proc/filesystems").read_text().split():
        return "backend namespace: this kernel has no overlay file system; load it with: modprobe overlay"
    if not Path("/sys/fs/cgroup").is_dir():
        return "backend namespace: no control groups are mounted at /sys/fs/cgroup"
    return None
