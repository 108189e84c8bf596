/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "tls_internal.h"

/* Where systems keep the trusted certificates, most specific first. */
static const char *const ca_cert_files[] = {
	"/etc/ssl/cert.pem",
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
};

static struct tls_config *default_config;
static pthread_mutex_t default_mutex = PTHREAD_MUTEX_INITIALIZER;

const char *
tls_default_ca_cert_file(void)
{
	size_t i;

	for (i = 0; i < sizeof(ca_cert_files) / sizeof(*ca_cert_files); i++) {
		if (access(ca_cert_files[i], R_OK) == 0)
			return ca_cert_files[i];
	}
	return ca_cert_files[0];
}

struct tls_config *
tls_config_new(void)
{
	static const struct tlsp_handle none = TLSP_HANDLE_NONE;
	struct tls_config *config;

	if ((config = calloc(1, sizeof(*config))) == NULL)
		return NULL;
	if ((config->keypair = tls_keypair_new()) == NULL) {
		free(config);
		return NULL;
	}
	pthread_mutex_init(&config->mutex, NULL);
	config->refcount = 1;
	config->draft = none;
	config->changed = 1;
	config->protocols = TLS_PROTOCOLS_DEFAULT;
	config->verify_cert = 1;
	config->verify_name = 1;
	config->verify_time = 1;
	config->verify_depth = TLS_VERIFY_DEPTH_DEFAULT;
	return config;
}

struct tls_config *
tls_config_default(void)
{
	struct tls_config *config;

	pthread_mutex_lock(&default_mutex);
	if (default_config == NULL)
		default_config = tls_config_new();
	config = default_config;
	pthread_mutex_unlock(&default_mutex);
	return config;
}

struct tls_config *
tls_config_ref(struct tls_config *config)
{
	pthread_mutex_lock(&config->mutex);
	config->refcount++;
	pthread_mutex_unlock(&config->mutex);
	return config;
}

void
tls_config_free(struct tls_config *config)
{
	struct tls_keypair *keypair, *next;
	int refcount;

	if (config == NULL)
		return;
	pthread_mutex_lock(&config->mutex);
	refcount = --config->refcount;
	pthread_mutex_unlock(&config->mutex);
	if (refcount > 0)
		return;

	for (keypair = config->keypair; keypair != NULL; keypair = next) {
		next = keypair->next;
		tls_keypair_free(keypair);
	}
	tlsp_handle_close(&config->draft);
	tlsp_config_channel_unref(config->channel);
	free(config->alpn);
	free(config->ca_mem);
	tls_error_clear(&config->error);
	pthread_mutex_destroy(&config->mutex);
	free(config);
}

const char *
tls_config_error(struct tls_config *config)
{
	return config == NULL ? NULL : config->error.msg;
}

int
tls_config_error_code(struct tls_config *config)
{
	return config == NULL ? TLS_ERROR_UNKNOWN : config->error.code;
}

int
tls_config_set_oom(struct tls_config *config)
{
	tls_set_errorx(config, TLS_ERROR_OUT_OF_MEMORY, "out of memory");
	return -1;
}

/* A setting that is not there yet is an error, never ignored. */
static int
set_missing(struct tls_config *config, const char *function)
{
	tls_set_errorx(config, TLS_ERROR_UNKNOWN,
	    "%s is not supported by libtls-proxy yet", function);
	return -1;
}

int
tls_config_set_cert_file(struct tls_config *config, const char *cert_file)
{
	return tls_keypair_set_cert_file(config, config->keypair, cert_file);
}

int
tls_config_set_cert_mem(struct tls_config *config, const uint8_t *cert,
    size_t len)
{
	return tls_keypair_set_cert_mem(config, config->keypair, cert, len);
}

int
tls_config_set_key_file(struct tls_config *config, const char *key_file)
{
	return tls_keypair_set_key_file(config, config->keypair, key_file);
}

int
tls_config_set_key_mem(struct tls_config *config, const uint8_t *key,
    size_t len)
{
	return tls_keypair_set_key_mem(config, config->keypair, key, len);
}

int
tls_config_set_keypair_file(struct tls_config *config, const char *cert_file,
    const char *key_file)
{
	return tls_config_set_keypair_ocsp_file(config, cert_file, key_file,
	    NULL);
}

int
tls_config_set_keypair_mem(struct tls_config *config, const uint8_t *cert,
    size_t cert_len, const uint8_t *key, size_t key_len)
{
	return tls_config_set_keypair_ocsp_mem(config, cert, cert_len, key,
	    key_len, NULL, 0);
}

int
tls_config_set_keypair_ocsp_file(struct tls_config *config,
    const char *cert_file, const char *key_file, const char *staple_file)
{
	if (tls_keypair_set_files(config, config->keypair, cert_file,
		key_file) == -1)
		return -1;
	return staple_file == NULL
		   ? 0
		   : tls_config_set_ocsp_staple_file(config, staple_file);
}

int
tls_config_set_keypair_ocsp_mem(struct tls_config *config, const uint8_t *cert,
    size_t cert_len, const uint8_t *key, size_t key_len, const uint8_t *staple,
    size_t staple_len)
{
	if (tls_keypair_set_mems(config, config->keypair, cert, cert_len, key,
		key_len) == -1)
		return -1;
	return staple == NULL
		   ? 0
		   : tls_config_set_ocsp_staple_mem(config, staple, staple_len);
}

int
tls_config_add_keypair_file(struct tls_config *config, const char *cert_file,
    const char *key_file)
{
	return tls_config_add_keypair_ocsp_file(config, cert_file, key_file,
	    NULL);
}

int
tls_config_add_keypair_mem(struct tls_config *config, const uint8_t *cert,
    size_t cert_len, const uint8_t *key, size_t key_len)
{
	return tls_config_add_keypair_ocsp_mem(config, cert, cert_len, key,
	    key_len, NULL, 0);
}

int
tls_config_add_keypair_ocsp_file(struct tls_config *config,
    const char *cert_file, const char *key_file, const char *staple_file)
{
	struct tls_keypair *keypair;

	if (staple_file != NULL)
		return set_missing(config, __func__);
	if ((keypair = tls_keypair_new()) == NULL)
		return tls_config_set_oom(config);
	return tls_keypair_append(config, keypair,
	    tls_keypair_set_files(config, keypair, cert_file, key_file));
}

int
tls_config_add_keypair_ocsp_mem(struct tls_config *config, const uint8_t *cert,
    size_t cert_len, const uint8_t *key, size_t key_len, const uint8_t *staple,
    size_t staple_len)
{
	struct tls_keypair *keypair;

	(void)staple_len;
	if (staple != NULL)
		return set_missing(config, __func__);
	if ((keypair = tls_keypair_new()) == NULL)
		return tls_config_set_oom(config);
	return tls_keypair_append(config, keypair,
	    tls_keypair_set_mems(config, keypair, cert, cert_len, key,
		key_len));
}

void
tls_config_clear_keys(struct tls_config *config)
{
	struct tls_keypair *keypair;

	for (keypair = config->keypair; keypair != NULL;
	     keypair = keypair->next)
		tls_keypair_drop_key(config, keypair);
	/* A context that was configured keeps what it has. */
	config->changed = 1;
}

/* Trust anchors and verification. */

int
tls_config_set_ca_file(struct tls_config *config, const char *ca_file)
{
	uint8_t *buf;
	size_t len;

	if (tls_read_file(ca_file, "CA", &buf, &len, &config->error) == -1)
		return -1;
	free(config->ca_mem);
	config->ca_mem = buf;
	config->ca_len = len;
	config->ca_set = 1;
	config->changed = 1;
	return 0;
}

int
tls_config_set_ca_mem(struct tls_config *config, const uint8_t *ca, size_t len)
{
	if (len > INT_MAX) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "ca too long");
		return -1;
	}
	if (tls_set_mem(&config->ca_mem, &config->ca_len, ca, len) == -1)
		return tls_config_set_oom(config);
	config->ca_set = ca != NULL;
	config->changed = 1;
	return 0;
}

int
tls_config_set_verify_depth(struct tls_config *config, int verify_depth)
{
	config->verify_depth = verify_depth;
	config->changed = 1;
	return 0;
}

/* The next three are read when a connection starts: no new snapshot. */

void
tls_config_insecure_noverifycert(struct tls_config *config)
{
	config->verify_cert = 0;
}

void
tls_config_insecure_noverifyname(struct tls_config *config)
{
	config->verify_name = 0;
}

void
tls_config_insecure_noverifytime(struct tls_config *config)
{
	config->verify_time = 0;
}

void
tls_config_verify(struct tls_config *config)
{
	config->verify_cert = 1;
	config->verify_name = 1;
	config->verify_time = 1;
}

uint8_t
tls_config_verify_flags(const struct tls_config *config)
{
	return (uint8_t)((config->verify_cert ? TLSP_VERIFY_CERT : 0) |
			 (config->verify_name ? TLSP_VERIFY_NAME : 0) |
			 (config->verify_time ? TLSP_VERIFY_TIME : 0));
}

void
tls_config_verify_client(struct tls_config *config)
{
	config->verify_client = 1;
	config->changed = 1;
}

void
tls_config_verify_client_optional(struct tls_config *config)
{
	config->verify_client = 2;
	config->changed = 1;
}

/* Protocols. */

int
tls_config_set_protocols(struct tls_config *config, uint32_t protocols)
{
	config->protocols = protocols;
	config->changed = 1;
	return 0;
}

int
tls_config_parse_protocols(uint32_t *protocols, const char *protostr)
{
	static const struct {
		const char *name;
		uint32_t bits;
	} words[] = {
		{ "all", TLS_PROTOCOLS_ALL },
		{ "legacy", TLS_PROTOCOLS_ALL },
		{ "default", TLS_PROTOCOLS_DEFAULT },
		{ "secure", TLS_PROTOCOLS_DEFAULT },
		{ "tlsv1", TLS_PROTOCOL_TLSv1 },
		{ "tlsv1.0", TLS_PROTOCOL_TLSv1_0 },
		{ "tlsv1.1", TLS_PROTOCOL_TLSv1_1 },
		{ "tlsv1.2", TLS_PROTOCOL_TLSv1_2 },
		{ "tlsv1.3", TLS_PROTOCOL_TLSv1_3 },
	};
	const size_t nwords = sizeof(words) / sizeof(words[0]);
	uint32_t result = 0;
	const char *p = protostr;
	size_t i, len;
	int negate;

	if (protostr == NULL) {
		*protocols = TLS_PROTOCOLS_DEFAULT;
		return 0;
	}
	for (;; p += len + 1) {
		while (*p == ' ' || *p == '\t')
			p++;
		negate = *p == '!';
		if (negate) {
			p++;
			/* "!x" alone means all but x. */
			if (result == 0)
				result = TLS_PROTOCOLS_ALL;
		}
		len = strcspn(p, ",:");
		for (i = 0; i < nwords; i++) {
			if (strlen(words[i].name) == len &&
			    strncasecmp(words[i].name, p, len) == 0)
				break;
		}
		if (i == nwords)
			return -1;
		if (negate)
			result &= ~words[i].bits;
		else
			result |= words[i].bits;
		if (p[len] == '\0')
			break;
	}
	*protocols = result;
	return 0;
}

/* Encodes the list as RFC 7301 section 3.1 does, without the outer length. */
int
tls_config_set_alpn(struct tls_config *config, const char *alpn)
{
	const char *p = alpn;
	uint8_t *buf = NULL;
	size_t used = 0, len;

	free(config->alpn);
	config->alpn = NULL;
	config->alpn_len = 0;
	config->changed = 1;
	if (alpn == NULL) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "no alpn specified");
		return -1;
	}
	if (strlen(alpn) >= 65535) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "alpn too large");
		return -1;
	}
	if ((buf = malloc(strlen(alpn) + 1)) == NULL)
		return tls_config_set_oom(config);
	for (;; p += len + 1) {
		len = strcspn(p, ",");
		if (len == 0) {
			tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
			    "alpn protocol with zero length");
			goto err;
		}
		if (len > 255) {
			tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
			    "alpn protocol too long");
			goto err;
		}
		buf[used++] = (uint8_t)len;
		memcpy(buf + used, p, len);
		used += len;
		if (p[len] == '\0')
			break;
	}
	config->alpn = buf;
	config->alpn_len = used;
	return 0;

err:
	free(buf);
	return -1;
}

/*
 * Not there yet. Setters without a return value make tls_configure() and
 * tls_connect() fail instead.
 */

int
tls_config_add_ticket_key(struct tls_config *config, uint32_t keyrev,
    unsigned char *key, size_t keylen)
{
	(void)keyrev;
	(void)key;
	(void)keylen;
	return set_missing(config, __func__);
}

int
tls_config_set_ca_path(struct tls_config *config, const char *ca_path)
{
	return ca_path == NULL ? 0 : set_missing(config, __func__);
}

int
tls_config_set_ciphers(struct tls_config *config, const char *ciphers)
{
	/* The default list is what goproxy offers. */
	if (ciphers == NULL || strcasecmp(ciphers, "default") == 0 ||
	    strcasecmp(ciphers, "secure") == 0)
		return 0;
	return set_missing(config, __func__);
}

int
tls_config_set_crl_file(struct tls_config *config, const char *crl_file)
{
	(void)crl_file;
	return set_missing(config, __func__);
}

int
tls_config_set_crl_mem(struct tls_config *config, const uint8_t *crl,
    size_t len)
{
	(void)len;
	return crl == NULL ? 0 : set_missing(config, __func__);
}

int
tls_config_set_dheparams(struct tls_config *config, const char *params)
{
	/* Without finite-field groups none is what there is. */
	if (params == NULL || strcasecmp(params, "none") == 0)
		return 0;
	if (strcasecmp(params, "auto") == 0 ||
	    strcasecmp(params, "legacy") == 0)
		return set_missing(config, __func__);
	tls_set_errorx(config, TLS_ERROR_UNKNOWN, "invalid dhe param '%s'",
	    params);
	return -1;
}

int
tls_config_set_ecdhecurve(struct tls_config *config, const char *curve)
{
	if (curve == NULL || strcasecmp(curve, "none") == 0 ||
	    strcasecmp(curve, "auto") == 0)
		return 0;
	return set_missing(config, __func__);
}

int
tls_config_set_ecdhecurves(struct tls_config *config, const char *curves)
{
	if (curves == NULL || strcasecmp(curves, "default") == 0)
		return 0;
	return set_missing(config, __func__);
}

int
tls_config_set_ocsp_staple_file(struct tls_config *config,
    const char *staple_file)
{
	(void)staple_file;
	return set_missing(config, __func__);
}

int
tls_config_set_ocsp_staple_mem(struct tls_config *config, const uint8_t *staple,
    size_t len)
{
	(void)len;
	return staple == NULL ? 0 : set_missing(config, __func__);
}

int
tls_config_set_session_fd(struct tls_config *config, int session_fd)
{
	return session_fd == -1 ? 0 : set_missing(config, __func__);
}

int
tls_config_set_session_id(struct tls_config *config,
    const unsigned char *session_id, size_t len)
{
	(void)session_id;
	(void)len;
	return set_missing(config, __func__);
}

int
tls_config_set_session_lifetime(struct tls_config *config, int lifetime)
{
	return lifetime == 0 ? 0 : set_missing(config, __func__);
}

void
tls_config_prefer_ciphers_client(struct tls_config *config)
{
	config->missing = __func__;
}

void
tls_config_prefer_ciphers_server(struct tls_config *config)
{
	/* The default, and the way back to it. */
	if (config->missing != NULL &&
	    strcmp(config->missing, "tls_config_prefer_ciphers_client") == 0)
		config->missing = NULL;
}

void
tls_config_ocsp_require_stapling(struct tls_config *config)
{
	config->missing = __func__;
}

void
tls_config_skip_private_key_check(struct tls_config *config)
{
	config->missing = __func__;
}

void
tls_config_use_fake_private_key(struct tls_config *config)
{
	config->missing = __func__;
}

/* Committing. */

/* Bytes that grow; oom sticks. */
struct document {
	uint8_t *buf;
	size_t len;
	int oom;
};

static void
document_add(struct document *doc, unsigned int number, const void *message)
{
	uint8_t *buf;
	size_t len;

	len = tlsp_wire_encode(NULL, 0, number, message);
	if (doc->oom || len == 0 ||
	    (buf = realloc(doc->buf, doc->len + 4 + len)) == NULL) {
		doc->oom = 1;
		return;
	}
	tlsp_put_u32(buf + doc->len, (uint32_t)len);
	tlsp_wire_encode(buf + doc->len + 4, len, number, message);
	doc->buf = buf;
	doc->len += 4 + len;
}

/* What is trusted where nothing was set; read anew, as it may be replaced. */
static int
load_default_ca(struct tls_config *config, struct tlsp_settings *settings,
    uint8_t **buf, struct tls_error *error)
{
	size_t len;

	if (config->ca_set || !config->verify_cert)
		return 0;
	if (tls_read_file(tls_default_ca_cert_file(), "CA", buf, &len, error) ==
	    -1)
		return -1;
	settings->ca.data = *buf;
	settings->ca.len = len;
	return 0;
}

static struct tlsp_config_channel *
commit(struct tls_config *config, enum tlsp_role role, struct tls_error *error)
{
	struct tlsp_config_channel *channel = NULL;
	struct tlsp_settings settings = { 0 };
	struct tlsp_keypair pair = { 0 };
	struct tls_keypair *keypair;
	struct document doc = { 0 };
	uint8_t *default_ca = NULL;

	settings.role = (uint8_t)role;
	settings.protocols = config->protocols;
	settings.verify_client = (uint8_t)config->verify_client;
	settings.verify_depth =
	    config->verify_depth > 0 ? (uint32_t)config->verify_depth : 0;
	settings.ca.data = config->ca_mem;
	settings.ca.len = config->ca_len;
	settings.alpn.data = config->alpn;
	settings.alpn.len = config->alpn_len;
	/* A server needs trust anchors only to verify its clients. */
	if ((role == TLSP_ROLE_CLIENT || config->verify_client != 0) &&
	    load_default_ca(config, &settings, &default_ca, error) == -1)
		return NULL;

	document_add(&doc, TLSP_SETTINGS, &settings);
	for (keypair = config->keypair; keypair != NULL;
	     keypair = keypair->next) {
		if (keypair->slot == 0 && keypair->cert_mem == NULL)
			continue;
		pair.slot = keypair->slot;
		pair.certificate.data = keypair->cert_mem;
		pair.certificate.len = keypair->cert_len;
		document_add(&doc, TLSP_KEYPAIR, &pair);
	}
	if (doc.oom) {
		tls_error_set(error, TLS_ERROR_OUT_OF_MEMORY, 0,
		    "out of memory");
		goto err;
	}
	if (doc.len > TLSP_WIRE_DOCUMENT_MAX) {
		tls_error_set(error, TLS_ERROR_INVALID_ARGUMENT, 0,
		    "configuration too large");
		goto err;
	}
	channel = tlsp_draft_commit(&config->draft, doc.buf, doc.len, error);

err:
	free(doc.buf);
	free(default_ca);
	return channel;
}

/* With the configuration's mutex held. */
static struct tlsp_config_channel *
commit_locked(struct tls_config *config, enum tlsp_role role,
    struct tls_error *error)
{
	if (config->missing != NULL) {
		tls_error_set(error, TLS_ERROR_UNKNOWN, 0,
		    "%s is not supported by libtls-proxy yet", config->missing);
		return NULL;
	}
	if (tls_keypair_ensure_draft(config, NULL, error) == -1)
		return NULL;
	return commit(config, role, error);
}

struct tlsp_config_channel *
tls_config_commit(struct tls_config *config, enum tlsp_role role,
    struct tls_error *error)
{
	struct tlsp_config_channel *channel;

	pthread_mutex_lock(&config->mutex);
	/* A client that connects again needs no new snapshot. */
	if (role == TLSP_ROLE_CLIENT && !config->changed &&
	    config->channel != NULL &&
	    tlsp_config_channel_alive(config->channel)) {
		channel = config->channel;
		tlsp_config_channel_ref(channel);
		goto done;
	}
	channel = commit_locked(config, role, error);
	if (channel != NULL && role == TLSP_ROLE_CLIENT) {
		tlsp_config_channel_unref(config->channel);
		tlsp_config_channel_ref(channel);
		config->channel = channel;
		config->changed = 0;
	}

done:
	pthread_mutex_unlock(&config->mutex);
	return channel;
}
