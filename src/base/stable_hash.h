/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Hashes whose values others depend on: consistent hashing must place a key where Envoy places it. Neither is
 * safe against chosen keys; tables of chosen keys use keyed_hash.
 */
#ifndef WEIR_BASE_STABLE_HASH_H
#define WEIR_BASE_STABLE_HASH_H

#include "base/slice.h"

/* XXH64 of the xxHash specification 0.1.1. */
uint64_t xxh64(struct slice s, uint64_t seed);
/* MurmurHash64A, as std::hash<std::string> of GNU's C++ library computes it with this seed. */
#define MURMUR64_STD_SEED UINT64_C(0xc70f6907)
uint64_t murmur64(struct slice s, uint64_t seed);

#endif
