/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Listener filters of a listener: private to build_listener*.c.
 */
#ifndef WEIR_CONFIG_BUILD_LISTENER_FILTER_H
#define WEIR_CONFIG_BUILD_LISTENER_FILTER_H

#include "config/builder.h"

/* Fills l->filters; errors are reported. */
void builder_listener_filters(struct builder *b, const Envoy__Config__Listener__V3__Listener *in,
                              struct listener_config *l);

#endif
