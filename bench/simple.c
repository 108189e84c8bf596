/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The simple way: blocking calls, one connection at a time. */

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"

/* Waits until a connection comes. Returns -1 at the end of standard input. */
static int
accept_next(void)
{
	struct pollfd pfds[] = { { .fd = listener, .events = POLLIN },
		{ .fd = STDIN_FILENO, .events = POLLIN } };
	int fd;

	for (;;) {
		if (poll(pfds, 2, -1) == -1 && errno != EINTR)
			fail("poll: %s", strerror(errno));
		if (pfds[0].revents != 0 &&
		    (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) != -1) {
			no_delay(fd);
			return fd;
		}
		if (pfds[1].revents != 0)
			return -1;
	}
}

static struct io *
shake_hands(int fd)
{
	struct io *io;
	int rv;

	if ((io = io_new(fd)) == NULL)
		return NULL;
	do
		rv = io_handshake(io);
	while (wanted(rv));
	if (rv == 0)
		return io;
	complain(io);
	io_free(io);
	return NULL;
}

static ssize_t
read_some(struct io *io, void *buf, size_t size)
{
	ssize_t n;

	do
		n = io_read(io, buf, size);
	while (wanted(n));
	return n;
}

static int
read_all(struct io *io, size_t size)
{
	ssize_t n;

	while (size > 0) {
		n = read_some(io, buffer, size < BUFFER ? size : BUFFER);
		if (n <= 0)
			return -1;
		size -= (size_t)n;
	}
	return 0;
}

static int
write_all(struct io *io, const char *buf, size_t size)
{
	ssize_t n;

	while (size > 0) {
		n = io_write(io, buf, size);
		if (wanted(n))
			continue;
		if (n <= 0)
			return -1;
		buf += n;
		size -= (size_t)n;
	}
	return 0;
}

/* Ends a connection; a client lets the server close first. */
static void
hang_up(struct io *io, int fd)
{
	int rv;

	do
		rv = io_close(io);
	while (wanted(rv));
	io_free(io);
	if (!opt.io.server) {
		while (recv(fd, buffer, sizeof(buffer), 0) > 0)
			;
	}
	close(fd);
}

/* Returns 0 when both ends agree about the end. */
static int
serve_blocking(struct io *io)
{
	ssize_t n;

	for (;;) {
		n = 0;
		switch (opt.activity) {
		case SEND:
			if (now() >= deadline)
				return 0;
			if ((n = io_write(io, buffer, opt.size)) == 0)
				return -1;
			break;
		case RECV:
			n = io_read(io, buffer, opt.size);
			break;
		default:
			n = read_some(io, buffer, sizeof(buffer));
			if (n > 0 && write_all(io, buffer, (size_t)n) == -1)
				n = IO_FAILED;
		}
		if (n > 0)
			stats.bytes += (uint64_t)n;
		else if (!wanted(n))
			return n == 0 ? 0 : -1;
	}
}

/* Serves one connection from its first to its last byte. */
static void
serve_one(int fd)
{
	struct io *io;

	if ((io = shake_hands(fd)) == NULL) {
		stats.errors++;
		close(fd);
		return;
	}
	if (opt.activity == SEND || opt.activity == RECV)
		await_go(io);
	if (serve_blocking(io) == -1)
		stats.errors++;
	stats.end = now();
	hang_up(io, fd);
	stats.count++;
}

void
server_blocking(void)
{
	int fd;

	while ((fd = accept_next()) != -1) {
		if (opt.activity == FORK) {
			switch (fork()) {
			case -1:
				stats.errors++;
				break;
			case 0:
				close(listener);
				serve_one(fd);
				_exit(stats.errors == 0 ? 0 : 1);
			default:
				stats.count++;
			}
			close(fd);
			while (waitpid(-1, NULL, WNOHANG) > 0)
				;
			continue;
		}
		serve_one(fd);
		if (opt.activity != ECHO)
			return;
	}
	if (opt.activity == FORK) {
		while (waitpid(-1, NULL, 0) > 0)
			;
	}
}

static struct io *
client_connect(int *fd)
{
	struct io *io;

	if ((*fd = connect_to_server()) == -1)
		return NULL;
	if ((io = shake_hands(*fd)) == NULL)
		close(*fd);
	return io;
}

/*
 * The first connection, which warms up both ends, and brings a session where
 * they are used.
 */
static void
warm_up(void)
{
	struct io *io;
	int fd;

	if ((io = client_connect(&fd)) == NULL ||
	    write_all(io, buffer, 1) == -1 || read_all(io, 1) == -1)
		fail("the first connection failed");
	hang_up(io, fd);
}

void
client_ping(void)
{
	struct io *io;
	uint64_t start;
	int fd;

	if ((io = client_connect(&fd)) == NULL)
		fail("cannot connect");
	await_go(io);
	while ((start = now()) < deadline) {
		if (write_all(io, buffer, opt.size) == -1 ||
		    read_all(io, opt.size) == -1)
			fail("ping failed");
		sample(now() - start);
		stats.count++;
	}
	stats.end = now();
	hang_up(io, fd);
}

/* The second connection has what all others will have. */
void
shake_ready(void)
{
	struct io *io;
	int fd;

	warm_up();
	if ((io = client_connect(&fd)) == NULL)
		fail("cannot connect");
	await_go(io);
	hang_up(io, fd);
	begin();
}

void
client_shake(void)
{
	struct io *io;
	uint64_t start;
	int fd;

	shake_ready();
	while ((start = now()) < deadline) {
		if ((io = client_connect(&fd)) == NULL) {
			if (++stats.errors > 100)
				fail("too many errors");
			continue;
		}
		stats.resumed += (uint64_t)io_resumed(io);
		hang_up(io, fd);
		sample(now() - start);
		stats.count++;
	}
	stats.end = now();
}

void
client_hold(void)
{
	struct io **ios;
	char line[16];
	int *fds, i, n = 0;

	ios = calloc((size_t)opt.conns, sizeof(struct io *));
	fds = calloc((size_t)opt.conns, sizeof(*fds));
	if (ios == NULL || fds == NULL)
		fail("out of memory");
	await_go(NULL);
	/* What does not find room ends it: fewer are held then. */
	while (n < opt.conns && (ios[n] = client_connect(&fds[n])) != NULL)
		n++;
	say("held %d %d\n", n, opt.conns - n);
	while (command(line, sizeof(line))) {
		for (i = 0; i < n; i++) {
			if (write_all(ios[i], buffer, opt.size) == -1 ||
			    read_all(ios[i], opt.size) == -1)
				stats.errors++;
		}
		say("held %d %llu\n", n, (unsigned long long)stats.errors);
	}
	exit(0);
}

/* From the first call of the library to the first byte. */
void
client_once(void)
{
	struct io *io;
	int fd;

	stats.begin = started;
	if ((io = client_connect(&fd)) == NULL ||
	    write_all(io, buffer, 1) == -1 || read_all(io, 1) == -1)
		fail("cannot connect");
	stats.end = now();
	stats.count = 1;
	hang_up(io, fd);
}

/* A client with one connection. */
void
client_blocking(void)
{
	struct io *io;
	int fd;

	if ((io = client_connect(&fd)) == NULL)
		fail("cannot connect");
	await_go(io);
	if (serve_blocking(io) == -1)
		stats.errors++;
	stats.end = now();
	hang_up(io, fd);
}
