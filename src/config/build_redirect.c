/* SPDX-License-Identifier: Apache-2.0 */
/*
 * InternalRedirectPolicy messages to redirect_policy. A predicate that is not known is refused by the field
 * classes: without it more redirects would be followed than its author wanted.
 */
#include "config/builder.h"

#include <envoy/extensions/internal_redirect/allow_listed_routes/v3/allow_listed_routes_config.pb-c.h>
#include <envoy/extensions/internal_redirect/previous_routes/v3/previous_routes_config.pb-c.h>
#include <envoy/extensions/internal_redirect/safe_cross_scheme/v3/safe_cross_scheme_config.pb-c.h>

typedef Envoy__Config__Route__V3__InternalRedirectPolicy policy_message;
typedef Envoy__Extensions__InternalRedirect__AllowListedRoutes__V3__AllowListedRoutesConfig allowed_message;

#define IS(msg, type) ((msg)->descriptor == &envoy__extensions__internal_redirect__##type##__descriptor)

static void codes(struct builder *b, const policy_message *in, struct redirect_policy *out)
{
    out->follows_302 = in->n_redirect_response_codes == 0;
    for (size_t i = 0; i < in->n_redirect_response_codes; i++) {
        uint32_t code = in->redirect_response_codes[i];
        bool *const follows = code == 301   ? &out->follows_301
                              : code == 302 ? &out->follows_302
                              : code == 303 ? &out->follows_303
                              : code == 307 ? &out->follows_307
                              : code == 308 ? &out->follows_308
                                            : NULL;
        if (follows)
            *follows = true;
        else
            builder_error_item(b, in, "redirect_response_codes", i, "%u is no redirect to follow", code);
    }
}

static void predicate(struct builder *b, struct arena *arena,
                      const Envoy__Config__Core__V3__TypedExtensionConfig *in, struct redirect_predicate *out)
{
    const ProtobufCMessage *inside = config_any_message(b->doc, in->typed_config);
    if (!inside)
        return; /* reported already */
    if (IS(inside, previous_routes__v3__previous_routes_config)) {
        out->kind = REDIRECT_PREVIOUS_ROUTES;
    } else if (IS(inside, safe_cross_scheme__v3__safe_cross_scheme_config)) {
        out->kind = REDIRECT_SAFE_SCHEME;
    } else if (IS(inside, allow_listed_routes__v3__allow_listed_routes_config)) {
        const allowed_message *allowed = (const allowed_message *)inside;
        out->kind = REDIRECT_ALLOWED_ROUTES;
        out->routes = builder_texts(b, arena, allowed->allowed_route_names, allowed->n_allowed_route_names);
        out->routes_count = out->routes ? (uint32_t)allowed->n_allowed_route_names : 0;
    } else {
        builder_error(b, in, "typed_config", "is no predicate of internal redirects");
    }
}

void builder_internal_redirect(struct builder *b, struct arena *arena, const policy_message *in,
                               struct redirect_policy *out)
{
    if (!in)
        return;
    out->enabled = true;
    out->max = builder_u32(in->max_internal_redirects, 1);
    codes(b, in, out);
    out->cross_scheme = in->allow_cross_scheme_redirect;
    out->headers_to_copy =
        builder_texts(b, arena, in->response_headers_to_copy, in->n_response_headers_to_copy);
    out->headers_to_copy_count = out->headers_to_copy ? (uint32_t)in->n_response_headers_to_copy : 0;
    for (uint32_t i = 0; i < out->headers_to_copy_count; i++) {
        if (!header_name_valid(out->headers_to_copy[i]))
            builder_error_item(b, in, "response_headers_to_copy", i, "is no name of a header");
    }
    struct redirect_predicate *predicates = builder_array(b, arena, in->n_predicates, sizeof *predicates);
    out->predicates = predicates;
    out->predicates_count = predicates ? (uint32_t)in->n_predicates : 0;
    for (uint32_t i = 0; i < out->predicates_count; i++)
        predicate(b, arena, in->predicates[i], &predicates[i]);
}
