/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Connections that block, with time-outs of the socket. */

#include <sys/socket.h>
#include <sys/time.h>

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "conn.h"
#include "interrupt.h"
#include "progress.h"

/* What may come of TLS after its end: an alert and a few tickets. */
#define LATE_RECORDS 8

static const char *
cause(struct conn *c)
{
	const char *text = tls_error(c->tls);

	return text != NULL ? text : "unknown error";
}

/*
 * On a blocking descriptor TLS_WANT_* means that the socket's time-out has
 * passed, or that there was no more than a signal; the clock knows which.
 */
static bool
try_again(struct conn *c, ssize_t n)
{
	if (n != TLS_WANT_POLLIN && n != TLS_WANT_POLLOUT)
		return false;
	if (interrupted()) {
		complain("interrupted");
		return false;
	}
	if (net_now() - c->since < (long long)c->timeout * 1000)
		return true;
	complain("%s: stalled for %d seconds", c->host, c->timeout);
	return false;
}

/* Plaintext speaks libtls's language. */
static ssize_t
plain_result(struct conn *c, ssize_t n, const char *what)
{
	if (n != -1)
		return n;
	if (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)
		return TLS_WANT_POLLIN;
	complain("%s: %s: %s", c->host, what, strerror(errno));
	return -1;
}

static ssize_t
tls_result(struct conn *c, ssize_t n)
{
	if (n == -1)
		complain("%s: %s", c->host, cause(c));
	return n;
}

struct conn *
conn_new(int fd, const char *host, int timeout)
{
	struct timeval tv = { .tv_sec = timeout };
	struct conn *c;

	if ((c = calloc(1, sizeof(*c))) == NULL) {
		complain("out of memory");
		close(fd);
		return NULL;
	}
	c->fd = fd;
	c->timeout = timeout;
	snprintf(c->host, sizeof(c->host), "%s", host);
	if (net_set_nonblock(fd, false) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == -1 ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == -1 ||
	    net_addresses(fd, c->local, c->peer) == -1) {
		complain("%s: socket: %s", host, strerror(errno));
		conn_free(c);
		return NULL;
	}
	return c;
}

struct conn *
conn_open(const struct net_options *net, const char *host, const char *port,
    int timeout)
{
	int fd;

	if ((fd = net_connect_with(net, host, port, timeout * 1000)) == -1)
		return NULL;
	return conn_new(fd, host, timeout);
}

void
conn_free(struct conn *c)
{
	if (c == NULL)
		return;
	tls_free(c->tls);
	close(c->fd);
	free(c);
}

int
conn_start_tls(struct conn *c, struct tls *ctx)
{
	ssize_t n;

	/*
	 * A client speaks first in TLS. What is here already was put in by
	 * somebody who wants it to be taken for a part of the session.
	 */
	if (c->len > 0) {
		complain("%s: the server goes on in plaintext", c->host);
		tls_free(ctx);
		return -1;
	}
	c->tls = ctx;
	if (tls_connect_socket(c->tls, c->fd, c->host) == -1) {
		tls_result(c, -1);
		return -1;
	}
	c->since = net_now();
	do
		n = tls_result(c, tls_handshake(c->tls));
	while (try_again(c, n));
	return n == 0 ? 0 : -1;
}

int
conn_write(struct conn *c, const char *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		c->since = net_now();
		do
			if (c->tls != NULL)
				n = tls_result(c, tls_write(c->tls, data, len));
			else
				n = plain_result(c,
				    send(c->fd, data, len, MSG_NOSIGNAL),
				    "write");
		while (try_again(c, n));
		if (n < 0)
			return -1;
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

int
conn_fill(struct conn *c)
{
	ssize_t n;

	if (c->len > 0)
		return 1;
	c->since = net_now();
	do
		if (c->tls != NULL)
			n = tls_result(c,
			    tls_read(c->tls, c->buf, sizeof(c->buf)));
		else
			n = plain_result(c,
			    recv(c->fd, c->buf, sizeof(c->buf), 0), "read");
	while (try_again(c, n));
	if (n < 0)
		return -1;
	c->off = 0;
	c->len = (size_t)n;
	return n > 0;
}

char *
conn_take(struct conn *c, size_t *len)
{
	char *data = c->buf + c->off;

	if (*len > c->len)
		*len = c->len;
	c->off += *len;
	c->len -= *len;
	return data;
}

/*
 * The server's good-bye may still be on its way. No line of text begins like
 * its record. Returns as conn_fill does.
 */
static int
skip_records(struct conn *c)
{
	size_t left, len;
	uint8_t head[5];
	int i, n;

	for (i = 0; i < LATE_RECORDS; i++) {
		if ((n = conn_fill(c)) != 1)
			return n;
		if (c->buf[c->off] != 0x15 && c->buf[c->off] != 0x17) {
			c->after_tls = false;
			return 1;
		}
		for (left = 0; left < sizeof(head); left++) {
			if ((n = conn_fill(c)) != 1)
				return n;
			len = 1;
			head[left] = (uint8_t)*conn_take(c, &len);
		}
		for (left = (size_t)head[3] << 8 | head[4]; left > 0;
		     left -= len) {
			if ((n = conn_fill(c)) != 1)
				return n;
			len = left;
			conn_take(c, &len);
		}
	}
	complain("%s: TLS goes on after its end", c->host);
	return -1;
}

int
conn_line(struct conn *c, char *line, bool strict)
{
	size_t len = 0, one;
	int n;

	if (c->after_tls && (n = skip_records(c)) != 1)
		return n;
	for (;;) {
		if ((n = conn_fill(c)) == 0 && len > 0) {
			complain("%s: a line without its end", c->host);
			return -1;
		}
		if (n != 1)
			return n;
		one = 1;
		line[len] = *conn_take(c, &one);
		if (line[len] == '\n')
			break;
		if (line[len] == '\0') {
			complain("%s: a zero byte in a line", c->host);
			return -1;
		}
		if (++len == CONN_LINE) {
			complain("%s: a line that is too long", c->host);
			return -1;
		}
	}
	if (len > 0 && line[len - 1] == '\r') {
		len--;
	} else if (strict) {
		complain("%s: a line that does not end with CRLF", c->host);
		return -1;
	}
	line[len] = '\0';
	return 1;
}

static ssize_t
say_goodbye(struct conn *c)
{
	ssize_t n;

	c->since = net_now();
	do
		n = tls_close(c->tls);
	while (try_again(c, n));
	return n;
}

int
conn_ended(struct conn *c)
{
	if (c->tls == NULL)
		return 0;
	return tls_result(c, say_goodbye(c)) == 0 ? 0 : -1;
}

int
conn_finish(struct conn *c)
{
	if (c->tls != NULL && tls_result(c, say_goodbye(c)) != 0)
		return -1;
	if (shutdown(c->fd, SHUT_WR) == -1) {
		complain("%s: %s", c->host, strerror(errno));
		return -1;
	}
	return 0;
}

int
conn_stop_tls(struct conn *c)
{
	if (tls_result(c, say_goodbye(c)) != 0)
		return -1;
	tls_free(c->tls);
	c->tls = NULL;
	c->after_tls = true;
	return 0;
}

void
conn_goodbye(struct conn *c)
{
	if (c->tls == NULL || say_goodbye(c) == 0)
		shutdown(c->fd, SHUT_WR);
}
