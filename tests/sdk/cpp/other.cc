// SPDX-License-Identifier: Apache-2.0
//
// The second source file of a plugin: it includes the SDK too, and both must link.

#include "other.h"

#include "proxy_wasm_intrinsics.h"

std::string other() { return toString(WasmResult::Ok) + std::to_string(getCurrentTimeNanoseconds() != 0); }
