# SPDX-License-Identifier: Apache-2.0
"""Certificates for tests, made by the openssl command: a directory per authority tree, P-256 keys."""

import base64
import hashlib
import re
import subprocess
from pathlib import Path


def openssl(*arguments, **options):
    return subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, **options).stdout


class Certificate:
    """NAME.pem (with the chain above it, without the root) and NAME.key."""

    def __init__(self, directory, name):
        self.name = name
        self.pem = directory / f"{name}.pem"
        self.alone = directory / f"{name}.alone.pem"
        self.key = directory / f"{name}.key"

    @property
    def tls_certificate(self):
        return {"certificate_chain": {"filename": str(self.pem)}, "private_key": {"filename": str(self.key)}}

    @property
    def hash(self):
        return hashlib.sha256(openssl("x509", "-in", self.alone, "-outform", "DER")).hexdigest()

    @property
    def spki(self):
        public = openssl("x509", "-in", self.alone, "-pubkey", "-noout")
        return base64.b64encode(hashlib.sha256(openssl("pkey", "-pubin", "-outform", "DER", input=public)).digest()).decode()


class Pki:
    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(parents=True, exist_ok=True)
        self._serial = 1000

    def make(self, name, issuer=None, sans="", ca=False, subject=None, days=30, serial=None, file=None, more=(), rsa=False):
        """`sans` as in an openssl.cnf. Without an issuer it signs itself. A negative number of days: it has ended."""
        c = Certificate(self.directory, file or name)
        extensions = ["basicConstraints=critical," + ("CA:TRUE" if ca else "CA:FALSE")]
        extensions += ["keyUsage=critical,keyCertSign,cRLSign"] if ca else []
        extensions += ["subjectAltName=" + sans] if sans else []
        extensions += more
        ext = self.directory / f"{c.name}.ext"
        ext.write_text("\n".join(extensions) + "\n")
        request = self.directory / f"{c.name}.csr"
        kind = ["rsa:2048"] if rsa else ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        openssl("req", "-newkey", *kind, "-nodes", "-keyout", c.key, "-out", request,
                "-utf8", "-subj", subject or f"/CN={name}")
        self._serial += 1
        sign = ["-CA", issuer.alone, "-CAkey", issuer.key] if issuer else ["-signkey", c.key]
        openssl("x509", "-req", "-in", request, "-out", c.alone, "-days", days, "-extfile", ext,
                "-set_serial", serial or self._serial, *sign)
        c.is_root = issuer is None
        c.pem.write_text(c.alone.read_text() + (issuer.pem.read_text() if issuer and not issuer.is_root else ""))
        return c

    def crl(self, issuer, *serials, name="crl"):
        """The path of a list that revokes these."""
        work = self.directory / f"{name}.ca"
        work.mkdir(exist_ok=True)
        (work / "index.txt").write_text("".join(f"R\t300101000000Z\t250101000000Z\t{s:04X}\tunknown\t/CN=x\n" for s in serials))
        (work / "cnf").write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={work}/index.txt\ndefault_md=sha256\ndefault_crl_days=30\n")
        path = self.directory / f"{name}.pem"
        openssl("ca", "-config", work / "cnf", "-gencrl", "-cert", issuer.alone, "-keyfile", issuer.key, "-out", path)
        return path

    def ocsp(self, issuer, certificate, name="staple", next_update=True, past=False):
        """The path of a response of `issuer` about the certificate: good for a week, until 2020 (`past`), or without an end."""
        request, path, index = (self.directory / f"{name}.{end}" for end in ("req", "der", "index"))
        serial = openssl("x509", "-in", certificate.alone, "-noout", "-serial").decode().strip().partition("=")[2]
        index.write_text(f"V\t400101000000Z\t\t{serial}\tunknown\t/CN=x\n")
        openssl("ocsp", "-issuer", issuer.alone, "-cert", certificate.alone, "-no_nonce", "-reqout", request)
        openssl("ocsp", "-index", index, "-CA", issuer.alone, "-rsigner", issuer.alone, "-rkey", issuer.key, "-reqin", request,
                "-respout", path, *(["-ndays", "7"] if next_update else []))
        if past:  # nobody looks at the signature: a proxy only passes it on
            old = path.read_bytes()
            end = max(re.findall(rb"\d{14}Z", old))
            path.write_bytes(old.replace(end, b"20200101000000Z"))
        return path
