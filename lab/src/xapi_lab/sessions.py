# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""Accounts and sessions."""

from __future__ import annotations

import hmac
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from xapi_lab.database import Database, new_ref
from xapi_lab.errors import XapiError
from xapi_lab.model import Model
from xapi_lab.values import NULL, from_timestamp, now

MOST_SESSIONS_PER_ORIGINATOR = 500
LAST_ACTIVE_RESOLUTION = 600
"""Seconds between two updates of session.last_active."""
NO_ROLES: tuple[str, ...] = ()


@dataclass(frozen=True)
class Account:
    """Who may log in; `role` is empty for root, who may do everything.

    To XAPI, every other account is one of an external directory, which may log in when the pool has a subject for it. The
    lab makes one, of the given role, when it first meets the account; from then on its roles are the subject's.
    """

    name: str
    password: str
    role: str = ""


def permissions(model: Model, roles: Iterable[str]) -> set[str]:
    """Names of the messages that roles may send."""
    wanted = set(roles)
    return {
        message.wire_name.lower()
        for class_ in model.classes.values()
        for message in class_.messages.values()
        if not wanted.isdisjoint(message.roles)
    }


class Sessions:
    def __init__(self, database: Database, accounts: list[Account], idle_timeout: float = 24 * 3600) -> None:
        self._database = database
        self._accounts = {account.name: account for account in accounts}
        self._last_active: dict[str, float] = {}
        self._roles: dict[str, frozenset[str]] = {}
        """Roles of the sessions that are not root's."""
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
        """A new session of an account. SESSION_AUTHORIZATION_FAILED, RBAC_PERMISSION_DENIED (xapi_session.ml)."""
        subject = NULL if not account.role else self._subject(account)
        roles = NO_ROLES if subject == NULL else self._roles_of(subject)
        if subject != NULL and not roles:
            text = f"Subject {account.name} (identifier {account.name}) has no roles in this pool"
            raise XapiError("RBAC_PERMISSION_DENIED", account.name, text)
        moment = now()
        ref = self._database.create(
            "session",
            {
                "this_host": host,
                "last_active": moment,
                "validation_time": moment,
                "is_local_superuser": not account.role,
                "subject": subject,
                "auth_user_sid": account.name if account.role else "",
                "auth_user_name": account.name,
                "rbac_permissions": sorted({*roles, *permissions(self._database.model, roles)}),
                "originator": originator,
            },
        )
        self._last_active[ref] = time.monotonic()
        if account.role:
            self._roles[ref] = frozenset(roles)
        self._drop_surplus(originator)
        return ref

    def meet(self, known: Iterable[str]) -> list[str]:
        """Make subjects for the accounts that are not among `known`; returns the names of all."""
        names = set(known)
        for account in self._accounts.values():
            if account.role and account.name not in names:
                names.add(account.name)
                roles = self._database.by_name_label("role", account.role)
                self._database.create(
                    "subject",
                    {
                        "subject_identifier": account.name,
                        "other_config": {"subject-name": account.name},
                        "roles": roles,
                    },
                )
        return sorted(names)

    def _subject(self, account: Account) -> str:
        for ref, record in self._database.records("subject"):
            if record["subject_identifier"] == account.name:
                return ref
        text = f"Subject {account.name} (identifier {account.name}) has no access rights in this pool"
        raise XapiError("SESSION_AUTHORIZATION_FAILED", account.name, text)

    def _roles_of(self, subject: str) -> tuple[str, ...]:
        roles = self._database.get("subject", subject, "roles")
        return tuple(self._database.get("role", role, "name_label") for role in roles)

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

    def require_role(self, ref: str, roles: Sequence[str], permission: str) -> None:
        """Raise RBAC_PERMISSION_DENIED unless a session is root's or has one of the roles (rbac.ml)."""
        held = self._roles.get(ref)
        if held is not None and held.isdisjoint(roles):
            raise XapiError(
                "RBAC_PERMISSION_DENIED",
                permission.lower(),
                f"No permission in user session. (Roles with this permission: {', '.join(roles)})",
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
