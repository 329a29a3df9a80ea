/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the VM needs of root contexts.
 */
#ifndef PROXYWASM_ROOT_IMPL_H
#define PROXYWASM_ROOT_IMPL_H

#include "proxywasm/vm_impl.h"

/* Frees a root without guest code: the VM goes, or the root never came to life. */
void root_discard(struct pw_root *root);

/* A root with its number and no guest code run. PW_ERR_LIMIT, PW_ERR_NOMEM. */
int root_new(struct pw_vm *vm, struct pw_plugin *plugin, struct pw_root **out);

#endif
