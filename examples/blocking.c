/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * usage: blocking host port [cafile]
 *
 * A classic blocking interface on top of callbacks: whatever moves bytes can
 * be a connection's network, and who wants to wait waits in one place. Sends
 * standard input through TLS and writes what comes back.
 */

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <tls.h>
#include <unistd.h>

#include "net.h"

/* The network: a non-blocking socket here. */

static ssize_t
net_read(struct tls *ctx, void *buf, size_t len, void *fd)
{
	ssize_t n = read(*(int *)fd, buf, len);

	(void)ctx;
	return n == -1 && errno == EAGAIN ? TLS_WANT_POLLIN : n;
}

static ssize_t
net_write(struct tls *ctx, const void *buf, size_t len, void *fd)
{
	ssize_t n = write(*(int *)fd, buf, len);

	(void)ctx;
	return n == -1 && errno == EAGAIN ? TLS_WANT_POLLOUT : n;
}

/* The interface. */

struct stream {
	struct tls *tls;
	int fd;
};

static int
wants(struct stream *s, ssize_t rv)
{
	struct pollfd pfd = { .fd = s->fd, .events = POLLIN };

	if (rv == -1)
		errx(1, "%s", tls_error(s->tls));
	if (rv != TLS_WANT_POLLIN && rv != TLS_WANT_POLLOUT)
		return 0;
	if (rv == TLS_WANT_POLLOUT)
		pfd.events = POLLOUT;
	if (poll(&pfd, 1, -1) == -1 && errno != EINTR)
		err(1, "poll");
	return 1;
}

static size_t
stream_read(struct stream *s, void *buf, size_t len)
{
	ssize_t n;

	while (wants(s, n = tls_read(s->tls, buf, len)))
		;
	return (size_t)n;
}

static void
stream_write(struct stream *s, const char *p, size_t len)
{
	ssize_t n;

	for (; len > 0; p += n, len -= (size_t)n) {
		while (wants(s, n = tls_write(s->tls, p, len)))
			;
	}
}

static void
stream_close(struct stream *s)
{
	while (wants(s, tls_close(s->tls)))
		;
}

int
main(int argc, char **argv)
{
	struct tls_config *config;
	struct stream s;
	char buf[4096];
	size_t n;

	if (argc < 3 || argc > 4) {
		fprintf(stderr, "usage: blocking host port [cafile]\n");
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	if ((config = tls_config_new()) == NULL ||
	    (s.tls = tls_client()) == NULL)
		errx(1, "out of memory");
	if (argc == 4 && tls_config_set_ca_file(config, argv[3]) == -1)
		errx(1, "%s", tls_config_error(config));
	s.fd = net_connect(argv[1], argv[2], 10000);
	if (s.fd == -1 || net_set_nonblock(s.fd, true) == -1)
		return 1;
	if (tls_configure(s.tls, config) == -1 ||
	    tls_connect_cbs(s.tls, net_read, net_write, &s.fd, argv[1]) == -1)
		errx(1, "%s", tls_error(s.tls));
	while ((n = fread(buf, 1, sizeof(buf), stdin)) > 0)
		stream_write(&s, buf, n);
	while ((n = stream_read(&s, buf, sizeof(buf))) > 0)
		fwrite(buf, 1, n, stdout);
	stream_close(&s);
	tls_free(s.tls);
	tls_config_free(config);
	close(s.fd);
	return fflush(stdout) == 0 ? 0 : 1;
}
