/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Http2ProtocolOptions, which listeners and clusters share, to the codec's settings and the keep-alive's.
 */
#include "config/builder.h"

/* Parameters that Envoy refuses to let a user set by number, and ENABLE_PUSH, which nobody may. */
static bool parameter_reserved(uint32_t id)
{
    return id == 1 || id == 3 || id == 4 || id == 8 || id == 2;
}

static void parameters(struct builder *b, const Envoy__Config__Core__V3__Http2ProtocolOptions *in,
                       struct arena *arena, struct h2_settings *out)
{
    struct h2_parameter *list = builder_array(b, arena, in->n_custom_settings_parameters, sizeof(*list));
    out->parameters = list;
    out->parameters_count = list ? in->n_custom_settings_parameters : 0;
    for (size_t i = 0; list && i < in->n_custom_settings_parameters; i++) {
        uint32_t id = builder_u32(in->custom_settings_parameters[i]->identifier, 0);
        if (id == 0 || id > UINT16_MAX || parameter_reserved(id))
            builder_error_item(b, in, "custom_settings_parameters", i,
                               "identifier %u has a field of its own or is not allowed", id);
        list[i] = (struct h2_parameter){
            .id = (uint16_t)id,
            .value = builder_u32(in->custom_settings_parameters[i]->value, 0),
        };
    }
}

static void keepalive(const Envoy__Config__Core__V3__KeepaliveSettings *in, struct h2_keepalive_config *out)
{
    if (!in)
        return;
    out->interval_ms = builder_ms(in->interval, 0);
    out->timeout_ms = builder_ms(in->timeout, 0);
    out->jitter_percent = in->interval_jitter ? (uint32_t)in->interval_jitter->value : 15;
    out->idle_interval_ms = builder_ms(in->connection_idle_interval, 0);
}

void builder_http2(struct builder *b, const Envoy__Config__Core__V3__Http2ProtocolOptions *in,
                   struct arena *arena, struct h2_settings *out, struct h2_keepalive_config *alive)
{
    if (!in)
        return;
    out->hpack_table_bytes = builder_u32(in->hpack_table_size, out->hpack_table_bytes);
    out->max_concurrent_streams = builder_u32(in->max_concurrent_streams, out->max_concurrent_streams);
    out->stream_window_bytes = builder_u32(in->initial_stream_window_size, out->stream_window_bytes);
    out->connection_window_bytes =
        builder_u32(in->initial_connection_window_size, out->connection_window_bytes);
    out->allow_connect = in->allow_connect;
    out->stream_error_on_bad_message =
        builder_bool(in->override_stream_error_on_invalid_http_message,
                     in->stream_error_on_invalid_http_messaging || out->stream_error_on_bad_message);
    out->max_outbound_frames = builder_u32(in->max_outbound_frames, out->max_outbound_frames);
    out->max_outbound_control = builder_u32(in->max_outbound_control_frames, out->max_outbound_control);
    out->max_empty_frames =
        builder_u32(in->max_consecutive_inbound_frames_with_empty_payload, out->max_empty_frames);
    out->max_priority_per_stream =
        builder_u32(in->max_inbound_priority_frames_per_stream, out->max_priority_per_stream);
    out->max_window_updates_per_data = builder_u32(in->max_inbound_window_update_frames_per_data_frame_sent,
                                                   out->max_window_updates_per_data);
    parameters(b, in, arena, out);
    keepalive(in->connection_keepalive, alive);
}
