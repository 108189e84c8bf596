/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Something runs out, or a peer wants more than its share: a clear error for
 * the connection that it concerns, none for the others, no processor time for
 * nothing, and all is well again after it.
 *
 * Limits of goproxy's processes are set from outside (prlimit(2)); processes
 * and memory by each test in a program of its own.
 */

#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tls_proxy.h>
#include <unistd.h>

#include "harness.h"

/* Milliseconds after which everything works again. */
#define RECOVERY_MS 2000

static void
limit_soft(pid_t pid, int resource, rlim_t value, struct rlimit *old)
{
	struct rlimit limit;

	if (prlimit(pid, (enum __rlimit_resource)resource, NULL, old) == -1)
		FAIL("prlimit: %s", strerror(errno));
	limit = *old;
	limit.rlim_cur = value;
	if (prlimit(pid, (enum __rlimit_resource)resource, &limit, NULL) == -1)
		FAIL("prlimit: %s", strerror(errno));
}

static void
limit_back(pid_t pid, int resource, const struct rlimit *old)
{
	CHECK_INT(prlimit(pid, (enum __rlimit_resource)resource, old, NULL), 0);
}

/* A field of /proc/PID/stat, counted as proc(5) does. */
static long long
stat_field(pid_t pid, int field)
{
	char path[64], buf[1024], *s;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
	CHECK((fd = open(path, O_RDONLY | O_CLOEXEC)) != -1);
	CHECK((n = read(fd, buf, sizeof(buf) - 1)) > 0);
	close(fd);
	buf[n] = '\0';
	CHECK((s = strrchr(buf, ')')) != NULL);
	for (field -= 2; field > 0; field--)
		CHECK((s = strchr(s + 1, ' ')) != NULL);
	return atoll(s + 1);
}

/* Milliseconds of processor time. */
static long long
cpu(pid_t pid)
{
	return (stat_field(pid, 14) + stat_field(pid, 15)) * 1000 /
	       sysconf(_SC_CLK_TCK);
}

static long long
rss(pid_t pid)
{
	return stat_field(pid, 24) * sysconf(_SC_PAGESIZE);
}

/* Below a tenth of a processor, for a while. */
static void
check_idle(pid_t pid)
{
	const struct timespec ts = { 0, 500 * 1000000L };
	long long before = cpu(pid);
	int64_t begun = h_now();

	/* Not for a state: this is what is measured. */
	nanosleep(&ts, NULL);
	CHECK(10 * (cpu(pid) - before) <= h_now() - begun);
}

struct ends {
	struct tls_config *cconfig, *sconfig;
	struct tls *base;
	struct h_pair bystander;
};

static void
connect_pair(struct ends *e, struct h_pair *p)
{
	h_pair_join(p, e->cconfig, e->base, "localhost");
	h_pair_handshake(p);
}

/* As h_client_config and h_server_config, and goproxy starts without root. */
static void
configure_unprivileged(struct ends *e)
{
	uint8_t *ca, *cert, *key;
	size_t ca_len, cert_len, key_len;

	ca = h_load(h_cert("root.pem"), &ca_len);
	cert = h_load(h_cert("ecdsa-chain.pem"), &cert_len);
	key = h_load(h_cert("ecdsa.key"), &key_len);
	if (geteuid() == 0) {
		CHECK_INT(setresgid(65000, 65000, 65000), 0);
		CHECK_INT(setresuid(65000, 65000, 65000), 0);
	}
	CHECK((e->cconfig = tls_config_new()) != NULL);
	CHECK((e->sconfig = tls_config_new()) != NULL);
	CHECK_CONFIG(e->cconfig, tls_config_set_ca_mem(e->cconfig, ca, ca_len));
	CHECK_CONFIG(e->sconfig, tls_config_set_keypair_mem(e->sconfig, cert,
				     cert_len, key, key_len));
	free(ca);
	free(cert);
	free(key);
}

static void
open_ends(struct ends *e, int isolation)
{
	/* Its limits can be changed by who has the same user. */
	if (e->cconfig == NULL)
		configure_unprivileged(e);
	CHECK_CONFIG(e->sconfig,
	    tls_config_set_isolation(e->sconfig, isolation));
	e->base = h_server(e->sconfig);
	connect_pair(e, &e->bystander);
	CHECK_TLS(e->bystander.client, e->bystander.crv);
	CHECK_TLS(e->bystander.server, e->bystander.srv);
	h_pair_echo(&e->bystander);
}

static void
close_ends(struct ends *e)
{
	h_pair_free(&e->bystander);
	tls_free(e->base);
	tls_config_free(e->cconfig);
	tls_config_free(e->sconfig);
}

/* Works, within the time that is given. */
static void
recovers(struct ends *e)
{
	int64_t deadline = h_now() + h_ms(RECOVERY_MS);
	struct h_pair p;

	for (;;) {
		connect_pair(e, &p);
		if (p.crv == 0 && p.srv == 0)
			break;
		h_pair_free(&p);
		h_pause(deadline, "the recovery");
	}
	h_pair_echo(&p);
	h_pair_free(&p);
}

/* Each peer is run in a program of its own and ends with 0, or 77. */
static void
run(const char *peer)
{
	int status;

	PROXY_ONLY();
	status = h_wait_exit(h_start(NULL, 0, peer, (char *)NULL));
	if (status == 77)
		skip();
	CHECK_INT(status, 0);
}

/* One of the ends has failed, because of goproxy. */
static void
blames_goproxy(struct h_pair *p)
{
	const char *client = tls_error(p->client);
	const char *server = tls_error(p->server);

	/* To the other end it is an end of the transport. */
	if (server != NULL && strstr(server, "goproxy") != NULL)
		return;
	CHECK(client != NULL);
	CHECK_HAS(client, "goproxy");
}

/* Few for each worker; returns the first, which had old. */
static pid_t
open_ends_with_few_files(struct ends *e, struct rlimit *old)
{
	const struct rlimit all = { 64, 64 };
	pid_t first;

	open_ends(e, TLS_ISOLATION_PROCESS);
	first = h_wait_helper("worker", -1);
	/* Those that come after it raise theirs to the hard one. */
	limit_back(h_wait_helper("", -1), RLIMIT_NOFILE, &all);
	limit_soft(first, RLIMIT_NOFILE, 64, old);
	return first;
}

/* A worker that has too few descriptors for its connections gets others. */
static int
worker_files_peer(int argc, char **argv)
{
	static struct h_pair pairs[40];
	struct rlimit old;
	struct ends e = { 0 };
	pid_t first, list[8];
	size_t i, workers;
	char c;

	(void)argc;
	(void)argv;
	first = open_ends_with_few_files(&e, &old);
	for (i = 0; i < 40; i++) {
		connect_pair(&e, &pairs[i]);
		if (pairs[i].crv != 0 || pairs[i].srv != 0)
			FAIL("pair %zu: client: %s; server: %s; %zu workers", i,
			    tls_error(pairs[i].client),
			    tls_error(pairs[i].server),
			    h_helper_list("worker", list, 8));
	}
	workers = h_helper_list("worker", list, 8);
	CHECK(workers >= 3 && workers <= 8);
	for (i = 0; i < 40; i++)
		h_pair_echo(&pairs[i]);
	h_pair_echo(&e.bystander);
	check_idle(first);
	/* When both directions are over a worker is asked how they ended. */
	for (i = 0; i < 40; i++) {
		CHECK_INT(shutdown(pairs[i].cfd, SHUT_WR), 0);
		CHECK_INT(h_read_some(pairs[i].server, pairs[i].sfd, &c, 1), 0);
		CHECK_INT(shutdown(pairs[i].sfd, SHUT_WR), 0);
		CHECK_INT(h_read_some(pairs[i].client, pairs[i].cfd, &c, 1), 0);
		h_pair_free(&pairs[i]);
	}
	limit_back(first, RLIMIT_NOFILE, &old);
	recovers(&e);
	CHECK_INT(kill(first, 0), 0);
	h_pair_echo(&e.bystander);
	close_ends(&e);
	return 0;
}

/* Starts a connection and runs its handshakes until the server is asked. */
static struct tls_request *
start_asking(struct ends *e, struct h_pair *p)
{
	struct tls_request *request;
	struct pollfd pfds[3];
	int64_t deadline = h_now() + H_WAIT;

	h_pair_join(p, e->cconfig, e->base, "localhost");
	while ((request = tls_request_next(e->base)) == NULL) {
		CHECK(h_now() < deadline);
		if (tls_handshake(p->client) == -1 ||
		    tls_handshake(p->server) == -1)
			FAIL("client: %s; server: %s", tls_error(p->client),
			    tls_error(p->server));
		pfds[0].fd = h_wait_fd(p->client, p->cfd);
		pfds[1].fd = h_wait_fd(p->server, p->sfd);
		pfds[2].fd = tls_request_fd(e->base);
		pfds[0].events = pfds[1].events = pfds[2].events = POLLIN;
		CHECK(poll(pfds, 3, H_WAIT) > 0);
	}
	return request;
}

#define ASKERS 20

/* And each of them gets the answers to what its connections ask. */
static int
askers_peer(int argc, char **argv)
{
	static struct h_pair pairs[ASKERS];
	struct tls_request *requests[ASKERS];
	struct rlimit old;
	struct ends e = { 0 };
	pid_t first, list[8];
	int i;

	(void)argc;
	(void)argv;
	open_ends(&e, TLS_ISOLATION_PROCESS);
	first = h_wait_helper("worker", -1);
	limit_soft(first, RLIMIT_NOFILE, 64, &old);
	CHECK_CONFIG(e.sconfig, tls_config_set_requests(e.sconfig,
				    TLS_REQUEST_CERTIFICATE, H_WAIT));
	CHECK_TLS(e.base, tls_configure(e.base, e.sconfig));
	for (i = 0; i < ASKERS; i++)
		requests[i] = start_asking(&e, &pairs[i]);
	CHECK(h_helper_list("worker", list, 8) > 1);
	for (i = 0; i < ASKERS; i++)
		CHECK_INT(tls_request_default(requests[i]), 0);
	for (i = 0; i < ASKERS; i++) {
		CHECK_PAIR(&pairs[i]);
		h_pair_echo(&pairs[i]);
		h_pair_free(&pairs[i]);
	}
	close_ends(&e);
	return 0;
}

/* They all come at once. */
static int
burst_peer(int argc, char **argv)
{
	static struct h_pair pairs[ASKERS];
	struct rlimit old;
	struct ends e = { 0 };
	pid_t list[8];
	int i;

	(void)argc;
	(void)argv;
	open_ends_with_few_files(&e, &old);
	CHECK_TLS(e.base, tls_configure(e.base, e.sconfig));
	for (i = 0; i < ASKERS; i++)
		h_pair_join(&pairs[i], e.cconfig, e.base, "localhost");
	for (i = 0; i < ASKERS; i++) {
		CHECK_PAIR(&pairs[i]);
		h_pair_echo(&pairs[i]);
	}
	CHECK(h_helper_list("worker", list, 8) > 1);
	for (i = 0; i < ASKERS; i++)
		h_pair_free(&pairs[i]);
	close_ends(&e);
	return 0;
}

static void
burst_without_files(void **state)
{
	(void)state;
	run("burst");
}

/* And if no other can be started, those that find no room hear of it. */
static int
last_files_peer(int argc, char **argv)
{
	struct rlimit old, processes;
	struct ends e = { 0 };
	pid_t worker, supervisor;
	struct h_pair pairs[40];
	size_t i, n;

	(void)argc;
	(void)argv;
	configure_unprivileged(&e);
	open_ends(&e, TLS_ISOLATION_PROCESS);
	worker = h_wait_helper("worker", -1);
	supervisor = h_wait_helper("", -1);
	limit_soft(supervisor, RLIMIT_NPROC, 0, &processes);
	limit_soft(worker, RLIMIT_NOFILE, 64, &old);
	for (n = 0; n < 40; n++) {
		connect_pair(&e, &pairs[n]);
		if (pairs[n].crv != 0 || pairs[n].srv != 0)
			break;
	}
	CHECK(n > 0 && n < 40);
	blames_goproxy(&pairs[n]);
	for (i = 0; i < n; i++)
		h_pair_echo(&pairs[i]);
	h_pair_echo(&e.bystander);
	check_idle(worker);
	check_idle(supervisor);
	h_pair_free(&pairs[n]);
	for (i = 0; i < 3; i++)
		h_pair_free(&pairs[i]);
	recovers(&e);
	limit_back(supervisor, RLIMIT_NPROC, &processes);
	recovers(&e);
	for (; i < n; i++)
		h_pair_free(&pairs[i]);
	CHECK(h_wait_helper("worker", -1) == worker);
	h_pair_echo(&e.bystander);
	close_ends(&e);
	return 0;
}

static void
worker_without_files(void **state)
{
	(void)state;
	run("worker_files");
}

static void
askers_of_several_workers(void **state)
{
	(void)state;
	run("askers");
}

static void
no_files_left(void **state)
{
	(void)state;
	run("last_files");
}

/* No process can be started for a connection that has one to itself. */
static int
processes_peer(int argc, char **argv)
{
	struct rlimit old;
	pid_t supervisor, keeper, spare[8];
	struct ends e = { 0 };
	struct h_pair p;
	int64_t deadline;
	int n;

	(void)argc;
	(void)argv;
	/* The kernel does not count root's processes. */
	configure_unprivileged(&e);
	open_ends(&e, TLS_ISOLATION_CONNECTION);
	supervisor = h_wait_helper("", -1);
	keeper = h_wait_helper("keeper", -1);
	limit_soft(supervisor, RLIMIT_NPROC, 0, &old);
	/* The one in advance is used up. */
	for (n = 0; n < 3; n++) {
		connect_pair(&e, &p);
		if (p.srv == -1)
			break;
		h_pair_free(&p);
	}
	CHECK_HAS(tls_error(p.server),
	    "failed to start goproxy's worker: Resource temporarily "
	    "unavailable");
	h_pair_free(&p);
	h_pair_echo(&e.bystander);
	check_idle(supervisor);
	check_idle(keeper);
	limit_back(supervisor, RLIMIT_NPROC, &old);
	recovers(&e);
	deadline = h_now() + H_WAIT;
	/* The client's, the bystander's, and one in advance. */
	while (h_helper_list("worker", spare, 8) != 3)
		h_pause(deadline, "the workers");
	h_pair_echo(&e.bystander);
	close_ends(&e);
	h_wait_no_zombies(h_ms(1000));
	return 0;
}

static void
no_processes_left(void **state)
{
	(void)state;
	run("processes");
}

#define MEMORY_PAIRS 4000

/* The worker's memory is at its end: it dies, which is told, and comes back. */
static int
memory_peer(int argc, char **argv)
{
	static struct h_pair pairs[MEMORY_PAIRS];
	struct rlimit old;
	struct ends e = { 0 };
	pid_t worker;
	int limit, n;
	char c;

	(void)argc;
	(void)argv;
	open_ends(&e, TLS_ISOLATION_PROCESS);
	worker = h_wait_helper("worker", -1);
	if (prlimit(worker, RLIMIT_DATA, NULL, &old) == -1)
		return 77;
	limit_soft(worker, RLIMIT_DATA, 1 << 20, &old);
	limit_soft(worker, RLIMIT_AS, 1 << 20, &old);
	/* Until it needs some: what it has may last for a while. */
	limit = (h_raise_nofile() - 100) / 2;
	for (n = 0; n < MEMORY_PAIRS && n < limit; n++) {
		connect_pair(&e, &pairs[n]);
		if (pairs[n].crv == -1 || pairs[n].srv == -1) {
			blames_goproxy(&pairs[n]);
			break;
		}
		/* It may need some for itself, while nothing is asked of it. */
		if (kill(worker, 0) == -1)
			break;
	}
	if (n == MEMORY_PAIRS || n == limit)
		FAIL("%d pairs, limit %d, %zu workers", n, limit,
		    h_helper_list("worker", NULL, 0));
	for (; n >= 0; n--)
		h_pair_free(&pairs[n]);
	/* The network's descriptor does not tell. */
	if (h_app)
		h_wait_gone(worker);
	CHECK_INT(h_read_some(e.bystander.client, e.bystander.cfd, &c, 1), -1);
	CHECK_HAS(tls_error(e.bystander.client), "goproxy");
	recovers(&e);
	CHECK(h_wait_helper("worker", worker) != worker);
	close_ends(&e);
	return 0;
}

static void
worker_without_memory(void **state)
{
	(void)state;
	run("memory");
}

/* "mute PORT N" connects so often, says nothing, and waits for H_KEPT. */
static int
mute_peer(int argc, char **argv)
{
	char c;
	int i;

	CHECK_INT(argc, 3);
	h_raise_nofile();
	for (i = atoi(argv[2]); i > 0; i--)
		(void)h_connect(argv[1]);
	CHECK_INT(read(H_KEPT, &c, 1), 0);
	return 0;
}

/* Peers that connect and say nothing. */
static int
flood_peer(int argc, char **argv)
{
	static int fds[10000];
	static struct tls *conns[10000];
	int i, n, listener, control, keep, want = h_long() ? 10000 : 1000;
	char port[8], number[16];
	struct ends e = { 0 };
	struct h_pair p;
	pid_t worker, peers;
	int64_t begun;

	(void)argc;
	(void)argv;
	n = h_raise_nofile();
	if (want > n - 100) {
		want = n - 100;
		print_message("%d peers, as no more files can be open\n", want);
	}
	listener = h_listen(port, sizeof(port));
	h_socketpair(SOCK_STREAM, &control, &keep);
	snprintf(number, sizeof(number), "%d", want);
	/* While this process may still read what root may. */
	peers = h_start(&keep, 1, "mute", port, number, (char *)NULL);
	close(keep);
	open_ends(&e, TLS_ISOLATION_PROCESS);
	worker = h_wait_helper("worker", -1);
	for (i = 0; i < want; i++) {
		fds[i] = h_accept(listener);
		h_nonblock(fds[i], 1);
		CHECK_TLS(e.base, tls_accept_socket(e.base, &conns[i], fds[i]));
		CHECK_INT(tls_handshake(conns[i]), TLS_WANT_POLLIN);
	}
	check_idle(worker);
	h_pair_echo(&e.bystander);
	begun = h_now();
	for (i = 0; i < 10; i++) {
		connect_pair(&e, &p);
		CHECK_TLS(p.client, p.crv);
		CHECK_TLS(p.server, p.srv);
		h_pair_echo(&p);
		h_pair_free(&p);
	}
	CHECK(h_now() - begun <= h_ms(RECOVERY_MS));
	close(listener);
	for (i = 0; i < want; i++) {
		tls_free(conns[i]);
		close(fds[i]);
	}
	close(control);
	CHECK_INT(h_wait_exit(peers), 0);
	recovers(&e);
	CHECK_INT(kill(worker, 0), 0);
	close_ends(&e);
	return 0;
}

static void
half_open_handshakes(void **state)
{
	(void)state;
	run("flood");
}

/* A peer that takes nothing: what the program may write is bounded. */
static int
greedy_peer(int argc, char **argv)
{
	static char buf[65536];
	struct h_pair pairs[8];
	struct pollfd pfd;
	struct ends e = { 0 };
	long long before;
	pid_t worker;
	ssize_t rv;
	size_t i;

	(void)argc;
	(void)argv;
	open_ends(&e, TLS_ISOLATION_PROCESS);
	worker = h_wait_helper("worker", -1);
	before = rss(worker);
	for (i = 0; i < 8; i++) {
		connect_pair(&e, &pairs[i]);
		CHECK_TLS(pairs[i].server, pairs[i].srv);
		pfd.fd = pairs[i].sfd;
		pfd.events = POLLOUT;
		do {
			rv = tls_write(pairs[i].server, buf, sizeof(buf));
			CHECK(rv != -1);
		} while (rv > 0 || poll(&pfd, 1, h_ms(200)) == 1);
	}
	check_idle(worker);
	/* The rest is the kernel's, whose sockets have limits. */
	CHECK(rss(worker) - before <= 8 * (1 << 20));
	h_pair_echo(&e.bystander);
	for (i = 0; i < 8; i++)
		h_pair_free(&pairs[i]);
	close_ends(&e);
	return 0;
}

static void
peer_that_never_reads(void **state)
{
	(void)state;
	run("greedy");
}

/* A peer that sends one byte at a time costs little for each of them. */
static int
slow_peer(int argc, char **argv)
{
	static uint8_t hello[512];
	struct tls *client, *conn;
	long long before, used;
	struct ends e = { 0 };
	pid_t worker;
	size_t i, len;
	ssize_t n;
	int a, b, c, d;

	(void)argc;
	(void)argv;
	open_ends(&e, TLS_ISOLATION_PROCESS);
	/* A ClientHello to send. */
	h_tcp_pair(&a, &b);
	h_nonblock(a, 1);
	CHECK_CONFIG(e.cconfig,
	    tls_config_set_ecdhecurves(e.cconfig, "X25519"));
	client = h_client(e.cconfig);
	CHECK_TLS(client, tls_connect_socket(client, a, "localhost"));
	CHECK_INT(tls_handshake(client), TLS_WANT_POLLIN);
	h_poll(b, POLLIN, H_WAIT);
	CHECK((n = recv(b, hello, sizeof(hello), 0)) > 100);
	len = (size_t)n;

	worker = h_wait_helper("worker", -1);
	before = cpu(worker);
	h_tcp_pair(&c, &d);
	h_nonblock(c, 1);
	CHECK_TLS(e.base, tls_accept_socket(e.base, &conn, c));
	for (i = 0; i < len; i++) {
		/* The worker reads each one by one. */
		const struct timespec ts = { 0, 2 * 1000000L };

		h_send(d, hello + i, 1);
		nanosleep(&ts, NULL);
		CHECK_INT(tls_handshake(conn), TLS_WANT_POLLIN);
	}
	h_poll(d, POLLIN, H_WAIT);
	used = cpu(worker) - before;
	/* 0.2 ms for each byte are more than enough. */
	CHECK(used <= (long long)len / 5 + 100);
	h_pair_echo(&e.bystander);
	tls_free(conn);
	tls_free(client);
	close(a);
	close(b);
	close(c);
	close(d);
	close_ends(&e);
	return 0;
}

static void
byte_by_byte(void **state)
{
	(void)state;
	run("slow");
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(worker_without_files),
	cmocka_unit_test(askers_of_several_workers),
	cmocka_unit_test(burst_without_files),
	cmocka_unit_test(no_files_left),
	cmocka_unit_test(no_processes_left),
	cmocka_unit_test(worker_without_memory),
	cmocka_unit_test(half_open_handshakes),
	cmocka_unit_test(peer_that_never_reads),
	cmocka_unit_test(byte_by_byte),
};

static const struct h_peer peers[] = {
	{ "worker_files", worker_files_peer },
	{ "askers", askers_peer },
	{ "burst", burst_peer },
	{ "last_files", last_files_peer },
	{ "processes", processes_peer },
	{ "memory", memory_peer },
	{ "mute", mute_peer },
	{ "flood", flood_peer },
	{ "greedy", greedy_peer },
	{ "slow", slow_peer },
};

H_MAIN(tests, peers)
