/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Entries of the embedder's cache of compiled code. An entry is the engine's bytes and behind them a trailer
 * with the key, the length and a checksum, so that a damaged, cut or foreign entry is found before an engine
 * maps it as code. The checksum guards against damage, not against an attacker: the embedder keeps others out
 * of the place (proxywasm/host.h).
 */
#ifndef PROXYWASM_ENGINE_CACHE_H
#define PROXYWASM_ENGINE_CACHE_H

#include "base/slice.h"

#include <proxywasm/host.h>

#define CACHE_KEY_BYTES 160 /* with the NUL */

/*
 * Opens the entry of `key`. On true, *fd is at an intact entry, to be closed by the caller, whose first
 * *len bytes are the engine's; *quick is what it was stored with. *damaged says, when false, that something
 * was there but cannot be used.
 */
bool cache_open(struct pw_host *host, const char *key, int *fd, uint64_t *len, bool *quick, bool *damaged);
/*
 * Stores what the file `fd` holds, which grows by the trailer. `quick`: code that is to be replaced. False
 * when memory is out or the embedder could not store: the module is compiled again next time.
 */
bool cache_store(struct pw_host *host, const char *key, int fd, bool quick);

#endif
