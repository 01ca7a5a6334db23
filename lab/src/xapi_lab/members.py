# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The hosts of the pool as servers of their own: which are up, which one is the coordinator, and what the others answer.

A member serves no call of a pool session: it names the coordinator's address (HOST_IS_SLAVE). Members that have lost their
coordinator for good are in emergency mode (xapi_session.ml, session_check.ml, api_server.ml).
"""

from __future__ import annotations

from xapi_lab.database import Database
from xapi_lab.errors import XapiError
from xapi_lab.store import Store

EMERGENCY_CALLS = frozenset(
    {"pool.emergency_reset_master", "pool.emergency_transition_to_master", "session.slave_local_login_with_password",
     "session.local_logout", "host.emergency_ha_disable", "host.local_management_reconfigure",
     "host.management_disable", "host.get_system_status_capabilities", "host.shutdown_agent",
     "host.emergency_reset_server_certificate", "host.emergency_disable_tls_verification",
     "host.emergency_reenable_tls_verification", "host.emergency_clear_mandatory_guidance"}
)  # fmt: skip
"""What a host in emergency mode serves (datamodel.ml: emergency_calls)."""


class Members:
    """Which hosts are up, and which of them follow a coordinator that is gone. Kept in the lab's store."""

    def __init__(self, database: Database, store: Store) -> None:
        self._database = database
        self._store = store
        self.lost: set[str] = set(store.get("lost_hosts", []))
        self.stranded: dict[str, str] = dict(store.get("stranded_hosts", {}))
        """Members that follow a coordinator that is gone, with its address, though there may be a new one by now."""
        self.emergency = bool(store.get("emergency_mode", False))
        """Whether stranded members have given up on their coordinator."""

    def save(self) -> None:
        self._store.put("lost_hosts", sorted(self.lost))
        self._store.put("stranded_hosts", self.stranded)
        self._store.put("emergency_mode", self.emergency)

    def follow_coordinator(self, hosts: list[str]) -> None:
        """Members take the pool's coordinator for theirs."""
        for host in hosts:
            self.stranded.pop(host, None)
        self.emergency = self.emergency and bool(self.stranded)
        self.save()

    def forget(self, host: str) -> None:
        """The pool has let go of a host."""
        self.lost.discard(host)
        self.stranded.pop(host, None)
        self.save()

    @property
    def pool(self) -> str:
        return self._database.refs("pool")[0]

    @property
    def coordinator(self) -> str:
        master: str = self._database.get("pool", self.pool, "master")
        return master

    def all(self) -> list[str]:
        """Every host, the first one first."""
        return list(self._database.tables["host"])

    def up(self) -> list[str]:
        return [host for host in self.all() if host not in self.lost]

    def address(self, host: str) -> str:
        address: str = self._database.get("host", host, "address")
        return address

    def at(self, address: str) -> str:
        """The host that answers on an address; the coordinator for one that is no host's."""
        return next((host for host in self.all() if self.address(host) == address), self.coordinator)

    def is_coordinator(self, host: str) -> bool:
        return host == self.coordinator and host not in self.stranded

    def refusal(self, host: str) -> XapiError:
        """What a member answers to a call that is the coordinator's."""
        return XapiError("HOST_IS_SLAVE", self.stranded.get(host) or self.address(self.coordinator))

    def check_emergency(self, host: str, method: str) -> None:
        """Raise HOST_IN_EMERGENCY_MODE when a host without a coordinator cannot serve a call."""
        if self.emergency and host in self.stranded and method not in EMERGENCY_CALLS:
            raise XapiError("HOST_IN_EMERGENCY_MODE")

    def check_reachable(self, host: str) -> None:
        """Raise what a call gets that needs a host which is gone: HOST_OFFLINE once it is known, CANNOT_CONTACT_HOST before."""
        if host not in self.lost:
            return
        live = self._database.get("host_metrics", self._database.get("host", host, "metrics"), "live")
        raise XapiError("CANNOT_CONTACT_HOST" if live else "HOST_OFFLINE", host)
