/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * The interface of LibreSSL's libtls, served by goproxy(8). Each function has
 * its manual page; where this implementation differs from LibreSSL is in
 * libtls-proxy(7).
 *
 * Conventions: functions that return int give 0 or -1 and those that return a
 * pointer give NULL on failure; the reason is then in tls_error() or
 * tls_config_error(), whose strings belong to the object and are valid until
 * the next failure on it. tls_handshake(), tls_read(), tls_write() and
 * tls_close() may also return TLS_WANT_POLLIN or TLS_WANT_POLLOUT, and leave
 * errno 0. Strings and buffers that tls_conn_*() and tls_peer_*() return
 * belong to the context and live until tls_reset() or tls_free(). One context
 * must not be used by two threads at the same time.
 */

#ifndef HEADER_TLS_H
#define HEADER_TLS_H

#include <sys/types.h>

#include <stddef.h>
#include <stdint.h>
#include <time.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TLS_API		      20200120

#define TLS_PROTOCOL_TLSv1_0  (1 << 1)
#define TLS_PROTOCOL_TLSv1_1  (1 << 2)
#define TLS_PROTOCOL_TLSv1_2  (1 << 3)
#define TLS_PROTOCOL_TLSv1_3  (1 << 4)

#define TLS_PROTOCOL_TLSv1    (TLS_PROTOCOL_TLSv1_2 | TLS_PROTOCOL_TLSv1_3)
#define TLS_PROTOCOLS_ALL     TLS_PROTOCOL_TLSv1
#define TLS_PROTOCOLS_DEFAULT (TLS_PROTOCOL_TLSv1_2 | TLS_PROTOCOL_TLSv1_3)

#define TLS_WANT_POLLIN	      -2
#define TLS_WANT_POLLOUT      -3

/* tls_error_code() and tls_config_error_code() */
#define TLS_ERROR_UNKNOWN	   0x0000
#define TLS_ERROR_OUT_OF_MEMORY	   0x1000
#define TLS_ERROR_INVALID_CONTEXT  0x2000
#define TLS_ERROR_INVALID_ARGUMENT 0x2001

/* OCSPResponseStatus of RFC 6960 section 4.2.1, numbered as libtls does */
#define TLS_OCSP_RESPONSE_SUCCESSFUL	0
#define TLS_OCSP_RESPONSE_MALFORMED	1
#define TLS_OCSP_RESPONSE_INTERNALERROR 2
#define TLS_OCSP_RESPONSE_TRYLATER	3
#define TLS_OCSP_RESPONSE_SIGREQUIRED	4
#define TLS_OCSP_RESPONSE_UNAUTHORIZED	5

/* RFC 6960 section 2.2 */
#define TLS_OCSP_CERT_GOOD    0
#define TLS_OCSP_CERT_REVOKED 1
#define TLS_OCSP_CERT_UNKNOWN 2

/* RFC 5280 section 5.3.1 */
#define TLS_CRL_REASON_UNSPECIFIED	      0
#define TLS_CRL_REASON_KEY_COMPROMISE	      1
#define TLS_CRL_REASON_CA_COMPROMISE	      2
#define TLS_CRL_REASON_AFFILIATION_CHANGED    3
#define TLS_CRL_REASON_SUPERSEDED	      4
#define TLS_CRL_REASON_CESSATION_OF_OPERATION 5
#define TLS_CRL_REASON_CERTIFICATE_HOLD	      6
#define TLS_CRL_REASON_REMOVE_FROM_CRL	      8
#define TLS_CRL_REASON_PRIVILEGE_WITHDRAWN    9
#define TLS_CRL_REASON_AA_COMPROMISE	      10

/* The padding that tls_signer_sign() and a tls_sign_cb are asked for */
#define TLS_PADDING_NONE	  0
#define TLS_PADDING_RSA_PKCS1	  1
#define TLS_PADDING_RSA_X9_31	  2

#define TLS_MAX_SESSION_ID_LENGTH 32
#define TLS_TICKET_KEY_SIZE	  48

struct tls;
struct tls_config;
struct tls_signer;

/*
 * Return the number of bytes moved, 0 for the end of the transport,
 * TLS_WANT_POLLIN, TLS_WANT_POLLOUT, or -1 for an error.
 */
typedef ssize_t (
    *tls_read_cb)(struct tls *_ctx, void *_buf, size_t _buflen, void *_cb_arg);
typedef ssize_t (*tls_write_cb)(struct tls *_ctx, const void *_buf,
    size_t _buflen, void *_cb_arg);

/*
 * Returns 0 with a signature in memory from malloc(3), which libtls frees, or
 * -1. Called on the thread, and inside the call, that does the handshake.
 */
typedef int (*tls_sign_cb)(void *_cb_arg, const char *_pubkey_hash,
    const uint8_t *_input, size_t _input_len, int _padding_type,
    uint8_t **_out_signature, size_t *_out_signature_len);

/* Optional; may be called by any thread, and more than once. */
int tls_init(void);

const char *tls_config_error(struct tls_config *_config);
int tls_config_error_code(struct tls_config *_config);
const char *tls_error(struct tls *_ctx);
int tls_error_code(struct tls *_ctx);

/*
 * A configuration may be freed as soon as it was given to tls_configure().
 * Setters copy what they are given; *_file setters read or open the file in
 * the calling process at once, and a key file's bytes never enter it.
 */
struct tls_config *tls_config_new(void);
void tls_config_free(struct tls_config *_config);

const char *tls_default_ca_cert_file(void);

int tls_config_add_keypair_file(struct tls_config *_config,
    const char *_cert_file, const char *_key_file);
int tls_config_add_keypair_mem(struct tls_config *_config, const uint8_t *_cert,
    size_t _cert_len, const uint8_t *_key, size_t _key_len);
int tls_config_add_keypair_ocsp_file(struct tls_config *_config,
    const char *_cert_file, const char *_key_file,
    const char *_ocsp_staple_file);
int tls_config_add_keypair_ocsp_mem(struct tls_config *_config,
    const uint8_t *_cert, size_t _cert_len, const uint8_t *_key,
    size_t _key_len, const uint8_t *_staple, size_t _staple_len);
int tls_config_add_ticket_key(struct tls_config *_config, uint32_t _keyrev,
    unsigned char *_key, size_t _keylen);
int tls_config_set_alpn(struct tls_config *_config, const char *_alpn);
int tls_config_set_ca_file(struct tls_config *_config, const char *_ca_file);
int tls_config_set_ca_mem(struct tls_config *_config, const uint8_t *_ca,
    size_t _len);
int tls_config_set_ca_path(struct tls_config *_config, const char *_ca_path);
int tls_config_set_cert_file(struct tls_config *_config,
    const char *_cert_file);
int tls_config_set_cert_mem(struct tls_config *_config, const uint8_t *_cert,
    size_t _len);
int tls_config_set_ciphers(struct tls_config *_config, const char *_ciphers);
int tls_config_set_crl_file(struct tls_config *_config, const char *_crl_file);
int tls_config_set_crl_mem(struct tls_config *_config, const uint8_t *_crl,
    size_t _len);
int tls_config_set_dheparams(struct tls_config *_config, const char *_params);
int tls_config_set_ecdhecurve(struct tls_config *_config, const char *_curve);
int tls_config_set_ecdhecurves(struct tls_config *_config, const char *_curves);
int tls_config_set_key_file(struct tls_config *_config, const char *_key_file);
int tls_config_set_key_mem(struct tls_config *_config, const uint8_t *_key,
    size_t _len);
int tls_config_set_keypair_file(struct tls_config *_config,
    const char *_cert_file, const char *_key_file);
int tls_config_set_keypair_mem(struct tls_config *_config, const uint8_t *_cert,
    size_t _cert_len, const uint8_t *_key, size_t _key_len);
int tls_config_set_keypair_ocsp_file(struct tls_config *_config,
    const char *_cert_file, const char *_key_file, const char *_staple_file);
int tls_config_set_keypair_ocsp_mem(struct tls_config *_config,
    const uint8_t *_cert, size_t _cert_len, const uint8_t *_key,
    size_t _key_len, const uint8_t *_staple, size_t _staple_len);
int tls_config_set_ocsp_staple_file(struct tls_config *_config,
    const char *_staple_file);
int tls_config_set_ocsp_staple_mem(struct tls_config *_config,
    const uint8_t *_staple, size_t _len);
int tls_config_set_protocols(struct tls_config *_config, uint32_t _protocols);
int tls_config_set_session_fd(struct tls_config *_config, int _session_fd);
int tls_config_set_session_id(struct tls_config *_config,
    const unsigned char *_session_id, size_t _len);
int tls_config_set_session_lifetime(struct tls_config *_config, int _lifetime);
int tls_config_set_sign_cb(struct tls_config *_config, tls_sign_cb _cb,
    void *_cb_arg);
int tls_config_set_verify_depth(struct tls_config *_config, int _verify_depth);
int tls_config_parse_protocols(uint32_t *_protocols, const char *_protostr);

void tls_config_prefer_ciphers_client(struct tls_config *_config);
void tls_config_prefer_ciphers_server(struct tls_config *_config);

void tls_config_insecure_noverifycert(struct tls_config *_config);
void tls_config_insecure_noverifyname(struct tls_config *_config);
void tls_config_insecure_noverifytime(struct tls_config *_config);
void tls_config_verify(struct tls_config *_config);

void tls_config_ocsp_require_stapling(struct tls_config *_config);
void tls_config_verify_client(struct tls_config *_config);
void tls_config_verify_client_optional(struct tls_config *_config);

void tls_config_clear_keys(struct tls_config *_config);

struct tls *tls_client(void);
struct tls *tls_server(void);
int tls_configure(struct tls *_ctx, struct tls_config *_config);

/* Neither closes the descriptor nor sends close_notify. */
void tls_reset(struct tls *_ctx);
void tls_free(struct tls *_ctx);

/*
 * Where these succeed the descriptor numbers stay the caller's and refer to a
 * plaintext channel until tls_close() has succeeded or the handshake failed;
 * where they fail the descriptors are untouched.
 */
int tls_accept_fds(struct tls *_ctx, struct tls **_cctx, int _fd_read,
    int _fd_write);
int tls_accept_socket(struct tls *_ctx, struct tls **_cctx, int _socket);
int tls_accept_cbs(struct tls *_ctx, struct tls **_cctx, tls_read_cb _read_cb,
    tls_write_cb _write_cb, void *_cb_arg);
int tls_connect(struct tls *_ctx, const char *_host, const char *_port);
int tls_connect_fds(struct tls *_ctx, int _fd_read, int _fd_write,
    const char *_servername);
int tls_connect_servername(struct tls *_ctx, const char *_host,
    const char *_port, const char *_servername);
int tls_connect_socket(struct tls *_ctx, int _s, const char *_servername);
int tls_connect_cbs(struct tls *_ctx, tls_read_cb _read_cb,
    tls_write_cb _write_cb, void *_cb_arg, const char *_servername);
int tls_handshake(struct tls *_ctx);
ssize_t tls_read(struct tls *_ctx, void *_buf, size_t _buflen);
ssize_t tls_write(struct tls *_ctx, const void *_buf, size_t _buflen);
int tls_close(struct tls *_ctx);

int tls_peer_cert_provided(struct tls *_ctx);
int tls_peer_cert_contains_name(struct tls *_ctx, const char *_name);

const char *tls_peer_cert_hash(struct tls *_ctx);
const char *tls_peer_cert_issuer(struct tls *_ctx);
const char *tls_peer_cert_subject(struct tls *_ctx);
const char *tls_peer_cert_common_name(struct tls *_ctx);
time_t tls_peer_cert_notbefore(struct tls *_ctx);
time_t tls_peer_cert_notafter(struct tls *_ctx);
const uint8_t *tls_peer_cert_chain_pem(struct tls *_ctx, size_t *_len);

const char *tls_conn_alpn_selected(struct tls *_ctx);
const char *tls_conn_cipher(struct tls *_ctx);
int tls_conn_cipher_strength(struct tls *_ctx);
const char *tls_conn_servername(struct tls *_ctx);
int tls_conn_session_resumed(struct tls *_ctx);
const char *tls_conn_version(struct tls *_ctx);

uint8_t *tls_load_file(const char *_file, size_t *_len, char *_password);
void tls_unload_file(uint8_t *_buf, size_t _len);

int tls_ocsp_process_response(struct tls *_ctx, const unsigned char *_response,
    size_t _size);
int tls_peer_ocsp_cert_status(struct tls *_ctx);
int tls_peer_ocsp_crl_reason(struct tls *_ctx);
time_t tls_peer_ocsp_next_update(struct tls *_ctx);
int tls_peer_ocsp_response_status(struct tls *_ctx);
const char *tls_peer_ocsp_result(struct tls *_ctx);
time_t tls_peer_ocsp_revocation_time(struct tls *_ctx);
time_t tls_peer_ocsp_this_update(struct tls *_ctx);
const char *tls_peer_ocsp_url(struct tls *_ctx);

/*
 * Signs for programs that have the key elsewhere, such as a tls_sign_cb in
 * another process. The keys are in goproxy; a signer signs whatever it is
 * asked to. One thread at a time.
 */
struct tls_signer *tls_signer_new(void);
void tls_signer_free(struct tls_signer *_signer);
const char *tls_signer_error(struct tls_signer *_signer);
int tls_signer_add_keypair_file(struct tls_signer *_signer,
    const char *_cert_file, const char *_key_file);
int tls_signer_add_keypair_mem(struct tls_signer *_signer, const uint8_t *_cert,
    size_t _cert_len, const uint8_t *_key, size_t _key_len);
/* *_out_signature is from malloc(3). */
int tls_signer_sign(struct tls_signer *_signer, const char *_pubkey_hash,
    const uint8_t *_input, size_t _input_len, int _padding_type,
    uint8_t **_out_signature, size_t *_out_signature_len);

#ifdef __cplusplus
}
#endif

#endif
