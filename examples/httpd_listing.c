/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What a directory has, as a page. */

#include <sys/types.h>
#include <sys/stat.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "httpd_escape.h"
#include "httpd_file.h"

/* More than that is no page for anybody to read. */
#define ENTRIES_MAX 10000

struct item {
	char *name;
	struct stat st;
};

struct items {
	struct item *list;
	size_t n, size;
};

static int
compare(const void *a, const void *b)
{
	const struct item *one = a, *two = b;
	int one_is_dir = S_ISDIR(one->st.st_mode);
	int two_is_dir = S_ISDIR(two->st.st_mode);

	if (one_is_dir != two_is_dir)
		return two_is_dir - one_is_dir;
	return strcmp(one->name, two->name);
}

static bool
add(struct items *items, const char *name, const struct stat *st)
{
	size_t size = items->size == 0 ? 64 : 2 * items->size;
	struct item *list;

	if (items->n == items->size) {
		list = reallocarray(items->list, size, sizeof(*list));
		if (list == NULL)
			return false;
		items->list = list;
		items->size = size;
	}
	if ((items->list[items->n].name = strdup(name)) == NULL)
		return false;
	items->list[items->n++].st = *st;
	return true;
}

/* Those that a request would get. */
static bool
collect(struct items *items, DIR *dir, const char *root, const char *path)
{
	struct dirent *entry;
	struct stat st;
	int fd;

	while (items->n < ENTRIES_MAX && (entry = readdir(dir)) != NULL) {
		if (file_is_hidden(entry->d_name))
			continue;
		if (fstatat(dirfd(dir), entry->d_name, &st,
			AT_SYMLINK_NOFOLLOW) == -1)
			continue;
		if (S_ISLNK(st.st_mode)) {
			fd = file_open_in(root, path, entry->d_name);
			if (fd == -1)
				continue;
			if (fstat(fd, &st) == -1)
				st.st_mode = 0;
			close(fd);
		}
		if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
			continue;
		if (!add(items, entry->d_name, &st))
			return false;
	}
	return true;
}

static void
write_item(FILE *out, const struct item *item)
{
	const char *slash = S_ISDIR(item->st.st_mode) ? "/" : "";
	char date[32] = "";
	struct tm tm;

	if (gmtime_r(&item->st.st_mtime, &tm) != NULL)
		strftime(date, sizeof(date), "%Y-%m-%d %H:%M", &tm);
	/* Without the dot a name with a colon would be a scheme. */
	fputs("<tr><td><a href=\"./", out);
	escape_url(out, item->name);
	fprintf(out, "%s\">", slash);
	escape_html(out, item->name);
	fprintf(out, "%s</a></td><td>%s</td><td>", slash, date);
	if (*slash == '\0')
		fprintf(out, "%lld", (long long)item->st.st_size);
	fputs("</td></tr>\n", out);
}

static void
write_page(FILE *out, const char *path, const struct items *items)
{
	size_t i;

	fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n"
	      "<meta charset=\"utf-8\">\n<title>Index of ",
	    out);
	escape_html(out, path);
	fputs("</title>\n<style>\n"
	      "body { font-family: sans-serif; margin: 2em; }\n"
	      "td { padding: 0 2em 0 0; }\n"
	      "td:last-child { text-align: right; }\n"
	      "</style>\n</head>\n<body>\n<h1>Index of ",
	    out);
	escape_html(out, path);
	fputs("</h1>\n<table>\n", out);
	if (strcmp(path, "/") != 0)
		fputs("<tr><td><a href=\"../\">../</a></td>"
		      "<td></td><td></td></tr>\n",
		    out);
	for (i = 0; i < items->n; i++)
		write_item(out, &items->list[i]);
	fputs("</table>\n", out);
	if (items->n == ENTRIES_MAX)
		fputs("<p>And more.</p>\n", out);
	fputs("</body>\n</html>\n", out);
}

char *
file_listing(int fd, const char *root, const char *path, size_t *len)
{
	struct items items = { NULL, 0, 0 };
	char *page = NULL;
	FILE *out = NULL;
	DIR *dir;
	size_t i;
	bool ok = false;

	if ((dir = fdopendir(fd)) == NULL) {
		close(fd);
		return NULL;
	}
	if (!collect(&items, dir, root, path) ||
	    (out = open_memstream(&page, len)) == NULL)
		goto err;
	if (items.n > 0)
		qsort(items.list, items.n, sizeof(items.list[0]), compare);
	write_page(out, path, &items);
	ok = ferror(out) == 0;

err:
	if (out != NULL && fclose(out) != 0)
		ok = false;
	if (!ok) {
		free(page);
		page = NULL;
		errno = ENOMEM;
	}
	for (i = 0; i < items.n; i++)
		free(items.list[i].name);
	free(items.list);
	closedir(dir);
	return page;
}
