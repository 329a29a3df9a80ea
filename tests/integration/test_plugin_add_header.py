# SPDX-License-Identifier: Apache-2.0
#
# add-header in front of an upstream, on both engines, alone and ten times.

import pytest

from support import plugins
from support.config import simple, wasm
from support.http1 import request

BOTH = '{"request":{"X-Seen-By":"weir","x-two":"2"},"response":{"hello":"world"}}'


@pytest.fixture(params=plugins.RUNTIMES, ids=["wasm", "null"])
def runtime(request):
    return request.param


@pytest.mark.tsan
def test_adds(start, recording, runtime):
    weir = start(simple(recording.port, filters=[wasm("add-header", BOTH, runtime)]), *plugins.SHIPPED)
    answer = request(weir.port, headers={"x-two": "1"})
    assert answer.status == 200
    assert answer.all("hello") == ["world"]
    seen = recording.requests[0]
    assert seen.all("x-seen-by") == ["weir"]
    assert seen.all("x-two") in (["1", "2"], ["1,2"])


def test_local_replies_too(start, runtime):
    weir = start(simple(filters=[wasm("add-header", BOTH, runtime)]), *plugins.SHIPPED)
    answer = request(weir.port)
    assert (answer.status, answer.text, answer.get("hello")) == (200, "direct", "world")


def test_ten_of_them(start, recording, runtime):
    filters = [wasm("add-header", {"request": {"x-order": str(i)}, "response": {"x-order": str(i)}}, runtime,
                    name=f"add-{i}") for i in range(10)]
    weir = start(simple(recording.port, filters=filters), *plugins.SHIPPED)
    for _ in range(3):
        answer = request(weir.port)
        assert ",".join(answer.all("x-order")).replace(" ", "") == "9,8,7,6,5,4,3,2,1,0"
        assert ",".join(recording.requests[-1].all("x-order")).replace(" ", "") == "0,1,2,3,4,5,6,7,8,9"


@pytest.mark.parametrize("configuration, message", [
    ('{"respnse":{}}', 'respnse: unknown field; did you mean "response"?'),
    ('{"response":{"content-length":"3"}}', "belongs to the proxy"),
    ('{"response":{"a":"x\\r\\nset-cookie: y"}}', "not a header value"),
])
def test_wrong_configuration(tmp_path, runtime, configuration, message):
    status, output = plugins.refused(tmp_path, wasm("add-header", configuration, runtime))
    assert status == 1, output
    assert message in output
