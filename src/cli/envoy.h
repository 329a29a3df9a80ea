/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Asking an Envoy that is on this machine whether it loads a plugin.
 */
#ifndef WEIR_CLI_ENVOY_H
#define WEIR_CLI_ENVOY_H

#include <jansson.h>
#include <stddef.h>

/*
 * {"program", "version", "loads", "says"}: `says` is Envoy's own reason, NULL when it loads the plugin. Envoy
 * instantiates it, and calls none of its callbacks. NULL: `program` is not there, or no Envoy; *why says so.
 */
json_t *envoy_ask(const char *program, const char *plugin, char *why, size_t why_bytes);

#endif
