/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* A certificate here, and its private key in the keeper. */

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls_internal.h"

struct tls_keypair *
tls_keypair_new(void)
{
	return calloc(1, sizeof(struct tls_keypair));
}

void
tls_keypair_drop_key(struct tls_config *config, struct tls_keypair *keypair)
{
	if (keypair->slot != 0)
		tlsp_draft_drop_key(&config->draft, keypair->slot);
	keypair->slot = 0;
	free(keypair->key_file);
	keypair->key_file = NULL;
}

void
tls_keypair_free(struct tls_keypair *keypair)
{
	if (keypair == NULL)
		return;
	free(keypair->cert_mem);
	free(keypair->key_file);
	free(keypair->staple);
	free(keypair);
}

static int
add_key_fd(struct tls_config *config, struct tls_keypair *keypair, int fd,
    struct tls_error *error)
{
	uint32_t slot;

	if (tlsp_draft_add_key(&config->draft, fd, &slot, error) == -1)
		return -1;
	if (keypair->slot != 0)
		tlsp_draft_drop_key(&config->draft, keypair->slot);
	keypair->slot = slot;
	return 0;
}

/*
 * The keys that a keeper held are gone with it. Those from files are read
 * again; those from memory were wiped when they had been handed over.
 */
static int
restore_key(struct tls_config *config, struct tls_keypair *keypair,
    struct tls_error *error)
{
	int fd, rv;

	if (keypair->key_file == NULL) {
		tls_error_set(error, TLS_ERROR_UNKNOWN, 0,
		    "private key is lost: goproxy has ended unexpectedly, "
		    "set the key again");
		return -1;
	}
	if ((fd = tls_open_file(keypair->key_file, "key", error)) == -1)
		return -1;
	keypair->slot = 0;
	rv = add_key_fd(config, keypair, fd, error);
	if (rv == -1)
		keypair->slot = UINT32_MAX; /* still to be restored */
	close(fd);
	return rv;
}

int
tls_keypair_ensure_draft(struct tls_config *config, struct tls_keypair *except,
    struct tls_error *error)
{
	struct tls_keypair *keypair;

	if (tlsp_draft_alive(&config->draft))
		return 0;
	tlsp_handle_close(&config->draft);
	if (except != NULL)
		except->slot = 0;
	if (tlsp_draft_open(&config->draft, error) == -1)
		return -1;
	for (keypair = config->keypair; keypair != NULL;
	     keypair = keypair->next) {
		if (keypair->slot != 0 &&
		    restore_key(config, keypair, error) == -1) {
			tlsp_handle_close(&config->draft);
			return -1;
		}
	}
	return 0;
}

int
tls_keypair_set_key_file(struct tls_config *config, struct tls_keypair *keypair,
    const char *file)
{
	char *path = NULL;
	int fd, rv = -1;

	if ((fd = tls_open_file(file, "key", &config->error)) == -1)
		return -1;
	/* To find the file again after the program changed its directory. */
	if ((path = realpath(file, NULL)) == NULL &&
	    (path = strdup(file)) == NULL) {
		tls_config_set_oom(config);
		goto err;
	}
	if (tls_keypair_ensure_draft(config, keypair, &config->error) == -1 ||
	    add_key_fd(config, keypair, fd, &config->error) == -1)
		goto err;
	free(keypair->key_file);
	keypair->key_file = path;
	path = NULL;
	config->changed = 1;
	rv = 0;

err:
	free(path);
	close(fd);
	return rv;
}

int
tls_keypair_set_key_mem(struct tls_config *config, struct tls_keypair *keypair,
    const uint8_t *key, size_t len)
{
	int fd, rv = -1;

	config->changed = 1;
	if (key == NULL) {
		tls_keypair_drop_key(config, keypair);
		return 0;
	}
	if (len > INT_MAX) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "key too long");
		return -1;
	}
	if ((fd = tlsp_memory_fd(key, len)) == -1) {
		tls_set_error(config, TLS_ERROR_UNKNOWN,
		    "failed to hand the key to goproxy");
		return -1;
	}
	if (tls_keypair_ensure_draft(config, keypair, &config->error) == 0 &&
	    add_key_fd(config, keypair, fd, &config->error) == 0) {
		free(keypair->key_file);
		keypair->key_file = NULL;
		rv = 0;
	}
	close(fd);
	return rv;
}

/* Takes cert over, which is NULL for none, if goproxy finds it good. */
static int
replace_cert(struct tls_config *config, struct tls_keypair *keypair,
    uint8_t *cert, size_t len)
{
	int fd = -1, rv = 0;

	if (cert != NULL) {
		rv = -1;
		if ((fd = tlsp_memory_fd(cert, len)) == -1)
			tls_set_error(config, TLS_ERROR_UNKNOWN,
			    "failed to hand the certificate to goproxy");
		else if (tls_keypair_ensure_draft(config, NULL,
			     &config->error) == 0)
			rv = tlsp_draft_check_cert(&config->draft, fd,
			    &config->error);
		tlsp_fd_close(&fd);
	}
	if (rv == -1) {
		free(cert);
		return -1;
	}
	free(keypair->cert_mem);
	keypair->cert_mem = cert;
	keypair->cert_len = len;
	config->changed = 1;
	return 0;
}

int
tls_keypair_set_cert_mem(struct tls_config *config, struct tls_keypair *keypair,
    const uint8_t *cert, size_t len)
{
	uint8_t *copy = NULL;

	if (len > INT_MAX) {
		tls_set_errorx(config, TLS_ERROR_INVALID_ARGUMENT,
		    "certificate too long");
		return -1;
	}
	if (cert == NULL)
		return replace_cert(config, keypair, NULL, 0);
	/* A byte more, as nothing at all is to be refused by goproxy too. */
	if ((copy = malloc(len + 1)) == NULL)
		return tls_config_set_oom(config);
	memcpy(copy, cert, len);
	return replace_cert(config, keypair, copy, len);
}

int
tls_keypair_set_cert_file(struct tls_config *config,
    struct tls_keypair *keypair, const char *file)
{
	uint8_t *buf;
	size_t len;

	if (tls_read_file(file, "certificate", &buf, &len, &config->error) ==
	    -1)
		return -1;
	return replace_cert(config, keypair, buf, len);
}

int
tls_keypair_set_staple_mem(struct tls_config *config,
    struct tls_keypair *keypair, const uint8_t *staple, size_t len)
{
	if (tls_set_mem(&keypair->staple, &keypair->staple_len, staple, len) ==
	    -1)
		return tls_config_set_oom(config);
	config->changed = 1;
	return tls_config_update_servers(config);
}

int
tls_keypair_set_staple_file(struct tls_config *config,
    struct tls_keypair *keypair, const char *file)
{
	uint8_t *buf;
	size_t len;

	if (tls_read_file(file, "ocsp", &buf, &len, &config->error) == -1)
		return -1;
	free(keypair->staple);
	keypair->staple = buf;
	keypair->staple_len = len;
	config->changed = 1;
	return tls_config_update_servers(config);
}

int
tls_keypair_set_files(struct tls_config *config, struct tls_keypair *keypair,
    const char *cert_file, const char *key_file, const char *staple_file)
{
	if (tls_keypair_set_cert_file(config, keypair, cert_file) == -1)
		return -1;
	if (key_file != NULL &&
	    tls_keypair_set_key_file(config, keypair, key_file) == -1)
		return -1;
	if (staple_file != NULL &&
	    tls_keypair_set_staple_file(config, keypair, staple_file) == -1)
		return -1;
	return 0;
}

int
tls_keypair_set_mems(struct tls_config *config, struct tls_keypair *keypair,
    const uint8_t *cert, size_t cert_len, const uint8_t *key, size_t key_len,
    const uint8_t *staple, size_t staple_len)
{
	if (tls_keypair_set_cert_mem(config, keypair, cert, cert_len) == -1)
		return -1;
	if (key != NULL &&
	    tls_keypair_set_key_mem(config, keypair, key, key_len) == -1)
		return -1;
	if (staple != NULL && tls_keypair_set_staple_mem(config, keypair,
				  staple, staple_len) == -1)
		return -1;
	return 0;
}

int
tls_keypair_append(struct tls_config *config, struct tls_keypair *keypair,
    int rv)
{
	if (rv == -1) {
		tls_keypair_drop_key(config, keypair);
		tls_keypair_free(keypair);
		return -1;
	}
	config->last_keypair->next = keypair;
	config->last_keypair = keypair;
	return 0;
}
