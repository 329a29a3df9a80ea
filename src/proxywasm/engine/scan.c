/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scanner of WebAssembly binaries. It must never read past the section that announced the bytes, nor
 * allocate by a count that the remaining bytes cannot hold.
 */
#include "proxywasm/engine/scan.h"

#include "base/assert.h"
#include "proxywasm/engine/section_ids.h"
#include "proxywasm/limits.h"
#include "proxywasm/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define HEADER_BYTES 8
static const char precompiled_marker[] = "precompiled_";

/* A cursor over a part of the code. The first failure sticks and is described in `why`. */
struct reader {
    const unsigned char *code;
    size_t at;
    size_t end;
    const char *what; /* for messages: "the import section" */
    int error;
    struct pw_message *why;
};

static bool reader_fail(struct reader *r, int error, const char *problem)
{
    if (r->error == PW_OK) {
        r->error = error;
        message_set(r->why, "%s in %s at offset %zu", problem, r->what, r->at);
    }
    r->at = r->end;
    return false;
}

static bool read_byte(struct reader *r, unsigned char *out)
{
    WEIR_ASSERT(r->at <= r->end);
    if (r->at == r->end)
        return reader_fail(r, PW_ERR_BAD_MODULE, "truncated: a byte is missing");
    *out = r->code[r->at++];
    return true;
}

/* LEB128, at most `bits` of value. */
static bool read_varint(struct reader *r, unsigned bits, uint64_t *out)
{
    uint64_t value = 0;
    unsigned shift = 0;
    unsigned char byte;

    do {
        if (!read_byte(r, &byte))
            return false;
        if (shift >= bits || (shift + 7 > bits && (byte & 0x7f) >> (bits - shift) != 0))
            return reader_fail(r, PW_ERR_BAD_MODULE, "a number is too long");
        value |= (uint64_t)(byte & 0x7f) << shift;
        shift += 7;
    } while (byte & 0x80);
    *out = value;
    return true;
}

/* A count of entries, each of which takes at least `entry_bytes` of what is left. */
static bool read_count(struct reader *r, size_t entry_bytes, size_t max, size_t *out)
{
    uint64_t count;

    if (!read_varint(r, 32, &count))
        return false;
    if (count > (r->end - r->at) / entry_bytes)
        return reader_fail(r, PW_ERR_BAD_MODULE, "truncated: more entries announced than bytes are left");
    if (count > max)
        return reader_fail(r, PW_ERR_BAD_MODULE, "too many entries");
    *out = (size_t)count;
    return true;
}

static bool read_slice(struct reader *r, struct slice *out)
{
    uint64_t len;

    if (!read_varint(r, 32, &len))
        return false;
    if (len > r->end - r->at)
        return reader_fail(r, PW_ERR_BAD_MODULE, "truncated: a name is longer than its section");
    *out = slice_of(r->code + r->at, (size_t)len);
    r->at += (size_t)len;
    return true;
}

static bool read_name(struct reader *r, struct scan *scan, struct slice *out)
{
    struct slice name;

    if (!read_slice(r, &name))
        return false;
    if (name.len > MODULE_NAME_BYTES_MAX)
        return reader_fail(r, PW_ERR_BAD_MODULE, "a name is too long");
    *out = arena_dup(&scan->arena, name);
    return out->ptr ? true : reader_fail(r, PW_ERR_NOMEM, "out of memory");
}

static bool read_value_type(struct reader *r, char *letter)
{
    unsigned char byte;
    uint64_t heap;

    if (!read_byte(r, &byte))
        return false;
    switch (byte) {
    case 0x7f:
        *letter = 'i';
        return true;
    case 0x7e:
        *letter = 'I';
        return true;
    case 0x7d:
        *letter = 'f';
        return true;
    case 0x7c:
        *letter = 'F';
        return true;
    case 0x7b:
        *letter = 'V';
        return true;
    case 0x63: /* (ref null heap type) */
    case 0x64: /* (ref heap type) */
        *letter = 'r';
        return read_varint(r, 33, &heap);
    case 0x70:
    case 0x6f:
        *letter = 'r';
        return true;
    default:
        *letter = '?';
        return true;
    }
}

static bool read_value_types(struct reader *r, struct scan *scan, const char **out)
{
    size_t count;
    char *letters;

    if (!read_count(r, 1, MODULE_VALUES_MAX, &count))
        return false;
    letters = arena_alloc_text(&scan->arena, count + 1);
    if (!letters)
        return reader_fail(r, PW_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++)
        if (!read_value_type(r, &letters[i]))
            return false;
    letters[count] = '\0';
    *out = letters;
    return true;
}

static bool read_types(struct reader *r, struct scan *scan)
{
    size_t count;

    if (!read_count(r, 3, MODULE_TYPES_MAX, &count))
        return false;
    scan->types = ARENA_NEW_N(&scan->arena, struct scan_type, count);
    if (!scan->types)
        return reader_fail(r, PW_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        unsigned char form;

        if (!read_byte(r, &form))
            return false;
        if (form != 0x60)
            return reader_fail(r, PW_ERR_BAD_MODULE, "a type that is not a function type");
        if (!read_value_types(r, scan, &scan->types[i].params) ||
            !read_value_types(r, scan, &scan->types[i].results))
            return false;
    }
    scan->types_count = count;
    return true;
}

static bool read_type_index(struct reader *r, const struct scan *scan, uint32_t *out)
{
    uint64_t index;

    if (!read_varint(r, 32, &index))
        return false;
    if (index >= scan->types_count)
        return reader_fail(r, PW_ERR_BAD_MODULE, "a type that does not exist");
    *out = (uint32_t)index;
    return true;
}

/* Limits of a table or memory: flags, minimum, maximum, page size. */
static bool read_limits(struct reader *r, struct scan_import *out)
{
    unsigned char flags;
    uint64_t page_size_log2;
    unsigned bits;

    if (!read_byte(r, &flags))
        return false;
    bits = (flags & 0x04) ? 64 : 32;
    if (!read_varint(r, bits, &out->min))
        return false;
    out->has_max = (flags & 0x01) != 0;
    if (out->has_max && !read_varint(r, bits, &out->max))
        return false;
    return !(flags & 0x08) || read_varint(r, 32, &page_size_log2);
}

static void note_memory(struct scan *scan, const struct scan_import *limits)
{
    if (scan->memories_count++ > 0)
        return;
    scan->memory_min_pages = limits->min;
    scan->memory_max_pages = limits->has_max ? limits->max : UINT64_MAX;
}

static bool read_import_type(struct reader *r, struct scan *scan, struct scan_import *import, uint32_t *type)
{
    unsigned char kind;
    unsigned char byte;
    char letter;

    if (!read_byte(r, &kind))
        return false;
    import->kind = (enum scan_kind)kind;
    switch (kind) {
    case SCAN_FUNC:
        if (!read_type_index(r, scan, type))
            return false;
        import->type = &scan->types[*type];
        return true;
    case SCAN_TABLE:
        if (r->at < r->end)
            import->element = (char)r->code[r->at];
        return read_value_type(r, &letter) && read_limits(r, import);
    case SCAN_MEMORY:
        if (!read_limits(r, import))
            return false;
        note_memory(scan, import);
        return true;
    case SCAN_GLOBAL:
        return read_value_type(r, &letter) && read_byte(r, &byte);
    case SCAN_TAG:
        return read_byte(r, &byte) && read_type_index(r, scan, type);
    default:
        return reader_fail(r, PW_ERR_BAD_MODULE, "an import of an unknown kind");
    }
}

static bool functions_reserve(struct reader *r, struct scan *scan, size_t more)
{
    uint32_t *bigger;

    if (more > MODULE_FUNCTIONS_MAX - scan->functions_count)
        return reader_fail(r, PW_ERR_BAD_MODULE, "too many functions");
    if (more == 0)
        return true;
    bigger = realloc(scan->functions, (scan->functions_count + more) * sizeof(*bigger));
    if (!bigger)
        return reader_fail(r, PW_ERR_NOMEM, "out of memory");
    scan->functions = bigger;
    return true;
}

static bool read_imports(struct reader *r, struct scan *scan)
{
    size_t count;

    if (!read_count(r, 4, MODULE_IMPORTS_MAX, &count) || !functions_reserve(r, scan, count))
        return false;
    scan->imports = ARENA_NEW_N(&scan->arena, struct scan_import, count);
    if (!scan->imports)
        return reader_fail(r, PW_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct scan_import *import = &scan->imports[i];
        uint32_t type = 0;

        if (!read_name(r, scan, &import->module) || !read_name(r, scan, &import->name) ||
            !read_import_type(r, scan, import, &type))
            return false;
        if (import->kind == SCAN_FUNC)
            scan->functions[scan->functions_count++] = type;
    }
    scan->imports_count = count;
    return true;
}

static bool read_functions(struct reader *r, struct scan *scan)
{
    size_t count;

    if (!read_count(r, 1, MODULE_FUNCTIONS_MAX, &count) || !functions_reserve(r, scan, count))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!read_type_index(r, scan, &scan->functions[scan->functions_count++]))
            return false;
    return true;
}

static bool read_memories(struct reader *r, struct scan *scan)
{
    size_t count;

    if (!read_count(r, 2, MODULE_IMPORTS_MAX, &count))
        return false;
    for (size_t i = 0; i < count; i++) {
        struct scan_import limits = {0};

        if (!read_limits(r, &limits))
            return false;
        note_memory(scan, &limits);
    }
    return true;
}

static bool read_exports(struct reader *r, struct scan *scan)
{
    size_t count;

    if (!read_count(r, 3, MODULE_EXPORTS_MAX, &count))
        return false;
    scan->exports = ARENA_NEW_N(&scan->arena, struct scan_export, count);
    if (!scan->exports)
        return reader_fail(r, PW_ERR_NOMEM, "out of memory");
    for (size_t i = 0; i < count; i++) {
        struct scan_export *export = &scan->exports[i];
        unsigned char kind;
        uint64_t index;

        if (!read_name(r, scan, &export->name) || !read_byte(r, &kind) || !read_varint(r, 32, &index))
            return false;
        if (kind > SCAN_TAG)
            return reader_fail(r, PW_ERR_BAD_MODULE, "an export of an unknown kind");
        export->kind = (enum scan_kind)kind;
        export->index = (uint32_t)index;
        if (kind != SCAN_FUNC)
            continue;
        if (index >= scan->functions_count)
            return reader_fail(r, PW_ERR_BAD_MODULE, "an export of a function that does not exist");
        export->type = &scan->types[scan->functions[index]];
    }
    scan->exports_count = count;
    return true;
}

static bool read_custom(struct reader *r, struct scan *scan)
{
    struct slice name;
    struct scan_custom *custom;

    if (!read_slice(r, &name))
        return false;
    if (slice_find(name, slice_str(precompiled_marker)) >= 0)
        scan->has_precompiled = true;
    if (scan->customs_count < SCAN_CUSTOMS_MAX && name.len <= MODULE_NAME_BYTES_MAX) {
        if (!scan->customs)
            scan->customs = ARENA_NEW_N(&scan->arena, struct scan_custom, SCAN_CUSTOMS_MAX);
        if (!scan->customs)
            return reader_fail(r, PW_ERR_NOMEM, "out of memory");
        custom = &scan->customs[scan->customs_count];
        custom->name = arena_dup(&scan->arena, name);
        if (!custom->name.ptr)
            return reader_fail(r, PW_ERR_NOMEM, "out of memory");
        custom->offset = r->at;
        custom->len = r->end - r->at;
        scan->customs_count++;
    }
    r->at = r->end; /* the content is not ours */
    return true;
}

static const char *section_what(unsigned char id)
{
    switch (id) {
    case SECTION_CUSTOM:
        return "a custom section";
    case SECTION_TYPE:
        return "the type section";
    case SECTION_IMPORT:
        return "the import section";
    case SECTION_FUNCTION:
        return "the function section";
    case SECTION_MEMORY:
        return "the memory section";
    case SECTION_EXPORT:
        return "the export section";
    default:
        return "a section";
    }
}

static bool read_section(struct reader *r, struct scan *scan, unsigned char id)
{
    switch (id) {
    case SECTION_CUSTOM:
        return read_custom(r, scan);
    case SECTION_TYPE:
        return read_types(r, scan);
    case SECTION_IMPORT:
        return read_imports(r, scan);
    case SECTION_FUNCTION:
        return read_functions(r, scan);
    case SECTION_MEMORY:
        return read_memories(r, scan);
    case SECTION_EXPORT:
        return read_exports(r, scan);
    case SECTION_START:
        scan->has_start = true;
        r->at = r->end;
        return true;
    case SECTION_CODE:
        scan->instructions_bytes = r->end - r->at;
        r->at = r->end;
        return true;
    case SECTION_DATA:
        scan->data_bytes = r->end - r->at;
        r->at = r->end;
        return true;
    default:
        r->at = r->end;
        return true;
    }
}

/* Takes the header of the next section; `section` then covers its content. */
static bool next_section(struct reader *r, struct reader *section, unsigned char *id)
{
    size_t start = r->at;
    uint64_t len;

    r->what = "a section's header";
    if (!read_byte(r, id) || !read_varint(r, 32, &len))
        return false;
    if (len > r->end - r->at) {
        r->error = PW_ERR_BAD_MODULE;
        message_set(r->why, "truncated: %s at offset %zu has %" PRIu64 " bytes, %zu are left",
                    section_what(*id), start, len, r->end - r->at);
        return false;
    }
    *section = *r;
    section->end = r->at + (size_t)len;
    section->what = section_what(*id);
    r->at = section->end;
    return true;
}

static int check_header(struct slice code, struct pw_message *why)
{
    static const char magic[4] = {'\0', 'a', 's', 'm'};
    static const char version[4] = {1, 0, 0, 0};
    size_t seen = code.len < sizeof(magic) ? code.len : sizeof(magic);

    if (code.len == 0)
        return message_error(PW_ERR_BAD_MODULE, why, "the module is empty");
    if (memcmp(code.ptr, magic, seen) != 0)
        return message_error(PW_ERR_BAD_MODULE, why, "not WebAssembly: it does not begin with \\0asm");
    if (code.len < HEADER_BYTES)
        return message_error(PW_ERR_BAD_MODULE, why, "truncated in the header: %zu bytes", code.len);
    if (memcmp(code.ptr + sizeof(magic), version, sizeof(version)) == 0)
        return PW_OK;
    if (code.ptr[6] == 1)
        return message_error(PW_ERR_BAD_MODULE, why, "a WebAssembly component, not a module");
    return message_error(PW_ERR_BAD_MODULE, why, "unknown WebAssembly version %u",
                         (unsigned)(unsigned char)code.ptr[4]);
}

int scan_module(struct scan *scan, struct slice code, struct pw_message *why)
{
    struct reader r = {
        .code = (const unsigned char *)code.ptr, .at = HEADER_BYTES, .end = code.len, .why = why};
    uint32_t seen = 0;
    int error = check_header(code, why);

    if (error != PW_OK)
        return error;
    memset(scan, 0, sizeof(*scan));
    arena_init(&scan->arena, MODULE_SCAN_BYTES_MAX, NULL);
    while (r.error == PW_OK && r.at < r.end) {
        struct reader section;
        unsigned char id;

        if (!next_section(&r, &section, &id))
            break;
        if (id != SECTION_CUSTOM && id < 32 && (seen & (1u << id))) {
            section.at--;
            reader_fail(&section, PW_ERR_BAD_MODULE, "a repetition");
        } else if (read_section(&section, scan, id) && section.at != section.end) {
            reader_fail(&section, PW_ERR_BAD_MODULE, "surplus bytes");
        }
        seen |= id < 32 ? 1u << id : 0;
        r.error = section.error;
    }
    if (r.error != PW_OK)
        scan_fini(scan);
    return r.error;
}

void scan_fini(struct scan *scan)
{
    free(scan->functions);
    arena_fini(&scan->arena);
    memset(scan, 0, sizeof(*scan));
}

const char *scan_kind_str(enum scan_kind kind)
{
    static const char *const names[] = {"function", "table", "memory", "global", "tag"};

    WEIR_ASSERT((size_t)kind < WEIR_ARRAY_LEN(names));
    return names[kind];
}

static const char *value_str(char letter)
{
    switch (letter) {
    case 'i':
        return "i32";
    case 'I':
        return "i64";
    case 'f':
        return "f32";
    case 'F':
        return "f64";
    case 'V':
        return "v128";
    case 'r':
        return "ref";
    default:
        return "?";
    }
}

/* Appends "(i32, i64)"; what does not fit is cut. */
static void print_values(const char *letters, char *dst, size_t len)
{
    size_t used = strlen(dst);

    for (const char *p = letters; used < len; p++) {
        const char *before = p == letters ? "(" : *p ? ", " : "";
        int n = snprintf(dst + used, len - used, "%s%s", before, *p ? value_str(*p) : ")");

        if (n < 0 || !*p)
            return;
        used += (size_t)n;
    }
}

void scan_type_print(const struct scan_type *type, char *dst, size_t len)
{
    WEIR_ASSERT(len > sizeof(" -> "));
    dst[0] = '\0';
    print_values(type->params, dst, len);
    if (strlen(dst) + sizeof(" -> ") <= len)
        memcpy(dst + strlen(dst), " -> ", sizeof(" -> "));
    print_values(type->results, dst, len);
}

char *scan_strip(struct slice code, size_t *len)
{
    struct reader r = {.code = (const unsigned char *)code.ptr, .at = HEADER_BYTES, .end = code.len};
    char *out = malloc(code.len);
    size_t used = HEADER_BYTES;

    WEIR_ASSERT(code.len >= HEADER_BYTES);
    if (!out)
        return NULL;
    memcpy(out, code.ptr, HEADER_BYTES);
    while (r.at < r.end) {
        size_t start = r.at;
        struct reader section;
        struct slice name;
        unsigned char id;

        WEIR_ASSERT(next_section(&r, &section, &id));
        if (id == SECTION_CUSTOM && read_slice(&section, &name) &&
            slice_find(name, slice_str(precompiled_marker)) >= 0)
            continue;
        memcpy(out + used, code.ptr + start, r.at - start);
        used += r.at - start;
    }
    *len = used;
    return out;
}
