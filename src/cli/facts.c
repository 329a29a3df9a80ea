/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Facts about a module. Custom sections are anybody's text: they are read with every length checked, and a
 * broken one is as good as none.
 */
#include "cli/facts.h"

#include "base/assert.h"
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PRODUCER_FIELDS_MAX 16u
#define PRODUCER_VALUES_MAX 32u
#define HUGE_MEMORY_BYTES   (UINT64_C(64) << 20)
#define DEFAULT_MEMORY_MAX  (UINT64_C(256) << 20) /* pw_limits.memory_max_bytes */
#define HUGE_CODE_BYTES     (UINT64_C(8) << 20)

/* --- the producers section (the tool conventions of WebAssembly) --- */

struct cursor {
    const unsigned char *at;
    const unsigned char *end;
};

static bool take_number(struct cursor *c, uint32_t *out)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 35 && c->at < c->end; shift += 7) {
        unsigned char byte = *c->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte & 0x80)
            continue;
        *out = (uint32_t)value;
        return value <= UINT32_MAX;
    }
    return false;
}

static bool take_text(struct cursor *c, struct slice *out)
{
    uint32_t len;
    if (!take_number(c, &len) || len > (size_t)(c->end - c->at))
        return false;
    *out = slice_of(c->at, len);
    c->at += len;
    return true;
}

static bool take_field(struct cursor *c, json_t *producers)
{
    struct slice field, name, version;
    uint32_t count;
    if (!take_text(c, &field) || !take_number(c, &count) || count > PRODUCER_VALUES_MAX)
        return false;
    json_t *values = json_array();
    char key[64];
    snprintf(key, sizeof(key), SLICE_FMT, SLICE_ARG(slice_take(field, 63)));
    bool good = true;
    for (uint32_t i = 0; good && i < count; i++) {
        char text[256];
        good = take_text(c, &name) && take_text(c, &version);
        if (!good)
            break;
        snprintf(text, sizeof(text), SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(slice_take(name, 120)),
                 version.len ? " " : "", SLICE_ARG(slice_take(version, 120)));
        json_array_append_new(values, cli_json_string(slice_str(text)));
    }
    /* jansson refuses keys that are not UTF-8; then the field is left out. */
    if (json_object_set_new(producers, key, values) != 0)
        return false;
    return good;
}

static json_t *read_producers(struct pw_slice content)
{
    struct cursor c = {(const unsigned char *)content.ptr, (const unsigned char *)content.ptr + content.len};
    json_t *producers = json_object();
    uint32_t fields;
    if (!take_number(&c, &fields) || fields > PRODUCER_FIELDS_MAX)
        return producers;
    while (fields-- > 0 && take_field(&c, producers))
        continue;
    return producers;
}

static bool produced(const json_t *producers, const char *field, const char *word)
{
    const json_t *values = json_object_get(producers, field);
    for (size_t i = 0; i < json_array_size(values); i++) {
        const char *text = json_string_value(json_array_get(values, i));
        if (text && strncmp(text, word, strlen(word)) == 0)
            return true;
    }
    return false;
}

/* --- what is exported and imported --- */

static bool has_export(const struct pw_inspection *inspection, const char *name)
{
    struct pw_export export;
    for (size_t i = 0; pw_inspection_export(inspection, i, &export); i++)
        if (slice_eq(slice_of(export.name.ptr, export.name.len), slice_str(name)))
            return true;
    return false;
}

static bool has_import(const struct pw_inspection *inspection, const char *name)
{
    struct pw_import import;
    for (size_t i = 0; pw_inspection_import(inspection, i, &import); i++)
        if (slice_eq(slice_of(import.name.ptr, import.name.len), slice_str(name)))
            return true;
    return false;
}

static bool has_kind(const struct pw_inspection *inspection, enum pw_item_kind kind)
{
    struct pw_import import;
    for (size_t i = 0; pw_inspection_import(inspection, i, &import); i++)
        if (import.kind == kind)
            return true;
    return false;
}

static bool contains(struct pw_slice code, const char *text)
{
    return code.len > 0 && memmem(code.ptr, code.len, text, strlen(text)) != NULL;
}

/* --- language and SDK --- */

static const char *guess_language(const struct facts *f, const struct pw_inspection *inspection,
                                  struct pw_slice code)
{
    if (produced(f->producers, "processed-by", "TinyGo") || contains(code, "tinygo"))
        return "TinyGo";
    if (produced(f->producers, "language", "Go"))
        return "Go";
    /* C of wasi-libc may be all that stands under "language". */
    if (produced(f->producers, "language", "Rust") || produced(f->producers, "processed-by", "rustc"))
        return "Rust";
    if (produced(f->producers, "language", "C_plus_plus"))
        return "C++";
    if (produced(f->producers, "language", "C"))
        return "C";
    if (pw_inspection_info(inspection)->has_start_section && has_import(inspection, "proc_exit") &&
        !has_export(inspection, "_initialize") && !has_export(inspection, "_start"))
        return "AssemblyScript";
    return "unknown";
}

/* Signs that SDKs leave: names of functions and texts of messages. */
static const char *guess_sdk(const struct facts *f, struct pw_slice code)
{
    static const struct {
        const char *language;
        const char *sign;
        const char *sdk;
    } signs[] = {
        {"C", "wsdk_", "Weir's C SDK"},
        {"C++", "RegisterContextFactory", "C++ SDK"},
        {"C++", "RootContext", "C++ SDK"},
        {"Rust", "proxy_wasm", "proxy-wasm-rust-sdk"},
        {"Rust", "proxy-wasm-", "proxy-wasm-rust-sdk"},
        {"Go", "tetratelabs/proxy-wasm-go-sdk", "tetratelabs/proxy-wasm-go-sdk"},
        {"Go", "proxy-wasm/proxy-wasm-go-sdk", "proxy-wasm-go-sdk"},
        {"TinyGo", "proxy-wasm-go-sdk", "proxy-wasm-go-sdk"},
        {"AssemblyScript", "", "@solo-io/proxy-runtime"},
    };
    for (size_t i = 0; i < WEIR_ARRAY_LEN(signs); i++)
        if (strcmp(signs[i].language, f->language) == 0 && (!*signs[i].sign || contains(code, signs[i].sign)))
            return signs[i].sdk;
    return "";
}

/* --- capabilities in plain words; a phrase stands once --- */

static const struct {
    const char *name; /* of an import, or with a leading ">" of an export; "*" at the end: any rest */
    const char *phrase;
} phrases[] = {
    {">proxy_on_request_headers", "sees request headers"},
    {">proxy_on_request_body", "sees request bodies"},
    {">proxy_on_request_trailers", "sees request trailers"},
    {">proxy_on_response_headers", "sees response headers"},
    {">proxy_on_response_body", "sees response bodies"},
    {">proxy_on_response_trailers", "sees response trailers"},
    {">proxy_on_new_connection", "works on TCP connections"},
    {">proxy_on_downstream_data", "works on TCP connections"},
    {">proxy_on_upstream_data", "works on TCP connections"},
    {">proxy_on_log", "acts when a request is logged"},
    {">proxy_on_tick", "runs on a timer"},
    {"proxy_get_header_map_*", "can read headers and trailers"},
    {"proxy_add_header_map_value", "can change headers and trailers"},
    {"proxy_replace_header_map_value", "can change headers and trailers"},
    {"proxy_remove_header_map_value", "can change headers and trailers"},
    {"proxy_set_header_map_pairs", "can change headers and trailers"},
    {"proxy_set_buffer_bytes", "can change bodies"},
    {"proxy_send_local_response", "can answer requests itself"},
    {"proxy_continue_*", "can hold requests and let them go on later"},
    {"proxy_close_stream", "can reset streams"},
    {"proxy_http_call", "can make HTTP calls to other services"},
    {"proxy_grpc_*", "can make gRPC calls to other services"},
    {"proxy_get_property", "can read properties: addresses, routes, metadata, any request header"},
    {"proxy_set_property", "can set properties that later filters and access logs see"},
    {"proxy_set_tick_period_milliseconds", "can start a timer"},
    {"proxy_get_shared_data", "can share data with other VMs"},
    {"proxy_set_shared_data", "can share data with other VMs"},
    {"proxy_register_shared_queue", "can use shared queues"},
    {"proxy_resolve_shared_queue", "can use shared queues"},
    {"proxy_enqueue_shared_queue", "can use shared queues"},
    {"proxy_dequeue_shared_queue", "can use shared queues"},
    {"proxy_define_metric", "can define metrics"},
    {"proxy_call_foreign_function", "can call functions that only some hosts have"},
    {"proxy_log", "can write to the log"},
    {"fd_write", "can write to the log"},
    {"environ_get", "can read the environment that its configuration gives it"},
    {"random_get", "can ask for random bytes"},
    {"proxy_get_current_time_nanoseconds", "can read the clock"},
    {"clock_time_get", "can read the clock"},
    {"path_open", "asks for files (no host gives it any)"},
    {"sock_*", "asks for sockets (no host gives it any)"},
};

static bool any_import(const struct pw_inspection *inspection, const char *pattern)
{
    size_t len = strlen(pattern);
    bool open = pattern[len - 1] == '*';
    struct slice prefix = slice_of(pattern, len - open);
    struct pw_import import;
    for (size_t i = 0; pw_inspection_import(inspection, i, &import); i++) {
        struct slice name = slice_of(import.name.ptr, import.name.len);
        if (open ? slice_starts_with(name, prefix) : slice_eq(name, prefix))
            return true;
    }
    return false;
}

static bool listed(const json_t *list, const char *text)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (strcmp(json_string_value(json_array_get(list, i)), text) == 0)
            return true;
    return false;
}

static json_t *collect_capabilities(const struct pw_inspection *inspection)
{
    json_t *list = json_array();
    for (size_t i = 0; i < WEIR_ARRAY_LEN(phrases); i++) {
        const char *name = phrases[i].name;
        bool is = *name == '>' ? has_export(inspection, name + 1) : any_import(inspection, name);
        if (is && !listed(list, phrases[i].phrase))
            json_array_append_new(list, json_string(phrases[i].phrase));
    }
    return list;
}

/* --- warnings --- */

static void add(json_t *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void add(json_t *list, const char *fmt, ...)
{
    char text[3072];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    json_array_append_new(list, cli_json_string(slice_str(text)));
}

static void warn_memory(json_t *list, const struct pw_inspection_info *info)
{
    char size[CLI_SIZE_TEXT];
    if (info->memory_min_bytes > DEFAULT_MEMORY_MAX)
        add(list, "it begins with %s of memory: the default limit is 256 MiB, so it is refused",
            cli_memory_text(info->memory_min_bytes, size));
    else if (info->memory_min_bytes > HUGE_MEMORY_BYTES)
        add(list, "it begins with %s of memory, for each worker",
            cli_memory_text(info->memory_min_bytes, size));
}

static void warn_imports(json_t *list, const struct pw_inspection *inspection)
{
    struct pw_import import;
    size_t weir_only = 0;
    char first[160] = "";
    for (size_t i = 0; pw_inspection_import(inspection, i, &import); i++) {
        if (!import.supplied || facts_envoy_supplies(&import, pw_inspection_info(inspection)->abi))
            continue;
        if (weir_only++ == 0)
            snprintf(first, sizeof(first), "%.*s.%.*s",
                     (int)(import.module.len < 64 ? import.module.len : 64), import.module.ptr,
                     (int)(import.name.len < 64 ? import.name.len : 64), import.name.ptr);
    }
    if (weir_only > 0)
        add(list, "Envoy does not link %zu of its imports (%s): it runs in Weir only", weir_only, first);
    if (has_kind(inspection, PW_ITEM_MEMORY) || has_kind(inspection, PW_ITEM_TABLE))
        add(list,
            "it imports its memory or a table: no snapshot can be taken, so sharing STREAM is not for it");
}

static json_t *collect_warnings(const struct facts *f, const struct pw_inspection *inspection)
{
    const struct pw_inspection_info *info = pw_inspection_info(inspection);
    json_t *list = json_array();
    char size[CLI_SIZE_TEXT];
    if (!f->has_names)
        add(list,
            "there is no name section: a backtrace will show offsets only; link without stripping names");
    if (f->has_debug_info)
        add(list, "debug information makes the file larger and is not used: link with --strip-debug");
    if (info->code_bytes > HUGE_CODE_BYTES)
        add(list, "%s of code take seconds to compile; later starts take it from the cache",
            cli_size_text(info->code_bytes, size));
    if (!has_export(inspection, "proxy_on_configure") && !has_export(inspection, "proxy_on_vm_start"))
        add(list, "it has neither proxy_on_configure nor proxy_on_vm_start: it cannot be configured");
    if (has_export(inspection, "_start") && !has_export(inspection, "_initialize"))
        add(list, "it is a command (_start), not a reactor (_initialize): some hosts end it after main");
    warn_memory(list, info);
    warn_imports(list, inspection);
    return list;
}

static json_t *collect_problems(const struct pw_inspection *inspection)
{
    const struct pw_inspection_info *info = pw_inspection_info(inspection);
    json_t *list = json_array();
    if (info->error != PW_OK)
        add(list, "%s", info->why.text);
    return list;
}

void facts_collect(struct facts *out, const struct pw_inspection *inspection, struct pw_slice code)
{
    struct pw_custom_section section;
    *out = (struct facts){0};
    for (size_t i = 0; pw_inspection_section(inspection, i, &section); i++) {
        struct slice name = slice_of(section.name.ptr, section.name.len);
        out->has_names |= slice_eq(name, SLICE_LIT("name"));
        out->has_debug_info |= slice_starts_with(name, SLICE_LIT(".debug_"));
        if (slice_eq(name, SLICE_LIT("producers")) && !out->producers)
            out->producers = read_producers(section.content);
    }
    if (!out->producers)
        out->producers = json_object();
    out->language = guess_language(out, inspection, code);
    out->sdk = guess_sdk(out, code);
    out->capabilities = collect_capabilities(inspection);
    out->warnings = collect_warnings(out, inspection);
    out->problems = collect_problems(inspection);
}

void facts_fini(struct facts *f)
{
    json_decref(f->producers);
    json_decref(f->capabilities);
    json_decref(f->warnings);
    json_decref(f->problems);
}

/* --- Envoy --- */

/*
 * Envoy links the same functions as this library, by name and type (the ABI's and WASI's), but for these
 * rows: two WASI functions that its host declares with one parameter too few, and one of its own.
 */
bool facts_envoy_supplies(const struct pw_import *import, enum pw_abi_version abi)
{
    static const struct {
        const char *name;
        const char *type;
    } own[] = {
        {"path_link", "(i32, i32, i32, i32, i32, i32) -> (i32)"},
        {"path_symlink", "(i32, i32, i32, i32) -> (i32)"},
        {"envoy_resolve_dns", "(i32, i32, i32) -> (i32)"},
    };
    struct slice name = slice_of(import->name.ptr, import->name.len);
    (void)abi;
    for (size_t i = 0; i < WEIR_ARRAY_LEN(own); i++)
        if (slice_eq(name, slice_str(own[i].name)))
            return strcmp(import->type, own[i].type) == 0;
    return import->supplied;
}
