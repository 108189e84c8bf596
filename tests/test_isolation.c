/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * How much a worker is shared: how many there are and for how long, what the
 * death of one takes with it, and that its memory holds nothing that is
 * another's. FINDSECRET is the program that looks into it.
 */

#include <sys/wait.h>

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

#define MAX_WORKERS 16

static size_t
workers(pid_t *pids)
{
	size_t n = h_helper_list("worker", pids, MAX_WORKERS);

	CHECK(n <= MAX_WORKERS);
	return n;
}

static void
wait_for_workers(size_t want)
{
	int64_t deadline = h_now() + H_WAIT;
	pid_t pids[MAX_WORKERS];

	while (workers(pids) != want)
		h_pause(deadline, "the number of workers");
}

static struct tls_config *
isolated(struct tls_config *config, int isolation)
{
	CHECK_CONFIG(config, tls_config_set_isolation(config, isolation));
	return config;
}

static void
open_isolated(struct h_pair *p, int isolation)
{
	struct tls_config *client, *server;

	client = isolated(h_client_config(), isolation);
	server = isolated(h_server_config("ecdsa"), isolation);
	h_pair_start(p, client, server, "localhost");
	tls_config_free(client);
	tls_config_free(server);
	CHECK_PAIR(p);
	h_pair_echo(p);
}

/* Another connection of the same server, by the same or another client. */
static void
connect_to(struct h_pair *p, struct tls *base, struct tls_config *client)
{
	h_pair_join(p, client, base, "localhost");
	CHECK_PAIR(p);
	h_pair_echo(p);
}

static void
values(void **state)
{
	struct tls_config *config;
	int value;

	(void)state;
	CHECK((config = tls_config_new()) != NULL);
	for (value = TLS_ISOLATION_PROCESS; value <= TLS_ISOLATION_CONNECTION;
	     value++)
		CHECK_CONFIG(config, tls_config_set_isolation(config, value));
	CHECK_INT(tls_config_set_isolation(config, -1), -1);
	CHECK_STR(tls_config_error(config), "invalid isolation -1");
	CHECK_INT(tls_config_set_isolation(config, 3), -1);
	CHECK_STR(tls_config_error(config), "invalid isolation 3");
	CHECK_INT(tls_config_error_code(config), TLS_ERROR_INVALID_ARGUMENT);
	tls_config_free(config);
}

/*
 * "counter ISOLATION FIRST SECOND CLOSED": so many workers with one pair of
 * ends, with another, and when the second has closed. The isolation may be the
 * environment's.
 */
static int
counter_peer(int argc, char **argv)
{
	struct h_pair p, q;
	int isolation;
	char c;

	CHECK_INT(argc, 5);
	h_case = argv[1];
	isolation = atoi(argv[1]);
	open_isolated(&p, isolation);
	wait_for_workers((size_t)atoi(argv[2]));
	open_isolated(&q, isolation);
	wait_for_workers((size_t)atoi(argv[3]));
	/* The end of the connection, not of its context, ends the worker. */
	CHECK_TLS(q.client, h_close(q.client, q.cfd));
	CHECK_INT(h_read_some(q.server, q.sfd, &c, 1), 0);
	CHECK_TLS(q.server, h_close(q.server, q.sfd));
	CHECK_INT(h_read_some(q.client, q.cfd, &c, 1), 0);
	if (h_app && atoi(argv[4]) < atoi(argv[3])) {
		/* Which do not end before their contexts do. */
		tls_free(q.client);
		tls_free(q.server);
		q.client = q.server = NULL;
	}
	wait_for_workers((size_t)atoi(argv[4]));
	h_pair_echo(&p);
	h_pair_free(&q);
	h_pair_free(&p);
	h_wait_no_zombies(h_ms(1000));
	return 0;
}

static void
count(const char *isolation, const char *first, const char *second,
    const char *closed)
{
	CHECK_INT(h_wait_exit(h_start(NULL, 0, "counter", isolation, first,
		      second, closed, (char *)NULL)),
	    0);
}

static void
how_many_workers(void **state)
{
	(void)state;
	count("0", "1", "1", "1");
	/* One for each end of a pair, until the configuration goes. */
	count("1", "2", "4", "4");
	/* And the one that was started in advance. */
	count("2", "3", "5", "3");
}

/* The environment is the least, and the program's may be more. */
static void
environment(void **state)
{
	(void)state;
	setenv("LIBTLS_PROXY_ISOLATION", "process", 1);
	count("1", "2", "4", "4");
	setenv("LIBTLS_PROXY_ISOLATION", "config", 1);
	count("0", "2", "4", "4");
	count("2", "3", "5", "3");
	setenv("LIBTLS_PROXY_ISOLATION", "connection", 1);
	count("0", "3", "5", "3");
	setenv("LIBTLS_PROXY_ISOLATION", "", 1);
	count("0", "1", "1", "1");
	unsetenv("LIBTLS_PROXY_ISOLATION");
}

static void
wrong_environment(void **state)
{
	static const char *const wrong[] = { "x", "Process", "connections",
		" config" };
	struct tls_config *config;
	char want[128];
	struct tls *ctx;
	size_t i;
	int a, b;

	(void)state;
	h_tcp_pair(&a, &b);
	for (i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		h_case = wrong[i];
		setenv("LIBTLS_PROXY_ISOLATION", wrong[i], 1);
		snprintf(want, sizeof(want),
		    "LIBTLS_PROXY_ISOLATION is '%s', not 'process', 'config' "
		    "or 'connection'",
		    wrong[i]);
		config = h_server_config("ecdsa");
		CHECK((ctx = tls_server()) != NULL);
		CHECK_INT(tls_configure(ctx, config), -1);
		CHECK_STR(tls_error(ctx), want);
		tls_free(ctx);
		tls_config_free(config);

		config = h_client_config();
		ctx = h_client(config);
		CHECK_INT(tls_connect_socket(ctx, a, "localhost"), -1);
		CHECK_STR(tls_error(ctx), want);
		tls_free(ctx);
		tls_config_free(config);
	}
	unsetenv("LIBTLS_PROXY_ISOLATION");
	close(a);
	close(b);
	h_case = NULL;
}

/* What tls_configure refuses it refuses in any mode. */
static void
bad_configurations(void **state)
{
	struct tls_config *config;
	struct tls *ctx;
	int isolation, fds = 0, n;

	(void)state;
	for (n = 0; n < 6; n++) {
		isolation = n % 3;
		config = isolated(h_server_config("ecdsa"), isolation);
		CHECK_CONFIG(config,
		    tls_config_set_ca_mem(config, (const uint8_t *)"x", 1));
		tls_config_verify_client(config);
		CHECK((ctx = tls_server()) != NULL);
		CHECK_INT(tls_configure(ctx, config), -1);
		CHECK_HAS(tls_error(ctx), "ssl verify");
		tls_free(ctx);
		tls_config_free(config);
		if (n == 2)
			fds = h_fds();
	}
	CHECK_INT(h_fds(), fds);
}

/* Finds the workers that are in after and not in before. */
static size_t
difference(const pid_t *before, size_t nbefore, const pid_t *after,
    size_t nafter, pid_t *new)
{
	size_t i, j, n = 0;

	for (i = 0; i < nafter; i++) {
		for (j = 0; j < nbefore && before[j] != after[i]; j++)
			;
		if (j == nbefore)
			new[n++] = after[i];
	}
	return n;
}

static int
is_dead(struct tls *ctx)
{
	char c;

	return tls_read(ctx, &c, 1) == -1 &&
	       strstr(tls_error(ctx), "goproxy") != NULL;
}

/* The death of a worker is that of its own connections and no others. */
static int
death_peer(int argc, char **argv)
{
	pid_t before[MAX_WORKERS], after[MAX_WORKERS], new[MAX_WORKERS];
	size_t nbefore, nafter, n;
	struct tls_config *client;
	struct h_pair p, q, r;
	int isolation, dead;
	int64_t killed;
	size_t i;
	char c;

	CHECK_INT(argc, 2);
	isolation = atoi(argv[1]);
	open_isolated(&p, isolation);
	/* So that the one in advance is not among the new ones. */
	wait_for_workers(isolation == TLS_ISOLATION_CONNECTION ? 3 : 2);
	nbefore = workers(before);
	open_isolated(&q, isolation);
	wait_for_workers(isolation == TLS_ISOLATION_CONNECTION ? 5 : 4);
	nafter = workers(after);
	n = difference(before, nbefore, after, nafter, new);
	/* One of q's was started in advance, and so is another one now. */
	CHECK_INT(n, isolation == TLS_ISOLATION_CONNECTION ? 3 : 2);
	killed = h_now();
	for (i = 0; i < n; i++)
		CHECK_INT(kill(new[i], SIGKILL), 0);
	/* The one that dies first is an end of the transport to the other. */
	for (i = 0; i < n; i++)
		h_wait_gone(new[i]);
	/* One was q's in any case, and both of them in mode config. */
	dead = 0;
	if (isolation == TLS_ISOLATION_CONFIG) {
		CHECK_INT(h_read_some(q.client, q.cfd, &c, 1), -1);
		CHECK_HAS(tls_error(q.client), "goproxy");
		CHECK_INT(h_read_some(q.server, q.sfd, &c, 1), -1);
		CHECK_HAS(tls_error(q.server), "goproxy");
	} else if (h_app) {
		/* The network is as it was, and wakes nobody. */
		CHECK(is_dead(q.client) || is_dead(q.server));
	} else {
		/* The other end may see the transport's end, or an error. */
		dead += tls_read(q.client, &c, 1) == -1;
		h_poll(q.cfd, POLLIN, H_WAIT);
		h_poll(q.sfd, POLLIN, H_WAIT);
		dead += h_read_some(q.client, q.cfd, &c, 1) == -1 &&
			strstr(tls_error(q.client), "goproxy") != NULL;
		dead += h_read_some(q.server, q.sfd, &c, 1) == -1 &&
			strstr(tls_error(q.server), "goproxy") != NULL;
		CHECK(dead > 0);
	}
	h_pair_echo(&p);
	client = isolated(h_client_config(), isolation);
	connect_to(&r, q.base, client);
	CHECK(h_now() - killed <= h_ms(1000));
	tls_config_free(client);
	h_pair_free(&r);
	h_pair_free(&q);
	h_pair_free(&p);
	h_wait_no_zombies(h_ms(1000));
	return 0;
}

static void
death_of_one(void **state)
{
	(void)state;
	h_case = "config";
	CHECK_INT(h_wait_exit(h_start(NULL, 0, "death", "1", (char *)NULL)), 0);
	h_case = "connection";
	CHECK_INT(h_wait_exit(h_start(NULL, 0, "death", "2", (char *)NULL)), 0);
	h_case = NULL;
}

/* Nothing is left of a hundred connections with a worker each. */
static int
many_peer(int argc, char **argv)
{
	struct tls_config *client;
	struct h_pair p, q;
	int fds = 0, n;

	(void)argc;
	(void)argv;
	open_isolated(&p, TLS_ISOLATION_CONNECTION);
	client = isolated(h_client_config(), TLS_ISOLATION_CONNECTION);
	for (n = 0; n < 50; n++) {
		connect_to(&q, p.base, client);
		h_pair_free(&q);
		if (n == 0)
			fds = h_fds();
	}
	CHECK_INT(h_fds(), fds);
	wait_for_workers(3);
	h_pair_echo(&p);
	tls_config_free(client);
	h_pair_free(&p);
	h_wait_no_zombies(h_ms(1000));
	return 0;
}

static void
one_after_another(void **state)
{
	(void)state;
	CHECK_INT(h_wait_exit(h_start(NULL, 0, "many", (char *)NULL)), 0);
	h_wait_no_helpers(H_WAIT);
}

/* Memory. */

#define ITEMS 12

/* What belongs to one connection and must not be in another's worker. */
struct belongings {
	const char *config; /* its certificate's name */
	char dir[64];
	struct tls *ctx;
	int fd, to_peer;
	pid_t peer;
	struct item {
		char name[64];
		uint8_t bytes[128];
		size_t len;
		int certain; /* it must be in its own worker */
	} items[ITEMS];
	size_t nitems;
};

static struct item *
add_item(struct belongings *b, const char *name, const void *bytes, size_t len)
{
	struct item *item = &b->items[b->nitems++];

	CHECK(b->nitems <= ITEMS && len <= sizeof(item->bytes));
	snprintf(item->name, sizeof(item->name), "%s", name);
	memcpy(item->bytes, bytes, len);
	item->len = len;
	return item;
}

/* A text that is nowhere else. */
static void
marker(char *buf)
{
	uint8_t random[16];
	size_t i;
	int fd;

	CHECK((fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC)) != -1);
	CHECK_INT(read(fd, random, sizeof(random)), sizeof(random));
	close(fd);
	for (i = 0; i < sizeof(random); i++)
		snprintf(buf + 2 * i, 3, "%02x", random[i]);
}

/* The secrets that the peer wrote down (SSLKEYLOGFILE). */
static void
read_secrets(struct belongings *b)
{
	char path[128], line[512], label[64], random[128], secret[256];
	uint8_t bytes[64];
	size_t i, len;
	int certain;
	FILE *fp;

	snprintf(path, sizeof(path), "%s/keylog", b->dir);
	CHECK((fp = fopen(path, "re")) != NULL);
	while (fgets(line, sizeof(line), fp) != NULL) {
		if (line[0] == '#' || sscanf(line, "%63s %127s %255s", label,
					  random, secret) != 3)
			continue;
		len = strlen(secret) / 2;
		CHECK(len <= sizeof(bytes));
		for (i = 0; i < len; i++) {
			unsigned int byte;

			CHECK_INT(sscanf(secret + 2 * i, "%2x", &byte), 1);
			bytes[i] = (uint8_t)byte;
		}
		/* Those of the traffic are needed for key updates. */
		certain = strstr(label, "_TRAFFIC_SECRET_0") != NULL;
		add_item(b, label, bytes, len)->certain = certain;
	}
	fclose(fp);
	unlink(path);
	CHECK(b->nitems > 4);
}

/* Of the leaf certificate in PEM, as the configuration has it. */
static void
read_certificate(struct belongings *b)
{
	char name[64], *pem, *end;
	size_t len;

	snprintf(name, sizeof(name), "%s-chain.pem", b->config);
	pem = (char *)h_load(h_cert(name), &len);
	CHECK((end = strstr(pem, "\n-----END")) != NULL);
	/* The signature, as issuer and extensions are alike. */
	add_item(b, "certificate", end - 40, 40);
	free(pem);
}

/* A connection from OpenSSL, with data both ways. */
static void
start_peer(struct belongings *b, struct tls *base)
{
	char command[512], port[8], out[33], in[33], got[33];
	char *argv[] = { (char *)"/bin/sh", (char *)"-c", command, NULL };
	int listener, pipes[2];

	snprintf(b->dir, sizeof(b->dir), "/tmp/test_isolation.XXXXXX");
	CHECK(mkdtemp(b->dir) != NULL);
	listener = h_listen(port, sizeof(port));
	CHECK_INT(pipe2(pipes, O_CLOEXEC), 0);
	snprintf(command, sizeof(command),
	    "exec openssl s_client -quiet -tls1_3 -connect 127.0.0.1:%s "
	    "-keylogfile %s/keylog </proc/self/fd/%d >/dev/null 2>&1",
	    port, b->dir, H_KEPT);
	b->peer = h_exec(pipes, 1, argv, environ);
	close(pipes[0]);
	b->to_peer = pipes[1];
	b->fd = h_accept(listener);
	close(listener);
	h_nonblock(b->fd, 1);
	CHECK_TLS(base, tls_accept_socket(base, &b->ctx, b->fd));
	CHECK_TLS(b->ctx, h_handshake(b->ctx, b->fd));
	marker(out);
	marker(in);
	h_write(b->ctx, b->fd, out, strlen(out));
	CHECK_INT(write(b->to_peer, in, strlen(in)), strlen(in));
	h_read(b->ctx, b->fd, got, strlen(in));
	CHECK_MEM(got, in, strlen(in));
	add_item(b, "plaintext to the peer", out, strlen(out));
	add_item(b, "plaintext from the peer", in, strlen(in));
	read_secrets(b);
}

static void
end_peer(struct belongings *b)
{
	tls_free(b->ctx);
	close(b->fd);
	close(b->to_peer);
	h_kill(b->peer);
	rmdir(b->dir);
}

/* Whether the bytes, or some, are in the memory of a process; -1 if none may
 * look. */
static int
is_in(pid_t pid, const struct item *item)
{
	char command[512];
	FILE *fp;
	int status;

	snprintf(command, sizeof(command), "'%s' %d >/dev/null",
	    getenv("FINDSECRET"), (int)pid);
	CHECK((fp = popen(command, "w")) != NULL);
	CHECK_INT(fwrite(item->bytes, 1, item->len, fp), item->len);
	status = pclose(fp);
	CHECK(WIFEXITED(status));
	switch (WEXITSTATUS(status)) {
	case 0:
		return 0;
	case 1:
		return 1;
	case 3:
		return -1;
	}
	FAIL("findsecret ends with %d", WEXITSTATUS(status));
}

/* Of which of the two the process has something: bits 1 and 2. */
static int
whose(pid_t pid, const struct belongings *two, int *certain)
{
	size_t i;
	int found = 0, k;

	for (k = 0; k < 2; k++) {
		for (i = 0; i < two[k].nitems; i++) {
			if (!is_in(pid, &two[k].items[i]))
				continue;
			found |= 1 << k;
			certain[k] += two[k].items[i].certain;
		}
	}
	return found;
}

static int
memory_peer(int argc, char **argv)
{
	static struct belongings two[2];
	struct tls_config *config;
	struct tls *base[2];
	pid_t pids[MAX_WORKERS];
	int certain[2] = { 0, 0 }, both = 0, k;
	size_t i, n;
	int isolation;

	CHECK_INT(argc, 2);
	isolation = atoi(argv[1]);
	two[0].config = "rsa";
	two[1].config = isolation == TLS_ISOLATION_CONFIG ? "ecdsa" : "rsa";
	for (k = 0; k < 2; k++) {
		if (k == 0 || isolation == TLS_ISOLATION_CONFIG) {
			config =
			    isolated(h_server_config(two[k].config), isolation);
			base[k] = h_server(config);
			tls_config_free(config);
		} else
			base[k] = base[0];
		start_peer(&two[k], base[k]);
		if (isolation == TLS_ISOLATION_CONFIG)
			read_certificate(&two[k]);
	}
	n = workers(pids);
	if (is_in(pids[0], &two[0].items[0]) == -1)
		return 77;
	for (i = 0; i < n; i++)
		both += whose(pids[i], two, certain) == 3;
	/* Of each, both secrets of the traffic, and in one place. */
	CHECK_INT(certain[0], 2);
	CHECK_INT(certain[1], 2);
	CHECK_INT(both, isolation == TLS_ISOLATION_PROCESS);
	if (isolation != TLS_ISOLATION_CONFIG)
		/* The keeper has seen the certificate, and nothing else. */
		CHECK_INT(whose(h_wait_helper("keeper", -1), two, certain), 0);
	for (k = 0; k < 2; k++)
		end_peer(&two[k]);
	tls_free(base[0]);
	if (base[1] != base[0])
		tls_free(base[1]);
	return 0;
}

static void
memory(void **state)
{
	static const char *const isolations[] = { "0", "1", "2" };
	size_t i;
	int status;

	(void)state;
	if (getenv("FINDSECRET") == NULL)
		skip();
	for (i = 0; i < 3; i++) {
		h_case = isolations[i];
		status = h_wait_exit(
		    h_start(NULL, 0, "memory", isolations[i], (char *)NULL));
		if (status == 77)
			skip(); /* only root may look */
		CHECK_INT(status, 0);
	}
	h_case = NULL;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(values),
	cmocka_unit_test(how_many_workers),
	cmocka_unit_test(environment),
	cmocka_unit_test(death_of_one),
	cmocka_unit_test(one_after_another), /* while we have no helper */
	cmocka_unit_test(wrong_environment),
	cmocka_unit_test(bad_configurations),
	cmocka_unit_test(memory),
};

static const struct h_peer peers[] = {
	{ "counter", counter_peer },
	{ "death", death_peer },
	{ "many", many_peer },
	{ "memory", memory_peer },
};

H_MAIN(tests, peers)
