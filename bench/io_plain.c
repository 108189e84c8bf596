/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io.h"

struct io {
	int fd;
};

void
io_init(const struct io_setup *setup)
{
	(void)setup;
}

void
io_configure(const struct io_setup *setup)
{
	(void)setup;
	fail("there is nothing to configure");
}

struct io *
io_new(int fd)
{
	struct io *io;

	if ((io = malloc(sizeof(*io))) == NULL)
		return NULL;
	io->fd = fd;
	return io;
}

int
io_handshake(struct io *io)
{
	(void)io;
	return 0;
}

ssize_t
io_read(struct io *io, void *buf, size_t size)
{
	ssize_t n;

	n = recv(io->fd, buf, size, 0);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return IO_WANT_IN;
	return n;
}

ssize_t
io_write(struct io *io, const void *buf, size_t size)
{
	ssize_t n;

	n = send(io->fd, buf, size, MSG_NOSIGNAL);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return IO_WANT_OUT;
	return n;
}

int
io_close(struct io *io)
{
	return shutdown(io->fd, SHUT_WR) == -1 && errno != ENOTCONN ? IO_FAILED
								    : 0;
}

void
io_free(struct io *io)
{
	free(io);
}

int
io_resumed(struct io *io)
{
	(void)io;
	return 0;
}

void
io_facts(struct io *io, char *buf, size_t size)
{
	(void)io;
	(void)snprintf(buf, size, "none");
}

const char *
io_error(struct io *io)
{
	(void)io;
	return strerror(errno);
}
