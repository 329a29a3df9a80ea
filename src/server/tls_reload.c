/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Certificates change while the proxy serves: once a second the files of every TLS configuration are looked
 * at, and read again when one of them is another. New connections get what they hold now, open ones keep what
 * they have; files that cannot be used change nothing. On the main thread.
 */
#include "base/clock.h"
#include "net/tls_config.h"
#include "server/server_impl.h"
#include "telemetry/log.h"
#include "telemetry/stats.h"

#define LOOK_MS        1000u /* a few stat() calls; also sees renamed and linked directories, as of Kubernetes */
#define DAY_S          86400
#define NO_CERTIFICATE UINT32_MAX /* Envoy's number */

static void reload(const struct tls_config *c)
{
    struct tls_setting_error error;
    if (tls_config_load(c, &error)) {
        stat_inc(c->stats->context_reloaded);
        log_write(CONFIG, INFO, SLICE_FMT ": certificates were read again", SLICE_ARG(c->owner));
        return;
    }
    stat_inc(c->stats->context_reload_failed);
    log_write(CONFIG, WARN, SLICE_FMT ": %s%s%s; those in use stay", SLICE_ARG(c->owner),
              tls_setting_name(error.setting), error.setting == TLS_SETTING_NONE ? "" : ": ", error.text);
}

/* Days until the first certificate in use has expired; 0: one has. */
static uint64_t days_left(const struct server *s)
{
    int64_t now = (int64_t)(realtime_ns() / 1000000000u);
    uint64_t least = NO_CERTIFICATE;
    for (size_t i = 0; i < s->resources->tls_count; i++) {
        const struct tls_context *context = tls_config_context(s->resources->tls[i]);
        for (size_t k = 0; context && k < tls_context_certificates(context); k++) {
            int64_t left = tls_context_certificate(context, k).info->not_after - now;
            uint64_t days = left > 0 ? (uint64_t)(left / DAY_S) : 0;
            least = days < least ? days : least;
        }
        tls_context_unref(&context);
    }
    return least;
}

static void look(struct timer *timer)
{
    struct server *s = WEIR_CONTAINER_OF(timer, struct server, tls_timer);
    for (size_t i = 0; i < s->resources->tls_count; i++) {
        if (tls_config_changed(s->resources->tls[i]))
            reload(s->resources->tls[i]);
    }
    stat_set(stat_shared_gauge("server.days_until_first_cert_expiring"), days_left(s));
    timer_set(&s->loop, timer, LOOK_MS);
}

void server_tls_start(struct server *s)
{
    timer_init(&s->tls_timer, look);
    if (s->resources->tls_count == 0)
        stat_set(stat_shared_gauge("server.days_until_first_cert_expiring"), NO_CERTIFICATE);
    else
        look(&s->tls_timer);
}
