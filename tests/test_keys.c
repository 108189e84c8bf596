/* SPDX-License-Identifier: ISC */
/*
 * Keys and certificates: which files are taken and which are not, who gets
 * which of several pairs, and other pairs for a server that runs.
 */

#include <sys/socket.h>

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define NSETS(array) (sizeof(array) / sizeof((array)[0]))

/* Files that a test makes with openssl(1), in a directory of its own. */

static char dir[32];

static const char *
made(const char *name)
{
	static char paths[4][64];
	static size_t next;
	char *path = paths[next++ % 4];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

/* Runs a shell command where $D is that directory and $C the certificates. */
static void
shell(const char *command)
{
	char script[1024], d[64], c[512], path[1024];
	char *argv[] = { "/bin/sh", "-c", script, NULL };
	char *envp[] = { d, c, path, NULL };

	snprintf(script, sizeof(script), "set -e; { %s\n} >$D/log 2>&1",
	    command);
	snprintf(d, sizeof(d), "D=%s", dir);
	snprintf(c, sizeof(c), "C=%s", getenv("TEST_CERTS"));
	snprintf(path, sizeof(path), "PATH=%s", getenv("PATH"));
	if (h_wait_exit(h_exec(NULL, 0, argv, envp)) != 0)
		FAIL("this fails: %s", command);
}

static int
make_dir(void **state)
{
	(void)state;
	snprintf(dir, sizeof(dir), "/tmp/test_keys.XXXXXX");
	return mkdtemp(dir) == NULL ? -1 : 0;
}

static int
remove_dir(void **state)
{
	char command[64];
	char *argv[] = { "/bin/sh", "-c", command, NULL };

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", dir);
	return h_wait_exit(h_exec(NULL, 0, argv, environ));
}

/*
 * A handshake with a server of this configuration, whose certificate is
 * NAME's.
 */
static void
works(struct tls_config *server, const char *servername, const char *name)
{
	struct tls_config *client;
	char subject[128];
	struct h_pair p;

	client = h_client_config();
	tls_config_insecure_noverifyname(client);
	h_pair_start(&p, client, server, servername);
	CHECK_PAIR(&p);
	snprintf(subject, sizeof(subject), "/C=XX/O=libtls-proxy tests/CN=%s",
	    name);
	CHECK_STR(tls_peer_cert_subject(p.client), subject);
	h_pair_echo(&p);
	h_pair_free(&p);
	tls_config_free(client);
}

#define MISMATCH "private/public key mismatch"

static void
check_error(struct tls *ctx, const char *want)
{
	/* OpenSSL notices earlier. */
	if (!h_proxy && strcmp(want, MISMATCH) == 0 &&
	    strcmp(tls_error(ctx), "failed to load private key") == 0)
		return;
	CHECK_STR(tls_error(ctx), want);
}

/* Encrypted keys. */

static const struct {
	const char *name;
	const char *command; /* NAME.key in, $K the key, $O the file */
	int wrong;	     /* can't be read */
} schemes[] = {
	{ "plain PKCS #8", "cat $K", 0 },
	{ "plain traditional", "openssl pkey -in $K -traditional", 0 },
	{ "DES", "openssl pkey -in $K -traditional -des $P $L", 0 },
	{ "3DES", "openssl pkey -in $K -traditional -des3 $P", 0 },
	{ "AES-128", "openssl pkey -in $K -traditional -aes128 $P", 0 },
	{ "AES-192", "openssl pkey -in $K -traditional -aes192 $P", 0 },
	{ "AES-256", "openssl pkey -in $K -traditional -aes256 $P", 0 },
	{ "PBE-MD5-DES", "$T -v1 PBE-MD5-DES $L", 0 },
	{ "PBE-MD5-RC2-64", "$T -v1 PBE-MD5-RC2-64 $L", 0 },
	{ "PBE-SHA1-DES", "$T -v1 PBE-SHA1-DES $L", 0 },
	{ "PBE-SHA1-RC2-64", "$T -v1 PBE-SHA1-RC2-64 $L", 0 },
	{ "PBE-SHA1-RC4-128", "$T -v1 PBE-SHA1-RC4-128 $L", 0 },
	{ "PBE-SHA1-RC4-40", "$T -v1 PBE-SHA1-RC4-40 $L", 0 },
	{ "PBE-SHA1-3DES", "$T -v1 PBE-SHA1-3DES $L", 0 },
	{ "PBE-SHA1-2DES", "$T -v1 PBE-SHA1-2DES $L", 0 },
	{ "PBE-SHA1-RC2-128", "$T -v1 PBE-SHA1-RC2-128 $L", 0 },
	{ "PBE-SHA1-RC2-40", "$T -v1 PBE-SHA1-RC2-40 $L", 0 },
	{ "PBES2, default", "$T", 0 },
	{ "PBES2, AES-128", "$T -v2 aes-128-cbc", 0 },
	{ "PBES2, AES-192", "$T -v2 aes-192-cbc", 0 },
	{ "PBES2, AES-256", "$T -v2 aes-256-cbc", 0 },
	{ "PBES2, DES", "$T -v2 des $L", 0 },
	{ "PBES2, 3DES", "$T -v2 des3", 0 },
	{ "PBES2, SHA-1", "$T -v2 aes-256-cbc -v2prf hmacWithSHA1", 0 },
	{ "PBES2, SHA-224", "$T -v2 aes-256-cbc -v2prf hmacWithSHA224", 0 },
	{ "PBES2, SHA-384", "$T -v2 aes-256-cbc -v2prf hmacWithSHA384", 0 },
	{ "PBES2, SHA-512", "$T -v2 aes-256-cbc -v2prf hmacWithSHA512", 0 },
	{ "PBES2, one round", "$T -iter 1", 0 },
	{ "PBES2, many rounds", "$T -iter 100000", 0 },
	/* LibreSSL can't either. */
	{ "scrypt", "$T -scrypt", 1 },
	{ "PBES2, ARIA", "$T -v2 aria-256-cbc", 1 },
};

static void
encrypted_keys(void **state)
{
	static const char *const names[] = { "rsa", "ecdsa", "ed25519" };
	char label[64], command[768], file[64];
	char right[] = "secret", wrong[] = "Secret", empty[] = "";
	struct tls_config *config;
	uint8_t *buf, *want, *cert;
	size_t len, want_len, cert_len;
	size_t i, j;
	int plain;

	(void)state;
	for (j = 0; j < NSETS(names); j++) {
		snprintf(file, sizeof(file), "%s.key", names[j]);
		want = h_load(h_cert(file), &want_len);
		snprintf(file, sizeof(file), "%s-chain.pem", names[j]);
		cert = h_load(h_cert(file), &cert_len);
		for (i = 0; i < NSETS(schemes); i++) {
			/* There is no older format for these. */
			if (strcmp(names[j], "ed25519") == 0 &&
			    strstr(schemes[i].command, "-traditional") != NULL)
				continue;
			/* OpenSSL has set other limits. */
			if (!h_proxy &&
			    (strstr(schemes[i].command, "$L") != NULL ||
				schemes[i].wrong))
				continue;
			snprintf(label, sizeof(label), "%s, %s", names[j],
			    schemes[i].name);
			h_case = label;
			snprintf(command, sizeof(command),
			    "K=$C/%s.key; P='-passout pass:secret'; "
			    "L='-provider legacy -provider default'; "
			    "T=\"openssl pkcs8 -topk8 -in $K $P\"; "
			    "%s >$D/key",
			    names[j], schemes[i].command);
			shell(command);
			buf = tls_load_file(made("key"), &len, right);
			if (schemes[i].wrong) {
				CHECK(buf == NULL);
				continue;
			}
			CHECK(buf != NULL);
			CHECK_INT(len, want_len);
			CHECK_MEM(buf, want, len);
			/* Each key once all the way. */
			if (i % 8 == 0) {
				CHECK((config = tls_config_new()) != NULL);
				CHECK_CONFIG(config,
				    tls_config_set_keypair_mem(config, cert,
					cert_len, buf, len));
				works(config, "localhost", names[j]);
				tls_config_free(config);
			}
			tls_unload_file(buf, len);

			/* A password that isn't needed doesn't matter. */
			plain = strncmp(schemes[i].name, "plain", 5) == 0;
			buf = tls_load_file(made("key"), &len, wrong);
			CHECK((buf != NULL) == plain);
			tls_unload_file(buf, plain ? len : 0);
			buf = tls_load_file(made("key"), &len, empty);
			CHECK((buf != NULL) == plain);
			tls_unload_file(buf, plain ? len : 0);
		}
		free(want);
		free(cert);
	}
	h_case = NULL;
}

static void
passwords(void **state)
{
	static const char *const words[] = { "x", "with a space", "\xc3\xa4",
		"'\"$",
		("01234567890123456789012345678901234567890123456789"
		 "012345678901234567890123456789") };
	char command[512], password[128];
	uint8_t *buf;
	size_t i, len;
	FILE *f;

	(void)state;
	for (i = 0; i < NSETS(words); i++) {
		h_case = words[i];
		CHECK((f = fopen(made("password"), "we")) != NULL);
		fputs(words[i], f);
		CHECK_INT(fclose(f), 0);
		snprintf(command, sizeof(command),
		    "openssl pkcs8 -topk8 -in $C/ecdsa.key -out $D/key "
		    "-passout file:$D/password");
		shell(command);
		snprintf(password, sizeof(password), "%s", words[i]);
		CHECK(
		    (buf = tls_load_file(made("key"), &len, password)) != NULL);
		tls_unload_file(buf, len);
		/* Only the whole of it. */
		password[strlen(password) - 1] ^= 1;
		CHECK(tls_load_file(made("key"), &len, password) == NULL);
		snprintf(password, sizeof(password), "%sx", words[i]);
		CHECK(tls_load_file(made("key"), &len, password) == NULL);
	}
	h_case = NULL;
}

/* What is no key, to who wants one. */
static void
no_keys(void **state)
{
	static const char *const names[] = { "rsa.pem", "rsa-chain.pem",
		"garbage.pem", "garbage.key", "garbage-der.pem", "empty.pem",
		"crl-none.pem", "" };
	char password[] = "secret";
	uint8_t *buf;
	size_t i, len;

	(void)state;
	for (i = 0; i < NSETS(names); i++) {
		h_case = names[i];
		len = 4711;
		CHECK(tls_load_file(h_cert(names[i]), &len, password) == NULL);
	}
	h_case = NULL;
	errno = 0;
	CHECK(tls_load_file("/no/such/file", &len, password) == NULL);
	CHECK_INT(errno, ENOENT);
	errno = 0;
	CHECK(tls_load_file(h_cert(""), &len, NULL) == NULL);
	CHECK_INT(errno, EISDIR);
	/* Without a password a file is a file. */
	CHECK((buf = tls_load_file(h_cert("garbage.pem"), &len, NULL)) != NULL);
	CHECK_INT(len, strlen("not a PEM file\n"));
	CHECK_MEM(buf, "not a PEM file\n", len);
	tls_unload_file(buf, len);
	CHECK((buf = tls_load_file(h_cert("empty.pem"), &len, NULL)) != NULL);
	CHECK_INT(len, 0);
	tls_unload_file(buf, len);
	/* The first key of a file counts, whatever is around it. */
	CHECK((buf = tls_load_file(h_cert("rsa-both.pem"), &len, password)) !=
	      NULL);
	tls_unload_file(buf, len);
}

/* PEM. */

static void
several_blocks(void **state)
{
	static const struct {
		const char *name;
		const char *command; /* makes $D/cert and $D/key */
		const char *want;    /* whose certificate, or an error */
		int want_error;
	} cases[] = {
		{ "all in one file",
		    "cat $C/rsa-chain.pem $C/rsa.key >$D/cert; "
		    "cp $D/cert $D/key",
		    "rsa", 0 },
		{ "key first",
		    "cat $C/rsa.key $C/rsa-chain.pem >$D/cert; "
		    "cp $D/cert $D/key",
		    "rsa", 0 },
		{ "EC PARAMETERS",
		    "cp $C/ecdsa-chain.pem $D/cert; "
		    "{ openssl ecparam -name prime256v1; "
		    "openssl ec -in $C/ecdsa.key; } >$D/key",
		    "ecdsa", 0 },
		{ "traditional RSA",
		    "cp $C/rsa-chain.pem $D/cert; "
		    "openssl rsa -in $C/rsa.key -traditional >$D/key",
		    "rsa", 0 },
		{ "text around it",
		    "{ echo Hello; openssl x509 -in $C/rsa.pem -text; echo; "
		    "cat $C/inter.pem; echo; echo bye; } >$D/cert; "
		    "{ echo 'Bag Attributes'; echo '    localKeyID: 01'; "
		    "cat $C/rsa.key; echo; echo bye; } >$D/key",
		    "rsa", 0 },
		{ "CRLF",
		    "sed 's/$/\\r/' $C/rsa-chain.pem >$D/cert; "
		    "sed 's/$/\\r/' $C/rsa.key >$D/key",
		    "rsa", 0 },
		{ "no last line end",
		    "printf %s \"$(cat $C/rsa-chain.pem)\" >$D/cert; "
		    "printf %s \"$(cat $C/rsa.key)\" >$D/key",
		    "rsa", 0 },
		{ "an X509 CERTIFICATE",
		    "sed 's/ CERTIFICATE/ X509 CERTIFICATE/' $C/rsa-chain.pem "
		    ">$D/cert; cp $C/rsa.key $D/key",
		    "rsa", 0 },
		{ "a TRUSTED CERTIFICATE",
		    "{ openssl x509 -in $C/rsa.pem -trustout -addtrust "
		    "serverAuth; cat $C/inter.pem; } >$D/cert; "
		    "cp $C/rsa.key $D/key",
		    "rsa", 0 },
		{ "other blocks before",
		    "{ cat $C/crl-none.pem; cat $C/rsa-chain.pem; } >$D/cert; "
		    "{ openssl pkey -in $C/rsa.key -pubout; "
		    "cat $C/rsa.key; } >$D/key",
		    "rsa", 0 },
		{ "the first of two keys",
		    "cp $C/rsa-chain.pem $D/cert; "
		    "cat $C/rsa.key $C/ecdsa.key >$D/key",
		    "rsa", 0 },
		{ "the second of two keys",
		    "cp $C/ecdsa-chain.pem $D/cert; "
		    "cat $C/rsa.key $C/ecdsa.key >$D/key",
		    MISMATCH, 1 },
		{ "the chain's other end first",
		    "cat $C/inter.pem $C/rsa.pem >$D/cert; "
		    "cp $C/rsa.key $D/key",
		    MISMATCH, 1 },
		{ "garbage in the chain",
		    "cat $C/rsa.pem $C/garbage-der.pem >$D/cert; "
		    "cp $C/rsa.key $D/key",
		    "failed to load certificate", 1 },
		{ "garbage for a key",
		    "cp $C/rsa-chain.pem $D/cert; cp $C/garbage.key $D/key",
		    "failed to read private key", 1 },
		{ "an empty key", "cp $C/rsa-chain.pem $D/cert; : >$D/key",
		    "failed to read private key", 1 },
		{ "a certificate for a key",
		    "cp $C/rsa-chain.pem $D/cert; cp $D/cert $D/key",
		    "failed to read private key", 1 },
		{ "a public key",
		    "cp $C/rsa-chain.pem $D/cert; "
		    "openssl pkey -in $C/rsa.key -pubout >$D/key",
		    "failed to read private key", 1 },
		{ "an encrypted key",
		    "cp $C/rsa-chain.pem $D/cert; "
		    "cp $C/encrypted.key $D/key",
		    "failed to read private key", 1 },
		{ "an encrypted traditional key",
		    "cp $C/rsa-chain.pem $D/cert; "
		    "openssl rsa -in $C/rsa.key -traditional -aes128 "
		    "-passout pass:x >$D/key",
		    "failed to read private key", 1 },
		{ "somebody else's key",
		    "cp $C/rsa-chain.pem $D/cert; cp $C/ecdsa.key $D/key",
		    MISMATCH, 1 },
		{ "another key of the kind",
		    "cp $C/ecdsa-chain.pem $D/cert; cp $C/mismatch.key $D/key",
		    MISMATCH, 1 },
	};
	struct tls_config *config;
	uint8_t *cert, *key;
	size_t i, cert_len, key_len;
	struct tls *ctx;
	int a, b, mem;

	(void)state;
	h_tcp_pair(&a, &b);
	for (i = 0; i < 2 * NSETS(cases); i++) {
		mem = i % 2 == 1;
		h_case = cases[i / 2].name;
		shell(cases[i / 2].command);
		CHECK((config = tls_config_new()) != NULL);
		if (mem) {
			cert = h_load(made("cert"), &cert_len);
			key = h_load(made("key"), &key_len);
			CHECK_CONFIG(config, tls_config_set_keypair_mem(config,
						 cert, cert_len, key, key_len));
			free(cert);
			free(key);
		} else
			CHECK_CONFIG(config, tls_config_set_keypair_file(config,
						 made("cert"), made("key")));
		if (!cases[i / 2].want_error)
			works(config, "localhost", cases[i / 2].want);
		else {
			CHECK((ctx = tls_server()) != NULL);
			CHECK_INT(tls_configure(ctx, config), -1);
			check_error(ctx, cases[i / 2].want);
			tls_free(ctx);
			CHECK((ctx = tls_client()) != NULL);
			CHECK_TLS(ctx, tls_configure(ctx, config));
			CHECK_INT(tls_connect_socket(ctx, a, "localhost"), -1);
			check_error(ctx, cases[i / 2].want);
			tls_free(ctx);
		}
		tls_config_free(config);
	}
	h_case = NULL;
	close(a);
	close(b);
}

static void
halves(void **state)
{
	struct tls_config *config;
	struct tls *ctx;
	int a, b, i;

	(void)state;
	h_tcp_pair(&a, &b);
	for (i = 0; i < 3; i++) {
		h_case = i == 0	  ? "nothing"
			 : i == 1 ? "a certificate"
				  : "a key";
		config = h_client_config();
		if (i == 1)
			CHECK_CONFIG(config, tls_config_set_cert_file(config,
						 h_cert("rsa-chain.pem")));
		if (i == 2)
			CHECK_CONFIG(config,
			    tls_config_set_key_file(config, h_cert("rsa.key")));
		CHECK((ctx = tls_server()) != NULL);
		CHECK_INT(tls_configure(ctx, config), -1);
		check_error(ctx, MISMATCH);
		tls_free(ctx);
		ctx = h_client(config);
		CHECK_INT(tls_connect_socket(ctx, a, "localhost"),
		    i == 0 ? 0 : -1);
		if (i != 0)
			check_error(ctx, MISMATCH);
		tls_free(ctx);
		tls_config_free(config);
		if (i == 0) {
			close(a);
			close(b);
			h_tcp_pair(&a, &b);
		}
	}
	h_case = NULL;
	/* The two halves, one after the other, in either order. */
	CHECK((config = tls_config_new()) != NULL);
	CHECK_CONFIG(config,
	    tls_config_set_key_file(config, h_cert("rsa.key")));
	CHECK_CONFIG(config,
	    tls_config_set_cert_file(config, h_cert("rsa-chain.pem")));
	works(config, "localhost", "rsa");
	/* A certificate for the key that is there. */
	CHECK_CONFIG(config,
	    tls_config_set_cert_file(config, h_cert("ecdsa-chain.pem")));
	CHECK((ctx = tls_server()) != NULL);
	CHECK_INT(tls_configure(ctx, config), -1);
	check_error(ctx, MISMATCH);
	tls_free(ctx);
	CHECK_CONFIG(config,
	    tls_config_set_key_file(config, h_cert("ecdsa.key")));
	works(config, "localhost", "ecdsa");
	tls_config_free(config);
	close(a);
	close(b);
}

/* What a file can hold, memory can. */
static void
in_memory(void **state)
{
	static const char *const names[] = { "rsa", "ecdsa" };
	uint8_t *cert[2], *key[2];
	size_t cert_len[2], key_len[2], i;
	struct tls_config *config;
	char file[64];

	(void)state;
	for (i = 0; i < NSETS(names); i++) {
		snprintf(file, sizeof(file), "%s-chain.pem", names[i]);
		cert[i] = h_load(h_cert(file), &cert_len[i]);
		snprintf(file, sizeof(file), "%s.key", names[i]);
		key[i] = h_load(h_cert(file), &key_len[i]);
	}
	CHECK((config = tls_config_new()) != NULL);
	h_case = "tls_config_set_keypair_mem";
	CHECK_CONFIG(config, tls_config_set_keypair_mem(config, cert[0],
				 cert_len[0], key[0], key_len[0]));
	works(config, "localhost", "rsa");
	h_case = "tls_config_set_cert_mem and tls_config_set_key_mem";
	CHECK_CONFIG(config,
	    tls_config_set_cert_mem(config, cert[1], cert_len[1]));
	CHECK_CONFIG(config,
	    tls_config_set_key_mem(config, key[1], key_len[1]));
	works(config, "localhost", "ecdsa");
	/* The last one has the name. */
	h_case = "tls_config_add_keypair_mem";
	CHECK_CONFIG(config, tls_config_add_keypair_mem(config, cert[0],
				 cert_len[0], key[0], key_len[0]));
	works(config, "localhost", "rsa");
	works(config, NULL, "ecdsa");
	h_case = NULL;
	tls_config_free(config);
	for (i = 0; i < NSETS(names); i++) {
		free(cert[i]);
		free(key[i]);
	}
}

#define LOAD "failed to load certificate: error:"

static void
bad_certificates(void **state)
{
	static const char no_start[] =
	    LOAD "09FFF06C:PEM routines:CRYPTO_internal:no start line";
	static const char bad_end[] =
	    LOAD "09FFF066:PEM routines:CRYPTO_internal:bad end line";
	static const char base64[] =
	    LOAD "09FFF064:PEM routines:CRYPTO_internal:bad base64 decode";
	static const char wrong_tag[] =
	    LOAD "0DFFF0A8:asn1 encoding routines:CRYPTO_internal:wrong tag";
	static const struct {
		const char *name, *pem, *want;
	} cases[] = {
		{ "nothing", "", no_start },
		{ "text", "not a PEM file\n", no_start },
		{ "a NUL byte", "\0", no_start },
		{ "another block",
		    "-----BEGIN PUBLIC KEY-----\nMAMCAQA=\n"
		    "-----END PUBLIC KEY-----\n",
		    no_start },
		{ "no end", "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n",
		    bad_end },
		{ "another end",
		    "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n"
		    "-----END PUBLIC KEY-----\n",
		    bad_end },
		{ "no base64",
		    "-----BEGIN CERTIFICATE-----\n!!!!\n"
		    "-----END CERTIFICATE-----\n",
		    base64 },
		{ "no DER",
		    "-----BEGIN CERTIFICATE-----\nbm90IGEgY2VydGlmaWNhdGU=\n"
		    "-----END CERTIFICATE-----\n",
		    wrong_tag },
	};
	struct tls_config *config;
	const uint8_t *pem;
	size_t i, len;
	FILE *f;

	(void)state;
	PROXY_ONLY(); /* OpenSSL has other numbers. */
	for (i = 0; i < NSETS(cases); i++) {
		h_case = cases[i].name;
		pem = (const uint8_t *)cases[i].pem;
		len = strlen(cases[i].pem);
		if (strcmp(h_case, "a NUL byte") == 0)
			len = 1;
		config = h_server_config("rsa");
		CHECK_INT(tls_config_set_cert_mem(config, pem, len), -1);
		CHECK_STR(tls_config_error(config), cases[i].want);
		tls_config_free(config);

		config = h_server_config("rsa");
		CHECK_INT(tls_config_add_keypair_mem(config, pem, len, NULL, 0),
		    -1);
		CHECK_STR(tls_config_error(config), cases[i].want);
		/* There is no half of a pair left. */
		works(config, "localhost", "rsa");
		tls_config_free(config);

		config = h_server_config("rsa");
		CHECK_INT(
		    tls_config_set_keypair_mem(config, pem, len, pem, len), -1);
		CHECK_STR(tls_config_error(config), cases[i].want);
		tls_config_free(config);

		CHECK((f = fopen(made("cert"), "we")) != NULL);
		CHECK_INT(fwrite(pem, 1, len, f), len);
		CHECK_INT(fclose(f), 0);
		CHECK((config = tls_config_new()) != NULL);
		CHECK_INT(tls_config_set_cert_file(config, made("cert")), -1);
		CHECK_STR(tls_config_error(config), cases[i].want);
		tls_config_free(config);
	}
	h_case = NULL;
}

static void
too_long(void **state)
{
	const size_t len = (size_t)INT_MAX + 1;
	const uint8_t byte = 0;
	struct tls_config *config;

	(void)state;
	PROXY_ONLY(); /* LibreTLS reads what isn't there. */
	CHECK((config = tls_config_new()) != NULL);
	CHECK_INT(tls_config_set_ca_mem(config, &byte, len), -1);
	CHECK_STR(tls_config_error(config), "ca too long");
	CHECK_INT(tls_config_set_crl_mem(config, &byte, len), -1);
	CHECK_STR(tls_config_error(config), "crl too long");
	CHECK_INT(tls_config_set_cert_mem(config, &byte, len), -1);
	CHECK_STR(tls_config_error(config), "certificate too long");
	CHECK_INT(tls_config_set_key_mem(config, &byte, len), -1);
	CHECK_STR(tls_config_error(config), "key too long");
	tls_config_free(config);
}

/* Which kinds of keys there are. */
static void
kinds(void **state)
{
	static const struct {
		const char *name;
		const char *options; /* of openssl genpkey */
		const char *want;    /* NULL: it works */
	} cases[] = {
		{ "RSA-1024", "-algorithm RSA -pkeyopt rsa_keygen_bits:1024",
		    NULL },
		{ "RSA-3072", "-algorithm RSA -pkeyopt rsa_keygen_bits:3072",
		    NULL },
		{ "P-256", "-algorithm EC -pkeyopt ec_paramgen_curve:P-256",
		    NULL },
		{ "P-384", "-algorithm EC -pkeyopt ec_paramgen_curve:P-384",
		    NULL },
		{ "P-521", "-algorithm EC -pkeyopt ec_paramgen_curve:P-521",
		    NULL },
		{ "Ed25519", "-algorithm ED25519", NULL },
		{ "RSA-512", "-algorithm RSA -pkeyopt rsa_keygen_bits:512",
		    "failed to " },
		{ "Ed448", "-algorithm ED448", "failed to load " },
		{ "secp256k1",
		    "-algorithm EC -pkeyopt ec_paramgen_curve:secp256k1",
		    "failed to load " },
		{ "RSA-PSS", "-algorithm RSA-PSS", "failed to load " },
	};
	struct tls_config *client, *server;
	char command[512];
	struct h_pair p;
	struct tls *ctx;
	size_t i;
	int v, rv;

	(void)state;
	PROXY_ONLY(); /* OpenSSL has other limits. */
	for (i = 0; i < NSETS(cases); i++) {
		h_case = cases[i].name;
		snprintf(command, sizeof(command),
		    "openssl genpkey %s -out $D/key; openssl req -x509 -key "
		    "$D/key -subj /CN=localhost -days 2 %s -out $D/cert",
		    cases[i].options,
		    strstr(cases[i].name, "Ed") != NULL ? "" : "-sha256");
		shell(command);
		CHECK((server = tls_config_new()) != NULL);
		rv = tls_config_set_keypair_file(server, made("cert"),
		    made("key"));
		if (cases[i].want != NULL) {
			/* Now or later. */
			if (rv == -1)
				CHECK_HAS(tls_config_error(server),
				    cases[i].want);
			CHECK((ctx = tls_server()) != NULL);
			CHECK_INT(tls_configure(ctx, server), -1);
			if (rv == 0)
				CHECK_HAS(tls_error(ctx), cases[i].want);
			tls_free(ctx);
			tls_config_free(server);
			continue;
		}
		CHECK_CONFIG(server, rv);
		for (v = 0; v < 2; v++) {
			client = h_client_config();
			CHECK_CONFIG(client,
			    tls_config_set_protocols(client,
				v == 0 ? TLS_PROTOCOL_TLSv1_2
				       : TLS_PROTOCOL_TLSv1_3));
			tls_config_insecure_noverifycert(client);
			h_pair_start(&p, client, server, "localhost");
			CHECK_PAIR(&p);
			h_pair_echo(&p);
			h_pair_free(&p);
			tls_config_free(client);
		}
		tls_config_free(server);
	}
	h_case = NULL;
}

/* Several pairs. */

static void
add(struct tls_config *config, const char *name)
{
	char cert[64], key[64];

	snprintf(cert, sizeof(cert), "%s-chain.pem", name);
	snprintf(key, sizeof(key), "%s.key", name);
	CHECK_CONFIG(config,
	    tls_config_add_keypair_file(config, h_cert(cert), h_cert(key)));
}

/*
 * The first is for everybody; of the others the first that matches counts,
 * by libtls's rules for names and whatever kind of key it has.
 */
static void
several_pairs(void **state)
{
	static const struct {
		const char *name;
		const char *pairs[5];
		const char *servername;
		const char *want;
	} cases[] = {
		{ "one", { "rsa" }, "elsewhere.test", "rsa" },
		{ "the second has it", { "a.test", "rsa" }, "localhost",
		    "rsa" },
		{ "both have it", { "rsa", "ecdsa" }, "localhost", "ecdsa" },
		{ "the second and the third", { "rsa", "ecdsa", "ed25519" },
		    "localhost", "ecdsa" },
		{ "none has it", { "rsa", "a.test", "b.test" }, "c.test",
		    "rsa" },
		{ "no name", { "a.test", "rsa" }, NULL, "a.test" },
		{ "an address", { "a.test", "rsa" }, "127.0.0.1", "a.test" },
		{ "the last", { "rsa", "a.test", "b.test", "cn", "ed25519" },
		    "www.b.test", "b.test" },
		{ "wildcard, one label", { "rsa", "b.test" }, "x.b.test",
		    "b.test" },
		{ "wildcard, two labels", { "rsa", "b.test" }, "x.y.b.test",
		    "rsa" },
		{ "wildcard, none", { "rsa", "b.test" }, "b.test", "rsa" },
		{ "upper case", { "rsa", "a.test" }, "A.TEST", "a.test" },
		{ "trailing dot", { "rsa", "a.test" }, "a.test.", "a.test" },
		{ "a common name", { "rsa", "cn" }, "localhost", "cn" },
		{ "a common name that doesn't count", { "rsa", "wrongname" },
		    "wrongname", "rsa" },
		{ "expired", { "rsa", "expired" }, "localhost", "expired" },
	};
	struct tls_config *client, *server;
	char cert[64], key[64], subject[128];
	struct h_pair p;
	size_t i, j;
	int v;

	(void)state;
	for (i = 0; i < NSETS(cases); i++) {
		h_case = cases[i].name;
		CHECK((server = tls_config_new()) != NULL);
		snprintf(cert, sizeof(cert), "%s-chain.pem", cases[i].pairs[0]);
		snprintf(key, sizeof(key), "%s.key", cases[i].pairs[0]);
		/* The first pair is the first whenever it is set. */
		for (j = 1; j < 5 && cases[i].pairs[j] != NULL; j++)
			add(server, cases[i].pairs[j]);
		CHECK_CONFIG(server, tls_config_set_keypair_file(server,
					 h_cert(cert), h_cert(key)));
		snprintf(subject, sizeof(subject), "%s/CN=%s",
		    strcmp(cases[i].want, "cn") == 0
			? ""
			: "/C=XX/O=libtls-proxy tests",
		    strcmp(cases[i].want, "cn") == 0 ? "localhost"
						     : cases[i].want);
		for (v = 0; v < 2; v++) {
			client = h_client_config();
			CHECK_CONFIG(client,
			    tls_config_set_protocols(client,
				v == 0 ? TLS_PROTOCOL_TLSv1_2
				       : TLS_PROTOCOL_TLSv1_3));
			tls_config_insecure_noverifycert(client);
			tls_config_insecure_noverifyname(client);
			h_pair_start(&p, client, server, cases[i].servername);
			CHECK_PAIR(&p);
			CHECK_STR(tls_peer_cert_subject(p.client), subject);
			h_pair_free(&p);
			tls_config_free(client);
		}
		tls_config_free(server);
	}
	h_case = NULL;
}

static void
pair_without_key(void **state)
{
	struct tls_config *config;
	struct tls *ctx;

	(void)state;
	config = h_server_config("rsa");
	CHECK_CONFIG(config, tls_config_add_keypair_file(config,
				 h_cert("a.test-chain.pem"), NULL));
	CHECK((ctx = tls_server()) != NULL);
	CHECK_INT(tls_configure(ctx, config), -1);
	check_error(ctx, MISMATCH);
	tls_free(ctx);
	tls_config_free(config);

	config = h_server_config("rsa");
	CHECK_CONFIG(config,
	    tls_config_add_keypair_file(config, h_cert("a.test-chain.pem"),
		h_cert("b.test.key")));
	CHECK((ctx = tls_server()) != NULL);
	CHECK_INT(tls_configure(ctx, config), -1);
	check_error(ctx, MISMATCH);
	tls_free(ctx);
	tls_config_free(config);
}

/* A hundred of them, which cost the application no descriptors. */
static void
many_pairs(void **state)
{
	struct tls_config *config;
	int fds, i;

	(void)state;
	config = h_server_config("rsa");
	fds = h_fds();
	for (i = 0; i < 100; i++)
		add(config, "a.test");
	add(config, "b.test");
	CHECK_INT(h_fds(), fds);
	works(config, "www.b.test", "b.test");
	works(config, "localhost", "rsa");
	tls_config_free(config);
}

/* Another configuration for a server that runs. */

static void
open_on(struct h_pair *p, struct tls *server)
{
	struct tls_config *client = h_client_config();

	h_pair_join(p, client, server, "localhost");
	tls_config_free(client);
}

static void
shake(struct h_pair *p, const char *want)
{
	char subject[128];

	CHECK_PAIR(p);
	snprintf(subject, sizeof(subject), "/C=XX/O=libtls-proxy tests/CN=%s",
	    want);
	CHECK_STR(tls_peer_cert_subject(p->client), subject);
	h_pair_echo(p);
}

static void
serves(struct tls *server, const char *want)
{
	struct h_pair p;

	open_on(&p, server);
	shake(&p, want);
	h_pair_free(&p);
}

static void
hot_replacement(void **state)
{
	static const char *const names[] = { "rsa", "ecdsa", "ed25519" };
	struct h_pair old[8], between;
	struct tls_config *config;
	struct tls *server;
	size_t i;
	int fds;

	(void)state;
	config = h_server_config("rsa");
	server = h_server(config);
	tls_config_free(config);
	serves(server, "rsa");
	fds = h_fds();
	for (i = 0; i < NSETS(old); i++) {
		/* One that is accepted, and not served yet. */
		open_on(&between, server);
		config = h_server_config(names[(i + 1) % 3]);
		CHECK_TLS(server, tls_configure(server, config));
		tls_config_free(config);
		shake(&between, names[i % 3]);
		h_pair_free(&between);
		open_on(&old[i], server);
		shake(&old[i], names[(i + 1) % 3]);
	}
	/* All that began under another configuration goes on. */
	for (i = 0; i < NSETS(old); i++)
		h_pair_echo(&old[i]);
	tls_free(server);
	for (i = 0; i < NSETS(old); i++) {
		h_pair_echo(&old[i]);
		CHECK_TLS(old[i].client, h_close(old[i].client, old[i].cfd));
		h_pair_free(&old[i]);
	}
	CHECK(h_fds() <= fds);
}

/* The same object, changed: nothing happens before tls_configure. */
static void
changed_config(void **state)
{
	struct tls_config *config;
	struct tls *server, *other;

	(void)state;
	config = h_server_config("rsa");
	server = h_server(config);
	CHECK_CONFIG(config,
	    tls_config_set_keypair_file(config, h_cert("ecdsa-chain.pem"),
		h_cert("ecdsa.key")));
	serves(server, "rsa");
	CHECK_TLS(server, tls_configure(server, config));
	serves(server, "ecdsa");
	add(config, "ed25519"); /* it has the name */
	serves(server, "ecdsa");
	CHECK_TLS(server, tls_configure(server, config));
	serves(server, "ed25519");
	/* What was configured needs its keys no more. */
	tls_config_clear_keys(config);
	serves(server, "ed25519");
	/* Another would. */
	CHECK((other = tls_server()) != NULL);
	CHECK_INT(tls_configure(other, config), -1);
	check_error(other, MISMATCH);
	tls_free(other);
	tls_config_free(config);
	serves(server, "ed25519");
	tls_free(server);
}

/* The server goes on as it was. */
static void
refused_replacement(void **state)
{
	static const struct {
		const char *name, *cert, *key, *want;
	} cases[] = {
		{ "mismatch", "ecdsa-chain.pem", "rsa.key", MISMATCH },
		{ "garbage", "ecdsa-chain.pem", "garbage.key",
		    "failed to read private key" },
		{ "encrypted", "rsa-chain.pem", "encrypted.key",
		    "failed to read private key" },
		{ "no key", "ecdsa-chain.pem", NULL, MISMATCH },
	};
	struct tls_config *config;
	struct tls *server;
	struct h_pair p;
	size_t i;

	(void)state;
	PROXY_ONLY(); /* libtls is left without a configuration. */
	config = h_server_config("rsa");
	server = h_server(config);
	tls_config_free(config);
	open_on(&p, server);
	shake(&p, "rsa");
	for (i = 0; i < NSETS(cases); i++) {
		h_case = cases[i].name;
		CHECK((config = tls_config_new()) != NULL);
		CHECK_CONFIG(config,
		    tls_config_set_cert_file(config, h_cert(cases[i].cert)));
		if (cases[i].key != NULL)
			CHECK_CONFIG(config, tls_config_set_key_file(config,
						 h_cert(cases[i].key)));
		CHECK_INT(tls_configure(server, config), -1);
		CHECK_STR(tls_error(server), cases[i].want);
		tls_config_free(config);
		serves(server, "rsa");
		h_pair_echo(&p);
	}
	h_case = NULL;
	h_pair_free(&p);
	tls_free(server);
}

#define WITH_DIR(test)                                                         \
	cmocka_unit_test_setup_teardown(test, make_dir, remove_dir)

static const struct CMUnitTest tests[] = {
	WITH_DIR(encrypted_keys),
	WITH_DIR(passwords),
	cmocka_unit_test(no_keys),
	WITH_DIR(several_blocks),
	cmocka_unit_test(halves),
	cmocka_unit_test(in_memory),
	WITH_DIR(bad_certificates),
	cmocka_unit_test(too_long),
	WITH_DIR(kinds),
	cmocka_unit_test(several_pairs),
	cmocka_unit_test(pair_without_key),
	cmocka_unit_test(many_pairs),
	cmocka_unit_test(hot_replacement),
	cmocka_unit_test(changed_config),
	cmocka_unit_test(refused_replacement),
};

static const struct h_peer peers[] = { { NULL, NULL } };

H_MAIN(tests, peers)
