/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Writes the documents of goproxy-protocol(7). */

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls_internal.h"
#include "trace.h"

/* Bytes that grow; a failure sticks. */
struct document {
	uint8_t *buf;
	size_t len;
	size_t size;
	int oom;
};

/* Makes room for more bytes. */
static int
reserve(struct document *doc, size_t more)
{
	uint8_t *buf;
	size_t size;

	if (doc->size - doc->len >= more)
		return 0;
	size = doc->size * 2;
	if (size < doc->len + more)
		size = doc->len + more;
	/* Not realloc(3): what moves may be ticket keys. */
	if ((buf = malloc(size)) == NULL)
		return -1;
	if (doc->len > 0)
		memcpy(buf, doc->buf, doc->len);
	tls_wipe(doc->buf, doc->len);
	free(doc->buf);
	doc->buf = buf;
	doc->size = size;
	return 0;
}

static void
add(struct document *doc, unsigned int number, const void *message)
{
	size_t len;

	if (doc->oom)
		return;
	len = tlsp_wire_encode(NULL, 0, number, message);
	if (len == 0 || reserve(doc, 4 + len) == -1) {
		doc->oom = 1;
		return;
	}
	tlsp_put_u32(doc->buf + doc->len, (uint32_t)len);
	tlsp_wire_encode(doc->buf + doc->len + 4, len, number, message);
	doc->len += 4 + len;
	tlsp_trace_sent(-1, number, message, len, 0, 0);
}

/* Where the keypair's private key is. */
static uint32_t
key_slot(const struct tls_config *config, const struct tls_keypair *keypair)
{
	int elsewhere = config->skip_key_check ||
			(config->requests & TLS_REQUEST_SIGN) != 0 ||
			((config->requests & TLS_REQUEST_CERTIFICATE) != 0 &&
			    keypair->cert_mem == NULL);

	if (config->fake_key || (elsewhere && keypair->slot == 0))
		return TLSP_SLOT_APPLICATION;
	return keypair->slot;
}

const struct tls_keypair **
tls_document_pairs(const struct tls_config *config)
{
	const struct tls_keypair *keypair, **pairs;
	size_t n = 0;

	for (keypair = config->keypair; keypair != NULL;
	     keypair = keypair->next)
		n++;
	if ((pairs = calloc(n + 1, sizeof(*pairs))) == NULL)
		return NULL;
	n = 0;
	for (keypair = config->keypair; keypair != NULL;
	     keypair = keypair->next) {
		if (key_slot(config, keypair) != 0 || keypair->cert_mem != NULL)
			pairs[n++] = keypair;
	}
	return pairs;
}

/* The parts that can change later. */
static void
add_live(struct document *doc, const struct tls_config *config,
    const struct tls_keypair *const *pairs)
{
	struct tlsp_staple staple = { 0 };
	struct tlsp_ticket_key ticket_key = { 0 };
	size_t i;

	for (; pairs[staple.pair] != NULL; staple.pair++) {
		staple.response.data = pairs[staple.pair]->staple;
		staple.response.len = pairs[staple.pair]->staple_len;
		if (staple.response.data != NULL)
			add(doc, TLSP_STAPLE, &staple);
	}
	for (i = 0; i < config->nticket_keys; i++) {
		ticket_key.revision = config->ticket_keys[i].revision;
		ticket_key.key.data = config->ticket_keys[i].key;
		ticket_key.key.len = sizeof(config->ticket_keys[i].key);
		add(doc, TLSP_TICKET_KEY, &ticket_key);
	}
}

static int
finish(struct document *doc, uint8_t **buf, size_t *len,
    struct tls_error *error)
{
	if (doc->oom)
		tls_error_set(error, TLS_ERROR_OUT_OF_MEMORY, 0,
		    "out of memory");
	else if (doc->len > TLSP_WIRE_DOCUMENT_MAX)
		tls_error_set(error, TLS_ERROR_INVALID_ARGUMENT, 0,
		    "configuration too large");
	else {
		*buf = doc->buf;
		*len = doc->len;
		return 0;
	}
	tls_wipe(doc->buf, doc->len);
	free(doc->buf);
	return -1;
}

/* Names as c_rehash(1) gives them: eight hexadecimal digits and a number. */
static int
is_hashed_name(const char *name)
{
	static const char digits[] = "0123456789abcdef";
	size_t len;

	if (strspn(name, digits) != 8 || name[8] != '.')
		return 0;
	len = strspn(name + 9, "0123456789");
	return len > 0 && name[9 + len] == '\0';
}

/*
 * All certificates of a directory. libtls looks into it when it verifies, so
 * that a directory that is not there is no error before.
 */
static int
read_directory(const char *path, uint8_t **buf, size_t *len,
    struct tls_error *error)
{
	struct tls_error ignored = { 0 };
	uint8_t *all = NULL, *bigger, *file;
	size_t all_len = 0, file_len;
	struct dirent *entry;
	char *name;
	DIR *dir;
	int rv = -1;

	*buf = NULL;
	*len = 0;
	if ((dir = opendir(path)) == NULL)
		return 0;
	while ((entry = readdir(dir)) != NULL) {
		if (!is_hashed_name(entry->d_name))
			continue;
		if (asprintf(&name, "%s/%s", path, entry->d_name) == -1)
			goto err;
		rv = tls_read_file(name, "CA", &file, &file_len, &ignored);
		free(name);
		if (rv == -1)
			continue;
		rv = -1;
		bigger = realloc(all, all_len + file_len + 1);
		if (bigger == NULL) {
			free(file);
			goto err;
		}
		all = bigger;
		memcpy(all + all_len, file, file_len);
		free(file);
		all_len += file_len;
		/* A file may lack the newline at its end. */
		all[all_len++] = '\n';
	}
	*buf = all;
	*len = all_len;
	all = NULL;
	rv = 0;

err:
	if (rv == -1)
		tls_error_set(error, TLS_ERROR_OUT_OF_MEMORY, 0,
		    "out of memory");
	tls_error_clear(&ignored);
	free(all);
	closedir(dir);
	return rv;
}

/*
 * The trust anchors: what was set, or else the default file, which is read
 * anew each time as it may have been replaced. *owned is the caller's.
 */
static int
load_ca(const struct tls_config *config, struct tlsp_settings *settings,
    uint8_t **owned, struct tls_error *error)
{
	size_t len = 0;
	int rv = 0;

	if (config->ca_set) {
		settings->ca.data = config->ca_mem;
		settings->ca.len = config->ca_len;
		return 0;
	}
	if (config->ca_path != NULL)
		rv = read_directory(config->ca_path, owned, &len, error);
	else if (config->verify_cert)
		rv = tls_read_file(tls_default_ca_cert_file(), "CA", owned,
		    &len, error);
	settings->ca.data = *owned;
	settings->ca.len = len;
	return rv;
}

/* Numbers of two bytes each; NULL without memory. */
static uint8_t *
encode_u16s(const uint16_t *values, size_t n)
{
	uint8_t *buf;
	size_t i;

	if ((buf = malloc(n * 2 + 1)) == NULL)
		return NULL;
	for (i = 0; i < n; i++) {
		buf[2 * i] = (uint8_t)(values[i] >> 8);
		buf[2 * i + 1] = (uint8_t)values[i];
	}
	return buf;
}

int
tls_document_new(const struct tls_config *config, enum tlsp_role role,
    const struct tls_keypair *const *pairs, uint8_t **buf, size_t *len,
    struct tls_error *error)
{
	struct tlsp_settings settings = { 0 };
	struct tlsp_keypair pair = { 0 };
	struct document doc = { 0 };
	uint8_t *ca = NULL, *ciphers = NULL, *groups = NULL;
	size_t i;
	int rv = -1;

	if (config->groups == NULL) {
		tls_error_set(error, TLS_ERROR_UNKNOWN, 0,
		    "failed to set ecdhe curves");
		return -1;
	}
	settings.role = (uint8_t)role;
	settings.protocols = config->protocols;
	settings.prefer_client = (uint8_t)config->prefer_client;
	settings.verify_client = (uint8_t)config->verify_client;
	if (config->verify_depth > 0)
		settings.verify_depth = (uint32_t)config->verify_depth;
	settings.check_crl = (uint8_t)config->crl_set;
	settings.crl.data = config->crl_mem;
	settings.crl.len = config->crl_len;
	settings.alpn.data = config->alpn;
	settings.alpn.len = config->alpn_len;
	settings.session_id.data = config->session_id;
	settings.session_id.len = sizeof(config->session_id);
	settings.session_lifetime = (uint32_t)config->session_lifetime;
	settings.requests = config->requests;
	settings.request_timeout = (uint32_t)config->request_timeout;
	/* A server needs trust anchors only to verify its clients. */
	if ((role == TLSP_ROLE_CLIENT || config->verify_client != 0) &&
	    load_ca(config, &settings, &ca, error) == -1)
		goto err;
	ciphers = encode_u16s(config->ciphers, config->nciphers);
	groups = encode_u16s(config->groups, config->ngroups);
	if (ciphers == NULL || groups == NULL)
		doc.oom = 1;
	settings.ciphers.data = ciphers;
	settings.ciphers.len = config->nciphers * 2;
	settings.groups.data = groups;
	settings.groups.len = config->ngroups * 2;

	add(&doc, TLSP_SETTINGS, &settings);
	for (i = 0; pairs[i] != NULL; i++) {
		pair.slot = key_slot(config, pairs[i]);
		pair.certificate.data = pairs[i]->cert_mem;
		pair.certificate.len = pairs[i]->cert_len;
		add(&doc, TLSP_KEYPAIR, &pair);
	}
	add_live(&doc, config, pairs);
	rv = finish(&doc, buf, len, error);

err:
	free(ca);
	free(ciphers);
	free(groups);
	return rv;
}

int
tls_document_new_update(const struct tls_config *config,
    const struct tls_keypair *const *pairs, uint8_t **buf, size_t *len,
    struct tls_error *error)
{
	struct document doc = { 0 };
	struct tlsp_alpn alpn = { 0 };

	alpn.protocols.data = config->alpn;
	alpn.protocols.len = config->alpn_len;
	add(&doc, TLSP_ALPN, &alpn);
	add_live(&doc, config, pairs);
	return finish(&doc, buf, len, error);
}
