/* SPDX-License-Identifier: ISC */
/*
 * What needs no peer: configurations, protocol strings, files, and the calls
 * that the state of a context forbids.
 */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

static void
defaults(void **state)
{
	struct tls_config *config;
	const char *path;

	(void)state;
	CHECK_INT(tls_init(), 0);
	CHECK_INT(tls_init(), 0);
	CHECK((path = tls_default_ca_cert_file()) != NULL);
	CHECK_INT(path[0], '/');
	CHECK((config = tls_config_new()) != NULL);
	CHECK_STR(tls_config_error(config), NULL);
	tls_config_free(config);
	tls_config_free(NULL);
	tls_free(NULL);
	tls_unload_file(NULL, 0);
}

static void
parse_protocols(void **state)
{
	static const struct {
		const char *string;
		int want_rv;
		uint32_t want; /* of the bits of TLS 1.2 and 1.3 */
	} cases[] = {
		{ NULL, 0, TLS_PROTOCOLS_DEFAULT },
		{ "default", 0, TLS_PROTOCOLS_DEFAULT },
		{ "secure", 0, TLS_PROTOCOLS_DEFAULT },
		{ "all", 0, TLS_PROTOCOLS_DEFAULT },
		{ "legacy", 0, TLS_PROTOCOLS_DEFAULT },
		{ "tlsv1", 0, TLS_PROTOCOLS_DEFAULT },
		{ "tlsv1.2", 0, TLS_PROTOCOL_TLSv1_2 },
		{ "tlsv1.3", 0, TLS_PROTOCOL_TLSv1_3 },
		{ "TLSv1.3", 0, TLS_PROTOCOL_TLSv1_3 },
		{ "tlsv1.2,tlsv1.3", 0, TLS_PROTOCOLS_DEFAULT },
		{ "tlsv1.2:tlsv1.3", 0, TLS_PROTOCOLS_DEFAULT },
		{ "tlsv1.2, tlsv1.3", 0, TLS_PROTOCOLS_DEFAULT },
		{ "\ttlsv1.2", 0, TLS_PROTOCOL_TLSv1_2 },
		{ "all,!tlsv1.2", 0, TLS_PROTOCOL_TLSv1_3 },
		{ "!tlsv1.2", 0, TLS_PROTOCOL_TLSv1_3 },
		{ "!tlsv1.3", 0, TLS_PROTOCOL_TLSv1_2 },
		{ "tlsv1.3,!tlsv1.3", 0, 0 },
		{ "all:!all", 0, 0 },
		{ "tlsv1.0", 0, 0 },
		{ "tlsv1.1", 0, 0 },
		{ "tlsv1.2 ", -1, 0 },
		{ "tlsv1.4", -1, 0 },
		{ "tlsv1.2,", -1, 0 },
		{ ",", -1, 0 },
		{ "", -1, 0 },
		{ "!", -1, 0 },
		{ "nonsense", -1, 0 },
		{ "tlsv1.2,nonsense", -1, 0 },
	};
	const uint32_t untouched = 0xdeadbeef;
	uint32_t protocols;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].string;
		protocols = untouched;
		CHECK_INT(
		    tls_config_parse_protocols(&protocols, cases[i].string),
		    cases[i].want_rv);
		if (cases[i].want_rv == 0)
			CHECK_INT(protocols & TLS_PROTOCOLS_DEFAULT,
			    cases[i].want);
		else
			CHECK_INT(protocols, untouched);
	}
	h_case = NULL;
}

/* Any bits are taken: programs compiled with other headers pass more. */
static void
set_protocols(void **state)
{
	static const uint32_t values[] = { 0, TLS_PROTOCOLS_DEFAULT,
		TLS_PROTOCOL_TLSv1_2, TLS_PROTOCOL_TLSv1_3, 0x1e, 0xffffffff };
	struct tls_config *config;
	size_t i;

	(void)state;
	CHECK((config = tls_config_new()) != NULL);
	for (i = 0; i < sizeof(values) / sizeof(values[0]); i++)
		CHECK_CONFIG(config,
		    tls_config_set_protocols(config, values[i]));
	tls_config_free(config);
}

static int
set_keypair_cert(struct tls_config *config, const char *file)
{
	return tls_config_set_keypair_file(config, file, h_cert("rsa.key"));
}

static int
set_keypair_key(struct tls_config *config, const char *file)
{
	return tls_config_set_keypair_file(config, h_cert("rsa-chain.pem"),
	    file);
}

static int
add_keypair_cert(struct tls_config *config, const char *file)
{
	return tls_config_add_keypair_file(config, file, h_cert("rsa.key"));
}

static int
add_keypair_key(struct tls_config *config, const char *file)
{
	return tls_config_add_keypair_file(config, h_cert("rsa-chain.pem"),
	    file);
}

static const struct {
	const char *name;
	int (*set)(struct tls_config *, const char *);
	const char *kind; /* in error messages */
	const char *good;
	int want_empty; /* of an empty file */
} setters[] = {
	{ "set_ca_file", tls_config_set_ca_file, "CA", "root.pem", 0 },
	{ "set_cert_file", tls_config_set_cert_file, "certificate",
	    "rsa-chain.pem", -1 },
	{ "set_key_file", tls_config_set_key_file, "key", "rsa.key", 0 },
	{ "set_keypair_file cert", set_keypair_cert, "certificate",
	    "rsa-chain.pem", -1 },
	{ "set_keypair_file key", set_keypair_key, "key", "rsa.key", 0 },
	{ "add_keypair_file cert", add_keypair_cert, "certificate",
	    "rsa-chain.pem", -1 },
	{ "add_keypair_file key", add_keypair_key, "key", "rsa.key", 0 },
	{ "set_crl_file", tls_config_set_crl_file, "CRL", "crl-none.pem", 0 },
	{ "set_ocsp_staple_file", tls_config_set_ocsp_staple_file, "ocsp",
	    "garbage.pem", 0 },
};

static void
files(void **state)
{
	struct tls_config *config;
	char want[1024];
	size_t i;
	int fds = 0, round;

	(void)state;
	/* The first round may start what is kept. */
	for (round = 0; round < 2; round++) {
		if (round == 1)
			fds = h_fds();
		for (i = 0; i < sizeof(setters) / sizeof(setters[0]); i++) {
			h_case = setters[i].name;
			CHECK((config = tls_config_new()) != NULL);
			CHECK_CONFIG(config,
			    setters[i].set(config, h_cert(setters[i].good)));
			CHECK_STR(tls_config_error(config), NULL);

			CHECK_INT(setters[i].set(config, "/no/such/file"), -1);
			snprintf(want, sizeof(want),
			    "failed to open %s file "
			    "'/no/such/file': No such file or directory",
			    setters[i].kind);
			CHECK_STR(tls_config_error(config), want);

			CHECK_INT(setters[i].set(config, h_cert("")), -1);
			snprintf(want, sizeof(want),
			    "failed to read %s file "
			    "'%s': Is a directory",
			    setters[i].kind, h_cert(""));
			CHECK_STR(tls_config_error(config), want);

			CHECK_INT(setters[i].set(config, h_cert("empty.pem")),
			    setters[i].want_empty);
			/* And the old error, or another one, is still there. */
			CHECK(tls_config_error(config) != NULL);

			/* A failure is no end. */
			CHECK_CONFIG(config,
			    setters[i].set(config, h_cert(setters[i].good)));
			tls_config_free(config);
		}
	}
	h_case = NULL;
	CHECK_INT(h_fds(), fds);
}

static void
unreadable_file(void **state)
{
	char path[] = "/tmp/test_config.XXXXXX";
	struct tls_config *config;
	int fd;

	(void)state;
	if (geteuid() == 0)
		skip(); /* who may read anything */
	CHECK((fd = mkostemp(path, O_CLOEXEC)) != -1);
	CHECK_INT(fchmod(fd, 0), 0);
	CHECK((config = tls_config_new()) != NULL);
	CHECK_INT(tls_config_set_key_file(config, path), -1);
	CHECK_HAS(tls_config_error(config), "Permission denied");
	tls_config_free(config);
	close(fd);
	unlink(path);
}

static void
refuse(struct tls_config *config, int rv)
{
	CHECK_INT(rv, -1);
	CHECK_HAS(tls_config_error(config), "failed to load certificate");
}

/* A certificate is looked at when it is set; see test_keys for the texts. */
static void
garbage_certificates(void **state)
{
	static const char *const names[] = { "garbage.pem", "garbage-der.pem",
		"rsa.key" };
	struct tls_config *config;
	uint8_t *mem;
	size_t i, len;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		h_case = names[i];
		CHECK((config = tls_config_new()) != NULL);
		refuse(config,
		    tls_config_set_cert_file(config, h_cert(names[i])));
		tls_config_free(config);

		mem = h_load(h_cert(names[i]), &len);
		CHECK((config = tls_config_new()) != NULL);
		refuse(config, tls_config_set_cert_mem(config, mem, len));
		tls_config_free(config);
		free(mem);
	}
	h_case = NULL;
}

static void
memory(void **state)
{
	struct tls_config *config;
	uint8_t *ca, *cert, *key;
	size_t ca_len, cert_len, key_len;

	(void)state;
	ca = h_load(h_cert("root.pem"), &ca_len);
	cert = h_load(h_cert("rsa-chain.pem"), &cert_len);
	key = h_load(h_cert("rsa.key"), &key_len);
	CHECK((config = tls_config_new()) != NULL);
	CHECK_CONFIG(config, tls_config_set_ca_mem(config, ca, ca_len));
	CHECK_CONFIG(config, tls_config_set_cert_mem(config, cert, cert_len));
	CHECK_CONFIG(config, tls_config_set_key_mem(config, key, key_len));
	CHECK_CONFIG(config,
	    tls_config_set_keypair_mem(config, cert, cert_len, key, key_len));
	CHECK_CONFIG(config,
	    tls_config_add_keypair_mem(config, cert, cert_len, key, key_len));
	/* What was given is copied, and can be taken away again. */
	memset(ca, 0, ca_len);
	memset(cert, 0, cert_len);
	memset(key, 0, key_len);
	CHECK_CONFIG(config, tls_config_set_ca_mem(config, NULL, 0));
	CHECK_CONFIG(config, tls_config_set_cert_mem(config, NULL, 0));
	CHECK_CONFIG(config, tls_config_set_key_mem(config, NULL, 0));
	tls_config_clear_keys(config);
	CHECK_STR(tls_config_error(config), NULL);
	tls_config_free(config);
	free(ca);
	free(cert);
	free(key);
}

static void
alpn(void **state)
{
	char name[300], list[70000];
	struct tls_config *config;
	size_t i;

	(void)state;
	memset(name, 'a', sizeof(name));
	name[256] = '\0';
	for (i = 0; i + 2 < sizeof(list); i += 2)
		memcpy(list + i, "a,", 2);
	list[i - 1] = '\0';
	{
		const struct {
			const char *list;
			const char *want;
		} cases[] = {
			{ "h2", NULL },
			{ "h2,http/1.1", NULL },
			{ name + 1, NULL },
			{ "h2,,http/1.1", "alpn protocol with zero length" },
			{ "h2,", "alpn protocol with zero length" },
			{ ",", "alpn protocol with zero length" },
			{ name, "alpn protocol too long" },
			{ list, "alpn too large" },
		};

		for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
			CHECK((config = tls_config_new()) != NULL);
			CHECK_INT(tls_config_set_alpn(config, cases[i].list),
			    cases[i].want == NULL ? 0 : -1);
			CHECK_STR(tls_config_error(config), cases[i].want);
			tls_config_free(config);
		}
	}
}

static void
switches(void **state)
{
	struct tls_config *config;

	(void)state;
	CHECK((config = tls_config_new()) != NULL);
	tls_config_insecure_noverifycert(config);
	tls_config_insecure_noverifyname(config);
	tls_config_insecure_noverifytime(config);
	tls_config_verify(config);
	tls_config_verify_client(config);
	tls_config_verify_client_optional(config);
	CHECK_CONFIG(config, tls_config_set_verify_depth(config, 0));
	CHECK_CONFIG(config, tls_config_set_verify_depth(config, 3));
	CHECK_CONFIG(config, tls_config_set_verify_depth(config, -1));
	CHECK_STR(tls_config_error(config), NULL);
	tls_config_free(config);
}

/* What is taken and what is not, without a peer. */
static void
taken_or_refused(void **state)
{
	struct tls_config *config;

	(void)state;
#define SET(call, want)                                                        \
	do {                                                                   \
		const char *error = (want);                                    \
                                                                               \
		h_case = #call;                                                \
		CHECK((config = tls_config_new()) != NULL);                    \
		CHECK_INT((call), error == NULL ? 0 : -1);                     \
		CHECK_STR(tls_config_error(config), error);                    \
		tls_config_free(config);                                       \
	} while (0)
	SET(tls_config_set_ciphers(config, NULL), NULL);
	SET(tls_config_set_ciphers(config, "secure"), NULL);
	SET(tls_config_set_ciphers(config, "SECURE"), NULL);
	SET(tls_config_set_ciphers(config, "default"), NULL);
	SET(tls_config_set_ciphers(config, "compat"), NULL);
	SET(tls_config_set_ciphers(config, "legacy"), NULL);
	SET(tls_config_set_ciphers(config, "insecure"), NULL);
	SET(tls_config_set_ciphers(config, "all"), NULL);
	SET(tls_config_set_ciphers(config, "no such cipher"),
	    "no ciphers for 'no such cipher'");
	SET(tls_config_set_ecdhecurves(config, NULL), NULL);
	SET(tls_config_set_ecdhecurves(config, "P-256"), NULL);
	SET(tls_config_set_ecdhecurves(config, "X25519,P-384:P-256"), NULL);
	SET(tls_config_set_ecdhecurves(config, "P-1"),
	    "invalid ecdhe curve 'P-1'");
	SET(tls_config_set_ecdhecurve(config, NULL), NULL);
	SET(tls_config_set_ecdhecurve(config, "none"), NULL);
	SET(tls_config_set_ecdhecurve(config, "auto"), NULL);
	SET(tls_config_set_ecdhecurve(config, "P-256"), NULL);
	SET(tls_config_set_ecdhecurve(config, "P-256,P-384"),
	    "invalid ecdhe curve 'P-256,P-384'");
	SET(tls_config_set_dheparams(config, NULL), NULL);
	SET(tls_config_set_dheparams(config, "none"), NULL);
	SET(tls_config_set_dheparams(config, "auto"), NULL);
	SET(tls_config_set_dheparams(config, "AUTO"), NULL);
	SET(tls_config_set_dheparams(config, "legacy"), NULL);
	SET(tls_config_set_dheparams(config, "many"),
	    "invalid dhe param 'many'");
	SET(tls_config_set_dheparams(config, ""), "invalid dhe param ''");
	SET(tls_config_set_crl_file(config, h_cert("crl-none.pem")), NULL);
	SET(tls_config_set_crl_mem(config, NULL, 0), NULL);
	SET(tls_config_set_ca_path(config, "/etc/ssl/certs"), NULL);
	SET(tls_config_set_ca_path(config, "/no/such/directory"), NULL);
	SET(tls_config_set_ca_path(config, NULL), NULL);
	SET(tls_config_set_session_fd(config, -1), NULL);
	SET(tls_config_set_session_lifetime(config, 3600), NULL);
	SET(tls_config_set_session_lifetime(config, 3),
	    "session lifetime too small");
	SET(tls_config_set_session_id(config, (const unsigned char *)"id", 2),
	    NULL);
	SET(tls_config_set_ocsp_staple_file(config, h_cert("empty.pem")), NULL);
	SET(tls_config_set_ocsp_staple_mem(config, NULL, 0), NULL);
#undef SET
	h_case = NULL;
}

static void
load_file(void **state)
{
	char right[] = "secret", wrong[] = "guess";
	uint8_t *buf, *want;
	size_t len, want_len;

	(void)state;
	want = h_load(h_cert("rsa.key"), &want_len);
	len = 0;
	CHECK((buf = tls_load_file(h_cert("rsa.key"), &len, NULL)) != NULL);
	CHECK_INT(len, want_len);
	CHECK_MEM(buf, want, len);
	tls_unload_file(buf, len);
	free(want);

	errno = 0;
	CHECK(tls_load_file("/no/such/file", &len, NULL) == NULL);
	CHECK_INT(errno, ENOENT);
	errno = 0;
	CHECK(tls_load_file(h_cert("encrypted.key"), &len, wrong) == NULL);
	if (h_proxy)
		CHECK_INT(errno, EINVAL);

	buf = tls_load_file(h_cert("encrypted.key"), &len, right);
	CHECK(buf != NULL);
	CHECK(
	    len > 28 && memcmp(buf, "-----BEGIN PRIVATE KEY-----\n", 28) == 0);
	tls_unload_file(buf, len);
}

static void
use_config(void)
{
	tls_config_free(h_client_config());
}

static void
use_file(void)
{
	uint8_t *buf;
	size_t len;

	CHECK((buf = tls_load_file(h_cert("root.pem"), &len, NULL)) != NULL);
	tls_unload_file(buf, len);
}

/* What was allocated is given back. */
static void
freed(void **state)
{
	static const struct {
		const char *name;
		void (*use)(void);
	} cases[] = {
		{ "configuration", use_config },
		{ "file", use_file },
	};
	size_t before = 0, after, i;
	int n, round;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].name;
		/* malloc itself keeps more now and then; a leak does always. */
		for (n = 0, after = 1; n < 5 && after != before; n++) {
			before = mallinfo2().uordblks;
			for (round = 0; round < 100; round++)
				cases[i].use();
			after = mallinfo2().uordblks;
		}
		CHECK_INT(after, before);
	}
	h_case = NULL;
}

static void
null_arguments(void **state)
{
	struct tls_config *config;
	uint32_t protocols;

	(void)state;
	/* LibreSSL and LibreTLS crash. */
	PROXY_ONLY();
	CHECK((config = tls_config_new()) != NULL);
	CHECK_INT(tls_config_set_ca_file(config, NULL), -1);
	CHECK(tls_config_error(config) != NULL);
	CHECK_INT(tls_config_set_cert_file(config, NULL), -1);
	CHECK_INT(tls_config_set_key_file(config, NULL), -1);
	CHECK_INT(tls_config_set_keypair_file(config, NULL, NULL), -1);
	CHECK_INT(tls_config_set_alpn(config, NULL), -1);
	CHECK_INT(tls_config_parse_protocols(&protocols, NULL), 0);

	tls_config_free(config);
}

static void
wrong_state(void **state)
{
	struct tls *client, *server, *conn;
	struct tls_config *config;
	char c;

	(void)state;
	config = h_client_config();
	CHECK((client = tls_client()) != NULL);
	CHECK_STR(tls_error(client), NULL);
	CHECK_TLS(client, tls_configure(client, config));
	tls_config_free(config);

	CHECK_INT(tls_handshake(client), -1);
	CHECK_STR(tls_error(client), "context not connected");
	CHECK_INT(tls_read(client, &c, 1), -1);
	CHECK_STR(tls_error(client), "context not connected");
	CHECK_INT(tls_write(client, "x", 1), -1);
	CHECK_STR(tls_error(client), "context not connected");
	conn = client;
	CHECK_INT(tls_accept_socket(client, &conn, 0), -1);
	CHECK_STR(tls_error(client), "not a server context");
	CHECK(conn == NULL);
	CHECK_INT(tls_connect_fds(client, -1, 0, "localhost"), -1);
	CHECK_STR(tls_error(client), "invalid file descriptors");
	CHECK_INT(tls_connect(client, NULL, "443"), -1);
	CHECK_STR(tls_error(client), "host not specified");
	CHECK_INT(tls_connect(client, "localhost", NULL), -1);
	CHECK_STR(tls_error(client), "no port provided");
	CHECK_INT(tls_connect(client, "a:b:c", NULL), -1);
	CHECK_STR(tls_error(client), "no port provided");

	CHECK(tls_conn_version(client) == NULL);
	CHECK(tls_conn_cipher(client) == NULL);
	CHECK_INT(tls_conn_cipher_strength(client), 0);
	CHECK(tls_conn_alpn_selected(client) == NULL);
	CHECK_INT(tls_conn_session_resumed(client), 0);
	CHECK_INT(tls_peer_cert_provided(client), 0);
	CHECK_INT(tls_peer_cert_contains_name(client, "localhost"), 0);
	CHECK(tls_peer_cert_hash(client) == NULL);
	CHECK(tls_peer_cert_subject(client) == NULL);
	CHECK(tls_peer_cert_issuer(client) == NULL);
	CHECK_INT(tls_peer_cert_notbefore(client), -1);
	CHECK_INT(tls_peer_cert_notafter(client), -1);

	CHECK((server = tls_server()) != NULL);
	CHECK_INT(tls_handshake(server), -1);
	CHECK_STR(tls_error(server), "invalid operation for context");
	CHECK_INT(tls_close(server), -1);
	CHECK_STR(tls_error(server), "invalid operation for context");
	CHECK_INT(tls_connect_socket(server, 0, "localhost"), -1);
	CHECK_STR(tls_error(server), "not a client context");
	CHECK_INT(tls_connect(server, "localhost", "443"), -1);
	CHECK_STR(tls_error(server), "not a client context");
	conn = client;
	CHECK_INT(tls_accept_socket(server, &conn, 0), -1);
	CHECK(conn == NULL);
	CHECK(tls_error(server) != NULL); /* not configured */
	tls_free(server);

	tls_reset(client);
	CHECK_STR(tls_error(client), NULL);
	tls_free(client);
}

static void
connect_errors(void **state)
{
	struct tls *client;
	char port[8];
	int fd, fds;

	(void)state;
	/* A port that nobody listens on: it was ours until now. */
	fd = h_listen(port, sizeof(port));
	close(fd);
	CHECK((client = tls_client()) != NULL);
	fds = h_fds();
	CHECK_INT(tls_connect(client, "127.0.0.1", port), -1);
	CHECK_STR(tls_error(client), "connect: Connection refused");
	CHECK_INT(tls_connect(client, "127.0.0.1", "no-such-service"), -1);
	CHECK(tls_error(client) != NULL);
	CHECK_INT(h_fds(), fds);
	tls_free(client);
}

/* A configuration is only a structure until goproxy is needed for it. */
static void
no_helper(void **state)
{
	struct tls_config *config;
	struct tls *client, *server;

	(void)state;
	CHECK_INT(tls_init(), 0);
	config = h_client_config();
	CHECK_CONFIG(config, tls_config_set_ciphers(config, "compat"));
	CHECK_CONFIG(config, tls_config_set_alpn(config, "h2"));
	CHECK_CONFIG(config,
	    tls_config_set_protocols(config, TLS_PROTOCOL_TLSv1_3));
	CHECK((client = tls_client()) != NULL);
	CHECK((server = tls_server()) != NULL);
	tls_free(client);
	tls_free(server);
	tls_config_free(config);
	CHECK_INT(h_helpers(), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(no_helper), /* while nothing was started */
	cmocka_unit_test(defaults),
	cmocka_unit_test(parse_protocols),
	cmocka_unit_test(set_protocols),
	cmocka_unit_test(files),
	cmocka_unit_test(unreadable_file),
	cmocka_unit_test(garbage_certificates),
	cmocka_unit_test(memory),
	cmocka_unit_test(alpn),
	cmocka_unit_test(switches),
	cmocka_unit_test(taken_or_refused),
	cmocka_unit_test(load_file),
	cmocka_unit_test(freed),
	cmocka_unit_test(null_arguments),
	cmocka_unit_test(wrong_state),
	cmocka_unit_test(connect_errors),
};

static const struct h_peer peers[] = { { NULL, NULL } };

H_MAIN(tests, peers)
