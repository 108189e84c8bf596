/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * What the programs speak with. Each of io_libtls.c, io_openssl.c and
 * io_plain.c makes a program of its own: the one that is measured, its peer,
 * and a server for others to stand in front of.
 */

#ifndef BENCH_IO_H
#define BENCH_IO_H

#include <sys/types.h>

/* What calls return besides a count; the first two are those of libtls. */
#define IO_FAILED   (-1)
#define IO_WANT_IN  (-2)
#define IO_WANT_OUT (-3)

struct io_setup {
	int server;
	int bulk;	   /* large buffers pay */
	int resume;	   /* use sessions */
	int tls12;	   /* TLS 1.2 instead of TLS 1.3 */
	const char *certs; /* directory that tests/mkcerts made */
	const char *key;   /* name of certificate and key in it */
	const char *group; /* NULL for what the library offers by itself */
	/*
	 * If not 0, a server has so many configurations besides the one of
	 * above, each with as many names; both ends know by the client's
	 * address which one a connection is for.
	 */
	int configs;
	int names;	   /* of each */
	const char *named; /* directory that bench-names made */
};

struct io;

/* Before all other calls; ends the program on failure. */
void io_init(const struct io_setup *);

/* Makes a server's other configurations. */
void io_configure(const struct io_setup *);

/* Begins TLS on a connected socket, which stays the caller's. */
struct io *io_new(int fd);
int io_handshake(struct io *);

/* 0 is the end, with or without close_notify. */
ssize_t io_read(struct io *, void *, size_t);
ssize_t io_write(struct io *, const void *, size_t);
int io_close(struct io *);
void io_free(struct io *);

int io_resumed(struct io *);

/* The protocol, cipher suite, group and whether it was resumed. */
void io_facts(struct io *, char *buf, size_t size);

/* Why the last call failed. */
const char *io_error(struct io *);

/*
 * Of main.c. The number of the configuration that belongs to the address of
 * this or the other end of a connection.
 */
int place(int fd, int other_end);

/* Ends the program. */
_Noreturn void fail(const char *, ...)
    __attribute__((__format__(__printf__, 1, 2)));

#endif
