/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* LIBTLS_PROXY_DEBUG: what is traced, and above all what is not. */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

static const char payload[] = "the plaintext that nobody else may see";
static const char password[] = "correct horse battery staple";

/* A connection with a bit of everything, in a program of its own. */
static int
talk(int argc, char **argv)
{
	struct tls_config *config;
	char buf[sizeof(payload)];
	uint8_t *key;
	struct h_pair p;
	size_t len;

	(void)argc;
	(void)argv;
	/* The wrong one, which is as secret. */
	key = tls_load_file(h_cert("encrypted.key"), &len,
	    (char *)(uintptr_t)password);
	CHECK(key == NULL);
	h_pair_open(&p);
	h_write(p.client, p.cfd, payload, sizeof(payload));
	h_read(p.server, p.sfd, buf, sizeof(buf));
	CHECK_MEM(buf, payload, sizeof(buf));
	CHECK_INT(h_close(p.client, p.cfd), 0);
	CHECK((config = tls_config_new()) != NULL);
	CHECK_INT(tls_config_set_ca_file(config, "/no/such/\nfile"), -1);
	tls_config_free(config);
	h_pair_free(&p);
	return 0;
}

/* Expects the error argv[1] of the first call that needs goproxy. */
static int
fails(int argc, char **argv)
{
	struct tls_config *config;
	struct tls *ctx;
	int a, b;

	CHECK_INT(argc, 2);
	config = h_client_config();
	CHECK((ctx = tls_client()) != NULL);
	CHECK_TLS(ctx, tls_configure(ctx, config));
	h_tcp_pair(&a, &b);
	CHECK_INT(tls_connect_socket(ctx, a, "localhost"), -1);
	CHECK_STR(tls_error(ctx), argv[1]);
	tls_free(ctx);
	tls_config_free(config);
	close(a);
	close(b);
	return 0;
}

static int
run(const char *value, const char *peer, const char *arg)
{
	pid_t pid;

	CHECK_INT(setenv("LIBTLS_PROXY_DEBUG", value, 1), 0);
	pid = h_start(NULL, 0, peer, arg, (char *)NULL);
	CHECK_INT(unsetenv("LIBTLS_PROXY_DEBUG"), 0);
	return h_wait_exit(pid);
}

/* Fails if the trace has as much as a line of the file's base64. */
static void
check_nothing_of(const char *trace, const char *name)
{
	char line[256];
	FILE *f;

	CHECK((f = fopen(h_cert(name), "re")) != NULL);
	while (fgets(line, sizeof(line), f) != NULL) {
		line[strcspn(line, "\n")] = '\0';
		if (strlen(line) > 8 && strncmp(line, "-----", 5) != 0)
			CHECK(strstr(trace, line) == NULL);
	}
	fclose(f);
}

static void
traces_names_only(void **state)
{
	char path[] = "/tmp/test_trace.XXXXXX";
	struct stat st;
	char *trace, *line, *next;
	size_t len;
	int fd;

	(void)state;
	CHECK((fd = mkostemp(path, O_CLOEXEC)) != -1);
	close(fd);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(run(path, "talk", NULL), 0);
	CHECK_INT(stat(path, &st), 0);
	CHECK_INT(st.st_mode & 0777, 0600);
	trace = (char *)h_load(path, &len);
	CHECK_INT(strlen(trace), len);
	CHECK_HAS(trace, "] started: ");
	CHECK_HAS(trace, "] -> HELLO on ");
	CHECK_HAS(trace, "] <- HELLO_REPLY, ");
	CHECK_HAS(trace, "] -> ADD_KEY on ");
	CHECK_HAS(trace, "] -> DECRYPT_KEY on ");
	CHECK_HAS(trace, "] -> SETTINGS, ");
	CHECK_HAS(trace, "] -> COMMIT on ");
	CHECK_HAS(trace, ", 2 descriptors\n");
	CHECK_HAS(trace, "] <- ESTABLISHED, ");
	CHECK_HAS(trace, "descriptors, connection ");
	if (getenv("LIBTLS_PROXY_TRANSPORT") == NULL)
		CHECK_HAS(trace, "] -> CLOSE on ");
	else
		CHECK_HAS(trace, "] -> WRITE on ");
	CHECK_HAS(trace, "] error: failed to open CA file '/no/such/?file': ");

	CHECK(strstr(trace, payload) == NULL);
	CHECK(strstr(trace, password) == NULL);
	check_nothing_of(trace, "rsa.key");
	check_nothing_of(trace, "rsa.pem");
	/* Nothing but lines of this form. */
	for (line = trace; *line != '\0'; line = next) {
		CHECK((next = strchr(line, '\n')) != NULL);
		*next++ = '\0';
		CHECK(strlen(line) < 512);
		CHECK_HAS(line, " libtls-proxy[");
	}
	free(trace);
	CHECK_INT(unlink(path), 0);
}

/* Who reads the trace has gone; the program lives on. */
static int
talk_into_a_broken_pipe(int argc, char **argv)
{
	(void)signal(SIGPIPE, SIG_DFL);
	return talk(argc, argv);
}

static void
broken_pipe(void **state)
{
	int ends[2], saved, status;

	(void)state;
	CHECK_INT(pipe2(ends, O_CLOEXEC), 0);
	CHECK((saved = fcntl(2, F_DUPFD_CLOEXEC, 10)) != -1);
	CHECK_INT(dup2(ends[1], 2), 2);
	close(ends[0]);
	close(ends[1]);
	status = run("stderr", "talk_into_a_broken_pipe", NULL);
	CHECK_INT(dup2(saved, 2), 2);
	close(saved);
	CHECK_INT(status, 0);
}

/* A program may close all that it has, and use the numbers for its own. */
static int
talk_without_descriptors(int argc, char **argv)
{
	char path[] = "/tmp/test_trace.XXXXXX";
	struct stat st;
	int fd, i;

	CHECK((fd = mkostemp(path, O_CLOEXEC)) != -1);
	CHECK_INT(unlink(path), 0);
	for (i = 100; i < 400; i++)
		CHECK_INT(dup2(fd, i), i);
	CHECK_INT(talk(argc, argv), 0);
	CHECK_INT(fstat(fd, &st), 0);
	CHECK_INT(st.st_size, 0);
	return 0;
}

static void
descriptors_taken(void **state)
{
	(void)state;
	CHECK_INT(run("/dev/null", "talk_without_descriptors", NULL), 0);
}

static void
wrong_values(void **state)
{
	(void)state;
	CHECK_INT(run("yes", "fails",
		      "LIBTLS_PROXY_DEBUG wants 'stderr' or the absolute path "
		      "of a file"),
	    0);
	CHECK_INT(run("/no/such/directory/trace", "fails",
		      "failed to open the file that LIBTLS_PROXY_DEBUG names"),
	    0);
	CHECK_INT(run("", "talk", NULL), 0);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(traces_names_only),
	cmocka_unit_test(broken_pipe),
	cmocka_unit_test(descriptors_taken),
	cmocka_unit_test(wrong_values),
};

static const struct h_peer peers[] = {
	{ "talk", talk },
	{ "talk_into_a_broken_pipe", talk_into_a_broken_pipe },
	{ "talk_without_descriptors", talk_without_descriptors },
	{ "fails", fails },
};

H_MAIN(tests, peers)
