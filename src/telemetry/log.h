/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The application log, in Envoy's format: "[2026-11-21 10:00:00.000][tid][level][component] [file:line]
 * text". Lines are formatted by the calling thread into a bounded queue and written by one log thread, so
 * that a slow disk never stops a worker: when the queue is full a line is dropped and counted. Not for the
 * request path at levels that are on in production.
 */
#ifndef WEIR_TELEMETRY_LOG_H
#define WEIR_TELEMETRY_LOG_H

#include "base/slice.h"

#include <stdatomic.h>

enum log_level { LOG_TRACE, LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR, LOG_CRITICAL, LOG_OFF };

/* Envoy's logger names, as far as they make sense here. */
#define LOG_COMPONENTS(X)                                                                                    \
    X(ADMIN, "admin")                                                                                        \
    X(CLIENT, "client")                                                                                      \
    X(CONFIG, "config")                                                                                      \
    X(CONNECTION, "connection")                                                                              \
    X(CONN_HANDLER, "conn_handler")                                                                          \
    X(DNS, "dns")                                                                                            \
    X(FILTER, "filter")                                                                                      \
    X(HTTP, "http")                                                                                          \
    X(MAIN, "main")                                                                                          \
    X(POOL, "pool")                                                                                          \
    X(RBAC, "rbac")                                                                                          \
    X(ROUTER, "router")                                                                                      \
    X(RUNTIME, "runtime")                                                                                    \
    X(UPSTREAM, "upstream")                                                                                  \
    X(WASM, "wasm")

enum log_component {
#define LOG_X(id, name) LOG_C_##id,
    LOG_COMPONENTS(LOG_X)
#undef LOG_X
        LOG_COMPONENT_COUNT
};

extern _Atomic uint8_t log_levels[LOG_COMPONENT_COUNT];

static inline bool log_enabled(enum log_component c, enum log_level level)
{
    return level >= atomic_load_explicit(&log_levels[c], memory_order_relaxed);
}

/* log_write(HTTP, DEBUG, "text %d", n): arguments are not evaluated when the level is off. */
#define log_write(component, level, ...)                                                                     \
    do {                                                                                                     \
        if (log_enabled(LOG_C_##component, LOG_##level))                                                     \
            log_emit(LOG_C_##component, LOG_##level, __FILE__, __LINE__, __VA_ARGS__);                       \
    } while (0)

/* Lines longer than LOG_LINE_MAX are cut and marked with "...". Newlines inside become "\n" as two
 * characters. */
#define LOG_LINE_MAX 16384
void log_emit(enum log_component c, enum log_level level, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));

/* "info" and the like; false when unknown. */
bool log_level_parse(struct slice name, enum log_level *out);
const char *log_level_name(enum log_level level);
bool log_component_parse(struct slice name, enum log_component *out);
const char *log_component_name(enum log_component c);
void log_set_level(enum log_component c, enum log_level level);
void log_set_all(enum log_level level);

/* A file that the log thread writes: the application log, access logs. Shared by path; reference counted. */
struct log_file;
/* NULL and errno when it cannot be opened for appending. "/dev/stdout" and "/dev/stderr" are the descriptors.
 */
struct log_file *log_file_open(const char *path);
/* One that others must not read: where it has to be made, its owner alone may. */
struct log_file *log_file_open_secret(const char *path);
struct log_file *log_file_ref(struct log_file *file);
void log_file_unref(struct log_file **file);
/* Queues the bytes as they are. Drops them, and counts, when the queue holds LOG_QUEUE_BYTES_MAX. [any
 * thread] */
void log_file_write(struct log_file *file, struct slice bytes);
#define LOG_QUEUE_BYTES_MAX (16u << 20) /* 16 MiB: a few seconds of a busy access log */

/* Starts the log thread; before it, lines go straight to stderr. `path` NULL: stderr. false + errno when it
 * cannot. */
bool log_start(const char *path);
/* Writes what is queued and stops the thread. */
void log_stop(void);
/* Close and open again all files at their paths (SIGUSR1). Takes effect before later lines. [any thread] */
void log_reopen(void);
/* Lines and bytes dropped since the start. */
uint64_t log_dropped(void);

#endif
