/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The files that ftp writes. */

#include <sys/types.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "interrupt.h"
#include "output.h"
#include "progress.h"

int
output_init_inside(struct output *o, int dir, const char *name)
{
	memset(o, 0, sizeof(*o));
	o->dir = dir;
	o->name = name;
	o->fd = -1;
	o->total = o->whole = -1;
	o->started = o->modified = -1;
	if (asprintf(&o->part, "%s%s", name, OUTPUT_PART) == -1) {
		o->part = NULL;
		complain("out of memory");
		return -1;
	}
	return 0;
}

int
output_init(struct output *o, const char *name)
{
	struct stat st;

	if (output_init_inside(o, AT_FDCWD, name) == -1)
		return -1;
	o->direct = strcmp(name, "-") == 0 ||
		    (stat(name, &st) == 0 && !S_ISREG(st.st_mode));
	return 0;
}

int
output_measure(struct output *o)
{
	struct stat st;

	if (o->direct) {
		complain("%s: not a regular file, cannot resume", o->name);
		return -1;
	}
	if (fstatat(o->dir, o->part, &st, AT_SYMLINK_NOFOLLOW) == 0) {
		/* See settle. */
		if (S_ISREG(st.st_mode) && st.st_mtime != 0) {
			o->start = st.st_size;
			o->started = st.st_mtime;
		}
	} else if (errno != ENOENT) {
		complain("%s: %s", o->part, strerror(errno));
		return -1;
	} else if (fstatat(o->dir, o->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		   S_ISREG(st.st_mode)) {
		o->whole = st.st_size;
		o->whole_modified = st.st_mtime;
	}
	return 0;
}

/* Nobody else writes to it, and it still has its name. */
static bool
is_mine(struct output *o)
{
	struct stat named, opened;

	if (flock(o->fd, LOCK_EX | LOCK_NB) == -1) {
		if (errno != EWOULDBLOCK)
			complain("%s: %s", o->part, strerror(errno));
		else
			complain("%s: another process writes it", o->part);
		return false;
	}
	if (fstat(o->fd, &opened) == -1 ||
	    fstatat(o->dir, o->part, &named, AT_SYMLINK_NOFOLLOW) == -1 ||
	    opened.st_ino != named.st_ino || opened.st_dev != named.st_dev) {
		complain("%s: another process had it", o->part);
		return false;
	}
	if (!S_ISREG(opened.st_mode)) {
		complain("%s: not a regular file", o->part);
		return false;
	}
	return true;
}

int
output_open(struct output *o)
{
	const char *name = o->direct ? o->name : o->part;

	o->have = o->start;
	if (o->direct && strcmp(o->name, "-") == 0) {
		o->fd = STDOUT_FILENO;
	} else if (o->direct) {
		o->fd = openat(o->dir, name, O_WRONLY | O_CLOEXEC);
	} else {
		o->fd = openat(o->dir, name,
		    O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK,
		    0666);
		if (o->fd != -1 && !is_mine(o))
			goto err;
	}
	if (o->fd == -1 ||
	    (!o->direct && (ftruncate(o->fd, o->start) == -1 ||
			       lseek(o->fd, o->start, SEEK_SET) == -1))) {
		complain("%s: %s", name, strerror(errno));
		goto err;
	}
	if (o->fd != STDOUT_FILENO || !isatty(STDOUT_FILENO))
		progress_begin(o->name, o->have, o->total);
	interrupt_hold();
	return 0;

err:
	if (o->fd != -1)
		close(o->fd);
	o->fd = -1;
	return -1;
}

int
output_write(struct output *o, const char *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = write(o->fd, data, len);
		if (n == -1 && errno == EINTR && !interrupted())
			continue;
		if (n == -1) {
			complain("write %s: %s", o->name, strerror(errno));
			return -1;
		}
		data += n;
		len -= (size_t)n;
		o->have += n;
	}
	progress_update(o->have);
	return 0;
}

/*
 * It gets its name while the lock is held, and only if the disk has it. The
 * time that a part has is the server's, or 0: then it is not gone on with.
 */
static int
settle(struct output *o, bool complete)
{
	struct timespec times[2] = {
		{ .tv_nsec = UTIME_OMIT },
		{ .tv_sec = o->modified != -1 ? o->modified : 0 },
	};

	if (((o->modified != -1 || !complete) &&
		futimens(o->fd, times) == -1) ||
	    (complete && (fsync(o->fd) == -1 || renameat(o->dir, o->part,
						    o->dir, o->name) == -1))) {
		complain("%s: %s", o->name, strerror(errno));
		return -1;
	}
	if (!complete && o->have == 0)
		unlinkat(o->dir, o->part, 0);
	return 0;
}

int
output_close(struct output *o, bool complete)
{
	int rv = 0;

	if (complete)
		progress_end();
	if (!o->direct)
		rv = settle(o, complete);
	if (o->fd != STDOUT_FILENO && close(o->fd) == -1 && rv == 0) {
		complain("write %s: %s", o->name, strerror(errno));
		rv = -1;
	}
	o->fd = -1;
	interrupt_release();
	return rv;
}

void
output_clear(struct output *o)
{
	free(o->part);
	o->part = NULL;
}
