# SPDX-License-Identifier: GPL-3.0-or-later
# Copyright: hardshell.xen contributors
"""The answer of a host to a request that another one has to serve: 302 (importexport.ml, rrdd_proxy.ml)."""

from __future__ import annotations

from aiohttp import web

from xapi_lab.connections import Request
from xapi_lab.http_handlers.access import NO_CACHE, host_asked, parameter
from xapi_lab.lab import Lab
from xapi_lab.placement import hosts_of_sr


def elsewhere(lab: Lab, request: Request, sr: str, task: str) -> web.Response | None:
    """The redirect, when the host asked does not have the SR attached and another one has; a client's own task goes on."""
    hosts = [host for host in hosts_of_sr(lab.database, sr) if host not in lab.members.lost]
    if host_asked(lab, request) in hosts or not hosts:
        return None
    if parameter(request, "task_id") != task:
        lab.tasks.forget(task)
    return redirect_to(lab, request, hosts[0])


def redirect_to(lab: Lab, request: Request, host: str) -> web.Response:
    """302 to the same resource on a host. XAPI names no port, since its hosts all answer on 443; the lab names its own."""
    url = request.url.with_scheme("https").with_host(lab.members.address(host)).with_port(lab.listeners.port)
    response = web.Response(status=302, headers={"Location": str(url), "Cache-Control": NO_CACHE})
    response.force_close()
    return response
