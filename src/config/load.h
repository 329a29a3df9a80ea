/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading: texts or bytes to a checked document. All errors of one run are in the diag together; a document
 * comes back only when there were none. Runs on the main thread or a tool's; never on a worker.
 */
#ifndef WEIR_CONFIG_LOAD_H
#define WEIR_CONFIG_LOAD_H

#include "config/diag.h"
#include "config/doc.h"

#include <envoy/config/bootstrap/v3/bootstrap.pb-c.h>
#include <weir/policy/v1/policy.pb-c.h>

/* `-c FILE` and `--config-yaml TEXT`; either may be NULL, not both. The text is laid over the file (merge.h).
 */
struct config_source {
    const char *path;
    const char *text;
};

enum config_result {
    CONFIG_OK = 0,
    CONFIG_INVALID = -1, /* the diag says why */
};

/* On CONFIG_OK *out is a document whose root is an envoy.config.bootstrap.v3.Bootstrap; the caller destroys
 * it. On CONFIG_INVALID *out is NULL. The diag is initialised by the caller and may hold inert notes in both
 * cases; its positions borrow from *out only after CONFIG_OK. */
enum config_result config_load_bootstrap(const struct config_source *source, struct config_diag *diag,
                                         struct config_doc **out);
/* The same for `--policy FILE`; the root is a weir.policy.v1.Policy. */
enum config_result config_load_policy(const char *path, struct config_diag *diag, struct config_doc **out);

/* The general forms: any message of the API. `name` stands in positions. `.json` at its end asks for strict
 * JSON. */
enum config_result config_load_text(const ProtobufCMessageDescriptor *desc, const char *name,
                                    struct slice text, struct config_diag *diag, struct config_doc **out);
/* Protobuf bytes, as the value of an Any from a control plane. */
enum config_result config_load_bytes(const ProtobufCMessageDescriptor *desc, const char *name,
                                     struct slice bytes, struct config_diag *diag, struct config_doc **out);

static inline const Envoy__Config__Bootstrap__V3__Bootstrap *config_bootstrap(const struct config_doc *doc)
{
    return (const Envoy__Config__Bootstrap__V3__Bootstrap *)doc->root;
}

static inline const Weir__Policy__V1__Policy *config_policy(const struct config_doc *doc)
{
    return (const Weir__Policy__V1__Policy *)doc->root;
}

#endif
