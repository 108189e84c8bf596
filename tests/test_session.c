/* SPDX-License-Identifier: ISC */
/*
 * Sessions: what the setters refuse, who resumes what, and when not. Where
 * nothing else is said the server's ticket keys are the application's.
 */

#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tls_proxy.h>
#include <unistd.h>

#include "harness.h"

#define LIFETIME     3600
#define TICKET_KEY   48
#define LIFETIME_MIN 4

static const struct {
	uint32_t bits;
	const char *name;
} versions[] = {
	{ TLS_PROTOCOL_TLSv1_2, "TLSv1.2" },
	{ TLS_PROTOCOL_TLSv1_3, "TLSv1.3" },
};

#define NVERSIONS (sizeof(versions) / sizeof(versions[0]))

/* Session files. They have no name: only descriptors count. */

static int
session_file(void)
{
	char path[] = "/tmp/test_session.XXXXXX";
	int fd;

	if ((fd = mkostemp(path, O_CLOEXEC)) == -1)
		FAIL("mkostemp: %s", strerror(errno));
	unlink(path);
	return fd;
}

struct content {
	char data[32768];
	size_t len;
};

static void
session_read(int fd, struct content *c)
{
	ssize_t n;

	n = pread(fd, c->data, sizeof(c->data) - 1, 0);
	CHECK(n >= 0 && (size_t)n < sizeof(c->data) - 1);
	c->len = (size_t)n;
	c->data[n] = '\0';
}

static void
session_write(int fd, const void *data, size_t len)
{
	CHECK_INT(ftruncate(fd, 0), 0);
	CHECK_INT(pwrite(fd, data, len, 0), len);
}

/* One PEM block and nothing else, for the owner alone. */
static void
session_check(int fd)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----\n";
	struct content c;
	struct stat sb;

	session_read(fd, &c);
	CHECK(c.len > sizeof(begin) + sizeof(end));
	CHECK_MEM(c.data, begin, sizeof(begin) - 1);
	CHECK_MEM(c.data + c.len - (sizeof(end) - 1), end, sizeof(end) - 1);
	CHECK(strstr(c.data + 1, begin) == NULL);
	CHECK_INT(fstat(fd, &sb), 0);
	CHECK_INT(sb.st_mode & 07777, 0600);
}

/* Configurations and connections. */

static struct tls_config *
client_config(int session, uint32_t protocols)
{
	struct tls_config *config = h_client_config();

	CHECK_CONFIG(config, tls_config_set_protocols(config, protocols));
	CHECK_CONFIG(config, tls_config_set_session_fd(config, session));
	return config;
}

static void
add_key(struct tls_config *config, uint32_t revision)
{
	unsigned char key[TICKET_KEY];

	memset(key, (int)(revision & 0xff), sizeof(key));
	CHECK_CONFIG(config,
	    tls_config_add_ticket_key(config, revision, key, sizeof(key)));
}

static struct tls_config *
server_config(const char *name, const char *id, uint32_t revision)
{
	struct tls_config *config = h_server_config(name);

	CHECK_CONFIG(config, tls_config_set_session_lifetime(config, LIFETIME));
	if (id != NULL)
		CHECK_CONFIG(config,
		    tls_config_set_session_id(config, (const unsigned char *)id,
			strlen(id)));
	if (revision != 0)
		add_key(config, revision);
	return config;
}

/* A client with a session file, and a server with a session lifetime. */
struct ends {
	int fd;
	struct tls_config *client, *server;
	struct tls *base;
};

static void
ends_open(struct ends *e, uint32_t protocols, const char *name, const char *id,
    uint32_t revision)
{
	e->fd = session_file();
	e->client = client_config(e->fd, protocols);
	e->server = server_config(name, id, revision);
}

static void
ends_serve(struct ends *e)
{
	e->base = h_server(e->server);
}

static void
ends_close(struct ends *e)
{
	tls_free(e->base);
	tls_config_free(e->client);
	tls_config_free(e->server);
	close(e->fd);
}

/*
 * A whole connection, to its regular end, and whether both ends say that it
 * resumed a session.
 */
static int
connection(struct tls_config *client, struct tls *server)
{
	struct h_pair p;
	int resumed;
	char c;

	h_pair_join(&p, client, server, "localhost");
	CHECK_INT(tls_conn_session_resumed(p.client), 0);
	CHECK_INT(tls_conn_session_resumed(p.server), 0);
	CHECK_PAIR(&p);
	resumed = tls_conn_session_resumed(p.client);
	CHECK_INT(tls_conn_session_resumed(p.server), resumed);
	/* The session comes before the data, in TLS 1.3 as well. */
	h_pair_echo(&p);
	CHECK_TLS(p.client, h_close(p.client, p.cfd));
	CHECK_INT(h_read_some(p.server, p.sfd, &c, 1), 0);
	CHECK_TLS(p.server, h_close(p.server, p.sfd));
	h_pair_free(&p);
	return resumed;
}

/* The same with a session that is only looked at. */
static int
connection_with(struct tls_config *client, int session, struct tls *server,
    const struct content *c)
{
	session_write(session, c->data, c->len);
	return connection(client, server);
}

/* The setters. */

static void
session_fd_errors(void **state)
{
	static const struct {
		mode_t mode;
		const char *want;
	} modes[] = {
		{ 0600, NULL },
		/* These bits don't matter. */
		{ 04600, NULL },
		{ 01600, NULL },
		{ 0644, "session file has incorrect permissions (644 != 600)" },
		{ 0640, "session file has incorrect permissions (640 != 600)" },
		{ 0602, "session file has incorrect permissions (602 != 600)" },
		{ 0400, "session file has incorrect permissions (400 != 600)" },
		{ 0700, "session file has incorrect permissions (700 != 600)" },
		{ 0, "session file has incorrect permissions (0 != 600)" },
	};
	struct tls_config *config;
	char want[128];
	int a, b, fd;
	size_t i;

	(void)state;
	fd = session_file();
	for (i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
		CHECK_INT(fchmod(fd, modes[i].mode), 0);
		CHECK((config = tls_config_new()) != NULL);
		CHECK_INT(tls_config_set_session_fd(config, fd),
		    modes[i].want == NULL ? 0 : -1);
		CHECK_STR(tls_config_error(config), modes[i].want);
		tls_config_free(config);
	}
	CHECK_INT(fchmod(fd, 0600), 0);

	CHECK((config = tls_config_new()) != NULL);
	CHECK_CONFIG(config, tls_config_set_session_fd(config, fd));
	CHECK_CONFIG(config, tls_config_set_session_fd(config, -1));
	CHECK_STR(tls_config_error(config), NULL);

	h_socketpair(SOCK_STREAM, &a, &b);
	CHECK_INT(tls_config_set_session_fd(config, a), -1);
	CHECK_STR(tls_config_error(config),
	    "session file is not a regular file");
	close(a);
	close(b);
	CHECK_INT(tls_config_set_session_fd(config, a), -1);
	CHECK_STR(tls_config_error(config),
	    "failed to stat session file: Bad file descriptor");

	if (geteuid() == 0) {
		CHECK_INT(fchown(fd, 4711, (gid_t)-1), 0);
		snprintf(want, sizeof(want),
		    "session file has incorrect owner (uid 4711 != 0)");
		CHECK_INT(tls_config_set_session_fd(config, fd), -1);
	} else {
		CHECK((a = open("/etc/passwd", O_RDONLY | O_CLOEXEC)) != -1);
		snprintf(want, sizeof(want),
		    "session file has incorrect owner (uid 0 != %u)", getuid());
		CHECK_INT(tls_config_set_session_fd(config, a), -1);
		close(a);
	}
	CHECK_STR(tls_config_error(config), want);
	tls_config_free(config);
	close(fd);
}

static void
session_id_and_lifetime(void **state)
{
	static const struct {
		int lifetime;
		const char *want;
	} lifetimes[] = {
		{ 0, NULL },
		{ 4, NULL },
		{ 3600, NULL },
		{ 86400, NULL },
		{ -1, "session lifetime too small" },
		{ 1, "session lifetime too small" },
		{ 3, "session lifetime too small" },
		{ 86401, "session lifetime too large" },
	};
	const unsigned char id[33] = { 0 };
	struct tls_config *config;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(lifetimes) / sizeof(lifetimes[0]); i++) {
		CHECK((config = tls_config_new()) != NULL);
		CHECK_INT(tls_config_set_session_lifetime(config,
			      lifetimes[i].lifetime),
		    lifetimes[i].want == NULL ? 0 : -1);
		CHECK_STR(tls_config_error(config), lifetimes[i].want);
		tls_config_free(config);
	}
	CHECK((config = tls_config_new()) != NULL);
	CHECK_CONFIG(config, tls_config_set_session_id(config, id, 0));
	CHECK_CONFIG(config, tls_config_set_session_id(config, id, 1));
	CHECK_CONFIG(config, tls_config_set_session_id(config, id, 32));
	CHECK_STR(tls_config_error(config), NULL);
	CHECK_INT(tls_config_set_session_id(config, id, 33), -1);
	CHECK_STR(tls_config_error(config), "session ID too large");
	tls_config_free(config);
}

static void
ticket_key_errors(void **state)
{
	unsigned char key[TICKET_KEY + 1] = { 1 }, other[TICKET_KEY] = { 2 };
	struct tls_config *config;
	uint32_t i;

	(void)state;
	CHECK((config = tls_config_new()) != NULL);
	CHECK_INT(tls_config_add_ticket_key(config, 1, key, 0), -1);
	CHECK_STR(tls_config_error(config), "wrong amount of ticket key data");
	CHECK_INT(tls_config_add_ticket_key(config, 1, key, 47), -1);
	CHECK_INT(tls_config_add_ticket_key(config, 1, key, 49), -1);
	CHECK_STR(tls_config_error(config), "wrong amount of ticket key data");
	tls_config_free(config);

	CHECK((config = tls_config_new()) != NULL);
	CHECK_CONFIG(config, tls_config_add_ticket_key(config, 1, key, 48));
	/* The newest once more. */
	CHECK_CONFIG(config, tls_config_add_ticket_key(config, 1, key, 48));
	CHECK_STR(tls_config_error(config), NULL);
	CHECK_INT(tls_config_add_ticket_key(config, 1, other, 48), -1);
	CHECK_STR(tls_config_error(config), "ticket key already present");
	tls_config_free(config);

	CHECK((config = tls_config_new()) != NULL);
	CHECK_CONFIG(config, tls_config_add_ticket_key(config, 1, key, 48));
	CHECK_CONFIG(config, tls_config_add_ticket_key(config, 2, other, 48));
	CHECK_INT(tls_config_add_ticket_key(config, 1, key, 48), -1);
	CHECK_STR(tls_config_error(config), "ticket key already present");
	/* After four more it is forgotten. */
	for (i = 3; i <= 5; i++)
		CHECK_CONFIG(config,
		    tls_config_add_ticket_key(config, i, key, 48));
	CHECK_CONFIG(config, tls_config_add_ticket_key(config, 1, key, 48));
	tls_config_free(config);
}

/* Resumption. */

/* Everything that a connection tells is still there, and again true. */
static void
resumes(void **state)
{
	static const char *const names[] = { "rsa", "ecdsa", "ed25519" };
	struct ends e;
	struct content before, after;
	char name[64], text[256], fact[128];
	struct h_pair p;
	size_t i, v;
	int round;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		for (v = 0; v < NVERSIONS; v++) {
			snprintf(name, sizeof(name), "%s, %s", names[i],
			    versions[v].name);
			h_case = name;
			/* With keys that goproxy makes. */
			ends_open(&e, versions[v].bits, names[i], NULL, 0);
			CHECK_CONFIG(e.client,
			    tls_config_set_alpn(e.client, "h2"));
			CHECK_CONFIG(e.server,
			    tls_config_set_alpn(e.server, "h2"));
			ends_serve(&e);
			session_read(e.fd, &before);
			for (round = 0; round < 4; round++) {
				h_pair_join(&p, e.client, e.base, "localhost");
				CHECK_PAIR(&p);
				CHECK_INT(tls_conn_session_resumed(p.client),
				    round > 0);
				CHECK_INT(tls_conn_session_resumed(p.server),
				    round > 0);
				h_pair_echo(&p);
				/* A new ticket each time. */
				session_check(e.fd);
				session_read(e.fd, &after);
				CHECK(before.len != after.len ||
				      memcmp(before.data, after.data,
					  after.len) != 0);
				before = after;

				CHECK_STR(tls_conn_version(p.client),
				    versions[v].name);
				CHECK_STR(tls_conn_version(p.server),
				    versions[v].name);
				CHECK_STR(tls_conn_alpn_selected(p.client),
				    "h2");
				CHECK_STR(tls_conn_alpn_selected(p.server),
				    "h2");
				CHECK_STR(tls_conn_servername(p.client),
				    "localhost");
				CHECK_STR(tls_conn_servername(p.server),
				    "localhost");
				if (round == 0)
					snprintf(text, sizeof(text), "%s",
					    tls_conn_cipher(p.client));
				CHECK_STR(tls_conn_cipher(p.client), text);
				CHECK_STR(tls_conn_cipher(p.server), text);
				CHECK_INT(tls_peer_cert_provided(p.client), 1);
				snprintf(fact, sizeof(fact), "SHA256:");
				h_fact(names[i], 0, fact + strlen(fact),
				    sizeof(fact) - strlen(fact));
				CHECK_STR(tls_peer_cert_hash(p.client), fact);
				CHECK_INT(tls_peer_cert_contains_name(p.client,
					      "localhost"),
				    1);
				CHECK_INT(tls_peer_cert_provided(p.server), 0);
				h_pair_free(&p);
			}
			ends_close(&e);
		}
	}
	h_case = NULL;
}

/* A client's certificate is part of the session. */
static void
resumes_with_client_certificate(void **state)
{
	struct ends e;
	struct h_pair p;
	char fact[128];
	size_t v;
	int round;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		ends_open(&e, versions[v].bits, "ecdsa", NULL, 1);
		CHECK_CONFIG(e.client,
		    tls_config_set_keypair_file(e.client,
			h_cert("client-chain.pem"), h_cert("client.key")));
		CHECK_CONFIG(e.server,
		    tls_config_set_ca_file(e.server, h_cert("root.pem")));
		tls_config_verify_client(e.server);
		ends_serve(&e);
		for (round = 0; round < 3; round++) {
			h_pair_join(&p, e.client, e.base, "localhost");
			CHECK_PAIR(&p);
			CHECK_INT(tls_conn_session_resumed(p.client),
			    round > 0);
			CHECK_INT(tls_conn_session_resumed(p.server),
			    round > 0);
			CHECK_INT(tls_peer_cert_provided(p.server), 1);
			snprintf(fact, sizeof(fact), "SHA256:");
			h_fact("client", 0, fact + strlen(fact),
			    sizeof(fact) - strlen(fact));
			CHECK_STR(tls_peer_cert_hash(p.server), fact);
			h_pair_echo(&p);
			h_pair_free(&p);
		}
		ends_close(&e);
	}
	h_case = NULL;
}

/* There are no sessions unless both ends want them. */
static void
only_when_wanted(void **state)
{
	struct ends e;
	struct tls_config *forgetful, *none;
	struct tls *base_none;
	struct content c;
	size_t v;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		ends_open(&e, versions[v].bits, "ecdsa", "id", 1);
		forgetful = client_config(-1, versions[v].bits);
		none = h_server_config("ecdsa");
		add_key(none, 1);
		CHECK_CONFIG(none, tls_config_set_session_id(none,
				       (const unsigned char *)"id", 2));
		ends_serve(&e);
		base_none = h_server(none);

		CHECK_INT(connection(e.client, base_none), 0);
		session_read(e.fd, &c);
		CHECK_INT(c.len, 0);
		CHECK_INT(connection(e.client, e.base), 0);
		CHECK_INT(connection(forgetful, e.base), 0);
		CHECK_INT(connection(e.client, e.base), 1);
		CHECK_INT(connection(e.client, base_none), 0);
		/* The setting counts when the connection starts. */
		CHECK_CONFIG(e.client, tls_config_set_session_fd(e.client, -1));
		CHECK_INT(connection(e.client, e.base), 0);
		CHECK_CONFIG(forgetful,
		    tls_config_set_session_fd(forgetful, e.fd));
		CHECK_INT(connection(forgetful, e.base), 1);

		ends_close(&e);
		tls_free(base_none);
		tls_config_free(forgetful);
		tls_config_free(none);
	}
	h_case = NULL;
}

/* A session of TLS 1.2 is of no use to TLS 1.3, and the other way round. */
static void
versions_apart(void **state)
{
	struct tls_config *client[NVERSIONS], *server;
	struct content c[NVERSIONS];
	struct tls *base;
	size_t v;
	int fd;

	(void)state;
	fd = session_file();
	server = server_config("rsa", NULL, 1);
	base = h_server(server);
	for (v = 0; v < NVERSIONS; v++) {
		session_write(fd, "", 0);
		client[v] = client_config(fd, versions[v].bits);
		CHECK_INT(connection(client[v], base), 0);
		session_read(fd, &c[v]);
	}
	CHECK_INT(connection_with(client[0], fd, base, &c[1]), 0);
	CHECK_INT(connection_with(client[1], fd, base, &c[0]), 0);
	CHECK_INT(connection_with(client[0], fd, base, &c[0]), 1);
	CHECK_INT(connection_with(client[1], fd, base, &c[1]), 1);
	tls_free(base);
	tls_config_free(server);
	tls_config_free(client[0]);
	tls_config_free(client[1]);
	close(fd);
}

/* Who has the same keys, id and session lifetime shares the sessions. */
static void
shared_keys(void **state)
{
	static const struct {
		const char *name;
		const char *id[2];
		uint32_t revision[2];
		int want;
	} cases[] = {
		{ "same key and id", { "id", "id" }, { 1, 1 }, 1 },
		{ "empty id", { "", "" }, { 1, 1 }, 1 },
		{ "another id", { "id", "ID" }, { 1, 1 }, 0 },
		{ "a longer id", { "id", "id2" }, { 1, 1 }, 0 },
		{ "random ids", { NULL, NULL }, { 1, 1 }, 0 },
		{ "another key", { "id", "id" }, { 1, 2 }, 0 },
		/* See add_key(). */
		{ "another name, same key", { "id", "id" }, { 1, 257 }, 0 },
		{ "keys of goproxy's", { "id", "id" }, { 0, 0 }, 0 },
		{ "a key of goproxy's", { "id", "id" }, { 0, 1 }, 0 },
		{ "a key of ours", { "id", "id" }, { 1, 0 }, 0 },
	};
	struct tls_config *client, *server[2];
	struct tls *base[2];
	struct content c;
	char name[64];
	size_t i, j, v;
	int fd;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (v = 0; v < NVERSIONS; v++) {
			snprintf(name, sizeof(name), "%s, %s", cases[i].name,
			    versions[v].name);
			h_case = name;
			fd = session_file();
			client = client_config(fd, versions[v].bits);
			for (j = 0; j < 2; j++) {
				server[j] = server_config("ecdsa",
				    cases[i].id[j], cases[i].revision[j]);
				base[j] = h_server(server[j]);
			}
			CHECK_INT(connection(client, base[0]), 0);
			session_read(fd, &c);
			CHECK_INT(connection(client, base[1]), cases[i].want);
			/* What the one refuses is still good for the other. */
			CHECK_INT(connection_with(client, fd, base[0], &c), 1);
			for (j = 0; j < 2; j++) {
				tls_free(base[j]);
				tls_config_free(server[j]);
			}
			tls_config_free(client);
			close(fd);
		}
	}
	h_case = NULL;
}

/* Two keys of the same name. */
static void
key_names(void **state)
{
	unsigned char key[TICKET_KEY];
	struct tls_config *client, *server[2];
	struct tls *base[2];
	size_t i, v;
	int fd;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		fd = session_file();
		client = client_config(fd, versions[v].bits);
		for (i = 0; i < 2; i++) {
			/* They differ in what authenticates the ticket. */
			memset(key, 7, sizeof(key));
			key[TICKET_KEY - 1] = (unsigned char)i;
			server[i] = server_config("rsa", "id", 0);
			CHECK_CONFIG(server[i],
			    tls_config_add_ticket_key(server[i], 1, key,
				sizeof(key)));
			base[i] = h_server(server[i]);
		}
		CHECK_INT(connection(client, base[0]), 0);
		CHECK_INT(connection(client, base[1]), 0);
		CHECK_INT(connection(client, base[1]), 1);
		for (i = 0; i < 2; i++) {
			tls_free(base[i]);
			tls_config_free(server[i]);
		}
		tls_config_free(client);
		close(fd);
	}
	h_case = NULL;
}

/* Contexts of one configuration, one of them gone. */
static void
two_contexts(void **state)
{
	struct tls_config *client, *server;
	struct tls *base[2];
	size_t v;
	int fd;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		fd = session_file();
		client = client_config(fd, versions[v].bits);
		server = server_config("rsa", NULL, 0);
		base[0] = h_server(server);
		base[1] = h_server(server);
		tls_config_free(server);
		CHECK_INT(connection(client, base[0]), 0);
		CHECK_INT(connection(client, base[1]), 1);
		tls_free(base[0]);
		CHECK_INT(connection(client, base[1]), 1);
		tls_free(base[1]);
		tls_config_free(client);
		close(fd);
	}
	h_case = NULL;
}

/* A server that is configured anew, as for other certificates. */
static void
configured_again(void **state)
{
	struct ends e;
	size_t v;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		ends_open(&e, versions[v].bits, "rsa", "id", 0);
		ends_serve(&e);
		CHECK_INT(connection(e.client, e.base), 0);
		CHECK_TLS(e.base, tls_configure(e.base, e.server));
		CHECK_INT(connection(e.client, e.base), 1);
		CHECK_CONFIG(e.server,
		    tls_config_set_keypair_file(e.server,
			h_cert("ecdsa-chain.pem"), h_cert("ecdsa.key")));
		CHECK_CONFIG(e.server, tls_config_set_alpn(e.server, "h2"));
		CHECK_TLS(e.base, tls_configure(e.base, e.server));
		/* A suite of TLS 1.2 has to fit the key. */
		CHECK_INT(connection(e.client, e.base), v == 1);
		CHECK_CONFIG(e.server, tls_config_set_session_id(e.server,
					   (const unsigned char *)"di", 2));
		CHECK_TLS(e.base, tls_configure(e.base, e.server));
		CHECK_INT(connection(e.client, e.base), 0);
		CHECK_INT(connection(e.client, e.base), 1);
		ends_close(&e);
	}
	h_case = NULL;
}

/* New keys for a server that runs: the four newest open, the newest seals. */
static void
rekeying(void **state)
{
	struct ends e;
	struct tls_config *other;
	struct content with[6], c;
	struct tls *newest;
	char name[64];
	uint32_t i, j;
	size_t v;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		ends_open(&e, versions[v].bits, "ecdsa", "id", 1);
		ends_serve(&e);
		for (i = 1; i <= 5; i++) {
			snprintf(name, sizeof(name), "%s, key %u",
			    versions[v].name, i);
			h_case = name;
			if (i > 1)
				add_key(e.server, i);
			session_write(e.fd, "", 0);
			CHECK_INT(connection(e.client, e.base), 0);
			session_read(e.fd, &with[i]);
			for (j = 1; j <= i; j++)
				CHECK_INT(connection_with(e.client, e.fd,
					      e.base, &with[j]),
				    i - j < 4);
			/* Whatever it was: now it is the newest. */
			session_read(e.fd, &c);
			other = server_config("ecdsa", "id", i);
			newest = h_server(other);
			CHECK_INT(connection_with(e.client, e.fd, newest, &c),
			    1);
			if (i > 1)
				CHECK_INT(connection_with(e.client, e.fd,
					      newest, &with[i - 1]),
				    0);
			/* What an old key sealed is sealed anew. */
			if (i > 1) {
				CHECK_INT(connection_with(e.client, e.fd,
					      e.base, &with[i - 1]),
				    1);
				CHECK_INT(connection(e.client, newest), 1);
			}
			tls_free(newest);
			tls_config_free(other);
		}
		ends_close(&e);
	}
	h_case = NULL;
}

/* The application's keys replace goproxy's, which made the first session. */
static void
from_own_keys_to_given(void **state)
{
	struct ends e;
	struct tls_config *other;
	struct tls *second;
	size_t v;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		ends_open(&e, versions[v].bits, "ecdsa", "id", 0);
		ends_serve(&e);
		CHECK_INT(connection(e.client, e.base), 0);
		CHECK_INT(connection(e.client, e.base), 1);
		add_key(e.server, 1);
		connection(e.client, e.base);
		/* At the latest now the ticket is one of the new key. */
		other = server_config("ecdsa", "id", 1);
		second = h_server(other);
		CHECK_INT(connection(e.client, second), 1);
		tls_free(second);
		ends_close(&e);
		tls_config_free(other);
	}
	h_case = NULL;
}

/*
 * The one test that has to wait. A session is as old as its first handshake,
 * however often it is resumed, and whatever key seals it.
 */
static void
lifetime(void **state)
{
	struct content old[NVERSIONS], renewed[NVERSIONS], fresh[NVERSIONS];
	struct tls_config *client[NVERSIONS], *server;
	int64_t start, refreshed;
	struct tls *base;
	size_t v;
	int fd;

	(void)state;
	fd = session_file();
	server = server_config("ecdsa", "id", 1);
	CHECK_CONFIG(server,
	    tls_config_set_session_lifetime(server, LIFETIME_MIN));
	base = h_server(server);
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		session_write(fd, "", 0);
		client[v] = client_config(fd, versions[v].bits);
		CHECK_INT(connection(client[v], base), 0);
		session_read(fd, &old[v]);
	}
	start = h_now();
	while (h_now() < start + LIFETIME_MIN * 500)
		h_pause(start + H_WAIT, "time to pass");
	/* A young key for old sessions. */
	add_key(server, 2);
	refreshed = h_now();
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		/* A machine that is too busy shows nothing. */
		if (h_now() > start + (LIFETIME_MIN - 1) * 1000 - 200)
			skip();
		CHECK_INT(connection_with(client[v], fd, base, &old[v]), 1);
		session_read(fd, &renewed[v]);
		session_write(fd, "", 0);
		CHECK_INT(connection(client[v], base), 0);
		session_read(fd, &fresh[v]);
	}
	while (h_now() < start + LIFETIME_MIN * 1000 + 100)
		h_pause(start + H_WAIT, "time to pass");
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		CHECK_INT(connection_with(client[v], fd, base, &old[v]), 0);
		CHECK_INT(connection_with(client[v], fd, base, &renewed[v]), 0);
		/* Under valgrind it may be too late for these. */
		if (h_now() < refreshed + (LIFETIME_MIN - 1) * 1000 - 200)
			CHECK_INT(
			    connection_with(client[v], fd, base, &fresh[v]), 1);
	}
	h_case = NULL;
	tls_free(base);
	for (v = 0; v < NVERSIONS; v++)
		tls_config_free(client[v]);
	tls_config_free(server);
	close(fd);
}

/* A resumed session is verified like a new one. */

/*
 * A handshake that must fail, and why: want_client or want_server is what an
 * end says. The other may come to know only by what it reads.
 */
static void
fails(struct tls_config *client, struct tls *server, const char *servername,
    const char *want_client, const char *want_server)
{
	struct h_pair p;
	char c;

	h_pair_join(&p, client, server, servername);
	h_pair_handshake(&p);
	if (want_client != NULL) {
		CHECK_INT(p.crv, -1);
		CHECK_HAS(tls_error(p.client), want_client);
		CHECK_INT(tls_conn_session_resumed(p.client), 0);
		CHECK_INT(tls_peer_cert_provided(p.client), 0);
	}
	if (want_server != NULL) {
		CHECK_INT(p.srv, -1);
		CHECK_HAS(tls_error(p.server), want_server);
		CHECK_INT(tls_conn_session_resumed(p.server), 0);
		CHECK_INT(tls_peer_cert_provided(p.server), 0);
		if (p.crv == 0) {
			CHECK_INT(h_read_some(p.client, p.cfd, &c, 1), -1);
			CHECK_HAS(tls_error(p.client), "alert");
		}
	}
	h_pair_free(&p);
}

static void
client_verifies_again(void **state)
{
	struct ends e;
	struct content c;
	size_t v;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		ends_open(&e, versions[v].bits, "ecdsa", "id", 1);
		ends_serve(&e);
		CHECK_INT(connection(e.client, e.base), 0);
		CHECK_INT(connection(e.client, e.base), 1);
		session_read(e.fd, &c);

		/* The session is not bound to a name; the certificate is. */
		session_write(e.fd, c.data, c.len);
		fails(e.client, e.base, "elsewhere.test",
		    "name `elsewhere.test' not present in server certificate",
		    NULL);
		session_write(e.fd, c.data, c.len);
		CHECK_CONFIG(e.client,
		    tls_config_set_verify_depth(e.client, 1));
		fails(e.client, e.base, "localhost",
		    "certificate chain too long", NULL);
		CHECK_CONFIG(e.client,
		    tls_config_set_verify_depth(e.client, 6));
		session_write(e.fd, c.data, c.len);
		CHECK_CONFIG(e.client,
		    tls_config_set_ca_file(e.client, h_cert("other-root.pem")));
		fails(e.client, e.base, "localhost",
		    "certificate verification failed: ", NULL);
		session_write(e.fd, c.data, c.len);
		CHECK_CONFIG(e.client,
		    tls_config_set_ca_file(e.client, h_cert("root.pem")));
		CHECK_CONFIG(e.client,
		    tls_config_set_crl_file(e.client, h_cert("crl-ecdsa.pem")));
		fails(e.client, e.base, "localhost", "certificate revoked",
		    NULL);
		session_write(e.fd, c.data, c.len);
		CHECK_CONFIG(e.client,
		    tls_config_set_crl_file(e.client, h_cert("crl-none.pem")));
		CHECK_INT(connection(e.client, e.base), 1);

		ends_close(&e);
	}
	h_case = NULL;
}

/* A session that was made without verification doesn't stand in for it. */
static void
unverified_session(void **state)
{
	static const struct {
		const char *name;
		int resumes;
		const char *want; /* what the careful client says */
	} cases[] = {
		{ "other", 1, "certificate verification failed: " },
		/* crypto/tls drops a session when its certificate expires. */
		{ "expired", 0, "expired" },
		{ "notyet", 1, "not yet valid" },
		{ "wrongname", 1, "name `localhost' not present" },
		{ "cn", 1, NULL },
	};
	struct ends e;
	struct tls_config *careless;
	char name[64];
	size_t i, v;

	(void)state;
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		for (v = 0; v < NVERSIONS; v++) {
			snprintf(name, sizeof(name), "%s, %s", cases[i].name,
			    versions[v].name);
			h_case = name;
			ends_open(&e, versions[v].bits, cases[i].name, "id", 1);
			ends_serve(&e);
			careless = client_config(e.fd, versions[v].bits);
			tls_config_insecure_noverifycert(careless);
			tls_config_insecure_noverifyname(careless);
			CHECK_INT(connection(careless, e.base), 0);
			CHECK_INT(connection(careless, e.base),
			    cases[i].resumes);
			if (cases[i].want != NULL)
				fails(e.client, e.base, "localhost",
				    cases[i].want, NULL);
			else
				CHECK_INT(connection(e.client, e.base), 1);
			ends_close(&e);
			tls_config_free(careless);
		}
	}
	h_case = NULL;
}

static void
server_verifies_again(void **state)
{
	static const struct {
		const char *name;
		const char *ca, *crl;
		int depth;
		const char *want; /* NULL: it resumes */
	} cases[] = {
		{ "nothing new", "root.pem", NULL, 6, NULL },
		{ "another CA", "other-root.pem", NULL, 6,
		    "certificate verification failed: " },
		{ "depth", "root.pem", NULL, 1, "certificate chain too long" },
		{ "none revoked", "root.pem", "crl-none.pem", 6, NULL },
		{ "revoked", "root.pem", "crl-client.pem", 6,
		    "certificate revoked" },
		{ "another revoked", "root.pem", "crl-ecdsa.pem", 6, NULL },
	};
	struct ends e;
	struct tls_config *later;
	struct content c;
	struct tls *base_later;
	char name[64];
	size_t i, v;
	int optional;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		ends_open(&e, versions[v].bits, "rsa", "id", 1);
		CHECK_CONFIG(e.client,
		    tls_config_set_keypair_file(e.client,
			h_cert("client-chain.pem"), h_cert("client.key")));
		CHECK_CONFIG(e.server,
		    tls_config_set_ca_file(e.server, h_cert("root.pem")));
		tls_config_verify_client(e.server);
		ends_serve(&e);
		h_case = versions[v].name;
		CHECK_INT(connection(e.client, e.base), 0);
		CHECK_INT(connection(e.client, e.base), 1);
		session_read(e.fd, &c);
		for (i = 0; i < 2 * sizeof(cases) / sizeof(cases[0]); i++) {
			optional = i % 2 == 1;
			snprintf(name, sizeof(name), "%s, %s, %s",
			    cases[i / 2].name, versions[v].name,
			    optional ? "optional" : "required");
			h_case = name;
			later = server_config("rsa", "id", 1);
			CHECK_CONFIG(later, tls_config_set_ca_file(later,
						h_cert(cases[i / 2].ca)));
			CHECK_CONFIG(later, tls_config_set_verify_depth(later,
						cases[i / 2].depth));
			if (cases[i / 2].crl != NULL)
				CHECK_CONFIG(later,
				    tls_config_set_crl_file(later,
					h_cert(cases[i / 2].crl)));
			if (optional)
				tls_config_verify_client_optional(later);
			else
				tls_config_verify_client(later);
			base_later = h_server(later);
			session_write(e.fd, c.data, c.len);
			if (cases[i / 2].want != NULL)
				fails(e.client, base_later, "localhost", NULL,
				    cases[i / 2].want);
			else
				CHECK_INT(connection(e.client, base_later), 1);
			tls_free(base_later);
			tls_config_free(later);
		}
		ends_close(&e);
	}
	h_case = NULL;
}

/* A session without a certificate is no way around a server that wants one. */
static void
session_without_certificate(void **state)
{
	struct ends e;
	struct tls_config *later;
	struct content c;
	struct tls *base_later;
	struct h_pair p;
	size_t v;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		ends_open(&e, versions[v].bits, "rsa", "id", 1);
		later = server_config("rsa", "id", 1);
		CHECK_CONFIG(later,
		    tls_config_set_ca_file(later, h_cert("root.pem")));
		tls_config_verify_client(later);
		ends_serve(&e);
		base_later = h_server(later);
		CHECK_INT(connection(e.client, e.base), 0);
		CHECK_INT(connection(e.client, e.base), 1);
		session_read(e.fd, &c);
		fails(e.client, base_later, "localhost", NULL,
		    "peer did not return a certificate");

		/* With one it isn't a matter of the session. */
		CHECK_CONFIG(e.client,
		    tls_config_set_keypair_file(e.client,
			h_cert("client-chain.pem"), h_cert("client.key")));
		session_write(e.fd, c.data, c.len);
		h_pair_join(&p, e.client, base_later, "localhost");
		CHECK_PAIR(&p);
		CHECK_INT(tls_peer_cert_provided(p.server), 1);
		CHECK_INT(tls_conn_session_resumed(p.server), 0);
		h_pair_free(&p);

		ends_close(&e);
		tls_free(base_later);
		tls_config_free(later);
	}
	h_case = NULL;
}

/* Processes. */

/*
 * serve CERTIFICATE VERSION KEY COUNT: accepts COUNT connections and tells
 * each client whether it resumed.
 */
static int
serve(int argc, char **argv)
{
	struct tls_config *config;
	struct tls *base, *conn;
	uint32_t bits;
	char c;
	int fd, i;

	CHECK_INT(argc, 5);
	config = server_config(argv[1], "id", (uint32_t)atoi(argv[3]));
	CHECK_INT(tls_config_parse_protocols(&bits, argv[2]), 0);
	CHECK_CONFIG(config, tls_config_set_protocols(config, bits));
	base = h_server(config);
	tls_config_free(config);
	for (i = 0; i < atoi(argv[4]); i++) {
		fd = h_accept(H_KEPT);
		CHECK_TLS(base, tls_accept_socket(base, &conn, fd));
		CHECK_TLS(conn, h_handshake(conn, fd));
		h_write(conn, fd, tls_conn_session_resumed(conn) ? "1" : "0",
		    1);
		CHECK_INT(h_read_some(conn, fd, &c, 1), 0);
		CHECK_TLS(conn, h_close(conn, fd));
		tls_free(conn);
		close(fd);
	}
	tls_free(base);
	return 0;
}

/* Whether a connection to a server in another process resumed. */
static int
visit(struct tls_config *config, const char *port)
{
	struct tls *client;
	int resumed;
	char c;

	client = h_client(config);
	CHECK_TLS(client, tls_connect(client, "localhost", port));
	CHECK_TLS(client, h_handshake(client, -1));
	resumed = tls_conn_session_resumed(client);
	h_read(client, -1, &c, 1);
	CHECK_INT(c, '0' + resumed);
	CHECK_TLS(client, tls_close(client));
	tls_free(client);
	return resumed;
}

/* Each has a goproxy of its own, and the third other keys. */
static void
server_processes(void **state)
{
	static const char *const keys[] = { "1", "1", "2" };
	struct tls_config *client;
	char port[3][8];
	pid_t peer[3];
	size_t i, v;
	int fd, listener;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		fd = session_file();
		client = client_config(fd, versions[v].bits);
		for (i = 0; i < 3; i++) {
			listener = h_listen(port[i], sizeof(port[i]));
			peer[i] = h_start(&listener, 1, "serve", "ecdsa",
			    versions[v].name, keys[i], i == 2 ? "2" : "3",
			    (char *)NULL);
			close(listener);
		}
		CHECK_INT(visit(client, port[0]), 0);
		CHECK_INT(visit(client, port[1]), 1);
		CHECK_INT(visit(client, port[0]), 1);
		CHECK_INT(visit(client, port[1]), 1);
		CHECK_INT(visit(client, port[2]), 0);
		CHECK_INT(visit(client, port[2]), 1);
		CHECK_INT(visit(client, port[1]), 0);
		CHECK_INT(visit(client, port[0]), 1);
		for (i = 0; i < 3; i++)
			CHECK_INT(h_wait_exit(peer[i]), 0);
		tls_config_free(client);
		close(fd);
	}
	h_case = NULL;
}

/* The next worker has the keys, those of a live update included. */
static void
worker_killed(void **state)
{
	struct ends e;
	struct content first;
	pid_t worker;
	size_t v;

	(void)state;
	PROXY_ONLY();
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		ends_open(&e, versions[v].bits, "ecdsa", "id", 1);
		ends_serve(&e);
		CHECK_INT(connection(e.client, e.base), 0);
		session_read(e.fd, &first);
		worker = h_wait_helper("worker", -1);
		CHECK_INT(kill(worker, SIGKILL), 0);
		worker = h_wait_helper("worker", worker);
		CHECK_INT(connection(e.client, e.base), 1);

		add_key(e.server, 2);
		CHECK_INT(connection(e.client, e.base), 1);
		CHECK_INT(kill(worker, SIGKILL), 0);
		h_wait_helper("worker", worker);
		CHECK_INT(connection(e.client, e.base), 1);
		CHECK_INT(connection_with(e.client, e.fd, e.base, &first), 1);
		ends_close(&e);
	}
	h_case = NULL;
}

/* The session file. */

/* The start of a connection with this file: it may fail now or later. */
static void
refused_file(struct tls_config *client, struct tls *server)
{
	struct tls *ctx, *conn;
	int a, b, rv;

	h_tcp_pair(&a, &b);
	h_nonblock(a, 1);
	h_nonblock(b, 1);
	ctx = h_client(client);
	CHECK_TLS(server, tls_accept_socket(server, &conn, b));
	if ((rv = tls_connect_socket(ctx, a, "localhost")) == 0)
		rv = h_handshake(ctx, a);
	CHECK_INT(rv, -1);
	CHECK_STR(tls_error(ctx), "failed to parse session");
	CHECK_STR(tls_conn_version(ctx), NULL);
	tls_free(ctx);
	tls_free(conn);
	close(a);
	close(b);
}

static void
file_contents(void **state)
{
	static const char libressl[] =
	    "-----BEGIN SSL SESSION PARAMETERS-----\n"
	    "MIGGAgEBAgIDAwQCwC8EIFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhYWFhY\n"
	    "-----END SSL SESSION PARAMETERS-----\n";
	static const char *const garbage[] = { "x", "not a session\n", "\n",
		"-----BEGIN SSL SESSION PARAMETERS-----\n",
		("-----BEGIN CERTIFICATE-----\nAAAA\n"
		 "-----END CERTIFICATE-----\n"),
		"-----BEGIN LIBTLS-PROXY SESSION-----\nAAAA\n" };
	struct content good, bad, after;
	struct ends e;
	struct h_pair p;
	pid_t worker;
	size_t i, v;

	(void)state;
	PROXY_ONLY(); /* The format is everybody's own. */
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		ends_open(&e, versions[v].bits, "ecdsa", "id", 1);
		ends_serve(&e);

		/* Another libtls's session is none, and is replaced. */
		session_write(e.fd, libressl, strlen(libressl));
		CHECK_INT(connection(e.client, e.base), 0);
		session_check(e.fd);
		CHECK_INT(connection(e.client, e.base), 1);
		session_read(e.fd, &good);

		for (i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
			h_case = garbage[i];
			session_write(e.fd, garbage[i], strlen(garbage[i]));
			refused_file(e.client, e.base);
			/* It may be somebody's only copy of something. */
			session_read(e.fd, &after);
			CHECK_INT(after.len, strlen(garbage[i]));
			CHECK_MEM(after.data, garbage[i], after.len);
		}
		h_case = versions[v].name;
		session_write(e.fd, good.data, good.len - 10);
		refused_file(e.client, e.base);
		bad = good;
		bad.data[bad.len++] = 'x';
		session_write(e.fd, bad.data, bad.len);
		refused_file(e.client, e.base);
		session_write(e.fd, "\0", 1);
		refused_file(e.client, e.base);

		/* Our own, but damaged: a new start, or an error. */
		worker = h_wait_helper("worker", -1);
		for (i = 40; i < good.len - 40; i += 61) {
			bad = good;
			bad.data[i] = bad.data[i] == 'A' ? 'B' : 'A';
			session_write(e.fd, bad.data, bad.len);
			h_pair_join(&p, e.client, e.base, "localhost");
			h_pair_handshake(&p);
			if (p.crv == -1)
				CHECK(tls_error(p.client) != NULL);
			else
				h_pair_echo(&p);
			h_pair_free(&p);
		}
		CHECK_INT(h_helper("worker"), worker);
		CHECK_INT(connection_with(e.client, e.fd, e.base, &good), 1);

		ends_close(&e);
	}
	h_case = NULL;
}

/* A shorter session leaves nothing of the longer one behind it. */
static void
file_gets_shorter(void **state)
{
	struct tls_config *client, *server[2];
	struct content c[2];
	struct tls *base[2];
	size_t i, v;
	int fd;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		fd = session_file();
		client = client_config(fd, versions[v].bits);
		server[0] = server_config("rsa", "a", 1);
		server[1] = server_config("ecdsa", "b", 2);
		for (i = 0; i < 2; i++) {
			base[i] = h_server(server[i]);
			CHECK_INT(connection(client, base[i]), 0);
			session_check(fd);
			session_read(fd, &c[i]);
		}
		if (h_proxy)
			CHECK(c[1].len < c[0].len);
		CHECK_INT(connection(client, base[1]), 1);
		CHECK_INT(connection(client, base[0]), 0);
		CHECK_INT(connection(client, base[0]), 1);
		for (i = 0; i < 2; i++) {
			tls_free(base[i]);
			tls_config_free(server[i]);
		}
		tls_config_free(client);
		close(fd);
	}
	h_case = NULL;
}

/* Neither where the descriptor stands nor what number it has matters. */
static void
file_descriptor(void **state)
{
	struct tls_config *client, *server;
	struct tls *base;
	int fd, copy;
	size_t v;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		fd = session_file();
		copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
		client = client_config(fd, versions[v].bits);
		server = server_config("ecdsa", NULL, 0);
		base = h_server(server);
		CHECK_INT(lseek(fd, 4711, SEEK_SET), 4711);
		CHECK_INT(connection(client, base), 0);
		CHECK_INT(lseek(fd, 0, SEEK_CUR), 4711);
		session_check(fd);
		CHECK_INT(connection(client, base), 1);
		CHECK_INT(lseek(fd, 0, SEEK_CUR), 4711);
		tls_config_free(client);
		close(fd);
		client = client_config(copy, versions[v].bits);
		CHECK_INT(connection(client, base), 1);
		close(copy);

		tls_free(base);
		tls_config_free(client);
		tls_config_free(server);
	}
	h_case = NULL;
}

/*
 * An application that closed its session file: the error names the file, and
 * the number's next owner is left alone.
 */
static void
file_is_closed(void **state)
{
	struct tls_config *client, *server;
	struct tls *base, *ctx;
	int a, b, fd, reused, rv;
	pid_t worker;

	(void)state;
	PROXY_ONLY(); /* LibreTLS finds out only when it writes. */
	server = server_config("ecdsa", NULL, 1);
	base = h_server(server);
	worker = h_wait_helper("worker", -1);
	for (reused = 0; reused < 2; reused++) {
		h_case = reused ? "reused" : "closed";
		fd = session_file();
		client = client_config(fd, TLS_PROTOCOLS_DEFAULT);
		h_tcp_pair(&a, &b);
		h_nonblock(a, 1);
		ctx = h_client(client);
		/* The configuration is known to goproxy by then. */
		CHECK_INT(connection(client, base), 0);
		close(fd);
		if (reused)
			CHECK_INT(dup2(b, fd), fd);
		if ((rv = tls_connect_socket(ctx, a, "localhost")) == 0)
			rv = h_handshake(ctx, a);
		CHECK_INT(rv, -1);
		CHECK_HAS(tls_error(ctx), "session file");
		tls_free(ctx);
		if (reused)
			close(fd);
		close(a);
		close(b);
		CHECK_INT(h_helper("worker"), worker);
		CHECK_CONFIG(client, tls_config_set_session_fd(client, -1));
		CHECK_INT(connection(client, base), 0);
		tls_config_free(client);
	}
	h_case = NULL;
	tls_free(base);
	tls_config_free(server);
}

/*
 * Connections at the same time, also of several workers: whoever is last, the
 * file is a whole one.
 */
static void
file_in_parallel(void **state)
{
	struct ends e;
	struct h_pair p[16];
	size_t i, v;
	int round;

	(void)state;
	for (v = 0; v < 2 * NVERSIONS; v++) {
		h_case = versions[v / 2].name;
		ends_open(&e, versions[v / 2].bits, "ecdsa", NULL, 1);
		if (v % 2 == 1)
			CHECK_CONFIG(e.client,
			    tls_config_set_isolation(e.client,
				TLS_ISOLATION_CONNECTION));
		ends_serve(&e);
		for (round = 0; round < 4; round++) {
			for (i = 0; i < 16; i++)
				h_pair_join(&p[i], e.client, e.base,
				    "localhost");
			for (i = 0; i < 16; i++) {
				CHECK_PAIR(&p[i]);
				CHECK_INT(tls_conn_session_resumed(p[i].client),
				    tls_conn_session_resumed(p[i].server));
			}
			for (i = 0; i < 16; i++) {
				h_pair_echo(&p[i]);
				h_pair_free(&p[i]);
			}
			session_check(e.fd);
			CHECK_INT(connection(e.client, e.base), 1);
		}
		ends_close(&e);
	}
	h_case = NULL;
}

static void
lock(int fd, short type)
{
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET };

	CHECK_INT(fcntl(fd, F_SETLK, &lock), 0);
}

/*
 * A file that another process keeps locked: nobody reads what it may be
 * writing, writes what it may be reading, or waits for it.
 */
static void
file_is_locked(void **state)
{
	struct ends e;
	struct content before, after;
	size_t v;

	(void)state;
	for (v = 0; v < NVERSIONS; v++) {
		h_case = versions[v].name;
		ends_open(&e, versions[v].bits, "ecdsa", NULL, 1);
		ends_serve(&e);
		CHECK_INT(connection(e.client, e.base), 0);
		session_read(e.fd, &before);
		lock(e.fd, F_WRLCK);
		CHECK_INT(connection(e.client, e.base), 0);
		session_read(e.fd, &after);
		CHECK_STR(after.data, before.data);
		lock(e.fd, F_RDLCK);
		CHECK_INT(connection(e.client, e.base), 1);
		session_read(e.fd, &after);
		CHECK_STR(after.data, before.data);
		/* And nobody keeps it locked afterwards. */
		lock(e.fd, F_UNLCK);
		CHECK_INT(connection(e.client, e.base), 1);
		lock(e.fd, F_WRLCK);
		session_read(e.fd, &after);
		CHECK(strcmp(after.data, before.data) != 0);
		ends_close(&e);
	}
	h_case = NULL;
}

/* No session costs a descriptor. */
static void
nothing_left(void **state)
{
	struct ends e;
	int fds, i;

	(void)state;
	ends_open(&e, TLS_PROTOCOLS_DEFAULT, "ecdsa", NULL, 0);
	ends_serve(&e);
	connection(e.client, e.base);
	fds = h_fds();
	for (i = 0; i < 10; i++)
		CHECK_INT(connection(e.client, e.base), 1);
	CHECK_INT(h_fds(), fds);
	ends_close(&e);
}

/* For tests/interop/resume.sh. */

/*
 * listen CERTIFICATE KEY PORTFILE: a server with a session lifetime that says
 * to each client whether it resumed, and goes on after failures.
 */
static int
listen_for_shell(int argc, char **argv)
{
	struct tls_config *config;
	struct tls *base, *conn;
	char port[8], c;
	FILE *f;
	int fd, listener;

	CHECK_INT(argc, 4);
	config = server_config(argv[1], "id", (uint32_t)atoi(argv[2]));
	base = h_server(config);
	tls_config_free(config);
	listener = h_listen(port, sizeof(port));
	CHECK((f = fopen(argv[3], "we")) != NULL);
	fprintf(f, "%s\n", port);
	CHECK_INT(fclose(f), 0);
	for (;;) {
		if ((fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) == -1)
			FAIL("accept: %s", strerror(errno));
		CHECK_TLS(base, tls_accept_socket(base, &conn, fd));
		if (h_handshake(conn, fd) == 0) {
			h_write(conn, fd,
			    tls_conn_session_resumed(conn) ? "resumed\n"
							   : "new\n",
			    tls_conn_session_resumed(conn) ? 8 : 4);
			h_close(conn, fd);
			/* Until the client has read it. */
			while (recv(fd, &c, 1, 0) > 0)
				;
		}
		tls_free(conn);
		close(fd);
	}
}

/*
 * connect PORT VERSION SESSIONFILE: says whether it resumed, after a line to
 * the server, which echoes it.
 */
static int
connect_for_shell(int argc, char **argv)
{
	static const char line[] = "hello\n";
	char answer[sizeof(line) - 1];
	struct tls_config *config;
	struct tls *client;
	uint32_t bits;
	int fd;

	CHECK_INT(argc, 4);
	if ((fd = open(argv[3], O_RDWR | O_CREAT | O_CLOEXEC, 0600)) == -1)
		FAIL("%s: %s", argv[3], strerror(errno));
	CHECK_INT(tls_config_parse_protocols(&bits, argv[2]), 0);
	config = client_config(fd, bits);
	client = h_client(config);
	tls_config_free(config);
	CHECK_TLS(client, tls_connect(client, "localhost", argv[1]));
	CHECK_TLS(client, h_handshake(client, -1));
	h_write(client, -1, line, sizeof(line) - 1);
	h_read(client, -1, answer, sizeof(answer));
	/* s_server -rev turns each line around. */
	CHECK_MEM(answer, "olleh\n", sizeof(answer));
	puts(tls_conn_session_resumed(client) ? "resumed" : "new");
	h_close(client, -1);
	tls_free(client);
	return 0;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(session_fd_errors),
	cmocka_unit_test(session_id_and_lifetime),
	cmocka_unit_test(ticket_key_errors),
	cmocka_unit_test(resumes),
	cmocka_unit_test(resumes_with_client_certificate),
	cmocka_unit_test(only_when_wanted),
	cmocka_unit_test(versions_apart),
	cmocka_unit_test(shared_keys),
	cmocka_unit_test(key_names),
	cmocka_unit_test(two_contexts),
	cmocka_unit_test(configured_again),
	cmocka_unit_test(rekeying),
	cmocka_unit_test(from_own_keys_to_given),
	cmocka_unit_test(lifetime),
	cmocka_unit_test(client_verifies_again),
	cmocka_unit_test(unverified_session),
	cmocka_unit_test(server_verifies_again),
	cmocka_unit_test(session_without_certificate),
	cmocka_unit_test(server_processes),
	cmocka_unit_test(worker_killed),
	cmocka_unit_test(file_contents),
	cmocka_unit_test(file_gets_shorter),
	cmocka_unit_test(file_descriptor),
	cmocka_unit_test(file_is_closed),
	cmocka_unit_test(file_in_parallel),
	cmocka_unit_test(file_is_locked),
	cmocka_unit_test(nothing_left),
};

static const struct h_peer peers[] = {
	{ "serve", serve },
	{ "listen", listen_for_shell },
	{ "connect", connect_for_shell },
};

H_MAIN(tests, peers)
