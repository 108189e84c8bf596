/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What an OCSP response says about the peer; goproxy verifies it. */

#include <stdlib.h>
#include <string.h>

#include "tls_internal.h"

/* How much of a response goproxy is asked to look at. */
#define RESPONSE_MAX (1 << 20)

void
tls_ocsp_init(struct tls_ocsp *ocsp)
{
	ocsp->result = NULL;
	ocsp->response_status = -1;
	ocsp->cert_status = -1;
	ocsp->crl_reason = -1;
	ocsp->this_update = -1;
	ocsp->next_update = -1;
	ocsp->revocation_time = -1;
}

void
tls_ocsp_clear(struct tls_ocsp *ocsp)
{
	free(ocsp->result);
	tls_ocsp_init(ocsp);
}

static int
set_error(struct tls *ctx, const struct tlsp_string *error)
{
	if (error->len == 0)
		return 0;
	tls_set_errorx(ctx, TLS_ERROR_UNKNOWN, "%.*s", (int)error->len,
	    (const char *)error->data);
	return -1;
}

int
tls_ocsp_process_response(struct tls *ctx, const unsigned char *response,
    size_t size)
{
	struct tlsp_ocsp_reply reply;
	uint8_t buf[TLSP_REPLY_MAX];
	struct tls_ocsp *ocsp;

	/* libtls has no text for that. */
	if (ctx->conninfo == NULL)
		return -1;
	if (response == NULL || size > RESPONSE_MAX) {
		tls_set_errorx(ctx, TLS_ERROR_INVALID_ARGUMENT,
		    "unable to parse OCSP response");
		return -1;
	}
	if (tlsp_connection_ocsp(ctx->channel, ctx->connection, response, size,
		&reply, buf, &ctx->error) == -1)
		return -1;
	ocsp = &ctx->conninfo->ocsp;
	tls_ocsp_clear(ocsp);
	if (reply.result.len == 0)
		return set_error(ctx, &reply.error);
	ocsp->response_status = (int)reply.response_status;
	ocsp->cert_status = (int)reply.cert_status;
	ocsp->crl_reason = (int)reply.crl_reason;
	ocsp->this_update = (time_t)reply.this_update;
	ocsp->next_update = (time_t)reply.next_update;
	ocsp->revocation_time = (time_t)reply.revocation_time;
	ocsp->result = strndup(reply.result.data, reply.result.len);
	if (ocsp->result == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_OUT_OF_MEMORY, "out of memory");
		return -1;
	}
	/* Of a revoked certificate there is both. */
	return set_error(ctx, &reply.error);
}

const char *
tls_peer_ocsp_url(struct tls *ctx)
{
	return ctx->conninfo == NULL ? NULL : ctx->conninfo->ocsp_url;
}

/* What was found out about the peer of a finished handshake, or nothing. */
static const struct tls_ocsp *
ocsp_of(const struct tls *ctx)
{
	static const struct tls_ocsp nothing = { NULL, -1, -1, -1, -1, -1, -1 };

	return ctx->conninfo == NULL ? &nothing : &ctx->conninfo->ocsp;
}

const char *
tls_peer_ocsp_result(struct tls *ctx)
{
	return ocsp_of(ctx)->result;
}

int
tls_peer_ocsp_response_status(struct tls *ctx)
{
	return ocsp_of(ctx)->response_status;
}

int
tls_peer_ocsp_cert_status(struct tls *ctx)
{
	return ocsp_of(ctx)->cert_status;
}

int
tls_peer_ocsp_crl_reason(struct tls *ctx)
{
	return ocsp_of(ctx)->crl_reason;
}

time_t
tls_peer_ocsp_this_update(struct tls *ctx)
{
	return ocsp_of(ctx)->this_update;
}

time_t
tls_peer_ocsp_next_update(struct tls *ctx)
{
	return ocsp_of(ctx)->next_update;
}

time_t
tls_peer_ocsp_revocation_time(struct tls *ctx)
{
	return ocsp_of(ctx)->revocation_time;
}
