/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads what the host must know of a WebAssembly binary before it is compiled: imports, exports, their types,
 * the memory. Input is hostile: every length is checked, every count is capped, and an error names the
 * offset. It does not validate function bodies or section order: the compiler does, afterwards.
 */
#ifndef PROXYWASM_ENGINE_SCAN_H
#define PROXYWASM_ENGINE_SCAN_H

#include "base/arena.h"

#include <proxywasm/types.h>

/* One letter a value: i i32, I i64, f f32, F f64, V v128, r a reference, ? anything else. */
struct scan_type {
    const char *params;
    const char *results;
};

enum scan_kind { SCAN_FUNC, SCAN_TABLE, SCAN_MEMORY, SCAN_GLOBAL, SCAN_TAG };

struct scan_import {
    struct slice module;
    struct slice name;
    enum scan_kind kind;
    const struct scan_type *type; /* functions; NULL otherwise */
    uint64_t min;                 /* memories: pages; tables: elements */
    uint64_t max;
    bool has_max;
    char element; /* tables: the type byte */
};

struct scan_export {
    struct slice name;
    enum scan_kind kind;
    uint32_t index;               /* in the index space of its kind */
    const struct scan_type *type; /* functions; NULL otherwise */
};

/* A custom section: where its content lies in the code. */
struct scan_custom {
    struct slice name;
    size_t offset;
    size_t len;
};

/* Those beyond are not recorded: debuggers make about ten. */
#define SCAN_CUSTOMS_MAX 64

/* Everything lies in the arena; nothing points into the code. */
struct scan {
    struct arena arena;
    struct scan_type *types;
    size_t types_count;
    struct scan_import *imports;
    size_t imports_count;
    struct scan_export *exports;
    size_t exports_count;
    uint32_t *functions; /* type of each function, imports first */
    size_t functions_count;
    size_t memories_count;
    uint64_t memory_min_pages; /* of the first one */
    uint64_t memory_max_pages; /* UINT64_MAX: it names none */
    struct scan_custom *customs;
    size_t customs_count;
    size_t instructions_bytes; /* of the code section */
    size_t data_bytes;         /* of the data section */
    bool has_start;            /* a start section */
    bool has_precompiled;      /* a custom section holds native code: see scan_strip */
};

/*
 * Fills *scan. PW_ERR_BAD_MODULE or PW_ERR_NOMEM, with *why; *scan is then empty and needs no fini.
 */
int scan_module(struct scan *scan, struct slice code, struct pw_message *why);
void scan_fini(struct scan *scan);

const char *scan_kind_str(enum scan_kind kind);
/* "(i32, i64) -> i32" */
void scan_type_print(const struct scan_type *type, char *dst, size_t len);

/*
 * Copies `code` (already scanned) without custom sections that hold precompiled native code, which nobody
 * verified. NULL when memory is out; free it.
 */
char *scan_strip(struct slice code, size_t *len);

#endif
