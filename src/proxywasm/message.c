/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats messages for people into the caller's fixed buffer. It must never allocate: it reports failed
 * allocations too.
 */
#include "proxywasm/message.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static void message_write(struct pw_message *why, size_t from, const char *fmt, va_list args)
{
    size_t room = sizeof(why->text) - from;

    /* A cut message is still a message. */
    (void)vsnprintf(why->text + from, room, fmt, args);
}

void message_set(struct pw_message *why, const char *fmt, ...)
{
    va_list args;

    if (!why)
        return;
    va_start(args, fmt);
    message_write(why, 0, fmt, args);
    va_end(args);
}

void message_append(struct pw_message *why, const char *fmt, ...)
{
    va_list args;

    if (!why)
        return;
    va_start(args, fmt);
    message_write(why, strnlen(why->text, sizeof(why->text) - 1), fmt, args);
    va_end(args);
}

int message_error(int error, struct pw_message *why, const char *fmt, ...)
{
    va_list args;

    if (why) {
        va_start(args, fmt);
        message_write(why, 0, fmt, args);
        va_end(args);
    }
    return error;
}
