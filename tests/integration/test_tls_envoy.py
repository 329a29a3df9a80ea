# SPDX-License-Identifier: Apache-2.0
"""TLS towards clients beside real Envoy: versions, ciphers, curves, ALPN, certificates and chains by name, client certificates,
resumption and staples, tried by openssl s_client on one listener per set-up; what clients see and what is counted are the same."""

import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from support import tls
from support.config import bootstrap, direct, hcm
from support.envoy import Envoy
from support.listeners import tls_inspector
from support.pki import Pki
from support.process import Weir, validate, wait_until

REQUEST = b"GET / HTTP/1.1\r\nhost: a.example\r\nconnection: close\r\n\r\n"
OLD = ["-cipher", "ALL:@SECLEVEL=0"]
SEEN = re.compile(r"^(?:(?:New|Reused), .*|ALPN protocol: .*|No ALPN negotiated|subject=.*|Server Temp Key: .*|"
                  r"OCSP response: no response sent|\s*OCSP Response Status: .*|over [a-z_]+)$|SSL alert number \d+", re.M)
COUNTED = re.compile(r"^listener\.([a-z0-9_]+)\.(?:ssl\.(?!context_)|no_filter_chain_match|downstream_cx_total)")


class Setups:
    """Listeners by name, and the clients that try each: arguments of s_client."""

    def __init__(self, directory):
        self.pki = pki = Pki(directory)
        self.ca, self.other = pki.make("ca", ca=True), pki.make("other", ca=True)
        middle = pki.make("middle", self.ca, ca=True)
        self.web = pki.make("web", self.ca, sans="DNS:a.example,DNS:*.w.example")
        self.second = pki.make("second", self.ca, sans="DNS:b.example")
        self.rsa = pki.make("rsa", self.ca, sans="DNS:a.example", rsa=True)
        self.must = pki.make("must", self.ca, sans="DNS:a.example", more=["tlsfeature=status_request"])
        self.clients = {
            "good": pki.make("client", self.ca, sans="URI:spiffe://mesh/a,DNS:client.example", serial=77),
            "deep": pki.make("deep", middle, sans="URI:spiffe://mesh/deep"),
            "expired": pki.make("gone", self.ca, days=-1), "stranger": pki.make("stranger", self.other, sans="URI:spiffe://mesh/s")}
        self.listeners, self.tries = [], {}
        self.versions(), self.names(), self.client_certificates(), self.sessions(), self.staples()

    def add(self, name, clients, chains, **fields):
        one = tls.secured(None, hcm([direct(200, "over " + name + "\n")], codec_type="HTTP1", delayed_close_timeout="0.05s"), **fields)
        filters = one["filter_chains"][0]["filters"]
        one.update(name=name, stat_prefix=name, filter_chains=[{"filters": filters, **chain} for chain in chains])
        self.listeners.append(one)
        self.tries[name] = clients

    def context(self, name, clients, *certificates, common=None, **fields):
        entries = [c if isinstance(c, dict) else c.tls_certificate for c in certificates or (self.web,)]
        self.add(name, clients, [{"transport_socket": tls.downstream(*entries, common=common, **fields)}])

    def params(self, name, clients, *certificates, **params):
        self.context(name, clients, *certificates, common={"tls_params": params})

    def versions(self):
        every = [[], ["-tls1", *OLD], ["-tls1_1", *OLD], ["-tls1_2"], ["-tls1_3"]]
        self.params("defaults", [*every, ["-curves", "P-256"], ["-curves", "P-384"], ["-curves", "P-384:X25519"]])
        self.params("old", every, self.rsa, tls_minimum_protocol_version="TLSv1_0", tls_maximum_protocol_version="TLSv1_2",
                    cipher_suites=["ECDHE-RSA-AES128-SHA", "AES128-SHA"])
        self.params("middle", every, tls_minimum_protocol_version="TLSv1_1", tls_maximum_protocol_version="TLSv1_2")
        self.params("new", every, tls_minimum_protocol_version="TLSv1_3")
        self.params("twelve", every, tls_maximum_protocol_version="TLSv1_2")
        ciphers = [["-tls1_2"], ["-tls1_2", "-cipher", "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256"],
                   ["-tls1_2", "-cipher", "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES128-GCM-SHA256"],
                   ["-tls1_2", "-cipher", "AES128-GCM-SHA256"], ["-tls1_3", "-ciphersuites", "TLS_CHACHA20_POLY1305_SHA256"]]
        self.params("ciphers", ciphers, self.rsa)
        self.params("group", ciphers, self.rsa, cipher_suites=["[ECDHE-RSA-AES128-GCM-SHA256|ECDHE-RSA-CHACHA20-POLY1305]",
                                                               "ECDHE-RSA-AES256-GCM-SHA384", "AES128-GCM-SHA256"])
        self.params("listed", ciphers, self.rsa, cipher_suites=["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256"])
        self.context("preferred", ciphers, self.rsa, prefer_client_ciphers=True, common={"tls_params": {
            "cipher_suites": ["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384"]}})
        self.params("curves", [["-curves", c] for c in ("X25519", "P-256", "P-384", "P-521", "P-256:P-384")],
                    ecdh_curves=["P-384", "P-256"])
        self.params("sigalgs", [[], ["-sigalgs", "ECDSA+SHA384"], ["-sigalgs", "ECDSA+SHA256"]],
                    signature_algorithms=["ecdsa_secp256r1_sha256"])
        offers = [[], ["-alpn", "h2,http/1.1"], ["-alpn", "http/1.1,h2"], ["-alpn", "http/1.1"], ["-alpn", "x"], ["-tls1_2", "-alpn", "h2"]]
        self.context("alpn", offers, common={"alpn_protocols": ["h2", "http/1.1"]})
        self.context("no_alpn", offers[1:3])

    def names(self):
        asked = [["-noservername"], *(["-servername", n] for n in ("a.example", "b.example", "x.w.example", "x.y.w.example", "c.test"))]
        self.context("two_names", asked, self.web, self.second)
        self.context("two_names_scan", asked, self.second, self.web, full_scan_certs_on_sni_mismatch=True)
        kinds = [[], ["-tls1_2"], ["-tls1_2", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"], ["-sigalgs", "RSA-PSS+SHA256"],
                 ["-tls1_2", "-servername", "x.w.example", "-cipher", "ECDHE-RSA-AES128-GCM-SHA256"]]
        self.context("two_keys", kinds, self.web, self.rsa)
        self.context("two_keys_turned", kinds, self.rsa, self.web)
        self.context("require_sni", asked[1:], require_sni=True)  # Envoy accepts the field, and does not require one

        def chain(certificate, **match):
            return {"name": repr(match), "filter_chain_match": match, "transport_socket": tls.downstream(certificate.tls_certificate)}
        self.add("chains", asked, [chain(self.web, server_names=["a.example", "*.w.example"]),
                                   chain(self.second, server_names=["b.example"])], listener_filters=[tls_inspector()])
        self.add("chains_default", [*asked, ["-alpn", "x"], ["-alpn", "y,x", "-servername", "b.example"]],
                 [chain(self.web, server_names=["*.example"]), chain(self.second, application_protocols=["x"]),
                  chain(self.rsa, transport_protocol="tls")], listener_filters=[tls_inspector()])

    def client_certificates(self):
        def key(name):
            c = self.clients[name]
            return ["-cert", c.pem, "-key", c.key, *(["-cert_chain", c.pem] if name == "deep" else [])]
        thirteen = [[*more] for more in ([], *(key(n) for n in self.clients))]
        twelve = [["-tls1_2", *more] for more in thirteen]
        ca = {"trusted_ca": {"filename": str(self.ca.alone)}}
        good = self.clients["good"]
        for name, required, validation in (
                ("cert_optional", False, ca), ("cert_required", True, ca),
                ("cert_expired", True, {**ca, "allow_expired_certificate": True}),
                ("cert_untrusted", True, {**ca, "trust_chain_verification": "ACCEPT_UNTRUSTED"}),
                ("cert_san", True, {**ca, "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"prefix": "spiffe://mesh/a"}}]}),
                ("cert_dns", False, {**ca, "match_typed_subject_alt_names": [{"san_type": "DNS", "matcher": {"exact": "client.example"}}]}),
                ("cert_hash", True, {**ca, "verify_certificate_hash": [good.hash]}),
                ("cert_hash_only", True, {"verify_certificate_hash": [self.clients["stranger"].hash]}),
                ("cert_spki", True, {**ca, "verify_certificate_spki": [good.spki]}),
                ("cert_depth", True, {**ca, "max_verify_depth": 0}),
                ("cert_crl", True, {**ca, "crl": {"filename": str(self.pki.crl(self.ca, 77))}, "only_verify_leaf_cert_crl": True})):
            self.context(name, thirteen + (twelve if name in ("cert_required", "cert_san") else []), common={"validation_context": validation}, require_client_certificate=required)

    def sessions(self):
        again = [[v, "AGAIN"] for v in ("-tls1_2", "-tls1_3")] + [["-tls1_2", "-no_ticket", "AGAIN"]]
        self.context("sessions", again)
        self.context("no_tickets", again, disable_stateless_session_resumption=True)
        self.context("no_state", again, disable_stateful_session_resumption=True)
        self.context("no_sessions", again, disable_stateless_session_resumption=True, disable_stateful_session_resumption=True)

    def staples(self):
        good, past, endless = (self.pki.ocsp(self.ca, self.web, name, **how) for name, how in (
            ("good", {}), ("past", {"past": True}), ("endless", {"next_update": False})))
        must = self.pki.ocsp(self.ca, self.must, "must")
        asked = [[], ["-status"], ["-tls1_2", "-status"]]
        for policy in ("LENIENT_STAPLING", "STRICT_STAPLING", "MUST_STAPLE"):
            for name, staple in (("none", None), ("good", good), ("past", past), ("endless", endless)):
                if staple or policy != "MUST_STAPLE":
                    entry = {**self.web.tls_certificate, **({"ocsp_staple": {"filename": str(staple)}} if staple else {})}
                    self.context(f"{policy[:4].lower()}_{name}", asked, entry, ocsp_staple_policy=policy)
        entry = {**self.must.tls_certificate, "ocsp_staple": {"filename": str(must)}}
        self.context("must_itself", asked, entry)
        self.context("staple_of_two", asked, {**self.web.tls_certificate, "ocsp_staple": {"filename": str(past)}}, self.rsa,
                     ocsp_staple_policy="STRICT_STAPLING")

    def config(self):
        return bootstrap(*self.listeners)


@pytest.fixture(scope="module")
def setups(tmp_path_factory):
    return Setups(tmp_path_factory.mktemp("pki"))


def talk(port, arguments):
    out = tls.openssl("s_client", "-connect", f"127.0.0.1:{port}", "-ign_eof",
                      *([] if {"-servername", "-noservername"} & set(map(str, arguments)) else ["-servername", "a.example"]),
                      *arguments, input=REQUEST, check=False)
    text = (out.stdout + out.stderr).decode(errors="replace")
    return sorted(set(SEEN.findall(text))) if "over " in text else sorted(set(re.findall(
        r"SSL alert number \d+|OCSP response: no response sent", text))) or ["closed"]


def attempt(proxy, setups, name, directory):
    """What each client of the set-up sees, in order: they are counted together."""
    port = proxy.listener_port(name)
    seen = []
    for arguments in setups.tries[name]:
        if arguments[-1:] == ["AGAIN"]:
            session = directory / f"{type(proxy).__name__}.{name}"
            session.unlink(missing_ok=True)
            seen.append(talk(port, [*arguments[:-1], "-sess_out", session]))
            arguments = [*arguments[:-1], *(["-sess_in", session] if session.exists() else [])]
        seen.append(talk(port, arguments))
    return seen


def counted(proxy, name):
    return {k: v for k, v in proxy.stats(f"^listener.{name}\\.".replace("\\", "%5C")).items() if COUNTED.match(k) and v}


def test_as_envoy(setups, tmp_path):
    with Envoy(tmp_path / "envoy", setups.config()) as envoy, Weir(tmp_path / "weir", setups.config()) as weir:
        with ThreadPoolExecutor(4) as pool:
            other, own = ({name: pool.submit(attempt, proxy, setups, name, tmp_path) for name in setups.tries} for proxy in (envoy, weir))
            other, own = ({name: seen.result() for name, seen in one.items()} for one in (other, own))
        differences = []
        for name in setups.tries:
            x, y = counted(envoy, name), counted(weir, name)
            assert any("ssl.certificate" in key for key in y), name
            if x != y:
                differences.append((name, "envoy", sorted(set(x.items()) - set(y.items())), "weir", sorted(set(y.items()) - set(x.items()))))
        for name, clients in setups.tries.items():
            x, y = other[name], own[name]
            for _ in range(20):  # a client that still writes when the alert comes may see only the end of the connection
                if x == y or ["closed"] not in x + y:
                    break
                x, y = (attempt(proxy, setups, name, tmp_path) if ["closed"] in seen else seen for proxy, seen in ((envoy, x), (weir, y)))
            for at, (theirs, ours) in enumerate(zip(x, y)):
                if theirs != ours:
                    differences.append((name, at, clients[min(at, len(clients) - 1)], "envoy", theirs, "weir", ours))
        assert not differences, "\n".join(map(str, differences))


# --- staples, without Envoy ---

STAPLED, REFUSED, BARE = "OCSP Response Status: successful (0x0)", "SSL alert number 40", "OCSP response: no response sent"


def test_staples(start, setups, tmp_path):
    """What openssl ocsp made, openssl s_client gets; and what each policy does without a good one."""
    names = [n for n in setups.tries if re.match("leni_|stri_|must_|staple_", n)]
    weir = start(bootstrap(*(one for one in setups.listeners if one["name"] in names)))
    expected = {"leni_none": BARE, "leni_good": STAPLED, "leni_past": BARE, "leni_endless": BARE, "stri_none": BARE, "stri_good": STAPLED,
                "stri_past": REFUSED, "stri_endless": REFUSED, "must_good": STAPLED, "must_past": REFUSED, "must_endless": REFUSED,
                "must_itself": STAPLED, "staple_of_two": BARE}
    assert sorted(expected) == sorted(names)
    for name, words in expected.items():
        port = weir.listener_port(name)
        seen = talk(port, ["-status"])
        assert any(words in line for line in seen), (name, seen)
        if words == REFUSED:
            assert "over " + name in talk(port, []), "who does not ask is served"


def test_a_staple_is_renewed(start, setups, tmp_path):
    staple = tmp_path / "staple.der"
    staple.write_bytes(setups.pki.ocsp(setups.ca, setups.web, "past", past=True).read_bytes())
    entry = {**setups.web.tls_certificate, "ocsp_staple": {"filename": str(staple)}}
    weir = start(tls.config(tls.downstream(entry, ocsp_staple_policy="MUST_STAPLE"), hcm([direct(200, "over it\n")])))
    assert REFUSED in talk(weir.port, ["-status"])
    fresh = staple.with_suffix(".new")
    fresh.write_bytes(setups.pki.ocsp(setups.ca, setups.web, "fresh").read_bytes())
    fresh.rename(staple)
    wait_until(lambda: any(STAPLED in line for line in talk(weir.port, ["-status"])), "the new staple")
    staple.write_bytes(b"nonsense")
    weir.wait_log("ocsp_staple: it is no OCSP response in DER; those in use stay")
    assert any(STAPLED in line for line in talk(weir.port, ["-status"]))


def test_wrong_staples(setups, tmp_path):
    of_other = setups.pki.ocsp(setups.ca, setups.second, "of_other")
    for certificate, staple, policy, words in (
            (setups.web, of_other, "LENIENT_STAPLING", "OCSP response does not match its TLS certificate"),
            (setups.web, setups.web.alone, "LENIENT_STAPLING", "it is no OCSP response in DER"),
            (setups.web, None, "MUST_STAPLE", "Required OCSP response is missing from TLS context"),
            (setups.must, None, "LENIENT_STAPLING", "OCSP response is required for must-staple certificate")):
        entry = {**certificate.tls_certificate, **({"ocsp_staple": {"filename": str(staple)}} if staple else {})}
        done = validate(tmp_path, tls.config(tls.downstream(entry, ocsp_staple_policy=policy)))
        assert done.returncode == 1 and "tls_certificates[0]" in done.stderr and words in done.stderr, (words, done.stderr)
