/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <sys/random.h>
#include <sys/stat.h>

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "tls_cipher.h"
#include "tls_internal.h"

/* Where systems keep the trusted certificates, most specific first. */
static const char *const ca_cert_files[] = {
	"/etc/ssl/cert.pem",
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
};

/* Seconds. */
#define SESSION_LIFETIME_MIN 4
#define SESSION_LIFETIME_MAX (24 * 60 * 60)

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
	pthread_mutex_init(&config->mutex, NULL);
	config->refcount = 1;
	config->draft = none;
	config->changed = 1;
	config->protocols = TLS_PROTOCOLS_DEFAULT;
	config->verify_cert = 1;
	config->verify_name = 1;
	config->verify_time = 1;
	config->verify_depth = TLS_VERIFY_DEPTH_DEFAULT;
	config->session_fd = -1;
	/* By default no other configuration's sessions are accepted. */
	if (getrandom(config->session_id, sizeof(config->session_id), 0) !=
		(ssize_t)sizeof(config->session_id) ||
	    (config->keypair = tls_keypair_new()) == NULL ||
	    tls_config_set_ciphers(config, NULL) == -1 ||
	    tls_config_set_ecdhecurves(config, NULL) == -1) {
		tls_config_free(config);
		return NULL;
	}
	config->last_keypair = config->keypair;
	return config;
}

struct tls_config *
tls_config_ref(struct tls_config *config)
{
	atomic_fetch_add(&config->refcount, 1);
	return config;
}

void
tls_config_free(struct tls_config *config)
{
	struct tls_keypair *keypair, *next;

	if (config == NULL || atomic_fetch_sub(&config->refcount, 1) > 1)
		return;

	for (keypair = config->keypair; keypair != NULL; keypair = next) {
		next = keypair->next;
		tls_keypair_free(keypair);
	}
	tlsp_handle_close(&config->draft);
	tlsp_config_channel_unref(config->channel);
	free(config->alpn);
	free(config->ca_mem);
	free(config->ca_path);
	free(config->crl_mem);
	free(config->ciphers);
	free(config->groups);
	tls_wipe(config->ticket_keys, sizeof(config->ticket_keys));
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
	return tls_keypair_set_files(config, config->keypair, cert_file,
	    key_file, staple_file);
}

int
tls_config_set_keypair_ocsp_mem(struct tls_config *config, const uint8_t *cert,
    size_t cert_len, const uint8_t *key, size_t key_len, const uint8_t *staple,
    size_t staple_len)
{
	return tls_keypair_set_mems(config, config->keypair, cert, cert_len,
	    key, key_len, staple, staple_len);
}

int
tls_config_set_ocsp_staple_file(struct tls_config *config,
    const char *staple_file)
{
	return tls_keypair_set_staple_file(config, config->keypair,
	    staple_file);
}

int
tls_config_set_ocsp_staple_mem(struct tls_config *config, const uint8_t *staple,
    size_t len)
{
	return tls_keypair_set_staple_mem(config, config->keypair, staple, len);
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

	if ((keypair = tls_keypair_new()) == NULL)
		return tls_config_set_oom(config);
	return tls_keypair_append(config, keypair,
	    tls_keypair_set_files(config, keypair, cert_file, key_file,
		staple_file));
}

int
tls_config_add_keypair_ocsp_mem(struct tls_config *config, const uint8_t *cert,
    size_t cert_len, const uint8_t *key, size_t key_len, const uint8_t *staple,
    size_t staple_len)
{
	struct tls_keypair *keypair;

	if ((keypair = tls_keypair_new()) == NULL)
		return tls_config_set_oom(config);
	return tls_keypair_append(config, keypair,
	    tls_keypair_set_mems(config, keypair, cert, cert_len, key, key_len,
		staple, staple_len));
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
tls_config_set_ca_path(struct tls_config *config, const char *ca_path)
{
	if (tls_set_string(&config->ca_path, ca_path) == -1)
		return tls_config_set_oom(config);
	config->changed = 1;
	return 0;
}

int
tls_config_set_crl_file(struct tls_config *config, const char *crl_file)
{
	uint8_t *buf;
	size_t len;

	if (tls_read_file(crl_file, "CRL", &buf, &len, &config->error) == -1)
		return -1;
	free(config->crl_mem);
	config->crl_mem = buf;
	config->crl_len = len;
	config->crl_set = 1;
	config->changed = 1;
	return 0;
}

int
tls_config_set_crl_mem(struct tls_config *config, const uint8_t *crl,
    size_t len)
{
	if (len > INT_MAX) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "crl too long");
		return -1;
	}
	if (tls_set_mem(&config->crl_mem, &config->crl_len, crl, len) == -1)
		return tls_config_set_oom(config);
	config->crl_set = crl != NULL;
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

/* The next five are read when a connection starts: no new snapshot. */

void
tls_config_ocsp_require_stapling(struct tls_config *config)
{
	config->require_staple = 1;
}

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
	/* The snapshot may lack the default file. */
	if (!config->verify_cert)
		config->changed = 1;
	config->verify_cert = 1;
	config->verify_name = 1;
	config->verify_time = 1;
}

uint8_t
tls_config_verify_flags(const struct tls_config *config)
{
	return (uint8_t)((config->verify_cert ? TLSP_VERIFY_CERT : 0) |
			 (config->verify_name ? TLSP_VERIFY_NAME : 0) |
			 (config->verify_time ? TLSP_VERIFY_TIME : 0) |
			 (config->require_staple ? TLSP_VERIFY_STAPLE : 0));
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
static int
set_alpn(struct tls_config *config, const char *alpn)
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

/* What was there is gone in any case, and live servers change with it. */
int
tls_config_set_alpn(struct tls_config *config, const char *alpn)
{
	int rv = set_alpn(config, alpn);

	if (tls_config_update_servers(config) == -1)
		rv = -1;
	return rv;
}

/* Cipher suites and groups. */

int
tls_config_set_ciphers(struct tls_config *config, const char *ciphers)
{
	const char *expanded;
	uint16_t *ids;
	size_t nids, n = 0, i;
	int level;

	if (tls_cipher_list(ciphers, &ids, &nids, &expanded) == -1) {
		if (errno == ENOMEM)
			return tls_config_set_oom(config);
		tls_set_errorx(config, TLS_ERROR_UNKNOWN, "no ciphers for '%s'",
		    expanded);
		return -1;
	}
	/* LibreSSL would list these, but not negotiate them. */
	level = tls_cipher_security_level(ciphers);
	for (i = 0; i < nids; i++) {
		if (tls_cipher_permitted(ids[i], level))
			ids[n++] = ids[i];
	}
	free(config->ciphers);
	config->ciphers = ids;
	config->nciphers = n;
	config->changed = 1;
	return 0;
}

void
tls_config_prefer_ciphers_client(struct tls_config *config)
{
	config->prefer_client = 1;
	config->changed = 1;
}

void
tls_config_prefer_ciphers_server(struct tls_config *config)
{
	config->prefer_client = 0;
	config->changed = 1;
}

int
tls_config_set_dheparams(struct tls_config *config, const char *params)
{
	/* There are no suites with finite-field groups to use them. */
	if (params == NULL || strcasecmp(params, "none") == 0 ||
	    strcasecmp(params, "auto") == 0 ||
	    strcasecmp(params, "legacy") == 0)
		return 0;
	tls_set_errorx(config, TLS_ERROR_UNKNOWN, "invalid dhe param '%s'",
	    params);
	return -1;
}

int
tls_config_set_ecdhecurves(struct tls_config *config, const char *curves)
{
	uint16_t *groups = NULL;
	size_t n = 0;
	char bad[64];
	int rv;

	rv = tls_curve_list(curves, &groups, &n, bad, sizeof(bad));
	if (rv == -1 && errno == ENOMEM)
		return tls_config_set_oom(config);
	if (rv == -1) {
		tls_set_errorx(config, TLS_ERROR_UNKNOWN,
		    "invalid ecdhe curve '%s'", bad);
		/* libtls is then back at its default. */
		if (tls_curve_list(NULL, &groups, &n, bad, sizeof(bad)) == -1)
			return tls_config_set_oom(config);
	}
	free(config->groups);
	config->groups = groups;
	config->ngroups = n;
	config->changed = 1;
	return rv == -1 ? -1 : 0;
}

int
tls_config_set_ecdhecurve(struct tls_config *config, const char *curve)
{
	if (curve == NULL || strcasecmp(curve, "none") == 0 ||
	    strcasecmp(curve, "auto") == 0)
		return tls_config_set_ecdhecurves(config, NULL);
	if (strpbrk(curve, ",:") != NULL) {
		tls_set_errorx(config, TLS_ERROR_UNKNOWN,
		    "invalid ecdhe curve '%s'", curve);
		return -1;
	}
	return tls_config_set_ecdhecurves(config, curve);
}

/* Sessions. */

int
tls_config_check_session_fd(int session_fd, struct stat *sb,
    struct tls_error *error)
{
	if (fstat(session_fd, sb) == -1) {
		tls_error_set(error, TLS_ERROR_UNKNOWN, errno,
		    "failed to stat session file");
		return -1;
	}
	if (!S_ISREG(sb->st_mode)) {
		tls_error_set(error, TLS_ERROR_UNKNOWN, 0,
		    "session file is not a regular file");
		return -1;
	}
	return 0;
}

int
tls_config_set_session_fd(struct tls_config *config, int session_fd)
{
	struct stat sb;
	mode_t mode;

	if (session_fd == -1) {
		config->session_fd = -1;
		return 0;
	}
	if (tls_config_check_session_fd(session_fd, &sb, &config->error) == -1)
		return -1;
	if (sb.st_uid != getuid()) {
		tls_set_errorx(config, TLS_ERROR_UNKNOWN,
		    "session file has incorrect owner (uid %u != %u)",
		    sb.st_uid, getuid());
		return -1;
	}
	mode = sb.st_mode & (S_IRWXU | S_IRWXG | S_IRWXO);
	if (mode != (S_IRUSR | S_IWUSR)) {
		tls_set_errorx(config, TLS_ERROR_UNKNOWN,
		    "session file has incorrect permissions (%o != 600)", mode);
		return -1;
	}
	config->session_fd = session_fd;
	return 0;
}

int
tls_config_set_session_id(struct tls_config *config,
    const unsigned char *session_id, size_t len)
{
	if (len > TLS_MAX_SESSION_ID_LENGTH) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "session ID too large");
		return -1;
	}
	memset(config->session_id, 0, sizeof(config->session_id));
	if (len > 0)
		memcpy(config->session_id, session_id, len);
	config->changed = 1;
	return 0;
}

int
tls_config_set_session_lifetime(struct tls_config *config, int lifetime)
{
	if (lifetime > SESSION_LIFETIME_MAX) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "session lifetime too large");
		return -1;
	}
	if (lifetime != 0 && lifetime < SESSION_LIFETIME_MIN) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "session lifetime too small");
		return -1;
	}
	config->session_lifetime = lifetime;
	config->changed = 1;
	return 0;
}

int
tls_config_add_ticket_key(struct tls_config *config, uint32_t keyrev,
    unsigned char *key, size_t keylen)
{
	struct tls_ticket_key *keys = config->ticket_keys;
	size_t i;

	if (keylen != sizeof(keys->key)) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "wrong amount of ticket key data");
		return -1;
	}
	for (i = 0; i < config->nticket_keys; i++) {
		if (keys[i].revision != keyrev)
			continue;
		/* Adding the newest again is no change. */
		if (i == 0 && memcmp(keys[i].key, key, keylen) == 0)
			return 0;
		tls_set_errorx(config, TLS_ERROR_UNKNOWN,
		    "ticket key already present");
		return -1;
	}
	if (config->nticket_keys < TLS_TICKET_KEYS_MAX)
		config->nticket_keys++;
	memmove(keys + 1, keys, (config->nticket_keys - 1) * sizeof(*keys));
	keys[0].revision = keyrev;
	memcpy(keys[0].key, key, keylen);
	config->changed = 1;
	return tls_config_update_servers(config);
}

int
tls_config_set_isolation(struct tls_config *config, int isolation)
{
	if (isolation < TLS_ISOLATION_PROCESS ||
	    isolation > TLS_ISOLATION_CONNECTION) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "invalid isolation %d", isolation);
		return -1;
	}
	config->isolation = isolation;
	config->changed = 1;
	return 0;
}

/* Keys that somebody else has. */

void
tls_config_skip_private_key_check(struct tls_config *config)
{
	config->skip_key_check = 1;
	config->changed = 1;
}

void
tls_config_use_fake_private_key(struct tls_config *config)
{
	config->fake_key = 1;
	config->changed = 1;
}

int
tls_config_set_sign_cb(struct tls_config *config, tls_sign_cb cb, void *cb_arg)
{
	config->fake_key = 1;
	config->skip_key_check = 1;
	config->sign_cb = cb;
	config->sign_arg = cb_arg;
	config->changed = 1;
	return 0;
}

int
tls_config_set_requests(struct tls_config *config, uint32_t kinds, int timeout)
{
	if ((kinds & ~(uint32_t)TLS_REQUESTS_ALL) != 0) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "invalid requests");
		return -1;
	}
	if (kinds != 0 && timeout <= 0) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "invalid request timeout");
		return -1;
	}
	config->requests = kinds;
	config->request_timeout = timeout;
	config->changed = 1;
	return 0;
}

int
tls_config_attach_key(struct tls_config *config, uint32_t id, int cert_fd,
    int key_fd, uint32_t *slot, struct tls_error *error)
{
	struct tlsp_handle draft;

	pthread_mutex_lock(&config->mutex);
	draft = config->draft;
	pthread_mutex_unlock(&config->mutex);
	return tlsp_draft_attach_key(&draft, id, cert_fd, key_fd, slot, error);
}

/* Servers. */

void
tls_config_add_server(struct tls_config *config, struct tls *ctx)
{
	pthread_mutex_lock(&config->mutex);
	ctx->next_server = config->servers;
	config->servers = ctx;
	pthread_mutex_unlock(&config->mutex);
}

void
tls_config_remove_server(struct tls_config *config, struct tls *ctx)
{
	struct tls **link;

	pthread_mutex_lock(&config->mutex);
	for (link = &config->servers; *link != NULL;
	     link = &(*link)->next_server) {
		if (*link == ctx) {
			*link = ctx->next_server;
			break;
		}
	}
	ctx->next_server = NULL;
	pthread_mutex_unlock(&config->mutex);
}

int
tls_config_update_servers(struct tls_config *config)
{
	struct tls *ctx;
	uint8_t *buf;
	size_t len;
	int rv = 0;

	pthread_mutex_lock(&config->mutex);
	for (ctx = config->servers; rv == 0 && ctx != NULL;
	     ctx = ctx->next_server) {
		rv = tls_document_new_update(config, ctx->pairs, &buf, &len,
		    &config->error);
		if (rv == -1)
			break;
		rv = tlsp_config_channel_update(ctx->channel, buf, len,
		    &config->error);
		tls_wipe(buf, len); /* it holds ticket keys */
		free(buf);
	}
	pthread_mutex_unlock(&config->mutex);
	return rv;
}

/* Committing. */

/* The configuration's isolation, or what the environment has at least. */
static int
effective_isolation(const struct tls_config *config, int *isolation,
    struct tls_error *error)
{
	static const char *const names[] = {
		[TLS_ISOLATION_PROCESS] = "process",
		[TLS_ISOLATION_CONFIG] = "config",
		[TLS_ISOLATION_CONNECTION] = "connection",
		NULL,
	};
	int least;

	least = tls_env_word("LIBTLS_PROXY_ISOLATION", names, error);
	if (least == -1)
		return -1;
	*isolation = config->isolation > least ? config->isolation : least;
	return 0;
}

/* With the configuration's mutex held. */
static struct tlsp_config_channel *
commit(struct tls_config *config, enum tlsp_role role,
    const struct tls_keypair *const *pairs, struct tls_error *error)
{
	struct tlsp_config_channel *channel;
	uint8_t *buf;
	size_t len;
	int isolation;

	if (effective_isolation(config, &isolation, error) == -1 ||
	    tls_keypair_ensure_draft(config, NULL, error) == -1 ||
	    tls_document_new(config, role, pairs, &buf, &len, error) == -1)
		return NULL;
	channel = tlsp_draft_commit(&config->draft, buf, len,
	    (enum tlsp_isolation)isolation, config->requests != 0, error);
	tls_wipe(buf, len);
	free(buf);
	return channel;
}

struct tlsp_config_channel *
tls_config_commit(struct tls_config *config, enum tlsp_role role,
    const struct tls_keypair ***pairs, struct tls_error *error)
{
	struct tlsp_config_channel *channel = NULL;
	const struct tls_keypair **committed = NULL;

	pthread_mutex_lock(&config->mutex);
	/* A client that connects again needs no new snapshot. */
	if (role == TLSP_ROLE_CLIENT && !config->changed &&
	    config->channel != NULL &&
	    tlsp_config_channel_alive(config->channel)) {
		channel = config->channel;
		tlsp_config_channel_ref(channel);
		goto done;
	}
	if ((committed = tls_document_pairs(config)) == NULL) {
		tls_error_set(error, TLS_ERROR_OUT_OF_MEMORY, 0,
		    "out of memory");
		goto done;
	}
	channel = commit(config, role, committed, error);
	if (channel != NULL && role == TLSP_ROLE_CLIENT) {
		tlsp_config_channel_unref(config->channel);
		tlsp_config_channel_ref(channel);
		config->channel = channel;
		config->changed = 0;
	}
	if (channel != NULL && pairs != NULL) {
		*pairs = committed;
		committed = NULL;
	}

done:
	pthread_mutex_unlock(&config->mutex);
	free(committed);
	return channel;
}
