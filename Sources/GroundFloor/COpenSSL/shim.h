#pragma once
#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/kdf.h>

// Function-like macros of OpenSSL, which Swift does not import.

static inline int openssl_require_tls13(SSL_CTX *context) {
  return SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION)
         && SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION);
}

/// No session outlives its connection: every connection proves the token anew, so that a revoked one opens nothing.
static inline void openssl_forbid_resumption(SSL_CTX *context) {
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(context, 0);
}

/// Several records are read at once (into less than the 64 KiB from which on the C library tidies up after each free), and
/// idle connections keep no buffers. The end of a frame is known from its length,
/// so that a peer that vanishes without a word has simply closed.
static inline void openssl_set_buffer_modes(SSL_CTX *context) {
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_read_ahead(context, 1);
  SSL_CTX_set_default_read_buffer_len(context, 48 << 10);
  SSL_CTX_set_options(context, SSL_OP_IGNORE_UNEXPECTED_EOF);
}
