/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking through the interfaces. Asked once per look-up, never per request.
 */
#include "net/dns_families.h"

#include "net/address.h"

#include <ifaddrs.h>

struct dns_families dns_families_of(const struct ifaddrs *interfaces)
{
    struct dns_families found = {false, false};
    for (const struct ifaddrs *i = interfaces; i; i = i->ifa_next) {
        struct address a = {.len = 0};
        if (!i->ifa_addr)
            continue;
        if (i->ifa_addr->sa_family == AF_INET)
            a.len = sizeof(a.in4);
        else if (i->ifa_addr->sa_family == AF_INET6)
            a.len = sizeof(a.in6);
        memcpy(&a.un, i->ifa_addr, a.len); /* the largest of the union */
        if (a.len == 0 || address_is_loopback(&a))
            continue;
        found.v4 = found.v4 || a.sa.sa_family == AF_INET;
        found.v6 = found.v6 || a.sa.sa_family == AF_INET6;
    }
    return found;
}

struct dns_families dns_families_now(void)
{
    struct ifaddrs *interfaces;
    if (getifaddrs(&interfaces) != 0)
        return (struct dns_families){true, true};
    struct dns_families found = dns_families_of(interfaces);
    freeifaddrs(interfaces);
    return found;
}
