/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates, session ticket keys and validation contexts in files of the form that Envoy's SDS by
 * path_config_source has: a DiscoveryResponse with Secrets. Read at each load of the TLS configuration that
 * names one; nothing is kept in between.
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
typedef Envoy__Extensions__TransportSockets__Tls__V3__CertificateValidationContext validation_message;
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

/* The secret of that name; NULL: `text` says that there is none of this type. */
static const secret_message *find(const struct config_doc *doc, const struct tls_secret_file *file, int type,
                                  const char *what, char text[TLS_SOURCE_TEXT_MAX])
{
    const response_message *response = (const response_message *)doc->root;
    for (size_t i = 0; i < response->n_resources; i++) {
        const secret_message *secret = config_any_unpack(
            doc, response->resources[i], &envoy__extensions__transport_sockets__tls__v3__secret__descriptor);
        if (secret && slice_eq(slice_str(secret->name), file->name) && (int)secret->type_case == type)
            return secret;
    }
    (void)snprintf(text, TLS_SOURCE_TEXT_MAX, "\"%s\": it has no %s of that name", file->path.ptr, what);
    return NULL;
}

/* The first error with its place, as one line. */
static void tell(const struct config_diag *diag, const char *path, char text[TLS_SOURCE_TEXT_MAX])
{
    if (diag->errors_count > 0)
        (void)snprintf(text, TLS_SOURCE_TEXT_MAX, "%s:%u:%u: %s%s%s", path, diag->errors[0].pos.line,
                       diag->errors[0].pos.column, diag->errors[0].path, diag->errors[0].path[0] ? ": " : "",
                       diag->errors[0].text);
    else
        fail(text, path, "it cannot be read as a DiscoveryResponse");
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
    if (!ok)
        tell(&diag, path, text);
    config_diag_fini(&diag);
    OPENSSL_cleanse(bytes, len);
    free(bytes);
    return ok;
}

bool config_secret_certificate(const struct tls_secret_file *file, struct arena *arena,
                               struct tls_certificate_sources *out, char text[TLS_SOURCE_TEXT_MAX])
{
    struct config_doc *doc;
    if (!read_document(file->path.ptr, &doc, text))
        return false;
    const secret_message *secret = find(doc, file, SECRET_CASE(TLS_CERTIFICATE), "tls_certificate", text);
    const certificate_message *in = secret ? secret->tls_certificate : NULL;
    bool ok = false;
    if (in && !in->pkcs12 && (!in->certificate_chain || !in->private_key))
        fail(text, file->path.ptr, "its certificate needs certificate_chain and private_key");
    else if (in && in->pkcs12 && (in->certificate_chain || in->private_key))
        fail(text, file->path.ptr, "its certificate has pkcs12 beside certificate_chain or private_key");
    else if (in &&
             (!take(in->certificate_chain, arena, &out->chain) || !take(in->private_key, arena, &out->key) ||
              !take(in->password, arena, &out->password) || !take(in->pkcs12, arena, &out->pkcs12) ||
              !take(in->ocsp_staple, arena, &out->ocsp_staple)))
        fail(text, file->path.ptr, "out of memory");
    else
        ok = in != NULL;
    config_doc_destroy(&doc);
    return ok;
}

/* --- session ticket keys --- */

static bool take_keys(const secret_message *secret, const char *path, struct arena *arena,
                      const struct tls_source **keys, char text[TLS_SOURCE_TEXT_MAX])
{
    const Envoy__Extensions__TransportSockets__Tls__V3__TlsSessionTicketKeys *in =
        secret->session_ticket_keys;
    struct tls_source *out;
    if (in->n_keys == 0 || in->n_keys > TLS_TICKET_KEYS_MAX)
        return fail(text, path, "it needs 1 to 16 keys");
    *keys = out = ARENA_NEW_N(arena, struct tls_source, in->n_keys);
    for (size_t i = 0; i < in->n_keys; i++) {
        if (!out || !take(in->keys[i], arena, &out[i]))
            return fail(text, path, "out of memory");
    }
    return true;
}

bool config_secret_ticket_keys(const struct tls_secret_file *file, struct arena *arena,
                               const struct tls_source **keys, size_t *count, char text[TLS_SOURCE_TEXT_MAX])
{
    struct config_doc *doc;
    if (!read_document(file->path.ptr, &doc, text))
        return false;
    const secret_message *secret =
        find(doc, file, SECRET_CASE(SESSION_TICKET_KEYS), "session_ticket_keys", text);
    bool ok = secret && take_keys(secret, file->path.ptr, arena, keys, text);
    *count = ok ? secret->session_ticket_keys->n_keys : 0;
    config_doc_destroy(&doc);
    return ok;
}

/* --- validation contexts --- */

#define VALIDATION_SCRATCH_BYTES_MAX (1u << 20)

static const struct tls_validation *make_validation(const struct config_doc *doc,
                                                    const struct tls_secret_file *file,
                                                    const validation_message *in,
                                                    char text[TLS_SOURCE_TEXT_MAX])
{
    const validation_message *messages[2];
    size_t count = 0;
    struct config_diag diag;
    struct builder b = {.doc = doc, .diag = &diag};
    validation_message *defaults =
        file->defaults.len
            ? envoy__extensions__transport_sockets__tls__v3__certificate_validation_context__unpack(
                  NULL, file->defaults.len, (const uint8_t *)file->defaults.ptr)
            : NULL;
    if (defaults)
        messages[count++] = defaults;
    messages[count++] = in;
    config_diag_init(&diag);
    arena_init(&b.scratch, VALIDATION_SCRATCH_BYTES_MAX, NULL);
    const struct tls_validation *made =
        file->defaults.len && !defaults
            ? NULL
            : builder_tls_validation_of(&b, messages, count, file->match_sni, NULL);
    if (!made && diag.errors_count > 0)
        tell(&diag, file->path.ptr, text);
    else if (!made)
        fail(text, file->path.ptr, "out of memory");
    arena_fini(&b.scratch);
    config_diag_fini(&diag);
    if (defaults)
        envoy__extensions__transport_sockets__tls__v3__certificate_validation_context__free_unpacked(defaults,
                                                                                                     NULL);
    return made;
}

const struct tls_validation *config_secret_validation(const struct tls_secret_file *file,
                                                      char text[TLS_SOURCE_TEXT_MAX])
{
    struct config_doc *doc;
    if (!read_document(file->path.ptr, &doc, text))
        return NULL;
    const secret_message *secret =
        find(doc, file, SECRET_CASE(VALIDATION_CONTEXT), "validation_context", text);
    const struct tls_validation *made =
        secret ? make_validation(doc, file, secret->validation_context, text) : NULL;
    config_doc_destroy(&doc);
    return made;
}
