/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_wasm_intrinsics_full.h: for plugins that use protobuf messages of the full runtime. Messages need
 * only SerializeToString and ParseFromArray; the runtime and the generated classes are the plugin's own. No
 * generated code must ever be part of this SDK.
 */
#pragma once

#define PROXY_WASM_PROTOBUF_FULL 1
#if __has_include("google/protobuf/message.h")
#include "google/protobuf/message.h"
#endif
#include "proxy_wasm_intrinsics.h"
