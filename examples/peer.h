/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef PEER_H
#define PEER_H

#include <stdbool.h>
#include <stddef.h>

#include <tls.h>

#include "net.h"

#define BUFFER_SIZE (64 * 1024)

struct buffer {
	size_t off, len;
	char data[BUFFER_SIZE];
};

/* The other side of nc's connection. */
struct peer {
	int fd;
	struct tls *tls; /* NULL in plaintext */
	char name[320];
	/*
	 * Whether reading or writing may do something right now, and if not,
	 * what to poll for. libtls may hold data that poll(2) cannot see, so
	 * only TLS_WANT_* says that there is nothing more.
	 */
	bool can_read, can_write;
	short read_events, write_events;
	bool unprotected; /* an end without close_notify is as good */
	bool shut;	  /* nothing more can be written, not even a good-bye */
};

/*
 * A handshake within timeout milliseconds, as a client to the server of that
 * name, or on a server whose context is tls if it is NULL; -1 with a message.
 */
int peer_start_tls(struct peer *peer, struct tls *tls, const char *name,
    int timeout);
/* Network to buffer: 1 while more may come, 0 at the end, -1 for an error. */
int peer_read(struct peer *peer, struct buffer *b);
/* Buffer to network: 1, or -1 if the peer takes nothing more. */
int peer_write(struct peer *peer, struct buffer *b);
/* Says that nothing more will be written, as far as TLS knows of that. */
void peer_shut(struct peer *peer);
/*
 * Says good-bye and frees what belongs to the peer; -1 with a message if the
 * data that it sent may be incomplete. With linger, which is for data that are
 * not read, what was sent last still arrives.
 */
int peer_close(struct peer *peer, int timeout, bool linger);
/* The same without a word. */
void peer_abandon(struct peer *peer);

#endif
