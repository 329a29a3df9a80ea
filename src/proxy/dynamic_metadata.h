/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dynamic metadata of a stream, as in Envoy: namespaces of named values that filters leave for later filters,
 * for access logs and for plugins. What listener filters left for the connection is there from the beginning;
 * what is put here never goes back to the connection.
 */
#ifndef WEIR_PROXY_DYNAMIC_METADATA_H
#define WEIR_PROXY_DYNAMIC_METADATA_H

#include "base/arena.h"
#include "upstream/typed_value.h"

struct stream_info;

/* A map of namespaces, which are maps; NULL: there is none. */
const struct typed_value *dynamic_metadata(const struct stream_info *info);

/* Sets fields of a namespace; others stay. Names and values are borrowed for the stream's life; `arena` is
 * the stream's. False: its cap is reached. */
bool dynamic_metadata_put(struct stream_info *info, struct arena *arena, struct slice space,
                          const struct typed_member *fields, size_t count);

#endif
