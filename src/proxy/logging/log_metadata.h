/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command operators that look into metadata: %METADATA(TYPE:NAMESPACE:KEY...)% and its older forms. For
 * log_operators.c only.
 */
#ifndef WEIR_PROXY_LOG_METADATA_H
#define WEIR_PROXY_LOG_METADATA_H

#include "proxy/logging/log_operators.h"

/* Whose metadata: the first argument of %METADATA%, as Envoy spells it. X(NAME) */
#define LOG_METADATA_KINDS(X)                                                                                \
    X(DYNAMIC)                                                                                               \
    X(CLUSTER)                                                                                               \
    X(ROUTE)                                                                                                 \
    X(UPSTREAM_HOST)                                                                                         \
    X(LISTENER)                                                                                              \
    X(VIRTUAL_HOST)

enum log_metadata_kind {
#define KIND_X(name) LOG_METADATA_##name,
    LOG_METADATA_KINDS(KIND_X)
#undef KIND_X
        LOG_METADATA_KIND_COUNT
};

/* "NAMESPACE[:KEY]..." into out->main. False when it is empty. */
bool log_metadata_parse(enum log_metadata_kind kind, struct slice path, struct log_operator *out);
/* "TYPE:NAMESPACE[:KEY]...". False when the type is unknown. */
bool log_metadata_parse_typed(struct slice arguments, struct log_operator *out);
/* A string as it is, everything else as JSON; null is no value. */
bool log_metadata_run(const struct log_operator *op, const struct log_input *in, struct strbuf *out);

#endif
