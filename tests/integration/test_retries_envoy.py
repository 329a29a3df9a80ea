# SPDX-License-Identifier: Apache-2.0
"""The same requests through real Envoy and through Weir, to upstreams that fail by plan: what the client gets, what each
try looked like to the upstream, the access log and all statistics about retries must be equal: those of the clusters, of
the routes and of the virtual clusters."""

import concurrent.futures
import dataclasses
import json
import re
import threading

import pytest

from support import envoy
from support.config import ANY, bootstrap, cluster, hcm, http_options, listener
from support.http1 import Client, Closed, format_request
from support.process import Weir, wait_until
from support.upstream import Upstream, refused_port, respond

# Which run it is.
UNTOLD = {"x-run", "x-plan", "x-request-id"}
VOLATILE = {"date", "x-envoy-upstream-service-time", "x-request-id", "server"}
STATS = re.compile(r"retry|rq_.*timeout|abandoned|rq_\dxx|rq_[2-5]\d\d|rq_completed|upstream_rq_total")
FAST = {"retry_back_off": {"base_interval": "0.001s", "max_interval": "0.002s"}}
LOG = "LOG %REQ(X-CASE)% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_REQUEST_ATTEMPT_COUNT% " \
      "%VIRTUAL_CLUSTER_NAME%\n"
VIRTUAL_CLUSTERS = [{"name": "posts", "headers": [{"name": ":method", "string_match": {"exact": "POST"}},
                                                   {"name": "x-none", "invert_match": True, "present_match": True}]},
                    {"name": "asked", "headers": [{"name": "x-envoy-retry-on", "present_match": True}]},
                    {"name": "never", "headers": [{"name": ":method", "string_match": {"exact": "POST"}}]}]


@dataclasses.dataclass
class Case:
    name: str
    plan: str                 # what the upstream does with the first try, the second, ...; the last one for all further
    policy: dict = None       # retry_policy of the route
    headers: tuple = ()
    method: str = "GET"
    body: str = None
    action: dict = dataclasses.field(default_factory=dict)
    vhost: dict = dataclasses.field(default_factory=dict)
    route: dict = dataclasses.field(default_factory=dict)
    cluster: dict = dataclasses.field(default_factory=dict)
    dead: bool = False        # nobody listens


def on(conditions, **fields):
    return {"retry_on": conditions, **FAST, **fields}


def header(**fields):
    return tuple((k.replace("_", "-"), v) for k, v in fields.items())


def own(policy):
    """A cluster with a policy of its own."""
    return http_options(explicit_http_config={"http_protocol_options": {}}, retry_policy=policy)


RETRY_BUDGET = {"circuit_breakers": {"thresholds": [{"retry_budget": {"min_retry_concurrency": 0}}]}}

CASES = [
    Case("no policy", "503,200"),
    Case("5xx", "503,200", on("5xx")),
    Case("5xx and an empty answer", "503-empty,200", on("5xx")),
    Case("5xx does not mean 404", "404,200", on("5xx")),
    Case("5xx twice", "500,503,200", on("5xx", num_retries=2)),
    Case("the default is one retry", "503,503,200", on("5xx")),
    Case("none left", "503,503,503,200", on("5xx", num_retries=2)),
    Case("num_retries 0", "503,200", on("5xx", num_retries=0)),
    Case("5xx means a reset too", "reset,200", on("5xx")),
    Case("gateway-error", "502,504,200", on("gateway-error", num_retries=3)),
    Case("gateway-error does not mean 500", "500,200", on("gateway-error")),
    Case("gateway-error means a reset too", "close,200", on("gateway-error")),
    Case("reset", "reset,200", on("reset")),
    Case("reset does not mean 503", "503,200", on("reset")),
    Case("reset-before-request after it was sent", "close,200", on("reset-before-request")),
    Case("connect-failure", "200", on("connect-failure"), dead=True),
    Case("reset-before-request without a connection", "200", on("reset-before-request"), dead=True),
    Case("reset without a connection", "200", on("reset", num_retries=3), dead=True),
    Case("connect-failure does not mean a reset", "close,200", on("connect-failure")),
    Case("retriable-4xx", "409,200", on("retriable-4xx")),
    Case("retriable-4xx does not mean 404", "404,200", on("retriable-4xx")),
    Case("status codes", "418,200", on("retriable-status-codes", retriable_status_codes=[418, 429])),
    Case("status codes without the condition", "418,200", on("5xx", retriable_status_codes=[418])),
    Case("envoy-ratelimited", "limited,200", on("envoy-ratelimited")),
    Case("a limited answer is not retried", "limited,200", on("5xx,retriable-status-codes", retriable_status_codes=[429])),
    Case("retriable headers", "x-fail,200", on("retriable-headers", retriable_headers=[{"name": "x-fail"}])),
    Case("retriable headers with a value", "x-fail,200",
         on("retriable-headers", retriable_headers=[{"name": "x-fail", "string_match": {"exact": "no"}}])),
    Case("request headers limit retries", "503,200", on("5xx", retriable_request_headers=[{"name": "x-again"}])),
    Case("request headers allow retries", "503,200", on("5xx", retriable_request_headers=[{"name": "x-again"}]),
         header(x_again="1")),
    Case("grpc unavailable", "grpc:14,200", on("unavailable")),
    Case("grpc all", "grpc:1,grpc:4,grpc:8,grpc:13,grpc:14,200",
         on("cancelled,deadline-exceeded,resource-exhausted,internal,unavailable", num_retries=9)),
    Case("grpc of another kind", "grpc:5,200", on("unavailable,cancelled")),
    Case("all conditions", "reset,503,200", on(
        "5xx,gateway-error,reset,reset-before-request,connect-failure,envoy-ratelimited,retriable-4xx,refused-stream,"
        "retriable-status-codes,retriable-headers,http3-post-connect-failure", num_retries=9)),
    Case("half an answer", "half,200", on("5xx,reset")),
    Case("garbage", "garbage,200", on("5xx")),
    Case("garbage for ever", "garbage", on("5xx")),
    Case("resets for ever", "reset", on("5xx", num_retries=2)),
    Case("a 1xx ends retries", "early-503,200", on("5xx")),
    # What a client may ask for.
    Case("x-envoy-retry-on", "503,200", None, header(x_envoy_retry_on="5xx")),
    Case("x-envoy-retry-on of nothing known", "503,200", None, header(x_envoy_retry_on="nonsense")),
    Case("x-envoy-retry-on adds to the policy", "409,503,200", on("5xx", num_retries=3), header(x_envoy_retry_on="retriable-4xx")),
    Case("x-envoy-retry-on is no list of gRPC conditions", "grpc:14,200", None, header(x_envoy_retry_on="unavailable")),
    Case("x-envoy-retry-grpc-on", "grpc:14,200", None, header(x_envoy_retry_grpc_on="unavailable")),
    Case("x-envoy-max-retries", "503,503,503,200", on("5xx"), header(x_envoy_max_retries="3")),
    Case("x-envoy-max-retries 0", "503,200", on("5xx"), header(x_envoy_max_retries="0")),
    Case("x-envoy-max-retries that is no number", "503,200", on("5xx"), header(x_envoy_max_retries="x")),
    Case("x-envoy-retriable-status-codes", "418,200", None,
         header(x_envoy_retry_on="retriable-status-codes", x_envoy_retriable_status_codes="404,418")),
    Case("x-envoy-retriable-header-names", "x-fail,200", None,
         header(x_envoy_retry_on="retriable-headers", x_envoy_retriable_header_names="x-none, X-Fail")),
    # Bodies.
    Case("a body", "503,200", on("5xx"), method="POST", body="hello " * 1000),
    Case("a body after a reset", "reset,503,200", on("5xx", num_retries=3), method="POST", body="hello " * 1000),
    Case("a body over the limit", "503,200", on("5xx"), method="POST", body="x" * 5000,
         route={"per_request_buffer_limit_bytes": 4096}),
    Case("a body just within the limit", "503,200", on("5xx"), method="POST", body="x" * 4096,
         route={"per_request_buffer_limit_bytes": 4096}),
    Case("the virtual host's limit", "503,200", on("5xx"), method="POST", body="x" * 5000,
         vhost={"per_request_buffer_limit_bytes": 4096}),
    Case("the newer limit", "503,200", on("5xx"), method="POST", body="x" * 5000,
         vhost={"per_request_buffer_limit_bytes": 4096}, route={"request_body_buffer_limit": 8192}),
    Case("an answer before the body's end", "early:503,200", on("5xx"), method="POST", body="x" * 100_000),
    # Time.
    Case("per try", "slow,200", on("5xx", per_try_timeout="2s")),
    Case("per try without a condition", "slow,200", {"per_try_timeout": "0.6s"}),
    Case("per try for ever", "slow", on("5xx", per_try_timeout="2s", num_retries=2)),
    Case("per try, not wanted", "slow,200", on("connect-failure", per_try_timeout="2s")),
    Case("per try not less than the timeout", "slow", on("5xx", per_try_timeout="5s"), action={"timeout": "2s"}),
    Case("x-envoy-upstream-rq-per-try-timeout-ms", "slow,200", on("5xx"), header(x_envoy_upstream_rq_per_try_timeout_ms="2000")),
    Case("per try idle", "slow,200", on("5xx", per_try_idle_timeout="2s")),
    Case("per try idle in the answer", "stall", on("5xx", per_try_idle_timeout="2s")),
    Case("the timeout while waiting", "503", {"retry_on": "5xx", "num_retries": 1000,
                                              "retry_back_off": {"base_interval": "100s", "max_interval": "100s"}},
         action={"timeout": "3s"}),
    Case("an alternative answer to a timeout", "slow", None, header(x_envoy_upstream_rq_timeout_alt_response="1"),
         action={"timeout": "2s"}),
    # Counting.
    Case("attempts", "503,reset,200", on("5xx", num_retries=3),
         vhost={"include_request_attempt_count": True, "include_attempt_count_in_response": True,
                "include_is_timeout_retry_header": True}),
    Case("attempts after a timeout", "slow,200", on("5xx", per_try_timeout="2s"),
         vhost={"include_request_attempt_count": True, "include_is_timeout_retry_header": True}),
    Case("attempts of a failure", "reset", on("5xx", num_retries=3), vhost={"include_attempt_count_in_response": True}),
    Case("the virtual host's policy", "503,200", vhost={"retry_policy": on("5xx")}),
    Case("a route's policy is all there is", "503,200", on("connect-failure"), vhost={"retry_policy": on("5xx")}),
    # A cluster's policy holds in place of the route's.
    Case("the cluster's policy", "503,503,200", cluster=own(on("5xx", num_retries=2))),
    Case("the cluster's policy over the route's", "503,200", on("5xx"), cluster=own(on("connect-failure"))),
    Case("the cluster's policy over the virtual host's", "409,409,200", vhost={"retry_policy": on("5xx")},
         cluster=own(on("retriable-4xx", num_retries=3))),
    Case("the cluster's policy and headers", "503,409,200", on("5xx"), header(x_envoy_retry_on="5xx", x_envoy_max_retries="5"),
         cluster=own(on("retriable-4xx"))),
    Case("the route's limit per try and the cluster's policy", "slow,200", on("connect-failure", per_try_timeout="2s"),
         cluster=own(on("5xx"))),
    Case("the cluster's policy limits no try", "slow", cluster=own(on("5xx", per_try_timeout="0.2s")),
         action={"timeout": "2s"}),
    Case("the cluster's policy and a body", "503,200", cluster=own(on("5xx")), method="POST", body="hello " * 1000),
    # Breakers.
    Case("no retry may be under way", "503,200", on("5xx"),
         cluster={"circuit_breakers": {"thresholds": [{"max_retries": 0}]}}),
    Case("an empty budget", "503,200", on("5xx"), cluster=RETRY_BUDGET),
    Case("a budget", "503,200", on("5xx"), cluster={"circuit_breakers": {"thresholds": [{"retry_budget": {}}]}}),
    Case("an overflow is not retried", "200", on("5xx,reset,connect-failure"),
         cluster={"circuit_breakers": {"thresholds": [{"max_requests": 0, "max_pending_requests": 0}]}}),
    # Waiting as the answer says.
    Case("retry-after", "after:1,200", on("5xx", rate_limited_retry_back_off={
        "reset_headers": [{"name": "retry-after", "format": "SECONDS"}]})),
    Case("retry-after of no use", "after:soon,200", on("5xx", rate_limited_retry_back_off={
        "reset_headers": [{"name": "retry-after", "format": "SECONDS"}]})),
    Case("retry-after is too far", "after:500,200", on("5xx", rate_limited_retry_back_off={
        "reset_headers": [{"name": "retry-after", "format": "SECONDS"}]})),
    # Hedging: the late one may win.
    Case("hedge", "slow,200", on("5xx", per_try_timeout="2s"), action={"hedge_policy": {"hedge_on_per_try_timeout": True}}),
    Case("hedge and the late one wins", "late,slow", on("5xx", per_try_timeout="3s"),
         action={"hedge_policy": {"hedge_on_per_try_timeout": True}}),
    Case("hedge and all are late", "slow", on("5xx", per_try_timeout="2s", num_retries=2),
         action={"hedge_policy": {"hedge_on_per_try_timeout": True}, "timeout": "10s"}),
    Case("hedge asked for", "slow,200", on("5xx", per_try_timeout="2s"), header(x_envoy_hedge_on_per_try_timeout="true")),
]

DIFFERENT = {}


class Planned:
    """Answers by the plan that a request carries."""

    def __init__(self):
        self.seen = {}
        self.lock = threading.Lock()
        self.over = threading.Event()
        self.upstream = Upstream(self.serve)
        self.port = self.upstream.port

    def next_step(self, request):
        key, plan = request.get("x-run"), request.get("x-plan").split(",")
        with self.lock:
            tries = self.seen.setdefault(key, [])
            tries.append(request)
            return plan[min(len(tries), len(plan)) - 1]

    def tries(self, key):
        with self.lock:
            return list(self.seen.get(key, []))

    def serve(self, connection):
        while (request := connection.read_head()) is not None:
            step = self.next_step(request)
            if not step.startswith("early:"):
                connection.read_body(request)
            if not self.step(connection, step, request):
                return

    def step(self, connection, step, request):
        """False: the connection has ended."""
        kind, _, value = step.partition(":")
        if kind in ("reset", "close"):
            connection.reset() if kind == "reset" else connection.socket.close()
            return False
        if kind == "garbage":
            connection.send("nonsense\r\n\r\n")
            return False
        if kind == "half":
            connection.send("HTTP/1.1 503 No\r\ncontent-le")
            return False
        if kind in ("slow", "stall"):
            if kind == "stall":
                connection.send("HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            self.over.wait(120)
            return False
        if kind == "late":
            wait_until(lambda: len(self.tries(request.get("x-run"))) >= 2, "the second try")
            kind = "200"
        if kind == "early":
            kind = value
            respond(connection, f"{kind} X", body=f"status {kind}")
            connection.read_body(dataclasses.replace(request))  # the proxy may send all of it, and keep the connection
            return True
        if kind == "early-503":
            connection.send("HTTP/1.1 103 Early Hints\r\n\r\n")
            kind = "503"
        headers = {"limited": [("x-envoy-ratelimited", "true")], "x-fail": [("x-fail", "yes")],
                   "grpc": [("grpc-status", value), ("content-type", "application/grpc")],
                   "after": [("retry-after", value)]}.get(kind, [])
        kind = {"limited": "429", "x-fail": "200", "grpc": "200", "after": "503"}.get(kind, kind)
        if kind == "503-empty":
            respond(connection, "503 X")
        else:
            respond(connection, f"{kind} X", headers, f"status {kind}")
        return True


def key_of(case):
    return re.sub(r"[^a-z0-9]+", "-", case.name.lower())


def configuration(port, dead):
    hosts = []
    for case in CASES:
        action = {"cluster": key_of(case), **case.action}
        if case.policy is not None:
            action["retry_policy"] = case.policy
        hosts.append({"name": key_of(case), "domains": [key_of(case)], **case.vhost,
                      "virtual_clusters": VIRTUAL_CLUSTERS,
                      "routes": [{"match": {"prefix": "/"}, "route": action, "stat_prefix": "r-" + key_of(case),
                                  **case.route}]})
    log = [{"name": "log", "typed_config": {
        "@type": ANY + "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        "log_format": {"text_format_source": {"inline_string": LOG}}}}]
    manager = hcm(virtual_hosts=hosts, access_log=log, use_remote_address=True, generate_request_id=False,
                  internal_address_config={"cidr_ranges": [{"address_prefix": "127.0.0.0", "prefix_len": 8}]})
    return {**bootstrap(listener(manager), clusters=[cluster(dead if case.dead else port, name=key_of(case), **case.cluster)
                                                     for case in CASES]),
            "stats_flush_interval": "0.1s"}  # Envoy merges its histograms then


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """All cases in both proxies; each case by itself, several at a time."""
    holder, dead = refused_port()
    planned = Planned()
    config = configuration(planned.port, dead)
    try:
        with holder, envoy.Envoy(tmp_path_factory.mktemp("envoy"), config) as theirs, \
                Weir(tmp_path_factory.mktemp("weir"), config) as ours, concurrent.futures.ThreadPoolExecutor(16) as pool:
            jobs = {case.name: [pool.submit(run, proxy, planned, case, who) for who, proxy in (("envoy", theirs), ("weir", ours))]
                    for case in CASES}
            answers = {name: [job.result() for job in both] for name, both in jobs.items()}
            for case in CASES:
                for answer, proxy in zip(answers[case.name], (theirs, ours)):
                    answer["stats"] = stats_of(proxy, case)
                    status, flags, rest = proxy.wait_log(f"LOG {key_of(case)} (\\S+) (\\S+) (.*)")[0]
                    answer["log"] = status, sorted(flags.split(",")), rest  # Weir's have a fixed order
            yield answers, theirs, ours
    finally:
        planned.over.set()
        planned.upstream.close()


def run(proxy, planned, case, who):
    key = f"{who}-{key_of(case)}"
    headers = [("x-case", key_of(case)), ("x-plan", case.plan), ("x-run", key), *case.headers]
    with Client(proxy.port) as client:
        client.send(format_request(case.method, "/", headers, case.body, host=key_of(case)))
        try:
            response = client.response()
            answer = (response.status, response.text, sorted((k, v) for k, v in response.headers if k not in VOLATILE))
        except Closed as closed:
            answer = ("closed", re.sub(rb"(date: |service-time: )[^\r]*", b"", closed.args[0]))
    tries = planned.tries(key)
    tries = [told(one, tries[0]) for one in tries]
    return {"answer": answer, "tries": tries}


def told(request, first):
    """What the upstream was told; a later try has what is left of a time limit."""
    def left(name, value):
        later = name == "x-envoy-expected-rq-timeout-ms" and request is not first
        return int(value) <= int(first.get(name)) if later else value
    fields = [(k, left(k, v)) for k, v in request.headers if k not in UNTOLD]
    return sorted(fields, key=str), len(request.body)


def stats_of(proxy, case):
    prefix = f"cluster.{key_of(case)}."
    wait_until(lambda: proxy.stats(f"^{prefix}upstream_rq_active$".replace("^", "%5E").replace("$", "%24"))
               .get(f"{prefix}upstream_rq_active") == 0, "no active requests")
    found = {k: v for start in (prefix, f"vhost.{key_of(case)}.") for k, v in proxy.stats(start.replace(".", "%5C.")).items()
             if k.startswith(start)}
    short = {k.removeprefix(prefix): v for k, v in found.items()}
    return {k: v for k, v in short.items() if STATS.search(k) and v and not k.startswith(("internal.", "external.", "circuit_"))}


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
def test_same(results, case):
    theirs, ours = results[0][case.name]
    shown = f"Envoy: {json.dumps(theirs, indent=1, default=str)}\nWeir: {json.dumps(ours, indent=1, default=str)}"
    if case.name in DIFFERENT:
        assert theirs != ours, f"no difference any more, take it out of DIFFERENT: {shown}"
    else:
        assert theirs == ours, shown


def labelled(proxy):
    """What Prometheus is told of virtual hosts: name and labels, and its value; of times their number."""
    found = {}
    for line in proxy.admin("/stats/prometheus").text.splitlines():
        sample = re.fullmatch(r"(envoy_vhost_\w+){(.*)} ([0-9]+)", line)
        if sample and sample[3] != "0" and not sample[1].endswith(("_time_bucket", "_time_sum")):
            found[sample[1], tuple(sorted(sample[2].split(",")))] = int(sample[3])
    return found


def test_prometheus_same(results):
    _, theirs, ours = results
    wait_until(lambda: labelled(theirs) == labelled(ours), "the same samples")
    names = {name for name, _ in labelled(ours)}
    assert {"envoy_vhost_route_upstream_rq_time_count", "envoy_vhost_vcluster_upstream_rq_time_count",
            "envoy_vhost_route_upstream_rq_retry", "envoy_vhost_vcluster_upstream_rq_xx"} <= names, names
