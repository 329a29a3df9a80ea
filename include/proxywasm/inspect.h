/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: looks into a WebAssembly file without an engine: nothing is compiled and nothing runs. For
 * tools that tell people what a plugin is. The file may be hostile: every length is checked, counts are
 * capped.
 */
#ifndef PROXYWASM_INSPECT_H
#define PROXYWASM_INSPECT_H

#include <proxywasm/types.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pw_inspection;

enum pw_item_kind { PW_ITEM_FUNCTION, PW_ITEM_TABLE, PW_ITEM_MEMORY, PW_ITEM_GLOBAL, PW_ITEM_TAG };

#define PW_TYPE_TEXT_BYTES 256

/* Slices are borrowed from the inspection. */
struct pw_import {
    struct pw_slice module;
    struct pw_slice name;
    enum pw_item_kind kind;
    char type[PW_TYPE_TEXT_BYTES]; /* functions: "(i32, i64) -> (i32)", cut to fit; "" otherwise */
    bool supplied;                 /* pw_module_load would link it */
};

enum pw_export_use {
    PW_EXPORT_UNUSED,    /* no host asks for it */
    PW_EXPORT_CALLBACK,  /* proxy_on_* */
    PW_EXPORT_ALLOCATOR, /* malloc, proxy_on_memory_allocate */
    PW_EXPORT_START,     /* _initialize, main, _start */
    PW_EXPORT_MARKER,    /* proxy_abi_version_* */
    PW_EXPORT_MEMORY,    /* the memory, whatever its name */
};

struct pw_export {
    struct pw_slice name;
    enum pw_item_kind kind;
    char type[PW_TYPE_TEXT_BYTES];
    enum pw_export_use use;
};

/* A custom section; `content` is borrowed from the code that was inspected. */
struct pw_custom_section {
    struct pw_slice name;
    struct pw_slice content;
};

struct pw_inspection_info {
    /* PW_OK: a plugin as far as can be said without compiling it. Otherwise what pw_module_load would answer,
     * and `why`. */
    int error;
    struct pw_message why;
    bool has_abi; /* a marker is exported; otherwise `abi` is 0.2.1, by which imports are judged */
    enum pw_abi_version abi;
    uint64_t code_bytes;         /* of the file */
    uint64_t instructions_bytes; /* of the code section */
    uint64_t data_bytes;         /* of the data section */
    uint64_t functions;          /* imports included */
    uint64_t memory_min_bytes;
    uint64_t memory_max_bytes; /* UINT64_MAX: the module names no maximum */
    bool has_memory;
    bool has_start_section;
};

/*
 * PW_ERR_BAD_MODULE (not WebAssembly, truncated: *why has the offset), PW_ERR_LIMIT (over 256 MiB),
 * PW_ERR_NOMEM. A file that is WebAssembly but no plugin is PW_OK with info->error. `code` must outlive the
 * inspection. [any thread]
 */
int pw_inspect(struct pw_slice code, struct pw_inspection **out, struct pw_message *why);
/* Clears the pointer; NULL is fine. */
void pw_inspection_destroy(struct pw_inspection **inspection);

const struct pw_inspection_info *pw_inspection_info(const struct pw_inspection *inspection);
/* The i-th one; false at the end. Of custom sections the first 64 are known. */
bool pw_inspection_import(const struct pw_inspection *inspection, size_t i, struct pw_import *out);
bool pw_inspection_export(const struct pw_inspection *inspection, size_t i, struct pw_export *out);
bool pw_inspection_section(const struct pw_inspection *inspection, size_t i, struct pw_custom_section *out);

#ifdef __cplusplus
}
#endif

#endif
