/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_host.h: a host of the null engine in a few lines, for tests of plugins and of the SDK. It follows
 * proxy_wasm_null.h to the letter (8-byte slots, the plugin's allocator) and fails the test on any wrong
 * call.
 */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include <proxy_wasm_null.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h> /* behind the headers that it needs */

#define FAKE_HEADERS_MAX 32
#define FAKE_LOGS_MAX    64
#define FAKE_TEXT_BYTES  1024

struct fake_header {
    char name[128], value[FAKE_TEXT_BYTES];
};

struct fake_map {
    struct fake_header items[FAKE_HEADERS_MAX];
    size_t count;
};

struct fake_host {
    const struct pw_null_plugin *plugin;
    struct pw_null_host table;
    void *instance;

    const char *configuration;
    size_t configuration_len;
    struct fake_map maps[3]; /* by ABI map type; request trailers unused */

    char logs[FAKE_LOGS_MAX][FAKE_TEXT_BYTES * 2];
    uint32_t log_levels[FAKE_LOGS_MAX];
    size_t log_count;

    unsigned replies;
    uint32_t reply_status;
    char reply_body[FAKE_TEXT_BYTES], reply_details[FAKE_TEXT_BYTES];
    struct fake_map reply_headers;

    /* The last call, and what calls that are not played answer. */
    uint32_t last_function;
    uint64_t last_args[12];
    size_t last_nargs;
    int32_t answer;
};

/* Make an instance of a plugin; `entry` of this program, or of a shared object in the build's plugins folder.
 */
void fake_open(struct fake_host *fake, const struct pw_null_plugin *plugin);
void fake_open_file(struct fake_host *fake, const char *name);
void fake_close(struct fake_host *fake);

/* One callback; fails the test when the plugin traps or lacks it. */
uint64_t fake_call(struct fake_host *fake, enum pw_null_callback callback, uint64_t a, uint64_t b,
                   uint64_t c);

/* Root context 1, then on_configure with `json`. */
bool fake_configure(struct fake_host *fake, const char *json);

/* Stream context `id`, parent 1. */
void fake_stream(struct fake_host *fake, uint32_t id);

/* Empty all maps; add a header. */
void fake_clear(struct fake_host *fake);
void fake_header(struct fake_host *fake, uint32_t map, const char *name, const char *value);

/* A value in a map, or NULL. */
const char *fake_value(const struct fake_map *map, const char *name);

/* Whether a line of at least `level` contains `text`. */
bool fake_logged(const struct fake_host *fake, uint32_t level, const char *text);

#endif
