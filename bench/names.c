/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * usage: bench-names COUNT CERTS DIRECTORY
 *
 * Makes DIRECTORY/N.pem and DIRECTORY/N.key for the names from 0.test on: each
 * has an ECDSA key of its own, and a chain that ends with what tests/mkcerts
 * left in CERTS. For thousands openssl(1) would take minutes.
 */

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#define HOUR 3600

static X509 *issuer;
static EVP_PKEY *issuer_key;

static _Noreturn void
fail(const char *what)
{
	const char *why = ERR_reason_error_string(ERR_peek_last_error());

	fprintf(stderr, "bench-names: %s: %s\n", what,
	    why != NULL ? why : "failed");
	exit(1);
}

static FILE *
open_file(const char *directory, const char *name, const char *mode)
{
	char path[1024];
	FILE *f = NULL;
	int fd, flags;

	flags = mode[0] == 'r' ? O_RDONLY : O_WRONLY | O_CREAT | O_TRUNC;
	(void)snprintf(path, sizeof(path), "%s/%s", directory, name);
	if ((fd = open(path, flags | O_CLOEXEC, 0600)) == -1 ||
	    (f = fdopen(fd, mode)) == NULL)
		fail(path);
	return f;
}

static void
close_file(FILE *f)
{
	if (fclose(f) == EOF)
		fail("cannot write");
}

static void
load_issuer(const char *certs)
{
	FILE *f;

	f = open_file(certs, "inter.pem", "r");
	issuer = PEM_read_X509(f, NULL, NULL, NULL);
	close_file(f);
	f = open_file(certs, "inter.key", "r");
	issuer_key = PEM_read_PrivateKey(f, NULL, NULL, NULL);
	close_file(f);
	if (issuer == NULL || issuer_key == NULL)
		fail(certs);
}

static void
set_names(X509 *cert, int n)
{
	char text[32], san[40];
	X509_EXTENSION *ext;
	X509_NAME *name;

	(void)snprintf(text, sizeof(text), "%d.test", n);
	(void)snprintf(san, sizeof(san), "DNS:%s", text);
	name = X509_get_subject_name(cert);
	ext = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, san);
	if (!X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
		(unsigned char *)text, -1, -1, 0) ||
	    ext == NULL || !X509_add_ext(cert, ext, -1))
		fail(text);
	X509_EXTENSION_free(ext);
}

static void
make(int n, const char *directory)
{
	char name[32];
	EVP_PKEY *key;
	X509 *cert;
	FILE *f;

	key = EVP_EC_gen("P-256");
	cert = X509_new();
	if (key == NULL || cert == NULL || !X509_set_version(cert, 2) ||
	    !ASN1_INTEGER_set(X509_get_serialNumber(cert), n + 1) ||
	    !X509_set_issuer_name(cert, X509_get_subject_name(issuer)) ||
	    X509_gmtime_adj(X509_getm_notBefore(cert), -HOUR) == NULL ||
	    X509_gmtime_adj(X509_getm_notAfter(cert), 24 * HOUR) == NULL ||
	    !X509_set_pubkey(cert, key))
		fail("certificate");
	set_names(cert, n);
	if (!X509_sign(cert, issuer_key, EVP_sha256()))
		fail("signature");
	(void)snprintf(name, sizeof(name), "%d.pem", n);
	f = open_file(directory, name, "w");
	if (!PEM_write_X509(f, cert) || !PEM_write_X509(f, issuer))
		fail(name);
	close_file(f);
	(void)snprintf(name, sizeof(name), "%d.key", n);
	f = open_file(directory, name, "w");
	if (!PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL))
		fail(name);
	close_file(f);
	X509_free(cert);
	EVP_PKEY_free(key);
}

int
main(int argc, char **argv)
{
	int count, n;

	if (argc != 4) {
		fprintf(stderr, "usage: bench-names COUNT CERTS DIRECTORY\n");
		return 2;
	}
	count = atoi(argv[1]);
	load_issuer(argv[2]);
	for (n = 0; n < count; n++)
		make(n, argv[3]);
	X509_free(issuer);
	EVP_PKEY_free(issuer_key);
	return 0;
}
