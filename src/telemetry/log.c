/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Levels and formatting of the application log. Formatting happens on the calling thread into a stack buffer;
 * writing is log_file.c's. Must never block on a disk and never call back into the log.
 */
#include "telemetry/log.h"

#include "base/assert.h"
#include "telemetry/log_file.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *const component_names[LOG_COMPONENT_COUNT] = {
#define LOG_X(id, name) [LOG_C_##id] = name,
    LOG_COMPONENTS(LOG_X)
#undef LOG_X
};
static const char *const level_names[] = {"trace", "debug", "info", "warning", "error", "critical", "off"};

_Atomic uint8_t log_levels[LOG_COMPONENT_COUNT] = {[0 ... LOG_COMPONENT_COUNT - 1] = LOG_INFO};

static _Atomic(struct log_file *) app_log;

bool log_level_parse(struct slice name, enum log_level *out)
{
    for (size_t i = 0; i < WEIR_ARRAY_LEN(level_names); i++) {
        if (slice_eq_nocase(name, slice_str(level_names[i]))) {
            *out = (enum log_level)i;
            return true;
        }
    }
    if (!slice_eq_nocase(name, SLICE_LIT("warn")))
        return false;
    *out = LOG_WARN;
    return true;
}

const char *log_level_name(enum log_level level)
{
    WEIR_ASSERT((size_t)level < WEIR_ARRAY_LEN(level_names));
    return level_names[level];
}

bool log_component_parse(struct slice name, enum log_component *out)
{
    for (size_t i = 0; i < LOG_COMPONENT_COUNT; i++) {
        if (slice_eq(name, slice_str(component_names[i]))) {
            *out = (enum log_component)i;
            return true;
        }
    }
    return false;
}

const char *log_component_name(enum log_component c)
{
    WEIR_ASSERT(c < LOG_COMPONENT_COUNT);
    return component_names[c];
}

void log_set_level(enum log_component c, enum log_level level)
{
    WEIR_ASSERT(c < LOG_COMPONENT_COUNT);
    atomic_store_explicit(&log_levels[c], (uint8_t)level, memory_order_relaxed);
}

void log_set_all(enum log_level level)
{
    for (size_t i = 0; i < LOG_COMPONENT_COUNT; i++)
        log_set_level((enum log_component)i, level);
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* "[time][tid][level][component] [file:line] ", Envoy's default prefix. Returns its length. */
static size_t format_prefix(char *dst, size_t size, enum log_component c, enum log_level level,
                            const char *file, int line)
{
    struct timespec now;
    struct tm tm;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &tm);
    char time_text[32];
    strftime(time_text, sizeof(time_text), "%Y-%m-%d %H:%M:%S", &tm);
    int n = snprintf(dst, size, "[%s.%03ld][%ld][%s][%s] [%s:%d] ", time_text, now.tv_nsec / 1000000,
                     syscall(SYS_gettid), level_names[level], component_names[c], base_name(file), line);
    return n < 0 ? 0 : (size_t)n < size ? (size_t)n : size - 1;
}

/* One line is one record: line ends inside become two characters. Returns the new length. */
static size_t escape_newlines(char *dst, size_t size, struct slice text)
{
    size_t n = 0;
    for (size_t i = 0; i < text.len && n + 2 < size; i++) {
        if (text.ptr[i] == '\n' || text.ptr[i] == '\r') {
            dst[n++] = '\\';
            dst[n++] = text.ptr[i] == '\n' ? 'n' : 'r';
        } else {
            dst[n++] = text.ptr[i] ? text.ptr[i] : '?';
        }
    }
    return n;
}

void log_emit(enum log_component c, enum log_level level, const char *file, int line, const char *fmt, ...)
{
    char text[LOG_LINE_MAX];
    char out[LOG_LINE_MAX + 512];
    int saved_errno = errno;
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (n < 0)
        return;
    size_t len = (size_t)n;
    if (len >= sizeof(text)) {
        len = sizeof(text) - 1;
        memcpy(text + len - 3, "...", 3);
    }
    size_t used = format_prefix(out, 512, c, level, file, line);
    used += escape_newlines(out + used, sizeof(out) - used - 1, slice_of(text, len));
    out[used++] = '\n';

    struct log_file *target = atomic_load_explicit(&app_log, memory_order_acquire);
    if (target) {
        log_file_write(target, slice_of(out, used));
    } else {
        ssize_t ignored = write(STDERR_FILENO, out, used);
        (void)ignored;
    }
    errno = saved_errno;
}

bool log_start(const char *path)
{
    struct log_file *target = log_file_open(path ? path : "/dev/stderr");
    if (!target)
        return false;
    if (!log_writer_start()) {
        log_file_unref(&target);
        return false;
    }
    atomic_store_explicit(&app_log, target, memory_order_release);
    return true;
}

void log_stop(void)
{
    /* Lines that come later go straight to stderr; the caller has stopped the other threads. */
    struct log_file *target = atomic_exchange_explicit(&app_log, NULL, memory_order_acq_rel);
    log_writer_stop();
    log_file_unref(&target);
}
