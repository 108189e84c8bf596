/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Files and directories from servers of FTP. */

#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ftp_data.h"
#include "ftp_get.h"
#include "ftp_list.h"
#include "http_head.h"
#include "progress.h"

#define DEPTH_MAX   32
#define LISTING_MAX (16 * 1024 * 1024) /* bytes of a directory */

/* The lines of a directory's listing. */
struct listing {
	char **lines;
	size_t count, room, bytes;
};

/* The transfer is in disorder: nothing that follows can be relied on. */
static enum fetch_result
give_up(struct ftp_control *c, struct conn *data, enum fetch_result result)
{
	conn_free(data);
	c->code = 0;
	ftp_control_close(c);
	return result;
}

static enum fetch_result
truncated(const struct output *o)
{
	complain("%s: truncated: %lld bytes", o->name, (long long)o->have);
	return FETCH_TRUNCATED;
}

/* *ended: the server has ended the connection, whether or not too early. */
static enum fetch_result
copy(struct conn *data, struct output *o, bool *ended)
{
	const char *bytes;
	size_t len;
	int n;

	while ((n = conn_fill(data)) == 1) {
		len = sizeof(data->buf);
		bytes = conn_take(data, &len);
		if (output_write(o, bytes, len) == -1)
			return FETCH_FILE;
	}
	*ended = n == 0;
	if (n == -1 || conn_ended(data) == -1 ||
	    (o->total >= 0 && o->have != o->total))
		return truncated(o);
	return FETCH_DONE;
}

/* The data of a command to a file. */
static enum fetch_result
transfer(struct ftp_control *c, const char *command, const char *argument,
    struct output *o)
{
	struct conn *data;
	enum fetch_result result, reply;
	bool ended = false;

	result = ftp_data_open(c, command, argument, o->start, &data);
	if (result == FETCH_REFUSED)
		return result;
	if (result != FETCH_DONE)
		return give_up(c, NULL, result);
	if (output_open(o) == -1)
		return give_up(c, data, FETCH_FILE);
	result = copy(data, o, &ended);
	if (ended) {
		/* Which may say why, and that what ended well did not. */
		reply = ftp_data_close(c, data);
		if (result == FETCH_DONE && reply != FETCH_DONE)
			result = truncated(o);
	} else {
		give_up(c, data, result);
	}
	if (output_close(o, result == FETCH_DONE) == -1 && result == FETCH_DONE)
		result = FETCH_FILE;
	return result;
}

/* What SIZE and MDTM say, where the server knows them. */
static enum fetch_result
ask_facts(struct ftp_control *c, const char *path, struct output *o)
{
	enum fetch_result result;
	const char *s = c->text + 4;

	if ((result = ftp_control_command(c, "SIZE", path)) != FETCH_DONE)
		return result;
	if (c->code == 213 && (!http_number(&s, 10, &o->total) || *s != '\0'))
		o->total = -1;
	if ((result = ftp_control_command(c, "MDTM", path)) != FETCH_DONE)
		return result;
	if (c->code == 213)
		o->modified = ftp_list_time(c->text + 4);
	return FETCH_DONE;
}

/* Whether to go on with what is there; *whole if there is nothing to do. */
static void
judge_part(struct output *o, bool *whole)
{
	if (o->whole != -1 && o->whole == o->total && o->modified != -1 &&
	    o->whole_modified == o->modified) {
		complain("%s: nothing is missing", o->name);
		*whole = true;
	} else if (o->start > 0 &&
		   (o->modified == -1 || o->total == -1 ||
		       o->started != o->modified || o->start > o->total)) {
		complain("%s: has changed, or the server does not tell: "
			 "starting again",
		    o->name);
		o->start = 0;
	}
}

enum fetch_result
ftp_get_file(struct ftp_control *c, const char *path, struct output *o)
{
	enum fetch_result result;
	bool whole = false;

	if ((result = ask_facts(c, path, o)) != FETCH_DONE)
		return give_up(c, NULL, result);
	judge_part(o, &whole);
	return whole ? FETCH_DONE : transfer(c, "RETR", path, o);
}

static enum fetch_result
change_directory(struct ftp_control *c, const char *path)
{
	return *path != '\0' ? ftp_control_expect(c, '2', "CWD", path)
			     : FETCH_DONE;
}

/* Where the server does not go back no other path can be relied on. */
static enum fetch_result
go_home(struct ftp_control *c, enum fetch_result result)
{
	if (ftp_control_expect(c, '2', "CWD", c->home) != FETCH_DONE)
		return give_up(c, NULL, FETCH_NETWORK);
	return result;
}

enum fetch_result
ftp_get_listing(struct ftp_control *c, const char *path, struct output *o)
{
	enum fetch_result result;

	/* LIST may take an argument for a pattern, or for options. */
	if ((result = change_directory(c, path)) != FETCH_DONE)
		return result;
	result = transfer(c, "LIST", NULL, o);
	return c->conn != NULL ? go_home(c, result) : result;
}

static void
listing_clear(struct listing *l)
{
	while (l->count > 0)
		free(l->lines[--l->count]);
	free(l->lines);
	memset(l, 0, sizeof(*l));
}

static int
listing_add(struct listing *l, const char *line)
{
	char **lines;
	size_t room;

	/* What a line takes beside its characters counts as well. */
	l->bytes += strlen(line) + 32;
	if (l->bytes > LISTING_MAX) {
		complain("a directory that is too large");
		return -1;
	}
	if (l->count == l->room) {
		room = l->room > 0 ? l->room * 2 : 64;
		if ((lines = reallocarray(l->lines, room, sizeof(*lines))) ==
		    NULL)
			goto err;
		l->lines = lines;
		l->room = room;
	}
	if ((l->lines[l->count] = strdup(line)) == NULL)
		goto err;
	l->count++;
	return 0;

err:
	complain("out of memory");
	return -1;
}

static enum fetch_result
read_lines(struct conn *data, struct listing *l)
{
	char line[CONN_LINE];
	int n;

	while ((n = conn_line(data, line, false)) == 1)
		if (listing_add(l, line) == -1)
			return FETCH_NETWORK;
	if (n == -1 || conn_ended(data) == -1) {
		complain("a truncated directory");
		return FETCH_TRUNCATED;
	}
	return FETCH_DONE;
}

/* The listing of a directory for programs. */
static enum fetch_result
list(struct ftp_control *c, const char *path, struct listing *l)
{
	const char *argument = *path != '\0' ? path : NULL;
	enum fetch_result result;
	struct conn *data;

	if (!c->has_mlsd && (result = change_directory(c, path)) != FETCH_DONE)
		return result;
	result = ftp_data_open(c, c->has_mlsd ? "MLSD" : "LIST",
	    c->has_mlsd ? argument : NULL, 0, &data);
	if (result == FETCH_DONE) {
		result = read_lines(data, l);
		if (result != FETCH_DONE)
			return give_up(c, data, result);
		result = ftp_data_close(c, data);
	}
	if (result != FETCH_DONE && result != FETCH_REFUSED)
		return give_up(c, NULL, result);
	return c->has_mlsd ? result : go_home(c, result);
}

static enum fetch_result get_tree(struct ftp_control *c, const char *path,
    int dir, int depth);

static enum fetch_result
get_below(struct ftp_control *c, const char *path, int dir, const char *name,
    int depth)
{
	enum fetch_result result;
	int below;

	if (mkdirat(dir, name, 0777) == -1 && errno != EEXIST) {
		complain("%s: %s", name, strerror(errno));
		return FETCH_FILE;
	}
	/* A link may lead out of the directory. */
	below =
	    openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (below == -1) {
		complain("%s: %s", name, strerror(errno));
		return FETCH_FILE;
	}
	result = get_tree(c, path, below, depth);
	close(below);
	return result;
}

static enum fetch_result
get_inside(struct ftp_control *c, const char *path, int dir, const char *name)
{
	enum fetch_result result = FETCH_FILE;
	struct output o;

	if (output_init_inside(&o, dir, name) == -1)
		return FETCH_FILE;
	if (!c->fetch->resume || output_measure(&o) == 0)
		result = ftp_get_file(c, path, &o);
	output_clear(&o);
	return result;
}

static enum fetch_result
get_entry(struct ftp_control *c, const char *path, int dir,
    const struct ftp_list_entry *e, int depth)
{
	char below[CONN_LINE];
	int len;

	if (e->type == FTP_LIST_OTHER)
		return FETCH_DONE;
	if (e->type == FTP_LIST_DIRECTORY &&
	    (strcmp(e->name, ".") == 0 || strcmp(e->name, "..") == 0))
		return FETCH_DONE;
	if (!ftp_list_is_name(e->name)) {
		complain("%s: not the name of a file", e->name);
		return FETCH_NETWORK;
	}
	len = snprintf(below, sizeof(below), "%s%s%s", path,
	    *path != '\0' && path[strlen(path) - 1] != '/' ? "/" : "", e->name);
	if (len < 0 || (size_t)len >= sizeof(below)) {
		complain("%s: path too long", e->name);
		return FETCH_NETWORK;
	}
	if (e->type == FTP_LIST_DIRECTORY)
		return get_below(c, below, dir, e->name, depth + 1);
	return get_inside(c, below, dir, e->name);
}

/* Refusals concern one file; after other failures there is no going on. */
static enum fetch_result
get_tree(struct ftp_control *c, const char *path, int dir, int depth)
{
	struct listing l = { 0 };
	struct ftp_list_entry e;
	enum fetch_result result, worst = FETCH_DONE;
	size_t i;

	if (depth > DEPTH_MAX) {
		complain("%s: more than %d directories deep", path, DEPTH_MAX);
		return FETCH_NETWORK;
	}
	result = list(c, path, &l);
	for (i = 0; i < l.count && result == FETCH_DONE; i++) {
		if (c->has_mlsd ? !ftp_list_mlsd(&e, l.lines[i])
				: !ftp_list_list(&e, l.lines[i])) {
			complain("not understood in a directory: %s",
			    l.lines[i]);
			result = FETCH_NETWORK;
			break;
		}
		result = get_entry(c, path, dir, &e, depth);
		if (result == FETCH_REFUSED) {
			worst = result;
			result = FETCH_DONE;
		}
	}
	listing_clear(&l);
	return result != FETCH_DONE ? result : worst;
}

enum fetch_result
ftp_get_tree(struct ftp_control *c, const char *path, const char *name)
{
	enum fetch_result result;
	int dir;

	if ((mkdir(name, 0777) == -1 && errno != EEXIST) ||
	    (dir = open(name, O_RDONLY | O_DIRECTORY | O_CLOEXEC)) == -1) {
		complain("%s: %s", name, strerror(errno));
		return FETCH_FILE;
	}
	result = get_tree(c, path, dir, 0);
	close(dir);
	return result;
}
