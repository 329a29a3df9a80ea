/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What an inspected module tells about itself, in words: language and SDK, capabilities, warnings, and which
 * hosts supply its imports. Guesses are marked as such; nothing here decides whether a module is good.
 */
#ifndef WEIR_CLI_FACTS_H
#define WEIR_CLI_FACTS_H

#include <jansson.h>
#include <proxywasm/inspect.h>

struct facts {
    const char *language; /* "C", "Rust", ... or "unknown" */
    const char *sdk;      /* "" when there is no sign of one */
    bool has_names;       /* a name section: backtraces show functions */
    bool has_debug_info;
    json_t *producers;    /* {"language": ["C11"], "processed-by": ["clang 14.0.6"]} */
    json_t *capabilities; /* strings */
    json_t *warnings;     /* strings */
    json_t *problems;     /* strings: why Weir does not take it */
};

/* Fills *out; facts_fini frees. `code` is what the inspection was made from. */
void facts_collect(struct facts *out, const struct pw_inspection *inspection, struct pw_slice code);
void facts_fini(struct facts *facts);

/* Whether Envoy 1.40 links the import of a module of this ABI. */
bool facts_envoy_supplies(const struct pw_import *import, enum pw_abi_version abi);

#endif
