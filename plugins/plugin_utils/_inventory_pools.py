# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""The pools that an inventory source names, and reading them at the same time."""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.common.arg_spec import ModuleArgumentSpecValidator

from ..module_utils._errors import HardshellError, OptionError
from ..module_utils._pool.connection import ConnectionOptions, connection_arguments, connection_options
from ..module_utils._pool.fleet_observe import FleetVm, read_fleet
from ..module_utils._pool.session import Session
from ..module_utils._pool.vm_filter import VmFilter
from ..module_utils._tenancy.published import read_published

AT_ONCE = 8


@dataclass(frozen=True)
class PoolSource:
    """A pool to be read. ``name`` is what this inventory calls it."""

    name: str
    connection: ConnectionOptions

    def digest(self, wanted: VmFilter) -> str:
        """A sum of what is asked of whom: an answer that was kept is good for the same question only."""
        question = [self.name, *map(str, self.connection.addresses), self.connection.username, repr(wanted)]
        return hashlib.sha256(json.dumps(question).encode()).hexdigest()[:16]


@dataclass
class Answer:
    """What a pool told, or ``problem`` where it could not be read. A VM has its facts, and in ``containers`` what is published of it."""

    vms: list[dict[str, t.Any]] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problem: str = ""


def pool_sources(shared: t.Mapping[str, t.Any], pools: t.Any) -> list[PoolSource]:
    """The pools of a source. ``shared`` are the options at its top, which those in ``pools`` take the place of. Raises ``OptionError``."""
    if not pools:
        return [_source("", shared)]
    if not isinstance(pools, list) or not all(isinstance(each, t.Mapping) for each in pools):
        raise OptionError("pools", pools, "give a list of mappings, each with xapi_host")
    common = {option: value for option, value in shared.items() if option not in ("xapi_host", "xapi_session")}
    sources = []
    for index, own in enumerate(pools):
        where = f"pools[{index}]"
        if not own.get("xapi_host"):
            raise OptionError(f"{where}.xapi_host", own.get("xapi_host"), "name at least one member of the pool")
        sources.append(_source(f"{where}.", {**common, **own}))
    names = [source.name for source in sources]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise OptionError("pools", twice, "give each pool a name of its own")
    return sources


def _source(where: str, given: t.Mapping[str, t.Any]) -> PoolSource:
    options = {option: value for option, value in given.items() if value is not None and option != "name"}
    result = ModuleArgumentSpecValidator(connection_arguments()).validate(options)
    if result.error_messages:
        raise HardshellError(f"{where}{result.errors.msg}" if where else str(result.errors.msg))
    connection = connection_options(result.validated_parameters)
    return PoolSource(str(given.get("name") or connection.addresses[0].host), connection)


def read_pools(sources: t.Sequence[PoolSource], wanted: VmFilter) -> list[Answer]:
    """The answers of the pools, in their order. One that is down does not keep the others waiting for longer than its own timeout."""
    if not sources:
        return []
    with concurrent.futures.ThreadPoolExecutor(max_workers=min(AT_ONCE, len(sources))) as workers:
        return list(workers.map(lambda source: _read_pool(source, wanted), sources))


def _read_pool(source: PoolSource, wanted: VmFilter) -> Answer:
    answer = Answer()
    try:
        with Session(source.connection, answer.warnings.append) as session:
            answer.vms = [_told(each, answer) for each in read_fleet(session, wanted)]
    except HardshellError as error:
        answer.problem = f"the pool {source.name!r} could not be read: {error.message}"
    return answer


def _told(each: FleetVm, answer: Answer) -> dict[str, t.Any]:
    """The facts of a VM, with the containers that are published of it."""
    published = read_published(each.other_config, str(each.vm.uuid))
    if published.problem:
        answer.warnings.append(f"the containers of {each.vm.name!r} are left out: {published.problem}")
    return {**each.facts(), "containers": list(published.containers)}
