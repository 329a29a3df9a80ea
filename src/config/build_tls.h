/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transport sockets with TLS, for the build_*.c files of both sides. Private to this room.
 */
#ifndef WEIR_CONFIG_BUILD_TLS_H
#define WEIR_CONFIG_BUILD_TLS_H

#include "config/builder.h"
#include "net/tls_config.h"

#include <envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h>

struct listener_config;
typedef Envoy__Extensions__TransportSockets__Tls__V3__DownstreamTlsContext downstream_tls_message;

/* What both sides have: certificates, limits, ALPN, validation. `stat_prefix` ends in a dot. One reference,
 * not loaded yet; the caller sets what its side has beyond that, and finishes. NULL when memory is out
 * (reported). */
struct tls_config *builder_tls_common(struct builder *b, const tls_common_message *in, bool server,
                                      bool match_sni, struct slice stat_prefix, struct slice owner);
/* Loads it, if there were no errors since `errors_before`; takes the reference over. NULL after an error. */
const struct tls_config *builder_tls_finish(struct builder *b, const tls_common_message *in,
                                            struct tls_config *c, uint32_t errors_before);
/* Its files are looked at from now on, and /certs shows it. */
bool builder_keep_tls(struct builder *b, const struct tls_config *c);
#define SECRET_CASE(name) ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_##name
/* A static secret of this type (`what` in words); NULL after an error. */
const Envoy__Extensions__TransportSockets__Tls__V3__Secret *
builder_tls_secret(struct builder *b, const Envoy__Extensions__TransportSockets__Tls__V3__SdsSecretConfig *in,
                   int type, const char *what);

/* Where a secret of a file is; the caller sets the function that reads it. NULL after an error. */
struct tls_secret_file *
builder_tls_secret_file(struct builder *b, struct arena *arena,
                        const Envoy__Extensions__TransportSockets__Tls__V3__SdsSecretConfig *in);

/* build_tls_verify.c. The validation's secret, when it is one of a file; else NULL. */
const Envoy__Extensions__TransportSockets__Tls__V3__SdsSecretConfig *
builder_tls_validation_secret(const tls_common_message *in);
/* The name of the validation's secret, wherever it stands; empty: none. */
struct slice builder_tls_validation_name(struct builder *b, struct arena *arena,
                                         const tls_common_message *in);
/* The same as what a load reads; NULL: it is no file, or after an error. */
const struct tls_secret_file *builder_tls_validation_file(struct builder *b, struct arena *arena,
                                                          const tls_common_message *in, bool match_sni);
/* Of up to two messages, the later ones over the earlier; `verify` not NULL: loads it, too. One reference;
 * NULL after an error.
 */
const struct tls_validation *builder_tls_validation_of(
    struct builder *b,
    const Envoy__Extensions__TransportSockets__Tls__V3__CertificateValidationContext *const *messages,
    size_t count, bool match_sni, struct tls_verify **verify);

/* secret_file.c: what tls_secret_file calls. */
bool config_secret_certificate(const struct tls_secret_file *file, struct arena *arena,
                               struct tls_certificate_sources *out, char text[TLS_SOURCE_TEXT_MAX]);
bool config_secret_ticket_keys(const struct tls_secret_file *file, struct arena *arena,
                               const struct tls_source **keys, size_t *count, char text[TLS_SOURCE_TEXT_MAX]);
const struct tls_validation *config_secret_validation(const struct tls_secret_file *file,
                                                      char text[TLS_SOURCE_TEXT_MAX]);

/* One reference, or NULL after an error. The listener's name, address and stat_prefix are set. */
const struct tls_config *builder_downstream_tls(struct builder *b, const downstream_tls_message *in,
                                                const struct listener_config *l);

#endif
