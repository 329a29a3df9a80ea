/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the net room bounds, with unit and reason.
 */
#ifndef WEIR_NET_LIMITS_H
#define WEIR_NET_LIMITS_H

/* Bytes read from one socket per event: others on the loop get their turn. */
#define NET_READ_TURN_BYTES 65536u
/* Segments per sendmsg: far above what one turn makes, below IOV_MAX. */
#define NET_WRITE_IOV 64u
/* sendmsg calls per connection and flush: a peer as fast as we are must not hold the loop. */
#define NET_WRITES_PER_FLUSH 16u
/* Idle 16 KiB blocks kept per loop: 1 MiB, so that idle memory stays small and bursts cost no malloc. */
#define NET_IDLE_BLOCKS_MAX 64u
/* Milliseconds that a connection which is to be closed waits for bytes that a filter keeps back: a plugin
 * that asks somebody about them has its answer by then, or never. */
#define NET_FILTER_WAIT_MS 60000u
/* Rounds of end-of-turn tasks before the sockets are polled again: tasks that queue tasks must not hide I/O.
 */
#define NET_TURN_ROUNDS_MAX 64u
/* Milliseconds for which accepting pauses when descriptors or memory ran out: about what a close takes. */
#define NET_ACCEPT_PAUSE_MS 100u

/* Addresses that one name may have; more are cut. A DNS answer of 64 KiB holds a few thousand. */
#define DNS_ADDRESSES_MAX 256u
/* One question to one server, and how often it is asked: Envoy's resolver. */
#define DNS_TRY_TIMEOUT_MS 5000
#define DNS_TRIES          4
/* Seconds between looks at c-ares while questions are open. */
#define DNS_TIMER_SECONDS_MAX 5

#endif
