/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rows of protocol errors: X(name, details, status, text). `details` are Envoy's strings where Envoy has
 * one for the case. Add a row rather than reuse one that says something else.
 */
#ifndef WEIR_HTTP_ERROR_TABLE_H
#define WEIR_HTTP_ERROR_TABLE_H

#define HTTP_ERRORS(X)                                                                                       \
    X(peer_closed, "downstream_remote_disconnect", 0, "the peer closed in the middle of a message")

#endif
