/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From the files of a TLS configuration to its present context, again and again. Keys are wiped from memory
 * once the library has them.
 */
#include "net/tls_config.h"

#include "base/assert.h"
#include "base/refs.h"
#include "net/limits.h"
#include "net/tls_certificate.h"
#include "net/tls_source.h"
#include "telemetry/log.h"

#include <openssl/mem.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct file {
    char *path;
    struct tls_file_mark mark;
};

struct tls_config_state {
    pthread_mutex_t lock;
    const struct tls_context *current;       /* under the lock */
    const struct tls_validation *validation; /* the current one's, under the lock */
    struct tls_tickets *own_tickets;         /* made at the first load, kept for ever */
    bool spent;                              /* all stood in the configuration: its keys are wiped */
    struct file *files;                      /* of the last load */
    size_t files_count;
};

struct tls_config *tls_config_create(void)
{
    struct tls_config *c = calloc(1, sizeof(*c));
    struct tls_config_state *state = calloc(1, sizeof(*state));
    if (!c || !state) {
        free(c);
        free(state);
        return NULL;
    }
    atomic_init(&c->refs, 1);
    arena_init_secret(&c->arena, TLS_CONTEXT_BYTES_MAX);
    pthread_mutex_init(&state->lock, NULL);
    c->state = state;
    return c;
}

const struct tls_config *tls_config_ref(const struct tls_config *c)
{
    struct tls_config *own = (struct tls_config *)(uintptr_t)c;
    refs_take(&own->refs);
    return c;
}

static void free_files(struct file *files, size_t count)
{
    for (size_t i = 0; i < count; i++)
        free(files[i].path);
    free(files);
}

void tls_config_unref(const struct tls_config **config)
{
    struct tls_config *c = (struct tls_config *)(uintptr_t)*config;
    *config = NULL;
    if (!c)
        return;
    if (!refs_drop(&c->refs))
        return;
    tls_context_unref(&c->state->current);
    tls_validation_unref(&c->state->validation);
    tls_tickets_unref(&c->state->own_tickets);
    tls_validation_unref(&c->validation);
    if (c->key_log_file)
        log_file_unref(&c->key_log_file);
    tls_stats_unref(&c->stats);
    pthread_mutex_destroy(&c->state->lock);
    free_files(c->state->files, c->state->files_count);
    free(c->state);
    arena_fini(&c->arena);
    free(c);
}

const struct tls_context *tls_config_context(const struct tls_config *c)
{
    pthread_mutex_lock(&c->state->lock);
    const struct tls_context *now = c->state->current ? tls_context_ref(c->state->current) : NULL;
    pthread_mutex_unlock(&c->state->lock);
    return now;
}

const struct tls_validation *tls_config_validation(const struct tls_config *c)
{
    pthread_mutex_lock(&c->state->lock);
    const struct tls_validation *now = c->state->validation ? tls_validation_ref(c->state->validation) : NULL;
    pthread_mutex_unlock(&c->state->lock);
    return now;
}

/* --- what one load reads --- */

struct load {
    const struct tls_config *config;
    struct arena arena; /* of what secret files say, and their paths */
    struct tls_setting_error *error;
    struct slice *read; /* of files; wiped and freed at the end */
    size_t read_count;
    struct file *files;
    size_t files_count;
    const struct tls_validation *validation; /* owned reference */
};

static bool failed(struct load *l, enum tls_setting setting, size_t index, const char *text)
{
    *l->error = (struct tls_setting_error){.setting = setting, .index = index};
    (void)snprintf(l->error->text, sizeof(l->error->text), "%s", text);
    return false;
}

/* The name may go before the note does. */
static void note_file(struct load *l, const char *path)
{
    char *kept = strdup(path);
    if (kept)
        l->files[l->files_count++] = (struct file){kept, tls_file_look(path)};
}

/* Where the i-th certificate's parts are now. */
static const struct tls_certificate_sources *resolve(struct load *l, size_t i,
                                                     struct tls_certificate_sources *own)
{
    const struct tls_certificate_sources *s = &l->config->certificates[i];
    char text[TLS_SOURCE_TEXT_MAX];
    if (!s->file)
        return s;
    *own = (struct tls_certificate_sources){0};
    note_file(l, s->file->path.ptr);
    if (s->file->certificate(s->file, &l->arena, own, text))
        return own;
    failed(l, TLS_SETTING_SECRET, i, text);
    return NULL;
}

static bool take(struct load *l, const struct tls_source *source, enum tls_setting setting, size_t index,
                 struct slice *out)
{
    char text[TLS_SOURCE_TEXT_MAX];
    *out = source->content;
    if (source->path.len == 0)
        return true;
    size_t len;
    note_file(l, source->path.ptr); /* before it is read: a change meanwhile is seen as one */
    char *bytes = tls_file_read(source->path.ptr, &len, text);
    if (!bytes)
        return failed(l, setting, index, text);
    *out = slice_of(bytes, len);
    l->read[l->read_count++] = *out;
    return true;
}

static bool take_certificates(struct load *l, struct tls_certificate_pem *pems)
{
    const struct tls_config *c = l->config;
    for (size_t i = 0; i < c->certificates_count; i++) {
        struct tls_certificate_sources own;
        const struct tls_certificate_sources *s = resolve(l, i, &own);
        if (!s || !take(l, &s->chain, TLS_SETTING_CHAIN, i, &pems[i].chain) ||
            !take(l, &s->key, TLS_SETTING_KEY, i, &pems[i].key) ||
            !take(l, &s->password, TLS_SETTING_PASSWORD, i, &pems[i].password) ||
            !take(l, &s->pkcs12, TLS_SETTING_PKCS12, i, &pems[i].pkcs12) ||
            !take(l, &s->ocsp_staple, TLS_SETTING_OCSP, i, &pems[i].ocsp_staple))
            return false;
        /* A password file ends as text files do. */
        struct slice *password = &pems[i].password;
        while (s->password.path.len && password->len && password->ptr[password->len - 1] == '\n')
            password->len--;
    }
    return true;
}

static bool find_ticket_keys(struct load *l, const struct tls_source **keys, size_t *count)
{
    const struct tls_config *c = l->config;
    char text[TLS_SOURCE_TEXT_MAX];
    *keys = c->ticket_keys;
    *count = c->ticket_keys_count;
    if (!c->ticket_keys_file)
        return true;
    note_file(l, c->ticket_keys_file->path.ptr);
    return c->ticket_keys_file->ticket_keys(c->ticket_keys_file, &l->arena, keys, count, text) ||
           failed(l, TLS_SETTING_TICKET_KEYS_SECRET, 0, text);
}

/* Keys of our own: kept over all loads. */
static struct tls_tickets *own_tickets(struct load *l)
{
    struct tls_config_state *state = l->config->state;
    if (!state->own_tickets)
        state->own_tickets = tls_tickets_create(TLS_TICKET_ROTATE_S);
    if (state->own_tickets)
        return tls_tickets_ref(state->own_tickets);
    failed(l, TLS_SETTING_NONE, 0, "out of memory");
    return NULL;
}

/* A reference, or NULL with *error. */
static struct tls_tickets *take_tickets(struct load *l)
{
    const struct tls_source *sources;
    size_t count;
    struct slice keys[TLS_TICKET_KEYS_MAX];
    if (!find_ticket_keys(l, &sources, &count))
        return NULL;
    if (count == 0)
        return own_tickets(l);
    for (size_t i = 0; i < count; i++) {
        if (!take(l, &sources[i], TLS_SETTING_TICKET_KEYS, i, &keys[i]))
            return NULL;
        if (keys[i].len != TLS_TICKET_KEY_BYTES) {
            failed(l, TLS_SETTING_TICKET_KEYS, i, "a session ticket key has 80 bytes");
            return NULL;
        }
    }
    struct tls_tickets *tickets = tls_tickets_create_fixed(keys, count);
    if (!tickets)
        failed(l, TLS_SETTING_NONE, 0, "out of memory");
    return tickets;
}

static bool find_validation(struct load *l)
{
    const struct tls_secret_file *file = l->config->validation_file;
    char text[TLS_SOURCE_TEXT_MAX];
    if (file) {
        note_file(l, file->path.ptr);
        l->validation = file->validation(file, text);
        return l->validation || failed(l, TLS_SETTING_VALIDATION_SECRET, 0, text);
    }
    l->validation = l->config->validation ? tls_validation_ref(l->config->validation) : NULL;
    return true;
}

static bool take_verifier(struct load *l, struct tls_verify **out)
{
    const char *paths[TLS_VALIDATION_FILES];
    char text[TLS_VALIDATION_TEXT_BYTES];
    *out = NULL;
    if (!find_validation(l))
        return false;
    const struct tls_validation *v = l->validation;
    if (!v)
        return true;
    size_t count = tls_validation_files(v, paths);
    for (size_t i = 0; i < count; i++)
        note_file(l, paths[i]);
    switch (tls_validation_load(v, out, text)) {
    case TLS_VERIFY_OK:
        return true;
    case TLS_VERIFY_BAD_CA:
        return failed(l, TLS_SETTING_CA, 0, text);
    case TLS_VERIFY_BAD_CRL:
        return failed(l, TLS_SETTING_CRL, 0, text);
    case TLS_VERIFY_NO_MEMORY:
        break;
    }
    return failed(l, TLS_SETTING_NONE, 0, "out of memory");
}

static const struct tls_context *make_context(struct load *l, struct tls_certificate_pem *pems)
{
    struct tls_settings settings = l->config->settings;
    struct tls_verify *verify;
    if (!take_certificates(l, pems))
        return NULL;
    settings.certificates = pems;
    settings.certificates_count = l->config->certificates_count;
    if (settings.server && !settings.no_tickets) {
        settings.tickets = take_tickets(l);
        if (!settings.tickets)
            return NULL;
    }
    const struct tls_context *made = NULL;
    if (take_verifier(l, &verify)) {
        settings.verify = verify;
        made = tls_context_create(&settings, l->config->stats, l->error);
    }
    tls_tickets_unref(&settings.tickets);
    return made;
}

/* Envoy's names for what has none: with the start of the hash of nothing. */
#define NAMELESS           SLICE_LIT("unnamed_cert_e3b0c442")
#define NAMELESS_AUTHORITY SLICE_LIT("unnamed_ca_cert_e3b0c442")
#define NO_AUTHORITY       SLICE_LIT("unnamed_ca_cert")

static void tell_expirations(const struct tls_config *c, const struct tls_context *context)
{
    const struct tls_verify *verify = tls_context_verify(context);
    for (size_t i = 0; i < tls_context_certificates(context); i++) {
        struct slice name = c->certificates[i].name;
        tls_stats_expiration(c->stats, name.len ? name : NAMELESS,
                             tls_context_certificate(context, i).info->not_after);
    }
    if (!verify)
        return;
    int64_t expires = tls_verify_expires(verify);
    struct slice unnamed = expires == INT64_MAX ? NO_AUTHORITY : NAMELESS_AUTHORITY;
    tls_stats_expiration(c->stats, c->validation_name.len ? c->validation_name : unnamed, expires);
}

/* --- loading --- */

static void wipe(struct slice secret)
{
    if (secret.len)
        OPENSSL_cleanse((void *)(uintptr_t)secret.ptr, secret.len);
}

/* Without files there is nothing to read again, so the library's copy is the only one that is needed. */
static void spend(const struct tls_config *c)
{
    for (size_t i = 0; i < c->certificates_count; i++) {
        wipe(c->certificates[i].key.content);
        wipe(c->certificates[i].password.content);
        wipe(c->certificates[i].pkcs12.content);
    }
    for (size_t i = 0; i < c->ticket_keys_count; i++)
        wipe(c->ticket_keys[i].content);
    c->state->spent = true;
}

bool tls_config_load(const struct tls_config *c, struct tls_setting_error *error)
{
    struct tls_config_state *state = c->state;
    WEIR_ASSERT(!state->spent);
    /* A certificate has five files, and one that names them; keys and validation have such a one, too. */
    size_t most = c->certificates_count * 6 + TLS_TICKET_KEYS_MAX + 1 + TLS_VALIDATION_FILES + 1;
    struct load l = {.config = c, .error = error};
    struct tls_certificate_pem *pems = calloc(c->certificates_count + 1, sizeof(*pems));
    *error = (struct tls_setting_error){0};
    arena_init_secret(&l.arena, TLS_CONTEXT_BYTES_MAX);
    l.read = calloc(most, sizeof(*l.read));
    l.files = calloc(most, sizeof(*l.files));
    const struct tls_context *made = NULL, *before;
    if (pems && l.read && l.files)
        made = make_context(&l, pems);
    else
        failed(&l, TLS_SETTING_NONE, 0, "out of memory");
    for (size_t i = 0; i < l.read_count; i++) {
        wipe(l.read[i]);
        free((void *)(uintptr_t)l.read[i].ptr);
    }
    free(l.read);
    free(pems);
    arena_fini(&l.arena);
    free_files(state->files, state->files_count);
    state->files = l.files;
    state->files_count = l.files_count;
    if (made) {
        tell_expirations(c, made);
        pthread_mutex_lock(&state->lock);
        before = state->current;
        state->current = made;
        const struct tls_validation *validation = state->validation;
        state->validation = l.validation;
        l.validation = validation;
        pthread_mutex_unlock(&state->lock);
        tls_context_unref(&before);
        if (c->state->files_count == 0)
            spend(c);
    }
    tls_validation_unref(&l.validation);
    return made != NULL;
}

bool tls_config_changed(const struct tls_config *c)
{
    const struct tls_config_state *state = c->state;
    for (size_t i = 0; i < state->files_count; i++) {
        struct tls_file_mark now = tls_file_look(state->files[i].path);
        if (!tls_file_mark_eq(&now, &state->files[i].mark))
            return true;
    }
    return false;
}

bool tls_config_has_files(const struct tls_config *c)
{
    return c->state->files_count > 0;
}

static bool describe_authority(const struct tls_validation *v, struct arena *arena, struct slice *path,
                               struct tls_certificate_info *out)
{
    const char *why;
    *path = v->system_roots ? slice_str(tls_system_roots()) : v->ca.path;
    struct slice pem = v->ca.content;
    char *bytes = NULL, text[TLS_SOURCE_TEXT_MAX];
    if (path->len) {
        bytes = tls_file_read(path->ptr, &pem.len, text);
        pem.ptr = bytes;
    }
    /* Bundles are long, and the first of them is enough. */
    ptrdiff_t end = bytes || !path->len ? slice_find(pem, SLICE_LIT("-----END CERTIFICATE-----")) : -1;
    STACK_OF(X509) *chain =
        end < 0 ? NULL : tls_certificate_read_chain(slice_take(pem, (size_t)end + 26), &why);
    if (chain)
        tls_certificate_describe(sk_X509_value(chain, 0), arena, out);
    sk_X509_pop_free(chain, X509_free);
    free(bytes);
    return chain != NULL;
}

bool tls_config_authority(const struct tls_config *c, struct arena *arena, struct slice *path,
                          struct tls_certificate_info *out)
{
    const struct tls_validation *v = tls_config_validation(c);
    bool found = v && tls_validation_has_ca(v) && describe_authority(v, arena, path, out);
    if (found)
        *path = arena_dup(arena, *path); /* the validation may go */
    tls_validation_unref(&v);
    return found;
}
