/* SPDX-License-Identifier: Apache-2.0 */
/*
 * header_key_format of both sides: how HTTP/1 writes the names of fields.
 */
#include "config/builder.h"

#include <envoy/extensions/http/header_formatters/preserve_case/v3/preserve_case.pb-c.h>

typedef Envoy__Extensions__Http__HeaderFormatters__PreserveCase__V3__PreserveCaseFormatterConfig
    preserve_message;
typedef Envoy__Config__Core__V3__Http1ProtocolOptions__HeaderKeyFormat format_message;

#define FORMAT_CASE(name)                                                                                    \
    ENVOY__CONFIG__CORE__V3__HTTP1_PROTOCOL_OPTIONS__HEADER_KEY_FORMAT__HEADER_FORMAT_##name
#define PROPER_CASE                                                                                          \
    ENVOY__EXTENSIONS__HTTP__HEADER_FORMATTERS__PRESERVE_CASE__V3__PRESERVE_CASE_FORMATTER_CONFIG__FORMATTER_TYPE_ON_ENVOY_HEADERS__PROPER_CASE

static struct h1_key_format preserved(struct builder *b, const format_message *in)
{
    const preserve_message *p = config_any_unpack(
        b->doc, in->stateful_formatter->typed_config,
        &envoy__extensions__http__header_formatters__preserve_case__v3__preserve_case_formatter_config__descriptor);
    if (!p) {
        builder_error(b, in, "stateful_formatter",
                      "is no PreserveCaseFormatterConfig, the only one that is there");
        return (struct h1_key_format){0};
    }
    return (struct h1_key_format){.preserve_case = true,
                                  .preserve_proper = p->formatter_type_on_envoy_headers == PROPER_CASE,
                                  .preserve_reason = p->forward_reason_phrase != 0};
}

struct h1_key_format builder_key_format(struct builder *b,
                                        const Envoy__Config__Core__V3__Http1ProtocolOptions *in)
{
    const format_message *format = in->header_key_format;
    if (!format)
        return (struct h1_key_format){0};
    if (format->header_format_case == FORMAT_CASE(STATEFUL_FORMATTER))
        return preserved(b, format);
    return (struct h1_key_format){.proper_case =
                                      format->header_format_case == FORMAT_CASE(PROPER_CASE_WORDS)};
}
