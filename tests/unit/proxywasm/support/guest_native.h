/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The scripted guest as a native plugin for the null engine.
 */
#ifndef TEST_GUEST_NATIVE_H
#define TEST_GUEST_NATIVE_H

/* The plugin's entry symbol, for pw_host_ops.native_load. */
void *guest_native_entry(void);
/* Memory of the instance that was made last. */
char *guest_native_memory(void);

#endif
