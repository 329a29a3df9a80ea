# SPDX-License-Identifier: Apache-2.0
"""Hidden means hidden: tests/plugins/snoop.c tries every host function in every callback, and gets nothing."""

import re

import pytest

from support import http1
from support.config import ANY, cluster, http_options, simple, wasm
from support.process import run_weir

SECRETS = {"authorization": "Bearer s3cret-a", "cookie": "id=s3cret-b", "x-internal-user": "s3cret-c"}
HIDE = ["Authorization", "cookie", "x-internal-*"]
RULE = {"match": {"plugin": "snoop"}, "hidden_headers": [*HIDE, "set-cookie"],
        "hidden_properties": ["source.*", "connection.id", "xds.node"], "hidden_clusters": ["secret-*"],
        "callback_time_max": "10s", "caps": {"log_lines_per_sec": 100000}}  # it tries everything
NAMES = "authorization cookie x-internal-user set-cookie"
TRAILERS = {"enable_trailers": True}


def config(port, *more, **fields):
    options = http_options(explicit_http_config={"http_protocol_options": TRAILERS})
    made = simple(port, filters=[wasm("snoop", NAMES + " cluster secret-vault nowhere upstream"), *more],
                  http_protocol_options=TRAILERS, cluster_fields=options, **fields)
    made["static_resources"]["clusters"].append(cluster(port, name="secret-vault"))
    return made


def answer(connection):
    while (request := connection.read_request()) is not None:
        connection.server.requests.append(request)
        connection.send("HTTP/1.1 200 OK\r\nset-cookie: s3cret-d\r\nx-plain: yes\r\ntransfer-encoding: chunked\r\n\r\n"
                        "2\r\nok\r\n0\r\nx-internal-user: s3cret-e\r\nx-plain-trailer: yes\r\n\r\n")


@pytest.fixture
def vault(upstream):
    requests = []

    def handler(connection):
        connection.server = server
        answer(connection)

    server = upstream(handler)
    server.requests = requests
    return server


def exchange(weir, more=()):
    """A request with a body, trailers and secrets everywhere."""
    lines = ["POST /path HTTP/1.1", "host: test", *(f"{k}: {v}" for k, v in SECRETS.items()), "x-open: open", *more,
             "transfer-encoding: chunked", "", "2", "hi", "0", "x-internal-user: s3cret-f", "x-open-trailer: open", "", ""]
    with http1.Client(weir.port) as client:
        client.send("\r\n".join(lines))
        return client.response()


def lines(weir, what):
    """Lines of the plugin: (phase, what, detail)."""
    return re.findall(rf"snoop: (\S+) {what}(.*)", weir.log())


def test_a_plugin_sees_nothing_of_it(start, vault):
    weir = start(config(vault.port), policy={"rules": [RULE, {}]})
    response = exchange(weir)
    weir.wait_log("snoop: log property upstream.address")
    assert "s3cret" not in weir.log()

    # By name, whatever the case; each map of the stream in each callback.
    seen = [detail for what in ("get", "get-upper", "header-property") for _, detail in lines(weir, what + " ")]
    assert len(seen) > 100
    assert {int(re.search(r": (\d+)", detail)[1]) for detail in seen} <= {1, 2}  # NOT_FOUND; BAD_ARGUMENT: no such map now
    assert any(": 1 " in detail for detail in seen)
    # Lists, counts and sizes: what is seen adds up without it.
    names = [detail.split(":")[0].strip() for _, detail in lines(weir, "pair ")]
    assert "x-open" in names and "x-plain" in names and "x-open-trailer" in names and "x-plain-trailer" in names
    assert not set(names) & set(NAMES.split())
    count = int(re.search(r"snoop: request_headers count map 0: (\d+)", weir.log())[1])
    pairs = int(re.search(r"snoop: request_headers pairs map 0: (\d+)", weir.log())[1])
    size = int(re.search(r"snoop: request_headers bytes map 0: (\d+)", weir.log())[1])
    first = re.findall(r"snoop: request_headers pair (.*?): 0 (.*)", weir.log())[:pairs]
    assert count == pairs and size == sum(len(n) + len(v) for n, v in first)
    assert int(re.search(r"snoop: request_trailers count map 1: (\d+)", weir.log())[1]) == 1
    # Writes are answered with OK.
    for what in ("add", "set", "remove", "set-pairs", "property-set"):
        statuses = {detail.split(": ")[1].strip() for _, detail in lines(weir, what + " ")}
        assert statuses == {"0"}, (what, statuses)
    # ... and do nothing.
    request, = [r for r in vault.requests if "/snoop" not in r.start]
    assert [(name, request.all(name)) for name in SECRETS] == [(name, [value]) for name, value in SECRETS.items()]
    assert dict(request.trailers)["x-internal-user"] == "s3cret-f"
    assert len([name for name, _ in request.trailers if name == "x-internal-user"]) == 1
    assert request.get("x-snoop") == "was here"  # its own header passed
    assert "evil" not in str(request)
    assert response.all("set-cookie") == ["s3cret-d"]
    assert dict(response.trailers)["x-internal-user"] == "s3cret-e"
    assert "evil" not in str(response.headers) + str(response.trailers)


def test_hidden_properties_and_what_lies_around_them(start, vault):
    weir = start(config(vault.port), policy={"rules": [RULE, {}]})
    exchange(weir)
    weir.wait_log("snoop: log property upstream.address")
    statuses = {}
    for _, detail in lines(weir, "property "):
        name, status = re.match(r"(\S+): (\d+)", detail).groups()
        statuses.setdefault(name, set()).add(status)
    for path in ("request", "request.headers_bytes", "request.total_size", "response", "response.headers_bytes",
                 "source", "source.address", "connection", "connection.id", "node", "xds.node"):
        assert statuses[path] == {"1"}, path
    assert "0" in statuses["request.headers"] and "0" in statuses["response.headers"]  # without what is hidden
    assert "0" in statuses["upstream.address"] and "0" in statuses["cluster_name"]


def test_hidden_clusters_do_not_exist(start, vault):
    weir = start(config(vault.port), policy={"rules": [RULE, {}]})
    exchange(weir)
    weir.wait_log("snoop: log property upstream.address")
    calls = dict(re.findall(r"http_call (\S+): (\d+)", weir.log()))
    assert calls["secret-vault"] == calls["nowhere"]  # as one that nobody configured
    assert all("/snoop" not in request.start or request.get("host") == "snoop" for request in vault.requests)


def test_the_name_of_a_hidden_cluster_is_hidden(start, vault):
    weir = start(config(vault.port), policy={"rules": [dict(RULE, hidden_clusters=["upstr*"]), {}]})
    exchange(weir)
    weir.wait_log("snoop: log property upstream.address")
    for path in ("cluster_name", "xds.cluster_name", "upstream.address"):
        assert set(re.findall(rf"snoop: \S+ property {path}: (\d+)", weir.log())) == {"1"}, path


def test_an_access_logger_sees_nothing_of_it(start, vault):
    """Its properties too: it has them from another table than filters."""
    logger = {"name": "wasm", "typed_config": {
        "@type": ANY + "envoy.extensions.access_loggers.wasm.v3.WasmAccessLog",
        "config": wasm("snoop", NAMES + " cluster secret-vault nowhere upstream")["typed_config"]["config"]}}
    made = config(vault.port, access_log=[logger])
    chain = made["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    del chain["http_filters"][0]
    weir = start(made, policy={"rules": [dict(RULE, hidden_clusters=["upstr*"]), {}]})
    exchange(weir)
    weir.wait_log("snoop: log property upstream.address")
    assert "s3cret" not in weir.log()
    for path in ("request.headers", "request.headers_bytes", "cluster_name", "upstream.address"):
        assert set(re.findall(rf"snoop: log property {path}: (\d+)", weir.log())) == {"1"}, path


def test_a_local_reply_cannot_set_it(start, vault):
    weir = start(config(vault.port), policy={"rules": [RULE, {}]})
    response = exchange(weir, ["x-snoop-reply: 1"])
    assert response.status == 418
    assert [name for name, _ in response.headers if name.lower() in NAMES.split()] == []
    assert all("/snoop" in request.start for request in vault.requests)


def test_another_plugin_still_sees_all(start, vault):
    """The view is the plugin's, not the stream's."""
    weir = start(config(vault.port, wasm("probe", "")), policy={"rules": [RULE, {}]})
    response = exchange(weir, ["x-probe: header 0 authorization; property request.headers.cookie; map_bytes 0"])
    assert response.get("x-probe-1") == "0 Bearer s3cret-a"
    assert response.get("x-probe-2") == "0 id=s3cret-b"


def test_without_such_a_rule_nothing_is_hidden(start, vault):
    weir = start(config(vault.port), policy={"rules": [{"caps": RULE["caps"]}]})
    exchange(weir)
    weir.wait_log("snoop: log property upstream.address")
    assert "Bearer s3cret-a" in weir.log()
    assert any("evil" in str(request.headers) for request in vault.requests)


def test_bad_patterns_are_refused(tmp_path):
    (tmp_path / "weir.json").write_text('{"static_resources": {}}')
    (tmp_path / "policy.yaml").write_text("rules:\n- hidden_headers: [cookie, '']\n  hiden_clusters: [a]\n")
    done = run_weir("--mode", "validate", "-c", tmp_path / "weir.json", "--policy", tmp_path / "policy.yaml",
                    "--wasm-cache-dir", "none")
    assert done.returncode == 1
    assert "policy.yaml:3:3: rules[0]: unknown field \"hiden_clusters\"; did you mean \"hidden_clusters\"?" in done.stderr
    assert "policy.yaml:2:28: rules[0].hidden_headers[1]: must not be empty" in done.stderr


def test_host_is_the_hidden_authority(start, vault):
    """Envoy's name for :authority is no way around a rule that hides it."""
    made = simple(vault.port, filters=[wasm("probe", "")])
    weir = start(made, policy={"rules": [{"hidden_headers": [":authority"]}]})
    probe = "header 0 host; header 0 Host; header_set 0 host evil; header_remove 0 HOST; header 0 :authority"
    answer = http1.request(weir.port, headers={"x-probe": probe}, host="secret.example")
    assert [answer.get(f"x-probe-{n}") for n in (1, 2, 3, 4, 5)] == ["1", "1", "0", "0", "1"]
    assert vault.requests[-1].get("host") == "secret.example"


@pytest.mark.parametrize("header, command", [("content-length", "property_u64 request.size"),
                                             ("x-forwarded-for", "property source.address")])
def test_attributes_that_are_a_header_in_other_clothes(start, vault, header, command):
    probe = {"x-probe": command, "x-forwarded-for": "192.0.2.7"}
    for hidden, status in ([], "0"), ([header], "1"):
        weir = start(simple(vault.port, filters=[wasm("probe", "")]), policy={"rules": [{"hidden_headers": hidden}]})
        assert http1.request(weir.port, "POST", headers=probe, body=b"four").get("x-probe-1").split()[0] == status
