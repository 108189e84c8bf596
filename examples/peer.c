/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The connection of nc, with TLS or without. */

#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "peer.h"

#define LINGER (5 * 1000)

static const char *
tls_cause(struct tls *tls)
{
	const char *cause = tls_error(tls);

	return cause != NULL ? cause : "unknown error";
}

static short
want_to_events(ssize_t want)
{
	return want == TLS_WANT_POLLIN ? POLLIN : POLLOUT;
}

static int
peer_wait(struct peer *peer, int want, long long deadline)
{
	if (net_wait(peer->fd, want_to_events(want), deadline) == 0)
		return 0;
	if (errno == ETIMEDOUT)
		warnx("%s: timed out", peer->name);
	else
		warn("%s: poll", peer->name);
	return -1;
}

int
peer_start_tls(struct peer *peer, struct tls *tls, const char *name,
    int timeout)
{
	long long deadline = net_now() + timeout;
	int n;

	if (name == NULL) {
		n = tls_accept_socket(tls, &peer->tls, peer->fd);
	} else {
		n = tls_connect_socket(tls, peer->fd, name);
		peer->tls = tls;
	}
	if (n == -1) {
		warnx("%s: %s", peer->name, tls_cause(tls));
		return -1;
	}
	while ((n = tls_handshake(peer->tls)) != 0) {
		if (n == -1) {
			warnx("%s: %s", peer->name, tls_cause(peer->tls));
			return -1;
		}
		if (peer_wait(peer, n, deadline) == -1)
			return -1;
	}
	return 0;
}

/* Plaintext speaks libtls's language, so that the callers see but one. */
static ssize_t
plain_result(ssize_t n, ssize_t want)
{
	if (n == -1 &&
	    (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return want;
	return n;
}

static const char *
peer_cause(struct peer *peer)
{
	return peer->tls != NULL ? tls_cause(peer->tls) : strerror(errno);
}

int
peer_read(struct peer *peer, struct buffer *b)
{
	char *end;
	size_t room;
	ssize_t n;

	if (b->len == 0)
		b->off = 0;
	while (
	    peer->can_read && (room = sizeof(b->data) - b->off - b->len) > 0) {
		end = b->data + b->off + b->len;
		if (peer->tls != NULL)
			n = tls_read(peer->tls, end, room);
		else
			n = plain_result(read(peer->fd, end, room),
			    TLS_WANT_POLLIN);
		if (n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT) {
			peer->can_read = false;
			peer->read_events = want_to_events(n);
		} else if (n == 0) {
			return 0;
		} else if (n < 0) {
			warnx("%s: %s", peer->name, peer_cause(peer));
			return -1;
		} else {
			b->len += (size_t)n;
		}
	}
	return 1;
}

int
peer_write(struct peer *peer, struct buffer *b)
{
	const char *data;
	ssize_t n;

	while (peer->can_write && b->len > 0) {
		data = b->data + b->off;
		if (peer->tls != NULL)
			n = tls_write(peer->tls, data, b->len);
		else
			n = plain_result(write(peer->fd, data, b->len),
			    TLS_WANT_POLLOUT);
		if (n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT) {
			peer->can_write = false;
			peer->write_events = want_to_events(n);
		} else if (n < 0) {
			warnx("%s: %s", peer->name, peer_cause(peer));
			return -1;
		} else {
			b->off += (size_t)n;
			b->len -= (size_t)n;
		}
	}
	return 1;
}

void
peer_shut(struct peer *peer)
{
	shutdown(peer->fd, SHUT_WR);
	peer->shut = true;
}

/*
 * Data that was not read makes close(2) reset the connection, and what was
 * sent last may then be lost on its way. After tls_close the descriptor is the
 * socket again.
 */
static void
linger_on(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	long long left, deadline = net_now() + LINGER;
	char waste[4096];

	shutdown(fd, SHUT_WR);
	while ((left = deadline - net_now()) > 0 &&
	       poll(&pfd, 1, (int)left) == 1 &&
	       read(fd, waste, sizeof(waste)) > 0)
		continue;
}

int
peer_close(struct peer *peer, int timeout, bool linger)
{
	long long deadline = net_now() + timeout;
	int n = 0;

	if (peer->tls != NULL) {
		/* After shutdown(2) there is no way left for a close_notify. */
		while (!peer->shut && (n = tls_close(peer->tls)) < -1)
			if (peer_wait(peer, n, deadline) == -1)
				break;
		if (peer->unprotected)
			n = 0;
		if (n == -1)
			warnx("%s: %s", peer->name, tls_cause(peer->tls));
		tls_free(peer->tls);
		peer->tls = NULL;
	}
	if (linger)
		linger_on(peer->fd);
	close(peer->fd);
	return n == 0 ? 0 : -1;
}

void
peer_abandon(struct peer *peer)
{
	tls_free(peer->tls);
	peer->tls = NULL;
	close(peer->fd);
}
