/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef CONN_H
#define CONN_H

#include <sys/types.h>

#include <stdbool.h>
#include <stddef.h>

#include <tls.h>

#include "net.h"

#define CONN_LINE 4096

/*
 * A connection of ftp, in plaintext or with TLS. Descriptors block, and a
 * call that waits for longer than timeout seconds fails.
 */
struct conn {
	int fd;
	struct tls *tls; /* NULL in plaintext */
	int timeout;
	bool after_tls; /* which has left the connection */
	char host[256];
	/* Addresses; the socket is not to be asked while TLS has it. */
	char local[NET_ADDRESS_MAX], peer[NET_ADDRESS_MAX];
	long long since; /* when what goes on at the moment has begun */
	size_t off, len;
	char buf[16384];
};

/* NULL with a message, and so with -1 below. */
struct conn *conn_open(const struct net_options *net, const char *host,
    const char *port, int timeout);
/* Takes over fd, which is closed if there is no memory. */
struct conn *conn_new(int fd, const char *host, int timeout);
/* Without a word: what was sent last may be lost. */
void conn_free(struct conn *c);

/*
 * The handshake, as host, after which ctx belongs to the connection in any
 * case. Fails if the server has already said something.
 */
int conn_start_tls(struct conn *c, struct tls *ctx);
/*
 * Goes on in plaintext after both have said good-bye; the server may also do
 * so when this has returned.
 */
int conn_stop_tls(struct conn *c);

int conn_write(struct conn *c, const char *data, size_t len);
/* Makes sure that there is something to take: 1, 0 for EOF, or -1. */
int conn_fill(struct conn *c);
/* Up to *len bytes of what there is, and how many. */
char *conn_take(struct conn *c, size_t *len);
/*
 * A line without its end into CONN_LINE bytes: 1, 0 for EOF, or -1. Lines
 * with zero bytes, those that EOF cuts, and those that end with a mere LF where
 * strict, are errors.
 */
int conn_line(struct conn *c, char *line, bool strict);
/*
 * After EOF: 0 if the server has ended its data properly. In plaintext nobody
 * knows.
 */
int conn_ended(struct conn *c);
/* Says that this was all, and waits until it is on its way. */
int conn_finish(struct conn *c);
/* The same where nothing depends on it. */
void conn_goodbye(struct conn *c);

#endif
