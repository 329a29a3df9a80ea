/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network filter sni_cluster: the server name that a TLS client asks for is the cluster that the TCP
 * proxy behind it takes. It never looks at bytes: a listener filter, or our own end of TLS, knows the name.
 */
#ifndef WEIR_PROXY_SNI_CLUSTER_H
#define WEIR_PROXY_SNI_CLUSTER_H

#include "proxy/listener/network_filter.h"

void sni_cluster_init(struct network_filter_config *f);

#endif
