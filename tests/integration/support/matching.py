# SPDX-License-Identifier: Apache-2.0
"""Trees of the matching API as Python values."""

from .config import ANY

NETWORK = "envoy.extensions.matching.common_inputs.network.v3."
MATCHERS = "envoy.extensions.matching.input_matchers."
CLUSTER = "envoy.extensions.router.cluster_specifiers.matcher.v3."


def typed(kind, **fields):
    return {"name": kind.rsplit(".", 1)[1], "typed_config": {"@type": ANY + kind, **fields}}


def network(kind, **fields):
    return typed(NETWORK + kind, **fields)


def header(name):
    return typed("envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=name)


def to_chain(name, **fields):
    return {"action": typed("google.protobuf.StringValue", value=name), **fields}


def to_cluster(name, **fields):
    return {"action": typed(CLUSTER + "ClusterAction", cluster=name), **fields}


def to_route(route, **fields):
    return {"action": typed("envoy.config.route.v3.Route", **route), **fields}


def to_tree(tree, **fields):
    return {"matcher": tree, **fields}


def value(of, **match):
    """A predicate."""
    return {"single_predicate": {"input": of, "value_match": match}}


def custom(of, kind, **fields):
    return {"single_predicate": {"input": of, "custom_match": typed(kind, **fields)}}


def any_of(*predicates):
    return {"or_matcher": {"predicate": list(predicates)}}


def all_of(*predicates):
    return {"and_matcher": {"predicate": list(predicates)}}


def no(predicate):
    return {"not_matcher": predicate}


def tree(kind, no_match=None):
    return {**kind, **({"on_no_match": no_match} if no_match else {})}


def first_of(*rules, no_match=None):
    """Rules are (predicate, outcome)."""
    return tree({"matcher_list": {"matchers": [{"predicate": p, "on_match": o} for p, o in rules]}}, no_match)


def exact(of, outcomes, no_match=None):
    return tree({"matcher_tree": {"input": of, "exact_match_map": {"map": outcomes}}}, no_match)


def prefix(of, outcomes, no_match=None):
    return tree({"matcher_tree": {"input": of, "prefix_match_map": {"map": outcomes}}}, no_match)


def by_ip(of, *rules, no_match=None):
    """Rules are (ranges, outcome) or (ranges, outcome, exclusive)."""
    matchers = []
    for ranges, outcome, *exclusive in rules:
        pairs = [r.split("/") for r in ranges]
        matchers.append({"ranges": [{"address_prefix": a, "prefix_len": int(n)} for a, n in pairs],
                         "exclusive": bool(exclusive and exclusive[0]), **({"on_match": outcome} if outcome else {})})
    return tree({"matcher_tree": {"input": of, "custom_match": typed("xds.type.matcher.v3.IPMatcher", range_matchers=matchers)}},
                no_match)


def by_name(of, *rules, no_match=None):
    """Rules are (domains, outcome)."""
    matchers = [{"domains": d, "on_match": o} for d, o in rules]
    return tree({"matcher_tree": {"input": of, "custom_match": typed("xds.type.matcher.v3.ServerNameMatcher",
                                                                     domain_matchers=matchers)}}, no_match)
