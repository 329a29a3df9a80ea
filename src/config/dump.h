/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages back to JSON, as Envoy's /config_dump prints them: proto field names, no default values, the
 * message inside an Any beside its "@type", secrets never shown.
 */
#ifndef WEIR_CONFIG_DUMP_H
#define WEIR_CONFIG_DUMP_H

#include "config/doc.h"

#include <google/protobuf/struct.pb-c.h>

/*
 * Appends the message as one JSON value. `indent` is the column at which it stands when the text is to be
 * read by people (one space a level, as Envoy), or -1 for one line. False when `out` reached its cap.
 */
bool config_dump(const struct config_doc *doc, const ProtobufCMessage *msg, int indent, struct strbuf *out);

/* A Struct alone, in one line: what a plugin gets as its configuration. Needs no document. */
bool config_dump_struct(const Google__Protobuf__Struct *s, struct strbuf *out);

#endif
