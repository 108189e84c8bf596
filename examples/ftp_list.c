/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What servers of FTP have in their directories. */

#include <ctype.h>
#include <stdint.h>
#include <string.h>
#include <strings.h>

#include "ftp_list.h"
#include "http_head.h"
#include "output.h"

time_t
ftp_list_time(const char *s)
{
	struct tm tm = { 0 };
	const char *end;
	size_t digits = strspn(s, "0123456789");

	/* A fraction of a second may follow. */
	if (digits != 14 || (s[14] != '\0' && s[14] != '.'))
		return -1;
	end = strptime(s, "%Y%m%d%H%M%S", &tm);
	return end == s + 14 ? timegm(&tm) : -1;
}

bool
ftp_list_is_name(const char *name)
{
	size_t len = strlen(name), part = strlen(OUTPUT_PART);
	const char *p;

	for (p = name; *p != '\0'; p++)
		if (iscntrl((unsigned char)*p) || *p == '/')
			return false;
	/* A part of ours would come in the way of such a file. */
	if (len >= part && strcmp(name + len - part, OUTPUT_PART) == 0)
		return false;
	return len > 0 && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static void
mlsd_fact(struct ftp_list_entry *e, const char *name, const char *value)
{
	off_t size;

	if (strcasecmp(name, "type") == 0) {
		if (strcasecmp(value, "file") == 0)
			e->type = FTP_LIST_FILE;
		else if (strcasecmp(value, "dir") == 0)
			e->type = FTP_LIST_DIRECTORY;
	} else if (strcasecmp(name, "size") == 0) {
		if (http_number(&value, 10, &size) && *value == '\0')
			e->size = size;
	} else if (strcasecmp(name, "modify") == 0) {
		e->modified = ftp_list_time(value);
	}
}

bool
ftp_list_mlsd(struct ftp_list_entry *e, char *line)
{
	char *end, *value;

	memset(e, 0, sizeof(*e));
	e->type = FTP_LIST_OTHER;
	e->size = -1;
	e->modified = -1;
	while (*line != ' ') {
		if ((end = strchr(line, ';')) == NULL)
			return false;
		*end = '\0';
		if ((value = strchr(line, '=')) == NULL)
			return false;
		*value++ = '\0';
		mlsd_fact(e, line, value);
		line = end + 1;
	}
	e->name = line + 1;
	return *e->name != '\0';
}

static bool
is_month(const char *s, size_t len)
{
	static const char months[][4] = { "jan", "feb", "mar", "apr", "may",
		"jun", "jul", "aug", "sep", "oct", "nov", "dec" };
	size_t i;

	for (i = 0; i < 12 && len == 3; i++)
		if (strncasecmp(s, months[i], 3) == 0)
			return true;
	return false;
}

/* The next word and its length. */
static const char *
word(const char **rest, size_t *len)
{
	const char *start = *rest + strspn(*rest, " ");

	*len = strcspn(start, " ");
	*rest = start + *len;
	return start;
}

/*
 * "-rw-r--r--  1 user group  1234 Jan 31 23:59 name": the number before the
 * month is the size, and after two words and one blank comes the name.
 */
static bool
parse_unix(struct ftp_list_entry *e, const char *line)
{
	const char *before = NULL, *s, *rest = line;
	size_t len;
	int i;

	for (i = 0; i < 8; i++) {
		s = word(&rest, &len);
		if (len == 0)
			return false;
		if (before != NULL && is_month(s, len))
			break;
		before = isdigit((unsigned char)*s) ? s : NULL;
	}
	if (i == 8 || !http_number(&before, 10, &e->size) || *before != ' ')
		return false;
	for (i = 0; i < 2; i++) {
		word(&rest, &len);
		if (len == 0)
			return false;
	}
	if (*rest != ' ')
		return false;
	e->name = rest + 1;
	if (*line == 'd')
		e->type = FTP_LIST_DIRECTORY;
	else if (*line == '-')
		e->type = FTP_LIST_FILE;
	return true;
}

/* "01-31-26  11:59PM  <DIR>  name", or a size in the third place */
static bool
parse_windows(struct ftp_list_entry *e, const char *line)
{
	const char *s, *rest = line;
	size_t len;

	word(&rest, &len);
	word(&rest, &len);
	s = word(&rest, &len);
	if (len == 5 && strncasecmp(s, "<DIR>", 5) == 0)
		e->type = FTP_LIST_DIRECTORY;
	else if (http_number(&s, 10, &e->size) && s == rest)
		e->type = FTP_LIST_FILE;
	else
		return false;
	e->name = rest + strspn(rest, " ");
	return true;
}

bool
ftp_list_list(struct ftp_list_entry *e, char *line)
{
	memset(e, 0, sizeof(*e));
	e->type = FTP_LIST_OTHER;
	e->size = -1;
	e->modified = -1;
	e->name = "";
	/* How many blocks there are in all. */
	if (strncasecmp(line, "total ", 6) == 0)
		return true;
	if (*line != '\0' && strchr("-bcdlps", *line) != NULL)
		return parse_unix(e, line) && *e->name != '\0';
	return isdigit((unsigned char)*line) && parse_windows(e, line) &&
	       *e->name != '\0';
}
