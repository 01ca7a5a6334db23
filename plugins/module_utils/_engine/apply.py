# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""Steps carried out on the engine: the only code of the engine's side that writes, beside the loading of images."""

from __future__ import annotations

import contextlib
import threading
import time
import typing as t

from .._module import silent
from .._plan import Change, Plan, carry_out
from . import files, names, options
from .api import Engine, EngineError
from .health import Watch, wait_ready, wait_steady
from .namespaces import shared
from .observe import Container, inspect_container
from .plan import Work
from .refuse import refuse_unkept_limit
from .spec import SetSpec
from .update_order import BESIDE
from .wanted import Wanted

JSON = dict[str, t.Any]
# More writers at once do not make the engine faster; see docs for the measurements.
WRITERS = 4
STOP_SECONDS = 10
LATE_SECONDS = 10.0


class Applier:
    """Performs the steps of one deploy. ``deadline`` is on the monotonic clock."""

    def __init__(self, engine: Engine, spec: SetSpec, transaction: str, deadline: float) -> None:
        self.engine = engine
        self.spec = spec
        self.transaction = transaction
        self.watch: Watch | None = None
        self.deadline = deadline
        self.seconds: dict[str, float] = {}
        self.engine_warnings: list[str] = []
        self._progress: t.Callable[[str], None] = silent
        self._slots = threading.BoundedSemaphore(WRITERS)
        self._performers: dict[tuple[str, str], t.Callable[[Change], None]] = {
            ("remove leftover", "container"): self._remove_leftover,
            ("rename leftover", "container"): self._rename_leftover,
            ("create", "network"): self._create_network,
            ("remove", "network"): self._remove_network,
            ("create", "volume"): self._create_volume,
            ("remove", "volume"): self._remove_volume,
            ("create", "container"): self._stage,
            ("stop", "container"): self._stop,
            ("start", "container"): self._start,
            ("watch", "container"): self._watch_member,
            ("switch", "container"): self._switch,
            ("update", "container"): self._update,
            ("retire", "container"): self._retire,
            ("promote", "container"): self._promote,
            ("remove", "container"): self._discard,
            ("connect", "connection"): self._connect,
            ("reconnect", "connection"): self._reconnect,
            ("disconnect", "connection"): self._disconnect,
        }

    def carry_out(self, steps: Plan, progress: t.Callable[[str], None]) -> None:
        """Carry out all steps. Raises ApplyError; nothing is taken back here."""
        self._progress = progress
        waits = sum(step.action in ("start", "watch") for step in steps.changes)
        with Watch(self.engine, self.spec.name) as self.watch:
            carry_out(steps, self._perform, workers=WRITERS + waits, progress=progress)

    def _perform(self, step: Change) -> None:
        began = time.monotonic()
        perform = self._performers[step.action, step.kind]
        if step.action in ("start", "watch"):
            perform(step)
        else:
            with self._slots:
                perform(step)
        if step.action == "start":
            self.seconds[step.name] = time.monotonic() - began
            self._progress(f"{step.name} is ready after {self.seconds[step.name]:.1f} s")

    def _labels(self) -> dict[str, str]:
        return {names.SET: self.spec.name, names.TENANT: self.spec.tenant}

    def _create_network(self, step: Change) -> None:
        body = {"Name": step.name, "Driver": "bridge", "CheckDuplicate": True, "Labels": self._labels()}
        body.update(step.payload or {})
        with _already(409):
            try:
                self.engine.post("/networks/create", body)
            except EngineError as error:
                raise EngineError(error.status, network_problem(error.message)) from error

    def _remove_network(self, step: Change) -> None:
        self.engine.delete(f"/networks/{step.name}")

    def _create_volume(self, step: Change) -> None:
        body: JSON = {"Name": step.name, "Labels": self._labels()}
        if step.payload:
            body["DriverOpts"] = dict(step.payload)
        self.engine.post("/volumes/create", body)

    def _remove_volume(self, step: Change) -> None:
        self.engine.delete(f"/volumes/{step.name}")

    def _stage(self, step: Change) -> None:
        wanted = _work(step).wanted
        assert wanted is not None
        name = names.container_name(self.spec.name, wanted.spec.name) + names.STAGED
        body = self._create_body(wanted, known=_work(step).order != BESIDE)
        answer = self._create(name, body)
        self._heed(wanted, answer)
        if wanted.spec.files:
            self.engine.unpack(name, "/", files.archive(wanted.spec.files))
        for network, attachment in wanted.attachments.items():
            if network != wanted.network:
                body = {"Container": name, "EndpointConfig": attachment.endpoint()}
                self.engine.post(f"/networks/{network}/connect", body)

    def _create(self, name: str, body: JSON) -> JSON:
        """Make a container. A run that was killed may have left a request that the engine carries out only now: what comes of it goes again."""
        assert self.watch is not None
        end = time.monotonic() + LATE_SECONDS
        while True:
            seen = self.watch.count
            try:
                return t.cast(JSON, self.engine.post("/containers/create", body, name=name))
            except EngineError as error:
                late = inspect_container(self.engine, name) if error.status == 409 else None
                strange = late is not None and (late.set != self.spec.name or late.transaction == self.transaction)
                if error.status != 409 or strange or time.monotonic() >= end:
                    raise
            if late is not None:
                remove_container(self.engine, late.id)
            else:
                # Its name is taken before it is there.
                self.watch.wait_for_event(seen, end - time.monotonic())

    def _heed(self, wanted: Wanted, answer: JSON | None) -> None:
        """Pass the engine's warnings on. Raises HardshellError for one that says that a limit is not kept."""
        for warning in (answer or {}).get("Warnings") or []:
            refuse_unkept_limit(wanted.spec, warning)
            self.engine_warnings.append(f"{wanted.spec.name}: {warning}")

    def _create_body(self, wanted: Wanted, *, known: bool) -> JSON:
        """``known`` is whether it has its name in its own network from the start."""
        body = options.create_body(wanted.values)
        body["Image"] = wanted.spec.image
        body["HostConfig"]["NetworkMode"] = wanted.network
        for key in ("NetworkMode", "IpcMode", "PidMode"):
            other = shared(body["HostConfig"].get(key))
            if other:
                body["HostConfig"][key] = f"container:{self._identity_of(other)}"
        if wanted.network in wanted.attachments:
            self._join(body, wanted, known=known)
        body.setdefault("Labels", {}).update(
            {
                **self._labels(),
                names.MEMBER: wanted.spec.name,
                names.TRANSACTION: self.transaction,
                names.LINKS: ",".join(wanted.links),
                **({names.KNOWN_AS: wanted.spec.known_as} if wanted.spec.known_as != wanted.spec.name else {}),
                names.ASKED: ",".join(sorted(wanted.spec.asked)),
                names.IMAGE_ID: wanted.image.id,
                names.IMAGE_CONFIG: options.inherited_config(dict(wanted.image.config)),
                **({names.FATE: self.spec.fate} if self.spec.fate else {}),
            }
        )
        return body

    def _join(self, body: JSON, wanted: Wanted, *, known: bool) -> None:
        own = wanted.attachments[wanted.network]
        endpoint = {**own.endpoint(), **({} if known else {"Aliases": []})}
        if wanted.values["mac_address"]:
            # Of the endpoint since API 1.44; before, of the container, for the network that it is made in.
            place = endpoint if self.engine.api >= (1, 44) else body
            place["MacAddress"] = wanted.values["mac_address"]
        body["NetworkingConfig"] = {"EndpointsConfig": {wanted.network: endpoint}}

    def _identity_of(self, member: str) -> str:
        """The id of a member's container: of the new one where one has been made."""
        name = names.container_name(self.spec.name, member)
        try:
            return str(self.engine.get(f"/containers/{name}{names.STAGED}/json")["Id"])
        except EngineError as error:
            if error.status != 404:
                raise
        return str(self.engine.get(f"/containers/{name}/json")["Id"])

    def _stop(self, step: Change) -> None:
        stop_container(self.engine, _current(step))

    def _start(self, step: Change) -> None:
        assert self.watch is not None
        work, identity = _work(step), self._identity(step)
        with self._slots:
            if not work.fresh and work.current and work.current.state == "paused":
                self.engine.post(f"/containers/{identity}/unpause")
            else:
                start_container(self.engine, identity, step.name, self.deadline)
        wait_ready(self.engine, self.watch, identity, step.name, self.deadline)

    def _watch_member(self, step: Change) -> None:
        assert self.watch is not None
        wait_steady(self.engine, self.watch, self._identity(step), step.name, self.deadline)

    def _identity(self, step: Change) -> str:
        """What to call the container that is started: a new one by its staged name, an existing one by its id."""
        if _work(step).fresh:
            return names.container_name(self.spec.name, step.name) + names.STAGED
        return _current(step).id

    def _switch(self, step: Change) -> None:
        """Give a container that has started beside the old one its name, and take it from the old one.

        The engine can do so only when a container joins a network anew, or leaves it. A container that is being stopped would be resolved, and refuse,
        until it has ended.
        """
        wanted, old = _work(step).wanted, _current(step)
        assert wanted is not None
        own = wanted.attachments[wanted.network]
        name = self._identity(step)
        self.engine.post(f"/networks/{wanted.network}/disconnect", {"Container": name})
        self.engine.post(f"/networks/{wanted.network}/connect", {"Container": name, "EndpointConfig": own.endpoint()})
        if old.running and wanted.network in old.attachments:
            self.engine.post(f"/networks/{wanted.network}/disconnect", {"Container": old.id, "Force": True})

    def _update(self, step: Change) -> None:
        work = _work(step)
        assert work.wanted is not None
        self._heed(work.wanted, self.engine.post(f"/containers/{_current(step).id}/update", dict(work.update or {})))

    def _retire(self, step: Change) -> None:
        self._rename(_current(step).id, _current(step).base_name + names.RETIRED)

    def _promote(self, step: Change) -> None:
        name = names.container_name(self.spec.name, step.name)
        self._rename(name + names.STAGED, name)

    def _discard(self, step: Change) -> None:
        remove_container(self.engine, _current(step).id, with_volumes=not _current(step).foreign)

    def _remove_leftover(self, step: Change) -> None:
        remove_container(self.engine, step.payload.id, with_volumes=not step.payload.foreign)

    def _rename_leftover(self, step: Change) -> None:
        self._rename(step.payload.id, step.payload.base_name)

    def _rename(self, identity: str, name: str) -> None:
        self.engine.post(f"/containers/{identity}/rename", name=name)

    def _connect(self, step: Change) -> None:
        work = _work(step)
        assert work.wanted is not None
        attachment = work.wanted.attachments[work.network]
        body = {"Container": _current(step).id, "EndpointConfig": attachment.endpoint()}
        self.engine.post(f"/networks/{work.network}/connect", body)

    def _disconnect(self, step: Change) -> None:
        body = {"Container": _current(step).id, "Force": True}
        self.engine.post(f"/networks/{_work(step).network}/disconnect", body)

    def _reconnect(self, step: Change) -> None:
        self._disconnect(step)
        self._connect(step)


def _work(step: Change) -> Work:
    return t.cast(Work, step.payload)


def _current(step: Change) -> Container:
    current = _work(step).current
    assert current is not None
    return current


def start_container(engine: Engine, identity: str, member: str, deadline: float) -> None:
    """The engine answers when the container runs: a slow one may take until the set's ``deadline`` (monotonic clock)."""
    try:
        engine.post(f"/containers/{identity}/start", extra_seconds=max(0.0, deadline - time.monotonic()))
    except EngineError as error:
        raise EngineError(error.status, start_problem(member, error.message)) from error


def stop_container(engine: Engine, container: Container) -> None:
    grace = container.options["stop_grace_period"]
    seconds = STOP_SECONDS if grace is None else grace
    with _already(404):
        if container.state == "paused":
            engine.post(f"/containers/{container.id}/unpause")
        engine.post(f"/containers/{container.id}/stop", extra_seconds=seconds + 10)


def remove_container(engine: Engine, identity: str, *, with_volumes: bool = True) -> None:
    """Kill and remove, with the unnamed volumes that belong to it alone, unless it was made by other means: what is in those may be all there is."""
    with _already(409):
        engine.delete(f"/containers/{identity}", force=1, v=1 if with_volumes else 0)


def start_problem(member: str, message: str) -> str:
    """The engine's refusal to start a container, and what to do about the usual ones."""
    hint = ""
    if "port is already allocated" in message or "address already in use" in message:
        hint = "; the host port is taken in the VM: choose another, or stop what holds it"
    elif "executable file not found" in message or "no such file or directory" in message:
        hint = "; check command and entrypoint against what the image holds"
    return f"{member} cannot be started: {message}{hint}"


def network_problem(message: str) -> str:
    """The engine's refusal to make a network, and what to do when no addresses are left. Words: moby, ipamutils of 20.10 and ipamapi of 29."""
    if "address pool" not in message:
        return message
    return (
        f"{message}; its default-address-pools in daemon.json are used up, some thirty networks unless they are told: "
        "enlarge them (container_host_daemon of the role container_host), or use network: flat, which takes one network"
    )


@contextlib.contextmanager
def _already(status: int) -> t.Iterator[None]:
    """Let pass the engine's word that it is so already."""
    try:
        yield
    except EngineError as error:
        if error.status != status:
            raise
