/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: a fresh VM for each stream. A configured VM is the model of a snapshot; each stream gets an
 * instance that begins with the model's memory and globals, and that goes with the stream. What a stream does
 * to its VM, no other stream sees.
 */
#ifndef PROXYWASM_FRESH_H
#define PROXYWASM_FRESH_H

#include <proxywasm/costs.h>
#include <proxywasm/stream.h>
#include <proxywasm/vm.h>

#ifdef __cplusplus
extern "C" {
#endif

struct pw_snapshot;
struct pw_fresh;

/*
 * Takes the state of a VM with its roots, whose module was loaded by pw_module_load_instrumented, before
 * pw_vm_attach; the VM goes on as before. `pool` is an engine with pool_slots, otherwise configured as
 * the module's. Once per module. Slow: it compiles. PW_ERR_INVALID_ARGUMENT (not such a VM), PW_ERR_LIMIT
 * (the memory is larger than a slot), PW_ERR_BAD_MODULE, PW_ERR_NOMEM, what pw_host_ops.compile says.
 */
int pw_snapshot_create(struct pw_vm *vm, struct pw_engine *pool, struct pw_snapshot **out,
                       struct pw_message *why);
struct pw_snapshot *pw_snapshot_ref(struct pw_snapshot *snapshot);
void pw_snapshot_unref(struct pw_snapshot **snapshot);
/* Its code: for pw_module_optimise and reports. Borrowed. */
struct pw_module *pw_snapshot_module(const struct pw_snapshot *snapshot);

/*
 * What makes the VMs of one thread. `config` is what the model was made with; its slices outlive the object.
 * `ops` and `ctx` are those of every VM: `failed` is called as for others, but must not destroy the VM;
 * `wake`, `set_tick` and `root_done` are never called: ticks and queue notifications are the model's. A
 * callout whose stream goes is cancelled. PW_ERR_NOMEM, PW_ERR_INVALID_ARGUMENT.
 */
int pw_fresh_create(struct pw_snapshot *snapshot, const struct pw_vm_config *config,
                    const struct pw_vm_ops *ops, void *ctx, struct pw_fresh **out, struct pw_message *why);
/* All its streams are gone. */
void pw_fresh_destroy(struct pw_fresh **fresh);
/* Other limits for the VMs of streams to come. */
void pw_fresh_set_limits(struct pw_fresh *fresh, const struct pw_limits *limits);

/*
 * As pw_stream_create, in a VM of its own, on a copy of the model's root number `root`, counted from 0 in the
 * order of their making. The VM has copies of the others too; pw_stream_destroy gives it back. PW_ERR_LIMIT:
 * no slot is free (or the VM's memory limit is below what the model had); *why says which.
 */
int pw_fresh_stream_create(struct pw_fresh *fresh, uint32_t root, const struct pw_stream_ops *ops, void *ctx,
                           struct pw_stream **out, struct pw_message *why);

/* As pw_root_set_costs, for that root in all its VMs together. */
void pw_fresh_set_costs(struct pw_fresh *fresh, uint32_t root, struct pw_costs *costs);

/* Sums over all its VMs, past ones too; memory of those that live now. `streams` is how many live. */
void pw_fresh_stats(const struct pw_fresh *fresh, struct pw_vm_stats *out);

#ifdef __cplusplus
}
#endif

#endif
