/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A plugin with a fresh VM for each stream: the snapshot of its configured VM, and what a worker makes of it.
 * The worker's ordinary VM (wasm_vm.h) stays beside and keeps ticks, queues and what they call. Private to
 * this folder.
 */
#ifndef WEIR_FILTERS_WASM_WASM_FRESH_H
#define WEIR_FILTERS_WASM_WASM_FRESH_H

#include "filters/wasm/wasm_vm.h"

/* [main] Takes the snapshot of a group's VM, before any worker has it. Slow. false with a message. */
bool wasm_fresh_snapshot(struct wasm_group *group, struct wasm_instance *model, struct pw_message *why);
/* [main] Gives the VM of a worker what makes the others; nothing to do for other groups. false with a
 * message. */
bool wasm_fresh_open(struct wasm_vm *vm, struct pw_message *why);

/* On the worker. Its streams are gone. */
void wasm_fresh_close(struct wasm_vm *vm);
/* The limits that hold for streams from now on. */
void wasm_fresh_take_limits(struct wasm_vm *vm);
/* A context of the plugin in a VM of its own. false: there is none, which was counted and logged; the failure
 * policy is due. */
bool wasm_fresh_stream(struct wasm_vm *vm, const struct wasm_plugin *plugin, const struct pw_stream_ops *ops,
                       void *ctx, struct pw_stream **out);
void wasm_fresh_add_stats(const struct wasm_vm *vm, struct pw_vm_stats *stats);

#endif
