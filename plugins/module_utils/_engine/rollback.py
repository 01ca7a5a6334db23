# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The way back from a deploy that failed: to the set as it was, or, once the new set was whole, forward to its end.

It looks at what the engine holds and not at what we believe to have done: an answer that was lost may have been a yes.
"""

from __future__ import annotations

import time
import typing as t

from .._errors import HardshellError
from .._plan import ApplyError, Change, Plan, carry_out
from . import names, options
from .adopt import observe_set
from .api import ConnectionLost, Engine
from .apply import remove_container, start_container, stop_container
from .health import Watch, wait_ready
from .leftovers import new_set_was_whole
from .links import start_order
from .observe import Attachment, Container, Observed
from .replicas import providers_of
from .spec import SetSpec

# A restarting engine needs some seconds before it answers again.
RECONNECT_SECONDS = 45.0


def bring_back(
    engine: Engine, spec: SetSpec, before: Observed, transaction: str, progress: t.Callable[[str], None]
) -> bool:
    """Leave the set running as it was ``before``. False, and nothing is done, when the new set was whole already: then there is only forward.

    Raises HardshellError when it could not be done; the next run then does it.
    """
    now = observe_set(engine, spec, volumes=True)
    if new_set_took_over(before, now, transaction):
        return False
    # What was to be adopted does not carry the set's label.
    with Watch(engine, None if spec.adopt else spec.name) as watch:
        back = take_back(spec.name, before, now)
        deadline = time.monotonic() + spec.wait_timeout

        def perform(step: Change) -> None:
            _perform(engine, watch, step, deadline)

        carry_out(back, perform, workers=4 + len(back.changes), progress=progress)
    return True


def new_set_took_over(before: Observed, now: Observed, transaction: str) -> bool:
    """Whether the deploy had come to the moving of names: until then no old container goes and no new one has its proper name."""
    left = {container.id for container in now.containers}
    placed = any(container.transaction == transaction for container in now.current().values())
    return (
        placed
        or new_set_was_whole(now.containers)
        or any(container.id not in left for container in before.current().values())
    )


def insist(engine: Engine, attempt: t.Callable[[], bool]) -> bool:
    """What ``attempt`` returns, made anew when the way to the engine is lost meanwhile. Raises ConnectionLost when the engine stays away.

    An engine that is being restarted answers who is connected already for a while, and nobody else.
    """
    end = time.monotonic() + RECONNECT_SECONDS
    pause = 0.1
    while True:
        _reach(engine)
        try:
            return attempt()
        except HardshellError as error:
            cause = error.cause if isinstance(error, ApplyError) else error
            if not isinstance(cause, ConnectionLost) or time.monotonic() + pause > end:
                raise
        time.sleep(pause)
        pause = min(pause * 2, 5.0)


def _reach(engine: Engine) -> None:
    """Wait until the engine answers again. Raises ConnectionLost when it does not."""
    deadline = time.monotonic() + RECONNECT_SECONDS
    pause = 0.1
    while True:
        try:
            engine.revive()
            engine.agree_on_version()
            return
        except ConnectionLost:
            if time.monotonic() + pause > deadline:
                raise
        # There is no event for an engine that is away: ask again, ever less often.
        time.sleep(pause)
        pause = min(pause * 2, 5.0)


def take_back(set_name: str, before: Observed, now: Observed) -> Plan:
    """The steps from ``now`` to the set as it was ``before``. What other sets have made meanwhile stays. Pure."""
    found: list[Change] = []

    def add(action: str, kind: str, name: str, payload: t.Any, needs: t.Iterable[str]) -> str:
        identity = f"{action}:{kind}:{name}"
        found.append(Change(identity, action, kind, name, needs=tuple(needs), payload=payload))
        return identity

    gone = [add("remove", "container", c.name, c, ()) for c in now.containers if c.staged]
    current = now.current()
    old = {
        name: container
        for name, container in before.current().items()
        if name in current and current[name].id == container.id
    }
    mended = []
    for name, container in old.items():
        update = _update_back(container, current[name])
        if update:
            mended.append(add("restore limits of", "container", name, (current[name], update), gone))
        for network, attachment in _attachments_back(container, current[name]).items():
            mended.append(
                add(
                    "restore connection of",
                    "container",
                    f"{name} to {network}",
                    (current[name], network, attachment),
                    gone,
                )
            )
    started: dict[str, str] = {}
    providers = providers_of(old)
    for name in start_order(providers):
        if old[name].running and not current[name].running:
            needs = [*gone, *mended, *(started[provider] for provider in providers[name] if provider in started)]
            started[name] = add("start", "container", name, current[name], needs)
        elif not old[name].running and current[name].running:
            mended.append(add("stop", "container", name, current[name], gone))
    for made in now.networks.values():
        if made.name not in before.networks and made.set == set_name:
            gone.append(add("remove", "network", made.name, made, [*gone, *mended]))
    if before.volumes is not None and now.volumes is not None:
        for name in now.volumes:
            if name not in before.volumes and now.volumes[name].get(names.SET) == set_name:
                gone.append(add("remove", "volume", name, name, gone))
    return Plan(tuple(found))


def _update_back(before: Container, now: Container) -> dict[str, t.Any] | None:
    differing = options.differences(before.options, now.options, before.asked)
    return options.update_body(before.options, differing) if differing else None


def _attachments_back(before: Container, now: Container) -> dict[str, Attachment | None]:
    """The networks to connect again, or, with None, to leave."""
    back: dict[str, Attachment | None] = {
        network: None for network in now.attachments if network not in before.attachments
    }
    back.update(
        {network: found for network, found in before.attachments.items() if now.attachments.get(network) != found}
    )
    return back


def _perform(engine: Engine, watch: Watch, step: Change, deadline: float) -> None:
    payload = step.payload
    if step.action == "remove" and step.kind == "container":
        remove_container(engine, payload.id)
    elif step.action == "remove":
        engine.delete(f"/{step.kind}s/{step.name}")
    elif step.action == "start":
        start_container(engine, payload.id, step.name, deadline)
        wait_ready(engine, watch, payload.id, step.name, deadline)
    elif step.action == "stop":
        stop_container(engine, payload)
    elif step.action == "restore limits of":
        container, update = payload
        engine.post(f"/containers/{container.id}/update", update)
    else:
        container, network, attachment = payload
        if network in container.attachments:
            engine.post(f"/networks/{network}/disconnect", {"Container": container.id, "Force": True})
        if attachment is not None:
            body = {"Container": container.id, "EndpointConfig": attachment.endpoint()}
            engine.post(f"/networks/{network}/connect", body)
