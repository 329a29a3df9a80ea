/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inspection of a module for people: the scan and the contract, kept together and read out one by one. It
 * must never need an engine, and never decide anything that contract.c does not.
 */
#include <proxywasm/inspect.h>

#include "base/assert.h"
#include "proxywasm/engine/contract.h"
#include "proxywasm/limits.h"
#include "proxywasm/message.h"

#include <inttypes.h>
#include <stdlib.h>

#define PAGE_BYTES UINT64_C(65536)

struct pw_inspection {
    struct scan scan;
    struct slice code;
    struct pw_inspection_info info;
};

_Static_assert((int)PW_ITEM_FUNCTION == (int)SCAN_FUNC && (int)PW_ITEM_TAG == (int)SCAN_TAG, "same order");

/* A hostile file may claim more pages than 64 bits of bytes hold. */
static uint64_t pages_to_bytes(uint64_t pages)
{
    return pages > UINT64_MAX / PAGE_BYTES ? UINT64_MAX : pages * PAGE_BYTES;
}

static void fill_info(struct pw_inspection *inspection)
{
    struct pw_inspection_info *info = &inspection->info;
    const struct scan *scan = &inspection->scan;
    struct contract contract;

    info->abi = PW_ABI_0_2_1;
    info->has_abi = contract_find_abi(scan, &info->abi);
    info->code_bytes = inspection->code.len;
    info->instructions_bytes = scan->instructions_bytes;
    info->data_bytes = scan->data_bytes;
    info->functions = scan->functions_count;
    info->has_memory = scan->memories_count > 0;
    info->memory_min_bytes = pages_to_bytes(scan->memory_min_pages);
    info->memory_max_bytes = pages_to_bytes(scan->memory_max_pages);
    info->has_start_section = scan->has_start;
    info->error = contract_check(&inspection->scan, &contract, &info->why);
}

int pw_inspect(struct pw_slice code, struct pw_inspection **out, struct pw_message *why)
{
    struct pw_inspection *inspection;
    int error;

    *out = NULL;
    if (code.len > MODULE_BYTES_MAX)
        return message_error(PW_ERR_LIMIT, why, "the module has %zu bytes, at most %" PRIu64 " are taken",
                             code.len, MODULE_BYTES_MAX);
    inspection = calloc(1, sizeof(*inspection));
    if (!inspection)
        return message_error(PW_ERR_NOMEM, why, "out of memory");
    inspection->code = slice_of(code.ptr, code.len);
    error = scan_module(&inspection->scan, inspection->code, why);
    if (error != PW_OK) {
        free(inspection);
        return error;
    }
    fill_info(inspection);
    if (inspection->info.error == PW_ERR_NOMEM) {
        *why = inspection->info.why;
        pw_inspection_destroy(&inspection);
        return PW_ERR_NOMEM;
    }
    *out = inspection;
    return PW_OK;
}

void pw_inspection_destroy(struct pw_inspection **inspection)
{
    if (*inspection)
        scan_fini(&(*inspection)->scan);
    free(*inspection);
    *inspection = NULL;
}

const struct pw_inspection_info *pw_inspection_info(const struct pw_inspection *inspection)
{
    return &inspection->info;
}

static struct pw_slice to_pw(struct slice s)
{
    return (struct pw_slice){s.ptr, s.len};
}

static void print_type(const struct scan_type *type, char text[PW_TYPE_TEXT_BYTES])
{
    text[0] = '\0';
    if (type)
        scan_type_print(type, text, PW_TYPE_TEXT_BYTES);
}

bool pw_inspection_import(const struct pw_inspection *inspection, size_t i, struct pw_import *out)
{
    const struct scan_import *import;

    if (i >= inspection->scan.imports_count)
        return false;
    import = &inspection->scan.imports[i];
    out->module = to_pw(import->module);
    out->name = to_pw(import->name);
    out->kind = (enum pw_item_kind)import->kind;
    out->supplied = contract_supplies(import, inspection->info.abi);
    print_type(import->type, out->type);
    return true;
}

static enum pw_export_use use_of(const struct scan_export *export)
{
#define GUEST_X(name, nargs, has_result) {#name, PW_EXPORT_CALLBACK},
    static const struct {
        const char *name;
        enum pw_export_use use;
    } uses[] = {{"malloc", PW_EXPORT_ALLOCATOR},
                {"proxy_on_memory_allocate", PW_EXPORT_ALLOCATOR},
                {"_initialize", PW_EXPORT_START},
                {"main", PW_EXPORT_START},
                {"__main_void", PW_EXPORT_START},
                {"_start", PW_EXPORT_START},
                {"proxy_abi_version_0_1_0", PW_EXPORT_MARKER},
                {"proxy_abi_version_0_2_0", PW_EXPORT_MARKER},
                {"proxy_abi_version_0_2_1", PW_EXPORT_MARKER},
                GUEST_FUNCTIONS(GUEST_X)};
#undef GUEST_X

    if (export->kind != SCAN_FUNC)
        return export->kind == SCAN_MEMORY ? PW_EXPORT_MEMORY : PW_EXPORT_UNUSED;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(uses); i++)
        if (slice_eq(export->name, slice_str(uses[i].name)))
            return uses[i].use;
    return PW_EXPORT_UNUSED;
}

bool pw_inspection_export(const struct pw_inspection *inspection, size_t i, struct pw_export *out)
{
    const struct scan_export *export;

    if (i >= inspection->scan.exports_count)
        return false;
    export = &inspection->scan.exports[i];
    out->name = to_pw(export->name);
    out->kind = (enum pw_item_kind) export->kind;
    out->use = use_of(export);
    print_type(export->type, out->type);
    return true;
}

bool pw_inspection_section(const struct pw_inspection *inspection, size_t i, struct pw_custom_section *out)
{
    const struct scan_custom *custom;

    if (i >= inspection->scan.customs_count)
        return false;
    custom = &inspection->scan.customs[i];
    out->name = to_pw(custom->name);
    out->content = (struct pw_slice){inspection->code.ptr + custom->offset, custom->len};
    return true;
}
