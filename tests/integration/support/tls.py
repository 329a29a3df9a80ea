# SPDX-License-Identifier: Apache-2.0
"""Certificates made on the spot by openssl, and configurations with TLS."""

import shutil
import socket
import ssl
import subprocess

import pytest

from .config import ANY, bootstrap, direct, hcm, listener

DOWNSTREAM = ANY + "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext"
UPSTREAM = ANY + "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext"


def openssl(*arguments, **options):
    if not shutil.which("openssl"):
        pytest.skip("no openssl")
    options.setdefault("check", True)
    return subprocess.run(["openssl", *map(str, arguments)], capture_output=True, timeout=60, **options)


class Authority:
    """A certificate authority in a directory; issue("web", ...) makes web.crt and web.key."""

    def __init__(self, directory, name="ca"):
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.certificate, self.key = directory / f"{name}.crt", directory / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", self.key,
                "-out", self.certificate, "-subj", f"/O=Weir/CN={name}", "-days", "30")

    def issue(self, name, sans="DNS:a.example", rsa=False, days="30", password=None):
        key, request, certificate = (self.directory / f"{name}.{end}" for end in ("key", "csr", "crt"))
        if rsa:
            openssl("genrsa", "-out", key, "2048")
        else:
            openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key)
        if password:
            openssl("pkcs8", "-topk8", "-in", key, "-out", f"{key}.enc", "-passout", f"pass:{password}", "-v2", "aes256")
            key = self.directory / f"{name}.key.enc"
        openssl("req", "-new", "-key", key, "-subj", f"/O=Weir/CN={name}", "-out", request,
                *(["-passin", f"pass:{password}"] if password else []))
        extensions = self.directory / f"{name}.ext"
        extensions.write_text(f"subjectAltName={sans}\nextendedKeyUsage=serverAuth,clientAuth\n")
        openssl("x509", "-req", "-in", request, "-CA", self.certificate, "-CAkey", self.key, "-CAcreateserial", "-days", days,
                "-out", certificate, "-extfile", extensions)
        return Pair(certificate, key)


class Pair:
    def __init__(self, certificate, key):
        self.certificate, self.key = certificate, key

    def entry(self, **fields):
        return {"certificate_chain": {"filename": str(self.certificate)}, "private_key": {"filename": str(self.key)}, **fields}


def downstream(*certificates, common=None, **fields):
    return {"name": "tls", "typed_config": {"@type": DOWNSTREAM, "common_tls_context": {
        "tls_certificates": list(certificates), **(common or {})}, **fields}}


def upstream(common, **fields):
    return {"name": "tls", "typed_config": {"@type": UPSTREAM, "common_tls_context": common, **fields}}


def secured(socket_config, manager=None, chain=None, **fields):
    """A listener "front" with one filter chain behind TLS."""
    one = listener(manager or hcm([direct(200, "over tls")]), **fields)
    one["filter_chains"][0].update({"transport_socket": socket_config, **(chain or {})})
    return one


def config(socket_config, manager=None, clusters=(), secrets=(), **fields):
    made = bootstrap(secured(socket_config, manager, **fields), clusters=clusters)
    if secrets:
        made["static_resources"]["secrets"] = list(secrets)
    return made


def context(ca=None, pair=None, alpn=None, maximum=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.check_hostname = False
    c.verify_mode = ssl.CERT_REQUIRED if ca else ssl.CERT_NONE
    if ca:
        c.load_verify_locations(str(ca))
    if pair:
        c.load_cert_chain(str(pair.certificate), str(pair.key))
    if alpn:
        c.set_alpn_protocols(alpn)
    if maximum:
        c.maximum_version = maximum
    return c


def connect(port, client_context, name="a.example", session=None):
    raw = socket.create_connection(("127.0.0.1", port), 30)
    return client_context.wrap_socket(raw, server_hostname=name, session=session)


def get(connection, path="/", more=""):
    """One request on the connection; (head, body) of an answer with content-length."""
    connection.sendall(f"GET {path} HTTP/1.1\r\nhost: a.example\r\n{more}\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        if not part:
            raise EOFError(data)
        data += part
    head, _, body = data.partition(b"\r\n\r\n")
    length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
    while len(body) < length:
        part = connection.recv(65536)
        if not part:
            raise EOFError(data)
        body += part
    return head.decode(), body
