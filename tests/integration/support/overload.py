# SPDX-License-Identifier: Apache-2.0
"""Configurations of the overload manager whose pressure a file says, and bare connections that see what is shed."""

import os
import socket

from .config import ANY, simple

MONITORS = ANY + "envoy.extensions.resource_monitors."
INJECTED = "envoy.resource_monitors.injected_resource"
GET = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"


def injected(directory):
    return {"name": INJECTED, "typed_config": {"@type": MONITORS + "injected_resource.v3.InjectedResourceConfig",
                                               "filename": str(directory / "pressure")}}


def inject(directory, value):
    (directory / "next").write_text(str(value))
    os.rename(directory / "next", directory / "pressure")


def threshold(value=0.9, name=INJECTED):
    return {"name": name, "threshold": {"value": value}}


def manager(directory, *actions, points=(), monitors=None):
    return {"refresh_interval": "0.02s", "resource_monitors": [injected(directory)] if monitors is None else monitors,
            "actions": [{"name": "envoy.overload_actions." + a, "triggers": [threshold()]} if isinstance(a, str) else a for a in actions],
            "loadshed_points": [{"name": "envoy.load_shed_points." + p, "triggers": [threshold()]} for p in points]}


def connections(limit):
    return {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": {
        "@type": MONITORS + "downstream_connections.v3.DownstreamConnectionsConfig", "max_active_downstream_connections": limit}}


def config(overload=None, **fields):
    settings = simple(**fields)
    if overload:
        settings["overload_manager"] = overload
    return settings


def pressure(proxy, percent):
    proxy.wait_stat(f"overload.{INJECTED}.pressure", percent)


def raw(port, deadline_s=60):
    client = socket.create_connection(("127.0.0.1", port))
    client.settimeout(deadline_s)
    return client


def answer(client, request=GET):
    """Head and body of one answer with a content-length; b"" for a connection that was closed instead."""
    data = b""
    try:
        client.sendall(request)
        while b"\r\n\r\n" not in data:
            if not (more := client.recv(4096)):
                return data
            data += more
        head, body = data.split(b"\r\n\r\n", 1)
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        while len(body) < size:
            body += client.recv(4096)
        return head + b"\r\n\r\n" + body
    except (ConnectionResetError, BrokenPipeError):
        return data


def without_date(reply):
    lines = reply.split(b"\r\n")
    return sorted(line for line in lines if not line.startswith((b"date:", b"server:")))
