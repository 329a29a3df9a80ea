/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TLS configuration as configured: limits, and where certificates, keys and authorities come from. What
 * the files hold makes a tls_context; when they change, another one takes its place, and connections go on
 * with theirs. Counted by reference; apart from the present context immutable once it is in use. Loading
 * reads files: never on a worker.
 */
#ifndef WEIR_NET_TLS_CONFIG_H
#define WEIR_NET_TLS_CONFIG_H

#include "net/tls_context.h"
#include "net/tls_source.h"
#include "net/tls_validation.h"

struct tls_certificate_sources;

/* A file that has a secret under a name. One of the functions is there, by the kind of secret; false or NULL:
 * `text` says what is wrong. Not on a worker. */
struct tls_secret_file {
    struct slice path; /* NUL-terminated */
    struct slice name;
    /* Where the parts are, in `arena`. */
    bool (*certificate)(const struct tls_secret_file *file, struct arena *arena,
                        struct tls_certificate_sources *out, char text[TLS_SOURCE_TEXT_MAX]);
    bool (*ticket_keys)(const struct tls_secret_file *file, struct arena *arena,
                        const struct tls_source **keys, size_t *count, char text[TLS_SOURCE_TEXT_MAX]);
    /* One reference. */
    const struct tls_validation *(*validation)(const struct tls_secret_file *file,
                                               char text[TLS_SOURCE_TEXT_MAX]);
    struct slice defaults; /* of a validation, in the reader's own form: what the secret goes over */
    bool match_sni;        /* tls_verify_config's */
};

/* A certificate's parts. */
struct tls_certificate_sources {
    const struct tls_secret_file *file; /* which says the rest at each load; NULL: it stands here */
    struct slice name;                  /* of its secret; empty: none */
    struct tls_source chain;
    struct tls_source key;
    struct tls_source password;
    struct tls_source pkcs12; /* in place of chain and key */
    struct tls_source ocsp_staple;
};

struct tls_config {
    atomic_uint refs;
    struct arena arena;
    struct slice owner; /* "listener 127.0.0.1:8443", for the log */
    /* Without certificates, verifier and ticket keys, which are made from the following. */
    struct tls_settings settings;
    const struct tls_certificate_sources *certificates;
    size_t certificates_count;
    const struct tls_source *ticket_keys; /* none: keys of our own */
    size_t ticket_keys_count;
    const struct tls_secret_file *ticket_keys_file; /* which has the keys at each load; NULL: none */
    struct log_file *key_log_file;           /* owned reference, that of settings.key_log; NULL: none */
    const struct tls_validation *validation; /* owned reference; NULL without the next: any peer will do */
    const struct tls_secret_file *validation_file; /* which has it at each load; NULL: none */
    struct slice validation_name;                  /* of its secret; empty: none */
    struct tls_stats *stats;                       /* owned reference */
    struct tls_config_state *state;                /* private */
};

/* One reference; to be filled, then loaded. NULL when memory is out. */
struct tls_config *tls_config_create(void);
const struct tls_config *tls_config_ref(const struct tls_config *c);
/* [any thread] NULL content is fine. */
void tls_config_unref(const struct tls_config **c);

/* Reads the files and makes the context that is used from now on. false: the one before stays. One thread at
 * a time. */
bool tls_config_load(const struct tls_config *c, struct tls_setting_error *error);
/* Whether a file looks other than when it was read last. */
bool tls_config_changed(const struct tls_config *c);
bool tls_config_has_files(const struct tls_config *c);
/* [any thread] The first certificate of the authorities, as their file holds it at this moment, and that file
 * (empty: inline). false: there are none, or they cannot be read now. Texts lie in `arena`. */
bool tls_config_authority(const struct tls_config *c, struct arena *arena, struct slice *path,
                          struct tls_certificate_info *out);
/* [any thread] A reference to the validation in use; NULL: any peer will do, or nothing was loaded yet. */
const struct tls_validation *tls_config_validation(const struct tls_config *c);
/* [any thread] A reference to the present context; NULL before the first load. */
const struct tls_context *tls_config_context(const struct tls_config *c);

#endif
