/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CommonTlsContext to tls_config, for both sides, and DownstreamTlsContext. Certificates stand in the context
 * or are named there and stand as static secrets. Loads what the files hold, so that a wrong one is an error
 * with a place; reads them again later only through tls_config.
 */
#include "config/build_tls.h"

#include "net/limits.h"
#include "proxy/listener/listener_config.h"
#include "telemetry/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

typedef Envoy__Extensions__TransportSockets__Tls__V3__TlsCertificate certificate_message;
typedef Envoy__Extensions__TransportSockets__Tls__V3__TlsParameters params_message;
typedef Envoy__Extensions__TransportSockets__Tls__V3__TlsSessionTicketKeys ticket_keys_message;
typedef Envoy__Extensions__TransportSockets__Tls__V3__SdsSecretConfig secret_config_message;
typedef Envoy__Extensions__TransportSockets__Tls__V3__Secret secret_message;
typedef Envoy__Config__Core__V3__DataSource source_message;

#define TICKETS_CASE(name)                                                                                   \
    ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__DOWNSTREAM_TLS_CONTEXT__SESSION_TICKET_KEYS_TYPE_##name

/* --- sources and secrets --- */

static void source(struct builder *b, struct arena *arena, const source_message *in, struct tls_source *out)
{
    *out = (struct tls_source){0};
    if (!in)
        return;
    if (in->specifier_case == ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_FILENAME)
        out->path = builder_text(b, arena, in->filename);
    else
        out->content = builder_data_source(b, in, arena, TLS_PEM_BYTES_MAX);
}

const secret_message *builder_tls_secret(struct builder *b, const secret_config_message *in, int type,
                                         const char *what)
{
    const Envoy__Config__Bootstrap__V3__Bootstrap__StaticResources *r =
        config_bootstrap(b->doc)->static_resources;
    bool other = false; /* each kind has names of its own */
    for (size_t i = 0; r && i < r->n_secrets; i++) {
        const secret_message *secret = r->secrets[i];
        if (strcmp(secret->name, in->name) != 0)
            continue;
        if ((int)secret->type_case == type)
            return secret;
        other = true;
    }
    if (other)
        builder_error(b, in, "name", "the secret \"%s\" is no %s", in->name, what);
    else
        builder_error(b, in, "name", "static_resources.secrets has no \"%s\"", in->name);
    return NULL;
}

struct tls_secret_file *builder_tls_secret_file(struct builder *b, struct arena *arena,
                                                const secret_config_message *in)
{
    const Envoy__Config__Core__V3__ConfigSource *sds = in->sds_config;
    if (sds->config_source_specifier_case ==
        ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER_PATH_CONFIG_SOURCE) {
        struct tls_secret_file *file = builder_array(b, arena, 1, sizeof *file);
        if (file) {
            file->path = builder_text(b, arena, sds->path_config_source->path);
            file->name = builder_text(b, arena, in->name);
        }
        return file;
    }
    if (sds->config_source_specifier_case ==
        ENVOY__CONFIG__CORE__V3__CONFIG_SOURCE__CONFIG_SOURCE_SPECIFIER__NOT_SET) /* others: by their class */
        builder_error(b, in, "sds_config", "says no place: set path_config_source");
    return NULL;
}

/* The secret that is the i-th certificate, when it stands in a file of its own. */
static const secret_config_message *file_at(const tls_common_message *in, size_t i)
{
    if (i < in->n_tls_certificates)
        return NULL;
    const secret_config_message *secret = in->tls_certificate_sds_secret_configs[i - in->n_tls_certificates];
    return secret->sds_config ? secret : NULL;
}

/* The i-th certificate: those of the context first, then those of secrets. */
static const certificate_message *certificate_at(struct builder *b, const tls_common_message *in, size_t i)
{
    if (i < in->n_tls_certificates)
        return in->tls_certificates[i];
    i -= in->n_tls_certificates;
    const secret_message *secret = builder_tls_secret(b, in->tls_certificate_sds_secret_configs[i],
                                                      SECRET_CASE(TLS_CERTIFICATE), "tls_certificate");
    return secret ? secret->tls_certificate : NULL;
}

/* --- CommonTlsContext --- */

static void certificate(struct builder *b, struct arena *arena, const certificate_message *in,
                        struct tls_certificate_sources *out)
{
    if (in->pkcs12 && (in->certificate_chain || in->private_key))
        builder_error(b, in, "pkcs12", "stands beside certificate_chain or private_key; it has both in it");
    if (!in->pkcs12 && !in->certificate_chain)
        builder_error(b, in, "certificate_chain",
                      "is required: the certificate, and those between it and a root");
    if (!in->pkcs12 && !in->private_key)
        builder_error(b, in, "private_key", "is required");
    source(b, arena, in->pkcs12, &out->pkcs12);
    source(b, arena, in->certificate_chain, &out->chain);
    source(b, arena, in->private_key, &out->key);
    source(b, arena, in->password, &out->password);
    source(b, arena, in->ocsp_staple, &out->ocsp_staple);
}

static void certificates(struct builder *b, const tls_common_message *in, struct tls_config *c)
{
    size_t count = in->n_tls_certificates + in->n_tls_certificate_sds_secret_configs;
    struct tls_certificate_sources *out = builder_array(b, &c->arena, count, sizeof *out);
    for (size_t i = 0; out && i < count; i++) {
        const secret_config_message *file = file_at(in, i);
        const certificate_message *one = file ? NULL : certificate_at(b, in, i);
        struct tls_secret_file *place = file ? builder_tls_secret_file(b, &c->arena, file) : NULL;
        if (place)
            place->certificate = config_secret_certificate;
        out[i].file = place;
        if (i >= in->n_tls_certificates)
            out[i].name = builder_text(
                b, &c->arena, in->tls_certificate_sds_secret_configs[i - in->n_tls_certificates]->name);
        if (one)
            certificate(b, &c->arena, one, &out[i]);
    }
    c->certificates = out;
    c->certificates_count = out ? count : 0;
}

/* The items of a list as the library reads them: with colons between. */
static struct slice joined(struct builder *b, struct arena *arena, char *const *items, size_t count)
{
    struct strbuf text;
    strbuf_init(&text, TLS_LIST_BYTES_MAX);
    for (size_t i = 0; i < count; i++)
        strbuf_printf(&text, "%s%s", i ? ":" : "", items[i]);
    struct slice out = count ? builder_bytes(b, arena, text.ptr, text.len) : SLICE_EMPTY;
    strbuf_fini(&text);
    return out;
}

/* TLS_AUTO is 0, TLS 1.0 is 1: the wire's 0x0301. */
static uint16_t version(int configured, uint16_t unset)
{
    return configured > 0 ? (uint16_t)(0x0300 + configured) : unset;
}

static void params(struct builder *b, const params_message *in, struct tls_config *c)
{
    struct tls_settings *s = &c->settings;
    s->version_min = version(in ? (int)in->tls_minimum_protocol_version : 0, 0x0303);
    s->version_max = version(in ? (int)in->tls_maximum_protocol_version : 0, s->server ? 0x0304 : 0x0303);
    if (!in)
        return;
    if (!s->server && s->version_max < s->version_min)
        s->version_max = in->tls_maximum_protocol_version ? s->version_max : s->version_min;
    s->cipher_suites = joined(b, &c->arena, in->cipher_suites, in->n_cipher_suites);
    s->groups = joined(b, &c->arena, in->ecdh_curves, in->n_ecdh_curves);
    s->sigalgs = joined(b, &c->arena, in->signature_algorithms, in->n_signature_algorithms);
}

static void alpn(struct builder *b, const tls_common_message *in, struct tls_config *c)
{
    c->settings.alpn = builder_texts(b, &c->arena, in->alpn_protocols, in->n_alpn_protocols);
    c->settings.alpn_count = c->settings.alpn ? in->n_alpn_protocols : 0;
}

static void key_log(struct builder *b, const Envoy__Extensions__TransportSockets__Tls__V3__TlsKeyLog *in,
                    struct tls_config *c)
{
    struct tls_key_log *out = &c->settings.key_log;
    if (!in)
        return;
    out->file = c->key_log_file = builder_log_file(b, &in->base, "path", in->path, true);
    out->local = builder_cidrs(b, &c->arena, &in->base, "local_address_range", in->local_address_range,
                               in->n_local_address_range);
    out->local_count = out->local ? in->n_local_address_range : 0;
    out->remote = builder_cidrs(b, &c->arena, &in->base, "remote_address_range", in->remote_address_range,
                                in->n_remote_address_range);
    out->remote_count = out->remote ? in->n_remote_address_range : 0;
}

struct tls_config *builder_tls_common(struct builder *b, const tls_common_message *in, bool server,
                                      bool match_sni, struct slice stat_prefix, struct slice owner)
{
    struct tls_verify *verify = NULL;
    struct tls_config *c = tls_config_create();
    if (!c) {
        builder_error(b, in, NULL, "out of memory");
        return NULL;
    }
    c->settings.server = server;
    c->owner = builder_bytes(b, &c->arena, owner.ptr, owner.len);
    c->stats = tls_stats_create(stat_prefix);
    if (!c->stats)
        builder_error(b, in, NULL, "out of memory");
    certificates(b, in, c);
    params(b, in->tls_params, c);
    alpn(b, in, c);
    key_log(b, in->key_log, c);
    c->validation_name = builder_tls_validation_name(b, &c->arena, in);
    c->validation_file = builder_tls_validation_file(b, &c->arena, in, match_sni);
    if (!c->validation_file)
        c->validation = builder_tls_validation(b, in, match_sni, &verify);
    tls_verify_destroy(&verify); /* it was only to see that there is one */
    return c;
}

/* --- loading --- */

static void report(struct builder *b, const tls_common_message *in, const struct tls_setting_error *e)
{
    const certificate_message *one;
    const secret_config_message *file;
    switch (e->setting) {
    case TLS_SETTING_SECRET:
    case TLS_SETTING_CHAIN:
    case TLS_SETTING_KEY:
    case TLS_SETTING_PASSWORD:
    case TLS_SETTING_OCSP:
    case TLS_SETTING_PKCS12:
        file = file_at(in, e->index);
        one = file ? NULL : certificate_at(b, in, e->index);
        if (file && e->setting == TLS_SETTING_SECRET)
            builder_error(b, file, "sds_config", "%s", e->text);
        else if (file)
            builder_error(b, file, "sds_config", "%s: %s", tls_setting_name(e->setting), e->text);
        if (one)
            builder_error(b, one, tls_setting_name(e->setting), "%s", e->text);
        break;
    case TLS_SETTING_CIPHERS:
    case TLS_SETTING_GROUPS:
    case TLS_SETTING_SIGALGS:
    case TLS_SETTING_VERSIONS:
        if (in->tls_params)
            builder_error(b, in->tls_params, tls_setting_name(e->setting), "%s", e->text);
        else
            builder_error(b, in, "tls_params", "%s", e->text);
        break;
    case TLS_SETTING_ALPN:
        builder_error_item(b, in, "alpn_protocols", e->index, "%s", e->text);
        break;
    case TLS_SETTING_VALIDATION_SECRET:
        builder_error(b, builder_tls_validation_secret(in), "sds_config", "%s", e->text);
        break;
    case TLS_SETTING_NONE:
    case TLS_SETTING_TICKET_KEYS:
    case TLS_SETTING_TICKET_KEYS_SECRET:
    case TLS_SETTING_CA:
    case TLS_SETTING_CRL:
        if (tls_setting_name(e->setting)[0])
            builder_error(b, in, NULL, "%s: %s", tls_setting_name(e->setting), e->text);
        else
            builder_error(b, in, NULL, "%s", e->text);
        break;
    }
}

/* Such a configuration is not refused: the proxy must come up again after its certificate ran out. */
static void warn_of_dates(const struct tls_config *c)
{
    const struct tls_context *context = tls_config_context(c);
    int64_t now = (int64_t)time(NULL);
    for (size_t i = 0; context && i < tls_context_certificates(context); i++) {
        const struct tls_certificate_info *info = tls_context_certificate(context, i).info;
        if (info->not_after < now || info->not_before > now)
            log_write(CONFIG, WARN, SLICE_FMT ": certificate \"" SLICE_FMT "\" %s", SLICE_ARG(c->owner),
                      SLICE_ARG(info->subject), info->not_after < now ? "has expired" : "is not valid yet");
    }
    tls_context_unref(&context);
}

const struct tls_config *builder_tls_finish(struct builder *b, const tls_common_message *in,
                                            struct tls_config *c, uint32_t errors_before)
{
    struct tls_setting_error error;
    const struct tls_config *done = c;
    if (b->diag->errors_total == errors_before && !b->out_of_memory) {
        if (tls_config_load(c, &error))
            warn_of_dates(c);
        else
            report(b, in, &error);
    }
    if (b->diag->errors_total != errors_before || b->out_of_memory || !builder_keep_tls(b, done))
        tls_config_unref(&done);
    return done;
}

bool builder_keep_tls(struct builder *b, const struct tls_config *c)
{
    const struct tls_config **more = reallocarray(b->out->tls, b->out->tls_count + 1, sizeof(b->out->tls[0]));
    if (!more) {
        config_diag_error(b->diag, (struct config_pos){b->doc->sources[0], 0, 0}, "", "out of memory");
        return false;
    }
    b->out->tls = more;
    b->out->tls[b->out->tls_count++] = tls_config_ref(c);
    return true;
}

/* --- DownstreamTlsContext --- */

static void ticket_keys(struct builder *b, const ticket_keys_message *in, struct tls_config *c)
{
    if (in->n_keys > TLS_TICKET_KEYS_MAX) {
        builder_error(b, in, "keys", "are too many: %d at most", TLS_TICKET_KEYS_MAX);
        return;
    }
    struct tls_source *out = builder_array(b, &c->arena, in->n_keys, sizeof *out);
    for (size_t i = 0; out && i < in->n_keys; i++) {
        source(b, &c->arena, in->keys[i], &out[i]);
        if (out[i].path.len == 0 && out[i].content.len != TLS_TICKET_KEY_BYTES)
            builder_error_item(b, in, "keys", i, "has %zu bytes; a session ticket key has %d",
                               out[i].content.len, TLS_TICKET_KEY_BYTES);
    }
    c->ticket_keys = out;
    c->ticket_keys_count = out ? in->n_keys : 0;
}

static void ticket_keys_file(struct builder *b, const secret_config_message *in, struct tls_config *c)
{
    struct tls_secret_file *file = builder_tls_secret_file(b, &c->arena, in);
    if (file)
        file->ticket_keys = config_secret_ticket_keys;
    c->ticket_keys_file = file;
}

static void sessions(struct builder *b, const downstream_tls_message *in, struct tls_config *c)
{
    const secret_message *secret;
    c->settings.no_stateful_resumption = in->disable_stateful_session_resumption != 0;
    if (in->session_timeout)
        c->settings.session_timeout_s = (uint32_t)in->session_timeout->seconds;
    switch (in->session_ticket_keys_type_case) {
    case TICKETS_CASE(DISABLE_STATELESS_SESSION_RESUMPTION):
        c->settings.no_tickets = in->disable_stateless_session_resumption != 0;
        break;
    case TICKETS_CASE(SESSION_TICKET_KEYS):
        ticket_keys(b, in->session_ticket_keys, c);
        break;
    case TICKETS_CASE(SESSION_TICKET_KEYS_SDS_SECRET_CONFIG):
        if (in->session_ticket_keys_sds_secret_config->sds_config) {
            ticket_keys_file(b, in->session_ticket_keys_sds_secret_config, c);
            break;
        }
        secret = builder_tls_secret(b, in->session_ticket_keys_sds_secret_config,
                                    SECRET_CASE(SESSION_TICKET_KEYS), "session_ticket_keys");
        if (secret)
            ticket_keys(b, secret->session_ticket_keys, c);
        break;
    default:
        break;
    }
}

const struct tls_config *builder_downstream_tls(struct builder *b, const downstream_tls_message *in,
                                                const struct listener_config *l)
{
    char prefix[STATS_NAME_MAX / 2], owner[STATS_NAME_MAX / 2];
    uint32_t before = b->diag->errors_total;
    const tls_common_message *common = in->common_tls_context;
    if (!common || common->n_tls_certificates + common->n_tls_certificate_sds_secret_configs == 0) {
        builder_error(b, in, "common_tls_context", "has no certificate: set tls_certificates");
        return NULL;
    }
    size_t n = listener_config_stat_prefix(l, prefix, sizeof(prefix));
    int m = snprintf(owner, sizeof(owner), "listener " SLICE_FMT, SLICE_ARG(l->name));
    struct tls_config *c =
        builder_tls_common(b, common, true, false, slice_of(prefix, n), slice_of(owner, (size_t)m));
    if (!c)
        return NULL;
    c->settings.require_client_certificate = builder_bool(in->require_client_certificate, false);
    if (c->settings.require_client_certificate && !c->validation && !c->validation_file &&
        b->diag->errors_total == before)
        builder_error(b, in, "require_client_certificate",
                      "needs a validation_context: there is nothing to check a certificate against");
    c->settings.require_sni = builder_bool(in->require_sni, false);
    c->settings.full_scan_certs_on_sni_mismatch = builder_bool(in->full_scan_certs_on_sni_mismatch, false);
    c->settings.staple_policy = (enum tls_staple_policy)in->ocsp_staple_policy; /* same numbers */
    c->settings.prefer_client_ciphers = in->prefer_client_ciphers != 0;
    sessions(b, in, c);
    return builder_tls_finish(b, common, c, before);
}
