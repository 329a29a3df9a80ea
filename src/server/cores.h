/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many cores this process may use.
 */
#ifndef WEIR_SERVER_CORES_H
#define WEIR_SERVER_CORES_H

#include <stdint.h>

/* The smaller of the scheduler's affinity and the cgroup's CPU quota (v2 or v1), rounded up; at least 1.
 * `root` is where /proc and /sys lie ("" on a real machine). */
uint32_t cores_allowed(const char *root);

#endif
