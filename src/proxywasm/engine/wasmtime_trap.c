/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turns wasmtime's traps and errors into plain words and a short backtrace. Names come out of the guest's own
 * file: they are cleaned of control bytes here, before they reach a log.
 */
#include "proxywasm/engine/wasmtime_impl.h"

#include "base/assert.h"
#include "proxywasm/limits.h"
#include "proxywasm/message.h"

#include <stdio.h>
#include <string.h>

#define FRAME_NAME_BYTES 80

static const char *const trap_words[] = {
    [WASMTIME_TRAP_CODE_STACK_OVERFLOW] = "stack overflow",
    [WASMTIME_TRAP_CODE_MEMORY_OUT_OF_BOUNDS] = "out of bounds memory access",
    [WASMTIME_TRAP_CODE_HEAP_MISALIGNED] = "misaligned atomic memory access",
    [WASMTIME_TRAP_CODE_TABLE_OUT_OF_BOUNDS] = "out of bounds table access",
    [WASMTIME_TRAP_CODE_INDIRECT_CALL_TO_NULL] = "indirect call to an empty table element",
    [WASMTIME_TRAP_CODE_BAD_SIGNATURE] = "indirect call with the wrong type",
    [WASMTIME_TRAP_CODE_INTEGER_OVERFLOW] = "integer overflow",
    [WASMTIME_TRAP_CODE_INTEGER_DIVISION_BY_ZERO] = "integer divide by zero",
    [WASMTIME_TRAP_CODE_BAD_CONVERSION_TO_INTEGER] = "invalid conversion to an integer",
    [WASMTIME_TRAP_CODE_UNREACHABLE_CODE_REACHED] = "unreachable executed",
    [WASMTIME_TRAP_CODE_INTERRUPT] = "interrupted",
    [WASMTIME_TRAP_CODE_NULL_REFERENCE] = "null reference",
    [WASMTIME_TRAP_CODE_ALLOCATION_TOO_LARGE] = "allocation too large",
};

/* Copies printable text up to the first line break; everything odd becomes '?'. */
static void copy_line(char *dst, size_t room, const char *src, size_t len)
{
    size_t n = 0;

    WEIR_ASSERT(room > 0);
    for (; n < len && n + 1 < room && src[n] != '\n' && src[n] != '\0'; n++)
        dst[n] = (unsigned char)src[n] < 0x20 || src[n] == 0x7f ? '?' : src[n];
    dst[n] = '\0';
}

/* The name section's word, else the export's, else the number. */
static void frame_name(const struct engine_instance *instance, const wasm_frame_t *frame, char *dst,
                       size_t room)
{
    const wasm_name_t *name = wasmtime_frame_func_name(frame);
    uint32_t index = wasm_frame_func_index(frame);

    if (name && name->size > 0) {
        copy_line(dst, room, name->data, name->size);
        return;
    }
    for (size_t i = 0; instance && i < instance->module->scan.exports_count; i++) {
        const struct scan_export *export = &instance->module->scan.exports[i];

        if (export->kind == SCAN_FUNC && export->index == index) {
            copy_line(dst, room, export->name.ptr, export->name.len);
            return;
        }
    }
    (void)snprintf(dst, room, "function %u", (unsigned)index);
}

static size_t append_frame(const struct engine_instance *instance, char *dst, size_t room, size_t number,
                           const wasm_frame_t *frame)
{
    size_t offset = wasm_frame_module_offset(frame);
    char text[FRAME_NAME_BYTES];
    int n;

    frame_name(instance, frame, text, sizeof(text));
    n = snprintf(dst, room, "%3zu: 0x%zx - %s\n", number, offset == SIZE_MAX ? 0 : offset, text);
    return n > 0 && (size_t)n < room ? (size_t)n : 0;
}

static void fill_backtrace(const struct engine_instance *instance, struct engine_trap *trap,
                           const wasm_frame_vec_t *frames)
{
    size_t used = 0;

    trap->backtrace[0] = '\0';
    for (size_t i = 0; i < frames->size && i < BACKTRACE_FRAMES_MAX; i++) {
        size_t n = append_frame(instance, trap->backtrace + used, sizeof(trap->backtrace) - used, i,
                                frames->data[i]);
        if (n == 0)
            break;
        used += n;
    }
    trap->backtrace[used] = '\0';
}

static void fill_reason(struct engine_instance *instance, wasmtime_error_t *error, wasm_trap_t *trap_in,
                        struct engine_trap *trap)
{
    wasmtime_trap_code_t code;
    wasm_name_t text;

    trap->error = PW_ERR_TRAP;
    if (instance && instance->stop_error != PW_OK) {
        trap->error = instance->stop_error;
        (void)snprintf(trap->message, sizeof(trap->message), "%s", instance->stop_reason);
        return;
    }
    if (trap_in && wasmtime_trap_code(trap_in, &code) && code < WEIR_ARRAY_LEN(trap_words) &&
        trap_words[code]) {
        (void)snprintf(trap->message, sizeof(trap->message), "%s", trap_words[code]);
        return;
    }
    if (trap_in)
        wasm_trap_message(trap_in, &text);
    else
        wasmtime_error_message(error, &text);
    copy_line(trap->message, sizeof(trap->message), text.data, text.size);
    wasm_byte_vec_delete(&text);
}

int wt_trap_take(struct engine_instance *instance, wasmtime_error_t *error, wasm_trap_t *trap_in,
                 struct engine_trap *trap)
{
    wasm_frame_vec_t frames;

    WEIR_ASSERT(!error != !trap_in);
    fill_reason(instance, error, trap_in, trap);
    if (trap_in)
        wasm_trap_trace(trap_in, &frames);
    else
        wasmtime_error_wasm_trace(error, &frames);
    fill_backtrace(instance, trap, &frames);
    wasm_frame_vec_delete(&frames);
    if (trap_in)
        wasm_trap_delete(trap_in);
    else
        wasmtime_error_delete(error);
    return trap->error;
}

/* wasmtime prints the chain of causes on lines of their own; one line is made of them. */
void wt_error_take(wasmtime_error_t *error, const char *prefix, struct pw_message *why)
{
    wasm_name_t text;
    char line[1024];
    size_t n = 0;
    bool space = false;

    wasmtime_error_message(error, &text);
    for (size_t i = 0; i < text.size && n + 2 < sizeof(line); i++) {
        unsigned char c = (unsigned char)text.data[i];
        if (c <= ' ' || c == 0x7f) {
            space = n > 0;
            continue;
        }
        if (space)
            line[n++] = ' ';
        space = false;
        line[n++] = (char)c;
    }
    line[n] = '\0';
    message_set(why, "%s%s", prefix, line);
    wasm_byte_vec_delete(&text);
    wasmtime_error_delete(error);
}
