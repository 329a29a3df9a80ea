# SPDX-License-Identifier: Apache-2.0
"""Envoy's foreign functions: results and statuses as Envoy 1.40 gives them, hostile arguments, outputs that explode."""

import re
import subprocess
import zlib

import pytest

from support import http1
from support.config import ANY, bootstrap, direct, hcm, listener, wasm
from support.process import wait_until
from support.plugins import RUNTIMES

TEXT = b"signed text"


def varint(n):
    out = b""
    while n > 127:
        out, n = out + bytes([n & 127 | 128]), n >> 7
    return out + bytes([n])


def put(field, value):
    """One protobuf field: a number or bytes."""
    if isinstance(value, int):
        return varint(field << 3) + varint(value)
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def shown(data):
    return "".join(chr(b) if 32 <= b < 127 else f"\\x{b:02x}" for b in data)


@pytest.fixture(name="call", params=RUNTIMES)
def _call(start, request):
    # A sanitized build signs and compresses slowly: what is looked at here is not how long it takes.
    policy = {"rules": [{"callback_time_max": "20s", "worker_time_percent_max": 100}]}
    weir = start(bootstrap(listener(hcm([direct()], [wasm("probe", runtime=request.param)], max_request_headers_kb=96))),
                 policy=policy)

    def caller(name, argument=b""):
        answer = http1.request(weir.port, headers=[("x-probe", f"foreign_hex {name} {argument.hex() or '-'}")])
        return answer.get("x-probe-1")
    caller.weir = weir
    return caller


@pytest.fixture(name="keys", scope="module")
def _keys(tmp_path_factory):
    """Key files by name, from the openssl program."""
    where = tmp_path_factory.mktemp("keys")

    def run(*arguments):
        subprocess.run(["openssl", *arguments], cwd=where, check=True, capture_output=True)
    (where / "text").write_bytes(TEXT)
    for kind, options in {"rsa": ("RSA", "rsa_keygen_bits:2048"), "ec": ("EC", "ec_paramgen_curve:P-256")}.items():
        run("genpkey", "-algorithm", options[0], "-pkeyopt", options[1], "-out", f"{kind}.pem")
        run("pkcs8", "-topk8", "-nocrypt", "-in", f"{kind}.pem", "-outform", "DER", "-out", f"{kind}.der")
        run("pkey", "-in", f"{kind}.pem", "-pubout", "-out", f"{kind}.pub.pem")
        run("pkey", "-in", f"{kind}.pem", "-pubout", "-outform", "DER", "-out", f"{kind}.pub.der")
        run("dgst", "-sha256", "-sign", f"{kind}.pem", "-out", f"{kind}.sig", "text")
    run("pkcs8", "-topk8", "-in", "ec.pem", "-passout", "pass:secret", "-out", "locked.pem")
    return lambda name: (where / name).read_bytes()


def test_compress_and_uncompress(call):
    assert call("compress", b"hello hello hello") == "0 " + shown(zlib.compress(b"hello hello hello"))
    assert call("compress") == "0 " + shown(zlib.compress(b""))
    packed = zlib.compress(b"hello")
    assert call("uncompress", packed) == "0 hello"
    assert call("uncompress", packed + b"tail") == "0 hello"
    assert call("uncompress", zlib.compress(b"")) == "0"
    assert call("uncompress", zlib.compress(b"a" * 100000)).startswith("0 aaaaaaaaaa")
    for bad in (b"", b"xx", packed[:-1], packed[:4], packed[:2], b"\0" * 100):
        assert call("uncompress", bad) == "3"


def test_a_bomb_is_capped(call):
    """16 MiB come out of uncompress by default, not more; the plugin goes on."""
    fits, too_much = zlib.compress(bytes(15 << 20), 9), zlib.compress(bytes(20 << 20), 9)
    assert call("uncompress", fits)[:6] == "0 \\x00"
    assert call("uncompress", too_much) == "10"
    assert call("uncompress", zlib.compress(b"x")) == "0 x"


def test_long_work_ends_with_the_time_of_the_callback(start):
    policy = {"rules": [{"callback_time_max": "0.001s", "worker_time_percent_max": 100, "caps": {
        "uncompressed_bytes_max": 1 << 30}, "memory_max_bytes": 1 << 30}]}
    weir = start(bootstrap(listener(hcm([direct()], [wasm("probe")], max_request_headers_kb=96))), policy=policy)
    bomb = zlib.compress(bytes(30 << 20), 9).hex()
    answer = http1.request(weir.port, headers=[("x-probe", f"foreign_hex uncompress {bomb}")])
    # It gave up, and the plugin then either finished in time or was stopped; it never got 30 MB.
    assert answer.get("x-probe-1") in ("10", None)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_verify_signature(call, keys, kind):
    def verify(**fields):
        numbers = {"hash": 1, "der": 2, "signature": 3, "text": 4, "pem": 5}
        arguments = {"hash": "sha256", "signature": keys(f"{kind}.sig"), "text": TEXT, **fields}
        return call("verify_signature", b"".join(put(numbers[k], v) for k, v in arguments.items() if v is not None))
    der, pem, good = keys(f"{kind}.pub.der"), keys(f"{kind}.pub.pem"), "0 \\x08\\x01"
    assert verify(der=der) == good and verify(pem=pem, hash="SHA256") == good and verify(der=der + b"tail") == good
    assert verify(der=der, text=TEXT + b"!") == "0 \\x12&Failed to verify digest. Error code: 0"
    assert verify(der=der, signature=None) == "0 \\x12&Failed to verify digest. Error code: 0"
    assert verify(der=der, hash="md5") == "0 \\x12\\x15md5 is not supported."
    assert verify(der=der, hash=None) == "0 \\x12\\x12 is not supported."
    assert verify(der=b"junk") == "0 \\x12#Failed to initialize digest verify."
    assert verify() == "2" and verify(der=der, pem=pem) == "2"


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_sign(call, keys, kind):
    def sign(**fields):
        numbers = {"hash": 1, "der": 2, "text": 3, "pem": 4}
        arguments = {"hash": "sha256", "text": TEXT, **fields}
        return call("sign", b"".join(put(numbers[k], v) for k, v in arguments.items()))
    no_key = "0 \\x1a=Invalid key type: private key required for signing operation."
    for key in ({"der": keys(f"{kind}.der")}, {"pem": keys(f"{kind}.pem")}):
        made = sign(**key)
        assert made.startswith("0 \\x08\\x01\\x12")
        if kind == "rsa":  # the same each time
            assert made.endswith(shown(keys("rsa.sig"))) or len(made) > 700
    assert sign(der=keys(f"{kind}.der"), hash="md5") == "0 \\x1a\\x15md5 is not supported."
    assert sign(der=keys(f"{kind}.pub.der")) == no_key and sign(der=b"x") == no_key
    assert sign(pem=keys("locked.pem")) == no_key  # and nobody is asked for a password
    assert sign() == "2" and sign(der=b"x", pem="y") == "2"


@pytest.mark.parametrize("name", ["verify_signature", "sign", "set_envoy_filter_state", "declare_property"])
def test_hostile_messages(call, name):
    deep = varint(9 << 3 | 3) * 101
    for bad in (b"\xff", b"\x0a\x05x", b"\x08" + b"\xff" * 10, b"\x00", b"\x0e\x00", b"\x0a" + b"\xff" * 9 + b"\x01",
                put(1, b"\xff\xfe"), deep, varint(9 << 3 | 3), varint(9 << 3 | 4), varint(9 << 3 | 1) + b"1234567"):
        assert call(name, bad) == "2"
    # Unknown fields and groups are skipped, of a known field the last counts.
    skipped = put(100, 5) + put(101, b"x") + varint(9 << 3 | 3) + put(1, 1) + varint(9 << 3 | 4)
    assert call("set_envoy_filter_state", skipped + put(1, "x") + put(1, "envoy.string") + put(2, "v")) == "0"


def test_set_envoy_filter_state(call):
    def put_state(key, value):
        return call("set_envoy_filter_state", put(1, key) + put(2, value))
    known = {"envoy.tcp_proxy.cluster": "c", "envoy.network.upstream_server_name": "a", "envoy.string": "",
             "envoy.network.application_protocols": "h2", "envoy.network.upstream_subject_alt_names": "a,b",
             "envoy.ratelimit.hits_addend": "5", "envoy.upstream.dynamic_port": "80", "envoy.network.ip": "::1",
             "envoy.filters.listener.original_dst.local_ip": "[::1]:80", "envoy.bool": "true"}
    for key, value in known.items():
        assert put_state(key, value) == "0", key
    for key, value in {"envoy.ratelimit.hits_addend": "x", "envoy.upstream.dynamic_port": "-1", "envoy.network.ip": "x",
                       "envoy.filters.listener.original_dst.local_ip": "1.2.3.4", "envoy.bool": "?"}.items():
        assert put_state(key, value) == "2", key
    assert put_state("unknown", "v") == "1" and put_state("", "") == "1"


def test_others(call):
    assert call("clear_route_cache") == "0" and call("clear_route_cache", b"ignored") == "0"
    for name in ("nothing", "expr_create", "expr_evaluate", "expr_delete"):
        assert call(name) == "1"


def test_declared_properties(start, tmp_path):
    def declare(name, **fields):
        numbers = {"readonly": 2, "type": 3, "schema": 4, "span": 5}
        return "foreign_hex declare_property " + b"".join(
            [put(1, name), *(put(numbers[k], v) for k, v in fields.items())]).hex()
    declarations = "; ".join([declare("ro", readonly=1, type=1), declare("ro"), declare("conn", span=2), declare("pb", type=3),
                              "foreign_hex set_envoy_filter_state " + (put(1, "envoy.string") + put(2, "x")).hex(),
                              "foreign_hex clear_route_cache -"])
    path = tmp_path / "access.log"
    log = {"name": "log", "typed_config": {
        "@type": ANY + "envoy.extensions.access_loggers.file.v3.FileAccessLog", "path": str(path),
        "log_format": {"text_format_source": {"inline_string": "%FILTER_STATE(wasm.ro:PLAIN)% %FILTER_STATE(wasm.conn:PLAIN)% "
                                              "%FILTER_STATE(wasm.pb)% %FILTER_STATE(envoy.string)% "
                                              "%FILTER_STATE(envoy.string:PLAIN)%\n"}}}}
    weir = start(bootstrap(listener(hcm([direct()], [wasm("probe", declarations)], access_log=[log]))))
    assert weir.wait_log(r"probe: \d foreign_hex: (.*)", 6)[:6] == ["0", "2", "0", "0", "1", "0"]
    state = (put(1, "envoy.string") + put(2, "text")).hex()
    with http1.Client(weir.port) as client:
        answer = client.request(headers=[("x-probe", "property_set ro first; property_set ro second; property ro; "
                                          "property_set conn kept; property_set pb x; property pb.seconds; "
                                          f"foreign_hex set_envoy_filter_state {state}; foreign_hex declare_property {put(1, 'ro').hex()}")])
        assert [answer.get(f"x-probe-{n}") for n in range(1, 9)] == ["0", "2", "0 first", "0", "0", "1", "0", "0"]
        answer = client.request(headers=[("x-probe", "property conn; property ro")])
        assert [answer.get(f"x-probe-{n}") for n in (1, 2)] == ["0 kept", "1"]
    answer = http1.request(weir.port, headers=[("x-probe", "property conn")])
    assert answer.get("x-probe-1") == "1"
    lines = wait_until(lambda: path.exists() and len(path.read_text().splitlines()) >= 3 and path.read_text().splitlines(), "logs")
    assert lines[0] == "first kept - - text" and lines[1] == "- kept - - -"
    assert not re.search(r"trap|failed", weir.log())
