/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Harness for tests of host functions: a scripted guest on a real engine, one root context, one stream over a
 * fake embedder. A test says which callback makes which host call with which arguments, drives the callback,
 * and looks at status, outputs and what the embedder saw.
 */
#ifndef TEST_GUEST_H
#define TEST_GUEST_H

#include "fake_callouts.h"
#include "fake_stream.h"
#include "guest_steps.h"
#include "proxywasm/vm_impl.h"

/* cmocka wants these first. */
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum guest_engine { ON_WASM, ON_NULL };

#define GUEST_LOGS 32
struct guest_log {
    enum pw_log_level level;
    bool from_guest;
    char plugin[32];
    char root_id[32];
    char vm_id[32];
    char text[1024];
    size_t text_len;
};

struct guest_options {
    enum guest_engine engine;
    bool v010, v020; /* ABI of the WebAssembly guest; neither: 0.2.1 */
    const char *vm_id;
    const char *vm_configuration;
    const char *configuration;
    const char *const *capabilities; /* ends with NULL */
    struct pw_limits limits;
    bool no_root;   /* the test calls guest_root itself */
    bool no_stream; /* the test calls guest_stream itself */
    bool no_attach;
    bool no_callouts;    /* the embedder has no client */
    bool stop_iteration; /* allow_on_headers_stop_iteration */
    const struct pw_pair *environment;
    size_t environment_count;
    const char *wat; /* another module; NULL: the scripted guest */
};

struct guest {
    struct guest_options options;
    struct pw_host *host;
    struct pw_vm *vm;
    struct pw_plugin *plugin;
    struct pw_root *root;
    struct pw_stream *stream;
    struct fake_stream fake;
    struct pw_message why;
    uint64_t base; /* of the native guest's memory */
    size_t next_step;
    size_t next_data;
    enum pw_action action; /* of the last driven callback */
    bool done;             /* of the last shutdown */
    /* from the VM's callbacks */
    atomic_uint wakes; /* from any thread */
    unsigned failures;
    int failure_error;
    char failure_function[64];
    unsigned root_dones;
    unsigned set_ticks;
    uint32_t tick_ms;
    bool destroy_vm_when_failed;
    struct fake_callouts callouts;
};

/* One host for all tests of a program; its logs go here. */
struct pw_host *guest_host(void);
unsigned guest_logs_count(void);
/* The i-th last line; 0 is the newest. */
const struct guest_log *guest_log_back(unsigned i);
void guest_logs_clear(void);
/* The fake clocks. */
extern uint64_t guest_realtime_ns;
extern uint64_t guest_monotonic_ns;
extern uint32_t guest_log_level;
extern bool guest_random_fails;

/* The module of these options, loaded once per program; unref it. */
struct pw_module *guest_module(const struct guest_options *options);

/* Asserts that everything works. */
void guest_open(struct guest *g, const struct guest_options *options);
void guest_close(struct guest *g);
void guest_attach(struct guest *g); /* after no_attach */
int guest_root(struct guest *g);
int guest_stream(struct guest *g);

/* --- memory of the guest; addresses are what a host call takes --- */
char *guest_ptr(struct guest *g, uint64_t address);
/* Bytes in fresh memory. */
uint64_t guest_bytes(struct guest *g, const void *bytes, size_t len);
/* A string without its NUL. */
uint64_t guest_text(struct guest *g, const char *text);
/* A fresh slot for an out-parameter, filled with 0xEE. */
uint64_t guest_slot(struct guest *g);
/* An out-parameter of 32 bits in the ABI (64 on the null engine), and one of 64. */
uint64_t guest_out(struct guest *g, uint64_t slot);
uint64_t guest_out64(struct guest *g, uint64_t slot);
/* True when the host wrote nothing there. */
bool guest_slot_untouched(struct guest *g, uint64_t slot);
/* What (address, size) slots name, as text; asserts that it is `text`. */
void guest_assert_given(struct guest *g, uint64_t address_slot, uint64_t size_slot, const char *text);
/* Address and size must be 0. */
void guest_assert_given_nothing(struct guest *g, uint64_t address_slot, uint64_t size_slot);
/* An address that no guest has, and one whose end is outside. Only for WebAssembly. */
uint64_t guest_bad(struct guest *g);
uint32_t *guest_word(struct guest *g, size_t at);

/* --- script --- */
/* Adds a step to the callback; `function` NULL: trap. Gives a handle. */
struct guest_step {
    uint64_t at;
};
struct guest_step guest_plan(struct guest *g, enum guest_function callback, const char *function,
                             const uint64_t *args, size_t nargs);
uint32_t guest_result(struct guest *g, struct guest_step step);
bool guest_ran(struct guest *g, struct guest_step step);
struct guest_step guest_plan_raw(struct guest *g, enum guest_function callback, uint32_t function);
void guest_forget(struct guest *g, enum guest_function callback);
void guest_returns(struct guest *g, enum guest_function callback, uint32_t value);
unsigned guest_calls(struct guest *g, enum guest_function callback);
uint32_t guest_arg(struct guest *g, enum guest_function callback, unsigned i);

/* Runs a callback of the stream or the root. */
void guest_drive(struct guest *g, enum guest_function callback);
/* The last callback's `end_of_stream`. */
void guest_drive_eos(struct guest *g, enum guest_function callback, bool end_of_stream);

/* One host call from one callback: forgets the callback's steps, plans, drives, gives the status. */
uint32_t guest_do(struct guest *g, enum guest_function callback, const char *function, const uint64_t *args,
                  size_t nargs);

#define ARGS(...)                                                                                            \
    (uint64_t[]){__VA_ARGS__ __VA_OPT__(, ) 0}, sizeof((uint64_t[]){__VA_ARGS__ __VA_OPT__(, ) 0}) / 8 - 1

#define IN_HEADERS  GUEST_proxy_on_request_headers
#define IN_BODY     GUEST_proxy_on_request_body
#define IN_TRAILERS GUEST_proxy_on_request_trailers
#define IN_RESPONSE GUEST_proxy_on_response_headers
#define IN_LOG      GUEST_proxy_on_log
#define IN_TICK     GUEST_proxy_on_tick

/* A test that runs on both engines: engine_tests(name) makes name_wasm and name_null. */
#define ON_BOTH(name)                                                                                        \
    {#name " (wasm)", name##_wasm, NULL, NULL, NULL},                                                        \
    {                                                                                                        \
#name " (null)", name##_null, NULL, NULL, NULL                                                       \
    }
#define TEST_ON_BOTH(name)                                                                                   \
    static void name(enum guest_engine engine);                                                              \
    static void name##_wasm(void **state)                                                                    \
    {                                                                                                        \
        (void)state;                                                                                         \
        name(ON_WASM);                                                                                       \
    }                                                                                                        \
    static void name##_null(void **state)                                                                    \
    {                                                                                                        \
        (void)state;                                                                                         \
        name(ON_NULL);                                                                                       \
    }                                                                                                        \
    static void name(enum guest_engine engine)

#endif
