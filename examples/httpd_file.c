/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Files beneath a directory, and nothing outside of it. */

#include <sys/types.h>
#include <sys/syscall.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#ifdef SYS_openat2
#include <linux/openat2.h>
#endif

#include "httpd_file.h"

#define OPEN_FLAGS (O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC)

/* A dot begins what is not meant for others, with one exception: RFC 8615. */
bool
file_is_hidden(const char *name)
{
	return name[0] == '.' && strcmp(name, ".well-known") != 0;
}

/* One component after the other: no symbolic link leads anywhere. */
static int
open_by_steps(int root, char *path)
{
	char *name;
	int dir, fd;

	if ((dir = fcntl(root, F_DUPFD_CLOEXEC, 0)) == -1)
		return -1;
	while ((name = strsep(&path, "/")) != NULL) {
		if (*name == '\0')
			continue;
		/* What has a slash behind it has to be a directory. */
		fd = openat(dir, name,
		    OPEN_FLAGS | O_NOFOLLOW | (path != NULL ? O_DIRECTORY : 0));
		close(dir);
		if (fd == -1)
			return -1;
		dir = fd;
	}
	return dir;
}

/* As above, or where the system can do it with links that stay beneath root. */
static int
open_beneath(int root, char *path)
{
#ifdef SYS_openat2
	const struct open_how how = {
		.flags = OPEN_FLAGS,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
	};
	int fd, tries = 3;

	/* EAGAIN: something was renamed meanwhile. */
	do
		fd = (int)syscall(SYS_openat2, root, path, &how, sizeof(how));
	while (fd == -1 && (errno == EAGAIN || errno == EINTR) && --tries > 0);
	if (fd != -1 || (errno != ENOSYS && errno != EPERM))
		return fd;
#endif
	return open_by_steps(root, path);
}

static int
open_shown(int root, const char *path)
{
	char *copy, *rest, *name;
	int fd = -1;

	if ((copy = rest = strdup(path)) == NULL)
		return -1;
	while ((name = strsep(&rest, "/")) != NULL) {
		if (file_is_hidden(name)) {
			errno = ENOENT;
			goto err;
		}
	}
	strcpy(copy, path);
	name = copy + strspn(copy, "/");
	fd = open_beneath(root, *name == '\0' ? strcpy(copy, ".") : name);

err:
	free(copy);
	return fd;
}

int
file_open(const char *root, const char *path)
{
	int dir, fd, saved;

	if ((dir = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1)
		return -1;
	fd = open_shown(dir, path);
	/* Nothing is behind a link that is not followed. */
	saved = errno == ELOOP || errno == EXDEV ? ENOENT : errno;
	close(dir);
	errno = saved;
	return fd;
}

int
file_open_in(const char *root, const char *path, const char *name)
{
	char *whole;
	int fd;

	if (asprintf(&whole, "%s%s", path, name) == -1)
		return -1;
	fd = file_open(root, whole);
	free(whole);
	return fd;
}
