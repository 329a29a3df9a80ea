/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Session tickets of servers: which key seals and opens them. The format is Envoy's (AES-256-CBC with
 * HMAC-SHA256), so that the same keys work for both in one fleet.
 */
#include "net/tls_context_private.h"

#include "base/clock.h"

#include <openssl/hmac.h>
#include <openssl/mem.h>
#include <openssl/rand.h>

/* AWS-LC: 1 good, 2 good and to be renewed, 0 no such key (decrypting), -1 broken. */
int tls_session_ticket(SSL *ssl, uint8_t *key_name, uint8_t *iv, EVP_CIPHER_CTX *cipher, HMAC_CTX *hmac,
                       int encrypt)
{
    struct tls_conn *t = SSL_get_app_data(ssl);
    const EVP_CIPHER *aes = EVP_aes_256_cbc();
    struct tls_ticket_key key;
    uint64_t now_s = monotonic_ns() / 1000000000u;
    bool renew = false, ok;
    if (encrypt) {
        if (!tls_tickets_current(t->context->tickets, now_s, &key) ||
            RAND_bytes(iv, EVP_CIPHER_iv_length(aes)) != 1)
            return -1;
        memcpy(key_name, key.name, sizeof(key.name));
        ok = EVP_EncryptInit_ex(cipher, aes, NULL, key.aes, iv) == 1;
    } else {
        if (!tls_tickets_find(t->context->tickets, now_s, key_name, &key, &renew))
            return 0;
        ok = EVP_DecryptInit_ex(cipher, aes, NULL, key.aes, iv) == 1;
    }
    ok = ok && HMAC_Init_ex(hmac, key.hmac, sizeof(key.hmac), EVP_sha256(), NULL) == 1;
    OPENSSL_cleanse(&key, sizeof(key));
    if (!ok)
        return -1;
    return renew ? 2 : 1;
}
