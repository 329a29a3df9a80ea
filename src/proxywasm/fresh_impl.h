/* SPDX-License-Identifier: Apache-2.0 */
/*
 * VMs for one stream each, for the library's own files.
 */
#ifndef PROXYWASM_FRESH_IMPL_H
#define PROXYWASM_FRESH_IMPL_H

#include "proxywasm/vm_impl.h"

/* vm.c: a VM with everything but an instance. pw_vm_destroy ends it. */
int vm_create_empty(struct pw_module *module, const struct pw_vm_config *config, struct pw_vm **out,
                    struct pw_message *why);
/* vm.c: once there is an instance. */
void vm_exports_init(struct pw_vm *vm);

/* The stream of the VM has gone: its instance goes, the rest waits for another one. */
void fresh_take_back(struct pw_vm *vm);

#endif
