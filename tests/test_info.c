/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What tls_proxy_info(3) tells. */

#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tls_proxy.h>

#include "harness.h"

static struct tls_proxy_info
get(void)
{
	struct tls_proxy_info info;
	const char *errstr = "untouched";

	errno = 77;
	if (tls_proxy_info(&info, sizeof(info), &errstr) == -1)
		FAIL("tls_proxy_info: %s", errstr);
	CHECK_INT(errno, 77);
	CHECK_STR(errstr, "untouched");
	return info;
}

static void
fails_with(const char *want)
{
	struct tls_proxy_info info;
	const char *errstr = NULL;

	memset(&info, 0x5a, sizeof(info));
	errno = 77;
	CHECK_INT(tls_proxy_info(&info, sizeof(info), &errstr), -1);
	CHECK_INT(errno, 77);
	CHECK_STR(errstr, want);
	CHECK_INT(info.workers, 0x5a5a5a5a);
}

/* Waits until the numbers are these. */
static void
wait_for(uint32_t workers, uint32_t deaths, uint32_t configs, uint32_t keys)
{
	int64_t deadline = h_now() + H_WAIT;
	struct tls_proxy_info info;

	for (;;) {
		info = get();
		if (info.workers == workers && info.deaths == deaths &&
		    info.configs == configs && info.keys == keys)
			return;
		h_pause(deadline, "other numbers");
	}
}

/* Has to be the first: it does not start goproxy. */
static void
not_running(void **state)
{
	(void)state;
	fails_with("goproxy is not running");
	CHECK_INT(tls_proxy_info(NULL, 0, NULL), -1);
	CHECK_INT(h_helper("keeper"), -1);
}

static void
counts(void **state)
{
	struct tls_config *rsa, *ecdsa;
	struct tls *a, *b, *c;
	struct tls_proxy_info info;
	struct h_pair p = { 0 };

	(void)state;
	rsa = h_server_config("rsa");
	ecdsa = h_server_config("ecdsa");
	a = h_server(rsa);
	info = get();
	CHECK_STR(info.release, tls_proxy_version());
	CHECK_INT(info.signatures, 0);
	CHECK_INT(info.refused, 0);
	CHECK_STR(info.refused_last, "");
	wait_for(1, 0, 1, 1);
	b = h_server(ecdsa);
	wait_for(1, 0, 2, 2);
	/* A configuration that has not changed is not another one. */
	c = h_server(ecdsa);
	info = get();
	CHECK_INT(info.keys, 2);
	tls_free(a);
	tls_free(b);
	tls_free(c);
	tls_config_free(rsa);
	tls_config_free(ecdsa);
	wait_for(1, 0, 0, 0);
	h_pair_open(&p);
	info = get();
	CHECK_INT(info.signatures, 1);
	CHECK_INT(info.keys, 1);
	h_pair_free(&p);
}

static void
worker_dies(void **state)
{
	struct tls_config *config;
	struct tls *ctx;
	pid_t worker;

	(void)state;
	config = h_server_config("ecdsa");
	ctx = h_server(config);
	wait_for(1, 0, 1, 1);
	worker = h_wait_helper("worker", -1);
	CHECK_INT(kill(worker, SIGKILL), 0);
	wait_for(1, 1, 1, 1);
	tls_free(ctx);
	tls_config_free(config);
}

/* A program that was built with a header of another time. */
static void
sizes(void **state)
{
	struct {
		struct tls_proxy_info info;
		char more[40];
	} large, small;
	const char *errstr;
	size_t known = offsetof(struct tls_proxy_info, configs);
	const unsigned char *end = (unsigned char *)&small + known;
	size_t i;

	(void)state;
	memset(&large, 0x5a, sizeof(large));
	CHECK_INT(tls_proxy_info(&large.info, sizeof(large), &errstr), 0);
	CHECK_STR(large.info.release, tls_proxy_version());
	for (i = 0; i < sizeof(large.more); i++)
		CHECK_INT(large.more[i], 0);
	memset(&small, 0x5a, sizeof(small));
	CHECK_INT(tls_proxy_info(&small.info, known, &errstr), 0);
	CHECK_STR(small.info.release, tls_proxy_version());
	for (i = 0; i < sizeof(small) - known; i++)
		CHECK_INT(end[i], 0x5a);
}

static void *
ask_often(void *arg)
{
	int i;

	(void)arg;
	for (i = 0; i < 50; i++)
		(void)get();
	return NULL;
}

static void
threads_and_forks(void **state)
{
	pthread_t threads[8];
	pid_t pid;
	size_t i;
	int fds, status;

	(void)state;
	fds = h_fds();
	for (i = 0; i < 8; i++)
		CHECK_INT(pthread_create(&threads[i], NULL, ask_often, NULL),
		    0);
	for (i = 0; i < 8; i++)
		CHECK_INT(pthread_join(threads[i], NULL), 0);
	if ((pid = fork()) == 0) {
		struct tls_proxy_info info;

		_exit(tls_proxy_info(&info, sizeof(info), NULL) != 0);
	}
	CHECK(pid != -1);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK_INT(status, 0);
	CHECK_INT(h_fds(), fds);
}

static void
keeper_dies(void **state)
{
	struct tls_config *config;
	struct tls *ctx;
	pid_t keeper;

	(void)state;
	keeper = h_wait_helper("keeper", -1);
	CHECK_INT(kill(keeper, SIGKILL), 0);
	h_wait_no_helpers(H_WAIT);
	fails_with("goproxy is not running");
	/* The next one counts anew. */
	config = h_server_config("ecdsa");
	ctx = h_server(config);
	wait_for(1, 0, 1, 1);
	tls_free(ctx);
	tls_config_free(config);
}

static void
keeper_stops(void **state)
{
	int64_t start;
	struct tls_proxy_info info;
	const char *errstr = NULL;
	pid_t keeper;

	(void)state;
	keeper = h_wait_helper("keeper", -1);
	h_stop(keeper);
	start = h_now();
	/* Or it has been ended for that, whichever comes first. */
	CHECK_INT(tls_proxy_info(&info, sizeof(info), &errstr), -1);
	CHECK(strcmp(errstr, "goproxy does not answer") == 0 ||
	      strcmp(errstr, "goproxy has ended unexpectedly") == 0);
	CHECK(h_now() - start < H_WAIT);
	(void)kill(keeper, SIGCONT);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(not_running),
	cmocka_unit_test(counts),
	cmocka_unit_test(worker_dies),
	cmocka_unit_test(sizes),
	cmocka_unit_test(threads_and_forks),
	cmocka_unit_test(keeper_dies),
	cmocka_unit_test(keeper_stops),
};

static const struct h_peer peers[] = {
	{ NULL, NULL },
};

H_MAIN(tests, peers)
