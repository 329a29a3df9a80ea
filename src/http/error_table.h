/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of protocol errors: X(name, details, status, text). `details` are Envoy's strings where Envoy has
 * one for the case. Add a row rather than reuse one that says something else.
 */
#ifndef WEIR_HTTP_ERROR_TABLE_H
#define WEIR_HTTP_ERROR_TABLE_H

/* clang-format off */
#define HTTP_ERRORS(X)                                                                                       \
    /* The connection. */                                                                                    \
    X(peer_closed, "downstream_remote_disconnect", 0, "the peer closed in the middle of a message")          \
    X(server_closed, "connection_termination", 0, "the upstream closed before the end of its response")      \
    X(out_of_memory, "overload", 503, "no memory for the message")                                           \
    /* Start lines. */                                                                                       \
    X(bad_method, "http1.codec_error", 400, "the method is not a token")                                     \
    X(bad_request_line, "http1.codec_error", 400, "the request line is not METHOD SP TARGET SP VERSION")     \
    X(bad_version, "http1.codec_error", 400, "the version is not HTTP/x.y")                                  \
    X(version_unsupported, "http1.codec_error", 505, "only HTTP/1.1 and HTTP/1.0 are spoken here")           \
    X(http2_preface, "http1.codec_error", 400, "HTTP/2 on a connection that speaks HTTP/1")                  \
    X(low_version, "low_version", 426, "HTTP/1.0 is not accepted")                                           \
    X(bad_target, "http1.codec_error", 400, "the request target has no form that the method may have")       \
    X(bad_url, "http1.invalid_url", 400, "the request target is no valid URL or authority")                  \
    X(bad_scheme, "http1.invalid_scheme", 400, "the scheme of the request target is not http or https")      \
    X(connect_refused, "route_not_found", 404, "CONNECT is not configured")                                  \
    X(request_line_too_long, "http1.headers_too_large", 414, "the request line is too long")                 \
    X(bad_status_line, "http1.codec_error", 502, "the status line is not VERSION SP 3DIGIT SP REASON")       \
    X(unexpected_response, "http1.codec_error", 502, "bytes from the upstream that no request asked for")    \
    X(unexpected_upgrade, "http1.codec_error", 502, "101 without a request to upgrade")                      \
    X(too_many_informational, "http1.codec_error", 502, "too many 1xx heads before the response")            \
    /* Fields. */                                                                                            \
    X(headers_too_large, "http1.headers_too_large", 431, "the header or trailer section is too large")       \
    X(too_many_headers, "http1.too_many_headers", 431, "too many header or trailer fields")                  \
    X(bare_lf, "http1.codec_error", 400, "LF without CR")                                                    \
    X(bare_cr, "http1.codec_error", 400, "CR without LF")                                                    \
    X(obs_fold, "http1.codec_error", 400, "a line of the header section begins with white space")            \
    X(space_before_colon, "http1.codec_error", 400, "white space between a field name and its colon")        \
    X(bad_header_name, "http1.codec_error", 400, "a field name is not a token")                              \
    X(bad_header_value, "http1.invalid_characters", 400, "a control character in a field value")             \
    X(missing_host, "missing_host_header", 400, "no Host field")                                             \
    X(duplicate_host, "http.invalid_authority", 400, "more than one Host field")                             \
    X(bad_host, "http.invalid_authority", 400, "the host is not valid")                                      \
    X(connection_rejected, "http1.connection_header_rejected", 400,                                          \
      "the Connection field lists too many names, or one that must not be removed")                          \
    /* Framing. */                                                                                           \
    X(bad_content_length, "http1.codec_error", 400, "Content-Length is not a number")                        \
    X(duplicate_content_length, "http1.codec_error", 400, "more than one Content-Length")                    \
    X(length_and_chunked, "http1.content_length_and_chunked_not_allowed", 400,                               \
      "both Content-Length and Transfer-Encoding")                                                           \
    X(bad_transfer_encoding, "http1.invalid_transfer_encoding", 501,                                         \
      "a Transfer-Encoding other than chunked")                                                              \
    X(transfer_encoding_refused, "http1.transfer_encoding_not_allowed", 400,                                 \
      "Transfer-Encoding in HTTP/1.0, or where no body can be")                                              \
    X(content_length_refused, "http1.content_length_not_allowed", 502, "Content-Length in a 1xx or 204")     \
    X(body_disallowed, "http1.body_disallowed", 400, "CONNECT with a body")                                  \
    X(bad_chunk_size, "http1.codec_error", 400, "a chunk size is not a hexadecimal number")                  \
    X(chunk_too_large, "http1.codec_error", 400, "a chunk size has too many digits")                         \
    X(bad_chunk_extension, "http1.codec_error", 400, "a control character in a chunk extension")             \
    X(chunk_extension_too_long, "http1.codec_error", 400, "chunk extensions are too long")                   \
    X(bad_chunk_end, "http1.codec_error", 400, "no CRLF after the data of a chunk")                          \
    /* HTTP/2: streams. No answer is possible, the peer gets RST_STREAM. */                                  \
    X(h2_remote_reset, "http2.remote_reset", 0, "the peer reset the stream")                                 \
    X(h2_remote_refused, "http2.remote_refuse", 0, "the peer refused the stream")                            \
    X(h2_messaging, "http2.violation.of.messaging.rule", 0, "the message breaks the rules of HTTP")          \
    X(h2_bad_header, "http2.invalid.header.field", 0, "a header field is not valid")                         \
    X(h2_headers_too_large, "http2.headers_too_large", 0, "the header or trailer section is too large")      \
    X(h2_too_many_headers, "http2.too_many_headers", 0, "too many header or trailer fields")                 \
    X(h2_flush_timeout, "http2.flush_timeout", 0, "the peer takes nothing of the answer")                    \
    /* HTTP/2: the connection. The peer gets GOAWAY. */                                                      \
    X(h2_protocol, "http2.protocol_error", 0, "the peer broke the rules of HTTP/2")                          \
    X(h2_goaway, "http2.remote_goaway", 0, "the peer ended the connection with an error")                    \
    X(h2_empty_frames, "http2.inbound_empty_frames_flood", 0, "too many consecutive frames without data")    \
    X(h2_priority_frames, "http2.inbound_priority_frames_flood", 0, "too many PRIORITY frames")              \
    X(h2_window_frames, "http2.inbound_window_update_frames_flood", 0, "too many WINDOW_UPDATE frames")      \
    X(h2_outbound_frames, "http2.outbound_frames_flood", 0, "the peer reads nothing of what it asks for")    \
    X(h2_control_frames, "http2.outbound_control_frames_flood", 0,                                           \
      "the peer does not read the answers to its PING and SETTINGS frames")                                  \
    /* What our own side tried to send. */                                                                   \
    X(bad_outgoing_head, "filter_removed_required_request_headers", 503,                                     \
      "a field that the head needs is missing, or a field could not be sent safely")                         \
    X(send_out_of_order, "internal_error", 0, "nothing more can be sent on this stream")                     \
    X(body_too_long, "internal_error", 0, "more body than the content-length that was sent")                 \
    X(body_too_short, "internal_error", 0, "less body than the content-length that was sent")
/* clang-format on */

#endif
