/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "platform.h"

#ifndef __WALL
#define __WALL 0x40000000
#endif

/* How long the two execs may take before goproxy counts as stopped. */
#define SPAWN_TIMEOUT_MS 5000

/* What the child process needs, prepared before the fork. */
struct child {
	int supervisor;
	int goproxy;
	int control;
	int status;
	int null;
	const char *variable;
};

/*
 * The supervisor writes the same record when it cannot start the keeper, and
 * before that what it notes.
 */
struct failure {
	int32_t stage; /* 0 supervisor, 1 goproxy, else of struct tlsp_note */
	int32_t errnum;
};

int
tlsp_platform_open_program(const char *path)
{
	int fd;

	fd = open(path, O_PATH | O_CLOEXEC);
	return fd == -1 ? -1 : tlsp_fd_move_high(fd);
}

ssize_t
tlsp_platform_quiet_write(int fd, const void *buf, size_t len)
{
	const struct timespec now = { 0, 0 };
	sigset_t raised, old, pending;
	int sig, saved;
	ssize_t n;

	sigemptyset(&raised);
	sigaddset(&raised, SIGPIPE);
	sigaddset(&raised, SIGXFSZ);
	pthread_sigmask(SIG_BLOCK, &raised, &old);
	sigpending(&pending);
	n = write(fd, buf, len);
	saved = errno;
	sig = n != -1	       ? 0
	      : saved == EPIPE ? SIGPIPE
	      : saved == EFBIG ? SIGXFSZ
			       : 0;
	if (sig != 0 && !sigismember(&pending, sig)) {
		sigemptyset(&raised);
		sigaddset(&raised, sig);
		(void)sigtimedwait(&raised, NULL, &now);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	errno = saved;
	return n;
}

int
tlsp_platform_memory_fd(const void *buf, size_t len)
{
	const uint8_t *p = buf;
	ssize_t n;
	int fd;

	fd = memfd_create("libtls-proxy", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd == -1)
		return -1;
	while (len > 0) {
		n = tlsp_platform_quiet_write(fd, p, len);
		if (n == -1 && errno == EINTR)
			continue;
		if (n == -1)
			goto err;
		p += n;
		len -= (size_t)n;
	}
	if (fcntl(fd, F_ADD_SEALS,
		F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == -1)
		goto err;
	return fd;

err:
	tlsp_fd_close(&fd);
	return -1;
}

int
tlsp_platform_poller(int *mark)
{
	struct epoll_event none = { 0 };
	int poller;

	/* Nothing ever happens to it. */
	if ((*mark = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0)) == -1)
		return -1;
	*mark = tlsp_fd_move_high(*mark);
	if ((poller = epoll_create1(EPOLL_CLOEXEC)) == -1)
		goto err;
	poller = tlsp_fd_move_high(poller);
	if (epoll_ctl(poller, EPOLL_CTL_ADD, *mark, &none) == -1)
		goto err;
	return poller;

err:
	tlsp_fd_close(&poller);
	tlsp_fd_close(mark);
	return -1;
}

int
tlsp_platform_poller_add(int poller, int fd, uint64_t number)
{
	struct epoll_event event = { EPOLLIN, { .u64 = number } };

	return epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

void
tlsp_platform_poller_remove(int poller, int fd)
{
	(void)epoll_ctl(poller, EPOLL_CTL_DEL, fd, NULL);
}

uint64_t
tlsp_platform_poller_ready(int poller)
{
	struct epoll_event event;

	return epoll_wait(poller, &event, 1, 0) == 1 ? event.data.u64 : 0;
}

int
tlsp_platform_poller_has(int poller, int mark)
{
	struct epoll_event none = { 0 };

	return epoll_ctl(poller, EPOLL_CTL_MOD, mark, &none) == 0;
}

#ifndef TLSP_NULL
#define TLSP_NULL "/dev/null" /* tests want to see what goproxy prints */
#endif

/*
 * In chroots there is no /dev/null; an empty memory file serves as well, and
 * keeps the caller's terminal and pipes out of a process that may outlive him.
 */
static int
open_null(void)
{
	int fd;

	fd = open(TLSP_NULL, O_RDWR | O_APPEND | O_CLOEXEC);
	if (fd == -1)
		fd = memfd_create("null", MFD_CLOEXEC);
	return fd;
}

/* Only async-signal-safe calls from here to the exec. */

static void
close_from(int lowest)
{
	struct rlimit limit;
	rlim_t fd;

	if (syscall(SYS_close_range, (unsigned int)lowest, ~0U, 0) == 0)
		return;
	if (getrlimit(RLIMIT_NOFILE, &limit) == -1 || limit.rlim_cur > 65536)
		limit.rlim_cur = 65536;
	for (fd = (rlim_t)lowest; fd < limit.rlim_cur; fd++)
		close((int)fd);
}

/*
 * What the program allows itself is not meant for goproxy, which has other
 * needs. The hard limits are the administrator's, and stay.
 */
static void
raise_limits(void)
{
	static const unsigned int names[] = { RLIMIT_AS, RLIMIT_CPU,
		RLIMIT_DATA, RLIMIT_FSIZE, RLIMIT_NOFILE, RLIMIT_NPROC };
	struct rlimit limit;
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (getrlimit(names[i], &limit) == -1)
			continue;
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(names[i], &limit);
	}
}

static _Noreturn void
fail(int status)
{
	struct failure failure = { 0, errno };
	ssize_t n;

	n = write(status, &failure, sizeof(failure));
	(void)n; /* nobody is left to tell */
	_exit(127);
}

static _Noreturn void
run_supervisor(const struct child *child)
{
	static char *const argv[] = { (char *)"goproxy-supervisor", NULL };
	char *const envp[] = { (char *)(uintptr_t)child->variable, NULL };
	/* In the order of their final numbers. */
	int fds[] = { child->null, child->null, child->null, child->control,
		child->goproxy, child->status, child->supervisor };
	const int nfds = sizeof(fds) / sizeof(fds[0]);
	struct sigaction action;
	sigset_t none;
	int i;

	raise_limits();
	for (i = 0; i < nfds; i++) {
		fds[i] = fcntl(fds[i], F_DUPFD, nfds);
		if (fds[i] == -1)
			fail(child->status);
	}
	for (i = 0; i < nfds; i++) {
		if (dup2(fds[i], i) == -1)
			fail(fds[5]);
	}
	close_from(nfds);
	if (fcntl(6, F_SETFD, FD_CLOEXEC) == -1)
		fail(5);

	memset(&action, 0, sizeof(action));
	action.sa_handler = SIG_DFL;
	for (i = 1; i < NSIG; i++)
		(void)sigaction(i, &action, NULL);
	sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	/* Where it fails a file system stays busy, no more. */
	if (chdir("/") == -1)
		errno = 0;

	syscall(SYS_execveat, 6, "", argv, envp, AT_EMPTY_PATH);
	fail(5);
}

/*
 * A fork whose end sends no SIGCHLD, so that the program neither gets a signal
 * nor reaps our process with wait(2), and which runs no atfork handlers.
 */
static pid_t
quiet_fork(void)
{
	return (pid_t)syscall(SYS_clone, 0, 0, 0, 0, 0);
}

int
tlsp_platform_spawn(int supervisor, int goproxy, int control,
    const char *variable, struct tlsp_note *note, const char **stage)
{
	struct child child = { supervisor, goproxy, control, -1, -1, variable };
	struct failure failure = { 0, 0 };
	sigset_t all, old;
	int status[2] = { -1, -1 };
	int rv = -1, ready;
	tlsp_deadline deadline;
	ssize_t n;
	pid_t pid;

	*stage = "supervisor";
	note->what = TLSP_NOTE_NONE;
	if (pipe2(status, O_CLOEXEC) == -1)
		goto err;
	child.status = status[1];
	child.null = open_null();
	if (child.null == -1)
		goto err;

	/* The caller's handlers must not run in the child. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	pid = quiet_fork();
	if (pid == 0) {
		(void)setsid();
		pid = quiet_fork();
		if (pid == 0)
			run_supervisor(&child);
		if (pid == -1)
			fail(child.status);
		_exit(0);
	}
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (pid == -1)
		goto err;
	while (waitpid(pid, NULL, __WALL) == -1 && errno == EINTR)
		continue;

	/* The pipe ends without a word when the keeper has been exec'd. */
	tlsp_fd_close(&status[1]);
	deadline = tlsp_deadline_in(SPAWN_TIMEOUT_MS);
again:
	ready = tlsp_wait(status[0], POLLIN, deadline);
	if (ready <= 0) {
		if (ready == 0)
			errno = ETIMEDOUT;
		goto err;
	}
	n = read(status[0], &failure, sizeof(failure));
	if (n == -1)
		goto err;
	if (n == sizeof(failure) && note->what == TLSP_NOTE_NONE &&
	    failure.stage >= TLSP_NOTE_KEYLOG_ON &&
	    failure.stage <= TLSP_NOTE_KEYLOG_NOT_OPENED) {
		note->what = (enum tlsp_note_kind)failure.stage;
		note->errnum = failure.errnum;
		goto again;
	}
	if (n > 0) {
		*stage = failure.stage == 0 ? "supervisor" : "goproxy";
		errno = n == sizeof(failure) ? failure.errnum : EPROTO;
		goto err;
	}
	rv = 0;

err:
	tlsp_fd_close(&child.null);
	tlsp_fd_close(&status[0]);
	tlsp_fd_close(&status[1]);
	return rv;
}
