/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Signing for others: the keys are in the keeper, in a draft of their own. */

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "tls_internal.h"

struct tls_signer_key {
	struct tls_signer_key *next;
	char *hash;
	uint32_t slot;
};

struct tls_signer {
	struct tls_error error;
	struct tlsp_handle draft;
	struct tls_signer_key *keys; /* the newest first */
};

struct tls_signer *
tls_signer_new(void)
{
	static const struct tlsp_handle none = TLSP_HANDLE_NONE;
	struct tls_signer *signer;

	if ((signer = calloc(1, sizeof(*signer))) != NULL)
		signer->draft = none;
	return signer;
}

static void
forget_keys(struct tls_signer *signer)
{
	struct tls_signer_key *key;

	while ((key = signer->keys) != NULL) {
		signer->keys = key->next;
		free(key->hash);
		free(key);
	}
	tlsp_handle_close(&signer->draft);
}

void
tls_signer_free(struct tls_signer *signer)
{
	if (signer == NULL)
		return;
	forget_keys(signer);
	tls_error_clear(&signer->error);
	free(signer);
}

const char *
tls_signer_error(struct tls_signer *signer)
{
	return signer == NULL ? NULL : signer->error.msg;
}

/* With a goproxy that died the keys are gone, and lookups shall say so. */
static int
ensure_draft(struct tls_signer *signer)
{
	if (tlsp_draft_alive(&signer->draft))
		return 0;
	forget_keys(signer);
	return tlsp_draft_open(&signer->draft, &signer->error);
}

static int
add_fds(struct tls_signer *signer, int cert_fd, int key_fd)
{
	struct tls_signer_key *key;

	if (ensure_draft(signer) == -1)
		return -1;
	if ((key = calloc(1, sizeof(*key))) == NULL) {
		tls_set_errorx(signer, TLS_ERROR_OUT_OF_MEMORY,
		    "out of memory");
		return -1;
	}
	if (tlsp_draft_add_signer(&signer->draft, cert_fd, key_fd, &key->hash,
		&key->slot, &signer->error) == -1) {
		free(key);
		return -1;
	}
	key->next = signer->keys;
	signer->keys = key;
	return 0;
}

int
tls_signer_add_keypair_mem(struct tls_signer *signer, const uint8_t *cert,
    size_t cert_len, const uint8_t *key, size_t key_len)
{
	int cert_fd = -1, key_fd = -1, rv = -1;

	if (cert_len > INT_MAX) {
		tls_set_errorx(signer, TLS_ERROR_INVALID_ARGUMENT,
		    "certificate too long");
		return -1;
	}
	if (key_len > INT_MAX) {
		tls_set_errorx(signer, TLS_ERROR_INVALID_ARGUMENT,
		    "private key too long");
		return -1;
	}
	if ((cert_fd = tlsp_memory_fd(cert, cert_len)) == -1 ||
	    (key_fd = tlsp_memory_fd(key, key_len)) == -1)
		tls_set_error(signer, TLS_ERROR_UNKNOWN,
		    "failed to hand the key to goproxy");
	else
		rv = add_fds(signer, cert_fd, key_fd);
	tlsp_fd_close(&cert_fd);
	tlsp_fd_close(&key_fd);
	return rv;
}

int
tls_signer_add_keypair_file(struct tls_signer *signer, const char *cert_file,
    const char *key_file)
{
	int cert_fd, key_fd = -1, rv = -1;

	if ((cert_fd = tls_open_file(cert_file, "certificate",
		 &signer->error)) != -1 &&
	    (key_fd = tls_open_file(key_file, "key", &signer->error)) != -1)
		rv = add_fds(signer, cert_fd, key_fd);
	tlsp_fd_close(&cert_fd);
	tlsp_fd_close(&key_fd);
	return rv;
}

int
tls_signer_sign(struct tls_signer *signer, const char *pubkey_hash,
    const uint8_t *input, size_t input_len, int padding_type,
    uint8_t **out_signature, size_t *out_signature_len)
{
	struct tls_signer_key *key;
	struct tlsp_sign_raw sign_raw = { 0 };

	*out_signature = NULL;
	*out_signature_len = 0;
	for (key = signer->keys; key != NULL; key = key->next) {
		if (strcmp(key->hash, pubkey_hash) == 0)
			break;
	}
	if (key == NULL) {
		tls_set_errorx(signer, TLS_ERROR_UNKNOWN, "key not found");
		return -1;
	}
	/* More than the greatest modulus has. */
	if (input_len > TLSP_SIGN_INPUT_MAX) {
		tls_set_errorx(signer, TLS_ERROR_INVALID_ARGUMENT,
		    "input too large");
		return -1;
	}
	if (padding_type < 0 || padding_type > UINT8_MAX) {
		tls_set_errorx(signer, TLS_ERROR_INVALID_ARGUMENT,
		    "invalid RSA padding type (%d)", padding_type);
		return -1;
	}
	sign_raw.slot = key->slot;
	sign_raw.padding = (uint8_t)padding_type;
	sign_raw.input.data = input;
	sign_raw.input.len = input_len;
	return tlsp_draft_sign_raw(&signer->draft, &sign_raw, out_signature,
	    out_signature_len, &signer->error);
}
