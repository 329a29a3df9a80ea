/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a WebAssembly module must be to be a plugin: its ABI version, its imports against the table of host
 * functions, its exports against what the host calls. All of it is decided here, before anything is compiled.
 */
#ifndef PROXYWASM_ENGINE_CONTRACT_H
#define PROXYWASM_ENGINE_CONTRACT_H

#include "proxywasm/engine/engine.h"
#include "proxywasm/engine/scan.h"

/* Exports that are no callbacks. X(field, name, parameters, results) */
#define CONTRACT_EXPORTS(X)                                                                                  \
    X(malloc_, "malloc", "i", "i")                                                                           \
    X(allocate, "proxy_on_memory_allocate", "i", "i")                                                        \
    X(initialize, "_initialize", "", "")                                                                     \
    X(main_, "main", "ii", "i")                                                                              \
    X(main_void, "__main_void", "", "i")                                                                     \
    X(start, "_start", "", "")

struct contract_callback {
    const struct scan_export *export; /* NULL: the module has none */
    uint8_t nargs;                    /* its own arity: 0.1.0 modules with either kind of headers exist */
};

/* Points into the scan and its arena. */
struct contract {
    enum pw_abi_version abi;
    struct contract_callback callbacks[GUEST_FUNCTION_COUNT];
#define CONTRACT_X(field, name, params, results) const struct scan_export *field;
    CONTRACT_EXPORTS(CONTRACT_X)
#undef CONTRACT_X
    const struct scan_export *memory;    /* NULL: the memory is imported */
    const struct host_function **linked; /* one per import; NULL: a memory or a table */
    bool imports_items;                  /* some import is a memory or a table */
};

/*
 * PW_ERR_BAD_MODULE (no ABI marker), PW_ERR_MISSING_IMPORT, PW_ERR_BAD_EXPORT, PW_ERR_NOMEM, with *why. The
 * scan must outlive the contract; there is nothing to free.
 */
int contract_check(struct scan *scan, struct contract *out, struct pw_message *why);

/* The version whose marker comes first among the exports; false: there is none. */
bool contract_find_abi(const struct scan *scan, enum pw_abi_version *out);
/* Whether a host function, or the instance itself (memories, tables), takes the place of the import. */
bool contract_supplies(const struct scan_import *import, enum pw_abi_version abi);

const char *contract_abi_str(enum pw_abi_version abi);

#endif
