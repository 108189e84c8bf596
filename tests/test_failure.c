/* SPDX-License-Identifier: ISC */
/*
 * Bad input and trouble: an error that names the cause, nothing leaked,
 * nothing hung, and another connection of the program untouched meanwhile.
 */

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/* The other connection. */
static struct h_pair bystander;

static int
setup(void **state)
{
	(void)state;
	if (bystander.client == NULL)
		h_pair_open(&bystander);
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	h_pair_echo(&bystander);
	return 0;
}

/* Runs fn twice: what the first time kept is there the second time. */
static void
twice(void (*fn)(void))
{
	int fds;

	fn();
	fds = h_fds();
	fn();
	if (h_fds() != fds)
		h_print_fds();
	CHECK_INT(h_fds(), fds);
}

/*
 * A program without its helper. Peers run with their own environment:
 * "without_goproxy WANT" expects an error with this text.
 */
static int
without_goproxy(int argc, char **argv)
{
	struct tls_config *config;
	struct tls *ctx;
	const char *error = NULL;
	int a, b, i, fds = 0, rv;

	CHECK_INT(argc, 3);
	h_case = argv[1];
	/* A client without a key, and again. */
	for (i = 0; i < 3; i++) {
		config = h_client_config();
		CHECK((ctx = tls_client()) != NULL);
		h_tcp_pair(&a, &b);
		if ((rv = tls_configure(ctx, config)) == 0)
			rv = tls_connect_socket(ctx, a, "localhost");
		CHECK_INT(rv, -1);
		CHECK_HAS(tls_error(ctx), "goproxy");
		CHECK_HAS(tls_error(ctx), argv[2]);
		/* The socket is still the program's. */
		h_send(a, "x", 1);
		h_poll(b, POLLIN, H_WAIT);
		close(a);
		close(b);
		tls_free(ctx);
		tls_config_free(config);
		if (i == 0)
			fds = h_fds();
	}
	CHECK_INT(h_fds(), fds);

	/* A server, whose key has nowhere to go. */
	CHECK((config = tls_config_new()) != NULL);
	CHECK((ctx = tls_server()) != NULL);
	if ((rv = tls_config_set_keypair_file(config, h_cert("rsa-chain.pem"),
		 h_cert("rsa.key"))) == -1)
		error = tls_config_error(config);
	else if ((rv = tls_configure(ctx, config)) == -1)
		error = tls_error(ctx);
	CHECK_INT(rv, -1);
	CHECK_HAS(error, "goproxy");
	CHECK_HAS(error, argv[2]);
	tls_free(ctx);
	tls_config_free(config);
	h_wait_no_helpers(H_WAIT);
	return 0;
}

static void
put_file(const char *dir, const char *name, const char *text, mode_t mode)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	unlink(path);
	if (text == NULL)
		return;
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
	CHECK(fd != -1);
	CHECK_INT(write(fd, text, strlen(text)), strlen(text));
	CHECK_INT(fchmod(fd, mode), 0);
	close(fd);
}

/* Puts the program into dir, by this name. */
static void
link_program(const char *dir, const char *name, const char *from)
{
	char to[512];

	snprintf(to, sizeof(to), "%s/%s", dir, name);
	unlink(to);
	if (symlink(from, to) == -1)
		FAIL("symlink: %s", strerror(errno));
}

static void
copy_program(const char *dir, const char *name, const char *program)
{
	char from[512];

	snprintf(from, sizeof(from), "%s/%s", getenv("LIBTLS_PROXY_LIBEXEC"),
	    program);
	link_program(dir, name, from);
}

/* A program that looks for them in dir, if not NULL, gets this error. */
static void
fails_with(const char *dir, const char *name, const char *want)
{
	char *saved = strdup(getenv("LIBTLS_PROXY_LIBEXEC"));
	int status;

	CHECK(saved != NULL);
	h_case = name;
	if (dir != NULL)
		setenv("LIBTLS_PROXY_LIBEXEC", dir, 1);
	else
		unsetenv("LIBTLS_PROXY_LIBEXEC");
	status = h_wait_exit(
	    h_start(NULL, 0, "without_goproxy", name, want, (char *)NULL));
	setenv("LIBTLS_PROXY_LIBEXEC", saved, 1);
	free(saved);
	CHECK_INT(status, 0);
	h_case = NULL;
}

static void
remove_programs(const char *dir)
{
	put_file(dir, "supervisor", NULL, 0);
	put_file(dir, "goproxy", NULL, 0);
	CHECK_INT(rmdir(dir), 0);
}

static void
missing_or_wrong_goproxy(void **state)
{
	static const char script[] = "#!/bin/sh\nexit 0\n";
	static const char text[] = "This is no program.\n";
	static const struct {
		const char *name;
		/* NULL: not there; "": the real one */
		const char *supervisor, *goproxy;
		mode_t mode;
		const char *want;
	} cases[] = {
		{ "empty directory", NULL, NULL, 0,
		    " (correct or unset LIBTLS_PROXY_LIBEXEC): "
		    "No such file or directory" },
		{ "no goproxy", "", NULL, 0,
		    "/goproxy' (correct or unset LIBTLS_PROXY_LIBEXEC): "
		    "No such file or directory" },
		{ "no supervisor", NULL, "", 0,
		    "/supervisor' (correct or unset LIBTLS_PROXY_LIBEXEC): "
		    "No such file or directory" },
		{ "supervisor is a text", text, "", 0755,
		    "/supervisor' (no program of this system: install "
		    "libtls-proxy again): Exec format error" },
		{ "goproxy is a text", "", text, 0755,
		    "/goproxy' (no program of this system: install "
		    "libtls-proxy again): Exec format error" },
		{ "supervisor is a script", script, "", 0755,
		    "/supervisor' (no program of this system: " },
		{ "goproxy is a script", "", script, 0755,
		    "/goproxy' (no program of this system: " },
		{ "supervisor is not executable", text, "", 0644,
		    " execute it: mode, directories, noexec): "
		    "Permission denied" },
		{ "goproxy is not executable", "", text, 0644,
		    " execute it: mode, directories, noexec): "
		    "Permission denied" },
		{ "goproxy is empty", "", "\n", 0755, "Exec format error" },
	};
	char dir[] = "/tmp/test_failure.XXXXXX";
	size_t i;

	(void)state;
	PROXY_ONLY();
	CHECK(mkdtemp(dir) != NULL);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		put_file(dir, "supervisor", cases[i].supervisor, cases[i].mode);
		put_file(dir, "goproxy", cases[i].goproxy, cases[i].mode);
		if (cases[i].supervisor != NULL && *cases[i].supervisor == '\0')
			copy_program(dir, "supervisor", "supervisor");
		if (cases[i].goproxy != NULL && *cases[i].goproxy == '\0')
			copy_program(dir, "goproxy", "goproxy");
		fails_with(dir, cases[i].name, cases[i].want);
	}
	fails_with("/no/such/directory", "no directory", "/no/such/directory");
	/* Where it is installed there is nothing to be seen. */
	if (access(getenv("LIBEXEC_INSTALLED"), F_OK) == -1)
		fails_with(NULL, "not installed",
		    " (install libtls-proxy, or set LIBTLS_PROXY_LIBEXEC): "
		    "No such file or directory");
	remove_programs(dir);
}

/* What runs, but is not the goproxy of this library. */
static void
goproxy_of_another_kind(void **state)
{
	char dir[] = "/tmp/test_failure.XXXXXX";
	char want[512];

	(void)state;
	PROXY_ONLY();
	CHECK(mkdtemp(dir) != NULL);
	copy_program(dir, "supervisor", "supervisor");
	link_program(dir, "goproxy", getenv("OTHER_GOPROXY"));
	snprintf(want, sizeof(want),
	    "goproxy '%s/goproxy' speaks protocol version 2, but the library "
	    "(libtls-proxy %s) version 1: install both from one release",
	    dir, getenv("LIBTLS_PROXY_RELEASE"));
	fails_with(dir, "of another version", want);
	/* The supervisor, asked to be a keeper, finds no goproxy. */
	copy_program(dir, "goproxy", "supervisor");
	snprintf(want, sizeof(want),
	    "goproxy '%s/goproxy' ends as soon as it starts: run it with "
	    "--self-test",
	    dir);
	fails_with(dir, "ends at once", want);
	remove_programs(dir);
}

/* Peers run with their own environment; this one as nobody in particular. */
static int
unreadable_key(int argc, char **argv)
{
	struct tls_config *config;
	char want[512];

	CHECK_INT(argc, 2);
	if (geteuid() == 0)
		CHECK_INT(setresuid(65534, 65534, 65534), 0);
	CHECK((config = tls_config_new()) != NULL);
	CHECK_INT(tls_config_set_key_file(config, argv[1]), -1);
	snprintf(want, sizeof(want),
	    "failed to open key file '%s' as user %u (let it read the file, or "
	    "set it before setuid): Permission denied",
	    argv[1], (unsigned int)geteuid());
	CHECK_STR(tls_config_error(config), want);
	tls_config_free(config);
	return 0;
}

static void
key_of_somebody_else(void **state)
{
	char path[] = "/tmp/test_failure.XXXXXX";
	int fd;

	(void)state;
	PROXY_ONLY();
	CHECK((fd = mkostemp(path, O_CLOEXEC)) != -1);
	CHECK_INT(fchmod(fd, 0), 0);
	CHECK_INT(
	    h_wait_exit(h_start(NULL, 0, "unreadable_key", path, (char *)NULL)),
	    0);
	close(fd);
	unlink(path);
}

/* Where a key does not match, LibreTLS failed to load it. */
static void
check_cause(const char *error, const char *want)
{
	if (!h_proxy && strcmp(want, "key mismatch") == 0)
		want = "key";
	CHECK_HAS(error, want);
}

/* Certificates and keys that do not go together, or are none. */
static void
bad_keypairs(void)
{
	static const struct {
		const char *cert, *key;
		const char *want;
	} cases[] = {
		{ "rsa-chain.pem", "mismatch.key", "key mismatch" },
		{ "ecdsa-chain.pem", "mismatch.key", "key mismatch" },
		{ "ecdsa-chain.pem", "rsa.key", "key mismatch" },
		{ "rsa-chain.pem", "ecdsa.key", "key mismatch" },
		{ "rsa-chain.pem", NULL, "key mismatch" },
		{ NULL, "rsa.key", "key mismatch" },
		{ NULL, NULL, "key mismatch" },
		{ "rsa-chain.pem", "empty.pem", "key" },
		{ "rsa-chain.pem", "garbage.pem",
		    "failed to read private key" },
		{ "rsa-chain.pem", "garbage.key",
		    "failed to read private key" },
		{ "rsa-chain.pem", "rsa.pem", "failed to read private key" },
		{ "rsa-chain.pem", "encrypted.key",
		    "failed to read private key" },
		{ "garbage.pem", "rsa.key", "failed to load certificate" },
		{ "garbage-der.pem", "rsa.key", "failed to load certificate" },
		{ "rsa.key", "rsa.key", "failed to load certificate" },
		{ "empty.pem", "rsa.key", "failed to load certificate" },
	};
	struct tls_config *config;
	struct tls *server;
	char name[128];
	const char *error;
	size_t i;
	int rv;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		snprintf(name, sizeof(name), "%s with %s",
		    cases[i].cert != NULL ? cases[i].cert : "nothing",
		    cases[i].key != NULL ? cases[i].key : "nothing");
		h_case = name;
		CHECK((config = tls_config_new()) != NULL);
		CHECK((server = tls_server()) != NULL);
		rv = 0;
		if (cases[i].cert != NULL)
			rv = tls_config_set_cert_file(config,
			    h_cert(cases[i].cert));
		if (rv == 0 && cases[i].key != NULL)
			rv = tls_config_set_key_file(config,
			    h_cert(cases[i].key));
		if (rv == -1)
			error = tls_config_error(config);
		else {
			rv = tls_configure(server, config);
			error = tls_error(server);
		}
		CHECK_INT(rv, -1);
		check_cause(error, cases[i].want);
		/* The second try is the good one. */
		CHECK_CONFIG(config,
		    tls_config_set_keypair_file(config, h_cert("rsa-chain.pem"),
			h_cert("rsa.key")));
		CHECK_TLS(server, tls_configure(server, config));
		tls_free(server);
		tls_config_free(config);
	}
	h_case = NULL;
}

static void
bad_server_keypairs(void **state)
{
	(void)state;
	twice(bad_keypairs);
}

/* A client says it at tls_configure or when it connects. */
static void
bad_client(void)
{
	static const struct {
		const char *cert, *key, *ca;
		const char *want;
	} cases[] = {
		{ "client-chain.pem", "mismatch.key", "root.pem",
		    "key mismatch" },
		{ "client-chain.pem", "garbage.key", "root.pem",
		    "failed to read private key" },
		{ NULL, NULL, "garbage.pem", "ssl verify" },
		{ NULL, NULL, "rsa.key", "ssl verify" },
	};
	struct tls_config *config;
	struct tls *client;
	size_t i;
	int a, b, rv;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].want;
		h_tcp_pair(&a, &b);
		CHECK((config = tls_config_new()) != NULL);
		CHECK((client = tls_client()) != NULL);
		CHECK_CONFIG(config,
		    tls_config_set_ca_file(config, h_cert(cases[i].ca)));
		if (cases[i].cert != NULL)
			CHECK_CONFIG(config,
			    tls_config_set_keypair_file(config,
				h_cert(cases[i].cert), h_cert(cases[i].key)));
		if ((rv = tls_configure(client, config)) == 0)
			rv = tls_connect_socket(client, a, "localhost");
		CHECK_INT(rv, -1);
		check_cause(tls_error(client), cases[i].want);
		/* The socket was not touched. */
		h_send(a, "x", 1);
		h_poll(b, POLLIN, H_WAIT);
		tls_free(client);
		tls_config_free(config);
		close(a);
		close(b);
	}
	h_case = NULL;
}

static void
bad_client_config(void **state)
{
	(void)state;
	twice(bad_client);
}

/* One end of ours, the other a plain socket. Returns the descriptors. */
static struct tls *
start_one(int is_server, int *fd, int *peer)
{
	struct tls_config *config;
	struct tls *ctx, *base;

	h_tcp_pair(fd, peer);
	h_nonblock(*fd, 1);
	if (!is_server) {
		config = h_client_config();
		ctx = h_client(config);
		CHECK_TLS(ctx, tls_connect_socket(ctx, *fd, "localhost"));
	} else {
		config = h_server_config("ecdsa");
		base = h_server(config);
		CHECK_TLS(base, tls_accept_socket(base, &ctx, *fd));
		if (h_proxy)
			tls_free(base);
		/* LibreTLS wants it until the handshake is over. */
	}
	tls_config_free(config);
	return ctx;
}

static int
is_network_socket(int fd)
{
	struct sockaddr_in sin;
	socklen_t len = sizeof(sin);

	return getsockname(fd, (struct sockaddr *)&sin, &len) == 0 &&
	       sin.sin_family == AF_INET;
}

static void
speaks_no_tls(void)
{
	static const struct {
		const char *name;
		int is_server;
		const char *text;
	} cases[] = {
		{ "HTTP request", 1,
		    "GET / HTTP/1.0\r\nHost: localhost\r\n\r\n" },
		{ "HTTP response", 0, "HTTP/1.0 400 Bad Request\r\n\r\n" },
		{ "SMTP greeting", 0, "220 mail.test ESMTP\r\n" },
		{ "SSH to a server", 1, "SSH-2.0-OpenSSH_9.2p1\r\n" },
		{ "zeros", 1, "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0" },
	};
	char text[512];
	struct tls *ctx;
	int fd, peer;
	size_t i;

	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].name;
		ctx = start_one(cases[i].is_server, &fd, &peer);
		h_send(peer, cases[i].text,
		    strlen(cases[i].text) > 0 ? strlen(cases[i].text) : 20);
		CHECK_INT(h_handshake(ctx, fd), -1);
		CHECK_HAS(tls_error(ctx), "handshake failed: ");
		snprintf(text, sizeof(text), "%s", tls_error(ctx));
		if (h_proxy) {
			CHECK_INT(h_handshake(ctx, fd), -1);
			CHECK_STR(tls_error(ctx), text);
			CHECK_INT(tls_write(ctx, "x", 1), -1);
			CHECK_INT(tls_read(ctx, text, 1), -1);
		}
		/* The program may still tell the peer in plain text. */
		CHECK(is_network_socket(fd));
		h_send(fd, "no\r\n", 4);
		tls_free(ctx);
		close(fd);
		close(peer);
	}
	h_case = NULL;
}

static void
peer_speaks_no_tls(void **state)
{
	(void)state;
	/* With LibreTLS the base contexts leak, see start_one. */
	if (h_proxy)
		twice(speaks_no_tls);
	else
		speaks_no_tls();
}

static void
peer_says_nothing_and_leaves(void **state)
{
	struct tls *ctx;
	int fd, peer, is_server, how;

	(void)state;
	for (is_server = 0; is_server < 2; is_server++) {
		for (how = 0; how < 2; how++) {
			h_case = how ? "reset" : "end of file";
			ctx = start_one(is_server, &fd, &peer);
			CHECK_INT(tls_handshake(ctx), TLS_WANT_POLLIN);
			if (how)
				h_reset_on_close(peer);
			else
				shutdown(peer, SHUT_WR);
			if (how)
				close(peer);
			CHECK_INT(h_handshake(ctx, fd), -1);
			CHECK_HAS(tls_error(ctx), "handshake failed: ");
			CHECK_HAS(tls_error(ctx), how	    ? "reset by peer"
						  : h_proxy ? "unexpected EOF"
							    : "unexpected eof");
			tls_free(ctx);
			if (!how)
				close(peer);
			close(fd);
		}
	}
	h_case = NULL;
}

/* The peer hangs up after so many bytes of its side of the handshake. */
static void
hang_up(void)
{
	static const unsigned long long after[] = { 1, 4, 5, 6, 60, 130, 300,
		700 };
	struct tls_config *client, *server;
	struct h_relay r;
	struct h_pair p;
	char name[128];
	int v, cut, how, a, b;
	size_t i, n;

	for (n = 0; n < 8 * sizeof(after) / sizeof(after[0]); n++) {
		v = n & 1;
		cut = n >> 1 & 1;
		how = n >> 2 & 1;
		i = n >> 3;
		snprintf(name, sizeof(name),
		    "%s, %s after %llu bytes of the "
		    "%s's",
		    v ? "TLS 1.3" : "TLS 1.2", how ? "reset" : "end", after[i],
		    cut ? "client" : "server");
		h_case = name;
		h_relay_start(&r, &a, &b);
		h_relay_limit(cut ? r.to_server : r.to_client, after[i],
		    how ? H_RELAY_RST : H_RELAY_FIN);
		client = h_client_config();
		server = h_server_config("ecdsa");
		CHECK_CONFIG(client,
		    tls_config_set_protocols(client,
			v ? TLS_PROTOCOL_TLSv1_3 : TLS_PROTOCOL_TLSv1_2));
		h_pair_start_on(&p, client, server, "localhost", a, b);
		tls_config_free(client);
		tls_config_free(server);
		h_pair_handshake(&p);
		/*
		 * Some of these are after the end of a handshake: whoever has
		 * failed says why.
		 */
		CHECK(p.crv == -1 || p.srv == -1 ||
		      after[i] > atomic_load(cut ? &r.to_server->bytes
						 : &r.to_client->bytes));
		if (p.crv == -1)
			CHECK_HAS(tls_error(p.client), "handshake failed: ");
		if (p.srv == -1)
			CHECK_HAS(tls_error(p.server), "handshake failed: ");
		if (after[i] <= 60) {
			CHECK_INT(p.crv, -1);
			CHECK_INT(p.srv, -1);
		}
		CHECK(is_network_socket(p.cfd) || p.crv == 0);
		CHECK(is_network_socket(p.sfd) || p.srv == 0);
		h_pair_free(&p);
		h_relay_stop(&r);
	}
	h_case = NULL;
}

static void
peer_hangs_up(void **state)
{
	(void)state;
	twice(hang_up);
}

/*
 * With fewer and fewer descriptors: each step that fails says so, leaves
 * nothing (but what is kept) and takes nothing away.
 */
static int
limited(int room, int kept)
{
	struct tls_config *config = NULL;
	struct tls *client = NULL, *base = NULL, *server = NULL;
	const char *step = "none", *error = NULL;
	struct rlimit old, limit;
	int a, b, done = 0, fd, fds, rv;

	h_tcp_pair(&a, &b);
	h_nonblock(a, 1);
	h_nonblock(b, 1);
	fds = h_fds();
	/* The limit is of numbers, not of how many. */
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &old), 0);
	CHECK((fd = dup(a)) != -1);
	close(fd);
	limit = old;
	limit.rlim_cur = (rlim_t)(fd + room);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);

	if ((config = tls_config_new()) == NULL)
		goto out;
	step = "set_ca_file";
	if ((rv = tls_config_set_ca_file(config, h_cert("root.pem"))) == -1) {
		error = tls_config_error(config);
		goto out;
	}
	step = "set_keypair_file";
	if ((rv = tls_config_set_keypair_file(config, h_cert("ecdsa-chain.pem"),
		 h_cert("ecdsa.key"))) == -1) {
		error = tls_config_error(config);
		goto out;
	}
	step = "tls_configure";
	CHECK((base = tls_server()) != NULL);
	if ((rv = tls_configure(base, config)) == -1) {
		error = tls_error(base);
		goto out;
	}
	step = "tls_configure of the client";
	CHECK((client = tls_client()) != NULL);
	if ((rv = tls_configure(client, config)) == -1) {
		error = tls_error(client);
		goto out;
	}
	step = "tls_accept_socket";
	if ((rv = tls_accept_socket(base, &server, b)) == -1) {
		error = tls_error(base);
		CHECK(is_network_socket(b));
		goto out;
	}
	step = "tls_connect_socket";
	if ((rv = tls_connect_socket(client, a, "localhost")) == -1) {
		error = tls_error(client);
		CHECK(is_network_socket(a));
		goto out;
	}
	step = "handshake";
	{
		struct h_pair p = { .client = client,
			.server = server,
			.cfd = a,
			.sfd = b };

		h_pair_handshake(&p);
		rv = p.crv == -1 || p.srv == -1 ? -1 : 0;
		if (rv == -1) {
			error =
			    p.crv == -1 ? tls_error(client) : tls_error(server);
			goto out;
		}
		h_pair_echo(&p);
	}
	done = 1;

out:
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &old), 0);
	if (!done) {
		char name[128];

		snprintf(name, sizeof(name), "room for %d: %s failed", room,
		    step);
		h_case = name;
		CHECK_HAS(error, "Too many open files");
	}
	tls_free(server);
	tls_free(client);
	tls_free(base);
	tls_config_free(config);
	CHECK(h_fds() - fds <= kept);
	close(a);
	close(b);
	h_case = NULL;
	return done;
}

static void
no_descriptors_left(void **state)
{
	int room, failed = 0;

	(void)state;
	if (h_valgrind())
		skip(); /* whose idea of RLIMIT_NOFILE is another */
	for (room = 0; room < 64; room++) {
		if (limited(room, 0))
			break;
		failed++;
		h_pair_echo(&bystander);
	}
	CHECK(room < 64);
	CHECK(failed > 0);
}

/*
 * The same when even the helper was not started yet; the way to it is kept.
 */
static int
start_without_descriptors(int argc, char **argv)
{
	int fds = h_fds(), room;
	struct h_pair p;

	(void)argc;
	(void)argv;
	for (room = 0; room < 64 && !limited(room, 1); room++)
		;
	CHECK(room > 0 && room < 64);
	CHECK(h_fds() - fds <= 1);
	h_pair_open(&p);
	h_pair_echo(&p);
	h_pair_free(&p);
	return 0;
}

static void
no_descriptors_at_start(void **state)
{
	pid_t peer;

	(void)state;
	PROXY_ONLY();
	peer = h_start(NULL, 0, "start_without_descriptors", (char *)NULL);
	CHECK_INT(h_wait_exit(peer), 0);
}

/* What is no socket at all. */
static void
wrong_descriptors(void **state)
{
	struct tls_config *config, *sconfig;
	struct tls *client, *base, *conn;
	int fd, a, b, pipes[2], rv;

	(void)state;
	PROXY_ONLY();
	config = h_client_config();
	sconfig = h_server_config("ecdsa");
	client = h_client(config);
	base = h_server(sconfig);
	h_tcp_pair(&a, &b);
	close(a);
	close(b);
	CHECK_INT(tls_connect_socket(client, a, "localhost"), -1);
	CHECK_HAS(tls_error(client), "Bad file descriptor");
	conn = client;
	CHECK_INT(tls_accept_socket(base, &conn, a), -1);
	CHECK_HAS(tls_error(base), "Bad file descriptor");
	CHECK(conn == NULL);

	CHECK((fd = open("/dev/null", O_RDWR | O_CLOEXEC)) != -1);
	rv = tls_connect_socket(client, fd, "localhost");
	if (rv == 0)
		rv = h_handshake(client, fd);
	CHECK_INT(rv, -1);
	CHECK_STR(tls_error(client), "handshake failed: unexpected EOF");
	close(fd);

	/* The ends of a pipe the wrong way round. */
	tls_free(client);
	client = h_client(config);
	CHECK_INT(pipe2(pipes, O_CLOEXEC), 0);
	rv = tls_connect_fds(client, pipes[1], pipes[0], "localhost");
	if (rv == 0)
		rv = tls_handshake(client);
	CHECK_INT(rv, -1);
	CHECK_HAS(tls_error(client), "Bad file descriptor");
	close(pipes[0]);
	close(pipes[1]);
	tls_free(client);
	tls_free(base);
	tls_config_free(config);
	tls_config_free(sconfig);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

static const struct CMUnitTest tests[] = {
	TEST(missing_or_wrong_goproxy),
	TEST(goproxy_of_another_kind),
	TEST(key_of_somebody_else),
	TEST(bad_server_keypairs),
	TEST(bad_client_config),
	TEST(peer_speaks_no_tls),
	TEST(peer_says_nothing_and_leaves),
	TEST(peer_hangs_up),
	TEST(no_descriptors_left),
	TEST(no_descriptors_at_start),
	TEST(wrong_descriptors),
};

static const struct h_peer peers[] = {
	{ "without_goproxy", without_goproxy },
	{ "unreadable_key", unreadable_key },
	{ "start_without_descriptors", start_without_descriptors },
};

H_MAIN(tests, peers)
