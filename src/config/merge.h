/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One document over another, as Envoy lays --config-yaml over -c: fields that the second sets win, messages
 * are merged, lists are appended, maps are merged by key. Both live in the same config_doc; the second is
 * used up.
 *
 * Unlike protobuf's own merge a Duration, a wrapper and an Any are replaced as a whole: there `false` over
 * `true` would stay true, and 2s over 1.5s would be 2.5s.
 */
#ifndef WEIR_CONFIG_MERGE_H
#define WEIR_CONFIG_MERGE_H

#include "config/doc.h"

/* False when memory is out. */
bool merge_messages(struct config_doc *doc, ProtobufCMessage *over, ProtobufCMessage *by);

#endif
