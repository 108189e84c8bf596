/* SPDX-License-Identifier: ISC */
/*
 * The library is a guest in its program: no child, no signal and no process
 * of it is to be seen, in whatever the program does with fork(2), and the
 * helper's death is an error of the connections that it had and no more.
 */

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

/*
 * A client end that another process can use without a configuration from us:
 * connects to the port and echoes one byte, COUNT times.
 */
static int
client_peer(int argc, char **argv)
{
	struct tls_config *config;
	struct tls *client;
	int fd, n;
	char c;

	CHECK_INT(argc, 3);
	config = h_client_config();
	client = h_client(config);
	for (n = atoi(argv[2]); n > 0; n--) {
		fd = h_connect(argv[1]);
		CHECK_TLS(client, tls_connect_socket(client, fd, "localhost"));
		CHECK_TLS(client, h_handshake(client, fd));
		h_write(client, fd, "q", 1);
		h_read(client, fd, &c, 1);
		CHECK_INT(c, 'a');
		CHECK_TLS(client, h_close(client, fd));
		tls_reset(client);
		CHECK_TLS(client, tls_configure(client, config));
		close(fd);
	}
	tls_free(client);
	tls_config_free(config);
	return 0;
}

/* The other end of a connection of client_peer. */
static void
serve_one(struct tls *base, int fd)
{
	struct tls *conn;
	char c;

	CHECK_TLS(base, tls_accept_socket(base, &conn, fd));
	CHECK_TLS(conn, h_handshake(conn, fd));
	h_read(conn, fd, &c, 1);
	CHECK_INT(c, 'q');
	h_write(conn, fd, "a", 1);
	CHECK_INT(h_read_some(conn, fd, &c, 1), 0);
	CHECK_TLS(conn, h_close(conn, fd));
	tls_free(conn);
	close(fd);
}

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

static volatile sig_atomic_t sigchld;

static void
on_sigchld(int sig)
{
	(void)sig;
	sigchld++;
}

/*
 * What a program sees that looks: "guest HOW". Here the harness is no
 * subreaper, so that the children are those of an ordinary program.
 */
static int
guest_peer(int argc, char **argv)
{
	struct sigaction sa, before[NSIG], after;
	struct h_pair p;
	int how, i, status;
	pid_t pid;

	(void)argc;
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	memset(&sa, 0, sizeof(sa));
	sigemptyset(&sa.sa_mask);
	if (strcmp(argv[1], "ignored") == 0) {
		signal(SIGCHLD, SIG_IGN);
		how = 1;
	} else {
		sa.sa_handler = on_sigchld;
		CHECK_INT(sigaction(SIGCHLD, &sa, NULL), 0);
		how = 0;
	}
	for (i = 1; i < NSIG; i++)
		sigaction(i, NULL, &before[i]);

	h_pair_open(&p);
	h_pair_echo(&p);
	CHECK_INT(waitpid(-1, &status, WNOHANG), -1);
	CHECK_INT(errno, ECHILD);
	CHECK_INT(wait(&status), -1);
	CHECK_INT(errno, ECHILD);
	CHECK_INT(waitpid(-1, &status, WNOHANG | __WALL), -1);
	CHECK_INT(errno, ECHILD);
	CHECK_INT(sigchld, 0);

	/* A child of the program is the program's. */
	if ((pid = fork()) == 0)
		_exit(7);
	if (how == 0) {
		CHECK_INT(waitpid(pid, &status, 0), pid);
		CHECK_INT(WEXITSTATUS(status), 7);
	}
	h_pair_echo(&p);
	h_pair_free(&p);
	for (i = 1; i < NSIG; i++) {
		if (i == SIGKILL || i == SIGSTOP ||
		    sigaction(i, NULL, &after) == -1)
			continue;
		CHECK(before[i].sa_handler == after.sa_handler);
	}
	return 0;
}

static void
no_child_to_be_seen(void **state)
{
	static const char *const how[] = { "handler", "ignored" };
	pid_t peer;
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(how) / sizeof(how[0]); i++) {
		h_case = how[i];
		peer = h_start(NULL, 0, "guest", how[i], (char *)NULL);
		CHECK_INT(h_wait_exit(peer), 0);
	}
	h_case = NULL;
}

/* What is not close-on-exec would be inherited, or was. */
static void
check_close_on_exec(void)
{
	struct dirent *e;
	DIR *dir;
	int fd;

	CHECK((dir = opendir("/proc/self/fd")) != NULL);
	while ((e = readdir(dir)) != NULL) {
		fd = atoi(e->d_name);
		if (fd > 2 && !(fcntl(fd, F_GETFD) & FD_CLOEXEC)) {
			h_print_fds();
			FAIL("descriptor %d is not close-on-exec", fd);
		}
	}
	closedir(dir);
}

static int
closed_peer(int argc, char **argv)
{
	(void)argc;
	(void)argv;
	check_close_on_exec();
	return 0;
}

static void
close_on_exec(void **state)
{
	struct h_pair p;
	pid_t peer;

	(void)state;
	h_pair_open(&p);
	check_close_on_exec();
	peer = h_start(NULL, 0, "closed", (char *)NULL);
	CHECK_INT(h_wait_exit(peer), 0);
	h_pair_free(&p);
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
	h_pair_handshake(&p);
	CHECK_TLS(p.client, p.crv);
	CHECK_TLS(p.server, p.srv);
	h_pair_echo(&p);
	h_pair_free(&p);
}

/* A server goes on with its keys after tls_config_clear_keys. */
static void
keys_cleared(void **state)
{
	struct tls_config *cconfig, *sconfig;
	struct tls *base, *conn, *client;
	struct h_pair p = { 0 };
	int n, a, b;

	(void)state;
	cconfig = h_client_config();
	sconfig = h_server_config("rsa");
	base = h_server(sconfig);
	tls_config_clear_keys(sconfig);
	for (n = 0; n < 2; n++) {
		h_tcp_pair(&a, &b);
		h_nonblock(a, 1);
		h_nonblock(b, 1);
		client = h_client(cconfig);
		CHECK_TLS(client, tls_connect_socket(client, a, "localhost"));
		CHECK_TLS(base, tls_accept_socket(base, &conn, b));
		p.client = client;
		p.server = conn;
		p.cfd = a;
		p.sfd = b;
		h_pair_handshake(&p);
		CHECK_TLS(client, p.crv);
		CHECK_TLS(conn, p.srv);
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

#define CHILDREN  8
#define PER_CHILD 5

/* Configure once, fork, and accept in each child. */
static int
prefork_peer(int argc, char **argv)
{
	struct tls_config *config;
	pid_t children[CHILDREN];
	struct tls *base;
	int i, n, status;

	(void)argc;
	(void)argv;
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	config = h_server_config("ecdsa");
	base = h_server(config);
	tls_config_free(config);
	for (i = 0; i < CHILDREN; i++) {
		CHECK((children[i] = fork()) != -1);
		if (children[i] != 0)
			continue;
		for (n = 0; n < PER_CHILD; n++)
			serve_one(base, h_accept(H_KEPT));
		tls_free(base);
		_exit(0);
	}
	for (i = 0; i < CHILDREN; i++) {
		CHECK_INT(waitpid(children[i], &status, 0), children[i]);
		CHECK_INT(status, 0);
	}
	/* And the parent still can. */
	serve_one(base, h_accept(H_KEPT));
	tls_free(base);
	return 0;
}

static void
prefork(void **state)
{
	char port[8];
	pid_t server, clients[2];
	int fd;

	(void)state;
	fd = h_listen(port, sizeof(port));
	server = h_start(&fd, 1, "prefork", (char *)NULL);
	close(fd);
	clients[0] = h_start(NULL, 0, "client", port, "20", (char *)NULL);
	clients[1] = h_start(NULL, 0, "client", port, "21", (char *)NULL);
	CHECK_INT(h_wait_exit(clients[0]), 0);
	CHECK_INT(h_wait_exit(clients[1]), 0);
	CHECK_INT(h_wait_exit(server), 0);
	h_wait_no_helpers(h_ms(5000));
}

/* A second fork after the handshake: one process reads, the other writes. */
static void
fork_after_handshake(void **state)
{
	struct h_pair p;
	int status;
	pid_t pid;
	char c;

	(void)state;
	h_pair_open(&p);
	if ((pid = fork()) == 0) {
		h_read(p.server, p.sfd, &c, 1);
		_exit(c == 'q' ? 0 : 1);
	}
	CHECK(pid != -1);
	h_write(p.server, p.sfd, "a", 1);
	h_read(p.client, p.cfd, &c, 1);
	CHECK_INT(c, 'a');
	h_write(p.client, p.cfd, "q", 1);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	h_pair_free(&p);
}

/* "closer": a daemon that closes all it did not open, before it starts. */
static int
closer_peer(int argc, char **argv)
{
	struct h_pair p, q;
	int fd, i;

	(void)argc;
	(void)argv;
	h_pair_open(&p);
	h_pair_free(&p);
	/* All descriptors go, and others take their numbers. */
	for (fd = 3; fd < 1024; fd++)
		close(fd);
	for (i = 0; i < 300; i++)
		CHECK(open("/dev/null", O_RDWR | O_CLOEXEC) != -1);
	h_pair_open(&q);
	h_pair_echo(&q);
	h_pair_free(&q);
	/* What took their place was left alone. */
	for (fd = 3; fd < 303; fd++)
		CHECK_INT(fcntl(fd, F_GETFL) & O_ACCMODE, O_RDWR);
	return 0;
}

static void
closefrom_and_again(void **state)
{
	pid_t peer;

	(void)state;
	peer = h_start(NULL, 0, "closer", (char *)NULL);
	CHECK_INT(h_wait_exit(peer), 0);
	h_wait_no_helpers(h_ms(5000));
}

/*
 * "chrooted": what daemons do between loading the library and their first
 * configuration. Only root can.
 */
static int
chrooted_peer(int argc, char **argv)
{
	uint8_t *ca, *cert, *key;
	size_t ca_len, cert_len, key_len;
	struct tls_config *cconfig, *sconfig;
	struct h_pair p;

	CHECK_INT(argc, 2);
	ca = h_load(h_cert("root.pem"), &ca_len);
	cert = h_load(h_cert("ecdsa-chain.pem"), &cert_len);
	key = h_load(h_cert("ecdsa.key"), &key_len);
	CHECK_INT(tls_init(), 0);
	CHECK_INT(chroot(argv[1]), 0);
	CHECK_INT(chdir("/"), 0);
	CHECK_INT(setresgid(65534, 65534, 65534), 0);
	CHECK_INT(setresuid(65534, 65534, 65534), 0);
	CHECK((cconfig = tls_config_new()) != NULL);
	CHECK((sconfig = tls_config_new()) != NULL);
	CHECK_CONFIG(cconfig, tls_config_set_ca_mem(cconfig, ca, ca_len));
	CHECK_CONFIG(sconfig,
	    tls_config_set_keypair_mem(sconfig, cert, cert_len, key, key_len));
	h_pair_start(&p, cconfig, sconfig, "localhost");
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	h_pair_handshake(&p);
	CHECK_TLS(p.client, p.crv);
	CHECK_TLS(p.server, p.srv);
	h_pair_echo(&p);
	h_pair_free(&p);
	free(ca);
	free(cert);
	free(key);
	/* Where the leak checker cannot see /proc. */
	_exit(0);
}

static void
chroot_and_setuid(void **state)
{
	char dir[] = "/tmp/test_lifecycle.XXXXXX";
	pid_t peer;
	int status;

	(void)state;
	if (geteuid() != 0)
		skip();
	CHECK(mkdtemp(dir) != NULL);
	peer = h_start(NULL, 0, "chrooted", dir, (char *)NULL);
	status = h_wait_exit(peer);
	CHECK_INT(rmdir(dir), 0);
	CHECK_INT(status, 0);
	h_wait_no_helpers(h_ms(5000));
}

/* One thread per connection, on one server context. */
#define THREADS 4

static void *
thread(void *arg)
{
	struct h_pair *p = arg;
	int n;

	for (n = 0; n < 50; n++)
		h_pair_echo(p);
	return p;
}

static int
threads_peer(int argc, char **argv)
{
	struct tls_config *cconfig, *sconfig;
	struct h_pair pairs[THREADS];
	pthread_t ids[THREADS];
	struct tls *base;
	void *result;
	int i, a, b;

	(void)argc;
	(void)argv;
	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	base = h_server(sconfig);
	for (i = 0; i < THREADS; i++) {
		memset(&pairs[i], 0, sizeof(pairs[i]));
		h_tcp_pair(&a, &b);
		h_nonblock(a, 1);
		h_nonblock(b, 1);
		pairs[i].cfd = a;
		pairs[i].sfd = b;
		pairs[i].client = h_client(cconfig);
		CHECK_TLS(pairs[i].client,
		    tls_connect_socket(pairs[i].client, a, "localhost"));
		CHECK_TLS(base, tls_accept_socket(base, &pairs[i].server, b));
		h_pair_handshake(&pairs[i]);
		CHECK_TLS(pairs[i].client, pairs[i].crv);
	}
	for (i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&ids[i], NULL, thread, &pairs[i]), 0);
	for (i = 0; i < THREADS; i++) {
		CHECK_INT(pthread_join(ids[i], &result), 0);
		CHECK(result == &pairs[i]);
		h_pair_free(&pairs[i]);
	}
	tls_free(base);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	return 0;
}

static void
threads(void **state)
{
	pid_t peer;

	(void)state;
	/* In another process: valgrind takes the cached stacks for leaks. */
	peer = h_start(NULL, 0, "threads", (char *)NULL);
	CHECK_INT(h_wait_exit(peer), 0);
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
		struct h_pair p = { 0 };

		h_tcp_pair(&p.cfd, &p.sfd);
		h_nonblock(p.cfd, 1);
		h_nonblock(p.sfd, 1);
		p.client = h_client(config);
		CHECK_TLS(p.client,
		    tls_connect_socket(p.client, p.cfd, "localhost"));
		CHECK_TLS(base, tls_accept_socket(base, &p.server, p.sfd));
		h_pair_handshake(&p);
		CHECK_TLS(p.client, p.crv);
		CHECK_TLS(p.server, p.srv);
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
	h_pair_handshake(&p);
	CHECK_TLS(p.client, p.crv);
	CHECK_TLS(p.server, p.srv);
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
	cmocka_unit_test(no_child_to_be_seen),
	cmocka_unit_test(closefrom_and_again),
	cmocka_unit_test(prefork),
	cmocka_unit_test(chroot_and_setuid),
	cmocka_unit_test(close_on_exec),
	cmocka_unit_test(freed_early),
	cmocka_unit_test(keys_cleared),
	cmocka_unit_test(configured_again),
	cmocka_unit_test(fork_after_handshake),
	cmocka_unit_test(threads),
	cmocka_unit_test(worker_killed_client),
	cmocka_unit_test(worker_killed_with_keys),
	cmocka_unit_test(keeper_killed),
	cmocka_unit_test(supervisor_killed),
};

static const struct h_peer peers[] = {
	{ "client", client_peer },
	{ "ender", ender_peer },
	{ "idle", idle_peer },
	{ "guest", guest_peer },
	{ "closed", closed_peer },
	{ "prefork", prefork_peer },
	{ "closer", closer_peer },
	{ "chrooted", chrooted_peer },
	{ "threads", threads_peer },
	{ "many", many_peer },
};

H_MAIN(tests, peers)
