/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <stdlib.h>

#include "tls_internal.h"

struct tls *
tls_server(void)
{
	return tls_new(TLS_SERVER);
}

/* A context for a connection to the server, or NULL with the server's error. */
static struct tls *
conn_new(struct tls *ctx)
{
	struct tls *conn;

	if ((ctx->flags & TLS_SERVER) == 0) {
		tls_set_errorx(ctx, TLS_ERROR_INVALID_CONTEXT,
		    "not a server context");
		return NULL;
	}
	if (ctx->channel == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
		    "ssl failure: context not configured");
		return NULL;
	}
	if ((conn = tls_new(TLS_SERVER_CONN)) == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_OUT_OF_MEMORY, "out of memory");
		return NULL;
	}
	conn->config = tls_config_ref(ctx->config);
	tlsp_config_channel_ref(ctx->channel);
	conn->channel = ctx->channel;
	if (tls_requests_inherit(conn, ctx) == -1) {
		tls_free(conn);
		return NULL;
	}
	return conn;
}

/* Gives the context to the caller where it could be started (rv 0). */
static int
conn_done(struct tls *ctx, struct tls **cctx, struct tls *conn, int rv)
{
	if (rv == 0) {
		*cctx = conn;
		return 0;
	}
	tls_set_errorx(ctx, conn->error.code, "%s",
	    conn->error.msg == NULL ? "out of memory" : conn->error.msg);
	tls_free(conn);
	return -1;
}

int
tls_accept_fds(struct tls *ctx, struct tls **cctx, int fd_read, int fd_write)
{
	struct tls *conn;

	*cctx = NULL;
	if ((conn = conn_new(ctx)) == NULL)
		return -1;
	return conn_done(ctx, cctx, conn, tls_start(conn, fd_read, fd_write));
}

int
tls_accept_socket(struct tls *ctx, struct tls **cctx, int socket)
{
	return tls_accept_fds(ctx, cctx, socket, socket);
}

int
tls_accept_cbs(struct tls *ctx, struct tls **cctx, tls_read_cb read_cb,
    tls_write_cb write_cb, void *cb_arg)
{
	struct tls *conn;

	*cctx = NULL;
	if ((conn = conn_new(ctx)) == NULL)
		return -1;
	return conn_done(ctx, cctx, conn,
	    tls_engine_start(conn, read_cb, write_cb, cb_arg));
}
