/* SPDX-License-Identifier: ISC */
/*
 * Keys that the library has no part in: a callback signs, with tls_signer_*()
 * behind it, and the peer sees whether the signature is good.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "harness_process.h"

/* Exported by libtls, but in no header of it. */
void tls_config_skip_private_key_check(struct tls_config *);
void tls_config_use_fake_private_key(struct tls_config *);

#define N(array) (sizeof(array) / sizeof((array)[0]))

/* What the callback saw, and how it shall fail. */
static struct {
	struct tls_signer *signer;
	int calls;
	char hash[128];
	size_t len;
	int padding;
	int refuse;
	int corrupt;
} seen;

static int
sign(void *arg, const char *hash, const uint8_t *input, size_t len, int padding,
    uint8_t **signature, size_t *signature_len)
{
	CHECK(arg == &seen);
	seen.calls++;
	snprintf(seen.hash, sizeof(seen.hash), "%s", hash);
	seen.len = len;
	seen.padding = padding;
	if (seen.refuse)
		return -1;
	if (tls_signer_sign(seen.signer, hash, input, len, padding, signature,
		signature_len) == -1)
		FAIL("%s", tls_signer_error(seen.signer));
	if (seen.corrupt)
		(*signature)[*signature_len - 1] ^= 1;
	return 0;
}

static char *
cert_file(const char *name, const char *suffix)
{
	char file[64];

	snprintf(file, sizeof(file), "%s%s", name, suffix);
	return strdup(h_cert(file));
}

static void
add_key(struct tls_signer *signer, const char *name)
{
	char *cert = cert_file(name, ".pem"), *key = cert_file(name, ".key");

	if (tls_signer_add_keypair_file(signer, cert, key) == -1)
		FAIL("%s", tls_signer_error(signer));
	free(cert);
	free(key);
}

/* A server or client with a certificate whose key is not there. */
static void
set_signed(struct tls_config *config, const char *name)
{
	char *cert = cert_file(name, "-chain.pem");

	CHECK_CONFIG(config, tls_config_set_cert_file(config, cert));
	CHECK_CONFIG(config, tls_config_set_sign_cb(config, sign, &seen));
	free(cert);
}

static int
start(void **state)
{
	(void)state;
	memset(&seen, 0, sizeof(seen));
	seen.signer = tls_signer_new();
	return 0;
}

static int
finish(void **state)
{
	(void)state;
	tls_signer_free(seen.signer);
	return 0;
}

static void
handshakes(void **state)
{
	static const struct {
		const char *name;
		uint32_t protocol;
		int client; /* the client's certificate, else the server's */
		size_t len; /* of the input */
		int padding;
	} cases[] = {
		{ "rsa", TLS_PROTOCOL_TLSv1_2, 0, 256, TLS_PADDING_NONE },
		{ "rsa", TLS_PROTOCOL_TLSv1_3, 0, 256, TLS_PADDING_NONE },
		{ "ecdsa", TLS_PROTOCOL_TLSv1_2, 0, 32, TLS_PADDING_NONE },
		{ "ecdsa", TLS_PROTOCOL_TLSv1_3, 0, 32, TLS_PADDING_NONE },
		{ "client", TLS_PROTOCOL_TLSv1_2, 1, 0, TLS_PADDING_NONE },
		{ "client", TLS_PROTOCOL_TLSv1_3, 1, 0, TLS_PADDING_NONE },
	};
	struct tls_config *client, *server;
	struct h_pair p;
	size_t i, round;

	(void)state;
	for (i = 0; i < 3; i++)
		add_key(seen.signer, cases[2 * i].name);
	for (i = 0; i < N(cases); i++) {
		h_case = cases[i].name;
		client = h_client_config();
		CHECK((server = tls_config_new()) != NULL);
		if (cases[i].client) {
			tls_config_free(server);
			server = h_server_config("rsa");
			CHECK_CONFIG(server,
			    tls_config_set_ca_file(server, h_cert("root.pem")));
			tls_config_verify_client(server);
			set_signed(client, cases[i].name);
		} else
			set_signed(server, cases[i].name);
		CHECK_CONFIG(client,
		    tls_config_set_protocols(client, cases[i].protocol));
		seen.calls = 0;
		for (round = 0; round < 2; round++) {
			h_pair_start(&p, client, server, "localhost");
			CHECK_PAIR(&p);
			h_pair_echo(&p);
			h_pair_free(&p);
		}
		CHECK_INT(seen.calls, 2);
		CHECK_INT(seen.padding, cases[i].padding);
		if (cases[i].len != 0)
			CHECK_INT(seen.len, cases[i].len);
		CHECK_HAS(seen.hash, "SHA256:");
		CHECK_INT(strlen(seen.hash), 7 + 64);
		tls_config_free(client);
		tls_config_free(server);
	}
	h_case = NULL;
}

/* The end of a handshake whose signature is missing or wrong. */
static void
bad_signatures(void **state)
{
	struct tls_config *client, *server;
	struct h_pair p;
	int i;

	(void)state;
	add_key(seen.signer, "ecdsa");
	for (i = 0; i < 3; i++) {
		seen.refuse = i == 0;
		seen.corrupt = i == 1;
		client = h_client_config();
		CHECK((server = tls_config_new()) != NULL);
		set_signed(server, "ecdsa");
		if (i == 2)
			CHECK_CONFIG(server,
			    tls_config_set_sign_cb(server, NULL, NULL));
		h_pair_start(&p, client, server, "localhost");
		h_pair_handshake(&p);
		CHECK_INT(p.crv, -1);
		CHECK_INT(p.srv, -1);
		if (i != 1)
			CHECK_HAS(tls_error(p.server),
			    "the application did not sign");
		else
			CHECK_HAS(tls_error(p.server), "alert decrypt error");
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
}

/* An application that closes while its callback is asked for. */
static int
sign_and_close(void *arg, const char *hash, const uint8_t *input, size_t len,
    int padding, uint8_t **signature, size_t *signature_len)
{
	(void)hash;
	(void)input;
	(void)len;
	(void)padding;
	(void)signature;
	(void)signature_len;
	close(*(int *)arg);
	return -1;
}

static void
closed_by_callback(void **state)
{
	struct tls_config *client, *server;
	struct h_pair p;
	char *cert = cert_file("ecdsa", "-chain.pem");

	(void)state;
	client = h_client_config();
	CHECK((server = tls_config_new()) != NULL);
	CHECK_CONFIG(server, tls_config_set_cert_file(server, cert));
	CHECK_CONFIG(server,
	    tls_config_set_sign_cb(server, sign_and_close, &p.sfd));
	h_pair_start(&p, client, server, "localhost");
	while ((p.crv = tls_handshake(p.client)) < -1 &&
	       (p.srv = tls_handshake(p.server)) < -1)
		h_want(p.sfd, p.srv);
	while (p.crv < -1) {
		h_want(p.cfd, p.crv);
		p.crv = tls_handshake(p.client);
	}
	CHECK_INT(p.crv, -1);
	tls_free(p.server);
	tls_free(p.client);
	tls_free(p.base);
	close(p.cfd);
	tls_config_free(client);
	tls_config_free(server);
	free(cert);
}

static void
signer_errors(void **state)
{
	static const struct {
		const char *cert, *key, *want;
	} cases[] = {
		{ "/no/file", "rsa.key",
		    "failed to open certificate file '/no/file': "
		    "No such file or directory" },
		{ "rsa.pem", "/no/file",
		    "failed to open key file '/no/file': "
		    "No such file or directory" },
		{ "garbage.pem", "rsa.key", "failed to load certificate: " },
		{ "rsa.pem", "garbage.key", "failed to read private key" },
		{ "rsa.pem", "encrypted.key", "failed to read private key" },
		{ "ed25519.pem", "ed25519.key", "unknown key type" },
	};
	struct tls_signer *signer = seen.signer;
	uint8_t *out = NULL, input[4096] = { 0 };
	size_t i, len;
	char cert[1024], key[1024];

	(void)state;
	CHECK(tls_signer_error(signer) == NULL);
	for (i = 0; i < N(cases); i++) {
		h_case = cases[i].want;
		snprintf(cert, sizeof(cert), "%s",
		    *cases[i].cert == '/' ? cases[i].cert
					  : h_cert(cases[i].cert));
		snprintf(key, sizeof(key), "%s",
		    *cases[i].key == '/' ? cases[i].key : h_cert(cases[i].key));
		CHECK_INT(tls_signer_add_keypair_file(signer, cert, key), -1);
		CHECK_HAS(tls_signer_error(signer), cases[i].want);
	}
	h_case = NULL;
	CHECK_INT(tls_signer_sign(signer, "SHA256:00", input, 32,
		      TLS_PADDING_NONE, &out, &len),
	    -1);
	CHECK_STR(tls_signer_error(signer), "key not found");
	CHECK(out == NULL);
}

/* The leaf's hash, as the callback is told it. */
static void
leaf_hash(const char *name)
{
	struct tls_config *client = h_client_config(), *server;
	struct h_pair p;

	CHECK((server = tls_config_new()) != NULL);
	set_signed(server, name);
	seen.refuse = 1;
	h_pair_start(&p, client, server, "localhost");
	h_pair_handshake(&p);
	h_pair_free(&p);
	seen.refuse = 0;
	tls_config_free(client);
	tls_config_free(server);
}

static void
sign_inputs(void **state)
{
	static const struct {
		const char *name;
		size_t len;
		int padding;
		const char *want; /* NULL for a signature */
		size_t signature; /* its length, 0 for any */
	} cases[] = {
		{ "rsa", 256, TLS_PADDING_NONE, NULL, 256 },
		{ "rsa", 255, TLS_PADDING_NONE, "RSA signing failed", 0 },
		{ "rsa", 257, TLS_PADDING_NONE, "RSA signing failed", 0 },
		{ "rsa", 51, TLS_PADDING_RSA_PKCS1, NULL, 256 },
		{ "rsa", 245, TLS_PADDING_RSA_PKCS1, NULL, 256 },
		{ "rsa", 246, TLS_PADDING_RSA_PKCS1, "RSA signing failed", 0 },
		{ "rsa", 20, TLS_PADDING_RSA_X9_31, NULL, 256 },
		{ "rsa", 254, TLS_PADDING_RSA_X9_31, NULL, 256 },
		{ "rsa", 255, TLS_PADDING_RSA_X9_31, "RSA signing failed", 0 },
		{ "rsa", 32, 3, "invalid RSA padding type (3)", 0 },
		{ "rsa", 32, -1, "invalid RSA padding type (-1)", 0 },
		{ "rsa", 4000, TLS_PADDING_NONE, "input too large", 0 },
		{ "ecdsa", 32, TLS_PADDING_NONE, NULL, 0 },
		{ "ecdsa", 64, TLS_PADDING_NONE, NULL, 0 },
		{ "ecdsa", 32, TLS_PADDING_RSA_PKCS1, "invalid ECDSA padding",
		    0 },
	};
	uint8_t input[4000], *out;
	size_t i, len, cert_len, key_len;
	char file[64];
	uint8_t *cert, *key;

	(void)state;
	memset(input, 0x11, sizeof(input));
	for (i = 0; i < N(cases); i++) {
		h_case = cases[i].want == NULL ? "signature" : cases[i].want;
		snprintf(file, sizeof(file), "%s.pem", cases[i].name);
		cert = h_load(h_cert(file), &cert_len);
		snprintf(file, sizeof(file), "%s.key", cases[i].name);
		key = h_load(h_cert(file), &key_len);
		if (tls_signer_add_keypair_mem(seen.signer, cert, cert_len, key,
			key_len) == -1)
			FAIL("%s", tls_signer_error(seen.signer));
		free(cert);
		free(key);
		leaf_hash(cases[i].name);
		out = NULL;
		if (tls_signer_sign(seen.signer, seen.hash, input, cases[i].len,
			cases[i].padding, &out, &len) == -1) {
			CHECK(cases[i].want != NULL);
			CHECK_STR(tls_signer_error(seen.signer), cases[i].want);
			CHECK(out == NULL);
			continue;
		}
		CHECK(cases[i].want == NULL);
		if (cases[i].signature != 0)
			CHECK_INT(len, cases[i].signature);
		free(out);
	}
	h_case = NULL;
}

/* Without a callback, as programs with a libcrypto of their own want it. */
static void
without_callback(void **state)
{
	static const struct {
		const char *name, *cert;
		int fake, skip;
		int rv;
		const char *want; /* of the handshake, or of tls_configure */
	} cases[] = {
		{ "nothing set", NULL, 0, 0, -1,
		    "private/public key mismatch" },
		{ "no certificate", NULL, 0, 1, 0, "no shared cipher" },
		{ "fake, no certificate", NULL, 1, 1, 0, "no shared cipher" },
		{ "no key", "ecdsa-chain.pem", 0, 1, 0,
		    "the application did not sign" },
		{ "fake", "rsa-chain.pem", 1, 1, 0,
		    "the application did not sign" },
		{ "fake alone", "rsa-chain.pem", 1, 0, 0,
		    "the application did not sign" },
		{ "fake Ed25519", "ed25519-chain.pem", 1, 1, -1,
		    "incorrect key type" },
	};
	struct tls_config *client, *config;
	struct tls *server;
	struct h_pair p;
	size_t i;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		h_case = cases[i].name;
		CHECK((config = tls_config_new()) != NULL);
		if (cases[i].cert != NULL)
			CHECK_CONFIG(config, tls_config_set_cert_file(config,
						 h_cert(cases[i].cert)));
		if (cases[i].fake)
			tls_config_use_fake_private_key(config);
		if (cases[i].skip)
			tls_config_skip_private_key_check(config);
		if (cases[i].rv == -1) {
			CHECK((server = tls_server()) != NULL);
			CHECK_INT(tls_configure(server, config), -1);
			CHECK_STR(tls_error(server), cases[i].want);
			tls_free(server);
		} else {
			client = h_client_config();
			h_pair_start(&p, client, config, "localhost");
			h_pair_handshake(&p);
			CHECK_INT(p.crv, -1);
			CHECK_INT(p.srv, -1);
			CHECK_HAS(tls_error(p.server), cases[i].want);
			h_pair_free(&p);
			tls_config_free(client);
		}
		tls_config_free(config);
	}
	h_case = NULL;
}

/* A key that is there counts, whatever is skipped; a fake one hides it. */
static void
key_that_is_there(void **state)
{
	struct tls_config *client = h_client_config(), *server;
	struct h_pair p;

	(void)state;
	server = h_server_config("ecdsa");
	tls_config_skip_private_key_check(server);
	h_pair_start(&p, client, server, "localhost");
	h_pair_handshake(&p);
	CHECK_TLS(p.server, p.srv);
	h_pair_echo(&p);
	h_pair_free(&p);

	add_key(seen.signer, "ecdsa");
	CHECK_CONFIG(server, tls_config_set_sign_cb(server, sign, &seen));
	h_pair_start(&p, client, server, "localhost");
	h_pair_handshake(&p);
	CHECK_TLS(p.server, p.srv);
	CHECK_INT(seen.calls, 1);
	h_pair_free(&p);
	tls_config_free(client);
	tls_config_free(server);
}

/* The keys go with the signer, and their channel. */
static void
freed(void **state)
{
	struct tls_signer *signer;
	int fds;

	(void)state;
	CHECK((signer = tls_signer_new()) != NULL);
	add_key(seen.signer, "rsa"); /* starts goproxy */
	fds = h_fds();
	add_key(signer, "rsa");
	CHECK(h_fds() > fds);
	tls_signer_free(signer);
	tls_signer_free(NULL);
	CHECK_INT(h_fds(), fds);
}

#define SIGNER(test) cmocka_unit_test_setup_teardown(test, start, finish)

static const struct CMUnitTest tests[] = {
	SIGNER(handshakes),
	SIGNER(bad_signatures),
	SIGNER(closed_by_callback),
	SIGNER(signer_errors),
	SIGNER(sign_inputs),
	SIGNER(without_callback),
	SIGNER(key_that_is_there),
	SIGNER(freed),
};

static const struct h_peer peers[] = { { NULL, NULL } };

H_MAIN(tests, peers)
