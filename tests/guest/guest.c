/* SPDX-License-Identifier: ISC */
/* Runs the cases, and what these have in common. */

#include <sys/prctl.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../harness_process.h"
#include "guest.h"

const struct CMUnitTest *guest_tests;
size_t guest_ntests;

/* A case that cannot run here ends with this status. */
#define SKIPPED 77
/* A user who has no other processes. */
#define NOBODY 61234

void
guest_skip(const char *why)
{
	printf("%s\n", why);
	fflush(NULL);
	_exit(SKIPPED);
}

void
guest_change_user(void)
{
	CHECK_INT(setgroups(0, NULL), 0);
	CHECK_INT(setresgid(NOBODY, NOBODY, NOBODY), 0);
	CHECK_INT(setresuid(NOBODY, NOBODY, NOBODY), 0);
}

void
guest_valgrind_reaches_goproxy(void)
{
	/* It goes by the path of a descriptor. */
	if (h_valgrind() && access(getenv("LIBTLS_PROXY_LIBEXEC"), X_OK) == -1)
		guest_skip("valgrind does not reach goproxy as this user");
}

/*
 * The library keeps its programs, opened when it was loaded, and once it has
 * started goproxy a control channel.
 */
static void
run_case(const struct guest *guest)
{
	int fds = h_fds();

	alarm((unsigned int)h_ms(60000) / 1000);
	guest->fn();
	if (h_fds() > fds + h_proxy)
		h_print_fds();
	CHECK(h_fds() <= fds + h_proxy);
}

/* "guest NAME": the case in a program that was started for it. */
int
guest_peer(int argc, char **argv)
{
	size_t i;

	CHECK_INT(argc, 2);
	prctl(PR_SET_CHILD_SUBREAPER, 0);
	for (i = 0; i < guest_ntests; i++) {
		if (strcmp(guest_tests[i].name, argv[1]) == 0) {
			run_case(guest_tests[i].initial_state);
			return 0;
		}
	}
	FAIL("no case %s", argv[1]);
}

static pid_t
start_case(const struct guest *guest)
{
	pid_t pid;

	if (guest->flags & GUEST_EARLY) {
		CHECK_INT(setenv("LIBTLS_PROXY_START", "early", 1), 0);
		pid = h_start(NULL, 0, "guest", guest->name, (char *)NULL);
		CHECK_INT(unsetenv("LIBTLS_PROXY_START"), 0);
		return pid;
	}
	fflush(NULL);
	if ((pid = h_fork()) == 0) {
		run_case(guest);
		exit(0);
	}
	return pid;
}

/* What a case leaves becomes a child of ours. */
static void
kill_children(void)
{
	char path[64], line[512];
	const char *s;
	char parent[32];
	struct dirent *e;
	FILE *f;
	DIR *dir;

	snprintf(parent, sizeof(parent), "%d", (int)getpid());
	if ((dir = opendir("/proc")) == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		if (atoi(e->d_name) <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%.16s/stat", e->d_name);
		if ((f = fopen(path, "re")) == NULL)
			continue;
		if (fgets(line, sizeof(line), f) != NULL &&
		    (s = strrchr(line, ')')) != NULL &&
		    atoi(s + 3) == getpid()) {
			fprintf(stderr, "left: %.300s\n", line);
			kill(atoi(e->d_name), SIGKILL);
		}
		fclose(f);
	}
	closedir(dir);
}

/* Waits for all processes; returns how many did not end as they should. */
static int
wait_nothing_left(void)
{
	int64_t deadline = h_now() + h_ms(10000);
	int status, bad = 0;
	pid_t pid;

	while ((pid = waitpid(-1, &status, WNOHANG)) != -1) {
		if (pid == 0)
			h_pause(deadline, "the end of all processes");
		else
			bad += status != 0;
	}
	CHECK_INT(errno, ECHILD);
	return bad;
}

/* What a case that failed has left is not the next one's. */
int
guest_clean(void **state)
{
	int64_t deadline = h_now() + h_ms(10000);
	pid_t pid;

	(void)h_process_teardown(state);
	while ((pid = waitpid(-1, NULL, WNOHANG)) != -1 && h_now() < deadline) {
		if (pid == 0) {
			kill_children();
			h_pause(deadline, "the end of what was killed");
		}
	}
	return 0;
}

void
guest_run(void **state)
{
	const struct guest *guest = *state;
	int fds = h_fds(), status, bad;

	if ((guest->flags & GUEST_PROXY) && !h_proxy)
		skip();
	if ((guest->flags & GUEST_ROOT) && geteuid() != 0) {
		print_message("%s needs root\n", guest->name);
		skip();
	}
	if ((guest->flags & GUEST_NO_VALGRIND) && h_valgrind()) {
		print_message("%s is not for valgrind\n", guest->name);
		skip();
	}
	if ((guest->flags & GUEST_NO_APP) && h_app)
		skip();
	status = h_wait_exit(start_case(guest));
	bad = wait_nothing_left();
	CHECK_INT(h_fds(), fds);
	if (status == SKIPPED)
		skip();
	CHECK_INT(status, 0);
	/* Daemons, and goproxy's processes. */
	if ((guest->flags & GUEST_CANNOT_START) != GUEST_CANNOT_START)
		CHECK_INT(bad, 0);
}

pid_t
guest_fork(void (*fn)(void))
{
	pid_t pid;

	CHECK((pid = fork()) != -1);
	if (pid != 0)
		return pid;
	alarm((unsigned int)h_ms(60000) / 1000);
	fn();
	_exit(0);
}

void
guest_wait(pid_t pid)
{
	int status;

	while (waitpid(pid, &status, 0) == -1)
		CHECK_INT(errno, EINTR);
	CHECK_INT(status, 0);
}

void
guest_use(void)
{
	struct h_pair p;

	h_pair_open(&p);
	h_pair_echo(&p);
	h_pair_free(&p);
}

void
guest_load(struct guest_files *files)
{
	files->ca = h_load(h_cert("root.pem"), &files->ca_len);
	files->cert = h_load(h_cert("ecdsa-chain.pem"), &files->cert_len);
	files->key = h_load(h_cert("ecdsa.key"), &files->key_len);
}

void
guest_unload(struct guest_files *files)
{
	free(files->ca);
	free(files->cert);
	free(files->key);
}

void
guest_configs(const struct guest_files *files, struct tls_config **client,
    struct tls_config **server)
{
	CHECK((*client = tls_config_new()) != NULL);
	CHECK_CONFIG(*client,
	    tls_config_set_ca_mem(*client, files->ca, files->ca_len));
	CHECK((*server = tls_config_new()) != NULL);
	CHECK_CONFIG(*server, tls_config_set_keypair_mem(*server, files->cert,
				  files->cert_len, files->key, files->key_len));
}

void
guest_use_files(const struct guest_files *files)
{
	struct tls_config *client, *server;
	struct h_pair p;

	guest_configs(files, &client, &server);
	h_pair_start(&p, client, server, "localhost");
	tls_config_free(client);
	tls_config_free(server);
	CHECK_PAIR(&p);
	h_pair_echo(&p);
	h_pair_free(&p);
}

void
guest_use_server(struct tls *base, struct tls_config *config)
{
	struct tls_config *own = NULL;
	struct h_pair p;

	if (config == NULL) {
		CHECK((config = own = tls_config_new()) != NULL);
		tls_config_insecure_noverifycert(config);
		tls_config_insecure_noverifyname(config);
	}
	h_pair_join(&p, config, base, "localhost");
	tls_config_free(own);
	CHECK_PAIR(&p);
	h_pair_echo(&p);
	h_pair_free(&p);
}

pid_t
guest_clients(const char *port, int count)
{
	struct tls_config *config;
	struct tls *client;
	pid_t pid;
	char c;
	int fd;

	CHECK((pid = fork()) != -1);
	if (pid != 0)
		return pid;
	alarm((unsigned int)h_ms(60000) / 1000);
	config = h_client_config();
	while (count-- > 0) {
		fd = h_connect(port);
		client = h_client(config);
		CHECK_TLS(client, tls_connect_socket(client, fd, "localhost"));
		CHECK_TLS(client, h_handshake(client, fd));
		h_write(client, fd, "q", 1);
		h_read(client, fd, &c, 1);
		CHECK_INT(c, 'a');
		/* The end is what the server says, too. */
		CHECK_INT(h_read_some(client, fd, &c, 1), 0);
		CHECK_TLS(client, h_close(client, fd));
		tls_free(client);
		close(fd);
	}
	tls_config_free(config);
	_exit(0);
}

struct tls *
guest_accept(struct tls *base, int fd)
{
	struct tls *conn;

	CHECK_TLS(base, tls_accept_socket(base, &conn, fd));
	return conn;
}

void
guest_answer(struct tls *conn, int fd)
{
	char c;

	CHECK_TLS(conn, h_handshake(conn, fd));
	h_read(conn, fd, &c, 1);
	CHECK_INT(c, 'q');
	h_write(conn, fd, "a", 1);
}

void
guest_hang_up(struct tls *conn, int fd)
{
	CHECK_TLS(conn, h_close(conn, fd));
	tls_free(conn);
	close(fd);
}

void
guest_serve(struct tls *base, int fd)
{
	struct tls *conn = guest_accept(base, fd);

	guest_answer(conn, fd);
	guest_hang_up(conn, fd);
}
