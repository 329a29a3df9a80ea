/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Turning pw_vm_config into what a VM keeps: copies of texts, defaults of limits, denied capabilities.
 */
#ifndef PROXYWASM_VM_CONFIG_H
#define PROXYWASM_VM_CONFIG_H

#include "proxywasm/vm_impl.h"

/* PW_ERR_INVALID_ARGUMENT, PW_ERR_LIMIT, PW_ERR_NOMEM, with *why. vm_config_fini afterwards in any case. */
int vm_config_init(struct pw_vm *vm, const struct pw_vm_config *config, struct pw_message *why);
void vm_config_fini(struct pw_vm *vm);

/* What is not named is denied; no names: nothing is denied (abi/table.c). */
void denied_init(struct denied_set *denied, const struct pw_slice *capabilities, size_t count);

#endif
