/* SPDX-License-Identifier: ISC */
/* Hosts that fork, in each of the ways that servers have. */

#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

/* What the children of a case have of it. */
static struct tls *base;
static struct h_pair pair;
static int listener;

static void
start_server(char *port, size_t size)
{
	struct tls_config *config;

	listener = h_listen(port, size);
	config = h_server_config("ecdsa");
	base = h_server(config);
	tls_config_free(config);
}

static void
stop_server(void)
{
	tls_free(base);
	close(listener);
}

#define CHILDREN  8
#define PER_CHILD 5

static void
prefork_child(void)
{
	int n;

	for (n = 0; n < PER_CHILD; n++)
		guest_serve(base, h_accept(listener));
	tls_free(base);
}

/* Configure once, fork, and accept in each child; the parent still can. */
static void
prefork(void)
{
	pid_t children[CHILDREN], clients;
	char port[8];
	int i;

	start_server(port, sizeof(port));
	clients = guest_clients(port, CHILDREN * PER_CHILD + 1);
	for (i = 0; i < CHILDREN; i++)
		children[i] = guest_fork(prefork_child);
	for (i = 0; i < CHILDREN; i++)
		guest_wait(children[i]);
	guest_serve(base, h_accept(listener));
	guest_wait(clients);
	stop_server();
}

/* A child for each connection, which is the child's from its accept(2) on. */
static void
fork_then_accept(void)
{
	pid_t clients, child;
	char port[8];
	int n, fd;

	start_server(port, sizeof(port));
	clients = guest_clients(port, 6);
	for (n = 0; n < 6; n++) {
		fd = h_accept(listener);
		CHECK((child = fork()) != -1);
		if (child == 0) {
			guest_serve(base, fd);
			exit(0);
		}
		close(fd);
		guest_wait(child);
	}
	guest_wait(clients);
	stop_server();
}

/* The same, but the parent has made the context, and frees its copy. */
static void
accept_then_fork(void)
{
	pid_t clients, child;
	struct tls *conn;
	char port[8];
	int n, fd;

	start_server(port, sizeof(port));
	clients = guest_clients(port, 6);
	for (n = 0; n < 6; n++) {
		fd = h_accept(listener);
		conn = guest_accept(base, fd);
		CHECK((child = fork()) != -1);
		if (child == 0) {
			guest_answer(conn, fd);
			guest_hang_up(conn, fd);
			exit(0);
		}
		tls_free(conn);
		close(fd);
		guest_wait(child);
	}
	guest_wait(clients);
	stop_server();
}

/* The parent shakes hands, the child has the rest. */
static void
handshake_then_fork(void)
{
	pid_t clients, child;
	struct tls *conn;
	char port[8];
	int fd;

	start_server(port, sizeof(port));
	clients = guest_clients(port, 1);
	fd = h_accept(listener);
	conn = guest_accept(base, fd);
	guest_answer(conn, fd);
	CHECK((child = fork()) != -1);
	if (child == 0) {
		guest_hang_up(conn, fd);
		exit(0);
	}
	guest_wait(child);
	tls_free(conn);
	close(fd);
	guest_wait(clients);
	stop_server();
}

#define AMOUNT (1 << 20)

static void
read_all(struct tls *ctx, int fd, uint64_t seed)
{
	static uint8_t buf[65536];
	struct h_stream s = { .seed = seed };
	ssize_t n;

	while (s.pos < AMOUNT) {
		n = h_read_some(ctx, fd, buf, sizeof(buf));
		CHECK(n > 0);
		h_stream_check(&s, buf, (size_t)n);
	}
}

static void
write_all(struct tls *ctx, int fd, uint64_t seed)
{
	static uint8_t buf[AMOUNT];
	struct h_stream s = { .seed = seed };

	h_stream_fill(&s, buf, sizeof(buf));
	h_write(ctx, fd, buf, sizeof(buf));
}

static void
child_reads(void)
{
	read_all(pair.server, pair.sfd, 1);
}

static void
child_writes_to_peer(void)
{
	write_all(pair.client, pair.cfd, 1);
}

static void
child_reads_from_peer(void)
{
	read_all(pair.client, pair.cfd, 2);
}

/* A second fork after the handshake: the parent writes, the child reads. */
static void
second_fork(void)
{
	pid_t reader, other[2];

	h_pair_open(&pair);
	reader = guest_fork(child_reads);
	other[0] = guest_fork(child_writes_to_peer);
	other[1] = guest_fork(child_reads_from_peer);
	write_all(pair.server, pair.sfd, 2);
	guest_wait(reader);
	guest_wait(other[0]);
	guest_wait(other[1]);
	h_pair_free(&pair);
}

/* A grandchild is as good as a child. */
static void
grandchild(void)
{
	guest_use_server(base, NULL);
}

static void
child_forks(void)
{
	guest_use_server(base, NULL);
	guest_wait(guest_fork(grandchild));
	guest_use_server(base, NULL);
}

static void
fork_in_fork(void)
{
	char port[8];

	start_server(port, sizeof(port));
	guest_wait(guest_fork(child_forks));
	guest_use_server(base, NULL);
	stop_server();
}

/* First used in a child, then in the parent: each starts what it needs. */
static void
first_use_in_child(void)
{
	guest_wait(guest_fork(guest_use));
	guest_use();
}

/*
 * The child exits as programs do, with handlers and destructors; or frees
 * what it has. The connection is still the parent's.
 */
static void
child_exits(void)
{
	exit(0);
}

static void
child_frees(void)
{
	h_pair_free(&pair);
	exit(0);
}

static void
child_ends_connection_stays(void)
{
	h_pair_open(&pair);
	guest_wait(guest_fork(child_exits));
	h_pair_echo(&pair);
	guest_wait(guest_fork(child_frees));
	h_pair_echo(&pair);
	h_pair_free(&pair);
}

/* daemon(3) after tls_configure, as geomyidae and others go to the background.
 */
static void
daemon_after_configure(void)
{
	pid_t clients;
	char port[8];

	start_server(port, sizeof(port));
	/* What was started here ends with the second process. */
	CHECK_INT(daemon(1, 1), 0);
	alarm((unsigned int)h_ms(60000) / 1000);
	clients = guest_clients(port, 2);
	guest_serve(base, h_accept(listener));
	guest_serve(base, h_accept(listener));
	guest_wait(clients);
	stop_server();
}

/* With a new root, and nothing on 0, 1 and 2. */
static void
daemon_before_first_call(void)
{
	CHECK_INT(daemon(1, 0), 0);
	alarm((unsigned int)h_ms(60000) / 1000);
	guest_use();
}

static void
vfork_and_exec(void)
{
	static char path[] = "/bin/true", name[] = "true";
	static char *const argv[] = { name, NULL };
	struct h_pair p;
	pid_t child;
	int n;

	h_pair_open(&p);
	for (n = 0; n < 3; n++) {
		child = vfork();
		if (child == 0) {
			execv(path, argv);
			_exit(127);
		}
		CHECK(child != -1);
		h_pair_echo(&p);
		guest_wait(child);
	}
	h_pair_echo(&p);
	h_pair_free(&p);
}

/* A program that the case starts has three descriptors, and the one it opens.
 */
static void
check_inherits_nothing(const char *when)
{
	char line[64];
	FILE *f;

	h_case = when;
	CHECK((f = popen("ls /proc/self/fd", "r")) != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		if (atoi(line) > 3)
			FAIL("something was inherited");
	}
	CHECK_INT(pclose(f), 0);
	h_case = NULL;
}

static void
exec_inherits_nothing(void)
{
	struct tls_config *cconfig, *sconfig;
	struct h_pair p;

	check_inherits_nothing("library loaded");
	cconfig = h_client_config();
	sconfig = h_server_config("rsa");
	check_inherits_nothing("draft open");
	h_pair_start(&p, cconfig, sconfig, "localhost");
	check_inherits_nothing("handshake begun");
	CHECK_PAIR(&p);
	check_inherits_nothing("connected");
	h_pair_echo(&p);
	/* What arrived before is kept beside the socket. */
	h_write(p.client, p.cfd, "rest", 4);
	h_poll(p.sfd, POLLIN, H_WAIT);
	CHECK_TLS(p.server, h_close(p.server, p.sfd));
	check_inherits_nothing("closed");
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
}

/* A child that is exec'd does not keep a connection from its end. */
static void
exec_does_not_hold_connections(void)
{
	static char path[] = "/bin/cat", name[] = "cat";
	static char *const argv[] = { name, NULL };
	struct h_pair p;
	int in[2], status;
	pid_t child;
	char c;

	h_pair_open(&p);
	CHECK_INT(pipe2(in, O_CLOEXEC), 0);
	CHECK((child = fork()) != -1);
	if (child == 0) {
		dup2(in[0], 0);
		execv(path, argv);
		_exit(127);
	}
	close(in[0]);
	tls_free(p.server);
	p.server = NULL;
	close(p.sfd);
	CHECK((p.sfd = open("/dev/null", O_RDONLY | O_CLOEXEC)) != -1);
	/* Some libtls take this for an error. */
	CHECK(h_read_some(p.client, p.cfd, &c, 1) <= 0);
	CHECK_INT(waitpid(child, &status, WNOHANG), 0);
	close(in[1]);
	guest_wait(child);
	h_pair_free(&p);
}

static void
system_and_popen(void)
{
	struct h_pair p;
	char line[16];
	int status;
	FILE *f;

	h_pair_open(&p);
	status = system("exit 3");
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), 3);
	h_pair_echo(&p);
	CHECK((f = popen("echo hello", "r")) != NULL);
	h_pair_echo(&p);
	CHECK(fgets(line, sizeof(line), f) != NULL);
	CHECK_STR(line, "hello\n");
	status = pclose(f);
	CHECK_INT(status, 0);
	h_pair_free(&p);
}

/* The library's processes are no children of the program. */
static volatile sig_atomic_t sigchld;

static void
on_sigchld(int sig)
{
	(void)sig;
	sigchld++;
}

static void
check_no_child(void)
{
	int status;

	errno = 0;
	CHECK_INT(wait(&status), -1);
	CHECK_INT(errno, ECHILD);
	CHECK_INT(waitpid(-1, &status, WNOHANG | __WALL), -1);
	CHECK_INT(errno, ECHILD);
}

static void
child_exits_7(void)
{
	_exit(7);
}

static void
no_child_no_sigchld(void)
{
	struct sigaction before[NSIG], after;
	struct sigaction sa = { .sa_handler = on_sigchld };
	int i, status;
	pid_t child;

	CHECK_INT(sigaction(SIGCHLD, &sa, NULL), 0);
	for (i = 1; i < NSIG; i++)
		sigaction(i, NULL, &before[i]);
	h_pair_open(&pair);
	h_pair_echo(&pair);
	check_no_child();
	CHECK_INT(sigchld, 0);

	child = guest_fork(child_exits_7);
	CHECK_INT(waitpid(child, &status, 0), child);
	CHECK_INT(WEXITSTATUS(status), 7);
	CHECK_INT(sigchld, 1);
	h_pair_free(&pair);
	CHECK_INT(sigchld, 1);
	for (i = 1; i < NSIG; i++) {
		if (i == SIGKILL || i == SIGSTOP ||
		    sigaction(i, NULL, &after) == -1)
			continue;
		CHECK(before[i].sa_handler == after.sa_handler);
	}
}

static void
sigchld_ignored(void)
{
	CHECK(signal(SIGCHLD, SIG_IGN) != SIG_ERR);
	h_pair_open(&pair);
	CHECK(guest_fork(child_exits_7) != -1);
	h_pair_echo(&pair);
	check_no_child();
	h_pair_free(&pair);
	guest_use();
	check_no_child();
}

/* ntpd and others reap all they have when they end. */
static void
wait_until_echild(void)
{
	int i, n = 0, status;

	h_pair_open(&pair);
	for (i = 0; i < 3; i++)
		CHECK(guest_fork(child_exits_7) != -1);
	while (wait(&status) != -1) {
		CHECK_INT(WEXITSTATUS(status), 7);
		n++;
	}
	CHECK_INT(errno, ECHILD);
	CHECK_INT(n, 3);
	h_pair_echo(&pair);
	h_pair_free(&pair);
	check_no_child();
}

/* Threads that use TLS do not leave a lock behind for those who fork. */
static atomic_int stop;

static void *
accept_all_the_time(void *arg)
{
	struct tls *conn;
	int a, b;

	while (!atomic_load(&stop)) {
		h_socketpair(SOCK_STREAM, &a, &b);
		CHECK_TLS(base, tls_accept_socket(base, &conn, b));
		close(a);
		close(b);
		tls_free(conn);
	}
	return arg;
}

#define THREADS 3
#define FORKS	60

static void
fork_among_threads(void)
{
	struct tls_config *config;
	pthread_t threads[THREADS];
	int i, a, b;
	pid_t child;
	struct tls *conn;

	if (h_sanitizer())
		guest_skip("its allocator's locks are as they are at the fork");
	config = h_server_config("ecdsa");
	base = h_server(config);
	tls_config_free(config);
	for (i = 0; i < THREADS; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, accept_all_the_time,
			      NULL),
		    0);
	for (i = 0; i < FORKS; i++) {
		CHECK((child = fork()) != -1);
		if (child == 0) {
			alarm((unsigned int)h_ms(20000) / 1000);
			h_socketpair(SOCK_STREAM, &a, &b);
			CHECK_TLS(base, tls_accept_socket(base, &conn, b));
			tls_free(conn);
			tls_free(base);
			_exit(0);
		}
		guest_wait(child);
	}
	atomic_store(&stop, 1);
	for (i = 0; i < THREADS; i++)
		CHECK_INT(pthread_join(threads[i], NULL), 0);
	tls_free(base);
}

static const struct CMUnitTest tests[] = {
	GUEST(prefork),
	GUEST(fork_then_accept),
	GUEST(accept_then_fork),
	GUEST(handshake_then_fork),
	GUEST_FLAGS(second_fork, GUEST_NO_APP),
	GUEST(fork_in_fork),
	GUEST(first_use_in_child),
	GUEST(child_ends_connection_stays),
	GUEST(daemon_after_configure),
	GUEST(daemon_before_first_call),
	GUEST(vfork_and_exec),
	GUEST(exec_inherits_nothing),
	GUEST(exec_does_not_hold_connections),
	GUEST(system_and_popen),
	GUEST(no_child_no_sigchld),
	GUEST(sigchld_ignored),
	GUEST(wait_until_echild),
	/* Other libraries' locks are as they are at the fork. */
	GUEST_FLAGS(fork_among_threads, GUEST_PROXY | GUEST_NO_VALGRIND),
};

static const struct h_peer peers[] = { GUEST_PEER };

GUEST_MAIN(tests, peers)
