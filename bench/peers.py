# SPDX-License-Identifier: Apache-2.0
"""The proxies under test as processes: each gets the same work from its own configuration file, on loopback."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import envoy_config

READY_S = 120.0


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def envoy_binary():
    try:
        import envoy
    except ImportError:
        return None
    path = Path(envoy.__file__).parent / "_bin/envoy"
    return path if path.exists() else None


class Peer:
    """A started server. `pid` is the process whose CPU time counts, `port` where it serves."""

    name = "?"
    own_session = True

    def __init__(self, directory, cpus):
        self.directory = directory
        self.cpus = cpus
        self.port = free_port()
        self.process = None
        self.start_s = None

    def launch(self, command, ready="request"):
        log = open(self.directory / f"{self.name}-{self.port}.log", "wb")
        before = time.monotonic()
        self.process = subprocess.Popen(["taskset", "-c", self.cpus, *map(str, command)], stdout=log,
                                        stderr=subprocess.STDOUT, start_new_session=self.own_session)
        log.close()
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: {Path(log.name).read_text()[-2000:]}")
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=5) as s:
                    if ready == "connect":
                        break
                    s.sendall(b"GET / HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n")
                    answer = s.recv(4096)
                if answer.startswith(b"HTTP/1.1 200"):
                    break
            except OSError:
                pass
            if time.monotonic() - before > READY_S:
                self.stop()
                raise RuntimeError(f"{self.name} does not answer: {Path(log.name).read_text()[-2000:]}")
            time.sleep(0.005)
        self.start_s = time.monotonic() - before
        return self

    @property
    def pid(self):
        return self.process.pid

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                os.killpg(self.process.pid, signal.SIGKILL) if self.own_session else self.process.kill()
                self.process.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Weir(Peer):
    name = "weir"

    def __init__(self, directory, cpus, config, workers=1, cache=None, ready="request", native=False, policy=None):
        super().__init__(directory, cpus)
        path = directory / f"weir-{self.port}.json"
        path.write_text(json.dumps(envoy_config.with_port(config, self.port, free_port())))
        build = Path(os.environ.get("WEIR_BUILD_DIR", "build"))
        # A loaded worker does little else than run the plugin: its share is not what is measured.
        if policy is None:
            policy = directory / "policy.json"
            policy.write_text('{"rules": [{"worker_time_percent_max": 100}]}')
        self.launch([build / "bin/weir", "-c", path, "--concurrency", workers, "-l", "warning", "--policy", policy,
                     "--wasm-cache-dir", cache or directory / "cache",
                     *(["--native-plugin-dir", build / "tests/plugins"] if native else [])], ready)


class Envoy(Peer):
    name = "envoy"

    def __init__(self, directory, cpus, config, workers=1, ready="request"):
        super().__init__(directory, cpus)
        path = directory / f"envoy-{self.port}.json"
        path.write_text(json.dumps(envoy_config.with_port(config, self.port, free_port())))
        self.launch([envoy_binary(), "-c", path, "--concurrency", workers, "-l", "error", "--use-dynamic-base-id"],
                    ready)


NGINX = """
worker_processes 1; daemon off; master_process off; pid {dir}/nginx-{port}.pid; error_log {dir}/nginx-{port}.err;
events {{ worker_connections {connections}; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 3600;
  client_body_temp_path {dir}/nginx-body; proxy_temp_path {dir}/nginx-proxy;
  fastcgi_temp_path {dir}/nginx-f; uwsgi_temp_path {dir}/nginx-u; scgi_temp_path {dir}/nginx-s;
  {upstream}
  client_max_body_size 0;
  server {{ listen 127.0.0.1:{port} backlog=4096; {listen} location / {{ {action} }} {locations} }}
}}
"""


class Nginx(Peer):
    name = "nginx"

    def __init__(self, directory, cpus, upstream_port=None, text="direct", http2=False, root=None, tls=None,
                 connections=4096):
        """`http2`: on h2_port, in clear text. `tls`: certificate and key, on tls_port. `root`: a directory whose files are
        served too. `connections`: room for so many."""
        super().__init__(directory, cpus)
        action, upstream = f'return 200 "{text}";', ""
        self.h2_port = free_port() if http2 else None
        listen = f"listen 127.0.0.1:{self.h2_port} http2;" if http2 else ""
        self.tls_port = free_port() if tls else None
        if tls:
            listen += (f"listen 127.0.0.1:{self.tls_port} ssl backlog=4096; ssl_certificate {tls[0]}; ssl_certificate_key {tls[1]}; "
                       "ssl_protocols TLSv1.3; ssl_ecdh_curve X25519; ssl_session_timeout 1h;")
        locations = f"location /body {{ root {root}; }}" if root else ""
        if upstream_port:
            upstream = (f"upstream up {{ server 127.0.0.1:{upstream_port}; keepalive 128; "
                        "keepalive_requests 1000000000; }")
            action = 'proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection "";'
        path = directory / f"nginx-{self.port}.conf"
        path.write_text(NGINX.format(dir=directory, port=self.port, upstream=upstream, action=action,
                                     listen=listen, locations=locations, connections=connections))
        self.launch([shutil.which("nginx") or "/usr/sbin/nginx", "-c", path])


HAPROXY = """
global
  nbthread 1
  maxconn {connections}
defaults
  mode {mode}
  timeout connect 5s
  timeout client 1h
  timeout server 1h
  {options}
frontend f
  bind 127.0.0.1:{port}
  {bind}
  {action}
{backend}
"""


class Haproxy(Peer):
    name = "haproxy"

    def __init__(self, directory, cpus, upstream_port=None, text="direct", tls=None, connections=8192, mode="http"):
        """`tls`: a file with certificate and key, on tls_port. `connections`: room for so many."""
        super().__init__(directory, cpus)
        self.tls_port = free_port() if tls else None
        bind = f"bind 127.0.0.1:{self.tls_port} ssl crt {tls} curves X25519 ssl-min-ver TLSv1.3" if tls else ""
        action, backend = f'http-request return status 200 content-type text/plain string "{text}"', ""
        if upstream_port:
            action = "default_backend b"
            reuse = "http-reuse always" if mode == "http" else ""
            backend = f"backend b\n  {reuse}\n  server s 127.0.0.1:{upstream_port}\n"
        path = directory / f"haproxy-{self.port}.cfg"
        path.write_text(HAPROXY.format(port=self.port, bind=bind, action=action, backend=backend,
                                       connections=connections, mode=mode,
                                       options="option http-keep-alive" if mode == "http" else ""))
        self.launch([shutil.which("haproxy") or "/usr/sbin/haproxy", "-db", "-f", path])


class Nghttpd(Peer):
    """An HTTP/2 server that echoes what is posted, with the trailers of a gRPC answer."""

    name = "nghttpd"

    def __init__(self, directory, cpus):
        super().__init__(directory, cpus)
        self.launch([shutil.which("nghttpd"), "--no-tls", "--echo-upload", "--trailer", "grpc-status: 0", "-d", directory,
                     self.port], "connect")


class Reader(Peer):
    """An upstream that reads uploads before it answers."""

    name = "reader"

    def __init__(self, directory, cpus):
        super().__init__(directory, cpus)
        self.launch([sys.executable, Path(__file__).with_name("reader.py"), self.port])
