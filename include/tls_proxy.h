/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What libtls-proxy adds to the interface of libtls. */

#ifndef TLS_PROXY_H
#define TLS_PROXY_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct tls;
struct tls_config;

/*
 * The version of this library, such as "0.1.0"; static. A program that runs
 * with any libtls can look the symbol up with dlsym(3) to learn which it has.
 */
const char *tls_proxy_version(void);

/* What goproxy does for this program. Later releases append fields. */
struct tls_proxy_info {
	char release[32]; /* goproxy's version */
	uint32_t workers; /* processes that speak TLS now */
	uint32_t deaths;  /* of such processes before their time */
	uint32_t configs; /* live results of tls_configure and tls_connect* */
	uint32_t keys;	  /* private keys of these */
	uint64_t signatures;	/* made with private keys */
	uint64_t refused;	/* requests of workers for a signature */
	char refused_last[128]; /* why the last of these; "" for none */
};

/*
 * Fills in info, whose size is given as sizeof(*info): a program that was built
 * with an older header gets the fields it knows, and one built with a newer
 * header zeroes in those that this library does not know. All numbers are
 * counted from goproxy's start; it is not started by this function. Returns 0,
 * or -1 with *errstr, if errstr is not NULL, a static string that says why:
 * goproxy is not running, say. info is untouched then. Any thread may call
 * this at any time; it waits for the answer, 5 seconds at most. errno stays as
 * it is.
 */
int tls_proxy_info(struct tls_proxy_info *info, size_t size,
    const char **errstr);

/*
 * Requests: decisions that a handshake waits for and the program's event loop
 * does not. See tls_request_next(3).
 */

/* What is asked for, and the kind of a request. */
#define TLS_REQUEST_CERTIFICATE 1
#define TLS_REQUEST_VERIFY	2
#define TLS_REQUEST_VERIFY_EACH 4 /* for each certificate: never a kind */
#define TLS_REQUEST_SESSION	8
#define TLS_REQUEST_STAPLE	16
#define TLS_REQUEST_SIGN	32
#define TLS_REQUESTS_ALL	63

/* tls_request_facts.operation */
#define TLS_SESSION_STORE  1
#define TLS_SESSION_LOOKUP 2
#define TLS_SESSION_REMOVE 3

struct tls;
struct tls_config;
struct tls_request;

struct tls_request_cert {
	const uint8_t *der;
	size_t len;
};

/*
 * What a request is about; NULL and 0 for what its kind does not have. It
 * belongs to the request. Later versions add to its end.
 */
struct tls_request_facts {
	uint32_t kind;
	struct tls *context; /* whose handshake waits; compare only */

	/* TLS_REQUEST_CERTIFICATE */
	const char *servername; /* NULL for none */
	const uint8_t *alpn;	/* names with a byte of length before each */
	size_t alpn_len;
	const uint16_t *schemes; /* SignatureScheme, RFC 8446 4.2.3 */
	size_t nschemes;
	const uint16_t *versions; /* 0x0303 for TLS 1.2, 0x0304 for 1.3 */
	size_t nversions;
	const char *peer_address; /* "192.0.2.1:443", "[2001:db8::1]:443" */

	/* TLS_REQUEST_VERIFY */
	int depth;	     /* of the certificate in question, 0 the leaf */
	const char *verdict; /* NULL: good, or why it would be refused */
	const struct tls_request_cert *chain; /* the leaf first */
	size_t nchain;

	/* TLS_REQUEST_SESSION */
	int operation;
	const uint8_t *session_id;
	size_t session_id_len;
	const uint8_t *session; /* TLS_SESSION_STORE: sealed */
	size_t session_len;
	uint32_t lifetime; /* seconds */

	/* TLS_REQUEST_STAPLE and TLS_REQUEST_SIGN */
	const char *key_hash;  /* "SHA256:..." of the public key */
	uint16_t scheme;       /* SignatureScheme */
	const uint8_t *digest; /* to sign */
	size_t digest_len;
};

/*
 * kinds is a sum of TLS_REQUEST_*, 0 for none; timeout is in milliseconds, at
 * least 1. Returns 0, or -1 with tls_config_error().
 */
int tls_config_set_requests(struct tls_config *_config, uint32_t _kinds,
    int _timeout);

/*
 * The descriptor that is readable when there may be requests of a client, or
 * of all connections that a server accepts. It belongs to the context. -1 with
 * tls_error().
 */
int tls_request_fd(struct tls *_ctx);

/* Never waits. NULL if there is none; else it wants an answer. */
struct tls_request *tls_request_next(struct tls *_ctx);
const struct tls_request_facts *tls_request_facts(
    const struct tls_request *_request);

/*
 * Answers, from any thread of this process. They return 0 and have freed the
 * request; or -1 with tls_request_error(), and the request is still there.
 */
int tls_request_default(struct tls_request *_request);
int tls_request_accept(struct tls_request *_request);
int tls_request_refuse(struct tls_request *_request, const char *_reason);
int tls_request_answer(struct tls_request *_request, const void *_data,
    size_t _len);
int tls_request_answer_pair(struct tls_request *_request, unsigned int _pair);
/*
 * This one waits for goproxy's keeper, which reads the key. The descriptors
 * stay the caller's.
 */
int tls_request_answer_keypair(struct tls_request *_request, int _cert_fd,
    int _key_fd);

const char *tls_request_error(const struct tls_request *_request);
/* Refuses a request that was not answered; NULL is allowed. */
void tls_request_free(struct tls_request *_request);

/*
 * Who reads and writes a connection's records where the application gives
 * descriptors. With TLS_TRANSPORT_PROXY goproxy does, and the descriptor's
 * number becomes a channel for plaintext. With TLS_TRANSPORT_APP the library
 * does, within the calls of tls.h, and the descriptor stays what it is.
 *
 * For connections that start later; returns 0, or -1 for another value. What
 * is set here goes before LIBTLS_PROXY_TRANSPORT in the environment.
 */
#define TLS_TRANSPORT_PROXY 1
#define TLS_TRANSPORT_APP   2

int tls_config_set_transport(struct tls_config *_config, int _transport);

/*
 * For event loops, on a connection over callbacks or with TLS_TRANSPORT_APP:
 * whether calls return TLS_WANT_POLLIN instead of waiting until goproxy has
 * done its part, which they do otherwise. A handshake that has requests
 * never waits. Returns 0, or -1 for any other context.
 */
int tls_engine_set_nonblock(struct tls *_ctx, int _nonblock);

/*
 * What the last call's TLS_WANT_POLLIN means: a descriptor that gets readable
 * when goproxy has done its part, to be polled and not to be read, or -1 for
 * the network. It has the same number as long as the connection lives, and is
 * the library's.
 */
int tls_engine_fd(struct tls *_ctx);

/*
 * How much a process of goproxy's that speaks TLS, a worker, is shared: by
 * all connections of the program (the default), by those of one configuration,
 * or not at all.
 */
#define TLS_ISOLATION_PROCESS	 0
#define TLS_ISOLATION_CONFIG	 1
#define TLS_ISOLATION_CONNECTION 2

/*
 * Takes effect at the next tls_configure() or tls_connect(). Returns 0, or -1
 * for an isolation that there is not, with the configuration's error set. Not
 * to be called while another thread uses the configuration.
 */
int tls_config_set_isolation(struct tls_config *config, int isolation);

#ifdef __cplusplus
}
#endif

#endif
