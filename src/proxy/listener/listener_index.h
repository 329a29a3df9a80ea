/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The listeners of one worker by address, for connections whose destination was restored (use_original_dst).
 * Private to listener.c; lives in the worker's slot as long as there is a listener.
 */
#ifndef WEIR_PROXY_LISTENER_INDEX_H
#define WEIR_PROXY_LISTENER_INDEX_H

#include "proxy/listener/listener.h"

/* False: memory is out. A listener whose address is there already takes its place. */
bool listener_index_put(struct worker *w, struct listener *l);
void listener_index_remove(struct worker *w, struct listener *l);

#endif
