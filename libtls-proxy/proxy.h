/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Finds, starts and reaches goproxy, and speaks with the keeper and the worker
 * on the channels of goproxy-protocol(7). Safe to call from any thread, and in
 * any process that forked from the one that started goproxy.
 */

#ifndef TLSP_PROXY_H
#define TLSP_PROXY_H

#include "channel.h"
#include "wire.h"

struct tls_error;

/*
 * How long goproxy may take to answer before it counts as stopped, and how long
 * a full channel may stay full, in milliseconds.
 */
#define TLSP_ANSWER_TIMEOUT 5000
#define TLSP_SEND_TIMEOUT   1000

/* What such a goproxy's calls fail with. */
#define TLSP_NO_ANSWER "goproxy does not answer"
/* The cause of failures on the connections that a worker took with it. */
#define TLSP_WORKER_ENDED "goproxy's worker has ended unexpectedly"

/* A committed configuration; shared by contexts and their connections. */
struct tlsp_config_channel;

void tlsp_config_channel_ref(struct tlsp_config_channel *channel);
void tlsp_config_channel_unref(struct tlsp_config_channel *channel);
/* Whether the document that was committed has requests. */
int tlsp_config_channel_asks(const struct tlsp_config_channel *channel);
/* Whether goproxy still holds its end. */
int tlsp_config_channel_alive(const struct tlsp_config_channel *channel);

/*
 * Asks the keeper, which is not started if there is none. The reply's strings
 * point into buf. On failure -1, and *errstr is a static text.
 */
int tlsp_info(struct tlsp_info_reply *reply, uint8_t buf[TLSP_REPLY_MAX],
    const char **errstr);

/*
 * Opens a draft in the keeper, which is started if there is none. On failure
 * -1 and *error is set, as in all functions here that have an error.
 */
int tlsp_draft_open(struct tlsp_handle *draft, struct tls_error *error);
int tlsp_draft_alive(const struct tlsp_handle *draft);
/* Hands a private key's descriptor over; the caller still owns it. */
int tlsp_draft_add_key(const struct tlsp_handle *draft, int key_fd,
    uint32_t *slot, struct tls_error *error);
/* Whether the certificates in the descriptor can be used. */
int tlsp_draft_check_cert(const struct tlsp_handle *draft, int cert_fd,
    struct tls_error *error);
/* Decrypts a private key; *key, PKCS#8 in PEM, is from malloc(3). */
int tlsp_draft_decrypt_key(const struct tlsp_handle *draft, int key_fd,
    const char *password, uint8_t **key, size_t *len, struct tls_error *error);
/* More than a signature's input, and less than a message. */
#define TLSP_SIGN_INPUT_MAX 2048
/*
 * Adds a key that signs whatever the application asks for; the descriptors
 * stay the caller's. *hash, of the certificate's public key, is from
 * malloc(3).
 */
int tlsp_draft_add_signer(const struct tlsp_handle *draft, int cert_fd,
    int key_fd, char **hash, uint32_t *slot, struct tls_error *error);
/* Signs with such a key; *signature is from malloc(3). */
int tlsp_draft_sign_raw(const struct tlsp_handle *draft,
    const struct tlsp_sign_raw *sign_raw, uint8_t **signature, size_t *len,
    struct tls_error *error);
void tlsp_draft_drop_key(const struct tlsp_handle *draft, uint32_t slot);
/* Commits the document; returns a channel with one reference, or NULL. */
struct tlsp_config_channel *tlsp_draft_commit(const struct tlsp_handle *draft,
    const uint8_t *document, size_t len, enum tlsp_isolation isolation,
    int asks, struct tls_error *error);
/* Adds a key, for one connection, to a configuration of this draft. */
int tlsp_draft_attach_key(const struct tlsp_handle *draft, uint32_t config,
    int cert_fd, int key_fd, uint32_t *slot, struct tls_error *error);

/*
 * The channel to start a connection on, with one reference for the caller:
 * another one where each connection has a worker of its own.
 */
struct tlsp_config_channel *tlsp_config_channel_open(
    struct tlsp_config_channel *channel, struct tls_error *error);

/* Replaces the staples and ticket keys of a committed configuration. */
int tlsp_config_channel_update(const struct tlsp_config_channel *channel,
    const uint8_t *document, size_t len, struct tls_error *error);

/* A descriptor from which the bytes can be read, for a draft; -1 with errno. */
int tlsp_memory_fd(const void *buf, size_t len);

/*
 * Starts a connection with START or ENGINE, and the message's descriptors. On
 * success goproxy has copies of them; the caller still owns his.
 */
int tlsp_connection_start(const struct tlsp_config_channel *channel,
    unsigned int number, const void *message, const int *fds, size_t nfds,
    struct tls_error *error);

/*
 * Asks how the direction from the peer ended. *error, which is otherwise
 * cleared, says why one of the directions failed, or why the ending is
 * TLSP_ENDING_UNKNOWN: nobody who knows has answered within the limit.
 */
enum tlsp_ending tlsp_connection_status(
    const struct tlsp_config_channel *channel, uint64_t connection,
    int limit_ms, struct tls_error *error);

/*
 * Has an OCSP response about the connection's peer verified. The reply's
 * strings point into buf; its error is the caller's to look at.
 */
int tlsp_connection_ocsp(const struct tlsp_config_channel *channel,
    uint64_t connection, const void *response, size_t len,
    struct tlsp_ocsp_reply *reply, uint8_t buf[TLSP_REPLY_MAX],
    struct tls_error *error);

#endif
