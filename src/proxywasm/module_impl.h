/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Layout of a module, for module.c and the engines. Constant once loaded, apart from the count.
 */
#ifndef PROXYWASM_MODULE_IMPL_H
#define PROXYWASM_MODULE_IMPL_H

#include "proxywasm/engine/engine_impl.h"
#include "proxywasm/engine/scan.h"

struct pw_module {
    atomic_uint refs;
    struct pw_engine *engine;
    struct engine_module *impl; /* made by module_load, freed by module_fini */
    struct scan scan;           /* empty for native plugins */
    struct pw_module_info info; /* an engine fills abi, sizes and from_cache */
    size_t name_len;
    char name[]; /* for messages */
};

static inline struct slice module_name(const struct pw_module *module)
{
    return slice_of(module->name, module->name_len);
}

#endif
