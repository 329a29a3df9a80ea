/* SPDX-License-Identifier: Apache-2.0 */
/*
 * embedder.h: libproxywasm with a made-up message around it, for tests that run the same plugin on both
 * engines. It holds headers, bodies and what the plugin did; it decides nothing.
 */
#ifndef EMBEDDER_H
#define EMBEDDER_H

#include <proxywasm/proxywasm.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* behind the headers that it needs */

#define EMBEDDER_HEADERS_MAX 32
#define EMBEDDER_TEXT_BYTES  1024
#define EMBEDDER_LOGS_BYTES  (256 * 1024)

struct embedder_header {
    char name[64], value[EMBEDDER_TEXT_BYTES];
};

struct embedder_map {
    struct embedder_header items[EMBEDDER_HEADERS_MAX];
    size_t count;
};

struct embedder {
    struct pw_posix *posix;
    struct pw_host *host;
    struct pw_engine *engine;
    struct pw_watchdog *watchdog;
    struct pw_module *module;
    struct pw_plugin *plugin;
    struct pw_vm *vm;
    struct pw_root *root;
    struct pw_stream *stream;

    char logs[EMBEDDER_LOGS_BYTES]; /* lines "LEVEL text\n" */
    size_t logs_len;

    struct embedder_map maps[4];
    char bodies[2][EMBEDDER_TEXT_BYTES];
    size_t body_lens[2];

    bool destroy_on_failure; /* as a proxy does: streams and VM go inside of the failure callbacks */
    unsigned replies, continues, closes, stream_failures, vm_failures;
    uint32_t reply_status;
    struct embedder_map reply_headers;
    char failure[EMBEDDER_TEXT_BYTES]; /* function: error: message, then the backtrace */
};

/* An engine ("wasmtime", "null") with a plugin of the build's folder ("plugins/basic-auth"). */
void embedder_open(struct embedder *e, const char *engine, const char *plugin);
void embedder_close(struct embedder *e);

/* A VM and a root with this configuration: PW_OK or the error of pw_root_create. Once per embedder. */
int embedder_configure(struct embedder *e, const char *configuration, const struct pw_limits *limits);

/* Empty maps and bodies, a new stream. PW_OK or the error of pw_stream_create. */
int embedder_begin(struct embedder *e);
void embedder_end(struct embedder *e);

void embedder_header(struct embedder *e, enum pw_map map, const char *name, const char *value);
void embedder_body(struct embedder *e, enum pw_buffer buffer, const char *text);

/* One callback with what the maps and bodies hold. */
enum pw_action embedder_request_headers(struct embedder *e, bool end);
enum pw_action embedder_response_headers(struct embedder *e, bool end);

const char *embedder_value(const struct embedder_map *map, const char *name);
bool embedder_logged(const struct embedder *e, const char *text);

#endif
