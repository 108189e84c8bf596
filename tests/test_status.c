/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What tls-proxy-status(1) shows of this program, and to whom. */

#include <sys/socket.h>
#include <sys/un.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

static char output[1 << 16];

/*
 * Runs the tool, as another user where uid is not 0, and returns its exit
 * status. Its output and errors are in output.
 */
static int
status_as(uid_t uid, const char *option, const char *pid)
{
	char *argv[] = { getenv("TLS_PROXY_STATUS"), NULL, NULL, NULL };
	size_t len = 0;
	int n = 1, out[2];
	ssize_t got;
	pid_t tool;

	if (option != NULL)
		argv[n++] = strdup(option);
	if (pid != NULL)
		argv[n++] = strdup(pid);
	CHECK_INT(pipe(out), 0);
	if ((tool = h_fork()) == 0) {
		if (dup2(out[1], 1) == -1 || dup2(out[1], 2) == -1 ||
		    (uid != 0 && setresuid(uid, uid, uid) == -1))
			_exit(126);
		close(out[0]);
		close(out[1]);
		execv(argv[0], argv);
		_exit(127);
	}
	close(out[1]);
	while (len < sizeof(output) - 1) {
		h_poll(out[0], POLLIN, H_WAIT);
		got = read(out[0], output + len, sizeof(output) - 1 - len);
		CHECK(got != -1);
		if (got == 0)
			break;
		len += (size_t)got;
	}
	output[len] = '\0';
	close(out[0]);
	while (n > 1)
		free(argv[--n]);
	return h_wait_exit(tool);
}

static char *
own_pid(void)
{
	static char buf[32];

	snprintf(buf, sizeof(buf), "%d", (int)getpid());
	return buf;
}

static void
ask(const char *option)
{
	if (status_as(0, option, own_pid()) != 0)
		FAIL("tls-proxy-status: %s", output);
}

/* Whether the kernel lets a child look into its parent. */
static void
need_permission(void)
{
	char scope = '0';
	FILE *f;

	if ((f = fopen("/proc/sys/kernel/yama/ptrace_scope", "re")) != NULL) {
		CHECK_INT(fread(&scope, 1, 1, f), 1);
		fclose(f);
	}
	if (geteuid() != 0 && scope != '0')
		skip();
}

/* Has to be the first: it does not start goproxy. */
static void
not_running(void **state)
{
	(void)state;
	need_permission();
	CHECK_INT(status_as(0, NULL, own_pid()), 1);
	CHECK_HAS(output, "has no goproxy");
	CHECK_INT(status_as(0, NULL, "0"), 1);
	CHECK_HAS(output, "'0' is not a process number");
	CHECK_INT(status_as(0, NULL, "12x"), 1);
	CHECK_HAS(output, "'12x' is not a process number");
	CHECK_INT(status_as(0, "--nonsense", NULL), 2);
	CHECK_HAS(output, "usage: ");
	CHECK_INT(status_as(0, "--version", NULL), 0);
	CHECK_HAS(output, getenv("LIBTLS_PROXY_RELEASE"));
}

static void
connections(void **state)
{
	char want[512], buf[5];
	const char *engine, *name;
	struct h_pair p;

	(void)state;
	need_permission();
	h_pair_open(&p);
	h_write(p.client, p.cfd, "hello", 5);
	h_read(p.server, p.sfd, buf, 5);
	ask("--json");
	snprintf(want, sizeof(want), "[{\"processes\":[{\"pid\":%d,",
	    (int)getpid());
	CHECK_HAS(output, want);
	snprintf(want, sizeof(want), "\"keeper\":{\"pid\":%d,",
	    (int)h_helper("keeper"));
	CHECK_HAS(output, want);
	snprintf(want, sizeof(want), "\"workers\":[{\"pid\":%d,",
	    (int)h_helper("worker"));
	CHECK_HAS(output, want);
	CHECK_HAS(output, "\"signatures\":1,\"refused\":0,");
	CHECK_HAS(output,
	    "\"handshakes\":{\"full\":2,\"resumed\":0,\"failed\":0},");
	CHECK_HAS(output, "\"capabilities\":false");
	CHECK((name = tls_peer_cert_common_name(p.client)) != NULL);
	engine = getenv("LIBTLS_PROXY_TRANSPORT") != NULL ? "engine" : "socket";
	snprintf(want, sizeof(want),
	    "{\"role\":\"client\",\"state\":\"open\",\"transport\":\"%s\","
	    "\"version\":\"TLSv1.3\",\"cipher\":\"%s\",\"alpn\":\"\","
	    "\"servername\":\"localhost\",\"common_name\":\"%s\",",
	    engine, tls_conn_cipher(p.client), name);
	CHECK_HAS(output, want);
	CHECK_HAS(output, "\"received\":0,\"sent\":5,");
	CHECK_HAS(output, "\"received\":5,\"sent\":0,");
	CHECK_HAS(output, "\"complete\":true}]");
	if (strcmp(engine, "socket") == 0)
		CHECK_HAS(output, "\"address\":\"127.0.0.1:");

	ask(NULL);
	CHECK_HAS(output, ": libtls-proxy ");
	CHECK_HAS(output, "\n  server  open          TLSv1.3  TLS_");

	/* All programs of the user: this one is among them. */
	/* Other programs may end, or be older, while they are asked. */
	CHECK(status_as(0, NULL, NULL) <= 1);
	snprintf(want, sizeof(want), "(%d)", (int)getpid());
	CHECK_HAS(output, want);
	h_pair_free(&p);
}

static void
failures(void **state)
{
	struct tls_config *config;
	struct tls *base, *conn;
	int a, b;

	(void)state;
	need_permission();
	config = h_server_config("rsa");
	base = h_server(config);
	h_tcp_pair(&a, &b);
	h_nonblock(b, 1);
	CHECK_TLS(base, tls_accept_socket(base, &conn, b));
	h_send(a, "GET / HTTP/1.0\r\n\r\n", 18);
	CHECK_INT(h_handshake(conn, b), -1);
	ask("--json");
	CHECK_HAS(output, "\"failed\":1},");
	CHECK_HAS(output, "\"cause\":\"handshake failed: ");
	CHECK_HAS(output, "\"count\":1}");
	tls_free(conn);
	tls_free(base);
	tls_config_free(config);
	close(a);
	close(b);
}

/* A connection in its handshake, and the name that it asks for. */
static void
handshaking(void **state)
{
	struct tls_config *config;
	struct tls *client;
	int a, b;

	(void)state;
	need_permission();
	config = h_client_config();
	client = h_client(config);
	h_tcp_pair(&a, &b);
	h_nonblock(a, 1);
	CHECK_TLS(client, tls_connect_socket(client, a, "name.example"));
	CHECK_INT(tls_handshake(client), TLS_WANT_POLLIN);
	h_poll(b, POLLIN, H_WAIT);
	ask("--json");
	CHECK_HAS(output, "\"role\":\"client\",\"state\":\"handshake\",");
	CHECK_HAS(output, "\"servername\":\"name.example\"");
	tls_free(client);
	tls_config_free(config);
	close(a);
	close(b);
}

static void
other_users(void **state)
{
	struct h_pair p;

	(void)state;
	if (geteuid() != 0)
		skip(); /* who else is there */
	if (status_as(65534, "-h", NULL) == 127)
		skip(); /* nobody else reaches the build directory */
	h_pair_open(&p);
	CHECK_INT(status_as(65534, "--json", own_pid()), 1);
	CHECK_HAS(output, "by its own user and root alone");
	CHECK(strstr(output, "localhost") == NULL);
	(void)status_as(65534, "--json", NULL);
	CHECK(strstr(output, "localhost") == NULL);
	h_pair_free(&p);
}

/* The parts of a program that has forked are one program. */
static void
forks(void **state)
{
	char want[256];
	struct h_pair p;
	int ends[2];
	pid_t child;
	char c;

	(void)state;
	need_permission();
	h_pair_open(&p);
	CHECK_INT(pipe(ends), 0);
	if ((child = h_fork()) == 0) {
		close(ends[1]);
		_exit(read(ends[0], &c, 1) != 0);
	}
	snprintf(want, sizeof(want), "%d", (int)child);
	CHECK_INT(status_as(0, "--json", want), 0);
	snprintf(want, sizeof(want), "\"keeper\":{\"pid\":%d,",
	    (int)h_helper("keeper"));
	CHECK_HAS(output, want);
	close(ends[0]);
	close(ends[1]);
	CHECK_INT(h_wait_exit(child), 0);
	h_pair_free(&p);
}

/*
 * What a program that was taken over can have the tool read. The peer has a
 * channel with the right name, and answers with "answer" and its length.
 */
static const struct {
	const char *name;
	const char *answer;
	size_t len;
	const char *want;
} lies[] = {
	{ "garbage", "\0\1\0\x99", 4, "not an answer of goproxy's" },
	{ "a later version", "\0\2\0\x81\0\0\0\0", 8,
	    "goproxy speaks protocol version 2, tls-proxy-status version 1" },
	{ "a worker alone", "\0\1\0\x62\0\0\0\0", 8,
	    "not an answer of goproxy's" },
	{ "escapes",
	    "\0\1\0\xd0"
	    "\0\0\0\6\x1b[31m\xff"
	    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
	    "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
	    50, "libtls-proxy \\x1b[31m\\xff\n" },
	/* See tell_too_much(). */
	{ "too much of a report", NULL, 0, "not an answer of goproxy's" },
};

/* A worker that has 130 MB to tell. */
static void
tell_too_much(int fd)
{
	static const char keeper[45] = "\0\1\0\xd0"
				       "\0\0\0\1x"
				       "\0\0\0\1";
	static const char worker[52] = "\0\1\0\x62";
	static char failure[65016] = "\0\1\0\x64"
				     "\0\0\xfd\xe8";
	char state[sizeof(worker)];
	int i;

	memcpy(state, worker, sizeof(state));
	memset(state + sizeof(state) - 4, 0xff, 4);
	memset(failure + 8, 'A', 65000);
	(void)send(fd, keeper, sizeof(keeper), MSG_NOSIGNAL);
	(void)send(fd, state, sizeof(state), MSG_NOSIGNAL);
	for (i = 0; i < 2000; i++)
		(void)send(fd, failure, sizeof(failure), MSG_NOSIGNAL);
}

static int
liar(int argc, char **argv)
{
	static const char name[] = "libtls-proxy/control/test-";
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(int))];
	} control;
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	char buf[64];
	struct iovec iov = { .iov_base = buf, .iov_len = sizeof(buf) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int a, b, fd, n, which;

	CHECK_INT(argc, 2);
	which = atoi(argv[1]);
	h_socketpair(SOCK_SEQPACKET, &a, &b);
	n = snprintf(sun.sun_path + 1, sizeof(sun.sun_path) - 1, "%s%d", name,
	    (int)getpid());
	CHECK_INT(bind(b, (struct sockaddr *)&sun,
		      (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
				  (size_t)n)),
	    0);
	CHECK_INT(write(H_KEPT, "x", 1), 1);
	while (h_poll(b, POLLIN, 10 * H_WAIT) != 0) {
		msg.msg_control = control.buf;
		msg.msg_controllen = sizeof(control.buf);
		CHECK_INT(recvmsg(b, &msg, MSG_CMSG_CLOEXEC), 4);
		memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(fd));
		if (lies[which].answer == NULL)
			tell_too_much(fd);
		else
			(void)send(fd, lies[which].answer, lies[which].len,
			    MSG_NOSIGNAL);
		close(fd);
	}
	return 1;
}

static void
lying_programs(void **state)
{
	char number[16], pid[16], c;
	int ends[2];
	pid_t peer;
	size_t i;

	(void)state;
	need_permission();
	for (i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
		h_case = lies[i].name;
		snprintf(number, sizeof(number), "%zu", i);
		CHECK_INT(pipe(ends), 0);
		peer = h_start(&ends[1], 1, "liar", number, (char *)NULL);
		close(ends[1]);
		h_poll(ends[0], POLLIN, H_WAIT);
		CHECK_INT(read(ends[0], &c, 1), 1);
		snprintf(pid, sizeof(pid), "%d", (int)peer);
		(void)status_as(0, NULL, pid);
		CHECK_HAS(output, lies[i].want);
		CHECK(strchr(output, 0x1b) == NULL);
		if (strcmp(lies[i].name, "escapes") == 0) {
			CHECK_INT(status_as(0, "-j", pid), 0);
			CHECK_HAS(output,
			    "\"release\":\"\\u001b[31m\\ufffd\",");
		}
		close(ends[0]);
		h_kill(peer);
	}
	h_case = NULL;
}

static void
keeper_stands_still(void **state)
{
	struct h_pair p;
	pid_t keeper;

	(void)state;
	need_permission();
	h_pair_open(&p);
	keeper = h_wait_helper("keeper", -1);
	h_stop(keeper);
	CHECK_INT(status_as(0, NULL, own_pid()), 1);
	CHECK_HAS(output, "goproxy");
	(void)kill(keeper, SIGCONT);
	h_pair_free(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(not_running),
	cmocka_unit_test(connections),
	cmocka_unit_test(failures),
	cmocka_unit_test(handshaking),
	cmocka_unit_test(other_users),
	cmocka_unit_test(forks),
	cmocka_unit_test(lying_programs),
	cmocka_unit_test(keeper_stands_still),
};

static const struct h_peer peers[] = {
	{ "liar", liar },
};

H_MAIN(tests, peers)
