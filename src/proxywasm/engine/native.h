/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Built-in native plugins of the null engine.
 */
#ifndef PROXYWASM_ENGINE_NATIVE_H
#define PROXYWASM_ENGINE_NATIVE_H

#include "proxywasm/engine/engine.h"

/* Adds or replaces `name`; `entry` is a pw_null_plugin_entry_fn. [any thread] */
int native_add(struct pw_engine *engine, const char *name, const void *entry);

#endif
