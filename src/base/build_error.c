/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats a problem of a configuration resource for whoever collects them. Never decides anything.
 */
#include "base/build_error.h"

#include <stdarg.h>
#include <stdio.h>

void build_error(struct build_errors *e, const char *path, const char *fmt, ...)
{
    char text[512]; /* one line for people; what is longer is cut */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    e->count++;
    if (e->report)
        e->report(e->arg, path, text);
}

const char *build_path(char dst[BUILD_PATH_BYTES_MAX], const char *path, const char *field, ...)
{
    va_list args;
    size_t len = 0;
    for (; path[len] && len < BUILD_PATH_BYTES_MAX - 2; len++)
        dst[len] = path[len];
    if (len > 0)
        dst[len++] = '.';
    va_start(args, field);
    vsnprintf(dst + len, BUILD_PATH_BYTES_MAX - len, field, args);
    va_end(args);
    return dst;
}
