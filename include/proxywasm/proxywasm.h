/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libproxywasm: an embeddable Proxy-Wasm host. This header includes the whole public interface. See
 * docs/embedding.md for the order of calls and examples/embed for a complete program.
 */
#ifndef PROXYWASM_H
#define PROXYWASM_H

#include <proxywasm/callout.h>
#include <proxywasm/costs.h>
#include <proxywasm/engine.h>
#include <proxywasm/fresh.h>
#include <proxywasm/host.h>
#include <proxywasm/inspect.h>
#include <proxywasm/posix.h>
#include <proxywasm/stream.h>
#include <proxywasm/types.h>
#include <proxywasm/vm.h>
#include <proxywasm/vm_limits.h>

#endif
