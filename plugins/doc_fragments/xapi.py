# Copyright: hardshell.xen contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The connection options that every module of the pool side shares."""

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  xapi_host:
    description:
      - Members of the pool, tried in this order until one answers.
      - Each is a host name or address, V(host:port), or an C(https) URL. A member that is not the coordinator sends us to it.
      - If not set, the environment variable E(XAPI_HOST) is used, several separated by commas.
    type: list
    elements: str
    required: true
  xapi_username:
    description:
      - The account to log in with.
      - If not set, the environment variable E(XAPI_USERNAME) is used.
    type: str
    default: root
  xapi_password:
    description:
      - Its password. Needed unless O(xapi_session) is given.
      - If not set, the environment variable E(XAPI_PASSWORD) is used.
    type: str
  xapi_ca_path:
    description:
      - A PEM file with the CA certificates that the pool's certificates are verified against, instead of the system's.
      - If not set, the environment variable E(XAPI_CA_PATH) is used.
    type: path
  xapi_fingerprint:
    description:
      - SHA-256 fingerprints of the certificates that are accepted, as hexadecimal digits with or without colons; one for each pool member that may answer.
      - Takes the place of verification against a CA, unless O(xapi_ca_path) is given too.
      - If not set, the environment variable E(XAPI_FINGERPRINT) is used, several separated by commas.
    type: list
    elements: str
  xapi_validate_certs:
    description:
      - Whether to verify the pool's certificate. With V(false) anybody on the way can read the password, and a warning says so.
      - If not set, the environment variable E(XAPI_VALIDATE_CERTS) is used.
    type: bool
    default: true
  xapi_session:
    description:
      - RV(hardshell.xen.session#module:session.ref) of a session made by M(hardshell.xen.session), used instead of logging in.
      - When it has expired and O(xapi_password) is known, a new session is made for this task alone.
      - If not set, the environment variable E(XAPI_SESSION) is used.
    type: str
  xapi_timeout:
    description:
      - Seconds to wait for the connection and for the answer to one call. Long operations are tasks of the pool and not bound by it.
      - If not set, the environment variable E(XAPI_TIMEOUT) is used.
    type: int
    default: 60
requirements:
  - XenAPI (Python package)
"""
