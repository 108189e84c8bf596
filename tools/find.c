/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * A program's control channel is known by the name of its other end, which no
 * process but goproxy's supervisor gives. A copy of it comes from pidfd_getfd,
 * and so the kernel decides who may have one: who may also debug the program.
 */

#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "status.h"

/* What the name begins with, after the NUL byte of an abstract one. */
#define CONTROL_NAME "libtls-proxy/control/"

/* No program has more; somebody might, to keep root busy. */
#define MAX_CHANNELS 8

static int
pidfd_open(pid_t pid)
{
	return (int)syscall(SYS_pidfd_open, pid, 0);
}

static int
pidfd_getfd(int pidfd, int fd)
{
	return (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);
}

/* Copies the name of a control channel; -1 if it is none. */
static int
control_name(int fd, char *name, size_t size)
{
	struct sockaddr_un sun;
	socklen_t len = sizeof(sun), n = sizeof(int);
	const size_t prefix = sizeof(CONTROL_NAME) - 1;
	int type;

	memset(&sun, 0, sizeof(sun));
	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &n) == -1 ||
	    type != SOCK_SEQPACKET ||
	    getpeername(fd, (struct sockaddr *)&sun, &len) == -1 ||
	    sun.sun_family != AF_UNIX || len > sizeof(sun) ||
	    len <= offsetof(struct sockaddr_un, sun_path) + 1 + prefix ||
	    sun.sun_path[0] != '\0' ||
	    memcmp(sun.sun_path + 1, CONTROL_NAME, prefix) != 0)
		return -1;
	(void)snprintf(name, size, "%.*s",
	    (int)(len - offsetof(struct sockaddr_un, sun_path) - 1),
	    sun.sun_path + 1);
	return 0;
}

static void
add_pid(struct program *program, pid_t pid)
{
	if (program->npids > 0 && program->pids[program->npids - 1] == pid)
		return;
	program->pids =
	    grow(program->pids, program->npids, sizeof(*program->pids));
	program->pids[program->npids++] = pid;
}

/* Takes fd over. */
static void
add_channel(struct programs *programs, int fd, const char *name, pid_t pid)
{
	struct program *program;
	size_t i;

	for (i = 0; i < programs->len; i++) {
		if (strcmp(programs->list[i].name, name) == 0) {
			close(fd);
			add_pid(&programs->list[i], pid);
			return;
		}
	}
	programs->list =
	    grow(programs->list, programs->len, sizeof(*programs->list));
	program = &programs->list[programs->len++];
	memset(program, 0, sizeof(*program));
	(void)snprintf(program->name, sizeof(program->name), "%s", name);
	program->control = fd;
	add_pid(program, pid);
}

int
programs_add(struct programs *programs, pid_t pid)
{
	char path[64], link[64], name[128];
	struct dirent *entry;
	int channels = 0, fd, pidfd, rv = -1, saved;
	ssize_t n;
	DIR *dir;

	if ((pidfd = pidfd_open(pid)) == -1)
		return -1;
	(void)snprintf(path, sizeof(path), "/proc/%ld/fd", (long)pid);
	if ((dir = opendir(path)) == NULL)
		goto err;
	while (channels < MAX_CHANNELS && (entry = readdir(dir)) != NULL) {
		n = readlinkat(dirfd(dir), entry->d_name, link,
		    sizeof(link) - 1);
		if (n == -1 || strncmp(link, "socket:", 7) != 0)
			continue;
		if ((fd = pidfd_getfd(pidfd, atoi(entry->d_name))) == -1) {
			if (errno == EBADF)
				continue; /* closed meanwhile */
			goto err;
		}
		if (control_name(fd, name, sizeof(name)) == -1) {
			close(fd);
			continue;
		}
		add_channel(programs, fd, name, pid);
		channels++;
	}
	rv = channels;

err:
	saved = errno;
	if (dir != NULL)
		(void)closedir(dir);
	close(pidfd);
	errno = saved;
	return rv;
}

void
programs_add_all(struct programs *programs)
{
	struct dirent *entry;
	char *end;
	DIR *proc;
	long pid;

	if ((proc = opendir("/proc")) == NULL)
		return;
	while ((entry = readdir(proc)) != NULL) {
		pid = strtol(entry->d_name, &end, 10);
		if (pid <= 0 || *end != '\0' || pid == (long)getpid())
			continue;
		if (programs_add(programs, (pid_t)pid) == -1 && errno == EPERM)
			programs->forbidden++;
	}
	(void)closedir(proc);
}

void
programs_free(struct programs *programs)
{
	size_t i;

	for (i = 0; i < programs->len; i++) {
		close(programs->list[i].control);
		free(programs->list[i].pids);
	}
	free(programs->list);
}
