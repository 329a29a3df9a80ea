/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A CertificateValidationContext as configured: what is wanted of peers, and where the CAs come from. Counted
 * by reference and immutable once sealed; tls_validation_load makes a verifier of what the files hold now, so
 * that a changed file gives another verifier of the same configuration. Reads files: never on a worker.
 */
#ifndef WEIR_NET_TLS_VALIDATION_H
#define WEIR_NET_TLS_VALIDATION_H

#include "base/arena.h"
#include "net/tls_source.h"
#include "net/tls_verify.h"

#include <stdatomic.h>

struct tls_validation {
    atomic_uint refs;
    struct arena arena;
    struct tls_source ca; /* both empty: chains are not verified */
    struct tls_source crl;
    bool system_roots;               /* the system's bundle takes the place of `ca` */
    struct tls_verify_config checks; /* without trusted_ca, crl and owner */
    /* Of who filled it: what the matchers need, and how that is freed. NULL: nothing to do. */
    void *matchers;
    size_t matchers_count;
    void (*matchers_fini)(struct tls_validation *v);
};

/* With one reference. NULL when memory is out. */
struct tls_validation *tls_validation_create(void);
const struct tls_validation *tls_validation_ref(const struct tls_validation *v);
/* NULL is fine. [any thread] */
void tls_validation_unref(const struct tls_validation **v);

/* Envoy's place of the system's CAs: the first of the usual bundles that is there. NULL: none. */
const char *tls_system_roots(void);
bool tls_validation_has_ca(const struct tls_validation *v);
/* The files it depends on; at most TLS_VALIDATION_FILES. */
#define TLS_VALIDATION_FILES 2u
size_t tls_validation_files(const struct tls_validation *v, const char *paths[TLS_VALIDATION_FILES]);

#define TLS_VALIDATION_TEXT_BYTES 256u
/* `text` says what is wrong when the result is not TLS_VERIFY_OK. */
enum tls_verify_error tls_validation_load(const struct tls_validation *v, struct tls_verify **out,
                                          char text[TLS_VALIDATION_TEXT_BYTES]);

#endif
