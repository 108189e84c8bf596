/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Who reads and writes the records: goproxy, or the library itself. */

#include <sys/socket.h>

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls_internal.h"

int
tls_config_set_transport(struct tls_config *config, int transport)
{
	if (transport != TLS_TRANSPORT_PROXY &&
	    transport != TLS_TRANSPORT_APP) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "invalid transport %d", transport);
		return -1;
	}
	config->transport = transport;
	return 0;
}

int
tls_transport(struct tls *ctx)
{
	static const char *const names[] = { "proxy", "app", NULL };
	static const int transports[] = { TLS_TRANSPORT_PROXY,
		TLS_TRANSPORT_APP };
	int i;

	if (ctx->config->transport != 0)
		return ctx->config->transport;
	i = tls_env_word("LIBTLS_PROXY_TRANSPORT", names, &ctx->error);
	return i == -1 ? -1 : transports[i];
}

/* An interrupted call is a want, as in libtls. */
static ssize_t
finish(ssize_t n, ssize_t want)
{
	if (n == -1 &&
	    (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return want;
	return n;
}

static ssize_t
fd_read(struct tls *ctx, void *buf, size_t len, void *arg)
{
	ssize_t n;

	(void)arg;
	n = read(ctx->fd_in.fd, buf, len);
	/* A reset is told once, here to who wrote, and is no end of file. */
	if (n == 0 && ctx->fd_in.fd == ctx->fd_out.fd &&
	    tls_engine_write_failed(ctx, ECONNRESET)) {
		errno = ECONNRESET;
		return -1;
	}
	return finish(n, TLS_WANT_POLLIN);
}

/* write(2) with SIGPIPE taken back. */
static ssize_t
write_quietly(int fd, const void *buf, size_t len)
{
	static const struct timespec now = { 0, 0 };
	sigset_t sigpipe, old, pending;
	int saved, was_pending;
	ssize_t n;

	sigemptyset(&sigpipe);
	sigaddset(&sigpipe, SIGPIPE);
	sigemptyset(&pending);
	sigpending(&pending);
	was_pending = sigismember(&pending, SIGPIPE);
	pthread_sigmask(SIG_BLOCK, &sigpipe, &old);
	n = write(fd, buf, len);
	saved = errno;
	if (n == -1 && saved == EPIPE && !was_pending) {
		while (
		    sigtimedwait(&sigpipe, NULL, &now) == -1 && errno == EINTR)
			;
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return n;
}

static ssize_t
fd_write(struct tls *ctx, const void *buf, size_t len, void *arg)
{
	(void)arg;
	return finish(write_quietly(ctx->fd_out.fd, buf, len),
	    TLS_WANT_POLLOUT);
}

/* For a socket, and nothing that takes its number later. */
static ssize_t
socket_write(struct tls *ctx, const void *buf, size_t len, void *arg)
{
	(void)arg;
	return finish(send(ctx->fd_out.fd, buf, len, MSG_NOSIGNAL),
	    TLS_WANT_POLLOUT);
}

int
tls_transport_start(struct tls *ctx, int fd_in, int fd_out)
{
	struct stat sb;

	if (fstat(fd_out, &sb) == -1) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN,
		    "invalid file descriptors");
		return -1;
	}
	if (tls_engine_start_own(ctx, fd_read,
		S_ISSOCK(sb.st_mode) ? socket_write : fd_write, NULL) == -1)
		return -1;
	tlsp_handle_note(&ctx->fd_in, fd_in);
	tlsp_handle_note(&ctx->fd_out, fd_out);
	return 0;
}
