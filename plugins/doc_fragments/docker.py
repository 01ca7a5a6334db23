# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The options of the modules that speak to a Docker Engine."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  docker_host:
    description:
      - The engine to speak to. There is no default and no environment variable, so that no task reaches an engine that it does not name.
      - C(unix:///var/run/docker.sock) is a socket of the machine the task runs on.
      - C(ssh://user@host:port) is the engine inside a VM. One connection of OpenSSH's own C(ssh) carries the whole task; the user's
        configuration, agent and jump hosts are respected.
        Add a path for an engine whose socket is not C(/var/run/docker.sock), as in C(ssh://shop@10.0.0.5/run/user/1000/docker.sock).
      - C(tcp://host:2376) is an engine that listens with mutual TLS.
    type: str
    required: true
  docker_ssh_key:
    description:
      - Path of the private key for an C(ssh://) engine. With it, no other key is offered.
    type: path
  docker_ssh_host_key:
    description:
      - The public host key of the VM, as one line such as C(ssh-ed25519 AAAA...). With it, no other host key is accepted and no C(known_hosts) file
        is read or written.
      - Without it the host must be known to the user's own C(known_hosts).
    type: str
  docker_ssh_options:
    description:
      - Further C(-o) options for C(ssh), as in C(ProxyJump=gateway.example).
    type: list
    elements: str
    default: []
  docker_ca_path:
    description:
      - Certificate authority that the engine's certificate must come from, for a C(tcp://) engine. The system's authorities are not used.
    type: path
  docker_cert_path:
    description:
      - Client certificate for a C(tcp://) engine.
    type: path
  docker_key_path:
    description:
      - Private key of O(docker_cert_path).
    type: path
  docker_validate_certs:
    description:
      - Set to V(false) to accept any certificate, or none, of a C(tcp://) engine. Whoever is on the network between can then take the engine over; a
        warning says so.
    type: bool
    default: true
  docker_timeout:
    description:
      - How long the engine may take to answer one request, and C(ssh) to connect, in seconds. Loading an image, pulling one and waiting for health
        have their own limits.
    type: int
    default: 60
requirements:
  - docker >= 7.1.0 (Python package)
  - Docker Engine 20.10 or later (API 1.41); Podman's Docker-compatible service is refused
  - OpenSSH client, for C(ssh://)
"""
