# SPDX-License-Identifier: Apache-2.0
"""Real nginx as a peer: one process, its directory, the ports that its configuration names."""

import shutil
import socket
import subprocess

import pytest

from .process import wait_until
from .upstream import hold_port

MAIN = """worker_processes 1; daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/f;
  uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s; keepalive_requests 1000000;
  {http}
}}
"""


class Nginx:
    """Nginx(directory, "server { listen 127.0.0.1:{port}; ... }"): `{port}` is a free one."""

    def __init__(self, directory, http):
        binary = shutil.which("nginx") or "/usr/sbin/nginx"
        if not shutil.which(binary):
            pytest.skip("no nginx")
        self.holder = hold_port()
        self.port = self.holder.getsockname()[1]
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "nginx.conf"
        config.write_text(MAIN.format(dir=directory, http=http.replace("{port}", str(self.port))))
        self.process = subprocess.Popen([binary, "-c", str(config), "-e", str(directory / "error.log")])
        wait_until(self._listens, "nginx listens")

    def _listens(self):
        assert self.process.poll() is None, "nginx ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
            return True
        except OSError:
            return False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.holder.close()
