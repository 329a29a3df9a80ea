# SPDX-License-Identifier: Apache-2.0
"""TLS on listeners: every way to configure it by openssl s_client, curl and Python; resumption; files that change; hostile
clients; what logs, statistics and /certs say."""

import contextlib
import json
import shutil
import socket
import ssl
import stat
import subprocess
import threading
import time

import pytest

from support import http1, tls
from support.config import cluster, direct, hcm, route
from support.nginx import Nginx
from support.pages import block, with_ports
from support.process import validate, wait_until
from support.tcp import echo, stdout_log, tcp_proxy


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    authority = tls.Authority(tmp_path_factory.mktemp("tls"))
    authority.web = authority.issue("web", "DNS:a.example,DNS:*.w.example")
    authority.rsa = authority.issue("rsa", "DNS:a.example", rsa=True)
    authority.other = authority.issue("other", "DNS:b.example")
    authority.client = authority.issue("client", "URI:spiffe://weir/client,DNS:client.example")
    return authority


def s_client(port, *arguments, send=b""):
    """openssl s_client: what it prints. With `send` it waits for the end of the connection."""
    command = ["s_client", "-connect", f"127.0.0.1:{port}", *arguments, *(["-ign_eof"] if send else [])]
    result = tls.openssl(*command, input=send, check=False)
    return (result.stdout + result.stderr).decode(errors="replace")


REQUEST = b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n"


def trusting(ca, **fields):
    return {"validation_context": {"trusted_ca": {"filename": str(ca.certificate)}, **fields}}


# --- handshakes ---

def test_versions_ciphers_and_curves(start, ca):
    weir = start(tls.config(tls.downstream(ca.web.entry(), ca.rsa.entry())))
    for arguments, expected in (
            (["-tls1_3"], "New, TLSv1.3, Cipher is TLS_"), (["-tls1_2"], "New, TLSv1.2, Cipher is ECDHE-ECDSA-"),
            (["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"], "TLS_CHACHA20_POLY1305_SHA256"),
            (["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384"], "Cipher is ECDHE-RSA-AES256-GCM-SHA384"),
            (["-tls1_2", "-sigalgs", "RSA-PSS+SHA256"], "Cipher is ECDHE-RSA-"),
            (["-curves", "P-256"], "ECDH, prime256v1, 256 bits"), (["-curves", "X25519"], "X25519, 253 bits")):
        out = s_client(weir.port, *arguments, send=REQUEST)
        assert expected in out and "HTTP/1.1 200 OK" in out and "over tls" in out, (arguments, out)
    for arguments in (["-tls1_1", "-cipher", "ALL:@SECLEVEL=0"], ["-curves", "P-521"], ["-tls1_2", "-cipher", "AES128-SHA"]):
        out = s_client(weir.port, *arguments)
        assert "alert" in out and "200 OK" not in out, (arguments, out)
    stats = weir.stats("ssl")
    prefix = next(name for name in stats if name.endswith("ssl.handshake")).removesuffix("handshake")
    assert stats[prefix + "handshake"] == 7 and stats[prefix + "connection_error"] == 3
    assert stats[prefix + "versions.TLSv1.3"] == 4 and stats[prefix + "versions.TLSv1.2"] == 3
    assert stats[prefix + "curves.P-256"] >= 1 and stats[prefix + "no_certificate"] == 7
    assert stats["http.front.downstream_cx_ssl_total"] == 10
    wait_until(lambda: weir.stats("ssl_active")["http.front.downstream_cx_ssl_active"] == 0, "all closed")


@pytest.mark.parametrize("params, good, bad", [
    ({"tls_minimum_protocol_version": "TLSv1_3"}, ["-tls1_3"], ["-tls1_2"]),
    ({"tls_maximum_protocol_version": "TLSv1_2"}, ["-tls1_2"], ["-tls1_3"]),
    ({"tls_maximum_protocol_version": "TLSv1_2", "cipher_suites": ["ECDHE-ECDSA-AES256-GCM-SHA384"]}, [],
     ["-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256"]),
    ({"ecdh_curves": ["P-384"]}, ["-curves", "P-384"], ["-curves", "X25519"]),
    ({"signature_algorithms": ["ecdsa_secp256r1_sha256"]}, [], ["-sigalgs", "ECDSA+SHA384"])])
def test_tls_params(start, ca, params, good, bad):
    weir = start(tls.config(tls.downstream(ca.web.entry(), common={"tls_params": params})))
    assert "over tls" in s_client(weir.port, *good, send=REQUEST)
    assert "over tls" not in s_client(weir.port, *bad, send=REQUEST)


def test_alpn(start, ca):
    weir = start(tls.config(tls.downstream(ca.web.entry(), common={"alpn_protocols": ["h2", "http/1.1"]})))
    for offered, agreed in ((["h2", "http/1.1"], "h2"), (["http/1.1", "h2"], "h2"), (["http/1.1"], "http/1.1"), (["x"], None), (None, None)):
        with tls.connect(weir.port, tls.context(alpn=offered)) as connection:
            assert connection.selected_alpn_protocol() == agreed
            if agreed != "h2":
                assert tls.get(connection)[1] == b"over tls"


@pytest.mark.skipif(not shutil.which("curl"), reason="no curl")
def test_curl(start, ca):
    weir = start(tls.config(tls.downstream(ca.web.entry(), common={"alpn_protocols": ["h2", "http/1.1"]})))
    for version, shown in (("--http1.1", "1.1"), ("--http2", "2")):
        out = subprocess.run(["curl", "-s", version, "--cacert", ca.certificate, "--resolve", f"a.example:{weir.port}:127.0.0.1",
                              f"https://a.example:{weir.port}/", "-w", " %{http_version}"], capture_output=True, text=True, timeout=60)
        assert out.stdout == f"over tls {shown}", out


def test_certificates_by_name(start, ca):
    weir = start(tls.config(tls.downstream(ca.web.entry(), ca.other.entry())))
    for name, subject in (("a.example", "web"), ("b.example", "other"), ("x.w.example", "web"), ("c.example", "web")):
        with tls.connect(weir.port, tls.context(ca.certificate), name) as connection:
            assert dict(part[0] for part in connection.getpeercert()["subject"])["commonName"] == subject, name


def test_keys_inline_and_with_password(start, ca, tmp_path):
    locked = ca.issue("locked", password="se cret")
    (tmp_path / "password").write_text("se cret\n")
    inline = {"certificate_chain": {"inline_string": ca.web.certificate.read_text()},
              "private_key": {"inline_string": ca.web.key.read_text()}}
    for entry in (inline, locked.entry(password={"inline_string": "se cret"}),
                  locked.entry(password={"filename": str(tmp_path / "password")})):
        weir = start(tls.config(tls.downstream(entry)))
        with tls.connect(weir.port, tls.context(ca.certificate)) as connection:
            assert tls.get(connection)[1] == b"over tls"


def test_pkcs12(start, ca, tmp_path):
    path = tmp_path / "web.p12"
    tls.openssl("pkcs12", "-export", "-in", ca.web.certificate, "-inkey", ca.web.key, "-certfile", ca.certificate, "-out", path,
                "-passout", "pass:se cret")
    entry = {"pkcs12": {"filename": str(path)}, "password": {"inline_string": "se cret"}}
    weir = start(tls.config(tls.downstream(entry)))
    out = s_client(weir.port, "-CAfile", ca.certificate, "-showcerts", send=REQUEST)
    assert "Verify return code: 0 (ok)" in out and "over tls" in out and out.count("BEGIN CERTIFICATE") >= 2, out
    for wrong, words in (({**entry, "password": {"inline_string": "no"}}, "tls_certificates[0].pkcs12: it is no PKCS #12 file"),
                         ({"pkcs12": {"inline_string": "x"}}, "tls_certificates[0].pkcs12: it is no PKCS #12 file"),
                         ({**entry, **ca.web.entry()}, "pkcs12: stands beside certificate_chain")):
        done = validate(tmp_path, tls.config(tls.downstream(wrong)))
        assert done.returncode != 0 and words in done.stderr, done.stderr


def test_key_log(start, ca, tmp_path):
    """What the proxy writes is what the client knows; nothing of addresses that were not named."""
    def logged(name, **ranges):
        return tls.downstream(ca.web.entry(), common={"key_log": {"path": str(tmp_path / name), **ranges}})
    near = {"remote_address_range": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]}
    far = {"local_address_range": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}
    made = tls.config(logged("near", **near))
    other = {**tls.secured(logged("far", **far)), "name": "other"}
    made["static_resources"]["listeners"].append(other)
    weir = start(made)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        client = tls.context(ca.certificate, maximum=version)
        client.keylog_filename = str(tmp_path / f"client{version}")
        for port in (weir.listener_port("other"), weir.port):
            with tls.connect(port, client) as connection:
                assert tls.get(connection)[1] == b"over tls"
        # the second connection's lines; a client may note more kinds of them
        def lines(name):
            path = tmp_path / name
            text = path.read_text() if path.exists() else ""
            return {line for line in text.splitlines() if line and not line.startswith("#")}
        wanted = 1 if version == ssl.TLSVersion.TLSv1_2 else 4
        wait_until(lambda: len(lines("near") & lines(f"client{version}")) >= wanted, "the same secrets")
    assert lines("near") and not lines("far")
    assert stat.S_IMODE((tmp_path / "near").stat().st_mode) == 0o600


def test_static_secrets(start, ca):
    common = {"tls_certificate_sds_secret_configs": [{"name": "own"}],
              "validation_context_sds_secret_config": {"name": "roots"}}
    secrets = [{"name": "own", "tls_certificate": ca.web.entry()},
               {"name": "roots", "validation_context": {"trusted_ca": {"filename": str(ca.certificate)}}}]
    weir = start(tls.config(tls.downstream(common=common, require_client_certificate=True), secrets=secrets))
    with tls.connect(weir.port, tls.context(ca.certificate, ca.client)) as connection:
        assert tls.get(connection)[1] == b"over tls"


# --- client certificates ---

def attempt(port, context):
    """The body, or the name of what went wrong. In TLS 1.3 a client is refused after its handshake."""
    try:
        with tls.connect(port, context) as connection:
            return tls.get(connection)[1]
    except (ssl.SSLError, ConnectionError, EOFError) as error:
        return type(error).__name__


@pytest.mark.parametrize("maximum", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificates(start, ca, tmp_path, maximum):
    stranger = tls.Authority(tmp_path, "stranger").issue("client")
    log = stdout_log("LOG %DOWNSTREAM_PEER_SUBJECT% %DOWNSTREAM_PEER_URI_SAN% %DOWNSTREAM_TRANSPORT_FAILURE_REASON% end")
    weir = start(tls.config(tls.downstream(ca.web.entry(), common=trusting(ca), require_client_certificate=True),
                            hcm([direct(200, "over tls")], forward_client_cert_details="SANITIZE_SET"), access_log=[log]))
    assert attempt(weir.port, tls.context(pair=ca.client, maximum=maximum)) == b"over tls"
    weir.wait_log("LOG CN=client,O=Weir spiffe://weir/client - end")
    assert attempt(weir.port, tls.context(maximum=maximum)) != b"over tls"
    weir.wait_log("PEER_DID_NOT_RETURN_A_CERTIFICATE:TLS_error_end end")
    assert attempt(weir.port, tls.context(pair=stranger, maximum=maximum)) != b"over tls"
    weir.wait_log("CERTIFICATE_VERIFY_FAILED:verify_cert_failed:_X509_verify_cert:_.*:TLS_error_end end")
    stats = weir.stats("ssl")
    counts = {name.split("ssl.")[1]: value for name, value in stats.items() if ".ssl." in name}
    assert (counts["fail_verify_no_cert"], counts["fail_verify_error"], counts["handshake"]) == (1, 1, 1)
    assert counts["connection_error"] == 0


def test_upstream_learns_of_the_client(start, ca, recording):
    manager = hcm([route()], forward_client_cert_details="SANITIZE_SET", set_current_client_cert_details={"uri": True, "subject": True})
    weir = start(tls.config(tls.downstream(ca.web.entry(), common=trusting(ca)), manager, clusters=[cluster(recording.port)]))
    with tls.connect(weir.port, tls.context(pair=ca.client)) as connection:
        tls.get(connection, more="x-forwarded-client-cert: Hash=forged\r\n")
    headers = {name.lower(): value for name, value in recording.requests[0].headers}
    assert headers["x-forwarded-proto"] == "https"
    xfcc = headers["x-forwarded-client-cert"]
    assert "forged" not in xfcc and 'Subject="CN=client,O=Weir"' in xfcc and "URI=spiffe://weir/client" in xfcc


# --- sessions ---

@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("fields, again", [
    ({}, "Reused"), ({"disable_stateless_session_resumption": True, "disable_stateful_session_resumption": True}, "New"),
    ({"session_ticket_keys": {"keys": [{"filename": "KEYS"}]}}, "Reused")])
def test_resumption(start, ca, tmp_path, version, fields, again):
    fields = json.loads(json.dumps(fields).replace("KEYS", str(tmp_path / "keys")))
    (tmp_path / "keys").write_bytes(bytes(range(80)))
    socket_config = tls.downstream(ca.web.entry(), **fields)
    weir = start(tls.config(socket_config))
    session = tmp_path / "session"
    assert "New, " in s_client(weir.port, version, "-sess_out", session, send=REQUEST)
    if again == "New":
        assert not session.exists() # there is nothing that could be resumed
        return
    assert "Reused, " in s_client(weir.port, version, "-sess_in", session, send=REQUEST)
    assert weir.stats("session_reused").popitem()[1] == 1
    if "session_ticket_keys" in fields: # the keys are good in every process that has them
        other = start(tls.config(socket_config))
        assert "Reused, " in s_client(other.port, version, "-sess_in", session, send=REQUEST)


def test_a_session_is_not_good_elsewhere(start, ca, tmp_path):
    """With the same ticket keys, but other demands on the client."""
    (tmp_path / "keys").write_bytes(bytes(range(80)))
    keys = {"session_ticket_keys": {"keys": [{"filename": str(tmp_path / "keys")}]}}
    free = start(tls.config(tls.downstream(ca.web.entry(), **keys)))
    strict = start(tls.config(tls.downstream(ca.web.entry(), common=trusting(ca), require_client_certificate=True, **keys)))
    session = tmp_path / "session"
    assert "over tls" in s_client(free.port, "-tls1_2", "-sess_out", session, send=REQUEST)
    out = s_client(strict.port, "-tls1_2", "-sess_in", session, send=REQUEST)
    assert "over tls" not in out and "Reused, " not in out, out


# --- files that change ---

@pytest.mark.tsan
def test_reload(start, ca, tmp_path):
    for name, source in (("crt", ca.web.certificate), ("key", ca.web.key)):
        shutil.copy(source, tmp_path / name)
    weir = start(tls.config(tls.downstream(tls.Pair(tmp_path / "crt", tmp_path / "key").entry())))

    def subject():
        with tls.connect(weir.port, tls.context(ca.certificate)) as connection:
            return dict(part[0] for part in connection.getpeercert()["subject"])["commonName"]

    with tls.connect(weir.port, tls.context(ca.certificate)) as held:
        assert tls.get(held)[1] == b"over tls"
        assert subject() == "web"
        (tmp_path / "crt").write_text("no certificate")
        weir.wait_log("certificate_chain: it holds no PEM certificate; those in use stay")
        assert subject() == "web"
        shutil.copy(ca.other.certificate, tmp_path / "crt")
        weir.wait_log("private_key: the key is not that of the certificate; those in use stay")
        assert subject() == "web"
        shutil.copy(ca.other.key, tmp_path / "new")
        (tmp_path / "new").rename(tmp_path / "key")
        wait_until(lambda: subject() == "other", "the new certificate")
        assert tls.get(held)[1] == b"over tls" # the old connection goes on
    counts = weir.stats("reload")
    assert sorted(counts.values()) == [1, 2], counts


def sds(path, name="own"):
    return {"tls_certificate_sds_secret_configs": [{"name": name, "sds_config": {
        "resource_api_version": "V3", "path_config_source": {"path": str(path), "watched_directory": {"path": str(path.parent)}}}}]}


def test_secrets_in_files(start, ca, tmp_path):
    """Envoy's SDS without a server: a file with secrets, replaced by a rename."""
    path = tmp_path / "sds.json"

    def write(pair):
        secret = {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret", "name": "own",
                  "tls_certificate": pair.entry()}
        path.with_suffix(".new").write_text(json.dumps({"resources": [secret]}))
        path.with_suffix(".new").rename(path)

    def subject():
        with tls.connect(weir.port, tls.context(ca.certificate)) as connection:
            return dict(part[0] for part in connection.getpeercert()["subject"])["commonName"]

    write(ca.web)
    made = tls.config(tls.downstream(common=sds(path)))
    weir = start(made)
    assert subject() == "web"
    write(ca.other)
    wait_until(lambda: subject() == "other", "the other certificate")
    path.write_text("{")
    weir.wait_log("listener front: sds_config: .*sds.json.*; those in use stay")
    assert subject() == "other"
    done = validate(tmp_path, made)
    assert done.returncode != 0 and "tls_certificate_sds_secret_configs[0].sds_config: " in done.stderr and "sds.json:2:1: " in done.stderr, done.stderr
    write(ca.web)
    wait_until(lambda: subject() == "web", "the first certificate again")
    done = validate(tmp_path, tls.config(tls.downstream(common=sds(path, "gone"))))
    assert done.returncode != 0 and "it has no tls_certificate of that name" in done.stderr, done.stderr


# --- what is wrong ---

def test_wrong_configurations(ca, tmp_path):
    locked = ca.issue("locked2", password="right")
    chain = "static_resources.listeners[0].filter_chains[0].transport_socket.typed_config."
    certificate = chain + "common_tls_context.tls_certificates[0]."
    for socket_config, path, text in (
            (tls.downstream(), chain + "common_tls_context", "has no certificate"),
            (tls.downstream(tls.Pair(ca.web.certificate, ca.other.key).entry()), certificate + "private_key", "not that of the certificate"),
            (tls.downstream(tls.Pair("/nowhere/a.crt", ca.web.key).entry()), certificate + "certificate_chain", "No such file"),
            (tls.downstream(tls.Pair(ca.web.key, ca.web.key).entry()), certificate + "certificate_chain", "no PEM certificate"),
            (tls.downstream({"certificate_chain": {"filename": str(ca.web.certificate)}}), certificate + "private_key", "is required"),
            (tls.downstream(locked.entry()), certificate + "password", "the key is encrypted"),
            (tls.downstream(locked.entry(password={"inline_string": "wrong"})), certificate + "password", "does not open the key"),
            (tls.downstream(ca.web.entry(), common={"tls_params": {"cipher_suites": ["ECDHE-RSA-AES128-GCM-SHA256", "NONE-SUCH"]}}),
             chain + "common_tls_context.tls_params.cipher_suites", "unknown"),
            (tls.downstream(ca.web.entry(), common={"tls_params": {"ecdh_curves": ["P-1"]}}),
             chain + "common_tls_context.tls_params.ecdh_curves", "unknown"),
            (tls.downstream(ca.web.entry(), require_client_certificate=True), chain + "require_client_certificate", "validation_context"),
            (tls.downstream(ca.web.entry(), session_ticket_keys={"keys": [{"inline_string": "short"}]}),
             chain + "session_ticket_keys.keys[0]", "80"),
            (tls.downstream(common={"tls_certificate_sds_secret_configs": [{"name": "gone"}]}),
             chain + "common_tls_context.tls_certificate_sds_secret_configs[0].name", 'no "gone"'),
            (tls.downstream(ca.web.entry(), common={"custom_handshaker": {"name": "mine"}}), chain + "common_tls_context.custom_handshaker", "refused")):
        done = validate(tmp_path, tls.config(socket_config))
        assert done.returncode != 0 and f": {path}: " in done.stderr and text in done.stderr, done.stderr
        assert done.stderr.startswith(str(tmp_path)), done.stderr


def test_expired_certificates_serve_with_a_warning(start, ca):
    ca.directory.joinpath("index").write_text("")
    conf = ca.directory / "ca.conf"
    conf.write_text(f"[ca]\ndefault_ca=c\n[c]\ndatabase={ca.directory}/index\nnew_certs_dir={ca.directory}\nserial={ca.directory}/serial\n"
                    "default_md=sha256\npolicy=p\nemail_in_dn=no\n[p]\norganizationName=optional\ncommonName=supplied\n")
    (ca.directory / "serial").write_text("1000\n")
    tls.openssl("ca", "-batch", "-config", conf, "-cert", ca.certificate, "-keyfile", ca.key, "-in", ca.directory / "web.csr",
                "-out", ca.directory / "expired.crt", "-startdate", "20200101000000Z", "-enddate", "20200102000000Z")
    expired = tls.Pair(ca.directory / "expired.crt", ca.web.key)
    weir = start(tls.config(tls.downstream(expired.entry())))
    weir.wait_log(r'listener front: certificate "CN=web,O=Weir" has expired')
    assert weir.stats("days_until")["server.days_until_first_cert_expiring"] == 0
    with tls.connect(weir.port, tls.context()) as connection:
        assert tls.get(connection)[1] == b"over tls"


# --- hostile and broken clients ---

def test_hostile_clients(start, ca):
    log = stdout_log("LOG %DOWNSTREAM_TRANSPORT_FAILURE_REASON% end")
    weir = start(tls.config(tls.downstream(ca.web.entry()), chain={"transport_socket_connect_timeout": "2s"}, access_log=[log]))
    hello = b"\x16\x03\x01\x40\x00\x01\xff\xff\xff" + bytes(16384)
    for data, reason in ((b"GET / HTTP/1.1\r\nhost: a\r\n\r\n", "HTTP_REQUEST"), (hello, "EXCESSIVE_MESSAGE_SIZE"),
                         (b"\x00" * 100, "WRONG_VERSION_NUMBER"), (b"\x16\x03\x01\x00\x02\x0e\x00" + b"x" * 100, "")):
        with socket.create_connection(("127.0.0.1", weir.port), 30) as raw:
            raw.sendall(data)
            with contextlib.suppress(ConnectionResetError):  # what it did not read any more
                while raw.recv(4096):
                    pass
        weir.wait_log(f"LOG TLS_error:.*{reason}:TLS_error_end end")
    for part in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"): # a handshake that never ends
        begin = time.monotonic()
        with socket.create_connection(("127.0.0.1", weir.port), 30) as raw:
            raw.sendall(part)
            assert raw.recv(100) == b"" and time.monotonic() - begin > 1.9
        with socket.create_connection(("127.0.0.1", weir.port), 30) as raw: # and one that is cut
            raw.sendall(part)
    # Counted when the connection is gone, which its client may see first.
    wait_until(lambda: max(weir.stats("transport_socket_connect_timeout").values()) >= 3, "three timeouts")
    assert attempt(weir.port, tls.context()) == b"over tls"
    wait_until(lambda: weir.stats("ssl_active")["http.front.downstream_cx_ssl_active"] == 0, "all closed")


def test_byte_by_byte(start, ca):
    """A relay that hands on one byte at a time, in both directions."""
    weir = start(tls.config(tls.downstream(ca.web.entry())))
    server = socket.create_server(("127.0.0.1", 0))

    def pump(source, target):
        try:
            while data := source.recv(65536):
                for i in range(len(data)):
                    target.sendall(data[i:i + 1])
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def relay():
        near, _ = server.accept()
        far = socket.create_connection(("127.0.0.1", weir.port))
        for s in (near, far):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        back = threading.Thread(target=pump, args=(far, near))
        back.start()
        pump(near, far)
        back.join()
        near.close()
        far.close()

    thread = threading.Thread(target=relay)
    thread.start()
    with tls.connect(server.getsockname()[1], tls.context()) as connection:
        for _ in range(3):
            assert tls.get(connection)[1] == b"over tls"
    thread.join()
    server.close()


def test_renegotiation_is_refused(start, ca):
    weir = start(tls.config(tls.downstream(ca.web.entry())))
    process = subprocess.Popen(["openssl", "s_client", "-connect", f"127.0.0.1:{weir.port}", "-tls1_2"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    lines = []
    for line in process.stdout: # the handshake is done
        lines.append(line)
        if b"Verify return code" in line:
            break
    process.stdin.write(b"R\n")
    process.stdin.flush()
    out = process.communicate(timeout=60)[0].decode(errors="replace")
    assert "RENEGOTIATING" in out and ("no renegotiation" in out or "alert" in out), out


# --- bodies and ends ---

def test_large_bodies(start, ca, upstream):
    weir = start(tls.config(tls.downstream(ca.web.entry()), hcm([route(timeout="60s")]), clusters=[cluster(recorder(upstream))]))
    body = bytes(range(256)) * 4096 * 8 # 8 MiB
    with tls.connect(weir.port, tls.context()) as connection:
        sender = threading.Thread(target=lambda: connection.sendall(
            f"POST / HTTP/1.1\r\nhost: a.example\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body))
        sender.start()
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, got = data.partition(b"\r\n\r\n")
        parts, size = [got], len(got)
        while size < len(body):
            parts.append(connection.recv(1 << 20))
            size += len(parts[-1])
        sender.join()
    assert b"200 OK" in head and b"".join(parts) == body


def recorder(upstream):
    """An upstream that sends a body back when all of it has come."""
    def handler(connection):
        connection = getattr(connection, "socket", connection)
        data = b""
        while b"\r\n\r\n" not in data:
            data += connection.recv(65536)
        head, _, body = data.partition(b"\r\n\r\n")
        length = next(int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
        parts, size = [body], len(body)
        while size < length:
            parts.append(connection.recv(1 << 20))
            size += len(parts[-1])
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length + b"".join(parts))
    return upstream(handler).port


def test_tcp_proxy_and_half_close(start, ca, upstream):
    one = tls.config(tls.downstream(ca.web.entry()), clusters=[cluster(upstream(echo).port)])
    one["static_resources"]["listeners"][0]["filter_chains"][0]["filters"] = [tcp_proxy()]
    weir = start(one)
    data = bytes(range(256)) * 2000
    for ending in ("close_notify", "tcp"):
        connection = tls.connect(weir.port, tls.context())
        connection.sendall(data)
        if ending == "tcp": # without a close_notify
            got = b""
            while len(got) < len(data):
                got += connection.recv(65536)
            connection.shutdown(socket.SHUT_RDWR)
        else:
            got = b""
            while len(got) < len(data):
                got += connection.recv(65536)
            connection.unwrap() # both sides say that they are done
        assert got == data
        connection.close()
    wait_until(lambda: weir.stats("front.downstream_cx_total")["tcp.front.downstream_cx_total"] == 2, "two connections")
    wait_until(lambda: all(v == 0 for n, v in weir.stats("downstream_cx_active").items()), "both are gone")


def test_the_last_words(start, ca):
    """close_notify comes with the end of TCP, whoever ended the connection and however."""
    weir = start(tls.config(tls.downstream(ca.web.entry())))
    for ending in ("tcp", "request"):
        with socket.create_connection(("127.0.0.1", weir.port), 30) as raw, tls.context().wrap_socket(
                raw, server_hostname="a.example", suppress_ragged_eofs=False) as connection:
            assert "200 OK" in tls.get(connection, more="connection: close\r\n" if ending == "request" else "")[0]
            if ending == "tcp":
                socket.socket.shutdown(connection, socket.SHUT_WR) # of the TCP connection: without a close_notify
            assert connection.recv(100) == b"" # an end without close_notify is an error here


def test_tcp_upstream_ends_before_the_handshake(start, ca, upstream):
    """A greeting and its end wait for the client's handshake."""
    ended = threading.Event()

    def handler(connection):
        connection.send(b"hello")
        connection.socket.shutdown(socket.SHUT_WR)
        ended.set()
        connection.socket.recv(1)

    one = tls.config(tls.downstream(ca.web.entry()), clusters=[cluster(upstream(handler).port)])
    one["static_resources"]["listeners"][0]["filter_chains"][0]["filters"] = [tcp_proxy()]
    weir = start(one)
    with socket.create_connection(("127.0.0.1", weir.port), timeout=60) as plain:
        assert ended.wait(60)
        weir.wait_stat("cluster.upstream.upstream_cx_rx_bytes_total", 5)
        with tls.context().wrap_socket(plain, server_hostname="a.example") as connection:
            got = b""
            while part := connection.recv(100):
                got += part
            assert got == b"hello"


def test_tcp_upstream_floods_before_the_handshake(start, ca, upstream):
    """What an upstream says unasked is held back while the client has not done its handshake."""
    total, piece = 64 << 20, bytes(1 << 16)
    sent = [0]

    def handler(connection):
        while sent[0] < total:
            connection.send(piece)
            sent[0] += len(piece)

    one = tls.config(tls.downstream(ca.web.entry()), clusters=[cluster(upstream(handler).port)])
    one["static_resources"]["listeners"][0]["filter_chains"][0]["filters"] = [tcp_proxy()]
    weir = start(one)
    with socket.create_connection(("127.0.0.1", weir.port), timeout=60) as plain:
        wait_until(lambda: weir.stats("reading").get(
            "cluster.upstream.upstream_flow_control_paused_reading_total") or sent[0] == total, "it is held back")
        assert sent[0] < total
        with tls.context().wrap_socket(plain, server_hostname="a.example") as connection:
            got = 0
            while got < total and (part := connection.recv(1 << 16)):
                got += len(part)
            assert got == total


# --- real peers ---

def test_nginx_as_client(start, ca, tmp_path):
    """nginx verifies the certificate, shows its own, and resumes its sessions."""
    weir = start(tls.config(tls.downstream(ca.web.entry(), common=trusting(ca), require_client_certificate=True)))
    server = f"""server {{ listen 127.0.0.1:{{port}}; location / {{ proxy_pass https://127.0.0.1:{weir.port}; proxy_ssl_verify on;
        proxy_ssl_trusted_certificate {ca.certificate}; proxy_ssl_name a.example; proxy_ssl_server_name on;
        proxy_ssl_certificate {ca.client.certificate}; proxy_ssl_certificate_key {ca.client.key};
        proxy_ssl_protocols TLSv1.2 TLSv1.3; proxy_http_version 1.1; }} }}"""
    with Nginx(tmp_path / "nginx", server) as nginx:
        for _ in range(3):
            answer = http1.request(nginx.port, "GET", "/", host="a.example")
            assert (answer.status, answer.body) == (200, b"over tls")
    assert weir.stats("session_reused").popitem()[1] == 2


@pytest.mark.skipif(not shutil.which("h2load"), reason="no h2load")
def test_h2load(start, ca):
    weir = start(tls.config(tls.downstream(ca.web.entry(), common={"alpn_protocols": ["h2"]})))
    out = subprocess.run(["h2load", "-n", "2000", "-c", "10", "-m", "10", f"https://127.0.0.1:{weir.port}/"], capture_output=True,
                         text=True, timeout=60).stdout
    assert "Application protocol: h2" in out and "2000 2xx" in out, out


# --- operators ---

def test_certs_page(start, ca):
    weir = start(tls.config(tls.downstream(ca.web.entry(), common=trusting(ca))))
    page = json.loads(weir.admin("/certs").body)["certificates"]
    assert len(page) == 1
    own, authority = page[0]["cert_chain"][0], page[0]["ca_cert"][0]
    assert own["path"] == str(ca.web.certificate) and authority["path"] == str(ca.certificate)
    assert own["subject_alt_names"] == [{"dns": "a.example"}, {"dns": "*.w.example"}]
    assert own["days_until_expiration"] == "29"
    assert "PRIVATE" not in weir.admin("/certs").text
    assert weir.stats("days_until")["server.days_until_first_cert_expiring"] == 29


@pytest.mark.tsan
def test_workers_share_sessions(start, ca, tmp_path):
    weir = start(tls.config(tls.downstream(ca.web.entry())), concurrency=2)
    session = tmp_path / "session"
    s_client(weir.port, "-tls1_3", "-sess_out", session, send=REQUEST)
    for _ in range(6):
        assert "Reused, " in s_client(weir.port, "-tls1_3", "-sess_in", session, send=REQUEST)


# --- the page ---

def test_the_configuration_of_the_page(start, ca):
    text = with_ports(block("tls.md"), {}).replace("/etc/weir/tls", str(ca.directory))
    for name, pair in (("shop", ca.issue("shop", "DNS:shop.example")), ("shop-rsa", ca.issue("shop-rsa", "DNS:shop.example", rsa=True))):
        assert pair.certificate == ca.directory / f"{name}.crt"
    shutil.copy(ca.certificate, ca.directory / "partners-ca.crt")
    weir = start(text)
    with tls.connect(weir.port, tls.context(ca.certificate), "shop.example") as connection:
        assert tls.get(connection)[1] == b"over tls\n"
    partner = ca.issue("partner", "URI:spiffe://partner/one")
    with tls.connect(weir.port, tls.context(pair=partner), "partners.example") as connection:
        assert tls.get(connection)[1] == b"over tls\n"
    for pair in (None, ca.client):
        with pytest.raises((ssl.SSLError, ConnectionError, EOFError)):
            with tls.connect(weir.port, tls.context(pair=pair), "partners.example") as connection:
                tls.get(connection)
