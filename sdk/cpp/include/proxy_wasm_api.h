/* SPDX-License-Identifier: Apache-2.0 */
/*
 * proxy_wasm_api.h: the classes and functions that plugins use. Include proxy_wasm_intrinsics.h instead. It
 * must declare nothing itself: each noun has its header under weir/.
 */
#pragma once

#include "weir/data.h"

#include "weir/host.h"

#include "weir/http.h"

#include "weir/calls.h"

#include "weir/context.h"

#include "weir/metrics.h"
