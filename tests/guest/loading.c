/* SPDX-License-Identifier: ISC */
/* Programs that are linked, loaded and started in each way. */

#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

/* The program of a variable in the environment, or the case is skipped. */
static const char *
program(const char *variable)
{
	const char *path = getenv(variable);

	if (path == NULL || *path == '\0')
		guest_skip("a program was not built");
	return path;
}

/* The variable that names the program which is linked as this one is. */
static const char *
own_program(void)
{
	return program(h_proxy ? "GUEST_PROGRAM" : "GUEST_OTHER_PROGRAM");
}

static pid_t
start(const char *path, const char *arg, const char *arg2, int in, int out)
{
	pid_t pid;

	CHECK((pid = fork()) != -1);
	if (pid != 0)
		return pid;
	alarm((unsigned int)h_ms(60000) / 1000);
	if (in != -1)
		dup2(in, 0);
	if (out != -1)
		dup2(out, 1);
	execl(path, path, arg, arg2, (char *)NULL);
	_exit(127);
}

/* Runs it; returns its wait status, and what it printed. */
static int
run(const char *path, const char *arg, const char *arg2, char *buf, size_t size)
{
	size_t len = 0;
	ssize_t n;
	int status, out[2];
	pid_t pid;

	CHECK_INT(pipe2(out, O_CLOEXEC), 0);
	pid = start(path, arg, arg2, -1, out[1]);
	close(out[1]);
	while ((n = read(out[0], buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	buf[len] = '\0';
	close(out[0]);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	return status;
}

static void
check_run(const char *path, const char *arg, const char *arg2, const char *want)
{
	char buf[4096];
	int status;

	status = run(path, arg, arg2, buf, sizeof(buf));
	CHECK_STR(buf, want);
	CHECK_INT(status, 0);
}

/* Exits at once after loading. */
static void
ends_at_once(void)
{
	char buf[64];
	int status;

	check_run(own_program(), "return", NULL, "");
	check_run(own_program(), "_exit", NULL, "");
	status = run(own_program(), "abort", NULL, buf, sizeof(buf));
	CHECK_INT(WTERMSIG(status), SIGABRT);
}

static void
set_early(void)
{
	CHECK_INT(setenv("LIBTLS_PROXY_START", "early", 1), 0);
}

static void
ends_at_once_early(void)
{
	set_early();
	ends_at_once();
}

/* It runs before the program has called anything, and ends with it. */
static void
runs_early(void)
{
	int in[2];
	pid_t pid;

	set_early();
	CHECK_INT(pipe2(in, O_CLOEXEC), 0);
	/* As the supervisor's would-be parent is the program. */
	CHECK_INT(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
	pid = start(own_program(), "wait", NULL, in[0], -1);
	h_wait_helper("keeper", -1);
	h_wait_helper("worker", -1);
	CHECK_INT(h_helpers(), 3);
	close(in[0]);
	close(in[1]);
	guest_wait(pid);
	h_wait_no_helpers(H_WAIT);
}

static void
used(void)
{
	check_run(own_program(), "use", NULL, "used\n");
}

static void
used_early(void)
{
	set_early();
	used();
}

/* A failure is not the program's before it needs TLS. */
static void
early_without_goproxy(void)
{
	char buf[4096];

	set_early();
	CHECK_INT(setenv("LIBTLS_PROXY_LIBEXEC", "/nonexistent", 1), 0);
	check_run(own_program(), "return", NULL, "");
	CHECK(run(own_program(), "use", NULL, buf, sizeof(buf)) != 0);
	CHECK_HAS(buf, "failed to open goproxy '/nonexistent/supervisor'");
}

static void
start_value_unknown(void)
{
	char buf[4096];

	CHECK_INT(setenv("LIBTLS_PROXY_START", "soon", 1), 0);
	check_run(own_program(), "return", NULL, "");
	CHECK(run(own_program(), "use", NULL, buf, sizeof(buf)) != 0);
	CHECK_HAS(buf, "LIBTLS_PROXY_START is 'soon', want 'early'");
	CHECK_INT(setenv("LIBTLS_PROXY_START", "", 1), 0);
	used();
}

static void
set_preload(void)
{
	if (h_sanitizer())
		guest_skip("a sanitizer must be the first library");
	CHECK_INT(setenv("LD_PRELOAD", program("LIBTLS_SO"), 1), 0);
}

/* A program that was linked with another libtls. */
static void
preloaded(void)
{
	char buf[4096];

	set_preload();
	check_run(program("GUEST_OTHER_PROGRAM"), "use", NULL, "used\n");
	check_run(program("GUEST_OTHER_PROGRAM"), "return", NULL, "");
	/* That it was really ours: */
	CHECK_INT(setenv("LIBTLS_PROXY_LIBEXEC", "/nonexistent", 1), 0);
	run(program("GUEST_OTHER_PROGRAM"), "use", NULL, buf, sizeof(buf));
	CHECK_HAS(buf, "/nonexistent");
}

/* A program that knows nothing of TLS may have it preloaded, too. */
static void
preloaded_for_nothing(void)
{
	set_preload();
	CHECK_INT(system("exit 0"), 0);
	set_early();
	CHECK_INT(system("exit 0"), 0);
}

static const char *
library(void)
{
	return h_proxy ? program("LIBTLS_SO") : "libtls.so.26";
}

static void
dlopen_dlclose(void)
{
	check_run(program("GUEST_LOADER"), library(), NULL, "loaded\n");
}

static void
dlopen_use_dlclose(void)
{
	check_run(program("GUEST_LOADER"), library(), "use", "loaded\n");
}

static void
dlopen_dlclose_early(void)
{
	set_early();
	check_run(program("GUEST_LOADER"), library(), "use", "loaded\n");
}

static void
static_program(void)
{
	check_run(program("GUEST_STATIC_PROGRAM"), "return", NULL, "");
	check_run(program("GUEST_STATIC_PROGRAM"), "use", NULL, "used\n");
}

static void
static_program_early(void)
{
	set_early();
	static_program();
}

#define OWNER 61234
#define USER  61235

static void
copy_program(const char *from, const char *to, mode_t mode)
{
	uint8_t *buf;
	size_t len;
	int fd;

	buf = h_load(from, &len);
	fd = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	CHECK(fd != -1);
	CHECK_INT(write(fd, buf, len), len);
	CHECK_INT(fchown(fd, OWNER, OWNER), 0);
	CHECK_INT(fchmod(fd, mode), 0);
	close(fd);
	free(buf);
}

/* What the program says that another user runs. */
static void
run_as_user(const char *path, char *buf, size_t size)
{
	int status, out[2];
	ssize_t n;
	pid_t pid;

	CHECK_INT(pipe2(out, O_CLOEXEC), 0);
	CHECK((pid = fork()) != -1);
	if (pid == 0) {
		alarm((unsigned int)h_ms(60000) / 1000);
		dup2(out[1], 1);
		if (setgroups(0, NULL) == -1 ||
		    setresgid(USER, USER, USER) == -1 ||
		    setresuid(USER, USER, USER) == -1)
			_exit(126);
		execl(path, path, "begin", (char *)NULL);
		_exit(127);
	}
	close(out[1]);
	CHECK((n = read(out[0], buf, size - 1)) >= 0);
	buf[n] = '\0';
	close(out[0]);
	CHECK_INT(waitpid(pid, &status, 0), pid);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
}

/* What an ordinary user sets is nothing for a program with other rights. */
static void
set_uid_program(void)
{
	static const struct {
		const char *name;
		mode_t mode;
		int obeys;
	} cases[] = {
		{ "ordinary", 0755, 1 },
		{ "set-uid", 04755, 0 },
		{ "set-gid", 02755, 0 },
	};
	char dir[] = "/tmp/guest.XXXXXX", path[64], buf[4096];
	struct statvfs fs;
	size_t i;

	CHECK(mkdtemp(dir) != NULL);
	CHECK_INT(chmod(dir, 0755), 0);
	CHECK_INT(statvfs(dir, &fs), 0);
	if (fs.f_flag & (ST_NOSUID | ST_NOEXEC)) {
		rmdir(dir);
		guest_skip("/tmp has no set-user-ID programs");
	}
	CHECK_INT(setenv("LIBTLS_PROXY_LIBEXEC", "/nonexistent", 1), 0);
	for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		h_case = cases[i].name;
		snprintf(path, sizeof(path), "%s/program", dir);
		copy_program(program("GUEST_STATIC_PROGRAM"), path,
		    cases[i].mode);
		CHECK_INT(setenv("LIBTLS_PROXY_START", "", 1), 0);
		run_as_user(path, buf, sizeof(buf));
		CHECK_INT(strstr(buf, "/nonexistent") != NULL, cases[i].obeys);
		CHECK_INT(setenv("LIBTLS_PROXY_START", "soon", 1), 0);
		run_as_user(path, buf, sizeof(buf));
		CHECK_INT(strstr(buf, "LIBTLS_PROXY_START") != NULL,
		    cases[i].obeys);
		CHECK_INT(unlink(path), 0);
	}
	h_case = NULL;
	CHECK_INT(rmdir(dir), 0);
}

static const struct CMUnitTest tests[] = {
	GUEST(ends_at_once),
	GUEST(ends_at_once_early),
	GUEST_FLAGS(runs_early, GUEST_PROXY),
	GUEST(used),
	GUEST(used_early),
	GUEST_FLAGS(early_without_goproxy, GUEST_PROXY),
	GUEST_FLAGS(start_value_unknown, GUEST_PROXY),
	GUEST_FLAGS(preloaded, GUEST_PROXY),
	GUEST_FLAGS(preloaded_for_nothing, GUEST_PROXY),
	GUEST(dlopen_dlclose),
	/* OpenSSL keeps something of each use. */
	GUEST_FLAGS(dlopen_use_dlclose, GUEST_PROXY),
	GUEST_FLAGS(dlopen_dlclose_early, GUEST_PROXY),
	GUEST_FLAGS(static_program, GUEST_PROXY),
	GUEST_FLAGS(static_program_early, GUEST_PROXY),
	GUEST_FLAGS(set_uid_program, GUEST_ROOT | GUEST_PROXY),
};

static const struct h_peer peers[] = { GUEST_PEER };

GUEST_MAIN(tests, peers)
