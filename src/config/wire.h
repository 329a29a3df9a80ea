/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages that come as protobuf bytes: from a control plane, or inside an Any. The bytes are walked once
 * before protobuf-c sees them, because it has no depth limit and cuts strings at a NUL; then every field
 * passes the same classes and rules as a text. Private to this room.
 */
#ifndef WEIR_CONFIG_WIRE_H
#define WEIR_CONFIG_WIRE_H

#include "config/mapper.h"

/* NULL when the bytes are well formed for `desc`, else what is wrong. */
const char *wire_scan(const ProtobufCMessageDescriptor *desc, struct slice bytes);

/*
 * Unpacks into the document and adopts the message: origins, classes, unknown fields, Anys. NULL after an
 * error that left nothing; other errors are in the diag.
 */
ProtobufCMessage *wire_message(struct mapper *m, const ProtobufCMessageDescriptor *desc, struct slice bytes,
                               const struct config_origin *place);

#endif
