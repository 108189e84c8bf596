/* SPDX-License-Identifier: ISC */
/*
 * What two ends agree on: versions, cipher suites, groups, protocols. The
 * groups are no fact that libtls tells, so they are read from the wire.
 */

#include <sys/socket.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

#define V12  TLS_PROTOCOL_TLSv1_2
#define V13  TLS_PROTOCOL_TLSv1_3
#define BOTH (V12 | V13)

/* In TLS 1.3 crypto/tls chooses: AES where the machine has it. */
static const char *
suite13(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("pclmul")
		   ? "TLS_AES_128_GCM_SHA256"
		   : "TLS_CHACHA20_POLY1305_SHA256";
#else
	return NULL;
#endif
}

static int
strength_of(const char *cipher)
{
	return strstr(cipher, "DES") != NULL	    ? 112
	       : strstr(cipher, "128") != NULL	    ? 128
	       : strstr(cipher, "RC4") != NULL	    ? 128
	       : strstr(cipher, "256") != NULL	    ? 256
	       : strstr(cipher, "CHACHA20") != NULL ? 256
						    : -1;
}

/* Suites. */

#define SUITE13 "any of TLS 1.3"

static const struct {
	const char *client, *server; /* NULL: what libtls has by default */
	uint32_t client_versions, server_versions;
	int prefer_client;
	const char *key;
	const char *want;	 /* a suite, or NULL */
	const char *want_client; /* what follows the last colon */
	const char *want_server;
} suites[] = {
	{ NULL, NULL, BOTH, BOTH, 0, "rsa", SUITE13, NULL, NULL },
	{ NULL, NULL, BOTH, BOTH, 0, "ecdsa", SUITE13, NULL, NULL },
	{ NULL, NULL, V12, BOTH, 0, "rsa", "ECDHE-RSA-AES256-GCM-SHA384", NULL,
	    NULL },
	{ NULL, NULL, V12, BOTH, 0, "ecdsa", "ECDHE-ECDSA-AES256-GCM-SHA384",
	    NULL, NULL },
	{ NULL, NULL, V12, BOTH, 0, "ed25519", "ECDHE-ECDSA-AES256-GCM-SHA384",
	    NULL, NULL },
	{ "secure", "secure", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES256-GCM-SHA384", NULL, NULL },
	{ "compat", "compat", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES256-GCM-SHA384", NULL, NULL },
	{ "legacy", "legacy", V12, BOTH, 0, "ecdsa",
	    "ECDHE-ECDSA-AES256-GCM-SHA384", NULL, NULL },
	{ "all", "insecure", V12, BOTH, 0, "rsa", "ECDHE-RSA-AES256-GCM-SHA384",
	    NULL, NULL },

	/* The server's order counts. */
	{ NULL, "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384", V12,
	    BOTH, 0, "rsa", "ECDHE-RSA-AES128-GCM-SHA256", NULL, NULL },
	{ NULL, "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256", V12,
	    BOTH, 0, "rsa", "ECDHE-RSA-AES256-GCM-SHA384", NULL, NULL },
	{ NULL, "CHACHA20:AESGCM", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-CHACHA20-POLY1305", NULL, NULL },
	{ NULL, "CHACHA20:AESGCM", V12, BOTH, 0, "ecdsa",
	    "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, NULL },
	{ NULL, "ECDHE+AES128:ECDHE+AES256", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES128-GCM-SHA256", NULL, NULL },
	{ NULL, "ECDHE+AES128:ECDHE+AES256:@STRENGTH", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES256-GCM-SHA384", NULL, NULL },
	{ NULL, "AESGCM:+AES256", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES128-GCM-SHA256", NULL, NULL },
	{ NULL, "AESGCM:-AES256", V12, BOTH, 0, "ecdsa",
	    "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, NULL },
	{ NULL, "AESGCM:!AES256:AES256", V12, BOTH, 0, "ecdsa",
	    "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, NULL },
	{ NULL, "HIGH !aNULL", V12, BOTH, 0, "ecdsa",
	    "ECDHE-ECDSA-AES256-GCM-SHA384", NULL, NULL },
	/* It has to fit the key. */
	{ NULL, "aECDSA:aRSA", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES256-GCM-SHA384", NULL, NULL },
	{ "all", "aRSA+AES128+SHA256:aECDSA+AES128+SHA256", V12, BOTH, 0,
	    "ecdsa", "ECDHE-ECDSA-AES128-SHA256", NULL, NULL },

	/* The client's selection. */
	{ "ECDHE-RSA-CHACHA20-POLY1305", NULL, V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-CHACHA20-POLY1305", NULL, NULL },
	{ "AES128", NULL, V12, BOTH, 0, "ecdsa",
	    "ECDHE-ECDSA-AES128-GCM-SHA256", NULL, NULL },
	{ "CHACHA20:AES128", "AES128:CHACHA20", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES128-GCM-SHA256", NULL, NULL },

	/* What is not the best, by request. */
	{ "all", "ECDHE-RSA-AES256-SHA", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES256-SHA", NULL, NULL },
	{ "all", "AES128+SHA:!AESGCM", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES128-SHA", NULL, NULL },
	{ "ECDHE-RSA-AES128-SHA256", "all", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES128-SHA256", NULL, NULL },
	{ "all", "HIGH:!AESGCM:!CHACHA20", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES256-SHA", NULL, NULL },
	{ "all", "HIGH:!AESGCM:!CHACHA20", V12, BOTH, 0, "ecdsa",
	    "ECDHE-ECDSA-AES256-SHA", NULL, NULL },
	{ "all", "3DES", V12, BOTH, 0, "rsa", "ECDHE-RSA-DES-CBC3-SHA", NULL,
	    NULL },
	{ "RC4", "all", V12, BOTH, 0, "rsa", "ECDHE-RSA-RC4-SHA", NULL, NULL },
	{ "RC4", "all", V12, BOTH, 0, "ecdsa", "ECDHE-ECDSA-RC4-SHA", NULL,
	    NULL },

	/* Our client offers in crypto/tls's order, whatever its string. */
	{ NULL, NULL, V12, BOTH, 1, "rsa", "ECDHE-RSA-AES128-GCM-SHA256", NULL,
	    NULL },
	{ "CHACHA20", "AES256:CHACHA20", V12, BOTH, 1, "ecdsa",
	    "ECDHE-ECDSA-CHACHA20-POLY1305", NULL, NULL },

	/* A string decides about versions, too. */
	{ NULL, "TLSv1.3", BOTH, BOTH, 0, "rsa", SUITE13, NULL, NULL },
	{ NULL, "TLSv1.2", BOTH, BOTH, 0, "rsa", SUITE13, NULL, NULL },
	{ NULL, "TLSv1.2:!TLSv1.3", BOTH, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES256-GCM-SHA384", NULL, NULL },
	{ "TLSv1.2:!TLSv1.3", NULL, BOTH, BOTH, 0, "ecdsa",
	    "ECDHE-ECDSA-AES256-GCM-SHA384", NULL, NULL },
	{ NULL, "ECDHE-RSA-AES128-GCM-SHA256", BOTH, BOTH, 0, "rsa", SUITE13,
	    NULL, NULL },
	/* crypto/tls knows all suites of TLS 1.3, or none. */
	{ "TLS_AES_256_GCM_SHA384", NULL, BOTH, BOTH, 0, "rsa", SUITE13, NULL,
	    NULL },
	{ NULL, "TLS_CHACHA20_POLY1305_SHA256", BOTH, BOTH, 0, "rsa", SUITE13,
	    NULL, NULL },
	{ NULL, "TLS_AES_256_GCM_SHA384:AES128", V12, BOTH, 0, "rsa",
	    "ECDHE-RSA-AES128-GCM-SHA256", NULL, NULL },

	/* Nothing in common. */
	{ "CHACHA20", "AESGCM", V12, BOTH, 0, "rsa", NULL,
	    "sslv3 alert handshake failure", "no shared cipher" },
	{ "aECDSA", NULL, V12, BOTH, 0, "rsa", NULL,
	    "sslv3 alert handshake failure", "no shared cipher" },
	{ NULL, "aECDSA", V12, BOTH, 0, "rsa", NULL,
	    "sslv3 alert handshake failure", "no shared cipher" },
	{ NULL, "aRSA", V12, V12, 0, "ecdsa", NULL,
	    "sslv3 alert handshake failure", "no shared cipher" },
	/* The keeper signs and never decrypts. */
	{ "all", "kRSA", V12, V12, 0, "rsa", NULL,
	    "sslv3 alert handshake failure", "no shared cipher" },
	{ "all", "AES256-GCM-SHA384", V12, V12, 0, "rsa", NULL,
	    "sslv3 alert handshake failure", "no shared cipher" },
	{ "all", "DHE", V12, V12, 0, "rsa", NULL,
	    "sslv3 alert handshake failure", "no shared cipher" },
	/* Such a server has only TLS 1.3 to offer, or only TLS 1.2. */
	{ "all", "kRSA", V12, BOTH, 0, "rsa", NULL,
	    "tlsv1 alert protocol version", "wrong version number" },
	{ "all", "kRSA", BOTH, BOTH, 0, "rsa", SUITE13, NULL, NULL },
	{ NULL, "TLSv1.3", V12, BOTH, 0, "rsa", NULL,
	    "tlsv1 alert protocol version", "wrong version number" },
	{ NULL, "TLSv1.2:!TLSv1.3", V13, BOTH, 0, "rsa", NULL,
	    "tlsv1 alert protocol version", "wrong version number" },
	{ NULL, "TLSv1.3", BOTH, V12, 0, "rsa", NULL,
	    "sslv3 alert handshake failure", "no shared cipher" },
	{ NULL, NULL, V12, V13, 0, "rsa", NULL, "tlsv1 alert protocol version",
	    "wrong version number" },
	{ NULL, NULL, V13, V12, 0, "rsa", NULL, "tlsv1 alert protocol version",
	    "wrong version number" },
	/* And such a client nothing at all. */
	{ "TLSv1.3", NULL, V12, BOTH, 0, "rsa", NULL, "no ciphers available",
	    NULL },
	{ "TLSv1.2:!TLSv1.3", NULL, V13, BOTH, 0, "rsa", NULL,
	    "no ciphers available", NULL },
	{ "DHE", NULL, V12, BOTH, 0, "rsa", NULL, "no ciphers available",
	    NULL },
	{ NULL, NULL, 0, BOTH, 0, "rsa", NULL, "no protocols available", NULL },
	{ NULL, NULL, BOTH, 0, 0, "rsa", NULL, NULL, "no protocols available" },
};

/* What follows the last colon of an error is for programs to match. */
static void
check_tail(struct tls *ctx, const char *want)
{
	const char *error = tls_error(ctx), *tail;

	CHECK(error != NULL);
	CHECK_INT(strncmp(error, "handshake failed: ", 18), 0);
	CHECK((tail = strrchr(error, ':')) != NULL);
	tail++;
	CHECK_STR(*tail == ' ' ? tail + 1 : tail, want);
}

static void
cipher_suites(void **state)
{
	struct tls_config *client, *server;
	const char *want, *version;
	char name[256];
	struct h_pair p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(suites) / sizeof(suites[0]); i++) {
		snprintf(name, sizeof(name),
		    "#%zu %s, client %s %#x, server "
		    "%s %#x%s",
		    i, suites[i].key,
		    suites[i].client != NULL ? suites[i].client : "default",
		    suites[i].client_versions,
		    suites[i].server != NULL ? suites[i].server : "default",
		    suites[i].server_versions,
		    suites[i].prefer_client ? ", prefers client" : "");
		h_case = name;
		client = h_client_config();
		server = h_server_config(suites[i].key);
		CHECK_CONFIG(client, tls_config_set_protocols(client,
					 suites[i].client_versions));
		CHECK_CONFIG(server, tls_config_set_protocols(server,
					 suites[i].server_versions));
		if (suites[i].client != NULL)
			CHECK_CONFIG(client,
			    tls_config_set_ciphers(client, suites[i].client));
		if (suites[i].server != NULL)
			CHECK_CONFIG(server,
			    tls_config_set_ciphers(server, suites[i].server));
		if (suites[i].prefer_client)
			tls_config_prefer_ciphers_client(server);
		h_pair_start(&p, client, server, "localhost");
		h_pair_handshake(&p);
		if ((want = suites[i].want) != NULL) {
			CHECK_TLS(p.client, p.crv);
			CHECK_TLS(p.server, p.srv);
			version = "TLSv1.2";
			if (strcmp(want, SUITE13) == 0) {
				version = "TLSv1.3";
				if ((want = suite13()) == NULL)
					want = tls_conn_cipher(p.client);
			}
			CHECK_STR(tls_conn_version(p.client), version);
			CHECK_STR(tls_conn_version(p.server), version);
			CHECK_STR(tls_conn_cipher(p.client), want);
			CHECK_STR(tls_conn_cipher(p.server), want);
			CHECK_INT(tls_conn_cipher_strength(p.client),
			    strength_of(want));
			CHECK_INT(tls_conn_cipher_strength(p.server),
			    strength_of(want));
			h_pair_echo(&p);
		} else {
			CHECK_INT(p.crv, -1);
			CHECK_INT(p.srv, -1);
			if (suites[i].want_client != NULL)
				check_tail(p.client, suites[i].want_client);
			if (suites[i].want_server != NULL)
				check_tail(p.server, suites[i].want_server);
			CHECK_STR(tls_conn_cipher(p.client), NULL);
			CHECK_INT(tls_conn_cipher_strength(p.client), 0);
		}
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
	h_case = NULL;
}

/* Somebody else's client has an order, and the server can follow it. */
static void
preference(void **state)
{
	static const struct {
		const char *client, *server;
		int prefer_client; /* 2: and then the server again */
		const char *want;
	} cases[] = {
		{ "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
		    NULL, 0, "ECDHE-RSA-AES256-GCM-SHA384" },
		{ "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
		    NULL, 1, "ECDHE-RSA-AES128-GCM-SHA256" },
		{ "ECDHE-RSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-GCM-SHA384",
		    NULL, 2, "ECDHE-RSA-AES256-GCM-SHA384" },
		{ "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384",
		    "AESGCM:CHACHA20", 1, "ECDHE-RSA-CHACHA20-POLY1305" },
		{ "ECDHE-RSA-CHACHA20-POLY1305:ECDHE-RSA-AES256-GCM-SHA384",
		    "AESGCM:CHACHA20", 0, "ECDHE-RSA-AES256-GCM-SHA384" },
		{ "ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES256-GCM-SHA384", "compat",
		    1, "ECDHE-RSA-AES256-SHA" },
		/* The first of the client's may not be the server's. */
		{ "AES256-SHA:ECDHE-RSA-AES256-SHA:ECDHE-RSA-AES128-GCM-SHA256",
		    NULL, 1, "ECDHE-RSA-AES128-GCM-SHA256" },
		{ "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256",
		    NULL, 1, "ECDHE-RSA-AES128-GCM-SHA256" },
	};
	struct tls_config *config;
	struct tls *base, *conn;
	char port[8], command[512];
	char *argv[] = { "/bin/sh", "-c", command, NULL };
	int fd, listener;
	pid_t peer;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].client;
		config = h_server_config("rsa");
		if (cases[i].server != NULL)
			CHECK_CONFIG(config,
			    tls_config_set_ciphers(config, cases[i].server));
		if (cases[i].prefer_client > 0)
			tls_config_prefer_ciphers_client(config);
		if (cases[i].prefer_client > 1)
			tls_config_prefer_ciphers_server(config);
		base = h_server(config);
		listener = h_listen(port, sizeof(port));
		snprintf(command, sizeof(command),
		    "exec openssl s_client -connect 127.0.0.1:%s -tls1_2 "
		    "-cipher '%s:@SECLEVEL=0' -ign_eof </dev/null >/dev/null "
		    "2>&1",
		    port, cases[i].client);
		peer = h_exec(NULL, 0, argv, environ);
		fd = h_accept(listener);
		CHECK_TLS(base, tls_accept_socket(base, &conn, fd));
		CHECK_TLS(conn, h_handshake(conn, fd));
		CHECK_STR(tls_conn_cipher(conn), cases[i].want);
		CHECK_TLS(conn, h_close(conn, fd));
		tls_free(conn);
		close(fd);
		CHECK_INT(h_wait_exit(peer), 0);
		close(listener);
		tls_free(base);
		tls_config_free(config);
	}
	h_case = NULL;
}

static void
cipher_errors(void **state)
{
	static const struct {
		const char *string, *want;
	} cases[] = {
		{ "no-such-cipher", "no ciphers for 'no-such-cipher'" },
		{ "", "no ciphers for ''" },
		{ "HIGH:!ALL", "no ciphers for 'HIGH:!ALL'" },
		{ "secure ", "no ciphers for 'secure '" },
		{ "HIGH:@NONSENSE", "no ciphers for 'HIGH:@NONSENSE'" },
		{ "high", "no ciphers for 'high'" },
	};
	struct tls_config *client, *server;
	struct h_pair p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		/* What was set before still counts. */
		server = h_server_config("rsa");
		CHECK_CONFIG(server, tls_config_set_ciphers(server,
					 "ECDHE-RSA-AES128-GCM-SHA256"));
		CHECK_INT(tls_config_set_ciphers(server, cases[i].string), -1);
		CHECK_STR(tls_config_error(server), cases[i].want);
		if (i > 0) {
			tls_config_free(server);
			continue;
		}
		client = h_client_config();
		CHECK_CONFIG(client, tls_config_set_protocols(client, V12));
		h_pair_start(&p, client, server, "localhost");
		h_pair_handshake(&p);
		CHECK_STR(tls_conn_cipher(p.server),
		    "ECDHE-RSA-AES128-GCM-SHA256");
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
}

/* On the wire. */

struct tap {
	uint8_t data[2][65536]; /* from the client, from the server */
	size_t len[2];
};

static void
forward(struct tap *t, int dir, int from, int to)
{
	uint8_t *p = t->data[dir] + t->len[dir];
	ssize_t n;

	n = recv(from, p, sizeof(t->data[dir]) - t->len[dir], MSG_DONTWAIT);
	if (n > 0) {
		t->len[dir] += (size_t)n;
		h_send(to, p, (size_t)n);
	} else if (n == 0)
		shutdown(to, SHUT_WR);
}

/* Like h_pair_start and h_pair_handshake, with a listener. */
static void
tapped(struct h_pair *p, struct tap *t, struct tls_config *client,
    struct tls_config *server)
{
	int64_t deadline = h_now() + H_WAIT;
	int cfd, sfd, a, b;

	memset(t, 0, sizeof(*t));
	h_tcp_pair(&cfd, &a);
	h_tcp_pair(&b, &sfd);
	h_pair_start_on(p, client, server, "localhost", cfd, sfd);
	p->crv = p->srv = TLS_WANT_POLLIN;
	while (p->crv < -1 || p->srv < -1) {
		if (p->crv < -1 && (p->crv = tls_handshake(p->client)) == -1)
			shutdown(cfd, SHUT_WR);
		if (p->srv < -1 && (p->srv = tls_handshake(p->server)) == -1)
			shutdown(sfd, SHUT_WR);
		forward(t, 0, a, b);
		forward(t, 1, b, a);
		h_pause(deadline, "a handshake");
	}
	close(a);
	close(b);
}

static size_t
number(const uint8_t *p, size_t bytes)
{
	size_t n = 0;

	while (bytes-- > 0)
		n = n << 8 | *p++;
	return n;
}

/*
 * The i-th handshake message of a direction with this type, as far as they
 * are not encrypted; NULL if there is none.
 */
static const uint8_t *
message(const struct tap *t, int dir, int type, int i, size_t *len)
{
	static uint8_t buf[65536];
	const uint8_t *data = t->data[dir];
	size_t at, n, used = 0;

	for (at = 0; at + 5 <= t->len[dir] && data[at] != 23; at += 5 + n) {
		n = number(data + at + 3, 2);
		CHECK(at + 5 + n <= t->len[dir]);
		if (data[at] != 22)
			continue;
		memcpy(buf + used, data + at + 5, n);
		used += n;
	}
	for (at = 0; at + 4 <= used; at += 4 + n) {
		n = number(buf + at + 1, 3);
		if (at + 4 + n > used)
			return NULL;
		if (buf[at] == type && i-- == 0) {
			*len = n;
			return buf + at + 4;
		}
	}
	return NULL;
}

/* An extension, after what a hello has before them. */
static const uint8_t *
extension(const uint8_t *p, size_t len, size_t before, size_t type,
    size_t *size)
{
	size_t at, n;

	for (at = before + 2; at + 4 <= len; at += 4 + n) {
		n = number(p + at + 2, 2);
		CHECK(at + 4 + n <= len);
		if (number(p + at, 2) == type) {
			*size = n;
			return p + at + 4;
		}
	}
	return NULL;
}

#define EXT_GROUPS    10
#define EXT_KEY_SHARE 51

static const uint8_t *
client_extension(const struct tap *t, size_t type, size_t *size)
{
	const uint8_t *hello;
	size_t at, len;

	CHECK((hello = message(t, 0, 1, 0, &len)) != NULL);
	at = 2 + 32;
	at += 1 + hello[at];
	at += 2 + number(hello + at, 2);
	at += 1 + hello[at];
	return extension(hello, len, at, type, size);
}

static const uint8_t *
server_extension(const struct tap *t, int i, size_t type, size_t *size)
{
	const uint8_t *hello;
	size_t len;

	if ((hello = message(t, 1, 2, i, &len)) == NULL)
		return NULL;
	return extension(hello, len, (size_t)2 + 32 + 1 + hello[34] + 2 + 1,
	    type, size);
}

/* The group that the server chose. */
static size_t
group(const struct tap *t)
{
	const uint8_t *p;
	size_t len, group = 0;
	int i;

	/* The last one: a HelloRetryRequest may come first. */
	for (i = 0; (p = server_extension(t, i, EXT_KEY_SHARE, &len)) != NULL;
	     i++)
		group = number(p, 2);
	/* The ServerKeyExchange of TLS 1.2. */
	if (group == 0 && (p = message(t, 1, 12, 0, &len)) != NULL) {
		CHECK_INT(p[0], 3);
		group = number(p + 1, 2);
	}
	return group;
}

#define X25519 29
#define P256   23
#define P384   24
#define P521   25
#define MLKEM  4588

static void
curves(void **state)
{
	static const struct {
		const char *client, *server;
		size_t want12, want13; /* 0: no handshake */
	} cases[] = {
		{ NULL, NULL, X25519, MLKEM },
		{ "default", NULL, X25519, MLKEM },
		{ "X25519", NULL, X25519, X25519 },
		{ NULL, "X25519", X25519, X25519 },
		{ "P-256", NULL, P256, P256 },
		{ "prime256v1", NULL, P256, P256 },
		{ NULL, "prime256v1", P256, P256 },
		{ "P-384", NULL, P384, P384 },
		{ NULL, "secp384r1", P384, P384 },
		{ "P-256:P-384", "P-384", P384, P384 },
		{ "P-384, X25519", "X25519", X25519, X25519 },
		{ "X25519MLKEM768,P-256", NULL, P256, MLKEM },
		{ "X25519MLKEM768,P-256", "P-256", P256, P256 },
		{ "X25519MLKEM768", NULL, 0, MLKEM },
		{ NULL, "X25519MLKEM768", 0, MLKEM },
		/* By request only. */
		{ "P-521", "P-521", P521, P521 },
		{ "secp521r1", "P-521,P-256", P521, P521 },
		{ "P-521", NULL, 0, 0 },
		{ NULL, "P-521", 0, 0 },
		/* Nothing in common. */
		{ "P-256", "P-384", 0, 0 },
		{ "X25519", "P-256,P-384", 0, 0 },
		/* Groups that crypto/tls doesn't have. */
		{ "secp256k1,P-256", NULL, P256, P256 },
		{ NULL, "brainpoolP256r1:X25519", X25519, X25519 },
		{ "brainpoolP256r1", NULL, 0, 0 },
		{ NULL, "secp256k1", 0, 0 },
	};
	static struct tap t;
	struct tls_config *client, *server;
	char name[128];
	struct h_pair p;
	size_t i, want;
	int v;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (v = 0; v < 2; v++) {
			snprintf(name, sizeof(name), "client %s, server %s, %s",
			    cases[i].client != NULL ? cases[i].client : "unset",
			    cases[i].server != NULL ? cases[i].server : "unset",
			    v == 0 ? "TLSv1.2" : "TLSv1.3");
			h_case = name;
			client = h_client_config();
			server = h_server_config("rsa");
			CHECK_CONFIG(client, tls_config_set_protocols(client,
						 v == 0 ? V12 : V13));
			if (cases[i].client != NULL)
				CHECK_CONFIG(client,
				    tls_config_set_ecdhecurves(client,
					cases[i].client));
			if (cases[i].server != NULL)
				CHECK_CONFIG(server,
				    tls_config_set_ecdhecurves(server,
					cases[i].server));
			tapped(&p, &t, client, server);
			want = v == 0 ? cases[i].want12 : cases[i].want13;
			if (want != 0) {
				CHECK_TLS(p.client, p.crv);
				CHECK_TLS(p.server, p.srv);
				CHECK_INT(group(&t), want);
			} else {
				CHECK_INT(p.crv, -1);
				CHECK_INT(p.srv, -1);
				CHECK_HAS(tls_error(p.client),
				    "handshake failed: ");
				CHECK_HAS(tls_error(p.server),
				    "handshake failed: ");
			}
			h_pair_free(&p);
			tls_config_free(client);
			tls_config_free(server);
		}
	}
	h_case = NULL;
}

/*
 * What a client says by itself: the four groups of libtls, of which the first
 * is safe from quantum computers, with a share of it at once.
 */
static void
offered_groups(void **state)
{
	static const size_t want[] = { MLKEM, X25519, P256, P384 };
	static struct tap t;
	struct tls_config *client, *server;
	const uint8_t *p;
	struct h_pair pair;
	size_t i, len;

	(void)state;
	client = h_client_config();
	server = h_server_config("ecdsa");
	tapped(&pair, &t, client, server);
	CHECK_TLS(pair.client, pair.crv);
	CHECK((p = client_extension(&t, EXT_GROUPS, &len)) != NULL);
	CHECK_INT(len, 2 + sizeof(want) / sizeof(want[0]) * 2);
	for (i = 0; i < sizeof(want) / sizeof(want[0]); i++)
		CHECK_INT(number(p + 2 + 2 * i, 2), want[i]);
	CHECK((p = client_extension(&t, EXT_KEY_SHARE, &len)) != NULL);
	CHECK(len > 6);
	CHECK_INT(number(p + 2, 2), MLKEM);
	CHECK_INT(number(p + 4, 2), 1184 + 32);
	CHECK_INT(group(&t), MLKEM);
	h_pair_free(&pair);
	tls_config_free(client);
	tls_config_free(server);
}

static void
ecdhecurve(void **state)
{
	static const struct {
		const char *curve;
		int want_rv;
		size_t want;
	} cases[] = {
		{ NULL, 0, MLKEM },
		{ "none", 0, MLKEM },
		{ "auto", 0, MLKEM },
		{ "AUTO", 0, MLKEM },
		{ "P-256", 0, P256 },
		{ "secp384r1", 0, P384 },
		/* Not a list, and the default again. */
		{ "P-256,P-384", -1, MLKEM },
		{ "P-256:P-384", -1, MLKEM },
		{ "p-256", -1, MLKEM },
	};
	static struct tap t;
	struct tls_config *client, *server;
	struct h_pair p;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].curve;
		client = h_client_config();
		server = h_server_config("ecdsa");
		CHECK_INT(tls_config_set_ecdhecurve(server, cases[i].curve),
		    cases[i].want_rv);
		tapped(&p, &t, client, server);
		CHECK_TLS(p.client, p.crv);
		CHECK_INT(group(&t), cases[i].want);
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
	h_case = NULL;
}

static void
curve_errors(void **state)
{
	static const struct {
		const char *curves, *want;
	} cases[] = {
		{ "secp256r1", "invalid ecdhe curve 'secp256r1'" },
		{ "x25519", "invalid ecdhe curve 'x25519'" },
		{ "p-256", "invalid ecdhe curve 'p-256'" },
		{ "P-256,", "invalid ecdhe curve ''" },
		{ "", "invalid ecdhe curve ''" },
		{ "P-256,no-such-curve",
		    "invalid ecdhe curve 'no-such-curve'" },
		{ "P-256 ", "invalid ecdhe curve 'P-256 '" },
	};
	static const char *const no_curves[] = { "SHA256", "P-256,SHA256",
		"RSA:X25519", "Ed25519" };
	static struct tap t;
	struct tls_config *config, *client;
	struct tls *ctx;
	struct h_pair p;
	size_t i;
	int a, b;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].curves;
		config = h_server_config("rsa");
		CHECK_CONFIG(config,
		    tls_config_set_ecdhecurves(config, "P-384"));
		CHECK_INT(tls_config_set_ecdhecurves(config, cases[i].curves),
		    -1);
		CHECK_STR(tls_config_error(config), cases[i].want);
		/* libtls has forgotten what was set before. */
		client = h_client_config();
		tapped(&p, &t, client, config);
		CHECK_TLS(p.client, p.crv);
		CHECK_INT(group(&t), MLKEM);
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(config);
	}

	/* Objects that are no curves: it shows when they are to be used. */
	h_tcp_pair(&a, &b);
	for (i = 0; i < sizeof(no_curves) / sizeof(no_curves[0]); i++) {
		h_case = no_curves[i];
		config = h_server_config("rsa");
		CHECK_CONFIG(config,
		    tls_config_set_ca_file(config, h_cert("root.pem")));
		CHECK_CONFIG(config,
		    tls_config_set_ecdhecurves(config, no_curves[i]));
		CHECK((ctx = tls_server()) != NULL);
		CHECK_INT(tls_configure(ctx, config), -1);
		CHECK_STR(tls_error(ctx), "failed to set ecdhe curves");
		tls_free(ctx);
		ctx = h_client(config);
		CHECK_INT(tls_connect_socket(ctx, a, "localhost"), -1);
		CHECK_STR(tls_error(ctx), "failed to set ecdhe curves");
		tls_free(ctx);
		tls_config_free(config);
	}
	h_case = NULL;
	close(a);
	close(b);
}

/* Groups with another implementation, by its command line's names. */
static void
openssl_groups(void **state)
{
	static const struct {
		const char *theirs, *ours;
		int want; /* whether there is a handshake */
	} cases[] = {
		{ "X25519", NULL, 1 },
		{ "P-256", NULL, 1 },
		{ "P-384", NULL, 1 },
		{ "P-521", NULL, 0 },
		{ "P-521", "P-521", 1 },
		{ "P-521:P-384", NULL, 1 },
		{ "X448:X25519", NULL, 1 },
		{ "X25519", "P-256", 0 },
	};
	static const char *const options[] = { "-tls1_2", "-tls1_3" };
	struct tls_config *config;
	struct tls *base, *conn;
	char name[64], port[8], command[512];
	char *argv[] = { "/bin/sh", "-c", command, NULL };
	int fd, listener, v;
	pid_t peer;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (v = 0; v < 2; v++) {
			snprintf(name, sizeof(name), "%s, ours %s, %s",
			    cases[i].theirs,
			    cases[i].ours != NULL ? cases[i].ours : "unset",
			    options[v]);
			h_case = name;
			config = h_server_config("rsa");
			if (cases[i].ours != NULL)
				CHECK_CONFIG(config,
				    tls_config_set_ecdhecurves(config,
					cases[i].ours));
			base = h_server(config);
			listener = h_listen(port, sizeof(port));
			snprintf(command, sizeof(command),
			    "exec openssl s_client -connect 127.0.0.1:%s %s "
			    "-groups '%s' -ign_eof </dev/null >/dev/null 2>&1",
			    port, options[v], cases[i].theirs);
			peer = h_exec(NULL, 0, argv, environ);
			fd = h_accept(listener);
			CHECK_TLS(base, tls_accept_socket(base, &conn, fd));
			CHECK_INT(h_handshake(conn, fd),
			    cases[i].want ? 0 : -1);
			h_close(conn, fd);
			tls_free(conn);
			close(fd);
			CHECK_INT(h_wait_exit(peer), cases[i].want ? 0 : 1);
			close(listener);
			tls_free(base);
			tls_config_free(config);
		}
	}
	h_case = NULL;
}

/* Protocols of the application's. */
static void
alpn(void **state)
{
	static const struct {
		const char *client, *server;
		const char *want; /* "" is a failure */
	} cases[] = {
		{ NULL, NULL, NULL },
		{ "h2", NULL, NULL },
		{ NULL, "h2", NULL },
		{ "h2,http/1.1", "http/1.1,h2", "http/1.1" },
		{ "http/1.1,h2", "h2,http/1.1", "h2" },
		{ "a,b,c", "c", "c" },
		{ "a,b,c", "d,b", "b" },
		{ "H2", "h2", "" },
		{ "h2", "http/1.1", "" },
		/* crypto/tls would go on without one. */
		{ "http/1.1", "h2", "" },
		{ "http/1.0,http/1.1", "h2", "" },
		{ "a", "b,c", "" },
	};
	struct tls_config *client, *server;
	char name[128];
	struct h_pair p;
	size_t i;
	int v;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (v = 0; v < 2; v++) {
			snprintf(name, sizeof(name), "client %s, server %s, %s",
			    cases[i].client != NULL ? cases[i].client : "none",
			    cases[i].server != NULL ? cases[i].server : "none",
			    v == 0 ? "TLSv1.2" : "TLSv1.3");
			h_case = name;
			client = h_client_config();
			server = h_server_config("ecdsa");
			CHECK_CONFIG(client, tls_config_set_protocols(client,
						 v == 0 ? V12 : V13));
			/* Next to a suite that the server picks itself. */
			CHECK_CONFIG(server,
			    tls_config_set_ciphers(server, "AES128"));
			if (cases[i].client != NULL)
				CHECK_CONFIG(client, tls_config_set_alpn(client,
							 cases[i].client));
			if (cases[i].server != NULL)
				CHECK_CONFIG(server, tls_config_set_alpn(server,
							 cases[i].server));
			h_pair_start(&p, client, server, "localhost");
			h_pair_handshake(&p);
			if (cases[i].want == NULL || *cases[i].want != '\0') {
				CHECK_TLS(p.client, p.crv);
				CHECK_TLS(p.server, p.srv);
				CHECK_STR(tls_conn_alpn_selected(p.client),
				    cases[i].want);
				CHECK_STR(tls_conn_alpn_selected(p.server),
				    cases[i].want);
				if (v == 0)
					CHECK_STR(tls_conn_cipher(p.server),
					    "ECDHE-ECDSA-AES128-GCM-SHA256");
			} else {
				CHECK_INT(p.crv, -1);
				CHECK_INT(p.srv, -1);
				check_tail(p.client,
				    "tlsv1 alert no application protocol");
				check_tail(p.server, "no application protocol");
			}
			h_pair_free(&p);
			tls_config_free(client);
			tls_config_free(server);
		}
	}
	h_case = NULL;
}

/* A handshake with the server; what both say about the protocol. */
static void
alpn_is(struct tls *server, const char *want)
{
	struct tls_config *client = h_client_config();
	struct tls *cctx, *sctx;
	int cfd, sfd, crv, srv;

	CHECK_CONFIG(client, tls_config_set_alpn(client, "h2,http/1.1"));
	h_tcp_pair(&cfd, &sfd);
	h_nonblock(cfd, 1);
	h_nonblock(sfd, 1);
	cctx = h_client(client);
	CHECK_TLS(cctx, tls_connect_socket(cctx, cfd, "localhost"));
	CHECK_TLS(server, tls_accept_socket(server, &sctx, sfd));
	do {
		crv = tls_handshake(cctx);
		srv = tls_handshake(sctx);
	} while (crv < -1 && srv < -1);
	while (crv < -1)
		crv = tls_handshake(cctx);
	while (srv < -1)
		srv = tls_handshake(sctx);
	if (want != NULL && *want == '\0') {
		CHECK_INT(srv, -1);
	} else {
		CHECK_TLS(cctx, crv);
		CHECK_TLS(sctx, srv);
		CHECK_STR(tls_conn_alpn_selected(cctx), want);
		CHECK_STR(tls_conn_alpn_selected(sctx), want);
	}
	tls_free(cctx);
	tls_free(sctx);
	close(cfd);
	close(sfd);
	tls_config_free(client);
}

/* A server that runs, and whose configuration changes. */
static void
live_alpn(void **state)
{
	struct tls_config *config = h_server_config("ecdsa");
	struct tls *server;

	(void)state;
	CHECK_CONFIG(config, tls_config_set_alpn(config, "h2"));
	server = h_server(config);
	alpn_is(server, "h2");
	CHECK_CONFIG(config, tls_config_set_alpn(config, "http/1.1"));
	alpn_is(server, "http/1.1");
	CHECK_CONFIG(config, tls_config_set_alpn(config, "other"));
	if (h_proxy) /* LibreTLS goes on without one */
		alpn_is(server, "");
	/* An error takes away what there was. */
	CHECK_INT(tls_config_set_alpn(config, "h2,,http/1.1"), -1);
	alpn_is(server, NULL);
	CHECK_CONFIG(config, tls_config_set_alpn(config, "h2"));
	alpn_is(server, "h2");
	tls_free(server);
	tls_config_free(config);

	/* Who had none has none, until it is configured again. */
	config = h_server_config("ecdsa");
	server = h_server(config);
	CHECK_CONFIG(config, tls_config_set_alpn(config, "h2"));
	alpn_is(server, NULL);
	CHECK_TLS(server, tls_configure(server, config));
	alpn_is(server, "h2");
	tls_free(server);
	tls_config_free(config);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(cipher_suites),
	cmocka_unit_test(preference),
	cmocka_unit_test(cipher_errors),
	cmocka_unit_test(curves),
	cmocka_unit_test(offered_groups),
	cmocka_unit_test(ecdhecurve),
	cmocka_unit_test(curve_errors),
	cmocka_unit_test(openssl_groups),
	cmocka_unit_test(alpn),
	cmocka_unit_test(live_alpn),
};

static const struct h_peer peers[] = { { NULL, NULL } };

H_MAIN(tests, peers)
