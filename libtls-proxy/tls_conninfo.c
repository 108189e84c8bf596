/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <sys/socket.h>

#include <arpa/inet.h>

#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tls_internal.h"

/* Copies a field; an empty one stays NULL unless it is a fact by itself. */
static int
copy(char **dst, const struct tlsp_string *src, int empty_is_fact)
{
	if (src->len == 0 && !empty_is_fact)
		return 0;
	*dst = src->len == 0 ? strdup("") : strndup(src->data, src->len);
	return *dst == NULL ? -1 : 0;
}

struct tls_conninfo *
tls_conninfo_new(const struct tlsp_established *facts)
{
	struct tls_conninfo *info;
	size_t names_size;

	if ((info = calloc(1, sizeof(*info))) == NULL)
		return NULL;
	info->cipher_strength = (int)facts->cipher_strength;
	info->session_resumed = facts->resumed != 0;
	info->notbefore = info->notafter = -1;
	tls_ocsp_init(&info->ocsp);
	if (copy(&info->version, &facts->version, 0) == -1 ||
	    copy(&info->cipher, &facts->cipher, 0) == -1 ||
	    copy(&info->alpn, &facts->alpn, 0) == -1 ||
	    copy(&info->servername, &facts->servername, 0) == -1)
		goto err;
	if (facts->peer == 0)
		return info;

	info->peer_cert = 1;
	info->notbefore = (time_t)facts->not_before;
	info->notafter = (time_t)facts->not_after;
	if (copy(&info->hash, &facts->hash, 1) == -1 ||
	    copy(&info->subject, &facts->subject, 1) == -1 ||
	    copy(&info->issuer, &facts->issuer, 1) == -1 ||
	    copy(&info->common_name, &facts->common_name, 1) == -1 ||
	    tls_set_mem(&info->chain, &info->chain_len, facts->chain.data,
		facts->chain.len) == -1)
		goto err;
	/* A byte more, so that the last name ends whatever the worker sent. */
	names_size = facts->names.len + 1;
	if ((info->names = calloc(1, names_size)) == NULL)
		goto err;
	if (facts->names.len > 0)
		memcpy(info->names, facts->names.data, facts->names.len);
	info->names_len = facts->names.len;

	info->ocsp.response_status = (int)facts->ocsp_response_status;
	info->ocsp.cert_status = (int)facts->ocsp_cert_status;
	info->ocsp.crl_reason = (int)facts->ocsp_crl_reason;
	info->ocsp.this_update = (time_t)facts->ocsp_this_update;
	info->ocsp.next_update = (time_t)facts->ocsp_next_update;
	info->ocsp.revocation_time = (time_t)facts->ocsp_revocation_time;
	if (copy(&info->ocsp_url, &facts->ocsp_url, 0) == -1 ||
	    copy(&info->ocsp.result, &facts->ocsp_result, 0) == -1)
		goto err;
	return info;

err:
	tls_conninfo_free(info);
	return NULL;
}

void
tls_conninfo_free(struct tls_conninfo *info)
{
	if (info == NULL)
		return;
	free(info->version);
	free(info->cipher);
	free(info->alpn);
	free(info->servername);
	free(info->hash);
	free(info->subject);
	free(info->issuer);
	free(info->common_name);
	free(info->chain);
	free(info->names);
	free(info->ocsp_url);
	tls_ocsp_clear(&info->ocsp);
	free(info);
}

const char *
tls_conn_version(struct tls *ctx)
{
	return ctx->conninfo == NULL ? NULL : ctx->conninfo->version;
}

const char *
tls_conn_cipher(struct tls *ctx)
{
	return ctx->conninfo == NULL ? NULL : ctx->conninfo->cipher;
}

int
tls_conn_cipher_strength(struct tls *ctx)
{
	return ctx->conninfo == NULL ? 0 : ctx->conninfo->cipher_strength;
}

const char *
tls_conn_alpn_selected(struct tls *ctx)
{
	return ctx->conninfo == NULL ? NULL : ctx->conninfo->alpn;
}

const char *
tls_conn_servername(struct tls *ctx)
{
	return ctx->conninfo == NULL ? NULL : ctx->conninfo->servername;
}

int
tls_conn_session_resumed(struct tls *ctx)
{
	return ctx->conninfo == NULL ? 0 : ctx->conninfo->session_resumed;
}

int
tls_peer_cert_provided(struct tls *ctx)
{
	return ctx->conninfo == NULL ? 0 : ctx->conninfo->peer_cert;
}

const char *
tls_peer_cert_hash(struct tls *ctx)
{
	return ctx->conninfo == NULL ? NULL : ctx->conninfo->hash;
}

const char *
tls_peer_cert_subject(struct tls *ctx)
{
	return ctx->conninfo == NULL ? NULL : ctx->conninfo->subject;
}

const char *
tls_peer_cert_issuer(struct tls *ctx)
{
	return ctx->conninfo == NULL ? NULL : ctx->conninfo->issuer;
}

const char *
tls_peer_cert_common_name(struct tls *ctx)
{
	return ctx->conninfo == NULL ? NULL : ctx->conninfo->common_name;
}

time_t
tls_peer_cert_notbefore(struct tls *ctx)
{
	return ctx->conninfo == NULL ? -1 : ctx->conninfo->notbefore;
}

time_t
tls_peer_cert_notafter(struct tls *ctx)
{
	return ctx->conninfo == NULL ? -1 : ctx->conninfo->notafter;
}

const uint8_t *
tls_peer_cert_chain_pem(struct tls *ctx, size_t *len)
{
	if (ctx->conninfo == NULL || ctx->conninfo->chain == NULL)
		return NULL;
	*len = ctx->conninfo->chain_len;
	return ctx->conninfo->chain;
}

/*
 * libtls's rule: a wildcard stands for exactly one label, the leftmost, and
 * needs two labels after it.
 */
static int
match_name(const char *pattern, const char *name)
{
	const char *second, *domain;

	if (strcasecmp(pattern, name) == 0)
		return 1;
	if (pattern[0] != '*' || pattern[1] != '.' || pattern[2] == '.')
		return 0;
	second = strchr(pattern + 2, '.');
	if (second == NULL || second[1] == '\0' || second[1] == '.')
		return 0;
	domain = strchr(name, '.');
	if (name[0] == '.' || domain == NULL || domain[1] == '\0')
		return 0;
	return strcasecmp(pattern + 1, domain) == 0;
}

int
tls_peer_cert_contains_name(struct tls *ctx, const char *name)
{
	const struct tls_conninfo *info = ctx->conninfo;
	char ip[INET6_ADDRSTRLEN] = "";
	unsigned char addr[16];
	const char *p, *end;

	if (info == NULL || info->names == NULL || name == NULL ||
	    *name == '\0')
		return 0;
	if (inet_pton(AF_INET, name, addr) == 1)
		inet_ntop(AF_INET, addr, ip, sizeof(ip));
	else if (inet_pton(AF_INET6, name, addr) == 1)
		inet_ntop(AF_INET6, addr, ip, sizeof(ip));

	end = info->names + info->names_len;
	for (p = info->names; p < end; p += strlen(p) + 1) {
		switch (*p) {
		case 'D':
			if (*ip == '\0' && match_name(p + 1, name))
				return 1;
			break;
		case 'I':
			if (*ip != '\0' && strcmp(p + 1, ip) == 0)
				return 1;
			break;
		case 'C':
			if (*ip != '\0' && strcmp(p + 1, name) == 0)
				return 1;
			break;
		}
	}
	return 0;
}
