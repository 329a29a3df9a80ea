# SPDX-License-Identifier: Apache-2.0
"""Shared data and shared queues between plugins, VMs and workers: the rules of ABI 3.11 and 3.12."""

import re

import pytest

from support import http1
from support.config import bootstrap, direct, hcm, listener, wasm
from support.plugins import RUNTIMES
from support.process import wait_until

pytestmark = pytest.mark.tsan

OK, NOT_FOUND, EMPTY, CAS_MISMATCH = "0", "1", "7", "8"


def two_plugins(runtime, first="", second="", vm_ids=("room", "room")):
    """Two listeners, each with a plugin of its own."""
    return bootstrap(*(listener(hcm([direct()], [wasm("probe", text, runtime=runtime, name=name, vm={"vm_id": vm_id})]),
                                name=name)
                       for name, text, vm_id in zip(("one", "two"), (first, second), vm_ids)))


def ask(weir, who, *commands):
    answer = http1.request(weir.listener_port(who), headers=[("x-probe", "; ".join(commands))])
    return [answer.get(f"x-probe-{n}") for n in range(1, len(commands) + 1)]


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_data_is_shared_by_vm_id_over_plugins_and_workers(start, runtime):
    weir = start(two_plugins(runtime), concurrency=2)
    assert ask(weir, "one", "shared_get k") == [NOT_FOUND + "  cas 0"]
    assert ask(weir, "one", "shared_set k v1 0", "shared_get k")[0] == OK
    seen = set()
    for _ in range(40):  # connections go to both workers
        [got] = ask(weir, "two", "shared_get k")
        seen.add(got)
    assert len(seen) == 1
    cas = int(re.fullmatch(r"0 v1 cas (\d+)", seen.pop())[1])
    assert ask(weir, "two", f"shared_set k v2 {cas}", f"shared_set k v3 {cas}", "shared_get k")[:2] == [OK, CAS_MISMATCH]
    assert ask(weir, "one", "shared_get k")[0].startswith("0 v2 cas ")
    # A key that is not there is made whatever the number; an empty value is a value.
    assert ask(weir, "one", "shared_set fresh x 12345", "shared_set fresh - 0", "shared_get fresh")[2].startswith("0  cas ")


def test_other_vm_ids_see_nothing(start):
    weir = start(two_plugins(RUNTIMES[0], vm_ids=("a", "b")))
    assert ask(weir, "one", "shared_set k v 0", "queue_register q")[0] == OK
    assert ask(weir, "two", "shared_get k", "queue_resolve a q", "queue_resolve - q")[0].startswith(NOT_FOUND)
    [resolved, own] = ask(weir, "two", "queue_resolve a q", "queue_resolve - q")
    assert resolved.startswith("0 ") and own == NOT_FOUND + " 0"


def test_increments_by_cas_lose_nothing(start):
    """Two workers and two plugins count in one key, each by get and set with cas."""
    weir = start(two_plugins(RUNTIMES[0]), concurrency=2)
    done = 0
    ask(weir, "one", "shared_set n 0 0")
    while done < 60:
        who = ("one", "two")[done % 2]
        value, cas = re.fullmatch(r"0 (\d+) cas (\d+)", ask(weir, who, "shared_get n")[0]).groups()
        done += ask(weir, who, f"shared_set n {int(value) + 1} {cas}") == [OK]
    assert ask(weir, "two", "shared_get n")[0].startswith("0 60 cas ")


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_queue_from_one_plugin_to_another(start, runtime):
    """The last that registered hears of each item, on its own worker; anybody may take."""
    weir = start(two_plugins(runtime, first="queue_register q; @queue_ready queue_pop 1", vm_ids=("room", "elsewhere")),
                 concurrency=2)
    [token] = ask(weir, "two", "queue_resolve room q")
    assert token.startswith("0 ")
    token = token[2:]
    for n in range(20):
        assert ask(weir, "two", f"queue_push {token} item{n}") == [OK]
    weir.wait_log(r"queue_pop: 0 item19")
    popped = re.findall(r"queue_pop: 0 (item\d+)", weir.log())
    assert popped == [f"item{n}" for n in range(20)]
    assert ask(weir, "two", f"queue_pop {token}", "queue_push 99 x", "queue_pop 99", "queue_push 0 x") == [
        EMPTY, NOT_FOUND, NOT_FOUND, NOT_FOUND]


def test_registering_again_takes_the_queue_over_and_keeps_its_items(start):
    weir = start(two_plugins(RUNTIMES[0], first="queue_register q; @queue_ready log 2 first-heard",
                             second="@queue_ready log 2 second-heard"))
    token = ask(weir, "two", "queue_resolve room q")[0][2:]
    assert ask(weir, "two", f"queue_push {token} a") == [OK]
    weir.wait_log("room: first-heard")
    assert ask(weir, "two", "queue_register q") == [f"0 {token}"]
    weir.wait_log("room: second-heard")  # told of what lies there
    assert ask(weir, "one", f"queue_push {token} b", f"queue_pop {token}", f"queue_pop {token}") == [OK, "0 a", "0 b"]
    wait_until(lambda: weir.log().count("room: second-heard") >= 2, "the second notification")
    assert weir.log().count("room: first-heard") == 1
