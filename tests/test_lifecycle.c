/* SPDX-License-Identifier: ISC */
/*
 * The life of the helper and of what it serves: it ends with the program, its
 * death is an error of the connections that it had and no more, and contexts
 * and configurations may go in any order. What programs do with themselves is
 * in guest/.
 */

#include <sys/socket.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/*
 * Programs that end in one way or another, with a connection open or not:
 * "ender HOW", where HOW names what is there.
 */
static int
ender_peer(int argc, char **argv)
{
	struct tls_config *config;
	struct tls *base, *conn;
	struct h_pair p;
	int a, b;

	(void)argc;
	if (strcmp(argv[1], "draft") == 0) {
		config = h_server_config("rsa");
		_exit(0);
	}
	if (strcmp(argv[1], "configured") == 0) {
		config = h_server_config("rsa");
		h_server(config);
		_exit(0);
	}
	if (strcmp(argv[1], "handshake") == 0) {
		h_tcp_pair(&a, &b);
		h_nonblock(a, 1);
		config = h_server_config("rsa");
		base = h_server(config);
		CHECK_TLS(base, tls_accept_socket(base, &conn, a));
		CHECK_INT(tls_handshake(conn), TLS_WANT_POLLIN);
		_exit(0);
	}
	h_pair_open(&p);
	h_pair_echo(&p);
	if (strcmp(argv[1], "connection") == 0)
		_exit(0);
	if (strcmp(argv[1], "killed") == 0)
		kill(getpid(), SIGKILL);
	if (strcmp(argv[1], "everything freed") == 0)
		h_pair_free(&p);
	return 0;
}

static void
no_process_is_left(void **state)
{
	static const char *const how[] = { "draft", "configured", "handshake",
		"connection", "killed", "everything freed" };
	pid_t peer;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(how) / sizeof(how[0]); i++) {
		h_case = how[i];
		peer = h_start(NULL, 0, "ender", how[i], (char *)NULL);
		CHECK_INT(h_wait_exit(peer),
		    strcmp(how[i], "killed") == 0 ? 128 + SIGKILL : 0);
		h_wait_no_helpers(h_ms(5000));
	}
	h_case = NULL;
}

/* A program that has freed everything may go on without a helper. */
static int
idle_peer(int argc, char **argv)
{
	struct h_pair p;
	int fds, n;

	(void)argc;
	(void)argv;
	h_pair_open(&p);
	h_pair_free(&p);
	fds = h_fds();
	for (n = 0; n < 20; n++) {
		h_pair_open(&p);
		h_pair_echo(&p);
		h_pair_free(&p);
		if (h_fds() != fds)
			h_print_fds();
		CHECK_INT(h_fds(), fds);
	}
	/* However often: one supervisor, one keeper, one worker. */
	CHECK(h_helpers() <= 3);
	return 0;
}

static void
nothing_piles_up(void **state)
{
	pid_t peer;

	(void)state;
	peer = h_start(NULL, 0, "idle", (char *)NULL);
	CHECK_INT(h_wait_exit(peer), 0);
	h_wait_no_helpers(h_ms(5000));
}

/* Configurations, and the server's context, may go before what uses them. */
static void
freed_early(void **state)
{
	struct tls_config *cconfig, *sconfig;
	struct h_pair p;

	(void)state;
	/* LibreTLS and LibreSSL use the server's during the handshake. */
	PROXY_ONLY();
	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	h_pair_start(&p, cconfig, sconfig, "localhost");
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	tls_free(p.base);
	p.base = NULL;
	CHECK_PAIR(&p);
	h_pair_echo(&p);
	h_pair_free(&p);
}

/* A server goes on with its keys after tls_config_clear_keys. */
static void
keys_cleared(void **state)
{
	struct tls_config *cconfig, *sconfig;
	struct tls *base;
	struct h_pair p;
	int n;

	(void)state;
	cconfig = h_client_config();
	sconfig = h_server_config("rsa");
	base = h_server(sconfig);
	tls_config_clear_keys(sconfig);
	for (n = 0; n < 2; n++) {
		h_pair_join(&p, cconfig, base, "localhost");
		CHECK_PAIR(&p);
		h_pair_echo(&p);
		h_pair_free(&p);
	}
	tls_free(base);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
}

/* A new certificate for a server that runs: old connections stay. */
static void
configured_again(void **state)
{
	struct tls_config *config, *again;
	struct tls *base;
	struct h_pair p, q;
	char subject[128];
	int a, b;

	(void)state;
	h_pair_open(&p);
	base = p.base;
	again = h_server_config("ecdsa");
	if (!h_proxy) /* which has the old pair still loaded */
		tls_reset(base);
	CHECK_TLS(base, tls_configure(base, again));
	tls_config_free(again);

	memset(&q, 0, sizeof(q));
	h_tcp_pair(&a, &b);
	h_nonblock(a, 1);
	h_nonblock(b, 1);
	config = h_client_config();
	q.client = h_client(config);
	tls_config_free(config);
	q.cfd = a;
	q.sfd = b;
	CHECK_TLS(q.client, tls_connect_socket(q.client, a, "localhost"));
	CHECK_TLS(base, tls_accept_socket(base, &q.server, b));
	h_pair_handshake(&q);
	CHECK_TLS(q.client, q.crv);
	snprintf(subject, sizeof(subject), "/C=XX/O=libtls-proxy tests/CN=%s",
	    "ecdsa");
	CHECK_STR(tls_peer_cert_subject(q.client), subject);
	h_pair_echo(&q);
	h_pair_echo(&p);
	h_pair_free(&q);
	h_pair_free(&p);
}

/* A new configuration is for the next connection, not for one that is open. */
static void
connection_configured_again(void **state)
{
	struct tls_config *client, *server;
	struct h_pair p;
	int a, b;

	(void)state;
	h_pair_open(&p);
	client = h_client_config();
	server = h_server_config("rsa");
	CHECK_CONFIG(client,
	    tls_config_set_protocols(client, TLS_PROTOCOL_TLSv1_2));
	CHECK_TLS(p.client, tls_configure(p.client, client));
	CHECK_TLS(p.server, tls_configure(p.server, server));
	h_pair_echo(&p);
	CHECK_STR(tls_conn_version(p.client), "TLSv1.3");
	/* Where the library has to ask the worker. */
	CHECK_INT(tls_ocsp_process_response(p.client, (const uint8_t *)"x", 1),
	    -1);
	h_reset_on_close(p.sfd);
	tls_free(p.server);
	p.server = NULL;
	close(p.sfd);
	h_poll(p.cfd, POLLIN, H_WAIT);
	CHECK(h_read_some(p.client, p.cfd, &a, 1) <= 0);
	close(p.cfd);

	h_tcp_pair(&a, &b);
	h_nonblock(a, 1);
	h_nonblock(b, 1);
	p.cfd = a;
	p.sfd = b;
	if (!h_proxy) { /* which has the old connection still */
		tls_reset(p.client);
		CHECK_TLS(p.client, tls_configure(p.client, client));
	}
	tls_config_free(client);
	tls_config_free(server);
	CHECK_TLS(p.client, tls_connect_socket(p.client, a, "localhost"));
	CHECK_TLS(p.base, tls_accept_socket(p.base, &p.server, b));
	h_pair_handshake(&p);
	CHECK_TLS(p.client, p.crv);
	CHECK_STR(tls_conn_version(p.client), "TLSv1.2");
	h_pair_free(&p);
}

/*
 * Serves echoes to any number of connections, one byte each time, until its
 * standard channel (H_KEPT + 1) ends. Keeps them all open.
 */
#define CONNECTIONS 1000

static int
connections(void)
{
	return h_long() ? CONNECTIONS : 100;
}

static int
many_peer(int argc, char **argv)
{
	static struct tls *conns[CONNECTIONS + 8];
	static struct pollfd pfd[CONNECTIONS + 10];
	struct tls_config *config;
	struct tls *base;
	int n = 0, i, fd;
	ssize_t rv;
	char c;

	(void)argc;
	(void)argv;
	h_raise_nofile();
	config = h_server_config("ecdsa");
	base = h_server(config);
	tls_config_free(config);
	pfd[0].fd = H_KEPT;
	pfd[1].fd = H_KEPT + 1;
	pfd[0].events = pfd[1].events = POLLIN;
	/* Ready: the processes are there. */
	h_send(H_KEPT + 1, "r", 1);
	for (;;) {
		if (poll(pfd, (nfds_t)n + 2, -1) == -1)
			continue;
		if (pfd[1].revents != 0)
			break;
		for (i = 0; i < n; i++) {
			if (pfd[i + 2].revents == 0)
				continue;
			rv = tls_read(conns[i], &c, 1);
			if (rv == 1)
				h_write(conns[i], pfd[i + 2].fd, &c, 1);
			else if (rv == TLS_WANT_POLLOUT)
				pfd[i + 2].events = POLLOUT;
			else if (rv == TLS_WANT_POLLIN)
				pfd[i + 2].events = POLLIN;
			else
				pfd[i + 2].fd = -1;
		}
		if (pfd[0].revents != 0) {
			CHECK(n < CONNECTIONS + 8);
			fd = h_accept(H_KEPT);
			h_nonblock(fd, 1);
			CHECK_TLS(base, tls_accept_socket(base, &conns[n], fd));
			pfd[n + 2].fd = fd;
			pfd[n + 2].events = POLLIN;
			pfd[n + 2].revents = 0;
			n++;
		}
	}
	/* The end of the program is the end of them. */
	_exit(0);
}

/* Connects, and sends a byte there and back. */
static struct tls *
connect_one(struct tls_config *config, const char *port, int *fd)
{
	struct tls *client;
	int on = 1;
	char c = 0;

	*fd = h_connect(port);
	h_nonblock(*fd, 1);
	/* Else the byte waits for the acknowledgement of the handshake. */
	CHECK_INT(setsockopt(*fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)),
	    0);
	client = h_client(config);
	CHECK_TLS(client, tls_connect_socket(client, *fd, "localhost"));
	CHECK_TLS(client, h_handshake(client, *fd));
	h_write(client, *fd, "x", 1);
	h_read(client, *fd, &c, 1);
	CHECK_INT(c, 'x');
	return client;
}

/*
 * kill -9 of the worker: within 100 ms each of its connections is woken and
 * gets an error that says why, and within 250 ms of the kill a new one works.
 * Returns whether it was in time.
 */
static int
killed_under_load(int is_server)
{
	static struct tls *clients[CONNECTIONS];
	static struct pollfd pfd[CONNECTIONS];
	struct tls_config *config, *sconfig = NULL;
	struct tls *client = NULL, *base = NULL;
	int64_t killed, called, failed, works = 0, longest = 0;
	int fd = -1, left, i, keep[2], control;
	ssize_t rv;
	char port[8], c;
	pid_t peer, worker;

	/*
	 * The other end has a goproxy of its own. It is the server in any
	 * case; what is_server adds is a server of this process.
	 */
	keep[0] = h_listen(port, sizeof(port));
	h_socketpair(SOCK_STREAM, &control, &keep[1]);
	peer = h_start(keep, 2, "many", (char *)NULL);
	close(keep[0]);
	close(keep[1]);
	h_recv(control, &c, 1);

	config = h_client_config();
	if (is_server) {
		sconfig = h_server_config("rsa");
		base = h_server(sconfig);
	}
	h_raise_nofile();
	for (i = 0; i < connections(); i++) {
		clients[i] = connect_one(config, port, &pfd[i].fd);
		pfd[i].events = POLLIN;
	}
	worker = h_wait_helper("worker", -1);

	killed = h_now();
	CHECK_INT(kill(worker, SIGKILL), 0);
	for (left = connections(); left > 0;) {
		/* The network's own descriptors do not know. */
		if (h_app)
			h_pause(killed + H_WAIT, "the errors");
		else if (poll(pfd, (nfds_t)connections(), H_WAIT) < 1)
			FAIL("%d connections were not woken", left);
		for (i = 0; i < connections(); i++) {
			if (pfd[i].fd == -1 || (!h_app && pfd[i].revents == 0))
				continue;
			errno = EXDEV;
			called = h_now();
			rv = tls_read(clients[i], &c, 1);
			CHECK_INT(errno, 0);
			if (h_app && rv == TLS_WANT_POLLIN)
				continue;
			CHECK_INT(rv, -1);
			CHECK_HAS(tls_error(clients[i]), "goproxy");
			if (h_now() - called > longest)
				longest = h_now() - called;
			close(pfd[i].fd);
			pfd[i].fd = -1;
			left--;
			/* A thousand calls take their time. */
			if (h_long() && client == NULL) {
				client = connect_one(config, port, &fd);
				works = h_now();
			}
		}
	}
	failed = h_now();
	if (client == NULL) {
		client = connect_one(config, port, &fd);
		works = h_now();
	}
	print_message("all errors after %lld ms, each within %lld ms, new "
		      "connection after %lld ms\n",
	    (long long)(failed - killed), (long long)longest,
	    (long long)(works - killed));
	if (h_long())
		failed = killed + longest;
	for (i = 0; i < connections(); i++) {
		CHECK_INT(h_close(clients[i], -1), -1);
		tls_free(clients[i]);
	}
	tls_free(client);
	close(fd);
	close(control);
	CHECK_INT(h_wait_exit(peer), 0);

	if (is_server) {
		struct h_pair p;

		h_pair_join(&p, config, base, "localhost");
		CHECK_PAIR(&p);
		h_pair_echo(&p);
		h_pair_free(&p);
		tls_free(base);
		tls_config_free(sconfig);
	}
	tls_config_free(config);
	return failed - killed <= h_ms(100) && works - killed <= h_ms(250);
}

/* What else the machine does may cost a try or two. */
static void
killed_in_time(int is_server)
{
	int tries;

	for (tries = 0; tries < 3; tries++) {
		if (killed_under_load(is_server))
			return;
	}
	FAIL("too late, three times");
}

static void
worker_killed_client(void **state)
{
	(void)state;
	PROXY_ONLY();
	killed_in_time(0);
}

static void
worker_killed_with_keys(void **state)
{
	(void)state;
	PROXY_ONLY();
	killed_in_time(1);
}

/* The keeper's death is an error too, and tls_configure starts afresh. */
static void
keeper_killed(void **state)
{
	struct tls_config *cconfig, *sconfig;
	struct h_pair p;
	struct tls *conn;
	pid_t keeper, worker;
	char c;
	int a, b, rv;

	(void)state;
	PROXY_ONLY();
	h_pair_open(&p);
	keeper = h_wait_helper("keeper", -1);
	worker = h_wait_helper("worker", -1);
	CHECK_INT(kill(keeper, SIGKILL), 0);
	if (h_app) /* the worker ends by itself */
		h_wait_gone(worker);
	CHECK_INT(h_read_some(p.client, p.cfd, &c, 1), -1);
	CHECK_HAS(tls_error(p.client), "goproxy");
	CHECK_INT(h_close(p.client, p.cfd), -1);
	CHECK_HAS(tls_error(p.client), "goproxy");

	/* The old server context has lost its key. */
	h_tcp_pair(&a, &b);
	rv = tls_accept_socket(p.base, &conn, b);
	if (rv == 0)
		rv = h_handshake(conn, b);
	CHECK_INT(rv, -1);
	tls_free(conn);
	close(a);
	close(b);
	h_pair_free(&p);

	cconfig = h_client_config();
	sconfig = h_server_config("rsa");
	h_pair_start(&p, cconfig, sconfig, "localhost");
	CHECK_PAIR(&p);
	h_pair_echo(&p);
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	CHECK(h_wait_helper("keeper", keeper) != keeper);
	CHECK_INT(h_helpers(), 3);
}

/* A helper that stands still is not waited for without end. */
static void
supervisor_killed(void **state)
{
	struct h_pair p;
	pid_t supervisor;

	(void)state;
	PROXY_ONLY();
	h_pair_open(&p);
	/* It has no role: its name is all of it. */
	supervisor = h_wait_helper("", -1);
	CHECK_INT(kill(supervisor, SIGKILL), 0);
	/* What runs does not need it. */
	h_pair_echo(&p);
	h_pair_free(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(no_process_is_left), /* while we have none */
	cmocka_unit_test(nothing_piles_up),
	cmocka_unit_test(freed_early),
	cmocka_unit_test(keys_cleared),
	cmocka_unit_test(configured_again),
	cmocka_unit_test(connection_configured_again),
	cmocka_unit_test(worker_killed_client),
	cmocka_unit_test(worker_killed_with_keys),
	cmocka_unit_test(keeper_killed),
	cmocka_unit_test(supervisor_killed),
};

static const struct h_peer peers[] = {
	{ "ender", ender_peer },
	{ "idle", idle_peer },
	{ "many", many_peer },
};

H_MAIN(tests, peers)
