# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The event source ``hardshell.xen.xapi_events`` of ansible-rulebook: what happens in a pool, as it happens."""

from __future__ import annotations

DOCUMENTATION = r"""
---
author:
  - hardshell.xen contributors (@hardshell)
short_description: Events of a XenServer or XCP-ng pool
description:
  - Listens to XAPI and tells what is made, changed and removed in a pool, and the pool's messages such as V(VM_CRASHED) and V(HA_HOST_FAILED).
  - An event is in C(event.xapi). C(operation) is V(add), V(mod) or V(del); C(class) is XAPI's class in lower case; C(ref), C(uuid) and C(name)
    say which object; C(record) holds XAPI's fields, after the change, or the last that was known of what is removed. XAPI's integers are texts
    there, as on its wire.
  - C(changed) holds the fields that are different now, each with C(before) and C(after), so that a rule can wait for the change and not for the state.
    An object that is touched without a change is no event.
  - C(tenant) and C(host) say whose it is and which inventory host, for VMs that M(hardshell.xen.vm) marked, for what they have, and for the
    messages about them. They are left out for what is nobody's.
  - Changes that follow each other closely come as one, as XAPI tells them. Large fields of XAPI's own, such as C(NVRAM), and passwords are left out.
  - Of a cut connection no event is lost and none told twice. Where XAPI restarts or another host becomes the coordinator, the pool is read anew, and what is
    different is told. It goes on listening however long the pool is away. It ends where the account is refused and where a certificate is not trusted.
  - Needs the collection where ansible-rulebook runs, with XenAPI and ansible-core in the same Python.
version_added: 0.1.0
options:
  xapi_host:
    description:
      - Members of the pool, as a list or separated by commas; tried in this order until one answers. Each is a host name or address, V(host:port), or an
        C(https) URL. Or the environment variable E(XAPI_HOST).
    type: list
    elements: str
    required: true
  xapi_username:
    description:
      - The account to log in with. One with the role read-only is enough. Or the environment variable E(XAPI_USERNAME).
    type: str
    default: root
  xapi_password:
    description:
      - Its password. Or the environment variable E(XAPI_PASSWORD).
    type: str
    required: true
  xapi_ca_path:
    description:
      - A PEM file with the CA certificates that the pool's certificates are verified against, instead of the system's. Or the environment variable
        E(XAPI_CA_PATH).
    type: path
  xapi_fingerprint:
    description:
      - SHA-256 fingerprints of the certificates that are accepted, one for each pool member. Or the environment variable E(XAPI_FINGERPRINT).
    type: list
    elements: str
  xapi_validate_certs:
    description:
      - Whether to verify the pool's certificate. Or the environment variable E(XAPI_VALIDATE_CERTS).
    type: bool
    default: true
  xapi_timeout:
    description:
      - Seconds to wait for the connection and for an answer. Or the environment variable E(XAPI_TIMEOUT).
    type: int
    default: 60
  classes:
    description:
      - Classes of XAPI to listen to, such as V(vm), V(host), V(vbd), V(sr), V(task) and V(message).
    type: list
    elements: str
    default: [vm, message]
  tenants:
    description:
      - Only what is these tenants'. What becomes theirs is told as V(add), and what no longer is as V(del).
    type: list
    elements: str
    default: []
  fields:
    description:
      - Of changes, only those of these fields, such as V(power_state).
      - Without it, changes of any field but C(allowed_operations) and C(current_operations), which change with each step of an operation.
    type: list
    elements: str
    default: []
  existing:
    description:
      - Whether to tell first of all that is there at the start, as V(add). Without it, only what happens from then on is told.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: VMs of a tenant that stop
  hosts: all
  sources:
    - name: pool
      hardshell.xen.xapi_events:
        xapi_host: [xen1.example, xen2.example]
        xapi_username: events
        xapi_password: "{{ pool_password }}"
        xapi_ca_path: /etc/ssl/pool-ca.pem
        classes: [vm]
        tenants: [acme]
        fields: [power_state]
      filters:
        # So that playbooks run for the VM's inventory host alone.
        - eda.builtin.insert_hosts_to_meta:
            host_path: xapi.host
  rules:
    - name: Bring back what was stopped by hand
      condition: event.xapi.operation == "mod" and event.xapi.changed.power_state.after == "Halted"
      action:
        run_playbook:
          name: hardshell.xen.site
"""

import asyncio
import contextlib
import logging
import sys
import threading
import typing as t
from pathlib import Path

# ansible-rulebook runs this file by its path, and does not know how to import from a collection.
sys.path += [str(folder.parent) for folder in Path(__file__).absolute().parents if folder.name == "ansible_collections"]

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.hardshell.xen.plugins.module_utils._errors import HardshellError
from ansible_collections.hardshell.xen.plugins.module_utils._pool.connection import (
    ConnectionOptions,
    connection_arguments,
    connection_options,
)
from ansible_collections.hardshell.xen.plugins.module_utils._pool.event_stream import EventStream
from ansible_collections.hardshell.xen.plugins.module_utils._pool.event_watch import Event, WatchSpec, watch_spec

ARGUMENTS = {
    **{name: option for name, option in connection_arguments().items() if name != "xapi_session"},
    "classes": {"type": "list", "elements": "str", "default": ["vm", "message"]},
    "tenants": {"type": "list", "elements": "str", "default": []},
    "fields": {"type": "list", "elements": "str", "default": []},
    "existing": {"type": "bool", "default": False},
}
FEEDBACK = "eda_feedback_queue"
END_SECONDS = 5.0
AGAIN_SECONDS = 0.2

logger = logging.getLogger("hardshell.xen.xapi_events")


class Queue(t.Protocol):
    """What ansible-rulebook hands in."""

    async def put(self, item: t.Any) -> None: ...


async def main(queue: Queue, args: dict[str, t.Any]) -> None:
    """Put each event into the queue until cancelled. Raises ``HardshellError``."""
    options, spec = source_options(args)
    stream = EventStream(options, spec, logger.warning)
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[None] = loop.create_future()

    async def put(events: list[Event]) -> None:
        for event in events:
            await queue.put({"xapi": event})
            await asyncio.sleep(0)

    def finish(error: BaseException | None) -> None:
        if error is None:
            ended.set_result(None)
        else:
            ended.set_exception(error)

    def listen() -> None:
        failure: BaseException | None = None
        try:
            stream.run(lambda events: asyncio.run_coroutine_threadsafe(put(events), loop).result())
        except Exception as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop is closed where nobody waits any more
            loop.call_soon_threadsafe(finish, failure)

    threading.Thread(target=listen, name="xapi_events", daemon=True).start()
    try:
        await asyncio.shield(ended)
    except asyncio.CancelledError:
        give_up = loop.time() + END_SECONDS
        while not ended.done() and loop.time() < give_up:
            stream.end()
            await asyncio.wait([ended], timeout=AGAIN_SECONDS)
        raise


def source_options(args: t.Mapping[str, t.Any]) -> tuple[ConnectionOptions, WatchSpec]:
    """What the arguments in a rulebook mean. Raises ``HardshellError``."""
    given = {name: value for name, value in args.items() if name != FEEDBACK and value is not None}
    result = ArgumentSpecValidator(ARGUMENTS).validate(given)
    if result.error_messages:
        raise HardshellError("; ".join(result.error_messages))
    parameters = {**result.validated_parameters, "xapi_session": None}
    spec = watch_spec(*(parameters[name] for name in ("classes", "tenants", "fields", "existing")))
    return connection_options(parameters), spec
