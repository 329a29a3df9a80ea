# SPDX-License-Identifier: Apache-2.0
#
# basic-auth in front of an upstream, on both engines: what gets through, what the client sees, what the upstream sees,
# and what a wrong configuration does to the start.

import base64
import json

import pytest

from support import plugins
from support.config import ANY, simple, wasm
from support.http1 import request

# As Istio's users have it, with both forms of credentials.
ISTIO = ('{"basic_auth_rules":[{"prefix":"/productpage","request_methods":["GET","POST"],'
         '"credentials":["ok:test","YWRtaW4zOmFkbWluMw=="]}]}')


def basic(user_password):
    return {"authorization": "Basic " + base64.b64encode(user_password.encode()).decode()}


@pytest.fixture(params=plugins.RUNTIMES, ids=["wasm", "null"])
def runtime(request):
    return request.param


def auth(runtime, configuration=ISTIO):
    return wasm("basic-auth", configuration, runtime)


def front(start, upstream_port, *filters):
    return start(simple(upstream_port, filters=filters), *plugins.SHIPPED)


@pytest.mark.tsan
def test_requests(start, recording, runtime):
    weir = front(start, recording.port, auth(runtime))

    refused = request(weir.port, path="/productpage")
    assert refused.status == 401
    assert refused.all("www-authenticate") == ['Basic realm="istio"']
    assert refused.body
    assert request(weir.port, path="/productpage/1?a=b", headers=basic("ok:wrong")).status == 401
    assert request(weir.port, "POST", "/productpage", basic("admin:admin"), body=b"x" * 1000).status == 401
    assert recording.requests == []

    for credentials in (basic("ok:test"), basic("admin3:admin3")):
        answer = request(weir.port, path="/productpage?a=b", headers=credentials)
        assert (answer.status, answer.text) == (200, plugins.BODY)
    assert recording.requests[0].get("authorization") == basic("ok:test")["authorization"]
    assert recording.requests[0].start == "GET /productpage?a=b HTTP/1.1"

    posted = request(weir.port, "POST", "/productpage", basic("ok:test"), body=b"y" * 100_000)
    assert posted.status == 200
    assert recording.requests[-1].body == b"y" * 100_000

    assert request(weir.port, "PUT", "/productpage").status == 200
    assert request(weir.port, path="/").status == 200


def test_two_authorization_headers(start, recording, runtime):
    weir = front(start, recording.port, auth(runtime))
    value = basic("ok:test")["authorization"]
    assert request(weir.port, path="/productpage",
                   headers=[("authorization", value), ("Authorization", value)]).status == 401
    assert recording.requests == []


def test_hosts_and_realm(start, recording, runtime):
    rule = {"prefix": "/", "hosts": ["a.example", "*.b.example"], "credentials": ["ok:test"]}
    configuration = json.dumps({"realm": "the \"inner\" circle", "basic_auth_rules": [rule]})
    weir = front(start, recording.port, auth(runtime, configuration))
    refused = request(weir.port, host="A.Example:8080")
    assert refused.status == 401
    assert refused.get("www-authenticate") == 'Basic realm="the \\"inner\\" circle"'
    assert request(weir.port, host="x.b.example").status == 401
    assert request(weir.port, host="b.example").status == 200
    assert request(weir.port, host="a.example", headers=basic("ok:test")).status == 200


def test_typed_struct(start, recording):
    """The way Istio's control plane writes it."""
    plain = auth("envoy.wasm.runtime.v8")["typed_config"]
    struct = {"@type": ANY + "udpa.type.v1.TypedStruct", "type_url": plain["@type"], "value": {"config": plain["config"]}}
    weir = front(start, recording.port, {"name": "basic-auth", "typed_config": struct})
    assert request(weir.port, path="/productpage").status == 401
    assert request(weir.port, path="/productpage", headers=basic("ok:test")).status == 200


def test_configuration_as_struct(start, recording, runtime):
    """A Struct reaches the plugin as JSON."""
    filter_ = auth(runtime)
    filter_["typed_config"]["config"]["configuration"] = {"@type": ANY + "google.protobuf.Struct",
                                                          "value": json.loads(ISTIO)}
    weir = front(start, recording.port, filter_)
    assert request(weir.port, path="/productpage").status == 401
    assert request(weir.port, path="/productpage", headers=basic("admin3:admin3")).status == 200


@pytest.mark.parametrize("configuration, message", [
    ('{"basic_auth_rules":[{"prefx":"/","credentials":["a:b"]}]}',
     'basic_auth_rules[0].prefx: unknown field; did you mean "prefix"?'),
    ('{"basic_auth_rules":[{"prefix":"/","credentials":["nonsense"]}]}',
     'line 1, column 51: basic_auth_rules[0].credentials[0]: neither "user:password" nor base64 of it'),
    ('{"basic_auth_rules":', "unfinished"),
    (None, "there is no configuration"),
])
def test_wrong_configuration(tmp_path, runtime, configuration, message):
    status, output = plugins.refused(tmp_path, auth(runtime, configuration))
    assert status == 1, output
    assert message in output
