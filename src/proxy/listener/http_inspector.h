/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listener filter http_inspector: sees whether clear text begins with an HTTP request, and of which
 * version; chains are chosen by that as by ALPN.
 */
#ifndef WEIR_PROXY_HTTP_INSPECTOR_H
#define WEIR_PROXY_HTTP_INSPECTOR_H

#include "proxy/listener/listener_filter.h"

/* Fills ops, config and bytes_max. False: memory is out. */
bool http_inspector_init(struct listener_filter_config *f);

#endif
