/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates in files of the form that Envoy's SDS by path_config_source has: a DiscoveryResponse with
 * Secrets. Read at each load of the TLS configuration that names one; nothing is kept in between.
 */
#include "config/build_tls.h"
#include "config/load.h"
#include "net/limits.h"
#include "net/tls_source.h"

#include <envoy/service/discovery/v3/discovery.pb-c.h>
#include <openssl/mem.h>
#include <stdio.h>
#include <stdlib.h>

typedef Envoy__Service__Discovery__V3__DiscoveryResponse response_message;
typedef Envoy__Extensions__TransportSockets__Tls__V3__Secret secret_message;
typedef Envoy__Extensions__TransportSockets__Tls__V3__TlsCertificate certificate_message;
typedef Envoy__Config__Core__V3__DataSource source_message;

static bool fail(char text[TLS_SOURCE_TEXT_MAX], const char *path, const char *what)
{
    (void)snprintf(text, TLS_SOURCE_TEXT_MAX, "\"%s\": %s", path, what);
    return false;
}

static bool take(const source_message *in, struct arena *arena, struct tls_source *out)
{
    const char *value = NULL;
    *out = (struct tls_source){0};
    if (!in)
        return true;
    switch (in->specifier_case) {
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME:
        out->path = arena_dup(arena, slice_str(in->filename));
        return out->path.ptr != NULL;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES:
        out->content = arena_dup(arena, slice_of(in->inline_bytes.data, in->inline_bytes.len));
        return out->content.ptr != NULL;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING:
        value = in->inline_string;
        break;
    case ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_ENVIRONMENT_VARIABLE:
        value = getenv(in->environment_variable);
        break;
    default:
        break;
    }
    out->content = arena_dup(arena, slice_str(value ? value : ""));
    return out->content.ptr != NULL;
}

static const certificate_message *find(const struct config_doc *doc, struct slice name)
{
    const response_message *response = (const response_message *)doc->root;
    for (size_t i = 0; i < response->n_resources; i++) {
        const secret_message *secret = config_any_unpack(
            doc, response->resources[i], &envoy__extensions__transport_sockets__tls__v3__secret__descriptor);
        if (secret && slice_eq(slice_str(secret->name), name) &&
            secret->type_case == ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_TLS_CERTIFICATE)
            return secret->tls_certificate;
    }
    return NULL;
}

static bool read_document(const char *path, struct config_doc **doc, char text[TLS_SOURCE_TEXT_MAX])
{
    struct config_diag diag;
    size_t len;
    char *bytes = tls_file_read(path, &len, text);
    if (!bytes)
        return false;
    config_diag_init(&diag);
    bool ok = config_load_text(&envoy__service__discovery__v3__discovery_response__descriptor, path,
                               slice_of(bytes, len), &diag, doc) == CONFIG_OK;
    if (!ok && diag.errors_count > 0)
        (void)snprintf(text, TLS_SOURCE_TEXT_MAX, "%s:%u:%u: %s%s%s", path, diag.errors[0].pos.line,
                       diag.errors[0].pos.column, diag.errors[0].path, diag.errors[0].path[0] ? ": " : "",
                       diag.errors[0].text);
    else if (!ok)
        fail(text, path, "it cannot be read as a DiscoveryResponse");
    config_diag_fini(&diag);
    OPENSSL_cleanse(bytes, len);
    free(bytes);
    return ok;
}

bool config_secret_file(const struct tls_secret_file *file, struct arena *arena,
                        struct tls_certificate_sources *out, char text[TLS_SOURCE_TEXT_MAX])
{
    struct config_doc *doc;
    if (!read_document(file->path.ptr, &doc, text))
        return false;
    const certificate_message *in = find(doc, file->name);
    bool ok = false;
    if (!in)
        fail(text, file->path.ptr, "it has no tls_certificate of that name");
    else if (!in->certificate_chain || !in->private_key)
        fail(text, file->path.ptr, "its certificate needs certificate_chain and private_key");
    else if (!take(in->certificate_chain, arena, &out->chain) || !take(in->private_key, arena, &out->key) ||
             !take(in->password, arena, &out->password) || !take(in->ocsp_staple, arena, &out->ocsp_staple))
        fail(text, file->path.ptr, "out of memory");
    else
        ok = true;
    config_doc_destroy(&doc);
    return ok;
}
