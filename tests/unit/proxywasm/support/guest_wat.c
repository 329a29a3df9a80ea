/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writes the scripted guest's module text from the tables of host functions and callbacks.
 */
#include "guest_wat.h"

#include "guest_steps.h"
#include "proxywasm/abi/hostcalls.h"

#include <stdio.h>
#include <stdlib.h>
#include <wasmtime.h>

static const struct {
    const char *name;
    unsigned nargs;
    bool has_result;
} callbacks[] = {
#define GUEST_X(name, nargs, has_result) {#name, nargs, has_result},
    GUEST_FUNCTIONS(GUEST_X)
#undef GUEST_X
};

/* A name with two types (path_link) is imported by its first row. */
static bool is_first(const struct host_function *fn)
{
    const struct host_function *i = host_functions;
    while (strcmp(i->name, fn->name))
        i++;
    return i == fn;
}

static bool imported(const struct host_function *fn, enum pw_abi_version abi)
{
    return (fn->abi_mask & (1u << abi)) && is_first(fn);
}

static void imports(struct strbuf *out, enum pw_abi_version abi)
{
    for (size_t i = 0; i < host_functions_count; i++) {
        const struct host_function *fn = &host_functions[i];
        if (!imported(fn, abi))
            continue;
        strbuf_printf(out, "(import \"%s\" \"%s\" (func $f%zu (param", fn->module, fn->name, i);
        for (const char *p = fn->params; *p; p++)
            strbuf_append_str(out, *p == 'I' ? " i64" : " i32");
        strbuf_append_str(out, fn->has_result ? ") (result i32)))\n" : ")))\n");
    }
}

/* One arm of the switch: call function i with the step's arguments. */
static void arm(struct strbuf *out, const struct host_function *fn, size_t i)
{
    strbuf_append_str(out, fn->has_result ? "(i32.store offset=4 (local.get $s) " : "");
    strbuf_printf(out, "(call $f%zu", i);
    for (size_t a = 0; fn->params[a]; a++)
        strbuf_printf(out, " (%s.load offset=%zu (local.get $s))", fn->params[a] == 'I' ? "i64" : "i32",
                      8 + a * 8);
    strbuf_append_str(out, fn->has_result ? "))" : ")");
    strbuf_append_str(out, "(return)\n");
}

static void step_function(struct strbuf *out, enum pw_abi_version abi)
{
    strbuf_append_str(out, "(func $step (param $s i32)\n"
                           "(i32.store offset=108 (local.get $s) (i32.const 1))\n"
                           "(if (i32.eq (i32.load (local.get $s)) (i32.const 1000)) (then (unreachable)))\n"
                           "(if (i32.eq (i32.load (local.get $s)) (i32.const 1001))"
                           " (then (loop $l (br $l))))\n");
    for (size_t i = 0; i <= host_functions_count; i++)
        strbuf_append_str(out, "(block ");
    strbuf_append_str(out, "(br_table");
    for (size_t i = 0; i <= host_functions_count; i++)
        strbuf_printf(out, " %zu", i);
    strbuf_append_str(out, " (i32.load (local.get $s))))\n");
    for (size_t i = 0; i < host_functions_count; i++) {
        if (imported(&host_functions[i], abi))
            arm(out, &host_functions[i], i);
        else
            strbuf_append_str(out, "(unreachable)\n");
        strbuf_append_str(out, ")\n");
    }
    strbuf_append_str(out, "(unreachable))\n");
}

static size_t index_of(const char *name)
{
    size_t i = 0;
    while (strcmp(host_functions[i].name, name))
        i++;
    return i;
}

static void allocator(struct strbuf *out)
{
    strbuf_printf(out,
                  "(global $heap (mut i32) (i32.const %d))\n"
                  "(func (export \"malloc\") (param $n i32) (result i32) (local $p i32) (local $m i32)\n"
                  "(local.set $m (i32.load (i32.const %d)))\n"
                  "(i32.store (i32.const %d) (local.get $n))\n"
                  "(i32.store (i32.const %d) (i32.add (i32.const 1) (i32.load (i32.const %d))))\n",
                  AT_HEAP, AT_MALLOC_MODE, AT_MALLOC_SIZE, AT_MALLOC_COUNT, AT_MALLOC_COUNT);
    strbuf_printf(
        out,
        "(if (i32.eq (local.get $m) (i32.const %d)) (then (return (i32.const 0))))\n"
        "(if (i32.eq (local.get $m) (i32.const %d)) (then (return (i32.const 0x7fff0000))))\n"
        "(if (i32.eq (local.get $m) (i32.const %d)) (then (unreachable)))\n"
        "(if (i32.eq (local.get $m) (i32.const %d)) (then (drop (call $f%zu (i32.const 2) "
        "(i32.const %d) (i32.const 4)))))\n"
        "(if (i32.eq (local.get $m) (i32.const %d)) (then (drop (call $f%zu))))\n"
        "(if (i32.eq (local.get $m) (i32.const %d)) (then (return (i32.mul (memory.grow (i32.const 1)) "
        "(i32.const 65536)))))\n",
        MALLOC_NONE, MALLOC_WILD, MALLOC_TRAPS, MALLOC_LOGS, index_of("proxy_log"), AT_MALLOC_SIZE,
        MALLOC_CALLS, index_of("proxy_done"), MALLOC_GROWS);
    strbuf_append_str(out, "(local.set $p (global.get $heap))\n"
                           "(global.set $heap (i32.and (i32.add (i32.add (local.get $p) (local.get $n)) "
                           "(i32.const 15)) (i32.const -16)))\n"
                           "(if (i32.gt_u (global.get $heap) (i32.mul (memory.size) (i32.const 65536)))\n"
                           "(then (global.set $heap (local.get $p)) (return (i32.const 0))))\n"
                           "(local.get $p))\n");
}

static void callback(struct strbuf *out, unsigned fn, enum pw_abi_version abi)
{
    unsigned nargs = callbacks[fn].nargs;
    if (abi == PW_ABI_0_1_0 &&
        (fn == GUEST_proxy_on_request_headers || fn == GUEST_proxy_on_response_headers))
        nargs = 2;
    strbuf_printf(out, "(func (export \"%s\") (param", callbacks[fn].name);
    for (unsigned i = 0; i < nargs; i++)
        strbuf_append_str(out, " i32");
    strbuf_append_str(out, callbacks[fn].has_result ? ") (result i32) " : ") ");
    for (unsigned i = 0; i < nargs && i < 3; i++)
        strbuf_printf(out, "(i32.store (i32.const %u) (local.get %u)) ", AT_ARGS + fn * 12 + i * 4, i);
    strbuf_printf(out,
                  callbacks[fn].has_result ? "(call $run (i32.const %u)))\n"
                                           : "(drop (call $run (i32.const %u))))\n",
                  fn);
}

void guest_wat(struct strbuf *out, enum pw_abi_version abi)
{
    static const char *const markers[] = {"0_1_0", "0_2_0", "0_2_1"};
    strbuf_append_str(out, "(module\n");
    imports(out, abi);
    strbuf_printf(out, "(memory (export \"memory\") %d %d)\n", GUEST_BYTES / 65536, GUEST_BYTES_MAX / 65536);
    strbuf_printf(out, "(func (export \"proxy_abi_version_%s\"))\n", markers[abi]);
    step_function(out, abi);
    strbuf_printf(
        out,
        "(func $run (param $fn i32) (result i32) (local $s i32) (local $c i32)\n"
        "(local.set $c (i32.add (i32.const %d) (i32.shl (local.get $fn) (i32.const 2))))\n"
        "(i32.store (local.get $c) (i32.add (i32.const 1) (i32.load (local.get $c))))\n"
        "(local.set $s (i32.load (i32.add (i32.const %d) (i32.shl (local.get $fn) (i32.const 2)))))\n"
        "(block $end (loop $next (br_if $end (i32.eqz (local.get $s))) (call $step (local.get $s))\n"
        "(local.set $s (i32.load offset=104 (local.get $s))) (br $next)))\n"
        "(i32.load (i32.add (i32.const %d) (i32.shl (local.get $fn) (i32.const 2)))))\n",
        AT_CALLS, AT_HEADS, AT_RETURNS);
    allocator(out);
    for (unsigned fn = 0; fn < GUEST_FUNCTION_COUNT; fn++)
        callback(out, fn, abi);
    strbuf_append_str(out, ")\n");
}

char *guest_wasm(const char *wat, size_t *len)
{
    wasm_byte_vec_t bytes;
    wasmtime_error_t *error = wasmtime_wat2wasm(wat, strlen(wat), &bytes);
    if (error) {
        wasm_name_t message;
        wasmtime_error_message(error, &message);
        fprintf(stderr, "%.*s\n", (int)message.size, message.data);
        abort();
    }
    char *copy = malloc(bytes.size);
    memcpy(copy, bytes.data, bytes.size);
    *len = bytes.size;
    wasm_byte_vec_delete(&bytes);
    return copy;
}
