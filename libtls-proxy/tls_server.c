/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <stdlib.h>

#include "tls_internal.h"

struct tls *
tls_server(void)
{
	return tls_new(TLS_SERVER);
}

int
tls_accept_fds(struct tls *ctx, struct tls **cctx, int fd_read, int fd_write)
{
	struct tls *conn;

	*cctx = NULL;
	if ((ctx->flags & TLS_SERVER) == 0) {
		tls_set_errorx(ctx, TLS_ERROR_INVALID_CONTEXT,
		    "not a server context");
		return -1;
	}
	if (ctx->channel == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
		    "ssl failure: context not configured");
		return -1;
	}
	if ((conn = tls_new(TLS_SERVER_CONN)) == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_OUT_OF_MEMORY, "out of memory");
		return -1;
	}
	tls_config_free(conn->config);
	conn->config = tls_config_ref(ctx->config);
	tlsp_config_channel_ref(ctx->channel);
	conn->channel = ctx->channel;
	if (tls_start(conn, ctx, fd_read, fd_write) == -1) {
		tls_set_errorx(ctx, conn->error.code, "%s",
		    conn->error.msg == NULL ? "out of memory"
					    : conn->error.msg);
		tls_free(conn);
		return -1;
	}
	*cctx = conn;
	return 0;
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
	(void)read_cb;
	(void)write_cb;
	(void)cb_arg;
	*cctx = NULL;
	tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
	    "%s is not supported by libtls-proxy yet", __func__);
	return -1;
}
