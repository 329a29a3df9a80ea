/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What host functions and the settling need of streams: the queue of actions and the reach of maps and
 * buffers (ABI 3.5).
 */
#ifndef PROXYWASM_STREAM_IMPL_H
#define PROXYWASM_STREAM_IMPL_H

#include "proxywasm/vm_impl.h"

/* Queues continue or close; a duplicate that still waits is dropped. */
void stream_queue(struct pw_stream *stream, enum stream_action action, enum pw_stream_type type);
/*
 * Queues a local reply; the first one of a stream wins, later ones are OK and do nothing. `details` .. are
 * copied. INTERNAL_FAILURE when host_bytes_max or memory is out.
 */
enum pw_status stream_queue_reply(struct pw_stream *stream, const struct pw_local_reply *reply);
/* Runs the oldest action of a stream that has one. Its callback may destroy anything. */
void stream_run_action(struct pw_stream *stream);
void stream_drop_queued(struct pw_stream *stream);
static inline void stream_drop_actions(struct pw_stream *stream)
{
    if (WEIR_UNLIKELY(stream->actions_count > 0 || stream->retired || stream->reply))
        stream_drop_queued(stream);
}

/* Gives back what was charged for headers and bodies that the guest wrote. */
void stream_uncharge_body(struct pw_stream *stream, enum pw_buffer buffer);
void stream_uncharge_all(struct pw_stream *stream);
static inline void stream_uncharge(struct pw_stream *stream)
{
    if (stream->header_bytes > 0 || WEIR_UNLIKELY(stream->bodies_written))
        stream_uncharge_all(stream);
}

/* Keeps the memory of a dead stream for the next one of the VM. */
void stream_give_back(struct pw_vm *vm, struct pw_stream *stream);

/* Frees a stream without guest code: the VM goes. */
void stream_discard(struct pw_stream *stream);
/* The same for all of a root whose last callbacks are still due. */
void stream_drop_retired(struct pw_root *root);
/* Nobody is behind it any more (pw_stream_retire). */
bool stream_gone(const struct pw_stream *stream);

/* Map 0..3 of this stream may be read, or written, now. */
bool stream_map_readable(const struct pw_stream *stream, enum pw_map map);
bool stream_map_writable(const struct pw_stream *stream, enum pw_map map);
/* A write through map `map` happened: trailers that it made are reachable from now on. */
void stream_map_written(struct pw_stream *stream, enum pw_map map);

#endif
