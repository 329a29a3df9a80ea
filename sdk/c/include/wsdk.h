/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wsdk.h: the Weir guest SDK for C, Proxy-Wasm ABI 0.2.1. One source becomes a Wasm module or a native plugin
 * for the null engine. It only gathers the parts; wsdk/json.h is asked for by name because not every plugin
 * needs it.
 */
#ifndef WSDK_H
#define WSDK_H

#include <wsdk/call.h>
#include <wsdk/host.h>
#include <wsdk/http.h>
#include <wsdk/plugin.h>
#include <wsdk/text.h>
#include <wsdk/types.h>

#endif
