/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One resource of the overload manager and how it is measured: process memory, connections, a file, the
 * processors, the cgroup. Reads a few small files of the kernel; never walks a heap. Main thread.
 */
#ifndef WEIR_SERVER_OVERLOAD_METER_H
#define WEIR_SERVER_OVERLOAD_METER_H

#include "proxy/overload/overload_config.h"

struct overload_meter {
    const struct overload_resource *resource;
    const char *root; /* where /proc and /sys lie: "" */
    double work;      /* cpu: as of the last look */
    double total;
    double utilization;
};

/* `root` is kept. */
void overload_meter_init(struct overload_meter *m, const struct overload_resource *r, const char *root);
/* False: it cannot be measured now. */
bool overload_meter_read(struct overload_meter *m, double *pressure);

#endif
