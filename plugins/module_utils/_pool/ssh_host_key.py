# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to hardshell.xen: may change without notice.

"""SSH host keys made before the guest boots, so that the first connection to it can be verified."""

from __future__ import annotations

import traceback
from dataclasses import dataclass, field

from ansible.module_utils.basic import missing_required_lib

from .._errors import HardshellError

try:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
except ImportError:
    CRYPTOGRAPHY_IMPORT_ERROR: str | None = traceback.format_exc()
else:
    CRYPTOGRAPHY_IMPORT_ERROR = None


@dataclass(frozen=True)
class SshHostKey:
    """A key pair in OpenSSH's formats. ``private`` goes onto the config drive and nowhere else."""

    public: str
    private: str = field(repr=False)


def new_ssh_host_key() -> SshHostKey:
    """A new ed25519 key pair."""
    if CRYPTOGRAPHY_IMPORT_ERROR is not None:
        raise HardshellError(missing_required_lib("cryptography"), exception=CRYPTOGRAPHY_IMPORT_ERROR)
    key = Ed25519PrivateKey.generate()
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return SshHostKey(public.decode(), private.decode())
