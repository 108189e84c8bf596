/* SPDX-License-Identifier: ISC */

/* What httpd answers: files, and the reasons why there is none. */

#include <sys/types.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "response.h"

#define DATE_SIZE 32

static const struct {
	const char *suffix, *type;
} types[] = {
	{ "css", "text/css" },
	{ "gif", "image/gif" },
	{ "htm", "text/html; charset=utf-8" },
	{ "html", "text/html; charset=utf-8" },
	{ "ico", "image/x-icon" },
	{ "jpeg", "image/jpeg" },
	{ "jpg", "image/jpeg" },
	{ "js", "text/javascript" },
	{ "json", "application/json" },
	{ "pdf", "application/pdf" },
	{ "png", "image/png" },
	{ "svg", "image/svg+xml" },
	{ "txt", "text/plain; charset=utf-8" },
	{ "xml", "application/xml" },
};

static const struct {
	int status;
	const char *text;
} reasons[] = {
	{ 200, "OK" },
	{ 206, "Partial Content" },
	{ 301, "Moved Permanently" },
	{ 304, "Not Modified" },
	{ 400, "Bad Request" },
	{ 403, "Forbidden" },
	{ 404, "Not Found" },
	{ 405, "Method Not Allowed" },
	{ 413, "Content Too Large" },
	{ 416, "Range Not Satisfiable" },
	{ 431, "Request Header Fields Too Large" },
	{ 500, "Internal Server Error" },
	{ 503, "Service Unavailable" },
	{ 505, "HTTP Version Not Supported" },
};

static const char *
reason(int status)
{
	size_t i;

	for (i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		if (reasons[i].status == status)
			return reasons[i].text;
	return "Unknown";
}

static const char *
content_type(const char *path)
{
	const char *dot = strrchr(path, '.');
	size_t i;

	if (dot != NULL)
		for (i = 0; i < sizeof(types) / sizeof(types[0]); i++)
			if (strcasecmp(dot + 1, types[i].suffix) == 0)
				return types[i].type;
	return "application/octet-stream";
}

static void
http_date(time_t t, char *date)
{
	struct tm tm;

	if (gmtime_r(&t, &tm) == NULL ||
	    strftime(date, DATE_SIZE, "%a, %d %b %Y %H:%M:%S GMT", &tm) == 0)
		date[0] = '\0';
}

__attribute__((format(printf, 2, 3))) static void
append(struct response *p, const char *format, ...)
{
	size_t room = sizeof(p->buf) - p->len;
	va_list ap;
	int n;

	va_start(ap, format);
	n = vsnprintf(p->buf + p->len, room, format, ap);
	va_end(ap);
	/* Never cut: the longest text is a part of a request. */
	if (n > 0 && (size_t)n < room)
		p->len += (size_t)n;
}

/* The first fields; the caller adds its own. */
static void
begin(struct response *p, const struct request *r, int status)
{
	char now[DATE_SIZE];

	http_date(time(NULL), now);
	p->status = status;
	p->length = 0;
	p->keep_alive = r->keep_alive;
	p->off = p->len = 0;
	p->file = -1;
	p->left = 0;
	append(p, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: %s\r\n", status,
	    reason(status), now, p->keep_alive ? "keep-alive" : "close");
}

static void
end(struct response *p, const char *type, off_t length)
{
	p->length = length;
	append(p, "Content-Type: %s\r\nContent-Length: %lld\r\n\r\n", type,
	    (long long)length);
}

/* A body that repeats the status. */
static void
end_with_status(struct response *p, const struct request *r)
{
	char body[64];

	snprintf(body, sizeof(body), "%d %s\n", p->status, reason(p->status));
	end(p, "text/plain; charset=utf-8", (off_t)strlen(body));
	if (!r->is_head)
		append(p, "%s", body);
}

void
response_status(struct response *p, const struct request *r, int status)
{
	begin(p, r, status);
	if (status == 405)
		append(p, "Allow: GET, HEAD\r\n");
	end_with_status(p, r);
}

/*
 * Opens what path names beneath the directory root, one component after the
 * other, so that neither dots nor symbolic links lead out of it.
 */
static int
open_beneath(int root, char *path)
{
	char *name;
	int dir, fd, saved;

	if ((dir = fcntl(root, F_DUPFD_CLOEXEC, 0)) == -1)
		return -1;
	while ((name = strsep(&path, "/")) != NULL) {
		if (*name == '\0')
			continue;
		fd = -1;
		errno = ENOENT;
		if (*name != '.')
			fd = openat(dir, name,
			    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
		saved = errno;
		close(dir);
		errno = saved;
		if (fd == -1)
			return -1;
		dir = fd;
	}
	return dir;
}

static int
status_of_errno(void)
{
	switch (errno) {
	case EACCES:
	case EPERM:
		return 403;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return 503;
	case ENOENT:
	case ENOTDIR:
	case ELOOP:
	case ENAMETOOLONG:
	case ENXIO:
		return 404;
	default:
		return 500;
	}
}

/* Answers with the file, and owns its descriptor. */
static void
send_file(struct response *p, const struct request *r, int fd,
    const struct stat *st, const char *type)
{
	char modified[DATE_SIZE];
	const char *range = r->range;
	off_t first = 0, count = st->st_size;
	int status;

	http_date(st->st_mtime, modified);
	if (r->if_modified_since != NULL &&
	    strcmp(r->if_modified_since, modified) == 0) {
		close(fd);
		begin(p, r, 304);
		append(p, "Last-Modified: %s\r\n\r\n", modified);
		return;
	}
	if (r->if_range != NULL && strcmp(r->if_range, modified) != 0)
		range = NULL;
	status = request_range(range, st->st_size, &first, &count);
	if (status == 416) {
		close(fd);
		begin(p, r, 416);
		append(p, "Content-Range: bytes */%lld\r\n",
		    (long long)st->st_size);
		end_with_status(p, r);
		return;
	}
	if (lseek(fd, first, SEEK_SET) == -1) {
		close(fd);
		response_status(p, r, 500);
		return;
	}
	begin(p, r, status);
	append(p, "Last-Modified: %s\r\nAccept-Ranges: bytes\r\n", modified);
	if (status == 206)
		append(p, "Content-Range: bytes %lld-%lld/%lld\r\n",
		    (long long)first, (long long)(first + count - 1),
		    (long long)st->st_size);
	end(p, type, count);
	if (r->is_head) {
		close(fd);
		return;
	}
	p->file = fd;
	p->left = count;
}

/* A directory was asked for without the slash that its files hang on. */
static void
send_redirect(struct response *p, const struct request *r)
{
	const char *target = r->target;

	/* "//x/" would be a place on another host. */
	while (target[0] == '/' && target[1] == '/')
		target++;
	begin(p, r, 301);
	append(p, "Location: %.*s/\r\n", (int)strcspn(target, "?"), target);
	end_with_status(p, r);
}

void
response_file(struct response *p, const struct request *r, int root)
{
	char path[REQUEST_MAX + 1], index[] = "index.html";
	const char *type;
	struct stat st;
	bool slash;
	int dir, fd;

	if (!request_path(r, path)) {
		response_status(p, r, 400);
		return;
	}
	type = content_type(path);
	slash = path[strlen(path) - 1] == '/';
	fd = open_beneath(root, path);
	if (fd == -1 || fstat(fd, &st) == -1)
		goto err;
	if (S_ISDIR(st.st_mode) && !slash) {
		close(fd);
		send_redirect(p, r);
		return;
	}
	if (S_ISDIR(st.st_mode)) {
		type = content_type(index);
		dir = fd;
		fd = open_beneath(dir, index);
		close(dir);
		if (fd == -1 || fstat(fd, &st) == -1)
			goto err;
	} else if (slash) {
		errno = ENOTDIR;
		goto err;
	}
	if (!S_ISREG(st.st_mode)) {
		errno = ENOENT;
		goto err;
	}
	send_file(p, r, fd, &st, type);
	return;

err:
	response_status(p, r, status_of_errno());
	if (fd != -1)
		close(fd);
}

int
response_fill(struct response *p)
{
	ssize_t n;

	if (p->left == 0)
		return 0;
	n = read(p->file, p->buf,
	    p->left < RESPONSE_SIZE ? (size_t)p->left : RESPONSE_SIZE);
	if (n == 0)
		errno = ESTALE; /* somebody made it shorter */
	if (n <= 0)
		return -1;
	p->off = 0;
	p->len = (size_t)n;
	p->left -= n;
	return 1;
}

void
response_clear(struct response *p)
{
	if (p->file != -1)
		close(p->file);
	p->file = -1;
	p->left = 0;
}
