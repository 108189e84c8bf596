/* SPDX-License-Identifier: ISC */
/* Hosts that give up their root, their user, their rights. */

#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/landlock.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

/* Loaded before the case gives up what it would need for it. */
static struct guest_files files;

/*
 * Into a root without anything, where nothing can be made either, as another
 * user. Without /proc the checks of guest_run() and of sanitizers cannot be:
 * these cases end with GUEST_END().
 */
static void
confine(void)
{
	char dir[] = "/tmp/guest.XXXXXX";

	CHECK(mkdtemp(dir) != NULL);
	CHECK_INT(chdir(dir), 0);
	CHECK_INT(rmdir(dir), 0);
	CHECK_INT(chroot("."), 0);
	CHECK_INT(chdir("/"), 0);
	guest_change_user();
	CHECK_INT(open("/etc", O_RDONLY), -1);
}

/* httpd, relayd and most others. */
static void
confined_before_first_call(void)
{
	guest_load(&files);
	confine();
	guest_use_files(&files);
	GUEST_END();
}

static void
confined_after_configure(void)
{
	struct tls_config *cconfig, *sconfig;
	struct tls *base;

	cconfig = h_client_config();
	sconfig = h_server_config("rsa");
	base = h_server(sconfig);
	tls_config_free(sconfig);
	confine();
	guest_use_server(base, cconfig);
	tls_config_free(cconfig);
	tls_free(base);
	GUEST_END();
}

static void
confined_while_connected(void)
{
	struct h_pair p;

	h_pair_open(&p);
	confine();
	h_pair_echo(&p);
	CHECK_TLS(p.client, h_close(p.client, p.cfd));
	CHECK_TLS(p.server, h_close(p.server, p.sfd));
	h_pair_free(&p);
	GUEST_END();
}

/*
 * smtpd: each connection has a configuration of its own, in the new root, and
 * its parent stays outside.
 */
static void
confined_child(void)
{
	int i;

	confine();
	for (i = 0; i < 3; i++)
		guest_use_files(&files);
}

static void
confined_in_child(void)
{
	guest_load(&files);
	guest_use_files(&files);
	guest_wait(guest_fork(confined_child));
	guest_use();
	guest_unload(&files);
}

/* Only another user, with all his files. */
static void
other_user(void)
{
	guest_load(&files);
	guest_change_user();
	guest_valgrind_reaches_goproxy();
	guest_use_files(&files);
	guest_unload(&files);
}

static void
other_user_after_configure(void)
{
	struct tls_config *config;
	struct tls *base;

	config = h_server_config("rsa");
	base = h_server(config);
	tls_config_free(config);
	guest_change_user();
	guest_use_server(base, NULL);
	tls_free(base);
}

/*
 * geomyidae: configure, to the background, chroot, another user, a child for
 * each connection, and one more that reads what the first one answers.
 */
static struct tls *base, *connection;
static int connection_fd;

static void
read_question(void)
{
	char c;

	h_read(connection, connection_fd, &c, 1);
	CHECK_INT(c, 'q');
}

static void
serve_in_two(void)
{
	CHECK_TLS(connection, h_handshake(connection, connection_fd));
	guest_wait(guest_fork(read_question));
	h_write(connection, connection_fd, "a", 1);
	guest_hang_up(connection, connection_fd);
}

static void
as_geomyidae(void)
{
	struct tls_config *config;
	int listener, i;
	pid_t clients;
	char port[8];

	listener = h_listen(port, sizeof(port));
	config = h_server_config("ecdsa");
	base = h_server(config);
	tls_config_free(config);
	CHECK_INT(daemon(1, 1), 0);
	alarm((unsigned int)h_ms(60000) / 1000);
	clients = guest_clients(port, 3);
	confine();
	for (i = 0; i < 3; i++) {
		pid_t child;

		connection_fd = h_accept(listener);
		connection = guest_accept(base, connection_fd);
		child = guest_fork(serve_in_two);
		tls_free(connection);
		close(connection_fd);
		guest_wait(child);
	}
	guest_wait(clients);
	GUEST_END();
}

static void
forbid_new_rights(void)
{
	CHECK_INT(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
}

static void
no_new_privs(void)
{
	forbid_new_rights();
	guest_use();
}

/* All that Landlock's first version knows, or only exec. */
#define ALL_FILES ((1ULL << 13) - 1)

static void
landlock(uint64_t rights)
{
	struct landlock_ruleset_attr attr = { .handled_access_fs = rights };
	long fd;

	fd = syscall(SYS_landlock_create_ruleset, &attr, sizeof(attr), 0);
	if (fd == -1 && (errno == ENOSYS || errno == EOPNOTSUPP))
		guest_skip("this kernel has no Landlock");
	CHECK(fd != -1);
	forbid_new_rights();
	CHECK_INT(syscall(SYS_landlock_restrict_self, fd, 0), 0);
	close((int)fd);
}

/* execve and execveat end as the action says. */
static void
forbid_exec_by_seccomp(uint32_t action)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
		    offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execve, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_execveat, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, action),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	forbid_new_rights();
	CHECK_INT(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void
check_no_exec(void)
{
	static char name[] = "true";
	static char *const argv[] = { name, NULL };

	CHECK_INT(execv("/bin/true", argv), -1);
}

static void
check_cannot_start(const char *why)
{
	struct tls_config *config;
	struct tls *ctx;
	int a, b;

	config = h_client_config();
	ctx = h_client(config);
	h_socketpair(SOCK_STREAM, &a, &b);
	CHECK_INT(tls_connect_socket(ctx, a, "localhost"), -1);
	CHECK_HAS(tls_error(ctx), "failed to start goproxy");
	CHECK_HAS(tls_error(ctx), why);
	close(a);
	close(b);
	tls_free(ctx);
	tls_config_free(config);
}

/* gmid, telescope. */
static void
landlock_without_exec(void)
{
	landlock(LANDLOCK_ACCESS_FS_EXECUTE);
	check_no_exec();
	guest_use();
}

static void
landlock_without_files(void)
{
	guest_load(&files);
	landlock(ALL_FILES);
	CHECK_INT(open("/etc/passwd", O_RDONLY), -1);
	guest_use_files(&files);
	GUEST_END();
}

static void
landlock_after_configure(void)
{
	struct tls_config *cconfig, *sconfig;
	struct tls *server;

	cconfig = h_client_config();
	sconfig = h_server_config("rsa");
	server = h_server(sconfig);
	tls_config_free(sconfig);
	landlock(ALL_FILES);
	guest_use_server(server, cconfig);
	tls_config_free(cconfig);
	tls_free(server);
	GUEST_END();
}

static void
landlock_without_early_start(void)
{
	landlock(LANDLOCK_ACCESS_FS_EXECUTE);
	check_cannot_start("Permission denied");
}

static void
seccomp_without_exec(void)
{
	forbid_exec_by_seccomp(SECCOMP_RET_ERRNO | EPERM);
	check_no_exec();
	guest_use();
}

/* The library does not even try. */
static void
seccomp_that_kills(void)
{
	forbid_exec_by_seccomp(SECCOMP_RET_KILL_PROCESS);
	guest_use();
}

static void
seccomp_after_configure(void)
{
	struct tls_config *cconfig, *sconfig;
	struct tls *server;

	cconfig = h_client_config();
	sconfig = h_server_config("rsa");
	server = h_server(sconfig);
	tls_config_free(sconfig);
	forbid_exec_by_seccomp(SECCOMP_RET_KILL_PROCESS);
	guest_use_server(server, cconfig);
	tls_config_free(cconfig);
	tls_free(server);
}

static void
seccomp_without_early_start(void)
{
	forbid_exec_by_seccomp(SECCOMP_RET_ERRNO | EPERM);
	check_cannot_start("Operation not permitted");
}

/* All at once, from the first instruction of main on. */
static void
confined_early(void)
{
	guest_load(&files);
	confine();
	landlock(ALL_FILES);
	forbid_exec_by_seccomp(SECCOMP_RET_KILL_PROCESS);
	guest_use_files(&files);
	GUEST_END();
}

static const struct CMUnitTest tests[] = {
	GUEST_FLAGS(confined_before_first_call, GUEST_ROOT | GUEST_NO_VALGRIND),
	GUEST_FLAGS(confined_after_configure, GUEST_ROOT),
	GUEST_FLAGS(confined_while_connected, GUEST_ROOT),
	GUEST_FLAGS(confined_in_child, GUEST_ROOT),
	GUEST_FLAGS(other_user, GUEST_ROOT),
	GUEST_FLAGS(other_user_after_configure, GUEST_ROOT),
	GUEST_FLAGS(as_geomyidae, GUEST_ROOT),
	GUEST(no_new_privs),
	GUEST_FLAGS(landlock_without_exec, GUEST_EARLY),
	GUEST_FLAGS(landlock_without_files, GUEST_EARLY),
	GUEST_FLAGS(landlock_after_configure, GUEST_NO_VALGRIND),
	GUEST_FLAGS(landlock_without_early_start,
	    GUEST_CANNOT_START | GUEST_NO_VALGRIND),
	GUEST_FLAGS(seccomp_without_exec, GUEST_EARLY),
	GUEST_FLAGS(seccomp_that_kills, GUEST_EARLY),
	GUEST(seccomp_after_configure),
	GUEST_FLAGS(seccomp_without_early_start,
	    GUEST_CANNOT_START | GUEST_NO_VALGRIND),
	GUEST_FLAGS(confined_early, GUEST_ROOT | GUEST_EARLY),
};

static const struct h_peer peers[] = { GUEST_PEER };

GUEST_MAIN(tests, peers)
