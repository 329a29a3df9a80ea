/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which families of addresses this machine can reach others by: those that some interface has, the loopback's
 * aside. Says nothing of routes.
 */
#ifndef WEIR_NET_DNS_FAMILIES_H
#define WEIR_NET_DNS_FAMILIES_H

#include <stdbool.h>

struct ifaddrs;

struct dns_families {
    bool v4;
    bool v6;
};

struct dns_families dns_families_of(const struct ifaddrs *interfaces);
/* Of the machine as it is now; both when it cannot be told. */
struct dns_families dns_families_now(void);

#endif
