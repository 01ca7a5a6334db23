# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Accounts and sessions."""

from __future__ import annotations

import hmac
import time
from dataclasses import dataclass

from xapi_lab.database import Database, new_ref
from xapi_lab.errors import XapiError
from xapi_lab.values import from_timestamp, now

MOST_SESSIONS_PER_ORIGINATOR = 500
LAST_ACTIVE_RESOLUTION = 600
"""Seconds between two updates of session.last_active."""
ROLES = ("read-only", "client-cert", "vm-operator", "vm-admin", "vm-power-admin", "pool-operator", "pool-admin")


@dataclass(frozen=True)
class Account:
    """Who may log in; `role` is empty for root, who may do everything."""

    name: str
    password: str
    role: str = ""


class Sessions:
    def __init__(self, database: Database, accounts: list[Account], idle_timeout: float = 24 * 3600) -> None:
        self._database = database
        self._accounts = {account.name: account for account in accounts}
        self._last_active: dict[str, float] = {}
        self._roles: dict[str, str] = {}
        self._idle_timeout = idle_timeout
        self._local: dict[str, str] = {}
        """Local sessions, which no database knows, with the host that they are good for."""

    def authenticate(self, name: str, password: str) -> Account:
        account = self._accounts.get(name)
        if account is None:
            raise XapiError(
                "SESSION_AUTHENTICATION_FAILED", name, "User not known to the underlying authentication module"
            )
        if not hmac.compare_digest(account.password.encode(), password.encode()):
            raise XapiError("SESSION_AUTHENTICATION_FAILED", name, "Authentication failure")
        return account

    def login(self, account: Account, originator: str, host: str) -> str:
        """A new session of an account."""
        moment = now()
        ref = self._database.create(
            "session",
            {
                "this_host": host,
                "last_active": moment,
                "validation_time": moment,
                "is_local_superuser": not account.role,
                "auth_user_name": account.name,
                "originator": originator,
            },
        )
        self._last_active[ref] = time.monotonic()
        self._roles[ref] = account.role
        self._drop_surplus(originator)
        return ref

    def login_locally(self, host: str) -> str:
        """A session with one host alone, which is good while the pool has no coordinator."""
        ref = new_ref()
        self._local[ref] = host
        return ref

    def is_local(self, ref: str, host: str) -> bool:
        return self._local.get(ref) == host

    def logout_locally(self, ref: str) -> None:
        self._local.pop(ref, None)

    def check(self, ref: str) -> None:
        """Raise SESSION_INVALID unless a session is alive; counts as activity."""
        last = self._last_active.get(ref)
        moment = time.monotonic()
        if last is not None and moment - last > self._idle_timeout:
            self.logout(ref)
            last = None
        if last is None:
            raise XapiError("SESSION_INVALID", ref)
        if moment - last > LAST_ACTIVE_RESOLUTION:
            self._database.set("session", ref, "last_active", from_timestamp(time.time()))
        self._last_active[ref] = moment

    def is_alive(self, ref: str) -> bool:
        return ref in self._last_active

    def require_role(self, ref: str, role: str, permission: str) -> None:
        """Raise RBAC_PERMISSION_DENIED unless a session's account has at least a role (empty: root only)."""
        held = self._roles.get(ref, "")
        if not held:
            return
        if not role or ROLES.index(held) < ROLES.index(role):
            raise XapiError(
                "RBAC_PERMISSION_DENIED",
                permission.lower(),
                f"No permission in user session. (Roles with this permission: {role or 'none'})",
            )

    def logout(self, ref: str) -> None:
        self._last_active.pop(ref, None)
        self._roles.pop(ref, None)
        if self._database.exists("session", ref):
            self._database.destroy("session", ref)

    def logout_all(self) -> None:
        for ref in list(self._last_active):
            self.logout(ref)

    def _drop_surplus(self, originator: str) -> None:
        same = [
            ref
            for ref, row in self._database.tables["session"].items()
            if row.record["originator"] == originator and ref in self._last_active
        ]
        for ref in sorted(same, key=self._last_active.__getitem__)[:-MOST_SESSIONS_PER_ORIGINATOR]:
            self.logout(ref)
