/* SPDX-License-Identifier: ISC */
/* Handshakes: who trusts whom, which names, and the facts afterwards. */

#include <sys/socket.h>

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "harness.h"

static const struct {
	uint32_t bits;
	const char *name;
} versions[] = {
	{ TLS_PROTOCOL_TLSv1_2, "TLSv1.2" },
	{ TLS_PROTOCOL_TLSv1_3, "TLSv1.3" },
};

static void
check_peer(struct tls *ctx, const char *name)
{
	const char *(*common_name)(struct tls *);
	char fact[256], file[64];
	uint8_t *want;
	const uint8_t *chain;
	size_t len, want_len;
	void *symbol;

	CHECK_INT(tls_peer_cert_provided(ctx), 1);
	snprintf(fact, sizeof(fact), "SHA256:");
	h_fact(name, 0, fact + strlen(fact), sizeof(fact) - strlen(fact));
	CHECK_STR(tls_peer_cert_hash(ctx), fact);
	h_fact(name, 1, fact, sizeof(fact));
	CHECK_INT(tls_peer_cert_notbefore(ctx), atoll(fact));
	h_fact(name, 2, fact, sizeof(fact));
	CHECK_INT(tls_peer_cert_notafter(ctx), atoll(fact));
	h_fact(name, 3, fact, sizeof(fact));
	CHECK_STR(tls_peer_cert_issuer(ctx), fact);
	h_fact(name, 4, fact, sizeof(fact));
	CHECK_STR(tls_peer_cert_subject(ctx), fact);

	snprintf(file, sizeof(file), "%s-chain.pem", name);
	want = h_load(h_cert(file), &want_len);
	len = 0;
	CHECK((chain = tls_peer_cert_chain_pem(ctx, &len)) != NULL);
	CHECK_INT(len, want_len);
	CHECK_MEM(chain, want, len);
	free(want);

	/* Newer than the libtls of Debian. */
	symbol = dlsym(RTLD_DEFAULT, "tls_peer_cert_common_name");
	if (symbol != NULL) {
		memcpy(&common_name, &symbol, sizeof(symbol));
		CHECK_STR(common_name(ctx), name);
	}
}

static void
check_no_peer(struct tls *ctx)
{
	size_t len = 4711;

	CHECK_INT(tls_peer_cert_provided(ctx), 0);
	CHECK_INT(tls_peer_cert_contains_name(ctx, "localhost"), 0);
	CHECK_STR(tls_peer_cert_hash(ctx), NULL);
	CHECK_STR(tls_peer_cert_issuer(ctx), NULL);
	CHECK_STR(tls_peer_cert_subject(ctx), NULL);
	CHECK_INT(tls_peer_cert_notbefore(ctx), -1);
	CHECK_INT(tls_peer_cert_notafter(ctx), -1);
	CHECK(tls_peer_cert_chain_pem(ctx, &len) == NULL);
	CHECK_INT(len, 4711);
}

static void
facts(void **state)
{
	static const struct {
		const char *key;
		int names[2]; /* whether the version uses this */
	} keys[] = { { "rsa", { 1, 1 } }, { "ecdsa", { 1, 1 } },
		{ "ed25519", { 1, 1 } } };
	struct tls_config *client, *server;
	const char *cipher, *want;
	char name[64];
	struct h_pair p;
	size_t i, v;
	int strength;

	(void)state;
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		for (v = 0; v < 2; v++) {
			snprintf(name, sizeof(name), "%s %s", keys[i].key,
			    versions[v].name);
			h_case = name;
			client = h_client_config();
			server = h_server_config(keys[i].key);
			tls_config_set_protocols(client, versions[v].bits);
			/* Configurations may go right away. */
			h_pair_start(&p, client, server, "localhost");
			tls_config_free(client);
			tls_config_free(server);
			CHECK_STR(tls_conn_version(p.client), NULL);
			CHECK_STR(tls_conn_cipher(p.client), NULL);
			check_no_peer(p.client);

			CHECK_PAIR(&p);

			CHECK_STR(tls_conn_version(p.client), versions[v].name);
			CHECK_STR(tls_conn_version(p.server), versions[v].name);
			CHECK((cipher = tls_conn_cipher(p.client)) != NULL);
			CHECK_STR(tls_conn_cipher(p.server), cipher);
			want = v == 1 ? "TLS_"
			       : strcmp(keys[i].key, "rsa") == 0
				   ? "ECDHE-RSA-"
				   : "ECDHE-ECDSA-";
			CHECK_INT(strncmp(cipher, want, strlen(want)), 0);
			strength = tls_conn_cipher_strength(p.client);
			CHECK_INT(strength, strstr(cipher, "128") ? 128 : 256);
			CHECK_INT(tls_conn_cipher_strength(p.server), strength);
			CHECK_STR(tls_conn_servername(p.client), "localhost");
			CHECK_STR(tls_conn_servername(p.server), "localhost");
			CHECK_STR(tls_conn_alpn_selected(p.client), NULL);
			CHECK_STR(tls_conn_alpn_selected(p.server), NULL);
			CHECK_INT(tls_conn_session_resumed(p.client), 0);
			CHECK_INT(tls_conn_session_resumed(p.server), 0);
			if (h_proxy) {
				CHECK_STR(tls_error(p.client), NULL);
				CHECK_STR(tls_error(p.server), NULL);
			}
			check_peer(p.client, keys[i].key);
			check_no_peer(p.server);
			CHECK_INT(
			    tls_peer_cert_contains_name(p.client, "localhost"),
			    1);
			CHECK_INT(
			    tls_peer_cert_contains_name(p.client, "LOCALHOST"),
			    1);
			CHECK_INT(
			    tls_peer_cert_contains_name(p.client, "127.0.0.1"),
			    1);
			CHECK_INT(tls_peer_cert_contains_name(p.client, "::1"),
			    1);
			CHECK_INT(
			    tls_peer_cert_contains_name(p.client, "127.0.0.2"),
			    0);
			CHECK_INT(tls_peer_cert_contains_name(p.client,
				      "localhost.test"),
			    0);
			CHECK_INT(tls_peer_cert_contains_name(p.client, ""), 0);
			/* There is a subjectAltName: the CN is no name. */
			CHECK_INT(
			    tls_peer_cert_contains_name(p.client, keys[i].key),
			    0);

			/* Once is enough. */
			CHECK_INT(tls_handshake(p.client), -1);
			CHECK_STR(tls_error(p.client),
			    "handshake already completed");
			h_pair_echo(&p);
			h_pair_free(&p);
		}
	}
	h_case = NULL;
}

static void
version_choice(void **state)
{
	static const struct {
		const char *name;
		uint32_t client, server;
		const char *want;
	} cases[] = {
		{ "both both", TLS_PROTOCOLS_ALL, TLS_PROTOCOLS_ALL,
		    "TLSv1.3" },
		{ "1.2 both", TLS_PROTOCOL_TLSv1_2, TLS_PROTOCOLS_ALL,
		    "TLSv1.2" },
		{ "both 1.2", TLS_PROTOCOLS_ALL, TLS_PROTOCOL_TLSv1_2,
		    "TLSv1.2" },
		{ "1.3 both", TLS_PROTOCOL_TLSv1_3, TLS_PROTOCOLS_ALL,
		    "TLSv1.3" },
		{ "with the bits of 1.0 and 1.1", 0x1e, 0x1e, "TLSv1.3" },
		{ "1.2 1.3", TLS_PROTOCOL_TLSv1_2, TLS_PROTOCOL_TLSv1_3, NULL },
		{ "1.3 1.2", TLS_PROTOCOL_TLSv1_3, TLS_PROTOCOL_TLSv1_2, NULL },
		{ "none both", 0, TLS_PROTOCOLS_ALL, NULL },
	};
	struct tls_config *client, *server;
	struct h_pair p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* No protocols are all protocols for LibreTLS. */
		if (!h_proxy && cases[i].client == 0)
			continue;
		h_case = cases[i].name;
		client = h_client_config();
		server = h_server_config("ecdsa");
		tls_config_set_protocols(client, cases[i].client);
		tls_config_set_protocols(server, cases[i].server);
		h_pair_start(&p, client, server, "localhost");
		h_pair_handshake(&p);
		CHECK_INT(p.crv, cases[i].want != NULL ? 0 : -1);
		CHECK_INT(p.srv, cases[i].want != NULL ? 0 : -1);
		if (cases[i].want == NULL) {
			CHECK_HAS(tls_error(p.client), "handshake failed: ");
			CHECK_HAS(tls_error(p.server), "handshake failed: ");
		}
		CHECK_STR(tls_conn_version(p.client), cases[i].want);
		CHECK_STR(tls_conn_version(p.server), cases[i].want);
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
	h_case = NULL;
}

#define NOCERT (1 << 0)
#define NONAME (1 << 1)
#define NOTIME (1 << 2)
#define AGAIN  (1 << 3) /* verify after all */

static void
set_insecure(struct tls_config *config, int insecure)
{
	if (insecure & NOCERT)
		tls_config_insecure_noverifycert(config);
	if (insecure & NONAME)
		tls_config_insecure_noverifyname(config);
	if (insecure & NOTIME)
		tls_config_insecure_noverifytime(config);
	if (insecure & AGAIN)
		tls_config_verify(config);
}

static void
verification(void **state)
{
	static const struct {
		const char *name;
		const char *server;
		const char *cert; /* of the server, NULL for its chain */
		const char *servername;
		int insecure;
		const char *want; /* NULL for success */
	} cases[] = {
		{ "good", "ecdsa", NULL, "localhost", 0, NULL },
		{ "IPv4 address", "ecdsa", NULL, "127.0.0.1", 0, NULL },
		{ "IPv6 address", "ecdsa", NULL, "::1", 0, NULL },
		{ "trailing dot", "ecdsa", NULL, "localhost.", 0, NULL },
		{ "common name", "cn", NULL, "localhost", 0, NULL },
		{ "wildcard", "b.test", NULL, "www.b.test", 0, NULL },
		{ "no name, not verified", "ecdsa", NULL, NULL, NONAME, NULL },

		{ "wrong CA", "other", NULL, "localhost", 0,
		    "certificate verification failed" },
		{ "wrong CA, noname", "other", NULL, "localhost", NONAME,
		    "certificate verification failed" },
		{ "wrong CA, notime", "other", NULL, "localhost", NOTIME,
		    "certificate verification failed" },
		{ "wrong CA, nocert", "other", NULL, "localhost", NOCERT,
		    NULL },
		{ "wrong CA, verified again", "other", NULL, "localhost",
		    NOCERT | AGAIN, "certificate verification failed" },
		{ "self-signed", "selfsigned", "selfsigned.pem", "localhost", 0,
		    "certificate verification failed" },
		{ "self-signed, nocert", "selfsigned", "selfsigned.pem",
		    "localhost", NOCERT, NULL },
		{ "chain is missing", "ecdsa", "ecdsa.pem", "localhost", 0,
		    "certificate verification failed" },
		{ "chain is missing, nocert", "ecdsa", "ecdsa.pem", "localhost",
		    NOCERT, NULL },

		{ "expired", "expired", NULL, "localhost", 0, "expired" },
		{ "expired, noname", "expired", NULL, "localhost", NONAME,
		    "expired" },
		{ "expired, notime", "expired", NULL, "localhost", NOTIME,
		    NULL },
		{ "expired, nocert", "expired", NULL, "localhost", NOCERT,
		    NULL },
		{ "expired, verified again", "expired", NULL, "localhost",
		    NOTIME | AGAIN, "expired" },
		{ "not yet valid", "notyet", NULL, "localhost", 0,
		    "not yet valid" },
		{ "not yet valid, notime", "notyet", NULL, "localhost", NOTIME,
		    NULL },

		{ "wrong name", "wrongname", NULL, "localhost", 0,
		    "name `localhost' not present in server certificate" },
		{ "wrong name, nocert", "wrongname", NULL, "localhost", NOCERT,
		    "name `localhost' not present in server certificate" },
		{ "wrong name, notime", "wrongname", NULL, "localhost", NOTIME,
		    "name `localhost' not present in server certificate" },
		{ "wrong name, noname", "wrongname", NULL, "localhost", NONAME,
		    NULL },
		{ "wrong name, verified again", "wrongname", NULL, "localhost",
		    NONAME | AGAIN,
		    "name `localhost' not present in server certificate" },
		{ "wrong address", "ecdsa", NULL, "127.0.0.2", 0,
		    "name `127.0.0.2' not present in server certificate" },
		{ "wildcard, two labels", "b.test", NULL, "a.www.b.test", 0,
		    "name `a.www.b.test' not present in server certificate" },
		{ "wildcard, no label", "b.test", NULL, "b.test", 0,
		    "name `b.test' not present in server certificate" },
		{ "client certificate as a server's", "client", NULL,
		    "localhost", NONAME, "certificate verification failed" },
	};
	struct tls_config *client, *server;
	char name[128], text[512], key[64];
	struct h_pair p;
	size_t i, v;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (v = 0; v < 2; v++) {
			snprintf(name, sizeof(name), "%s, %s", cases[i].name,
			    versions[v].name);
			h_case = name;
			client = h_client_config();
			tls_config_set_protocols(client, versions[v].bits);
			set_insecure(client, cases[i].insecure);
			if (cases[i].cert != NULL) {
				CHECK((server = tls_config_new()) != NULL);
				snprintf(key, sizeof(key), "%s.key",
				    cases[i].server);
				CHECK_CONFIG(server,
				    tls_config_set_keypair_file(server,
					h_cert(cases[i].cert), h_cert(key)));
			} else
				server = h_server_config(cases[i].server);
			h_pair_start(&p, client, server, cases[i].servername);
			h_pair_handshake(&p);
			if (cases[i].want == NULL) {
				CHECK_TLS(p.client, p.crv);
				CHECK_TLS(p.server, p.srv);
				h_pair_echo(&p);
			} else {
				CHECK_INT(p.crv, -1);
				CHECK_HAS(tls_error(p.client), cases[i].want);
				check_no_peer(p.client);
				/* And it stays like that. */
				snprintf(text, sizeof(text), "%s",
				    tls_error(p.client));
				CHECK_INT(h_handshake(p.client, p.cfd), -1);
				if (h_proxy)
					CHECK_STR(tls_error(p.client), text);
			}
			h_pair_free(&p);
			tls_config_free(client);
			tls_config_free(server);
		}
	}
	h_case = NULL;
}

/* libtls has no default name: who wants names verified must give one. */
static void
no_servername(void **state)
{
	struct tls_config *config;
	struct tls *client;
	int a, b;

	(void)state;
	config = h_client_config();
	client = h_client(config);
	h_tcp_pair(&a, &b);
	CHECK_INT(tls_connect_socket(client, a, NULL), -1);
	CHECK_STR(tls_error(client), "server name not specified");
	tls_free(client);
	tls_config_free(config);
	close(a);
	close(b);
}

static void
verify_depth(void **state)
{
	static const struct {
		int depth;
		int want;
	} cases[] = { { 0, 0 }, { 1, -1 }, { 2, 0 }, { 6, 0 } };
	struct tls_config *client, *server;
	char name[32];
	struct h_pair p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* OpenSSL's depth doesn't count the root, and 0 is a limit. */
		if (!h_proxy && cases[i].depth < 2)
			continue;
		snprintf(name, sizeof(name), "depth %d", cases[i].depth);
		h_case = name;
		client = h_client_config();
		server = h_server_config("ecdsa");
		CHECK_CONFIG(client,
		    tls_config_set_verify_depth(client, cases[i].depth));
		h_pair_start(&p, client, server, "localhost");
		h_pair_handshake(&p);
		CHECK_INT(p.crv, cases[i].want);
		if (cases[i].want == -1)
			CHECK_HAS(tls_error(p.client),
			    "certificate chain too long");
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
	h_case = NULL;
}

/*
 * The depth of a server is what it allows its clients; by default there is
 * enough of it for root, intermediate and leaf.
 */
static void
client_certificates(void **state)
{
	static const struct {
		const char *name;
		int verify;	    /* 1 required, 2 optional */
		const char *client; /* certificate or NULL */
		int insecure;
		int want;
		int want_peer;
	} cases[] = {
		{ "not wanted", 0, "client", 0, 0, 0 },
		{ "required, there", 1, "client", 0, 0, 1 },
		{ "required, missing", 1, NULL, 0, -1, 0 },
		{ "required, unknown CA", 1, "other-client", 0, -1, 0 },
		{ "optional, there", 2, "client", 0, 0, 1 },
		{ "optional, missing", 2, NULL, 0, 0, 0 },
		{ "optional, unknown CA", 2, "other-client", 0, -1, 0 },
		{ "required, a server's", 1, "ecdsa", 0, -1, 0 },
	};
	struct tls_config *client, *server;
	char name[128], cert[64], key[64], c;
	struct h_pair p;
	size_t i, v;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (v = 0; v < 2; v++) {
			snprintf(name, sizeof(name), "%s, %s", cases[i].name,
			    versions[v].name);
			h_case = name;
			client = h_client_config();
			tls_config_set_protocols(client, versions[v].bits);
			if (cases[i].client != NULL) {
				snprintf(cert, sizeof(cert), "%s-chain.pem",
				    cases[i].client);
				snprintf(key, sizeof(key), "%s.key",
				    cases[i].client);
				CHECK_CONFIG(client,
				    tls_config_set_keypair_file(client,
					h_cert(cert), h_cert(key)));
			}
			server = h_server_config("rsa");
			CHECK_CONFIG(server,
			    tls_config_set_ca_file(server, h_cert("root.pem")));
			if (cases[i].verify == 1)
				tls_config_verify_client(server);
			else if (cases[i].verify == 2)
				tls_config_verify_client_optional(server);
			h_pair_start(&p, client, server, "localhost");
			h_pair_handshake(&p);
			if (cases[i].want == 0) {
				CHECK_TLS(p.client, p.crv);
				CHECK_TLS(p.server, p.srv);
				if (cases[i].want_peer)
					check_peer(p.server, cases[i].client);
				else
					check_no_peer(p.server);
				h_pair_echo(&p);
			} else {
				CHECK_INT(p.srv, -1);
				CHECK(tls_error(p.server) != NULL);
				/* TLS 1.3 tells the client only now. */
				if (v == 0)
					CHECK_INT(p.crv, -1);
				else {
					CHECK_TLS(p.client, p.crv);
					CHECK_INT(
					    h_read_some(p.client, p.cfd, &c, 1),
					    -1);
				}
				CHECK_HAS(tls_error(p.client), "alert");
			}
			h_pair_free(&p);
			tls_config_free(client);
			tls_config_free(server);
		}
	}
	h_case = NULL;
}

static void
alpn(void **state)
{
	static const struct {
		const char *client, *server;
		const char *want;
		int want_failure;
	} cases[] = {
		{ NULL, NULL, NULL, 0 },
		{ "h2", NULL, NULL, 0 },
		{ NULL, "h2", NULL, 0 },
		{ "h2", "h2", "h2", 0 },
		/* The server's order counts. */
		{ "http/1.1,h2", "h2,http/1.1", "h2", 0 },
		{ "http/1.1,h2", "http/1.1", "http/1.1", 0 },
		{ "h2", "http/1.1", NULL, 1 },
		{ "http/1.1", "h2", NULL, 1 },
	};
	struct tls_config *client, *server;
	struct h_pair p;
	char name[128];
	size_t i, v;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* LibreTLS goes on without a protocol. */
		if (!h_proxy && cases[i].want_failure)
			continue;
		for (v = 0; v < 2; v++) {
			snprintf(name, sizeof(name), "client %s, server %s, %s",
			    cases[i].client != NULL ? cases[i].client : "none",
			    cases[i].server != NULL ? cases[i].server : "none",
			    versions[v].name);
			h_case = name;
			client = h_client_config();
			server = h_server_config("ecdsa");
			tls_config_set_protocols(client, versions[v].bits);
			if (cases[i].client != NULL)
				CHECK_CONFIG(client, tls_config_set_alpn(client,
							 cases[i].client));
			if (cases[i].server != NULL)
				CHECK_CONFIG(server, tls_config_set_alpn(server,
							 cases[i].server));
			h_pair_start(&p, client, server, "localhost");
			h_pair_handshake(&p);
			CHECK_INT(p.crv, cases[i].want_failure ? -1 : 0);
			CHECK_INT(p.srv, cases[i].want_failure ? -1 : 0);
			if (cases[i].want_failure) {
				CHECK_HAS(tls_error(p.client),
				    "no application protocol");
				CHECK_HAS(tls_error(p.server),
				    "no application protocol");
			}
			CHECK_STR(tls_conn_alpn_selected(p.client),
			    cases[i].want);
			CHECK_STR(tls_conn_alpn_selected(p.server),
			    cases[i].want);
			h_pair_free(&p);
			tls_config_free(client);
			tls_config_free(server);
		}
	}
	h_case = NULL;
}

/* The first pair is for everybody that the others are not for. */
static void
server_names(void **state)
{
	static const struct {
		const char *name;
		const char *want_cert;
		const char *want_client, *want_server; /* tls_conn_servername */
	} cases[] = {
		{ "a.test", "a.test", "a.test", "a.test" },
		{ "A.Test", "a.test", "A.Test", NULL },
		{ "www.b.test", "b.test", "www.b.test", "www.b.test" },
		{ "x.www.b.test", "rsa", "x.www.b.test", "x.www.b.test" },
		{ "localhost", "rsa", "localhost", "localhost" },
		{ "a.test.", "a.test", "a.test", "a.test" },
		{ "127.0.0.1", "rsa", "127.0.0.1", NULL },
		{ "::1", "rsa", "::1", NULL },
		{ NULL, "rsa", NULL, NULL },
	};
	static const char *const more[] = { "a.test", "b.test" };
	struct tls_config *client, *server;
	char cert[64], key[64], subject[128];
	struct h_pair p;
	const char *got;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].name != NULL ? cases[i].name : "no name";
		client = h_client_config();
		tls_config_insecure_noverifyname(client);
		server = h_server_config("rsa");
		for (size_t j = 0; j < 2; j++) {
			snprintf(cert, sizeof(cert), "%s-chain.pem", more[j]);
			snprintf(key, sizeof(key), "%s.key", more[j]);
			CHECK_CONFIG(server, tls_config_add_keypair_file(server,
						 h_cert(cert), h_cert(key)));
		}
		h_pair_start(&p, client, server, cases[i].name);
		CHECK_PAIR(&p);
		snprintf(subject, sizeof(subject),
		    "/C=XX/O=libtls-proxy tests/CN=%s", cases[i].want_cert);
		CHECK_STR(tls_peer_cert_subject(p.client), subject);
		CHECK_STR(tls_conn_servername(p.client), cases[i].want_client);
		got = tls_conn_servername(p.server);
		/* The wire is case-preserving, or not. */
		if (cases[i].want_server == NULL && cases[i].name != NULL &&
		    got != NULL)
			CHECK_INT(strcasecmp(got, cases[i].name), 0);
		else
			CHECK_STR(got, cases[i].want_server);
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
	h_case = NULL;
}

/* Accepts once and echoes, with blocking descriptors, until the end. */
static int
echo_server(int argc, char **argv)
{
	struct tls_config *config;
	struct tls *base, *conn;
	char buf[4096];
	ssize_t n;
	int fd;

	(void)argc;
	config = h_server_config(argv[1]);
	base = h_server(config);
	tls_config_free(config);
	fd = h_accept(H_KEPT);
	CHECK_TLS(base, tls_accept_socket(base, &conn, fd));
	CHECK_TLS(conn, h_handshake(conn, fd));
	/* The base is not needed any more; LibreTLS does until now. */
	tls_free(base);
	while ((n = h_read_some(conn, fd, buf, sizeof(buf))) > 0)
		h_write(conn, fd, buf, (size_t)n);
	if (n == -1)
		FAIL("tls_read: %s", tls_error(conn));
	CHECK_TLS(conn, h_close(conn, fd));
	tls_free(conn);
	close(fd);
	return 0;
}

/* The context owns the socket of tls_connect, until tls_close. */
static void
connect_family(void **state)
{
	static const struct {
		const char *host;
		int with_port;
		const char *servername;
		const char *want;
	} cases[] = {
		{ "localhost", 1, NULL, "localhost" },
		{ "127.0.0.1", 1, NULL, "127.0.0.1" },
		{ "127.0.0.1:", 0, NULL, "127.0.0.1" },
		{ "127.0.0.1", 1, "localhost", "localhost" },
	};
	struct tls_config *config;
	char port[8], host[64], c;
	struct tls *client;
	int fd, fds = 0;
	pid_t peer;
	size_t i;

	(void)state;
	config = h_client_config();
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].host;
		fd = h_listen(port, sizeof(port));
		peer = h_start(&fd, 1, "echo_server", "ecdsa", (char *)NULL);
		close(fd);
		snprintf(host, sizeof(host), "%s%s", cases[i].host,
		    cases[i].with_port ? "" : port);
		client = h_client(config);
		if (i > 0)
			fds = h_fds();
		if (cases[i].servername == NULL)
			CHECK_TLS(client,
			    tls_connect(client, host,
				cases[i].with_port ? port : NULL));
		else
			CHECK_TLS(client, tls_connect_servername(client, host,
					      port, cases[i].servername));
		/* The socket blocks, and reading does the handshake. */
		h_write(client, -1, "x", 1);
		h_read(client, -1, &c, 1);
		CHECK_INT(c, 'x');
		CHECK_STR(tls_conn_servername(client), cases[i].want);
		CHECK_STR(tls_conn_version(client), "TLSv1.3");
		CHECK_TLS(client, tls_close(client));
		CHECK_TLS(client, tls_close(client));
		CHECK_INT(h_wait_exit(peer), 0);
		if (i > 0)
			CHECK_INT(h_fds(), fds);
		tls_free(client);
	}
	tls_config_free(config);
	h_case = NULL;
}

/* Two pipes, as UCSPI programs have them. */
/* A serial line, that is: goproxy takes no terminals, the library does. */
static void
terminal(void **state)
{
	struct h_pair p;
	struct tls_config *cconfig, *sconfig;
	struct termios raw;
	int master, slave;

	(void)state;
	CHECK((master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC)) != -1);
	CHECK_INT(unlockpt(master), 0);
	CHECK((slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC)) !=
	      -1);
	CHECK_INT(tcgetattr(slave, &raw), 0);
	cfmakeraw(&raw);
	CHECK_INT(tcsetattr(slave, TCSANOW, &raw), 0);
	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	h_pair_start_on(&p, cconfig, sconfig, "localhost", slave, master);
	CHECK_PAIR(&p);
	h_pair_echo(&p);
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
}

static void
pipes(void **state)
{
	struct tls_config *cconfig, *sconfig;
	struct tls *client, *base, *server = NULL;
	int up[2], down[2], crv = -2, srv = -2;
	int64_t deadline = h_now() + H_WAIT;
	char c;

	(void)state;
	CHECK_INT(pipe2(up, O_CLOEXEC | O_NONBLOCK), 0);
	CHECK_INT(pipe2(down, O_CLOEXEC | O_NONBLOCK), 0);
	cconfig = h_client_config();
	sconfig = h_server_config("rsa");
	client = h_client(cconfig);
	base = h_server(sconfig);
	CHECK_TLS(client, tls_connect_fds(client, down[0], up[1], "localhost"));
	CHECK_TLS(base, tls_accept_fds(base, &server, up[0], down[1]));
	CHECK(server != NULL);
	while (crv != 0 || srv != 0) {
		if (crv != 0)
			crv = tls_handshake(client);
		if (srv != 0)
			srv = tls_handshake(server);
		if (crv == -1 || srv == -1)
			FAIL("client %d (%s), server %d (%s)", crv,
			    tls_error(client), srv, tls_error(server));
		h_pause(deadline, "the handshake");
	}
	h_write(client, up[1], "x", 1);
	h_read(server, up[0], &c, 1);
	CHECK_INT(c, 'x');
	h_write(server, down[1], "y", 1);
	h_read(client, down[0], &c, 1);
	CHECK_INT(c, 'y');
	CHECK_TLS(client, h_close(client, down[0]));
	CHECK_INT(h_read_some(server, up[0], &c, 1), 0);
	h_write(server, down[1], "z", 1);
	h_read(client, down[0], &c, 1);
	CHECK_INT(c, 'z');
	CHECK_TLS(server, h_close(server, up[0]));
	CHECK_INT(h_read_some(client, down[0], &c, 1), 0);
	tls_free(client);
	tls_free(server);
	tls_free(base);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	close(up[0]);
	close(up[1]);
	close(down[0]);
	close(down[1]);
}

/*
 * Neither end needs tls_handshake, and a context can be used again after
 * tls_reset. tls_free leaves the descriptor open.
 */
static void
reset_and_again(void **state)
{
	struct tls_config *cconfig, *sconfig;
	struct tls *client, *base, *conn;
	struct sockaddr_storage ss;
	socklen_t len;
	int64_t deadline;
	ssize_t got, put;
	int round, a, b;
	char c;

	(void)state;
	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	client = h_client(cconfig);
	base = h_server(sconfig);
	for (round = 0; round < 3; round++) {
		h_tcp_pair(&a, &b);
		h_nonblock(a, 1);
		h_nonblock(b, 1);
		CHECK_TLS(client, tls_connect_socket(client, a, "localhost"));
		CHECK_TLS(base, tls_accept_socket(base, &conn, b));
		deadline = h_now() + H_WAIT;
		put = 0;
		while ((got = tls_read(conn, &c, 1)) != 1) {
			if (put != 1)
				put = tls_write(client, "x", 1);
			CHECK(got != -1 && put != -1);
			h_pause(deadline, "a byte");
		}
		CHECK_INT(c, 'x');
		tls_reset(client);
		CHECK_STR(tls_conn_version(client), NULL);
		CHECK_STR(tls_error(client), NULL);
		CHECK_TLS(client, tls_configure(client, cconfig));
		tls_free(conn);
		/* Still descriptors, whatever they are now. */
		len = sizeof(ss);
		CHECK_INT(getsockname(a, (struct sockaddr *)&ss, &len), 0);
		len = sizeof(ss);
		CHECK_INT(getsockname(b, (struct sockaddr *)&ss, &len), 0);
		close(a);
		close(b);
	}
	tls_free(client);
	tls_free(base);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
}

/* What the descriptor was stays: flags, and that a poll wakes up. */
static void
descriptor_flags(void **state)
{
	struct timeval tv = { 0, 50000 }, got;
	struct tls_config *cconfig, *sconfig;
	socklen_t len = sizeof(got);
	struct h_pair p;
	int a, b;
	char c;

	(void)state;
	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	h_tcp_pair(&a, &b);
	CHECK_INT(fcntl(a, F_SETFD, 0), 0);
	CHECK_INT(setsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)), 0);
	h_pair_start_on(&p, cconfig, sconfig, "localhost", a, b);
	CHECK_PAIR(&p);
	CHECK_INT(fcntl(a, F_GETFD), 0);
	CHECK_INT(fcntl(b, F_GETFD), FD_CLOEXEC);
	CHECK(fcntl(a, F_GETFL) & O_NONBLOCK);
	CHECK_INT(getsockopt(b, SOL_SOCKET, SO_RCVTIMEO, &got, &len), 0);
	CHECK_INT(got.tv_sec, 0);
	CHECK(got.tv_usec >= 50000 && got.tv_usec < 100000);

	/* A time-out is a want, as an interrupted call is. */
	h_nonblock(b, 0);
	errno = EXDEV;
	CHECK_INT(tls_read(p.server, &c, 1), TLS_WANT_POLLIN);
	CHECK_INT(errno, 0);
	h_pair_echo(&p);
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
}

/* What an end gets whose peer is silent. */
static void
wants(void **state)
{
	struct tls_config *cconfig, *sconfig;
	struct h_pair p = { 0 };
	char c;

	(void)state;
	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	h_tcp_pair(&p.cfd, &p.sfd);
	h_nonblock(p.cfd, 1);
	h_nonblock(p.sfd, 1);
	p.base = h_server(sconfig);
	CHECK_TLS(p.base, tls_accept_socket(p.base, &p.server, p.sfd));
	CHECK_INT(tls_handshake(p.server), TLS_WANT_POLLIN);
	CHECK_INT(tls_read(p.server, &c, 1), TLS_WANT_POLLIN);
	CHECK_INT(tls_write(p.server, "x", 1), TLS_WANT_POLLIN);
	CHECK_STR(tls_error(p.server), NULL);
	/* A call may start it, or it may be under way before. */
	p.client = h_client(cconfig);
	CHECK_TLS(p.client, tls_connect_socket(p.client, p.cfd, "localhost"));
	CHECK_PAIR(&p);
	CHECK_INT(tls_read(p.server, &c, 1), TLS_WANT_POLLIN);
	CHECK_INT(tls_write(p.server, "x", 0), 0);
	CHECK_INT(tls_read(p.server, &c, (size_t)INT32_MAX + 1), -1);
	CHECK_STR(tls_error(p.server), "buflen too long");
	CHECK_INT(tls_write(p.server, &c, (size_t)INT32_MAX + 1), -1);
	CHECK_STR(tls_error(p.server), "buflen too long");
	h_pair_echo(&p);
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(facts),
	cmocka_unit_test(version_choice),
	cmocka_unit_test(verification),
	cmocka_unit_test(no_servername),
	cmocka_unit_test(verify_depth),
	cmocka_unit_test(client_certificates),
	cmocka_unit_test(alpn),
	cmocka_unit_test(server_names),
	cmocka_unit_test(connect_family),
	cmocka_unit_test(pipes),
	cmocka_unit_test(terminal),
	cmocka_unit_test(reset_and_again),
	cmocka_unit_test(descriptor_flags),
	cmocka_unit_test(wants),
};

static const struct h_peer peers[] = { { "echo_server", echo_server } };

H_MAIN(tests, peers)
