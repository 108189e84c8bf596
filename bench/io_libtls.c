/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tls.h>

#include "io.h"

#if TLS_WANT_POLLIN != IO_WANT_IN || TLS_WANT_POLLOUT != IO_WANT_OUT
#error "io.h differs from tls.h"
#endif

#define SESSION_LIFETIME 3600
#define TICKET_KEY	 48

struct io {
	struct tls *tls;
};

static struct tls_config *config;
static struct tls *server;   /* NULL in a client */
static struct tls **servers; /* of the other configurations, if any */

static void
check(int rv)
{
	if (rv == -1)
		fail("%s", tls_config_error(config));
}

/* A session file without a name. */
static int
session_file(void)
{
	char path[] = "/tmp/bench.XXXXXX";
	int fd;

	if ((fd = mkstemp(path)) == -1 || unlink(path) == -1)
		fail("cannot make a session file");
	return fd;
}

void
io_init(const struct io_setup *setup)
{
	unsigned char ticket_key[TICKET_KEY];
	char cert[1024], key[1024];

	if (tls_init() == -1 || (config = tls_config_new()) == NULL)
		fail("tls_init");
	check(tls_config_set_protocols(config,
	    setup->tls12 ? TLS_PROTOCOL_TLSv1_2 : TLS_PROTOCOL_TLSv1_3));
	if (setup->group != NULL)
		check(tls_config_set_ecdhecurves(config, setup->group));
	if (!setup->server) {
		(void)snprintf(cert, sizeof(cert), "%s/root.pem", setup->certs);
		check(tls_config_set_ca_file(config, cert));
		if (setup->resume)
			check(
			    tls_config_set_session_fd(config, session_file()));
		return;
	}
	(void)snprintf(cert, sizeof(cert), "%s/%s-chain.pem", setup->certs,
	    setup->key);
	(void)snprintf(key, sizeof(key), "%s/%s.key", setup->certs, setup->key);
	check(tls_config_set_keypair_file(config, cert, key));
	if (setup->resume) {
		memset(ticket_key, 1, sizeof(ticket_key));
		check(
		    tls_config_set_session_lifetime(config, SESSION_LIFETIME));
		check(tls_config_add_ticket_key(config, 1, ticket_key,
		    sizeof(ticket_key)));
	}
	if ((server = tls_server()) == NULL)
		fail("tls_server");
	if (tls_configure(server, config) == -1)
		fail("tls_configure: %s", tls_error(server));
}

/* One with the names from first on. */
static struct tls *
configure(const struct io_setup *setup, int first)
{
	struct tls_config *own;
	struct tls *new;
	char cert[1024], key[1024];
	int i, rv;

	if ((own = tls_config_new()) == NULL)
		fail("tls_config_new");
	rv = tls_config_set_protocols(own, TLS_PROTOCOL_TLSv1_3);
	for (i = 0; i < setup->names && rv == 0; i++) {
		(void)snprintf(cert, sizeof(cert), "%s/%d.pem", setup->named,
		    first + i);
		(void)snprintf(key, sizeof(key), "%s/%d.key", setup->named,
		    first + i);
		rv = i == 0 ? tls_config_set_keypair_file(own, cert, key)
			    : tls_config_add_keypair_file(own, cert, key);
	}
	if (rv == -1)
		fail("%s", tls_config_error(own));
	if ((new = tls_server()) == NULL)
		fail("tls_server");
	if (tls_configure(new, own) == -1)
		fail("tls_configure: %s", tls_error(new));
	tls_config_free(own);
	return new;
}

void
io_configure(const struct io_setup *setup)
{
	int i;

	servers = calloc((size_t)setup->configs, sizeof(struct tls *));
	if (servers == NULL)
		fail("out of memory");
	for (i = 0; i < setup->configs; i++)
		servers[i] = configure(setup, i * setup->names);
}

struct io *
io_new(int fd)
{
	struct tls *base = server;
	struct io *io;

	if ((io = calloc(1, sizeof(*io))) == NULL)
		return NULL;
	if (servers != NULL)
		base = servers[place(fd, 1)];
	if (base != NULL) {
		if (tls_accept_socket(base, &io->tls, fd) == 0)
			return io;
	} else if ((io->tls = tls_client()) != NULL &&
		   tls_configure(io->tls, config) == 0 &&
		   tls_connect_socket(io->tls, fd, "localhost") == 0)
		return io;
	tls_free(io->tls);
	free(io);
	return NULL;
}

int
io_handshake(struct io *io)
{
	return tls_handshake(io->tls);
}

ssize_t
io_read(struct io *io, void *buf, size_t size)
{
	return tls_read(io->tls, buf, size);
}

ssize_t
io_write(struct io *io, const void *buf, size_t size)
{
	return tls_write(io->tls, buf, size);
}

int
io_close(struct io *io)
{
	return tls_close(io->tls);
}

void
io_free(struct io *io)
{
	tls_free(io->tls);
	free(io);
}

int
io_resumed(struct io *io)
{
	return tls_conn_session_resumed(io->tls);
}

void
io_facts(struct io *io, char *buf, size_t size)
{
	(void)snprintf(buf, size, "%s %s - %s", tls_conn_version(io->tls),
	    tls_conn_cipher(io->tls),
	    tls_conn_session_resumed(io->tls) ? "resumed" : "full");
}

const char *
io_error(struct io *io)
{
	const char *text = tls_error(io == NULL ? server : io->tls);

	return text == NULL ? "unknown error" : text;
}
