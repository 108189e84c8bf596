/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Files and directories to servers of FTP. */

#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ftp_data.h"
#include "ftp_put.h"
#include "progress.h"

#define DEPTH_MAX 32

static enum fetch_result
give_up(struct ftp_control *c, struct conn *data, enum fetch_result result)
{
	conn_free(data);
	c->code = 0;
	ftp_control_close(c);
	return result;
}

static enum fetch_result
copy(int fd, const char *name, struct conn *data)
{
	off_t have = 0;
	ssize_t n;

	/* Nothing comes from the server, so its buffer is free. */
	while ((n = read(fd, data->buf, sizeof(data->buf))) > 0) {
		if (conn_write(data, data->buf, (size_t)n) == -1)
			return FETCH_NETWORK;
		have += n;
		progress_update(have);
	}
	if (n == -1) {
		complain("%s: %s", name, strerror(errno));
		return FETCH_FILE;
	}
	return conn_finish(data) == 0 ? FETCH_DONE : FETCH_NETWORK;
}

static enum fetch_result
put_file(struct ftp_control *c, int fd, const char *name, off_t size,
    const char *path)
{
	struct conn *data;
	enum fetch_result result;

	result = ftp_data_open(c, "STOR", path, 0, &data);
	if (result == FETCH_REFUSED)
		return result;
	if (result != FETCH_DONE)
		return give_up(c, NULL, result);
	progress_begin(name, 0, size);
	result = copy(fd, name, data);
	if (result != FETCH_DONE)
		return give_up(c, data, result);
	progress_end();
	/* The server has it all only if it says so. */
	return ftp_data_close(c, data);
}

static enum fetch_result put(struct ftp_control *c, int dir, const char *name,
    const char *path, int flags, int depth);

static enum fetch_result
put_entries(struct ftp_control *c, DIR *list, const char *path, int depth)
{
	enum fetch_result result = FETCH_DONE, worst = FETCH_DONE;
	char below[CONN_LINE];
	struct dirent *e;
	int len;

	while (result == FETCH_DONE && (errno = 0, e = readdir(list)) != NULL) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		len = snprintf(below, sizeof(below), "%s/%s", path, e->d_name);
		if (len < 0 || (size_t)len >= sizeof(below)) {
			complain("%s: path too long", e->d_name);
			return FETCH_FILE;
		}
		result = put(c, dirfd(list), e->d_name, below, O_NOFOLLOW,
		    depth + 1);
		if (result == FETCH_REFUSED) {
			worst = result;
			result = FETCH_DONE;
		}
	}
	if (result == FETCH_DONE && errno != 0) {
		complain("%s: %s", path, strerror(errno));
		return FETCH_FILE;
	}
	return result != FETCH_DONE ? result : worst;
}

/* Takes over fd. */
static enum fetch_result
put_tree(struct ftp_control *c, int fd, const char *path, int depth)
{
	enum fetch_result result;
	DIR *list;

	if (depth > DEPTH_MAX) {
		complain("%s: more than %d directories deep", path, DEPTH_MAX);
		close(fd);
		return FETCH_FILE;
	}
	if ((list = fdopendir(fd)) == NULL) {
		complain("%s: %s", path, strerror(errno));
		close(fd);
		return FETCH_FILE;
	}
	/* It may be there already; else what follows is refused. */
	result = ftp_control_command(c, "MKD", path);
	if (result == FETCH_DONE)
		result = put_entries(c, list, path, depth);
	closedir(list);
	return result;
}

static enum fetch_result
put(struct ftp_control *c, int dir, const char *name, const char *path,
    int flags, int depth)
{
	enum fetch_result result;
	struct stat st;
	int fd;

	fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
	if (fd == -1 && errno == ELOOP) {
		complain("%s: a symbolic link, left out", name);
		return FETCH_DONE;
	}
	if (fd == -1 || fstat(fd, &st) == -1) {
		complain("%s: %s", name, strerror(errno));
		if (fd != -1)
			close(fd);
		return FETCH_FILE;
	}
	if (S_ISDIR(st.st_mode) && c->fetch->recursive)
		return put_tree(c, fd, path, depth);
	if (S_ISREG(st.st_mode)) {
		result = put_file(c, fd, name, st.st_size, path);
	} else if (depth > 0) {
		complain("%s: not a regular file, left out", name);
		result = FETCH_DONE;
	} else {
		complain("%s: not a regular file", name);
		result = FETCH_FILE;
	}
	close(fd);
	return result;
}

enum fetch_result
ftp_put(struct ftp_control *c, const char *name, const char *path)
{
	return put(c, AT_FDCWD, name, path, 0, 0);
}
