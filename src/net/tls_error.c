/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The library's errors as the text that access logs print for a failed connection, in Envoy's form, and their
 * counters. The library's queue belongs to the thread: it is emptied here, so that no error is taken for
 * another connection's.
 */
#include "net/tls_context_private.h"

#include "base/strbuf.h"

#include <errno.h>
#include <openssl/err.h>

void tls_error_take(struct tls_conn *t)
{
    struct tls_info *info = t->info;
    struct strbuf text;
    uint32_t code;
    bool any = false, counted = false;
    strbuf_init(&text, 1024);
    while ((code = ERR_get_error()) != 0) {
        const char *lib = ERR_lib_error_string(code), *reason = ERR_reason_error_string(code);
        int number = ERR_GET_REASON(code);
        if (ERR_GET_LIB(code) == ERR_LIB_SSL && number == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE) {
            stat_inc(t->context->stats->fail_verify_no_cert);
            counted = true;
        } else if (ERR_GET_LIB(code) == ERR_LIB_SSL && number == SSL_R_CERTIFICATE_VERIFY_FAILED) {
            counted = true; /* by what was wrong with it */
        } else if (ERR_GET_LIB(code) == ERR_LIB_SYS) {
            counted = true; /* the socket's affair */
        }
        strbuf_printf(&text, "%s|%lu:%s:%s:%s", any ? "" : "TLS_error:", (unsigned long)code, lib ? lib : "",
                      ERR_func_error_string(code), reason ? reason : "");
        any = true;
        if (ERR_GET_LIB(code) == ERR_LIB_SSL && number == SSL_R_CERTIFICATE_VERIFY_FAILED && t->check.text[0])
            strbuf_printf(&text, ":%s", t->check.text);
    }
    if (any) {
        strbuf_append_str(&text, ":TLS_error_end");
        if (!counted)
            stat_inc(t->context->stats->connection_error);
    }
    if (any && info->failure.len == 0) {
        struct slice kept = arena_dup(&info->arena, strbuf_slice(&text));
        if (kept.ptr)
            info->failure = kept;
    }
    strbuf_fini(&text);
}
