/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "io.h"

/* How much the peer moves by one system call, so that it is not the brake. */
#define BULK_BUFFER 262144

struct io {
	SSL *ssl;
	BIO *buffer; /* of what is to be sent; NULL for none */
};

static SSL_CTX *ctx;
static SSL_SESSION *session; /* what a client resumes */
static int as_server, bulk;
static int names; /* that each of many configurations has, or 0 */

static const char *
last_error(void)
{
	return ERR_reason_error_string(ERR_peek_last_error());
}

/* Keeps the first session for all connections that follow. */
static int
new_session(SSL *ssl, SSL_SESSION *new)
{
	(void)ssl;
	if (session != NULL)
		return 0;
	session = new;
	return 1;
}

static void
set_session_cache(const struct io_setup *setup)
{
	if (!setup->resume) {
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
		SSL_CTX_set_num_tickets(ctx, 0);
		return;
	}
	if (setup->server) {
		SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_SERVER);
		return;
	}
	SSL_CTX_set_session_cache_mode(ctx,
	    SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
	SSL_CTX_sess_set_new_cb(ctx, new_session);
}

/* That the server shows the certificate which has the name is what counts. */
static void
expect_names(const struct io_setup *setup)
{
	char root[1024];

	names = setup->names;
	(void)snprintf(root, sizeof(root), "%s/root.pem", setup->certs);
	if (!SSL_CTX_load_verify_locations(ctx, root, NULL))
		fail("cannot load %s: %s", root, last_error());
	SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
}

void
io_configure(const struct io_setup *setup)
{
	(void)setup;
	fail("OpenSSL has one configuration");
}

/* Asks for any of the names that the configuration has. */
static void
ask_for_name(struct io *io, int fd)
{
	char name[32];

	(void)snprintf(name, sizeof(name), "%ld.test",
	    place(fd, 0) * (long)names + random() % names);
	if (!SSL_set_tlsext_host_name(io->ssl, name) ||
	    !SSL_set1_host(io->ssl, name))
		fail("no name %s: %s", name, last_error());
}

void
io_init(const struct io_setup *setup)
{
	const int version = setup->tls12 ? TLS1_2_VERSION : TLS1_3_VERSION;
	char cert[1024], key[1024];

	as_server = setup->server;
	bulk = setup->bulk;
	ctx =
	    SSL_CTX_new(as_server ? TLS_server_method() : TLS_client_method());
	if (ctx == NULL || !SSL_CTX_set_min_proto_version(ctx, version) ||
	    !SSL_CTX_set_max_proto_version(ctx, version) ||
	    !SSL_CTX_set_ciphersuites(ctx, "TLS_AES_128_GCM_SHA256") ||
	    !SSL_CTX_set_cipher_list(ctx, "ECDHE+AES128+AESGCM"))
		fail("cannot set up OpenSSL: %s", last_error());
	if (setup->group != NULL &&
	    !SSL_CTX_set1_groups_list(ctx, setup->group))
		fail("no group %s: %s", setup->group, last_error());
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
				  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				  SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_options(ctx, SSL_OP_IGNORE_UNEXPECTED_EOF);
	if (bulk) {
		SSL_CTX_set_read_ahead(ctx, 1);
		SSL_CTX_set_default_read_buffer_len(ctx, BULK_BUFFER);
	}
	set_session_cache(setup);
	if (!as_server) {
		if (setup->configs > 0)
			expect_names(setup);
		return;
	}
	(void)snprintf(cert, sizeof(cert), "%s/%s-chain.pem", setup->certs,
	    setup->key);
	(void)snprintf(key, sizeof(key), "%s/%s.key", setup->certs, setup->key);
	if (!SSL_CTX_use_certificate_chain_file(ctx, cert) ||
	    !SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM))
		fail("cannot load %s: %s", cert, last_error());
}

struct io *
io_new(int fd)
{
	SSL_SESSION *copy;
	struct io *io;
	BIO *sock, *buffer = NULL;

	if ((io = calloc(1, sizeof(*io))) == NULL)
		return NULL;
	if ((io->ssl = SSL_new(ctx)) == NULL ||
	    (sock = BIO_new_socket(fd, BIO_NOCLOSE)) == NULL)
		fail("SSL_new: %s", last_error());
	SSL_set0_rbio(io->ssl, sock);
	BIO_up_ref(sock);
	if (bulk) {
		if ((buffer = BIO_new(BIO_f_buffer())) == NULL ||
		    !BIO_set_write_buffer_size(buffer, BULK_BUFFER))
			fail("BIO_f_buffer: %s", last_error());
		io->buffer = buffer;
	}
	SSL_set0_wbio(io->ssl, bulk ? BIO_push(buffer, sock) : sock);
	if (as_server) {
		SSL_set_accept_state(io->ssl);
		return io;
	}
	SSL_set_connect_state(io->ssl);
	if (names > 0)
		ask_for_name(io, fd);
	else
		SSL_set_tlsext_host_name(io->ssl, "localhost");
	/* OpenSSL uses a session of TLS 1.3 only once. */
	if (session != NULL) {
		if ((copy = SSL_SESSION_dup(session)) == NULL)
			fail("SSL_SESSION_dup: %s", last_error());
		SSL_set_session(io->ssl, copy);
		SSL_SESSION_free(copy);
	}
	return io;
}

static int
result(struct io *io, int rv)
{
	switch (SSL_get_error(io->ssl, rv)) {
	case SSL_ERROR_WANT_READ:
		return IO_WANT_IN;
	case SSL_ERROR_WANT_WRITE:
		return IO_WANT_OUT;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		return IO_FAILED;
	}
}

int
io_handshake(struct io *io)
{
	int rv;

	ERR_clear_error();
	rv = SSL_do_handshake(io->ssl);
	return rv == 1 ? 0 : result(io, rv);
}

ssize_t
io_read(struct io *io, void *buf, size_t size)
{
	int n;

	ERR_clear_error();
	n = SSL_read(io->ssl, buf, (int)size);
	return n > 0 ? n : result(io, n);
}

ssize_t
io_write(struct io *io, const void *buf, size_t size)
{
	int n;

	ERR_clear_error();
	n = SSL_write(io->ssl, buf, (int)size);
	return n > 0 ? n : result(io, n);
}

int
io_close(struct io *io)
{
	int rv;

	ERR_clear_error();
	if ((SSL_get_shutdown(io->ssl) & SSL_SENT_SHUTDOWN) == 0) {
		rv = SSL_shutdown(io->ssl);
		if (rv < 0)
			return result(io, rv);
	}
	if (io->buffer == NULL || BIO_flush(io->buffer) == 1)
		return 0;
	return BIO_should_retry(io->buffer) ? IO_WANT_OUT : IO_FAILED;
}

void
io_free(struct io *io)
{
	SSL_free(io->ssl);
	free(io);
}

int
io_resumed(struct io *io)
{
	return SSL_session_reused(io->ssl);
}

void
io_facts(struct io *io, char *buf, size_t size)
{
	const char *group;

	group = OBJ_nid2sn((int)SSL_get_negotiated_group(io->ssl));
	(void)snprintf(buf, size, "%s %s %s %s", SSL_get_version(io->ssl),
	    SSL_get_cipher_name(io->ssl), group,
	    SSL_session_reused(io->ssl) ? "resumed" : "full");
}

const char *
io_error(struct io *io)
{
	const char *text = last_error();

	(void)io;
	return text == NULL ? "end of file" : text;
}
