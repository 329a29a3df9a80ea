# SPDX-License-Identifier: Apache-2.0
"""Fields that Envoy 1.40 has and the descriptors of xds-protos do not have yet, written into them. Names, numbers and rules are
those of Envoy's API. A row that the package brings by itself is an error: it goes."""

from google.protobuf import descriptor_pb2
from google.protobuf import descriptor_pool
from validate import validate_pb2

TYPES = {"string": descriptor_pb2.FieldDescriptorProto.TYPE_STRING, "bool": descriptor_pb2.FieldDescriptorProto.TYPE_BOOL,
         "uint32": descriptor_pb2.FieldDescriptorProto.TYPE_UINT32}
BOOL_VALUE = ".google.protobuf.BoolValue"
TCP_KEEPALIVE = ".envoy.config.core.v3.TcpKeepalive"
ROUTE = "envoy/config/route/v3/route_components.proto"
LISTENER = "envoy/config/listener/v3/listener.proto"
HCM = "envoy/extensions/filters/network/http_connection_manager/v3/http_connection_manager.proto"


def text(**rules):
    options = descriptor_pb2.FieldOptions()
    for rule, value in rules.items():
        setattr(options.Extensions[validate_pb2.rules].string, rule, value)
    return options


def required():
    options = descriptor_pb2.FieldOptions()
    options.Extensions[validate_pb2.rules].message.required = True
    return options


# (file, message, field, number, type, repeated, options); a message that is not there is made.
FIELDS = [
    (ROUTE, "CookieMatcher", "name", 1, "string", False, text(min_len=1, max_bytes=1024)),
    (ROUTE, "CookieMatcher", "string_match", 2, ".envoy.type.matcher.v3.StringMatcher", False, required()),
    (ROUTE, "CookieMatcher", "invert_match", 3, "bool", False, None),
    (ROUTE, "RouteMatch", "cookies", 17, ".envoy.config.route.v3.CookieMatcher", True, None),
    (LISTENER, "Listener", "tcp_keepalive", 37, TCP_KEEPALIVE, False, None),
    (LISTENER, "AdditionalAddress", "tcp_keepalive", 3, TCP_KEEPALIVE, False, None),
    ("envoy/config/core/v3/protocol.proto", "Http2ProtocolOptions", "enable_huffman_encoding", 18, BOOL_VALUE, False, None),
    ("envoy/extensions/filters/http/fault/v3/fault.proto", "FaultAbort", "response_body", 6, "string", False, None),
    ("envoy/extensions/filters/http/router/v3/router.proto", "Router", "reject_connect_request_early_data", 10, BOOL_VALUE, False,
     None),
    (HCM, "ForwardProtoConfig", "https_destination_ports", 1, "uint32", True, None),
    (HCM, "ForwardProtoConfig", "http_destination_ports", 2, "uint32", True, None),
    (HCM, "HttpConnectionManager", "forward_proto_config", 61,
     ".envoy.extensions.filters.network.http_connection_manager.v3.ForwardProtoConfig", False, None),
]


def message_of(proto, path):
    """The message of that path in a file; the last part is made when it is missing."""
    inside = proto.message_type
    for name in path.split("."):
        found = next((m for m in inside if m.name == name), None)
        if found is None:
            found = inside.add(name=name)
        inside = found.nested_type
    return found


def add(proto, path, name, number, kind, repeated, options):
    message = message_of(proto, path)
    if any(f.name == name or f.number == number for f in message.field):
        raise SystemExit(f"api_newer: xds-protos has {path}.{name}; remove its row")
    field = message.field.add(name=name, number=number, type=TYPES.get(kind, descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE))
    field.label = field.LABEL_REPEATED if repeated else field.LABEL_OPTIONAL
    if kind not in TYPES:
        field.type_name = kind
    if options:
        field.options.CopyFrom(options)


def extended(files):
    """The same files, imports first, with the fields above."""
    protos = {}
    for name, fd in files.items():
        protos[name] = descriptor_pb2.FileDescriptorProto.FromString(fd.serialized_pb)
    for name, *row in FIELDS:
        add(protos[name], *row)
    pool = descriptor_pool.DescriptorPool()
    for proto in protos.values():
        pool.Add(proto) if hasattr(pool, "Add") else pool.AddSerializedFile(proto.SerializeToString())
    return {name: pool.FindFileByName(name) for name in files}
