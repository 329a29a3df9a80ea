/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_wasm_intrinsics.h: the one header that a C++ plugin includes. It brings the classes and functions of
 * the reference C++ SDK (ABI 0.2.1) and the module's exports; everything is inline, so a plugin may have many
 * source files and needs no library. Nothing here may need exceptions, RTTI or generated code.
 */
#pragma once

#include <optional>
#include <string>
#include <string_view>

#ifdef __wasm__
#define PROXY_WASM_KEEPALIVE __attribute__((used, visibility("default")))
#define WASM_EXPORT(result, name, parameters)                                                                \
    extern "C" PROXY_WASM_KEEPALIVE __attribute__((export_name(#name))) result name parameters
#else
#define PROXY_WASM_KEEPALIVE                  __attribute__((used, visibility("default")))
#define WASM_EXPORT(result, name, parameters) extern "C" PROXY_WASM_KEEPALIVE result name parameters
#endif

// Envoy's build puts a namespace around plugins that it links in; a Wasm module has none.
#define START_WASM_PLUGIN(name)
#define END_WASM_PLUGIN

#include "proxy_wasm_common.h"
#include "proxy_wasm_enums.h"
#include "proxy_wasm_externs.h"

#if defined(PROXY_WASM_PROTOBUF_FULL) || defined(PROXY_WASM_PROTOBUF_LITE)
#define PROXY_WASM_PROTOBUF 1
#endif

#include "proxy_wasm_api.h"
#include "weir/exports.h"
