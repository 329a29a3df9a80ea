/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log records of guests and of the library about them, given to the embedder with the identity of the plugin.
 */
#ifndef PROXYWASM_VM_LOG_H
#define PROXYWASM_VM_LOG_H

#include "proxywasm/vm_impl.h"

/* `context` may be NULL (start of the VM). Cuts at LOG_LINE_BYTES_MAX. */
void vm_log(struct pw_vm *vm, const struct context *context, enum pw_log_level level, struct slice text,
            bool from_guest);
/* The library about a guest, formatted; at most 512 bytes. */
void vm_logf(struct pw_vm *vm, const struct context *context, enum pw_log_level level, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* "Function: X failed: ..." with the backtrace, at most one per plugin and second. */
void vm_log_failure(struct pw_vm *vm);
/* "over its limit NAME", at most once a second, VM and limit. */
void vm_log_limit(struct pw_vm *vm, const struct context *context, enum pw_limit limit);

#endif
