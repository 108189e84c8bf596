/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <sys/socket.h>

#include <arpa/inet.h>
#include <netdb.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls_internal.h"

struct tls *
tls_client(void)
{
	return tls_new(TLS_CLIENT);
}

static int
is_ip_literal(const char *name)
{
	unsigned char addr[16];

	return inet_pton(AF_INET, name, addr) == 1 ||
	       inet_pton(AF_INET6, name, addr) == 1;
}

/* What may be sent as a server name (RFC 6066 section 3): letters, digits, -.
 */
static int
is_host_name(const char *name)
{
	static const char ldh[] = "abcdefghijklmnopqrstuvwxyz"
				  "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-";
	size_t total = strlen(name), label;

	if (total == 0 || total > 255)
		return 0;
	for (;; name += label + 1) {
		label = strspn(name, ldh);
		if (label == 0 || label > 63 || name[0] == '-' ||
		    name[label - 1] == '-')
			return 0;
		if (name[label] == '\0')
			return 1;
		if (name[label] != '.')
			return 0;
	}
}

static int
set_servername(struct tls *ctx, const char *servername)
{
	size_t len;

	free(ctx->servername);
	ctx->servername = NULL;
	if (servername == NULL) {
		if (ctx->config->verify_name) {
			tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
			    "server name not specified");
			return -1;
		}
		return 0;
	}
	if ((ctx->servername = strdup(servername)) == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_OUT_OF_MEMORY, "out of memory");
		return -1;
	}
	/* The root's dot is not part of a certificate's name. */
	len = strlen(ctx->servername);
	if (len > 0 && ctx->servername[len - 1] == '.')
		ctx->servername[len - 1] = '\0';
	if (!is_ip_literal(ctx->servername) && !is_host_name(ctx->servername)) {
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
		    "server name indication failure");
		return -1;
	}
	return 0;
}

/* What comes before a connection to a server of this name. */
static int
prepare(struct tls *ctx, const char *servername)
{
	struct tlsp_config_channel *channel;

	if (tls_engine_refuse(ctx) == -1)
		return -1;
	/* After tls_client() and tls_reset() there is none. */
	if (ctx->config == NULL && tls_configure(ctx, NULL) == -1)
		return -1;
	if (set_servername(ctx, servername) == -1)
		return -1;
	channel =
	    tls_config_commit(ctx->config, TLSP_ROLE_CLIENT, NULL, &ctx->error);
	if (channel == NULL)
		return -1;
	tlsp_config_channel_unref(ctx->channel);
	ctx->channel = channel;
	return 0;
}

static int
check_client(struct tls *ctx)
{
	if ((ctx->flags & TLS_CLIENT) != 0)
		return 0;
	tls_set_errorx(ctx, TLS_ERROR_INVALID_CONTEXT, "not a client context");
	return -1;
}

int
tls_connect_fds(struct tls *ctx, int fd_read, int fd_write,
    const char *servername)
{
	if (check_client(ctx) == -1)
		return -1;
	if (fd_read < 0 || fd_write < 0) {
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
		    "invalid file descriptors");
		return -1;
	}
	if (prepare(ctx, servername) == -1)
		return -1;
	return tls_start(ctx, fd_read, fd_write);
}

int
tls_connect_socket(struct tls *ctx, int socket, const char *servername)
{
	return tls_connect_fds(ctx, socket, socket, servername);
}

int
tls_connect_cbs(struct tls *ctx, tls_read_cb read_cb, tls_write_cb write_cb,
    void *cb_arg, const char *servername)
{
	if (check_client(ctx) == -1 || prepare(ctx, servername) == -1)
		return -1;
	return tls_engine_start(ctx, read_cb, write_cb, cb_arg);
}

/*
 * Numeric addresses first: they need no resolver, and AI_ADDRCONFIG would hide
 * the loopback address of a machine without any other.
 */
static int
resolve(struct tls *ctx, const char *host, const char *port,
    struct addrinfo **list)
{
	static const struct {
		int family;
		int flags;
	} tries[] = {
		{ AF_INET, AI_NUMERICHOST },
		{ AF_INET6, AI_NUMERICHOST },
		{ AF_UNSPEC, AI_ADDRCONFIG },
	};
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	size_t i;
	int rv = EAI_FAIL;

	for (i = 0; i < sizeof(tries) / sizeof(tries[0]); i++) {
		hints.ai_family = tries[i].family;
		hints.ai_flags = tries[i].flags;
		rv = getaddrinfo(host, port, &hints, list);
		if (rv == 0)
			return 0;
	}
	tls_set_errorx(ctx, TLS_ERROR_UNKNOWN, "%s", gai_strerror(rv));
	return -1;
}

/* Returns a connected socket, or -1 with the error of the last address. */
static int
connect_any(struct tls *ctx, const struct addrinfo *list)
{
	const struct addrinfo *ai;
	int fd = -1;

	for (ai = list; ai != NULL; ai = ai->ai_next) {
		fd = socket(ai->ai_family, ai->ai_socktype | SOCK_CLOEXEC,
		    ai->ai_protocol);
		if (fd == -1) {
			tls_set_error(ctx, TLS_ERROR_UNKNOWN, "socket");
			continue;
		}
		if (connect(fd, ai->ai_addr, ai->ai_addrlen) == 0)
			break;
		tls_set_error(ctx, TLS_ERROR_UNKNOWN, "connect");
		tlsp_fd_close(&fd);
	}
	return fd;
}

int
tls_connect_servername(struct tls *ctx, const char *host, const char *port,
    const char *servername)
{
	struct addrinfo *list = NULL;
	char *host_part = NULL, *port_part = NULL;
	int fd = -1, rv = -1;

	if (check_client(ctx) == -1)
		goto err;
	if (host == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN, "host not specified");
		goto err;
	}
	if (port == NULL) {
		switch (tls_host_port(host, &host_part, &port_part)) {
		case -1:
			tls_set_errorx(ctx, TLS_ERROR_OUT_OF_MEMORY,
			    "out of memory");
			goto err;
		case 1:
			tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
			    "no port provided");
			goto err;
		}
		host = host_part;
		port = port_part;
	}
	if (resolve(ctx, host, port, &list) == -1)
		goto err;
	if ((fd = connect_any(ctx, list)) == -1)
		goto err;
	if (tls_connect_socket(ctx, fd,
		servername == NULL ? host : servername) == -1)
		goto err;
	ctx->owns_socket = 1;
	fd = -1;
	rv = 0;

err:
	tlsp_fd_close(&fd);
	if (list != NULL)
		freeaddrinfo(list);
	free(host_part);
	free(port_part);
	return rv;
}

int
tls_connect(struct tls *ctx, const char *host, const char *port)
{
	return tls_connect_servername(ctx, host, port, NULL);
}
