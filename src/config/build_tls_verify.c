/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CertificateValidationContext to tls_validation, wherever it stands: in the context itself, as a static
 * secret, or one over the other. What Envoy refuses as insecure is refused here too.
 */
#include "config/build_tls.h"

#include "net/limits.h"
#include "net/tls_validation.h"
#include "proxy/routing/matcher.h"

#include <envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h>
#include <envoy/extensions/transport_sockets/tls/v3/tls.pb-c.h>
#include <openssl/obj.h>

typedef Envoy__Extensions__TransportSockets__Tls__V3__CertificateValidationContext validation_message;
typedef Envoy__Extensions__TransportSockets__Tls__V3__SubjectAltNameMatcher san_message;
typedef Envoy__Extensions__TransportSockets__Tls__V3__SdsSecretConfig secret_config_message;

#define COMMON_CASE(name)                                                                                    \
    ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__COMMON_TLS_CONTEXT__VALIDATION_CONTEXT_TYPE_##name

/* One context under way, of up to two messages. */
struct making {
    struct builder *b;
    struct tls_validation *v;
    const validation_message *ca_from; /* where errors about them belong */
    const validation_message *crl_from;
    const validation_message *last;
    struct tls_san_matcher *sans;
    struct tls_digest *hashes;
    struct tls_digest *spki;
    struct string_matcher *matchers;
};

/* --- names --- */

static bool match_text(const void *matcher, struct slice san)
{
    return string_matcher_match(matcher, san);
}

static void free_matchers(struct tls_validation *v)
{
    struct string_matcher *matchers = v->matchers;
    for (size_t i = 0; i < v->matchers_count; i++)
        string_matcher_fini(&matchers[i]);
    for (size_t i = 0; i < v->checks.sans_count; i++)
        ASN1_OBJECT_free((ASN1_OBJECT *)(uintptr_t)v->checks.sans[i].oid);
}

static void add_san(struct making *m, enum tls_san_type type, const struct string_matcher *matcher,
                    const ASN1_OBJECT *oid)
{
    const char *identity = arena_printf(&m->v->arena, "%d%d" SLICE_FMT, (int)matcher->kind,
                                        matcher->ignore_case, SLICE_ARG(matcher->value));
    struct tls_san_matcher *san = &m->sans[m->v->checks.sans_count++];
    *san = (struct tls_san_matcher){
        .type = type,
        .match = match_text,
        .matcher = matcher,
        .identity = slice_str(identity),
        .oid = oid,
    };
    /* Envoy: an exact DNS name is a host name. */
    if (type == TLS_SAN_DNS && matcher->kind == STRING_EXACT)
        san->host = matcher->value;
}

static struct string_matcher *add_matcher(struct making *m, const ProtobufCMessage *owner, const char *path,
                                          const Envoy__Type__Matcher__V3__StringMatcher *in)
{
    struct string_matcher *matcher = &m->matchers[m->v->matchers_count++];
    struct builder_finish finish;
    builder_finish_init(&finish, m->b, owner);
    builder_string_matcher(m->b, &m->v->arena, in, matcher);
    return string_matcher_finish(matcher, path, &finish.errors) ? matcher : NULL;
}

static void typed_san(struct making *m, const san_message *in)
{
    ASN1_OBJECT *oid = NULL;
    const int type = (int)in->san_type;
    if (!in->matcher || type < TLS_SAN_EMAIL || type > TLS_SAN_OTHER)
        return; /* the API requires both: reported already */
    const struct string_matcher *matcher = add_matcher(m, &in->base, "matcher", in->matcher);
    if (type == TLS_SAN_OTHER) {
        oid = OBJ_txt2obj(in->oid, 0);
        if (!oid)
            builder_error(m->b, in, "oid", "\"%s\" is no object identifier, which OTHER_NAME needs", in->oid);
    }
    if (matcher)
        add_san(m, (enum tls_san_type)type, matcher, oid);
    else
        ASN1_OBJECT_free(oid);
}

/* The older form means names of each of these types. */
static void untyped_san(struct making *m, const validation_message *in, size_t i)
{
    static const enum tls_san_type types[] = {TLS_SAN_DNS, TLS_SAN_URI, TLS_SAN_EMAIL, TLS_SAN_IP};
    char path[BUILD_PATH_BYTES_MAX];
    const struct string_matcher *matcher =
        add_matcher(m, &in->base, build_path(path, "", "match_subject_alt_names[%zu]", i),
                    in->match_subject_alt_names[i]);
    for (size_t t = 0; matcher && t < sizeof(types) / sizeof(*types); t++)
        add_san(m, types[t], matcher, NULL);
}

/* --- one message --- */

static void source(struct making *m, const Envoy__Config__Core__V3__DataSource *in, struct tls_source *out)
{
    *out = (struct tls_source){0};
    if (in->specifier_case == ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME)
        out->path = builder_text(m->b, &m->v->arena, in->filename);
    else
        out->content = builder_data_source(m->b, in, &m->v->arena, TLS_PEM_BYTES_MAX);
}

static void digests(struct making *m, const validation_message *in)
{
    struct tls_verify_config *checks = &m->v->checks;
    for (size_t i = 0; i < in->n_verify_certificate_hash; i++) {
        if (!tls_digest_from_hex(slice_str(in->verify_certificate_hash[i]),
                                 &m->hashes[checks->hashes_count++]))
            builder_error_item(m->b, in, "verify_certificate_hash", i,
                               "is no SHA-256 in hexadecimal: 64 digits, or 95 characters with colons");
    }
    for (size_t i = 0; i < in->n_verify_certificate_spki; i++) {
        if (!tls_digest_from_base64(slice_str(in->verify_certificate_spki[i]),
                                    &m->spki[checks->spki_count++]))
            builder_error_item(m->b, in, "verify_certificate_spki", i,
                               "is no SHA-256 in base64: 44 characters");
    }
}

static void apply(struct making *m, const validation_message *in)
{
    struct tls_verify_config *checks = &m->v->checks;
    m->last = in;
    if (in->trusted_ca && in->system_root_certs)
        builder_error(m->b, in, "system_root_certs", "stands beside trusted_ca; keep one of them");
    if (in->trusted_ca) {
        m->ca_from = in;
        source(m, in->trusted_ca, &m->v->ca);
        m->v->system_roots = false;
    } else if (in->system_root_certs) {
        m->ca_from = in;
        m->v->system_roots = true;
    }
    if (in->crl) {
        m->crl_from = in;
        source(m, in->crl, &m->v->crl);
    }
    for (size_t i = 0; i < in->n_match_typed_subject_alt_names; i++)
        typed_san(m, in->match_typed_subject_alt_names[i]);
    for (size_t i = 0; i < in->n_match_subject_alt_names; i++)
        untyped_san(m, in, i);
    digests(m, in);
    checks->allow_expired = checks->allow_expired || in->allow_expired_certificate;
    checks->only_leaf_crl = checks->only_leaf_crl || in->only_verify_leaf_cert_crl;
    checks->accept_untrusted = checks->accept_untrusted || in->trust_chain_verification != 0;
    if (in->max_verify_depth) {
        checks->max_depth = in->max_verify_depth->value;
        checks->max_depth_set = true;
    }
}

static void check(struct making *m)
{
    const struct tls_validation *v = m->v;
    if (tls_validation_has_ca(v))
        return;
    if (m->crl_from)
        builder_error(m->b, m->crl_from, "crl", "needs a trusted_ca: without one no chain is verified");
    if (v->checks.sans_count)
        builder_error(m->b, m->last,
                      m->last->n_match_typed_subject_alt_names ? "match_typed_subject_alt_names"
                      : m->last->n_match_subject_alt_names     ? "match_subject_alt_names"
                                                               : NULL,
                      "needs a trusted_ca: names in a certificate that nobody vouches for say nothing");
    if (v->checks.allow_expired)
        builder_error(m->b, m->last, NULL,
                      "allow_expired_certificate needs a trusted_ca: without one no date is looked at");
}

/* --- where the messages are --- */

static const secret_config_message *secret_config(const tls_common_message *in)
{
    if (in->validation_context_type_case == COMMON_CASE(VALIDATION_CONTEXT_SDS_SECRET_CONFIG))
        return in->validation_context_sds_secret_config;
    if (in->validation_context_type_case == COMMON_CASE(COMBINED_VALIDATION_CONTEXT))
        return in->combined_validation_context->validation_context_sds_secret_config;
    return NULL;
}

/* What stands in the context itself. */
static const validation_message *own_message(const tls_common_message *in)
{
    if (in->validation_context_type_case == COMMON_CASE(VALIDATION_CONTEXT))
        return in->validation_context;
    if (in->validation_context_type_case == COMMON_CASE(COMBINED_VALIDATION_CONTEXT))
        return in->combined_validation_context->default_validation_context;
    return NULL; /* none; the providers are refused by their class */
}

const secret_config_message *builder_tls_validation_secret(const tls_common_message *in)
{
    const secret_config_message *secret = secret_config(in);
    return secret && secret->sds_config ? secret : NULL;
}

struct slice builder_tls_validation_name(struct builder *b, struct arena *arena, const tls_common_message *in)
{
    const secret_config_message *secret = secret_config(in);
    return secret ? builder_text(b, arena, secret->name) : SLICE_EMPTY;
}

const struct tls_secret_file *builder_tls_validation_file(struct builder *b, struct arena *arena,
                                                          const tls_common_message *in, bool match_sni)
{
    const secret_config_message *secret = builder_tls_validation_secret(in);
    const validation_message *defaults = own_message(in);
    struct tls_secret_file *file = secret ? builder_tls_secret_file(b, arena, secret) : NULL;
    if (!file)
        return NULL;
    file->validation = config_secret_validation;
    file->match_sni = match_sni;
    size_t len = defaults ? protobuf_c_message_get_packed_size(&defaults->base) : 0;
    uint8_t *bytes = len ? builder_array(b, arena, len, 1) : NULL;
    if (bytes)
        file->defaults = slice_of(bytes, protobuf_c_message_pack(&defaults->base, bytes));
    return file;
}

/* At most two, in the order in which they apply. */
static size_t messages_of(struct builder *b, const tls_common_message *in, const validation_message *out[2])
{
    size_t count = 0;
    const validation_message *own = own_message(in);
    const secret_config_message *config = secret_config(in);
    const Envoy__Extensions__TransportSockets__Tls__V3__Secret *secret =
        config && !config->sds_config
            ? builder_tls_secret(b, config, SECRET_CASE(VALIDATION_CONTEXT), "validation_context")
            : NULL;
    if (own)
        out[count++] = own;
    if (secret)
        out[count++] = secret->validation_context;
    return count;
}

/* --- all together --- */

static bool make_arrays(struct making *m, const validation_message *const *messages, size_t count)
{
    size_t sans = 0, matchers = 0, hashes = 0, spki = 0;
    for (size_t i = 0; i < count; i++) {
        const validation_message *in = messages[i];
        matchers += in->n_match_typed_subject_alt_names + in->n_match_subject_alt_names;
        sans += in->n_match_typed_subject_alt_names + in->n_match_subject_alt_names * 4;
        hashes += in->n_verify_certificate_hash;
        spki += in->n_verify_certificate_spki;
    }
    struct arena *arena = &m->v->arena;
    m->sans = builder_array(m->b, arena, sans, sizeof *m->sans);
    m->matchers = builder_array(m->b, arena, matchers, sizeof *m->matchers);
    m->hashes = builder_array(m->b, arena, hashes, sizeof *m->hashes);
    m->spki = builder_array(m->b, arena, spki, sizeof *m->spki);
    m->v->checks.sans = m->sans;
    m->v->checks.hashes = m->hashes;
    m->v->checks.spki = m->spki;
    m->v->matchers = m->matchers;
    m->v->matchers_fini = free_matchers;
    return (m->sans || !sans) && (m->matchers || !matchers) && (m->hashes || !hashes) && (m->spki || !spki);
}

static void load(struct making *m, struct tls_verify **verify)
{
    char text[TLS_VALIDATION_TEXT_BYTES];
    switch (tls_validation_load(m->v, verify, text)) {
    case TLS_VERIFY_OK:
        break;
    case TLS_VERIFY_BAD_CA:
        builder_error(m->b, m->ca_from, m->v->system_roots ? "system_root_certs" : "trusted_ca", "%s", text);
        break;
    case TLS_VERIFY_BAD_CRL:
        builder_error(m->b, m->crl_from, "crl", "%s", text);
        break;
    case TLS_VERIFY_NO_MEMORY:
        builder_error(m->b, m->last, NULL, "out of memory");
        break;
    }
}

const struct tls_validation *builder_tls_validation_of(struct builder *b,
                                                       const validation_message *const *messages,
                                                       size_t count, bool match_sni,
                                                       struct tls_verify **verify)
{
    uint32_t before = b->diag->errors_total;
    if (verify)
        *verify = NULL;
    struct making m = {.b = b, .v = tls_validation_create()};
    if (!m.v) {
        builder_error(b, messages[0], NULL, "out of memory");
        return NULL;
    }
    m.v->checks.match_sni = match_sni;
    if (make_arrays(&m, messages, count)) {
        for (size_t i = 0; i < count; i++)
            apply(&m, messages[i]);
        check(&m);
        if (verify && b->diag->errors_total == before)
            load(&m, verify);
    }
    const struct tls_validation *done = m.v;
    if (b->diag->errors_total != before || b->out_of_memory)
        tls_validation_unref(&done);
    return done;
}

const struct tls_validation *builder_tls_validation(struct builder *b, const tls_common_message *in,
                                                    bool match_sni, struct tls_verify **verify)
{
    const validation_message *messages[2];
    size_t count = messages_of(b, in, messages);
    *verify = NULL;
    return count ? builder_tls_validation_of(b, messages, count, match_sni, verify) : NULL;
}
