/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The few fields of an OCSP response that stapling needs, with Envoy's checks and words.
 */
#include "net/tls_ocsp.h"

#include <openssl/bytestring.h>
#include <openssl/err.h>
#include <openssl/obj.h>
#include <openssl/ocsp.h>
#include <openssl/x509.h>

#define FEATURE_STATUS_REQUEST 5 /* of a certificate's TLS features, RFC 7633 */

static bool fail(const char **why, const char *text)
{
    *why = text;
    ERR_clear_error();
    return false;
}

static bool read_single(OCSP_SINGLERESP *single, const X509 *certificate, int64_t *good_until,
                        const char **why)
{
    ASN1_INTEGER *serial = NULL;
    ASN1_GENERALIZEDTIME *next = NULL;
    OCSP_CERTID *id = (OCSP_CERTID *)(uintptr_t)OCSP_SINGLERESP_get0_id(single);
    if (!OCSP_id_get0_info(NULL, NULL, NULL, &serial, id) ||
        ASN1_INTEGER_cmp(serial, X509_get0_serialNumber(certificate)) != 0)
        return fail(why, "OCSP response does not match its TLS certificate");
    *good_until = 0;
    if (OCSP_single_get0_status(single, NULL, NULL, NULL, &next) < 0 ||
        (next && !ASN1_TIME_to_posix(next, good_until)))
        return fail(why, "it is no OCSP response that can be read");
    return true;
}

static bool read_basic(OCSP_RESPONSE *response, const X509 *certificate, int64_t *good_until,
                       const char **why)
{
    if (OCSP_response_status(response) != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return fail(why, "OCSP response was unsuccessful");
    OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
    if (!basic)
        return fail(why, "it is no OCSP response that can be read");
    bool ok = OCSP_resp_count(basic) == 1
                  ? read_single(OCSP_resp_get0(basic, 0), certificate, good_until, why)
                  : fail(why, "OCSP Response must be for one certificate only");
    OCSP_BASICRESP_free(basic);
    return ok;
}

bool tls_ocsp_read(struct slice der, const X509 *certificate, int64_t *good_until, const char **why)
{
    const uint8_t *at = (const uint8_t *)der.ptr;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)der.len);
    if (!response || at != (const uint8_t *)der.ptr + der.len) {
        OCSP_RESPONSE_free(response);
        return fail(why, "it is no OCSP response in DER");
    }
    bool ok = read_basic(response, certificate, good_until, why);
    OCSP_RESPONSE_free(response);
    return ok;
}

bool tls_ocsp_must_staple(const X509 *certificate)
{
    ASN1_OBJECT *feature = OBJ_txt2obj("1.3.6.1.5.5.7.1.24", 1);
    int at = feature ? X509_get_ext_by_OBJ(certificate, feature, -1) : -1;
    ASN1_OBJECT_free(feature);
    if (at < 0)
        return false;
    const ASN1_OCTET_STRING *data = X509_EXTENSION_get_data(X509_get_ext(certificate, at));
    CBS cbs, list;
    uint64_t number;
    CBS_init(&cbs, ASN1_STRING_get0_data(data), (size_t)ASN1_STRING_length(data));
    if (!CBS_get_asn1(&cbs, &list, CBS_ASN1_SEQUENCE))
        return false;
    while (CBS_get_asn1_uint64(&list, &number)) {
        if (number == FEATURE_STATUS_REQUEST)
            return true;
    }
    return false;
}

bool tls_ocsp_asked_for(const SSL_CLIENT_HELLO *hello)
{
    const uint8_t *data;
    size_t len;
    CBS cbs;
    uint8_t type;
    if (!SSL_early_callback_ctx_extension_get(hello, TLSEXT_TYPE_status_request, &data, &len))
        return false;
    CBS_init(&cbs, data, len);
    return CBS_get_u8(&cbs, &type) && type == TLSEXT_STATUSTYPE_ocsp;
}
