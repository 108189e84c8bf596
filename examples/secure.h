/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef SECURE_H
#define SECURE_H

#include <stdbool.h>
#include <stddef.h>

#include <tls.h>

#include "conn.h"
#include "url.h"

#define SECURE_PINS 16

/* How ftp speaks TLS, and with what it shows who it is. */
struct secure {
	/* One has the user's certificate, the other one is for strangers. */
	struct tls_config *user, *stranger;
	const char *pins[SECURE_PINS]; /* hashes of certificates */
	size_t npins;
	const char *sessions; /* a directory, or NULL */
	int session_fd;	      /* -1 if there is none */
	bool verbose;
};

/* 0, or -1 with a message. */
int secure_init(struct secure *s);
void secure_clear(struct secure *s);
/* Options as in tlsopt_apply. */
int secure_options(struct secure *s, const char *list);
/* Without pins all certificates that can be verified will do. */
int secure_pin(struct secure *s, const char *hash);

/*
 * Takes up the session that the last connection to this server has left, and
 * keeps the next one, for all handshakes until the next call. Where sessions
 * are not kept from run to run, they are from connection to connection if
 * always. user as in secure_start.
 */
int secure_session(struct secure *s, const struct url *url, bool user,
    bool always);
/* A handshake on c; may the server know who the user is? */
int secure_start(struct secure *s, struct conn *c, bool user);

#endif
