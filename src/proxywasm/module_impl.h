/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of a module, for module.c and the engines. Constant once loaded, apart from the count.
 */
#ifndef PROXYWASM_MODULE_IMPL_H
#define PROXYWASM_MODULE_IMPL_H

#include "proxywasm/engine/engine_impl.h"
#include "proxywasm/engine/scan.h"

/* What is compiled of the code that was given. */
enum module_form {
    MODULE_PLAIN,
    MODULE_INSTRUMENTED, /* with exports for all of its state, so that a snapshot can be taken */
    MODULE_SNAPSHOT,     /* beginning with the given state of an instance of the instrumented form */
};

/* pw_module_load of any form. `state` is borrowed. */
int module_load(struct pw_engine *engine, struct pw_slice name, struct pw_slice code, enum module_form form,
                struct slice state, struct pw_module **out, struct pw_message *why);

struct pw_module {
    atomic_uint refs;
    struct pw_engine *engine;
    struct engine_module *impl; /* made by module_load, freed by module_fini */
    struct scan scan;           /* empty for native plugins */
    struct pw_module_info info; /* an engine fills abi, sizes and from_cache */
    enum module_form form;
    struct slice state; /* MODULE_SNAPSHOT, while it loads */
    char *original;     /* MODULE_INSTRUMENTED: the binary, until a snapshot takes it */
    size_t original_bytes;
    size_t name_len;
    char name[]; /* for messages */
};

static inline struct slice module_name(const struct pw_module *module)
{
    return slice_of(module->name, module->name_len);
}

#endif
