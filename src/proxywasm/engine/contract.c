/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checks a scanned module against the ABI. It must accept what real toolchains make (markers that do not fit
 * the arity, memories of any name) and refuse everything else by name, all missing imports at once.
 */
#include "proxywasm/engine/contract.h"

#include "base/assert.h"
#include "proxywasm/message.h"

#include <string.h>

#define TYPE_TEXT_BYTES 256

static const char *const abi_names[] = {
    [PW_ABI_0_1_0] = "0.1.0", [PW_ABI_0_2_0] = "0.2.0", [PW_ABI_0_2_1] = "0.2.1"};
static const char *const abi_markers[] = {[PW_ABI_0_1_0] = "proxy_abi_version_0_1_0",
                                          [PW_ABI_0_2_0] = "proxy_abi_version_0_2_0",
                                          [PW_ABI_0_2_1] = "proxy_abi_version_0_2_1"};

const char *contract_abi_str(enum pw_abi_version abi)
{
    WEIR_ASSERT((size_t)abi < WEIR_ARRAY_LEN(abi_names));
    return abi_names[abi];
}

static bool is(struct slice s, const char *name)
{
    return slice_eq(s, slice_str(name));
}

bool contract_find_abi(const struct scan *scan, enum pw_abi_version *out)
{
    for (size_t i = 0; i < scan->exports_count; i++)
        for (size_t abi = 0; abi < WEIR_ARRAY_LEN(abi_markers); abi++)
            if (scan->exports[i].kind == SCAN_FUNC && is(scan->exports[i].name, abi_markers[abi])) {
                *out = (enum pw_abi_version)abi;
                return true;
            }
    return false;
}

static int find_abi(const struct scan *scan, enum pw_abi_version *out, struct pw_message *why)
{
    if (contract_find_abi(scan, out))
        return PW_OK;
    return message_error(PW_ERR_BAD_MODULE, why,
                         "not a Proxy-Wasm plugin: no function proxy_abi_version_0_1_0, 0_2_0 or 0_2_1 is "
                         "exported");
}

/* Imports. */

static bool module_fits(const struct host_function *fn, struct slice module)
{
    if (is(module, fn->module))
        return true;
    return is(module, "wasi_unstable") && strcmp(fn->module, "wasi_snapshot_preview1") == 0;
}

static bool type_fits(const struct host_function *fn, const struct scan_type *type)
{
    return strcmp(type->params, fn->params) == 0 && strcmp(type->results, fn->has_result ? "i" : "") == 0;
}

/* The row for an import, or NULL; then *near is a row of that name that does not fit. */
static const struct host_function *find_function(const struct scan_import *import, enum pw_abi_version abi,
                                                 const struct host_function **near)
{
    *near = NULL;
    for (size_t i = 0; i < host_functions_count; i++) {
        const struct host_function *fn = &host_functions[i];

        if (!module_fits(fn, import->module) || !is(import->name, fn->name))
            continue;
        if ((fn->abi_mask & (1u << abi)) && type_fits(fn, import->type))
            return fn;
        *near = fn;
    }
    return NULL;
}

bool contract_supplies(const struct scan_import *import, enum pw_abi_version abi)
{
    const struct host_function *near;

    if (import->kind == SCAN_FUNC)
        return find_function(import, abi, &near) != NULL;
    return import->kind == SCAN_MEMORY || import->kind == SCAN_TABLE;
}

static void blame_function(const struct scan_import *import, enum pw_abi_version abi,
                           const struct host_function *near, struct pw_message *why)
{
    struct scan_type wanted;
    char has[TYPE_TEXT_BYTES];
    char wants[TYPE_TEXT_BYTES];

    if (!near)
        return;
    if (!(near->abi_mask & (1u << abi))) {
        for (size_t v = 0; v < WEIR_ARRAY_LEN(abi_names); v++)
            if (near->abi_mask & (1u << v)) {
                message_append(why, " (exists in ABI %s, the module is %s)", abi_names[v], abi_names[abi]);
                return;
            }
    }
    wanted = (struct scan_type){near->params, near->has_result ? "i" : ""};
    scan_type_print(import->type, has, sizeof(has));
    scan_type_print(&wanted, wants, sizeof(wants));
    message_append(why, " (type mismatch: the module has %s, the host %s)", has, wants);
}

static int check_imports(struct scan *scan, struct contract *out, struct pw_message *why)
{
    size_t missing = 0;

    out->linked = arena_calloc(&scan->arena, scan->imports_count + 1, sizeof(struct host_function *));
    if (!out->linked)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    for (size_t i = 0; i < scan->imports_count; i++) {
        const struct scan_import *import = &scan->imports[i];
        const struct host_function *near = NULL;

        if (import->kind == SCAN_FUNC) {
            out->linked[i] = find_function(import, out->abi, &near);
            if (out->linked[i])
                continue;
        } else if (import->kind == SCAN_MEMORY || import->kind == SCAN_TABLE) {
            out->imports_items = true;
            continue;
        }
        if (missing++ == 0)
            message_set(why, "missing import: ");
        message_append(why, "%s" SLICE_FMT "." SLICE_FMT, missing == 1 ? "" : ", ",
                       SLICE_ARG(slice_take(import->module, 128)), SLICE_ARG(slice_take(import->name, 128)));
        if (import->kind != SCAN_FUNC)
            message_append(why, " (a %s, the host supplies functions)", scan_kind_str(import->kind));
        blame_function(import, out->abi, near, why);
    }
    return missing == 0 ? PW_OK : PW_ERR_MISSING_IMPORT;
}

/* Exports. */

static const struct scan_export *find_export(const struct scan *scan, const char *name)
{
    for (size_t i = 0; i < scan->exports_count; i++)
        if (is(scan->exports[i].name, name))
            return &scan->exports[i];
    return NULL;
}

static int bad_export(const struct scan_export *export, const struct scan_type *wanted,
                      struct pw_message *why)
{
    char has[TYPE_TEXT_BYTES];
    char wants[TYPE_TEXT_BYTES];

    scan_type_print(wanted, wants, sizeof(wants));
    if (export->kind != SCAN_FUNC)
        return message_error(PW_ERR_BAD_EXPORT, why, "export " SLICE_FMT " is a %s, wanted is a function %s",
                             SLICE_ARG(export->name), scan_kind_str(export->kind), wants);
    scan_type_print(export->type, has, sizeof(has));
    return message_error(PW_ERR_BAD_EXPORT, why, "export " SLICE_FMT " has the type %s, wanted is %s",
                         SLICE_ARG(export->name), has, wants);
}

static bool export_fits(const struct scan_export *export, const char *params, const char *results)
{
    return export->kind == SCAN_FUNC && strcmp(export->type->params, params) == 0 &&
           strcmp(export->type->results, results) == 0;
}

static int check_callback(const struct scan *scan, enum guest_function fn, const char *name, unsigned nargs,
                          bool has_result, struct contract *out, struct pw_message *why)
{
    static const char all[] = "iiiii";
    const struct scan_export *export = find_export(scan, name);
    const char *params = all + (sizeof(all) - 1 - nargs);
    const char *results = has_result ? "i" : "";
    bool two_arities = fn == GUEST_proxy_on_request_headers || fn == GUEST_proxy_on_response_headers;
    struct scan_type wanted;

    WEIR_ASSERT(nargs > 0 && nargs < sizeof(all));
    if (!export)
        return PW_OK;
    out->callbacks[fn].export = export;
    out->callbacks[fn].nargs = (uint8_t)nargs;
    if (export_fits(export, params, results))
        return PW_OK;
    if (two_arities && export_fits(export, params + 1, results)) {
        out->callbacks[fn].nargs--;
        return PW_OK;
    }
    wanted = (struct scan_type){params + (two_arities && out->abi == PW_ABI_0_1_0), results};
    return bad_export(export, &wanted, why);
}

static int check_callbacks(const struct scan *scan, struct contract *out, struct pw_message *why)
{
    int error;

#define GUEST_X(name, nargs, has_result)                                                                     \
    error = check_callback(scan, GUEST_##name, #name, nargs, has_result, out, why);                          \
    if (error != PW_OK)                                                                                      \
        return error;
    GUEST_FUNCTIONS(GUEST_X)
#undef GUEST_X
    return PW_OK;
}

static int check_other(const struct scan *scan, const char *name, const char *params, const char *results,
                       const struct scan_export **out, struct pw_message *why)
{
    struct scan_type wanted = {params, results};

    *out = find_export(scan, name);
    if (!*out || export_fits(*out, params, results))
        return PW_OK;
    return bad_export(*out, &wanted, why);
}

static int check_others(const struct scan *scan, struct contract *out, struct pw_message *why)
{
    int error;

#define CONTRACT_X(field, name, params, results)                                                             \
    error = check_other(scan, name, params, results, &out->field, why);                                      \
    if (error != PW_OK)                                                                                      \
        return error;
    CONTRACT_EXPORTS(CONTRACT_X)
#undef CONTRACT_X
    if (!out->malloc_ && !out->allocate)
        return message_error(PW_ERR_BAD_EXPORT, why,
                             "no allocator: neither malloc nor proxy_on_memory_allocate is exported");
    return PW_OK;
}

/* The single memory is the one, whatever its name. */
static int check_memory(const struct scan *scan, struct contract *out, struct pw_message *why)
{
    if (scan->memories_count > 1)
        return message_error(PW_ERR_BAD_MODULE, why, "the module has %zu memories, one is supported",
                             scan->memories_count);
    for (size_t i = 0; i < scan->exports_count; i++)
        if (scan->exports[i].kind == SCAN_MEMORY) {
            out->memory = &scan->exports[i];
            return PW_OK;
        }
    for (size_t i = 0; i < scan->imports_count; i++)
        if (scan->imports[i].kind == SCAN_MEMORY)
            return PW_OK;
    return message_error(PW_ERR_BAD_EXPORT, why, "no memory is exported or imported");
}

int contract_check(struct scan *scan, struct contract *out, struct pw_message *why)
{
    int error;

    memset(out, 0, sizeof(*out));
    error = find_abi(scan, &out->abi, why);
    if (error == PW_OK)
        error = check_imports(scan, out, why);
    if (error == PW_OK)
        error = check_callbacks(scan, out, why);
    if (error == PW_OK)
        error = check_others(scan, out, why);
    if (error == PW_OK)
        error = check_memory(scan, out, why);
    return error;
}
