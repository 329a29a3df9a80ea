/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Writing into struct pw_message: text for people, cut to fit, never an error of its own. A NULL message is
 * fine: the caller did not want one.
 */
#ifndef PROXYWASM_MESSAGE_H
#define PROXYWASM_MESSAGE_H

#include <proxywasm/types.h>

void message_set(struct pw_message *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Adds to what is there. */
void message_append(struct pw_message *why, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* Sets it and returns `error`: return message_error(PW_ERR_IO, why, "..."). */
int message_error(int error, struct pw_message *why, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif
