/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loading CAs and revocation lists.
 */
#include "net/tls_validation.h"

#include "base/assert.h"
#include "base/refs.h"
#include "net/limits.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct tls_validation *tls_validation_create(void)
{
    struct tls_validation *v = calloc(1, sizeof *v);
    if (!v)
        return NULL;
    atomic_init(&v->refs, 1);
    arena_init(&v->arena, TLS_VALIDATION_BYTES_MAX, NULL);
    return v;
}

static struct tls_validation *own(const struct tls_validation *v)
{
    return (struct tls_validation *)(uintptr_t)v;
}

const struct tls_validation *tls_validation_ref(const struct tls_validation *v)
{
    refs_take(&own(v)->refs);
    return v;
}

void tls_validation_unref(const struct tls_validation **validation)
{
    struct tls_validation *v = own(*validation);
    *validation = NULL;
    if (!v)
        return;
    if (!refs_drop(&v->refs))
        return;
    if (v->matchers_fini)
        v->matchers_fini(v);
    arena_fini(&v->arena);
    free(v);
}

const char *tls_system_roots(void)
{
    static const char *const bundles[] = {
        "/etc/ssl/certs/ca-certificates.crt",                /* Debian */
        "/etc/pki/tls/certs/ca-bundle.crt",                  /* Fedora, RHEL 6 */
        "/etc/ssl/ca-bundle.pem",                            /* OpenSUSE */
        "/etc/pki/tls/cacert.pem",                           /* OpenELEC */
        "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", /* RHEL 7 */
        "/etc/ssl/cert.pem",                                 /* Alpine */
    };
    for (size_t i = 0; i < sizeof(bundles) / sizeof(*bundles); i++) {
        if (access(bundles[i], R_OK) == 0)
            return bundles[i];
    }
    return NULL;
}

static const char *ca_path(const struct tls_validation *v)
{
    return v->system_roots ? tls_system_roots() : v->ca.path.len ? v->ca.path.ptr : NULL;
}

bool tls_validation_has_ca(const struct tls_validation *v)
{
    return v->system_roots || v->ca.path.len || v->ca.content.len;
}

size_t tls_validation_files(const struct tls_validation *v, const char *paths[TLS_VALIDATION_FILES])
{
    size_t count = 0;
    const char *ca = ca_path(v);
    if (ca)
        paths[count++] = ca;
    if (v->crl.path.len)
        paths[count++] = v->crl.path.ptr;
    return count;
}

/* What one source holds now. false: `text` says why not. *file is to be freed. */
static bool content(const char *path, struct slice inline_content, struct slice *out, char **file,
                    char text[TLS_VALIDATION_TEXT_BYTES])
{
    size_t len = 0;
    *file = NULL;
    *out = inline_content;
    if (!path)
        return true;
    *file = tls_file_read(path, &len, text);
    *out = slice_of(*file, len);
    return *file != NULL;
}

static void release(void *owner)
{
    const struct tls_validation *v = owner;
    tls_validation_unref(&v);
}

enum tls_verify_error tls_validation_load(const struct tls_validation *v, struct tls_verify **out,
                                          char text[TLS_VALIDATION_TEXT_BYTES])
{
    struct tls_verify_config config = v->checks;
    char *ca_file = NULL, *crl_file = NULL;
    enum tls_verify_error rc = TLS_VERIFY_OK;
    *out = NULL;
    text[0] = '\0';
    if (v->system_roots && !ca_path(v)) {
        (void)snprintf(text, TLS_VALIDATION_TEXT_BYTES, "the system has no bundle of root certificates");
        return TLS_VERIFY_BAD_CA;
    }
    if (!content(ca_path(v), v->ca.content, &config.trusted_ca, &ca_file, text))
        rc = TLS_VERIFY_BAD_CA;
    else if (!content(v->crl.path.len ? v->crl.path.ptr : NULL, v->crl.content, &config.crl, &crl_file, text))
        rc = TLS_VERIFY_BAD_CRL;
    else if (tls_validation_has_ca(v) && config.trusted_ca.len == 0)
        rc = TLS_VERIFY_BAD_CA; /* an empty file must not mean that nothing is verified */
    if (rc == TLS_VERIFY_OK) {
        config.owner = own(tls_validation_ref(v));
        config.sans_release = release;
        rc = tls_verify_create(&config, out);
    }
    free(ca_file);
    free(crl_file);
    if (rc != TLS_VERIFY_OK && !text[0])
        (void)snprintf(text, TLS_VALIDATION_TEXT_BYTES, "%s",
                       rc == TLS_VERIFY_BAD_CA    ? "there is no certificate in it that can be read"
                       : rc == TLS_VERIFY_BAD_CRL ? "there is no revocation list in it that can be read"
                                                  : "out of memory");
    return rc;
}
