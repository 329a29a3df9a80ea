/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_wasm_intrinsics_lite.h: for plugins that use protobuf messages of the lite runtime. Messages need
 * only SerializeToString and ParseFromArray; the runtime and the generated classes are the plugin's own. No
 * generated code must ever be part of this SDK.
 */
#pragma once

#define PROXY_WASM_PROTOBUF_LITE 1
#if __has_include("google/protobuf/message_lite.h")
#include "google/protobuf/message_lite.h"
#endif
#include "proxy_wasm_intrinsics.h"
