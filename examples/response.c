/* SPDX-License-Identifier: ISC */

/* What httpd answers: files, and the reasons why there is none. */

#include <sys/types.h>
#include <sys/random.h>
#include <sys/stat.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "condition.h"
#include "httpd_escape.h"
#include "httpd_file.h"
#include "httpd_reason.h"
#include "httpd_transport.h"
#include "response.h"

/* Copying a smaller one costs less than another record. */
#define SENDFILE_MIN (32 * 1024)

#define TEXT_TYPE    "text/plain; charset=utf-8"

void
response_init(struct response *p)
{
	memset(p, 0, sizeof(*p));
	p->file = -1;
}

void
response_clear(struct response *p)
{
	free(p->text);
	if (p->file != -1)
		close(p->file);
	response_init(p);
}

/* --- heads --- */

/* The first fields; the caller adds its own. NULL without memory. */
static FILE *
begin(struct response *p, const struct request *r, int status)
{
	char now[DATE_SIZE];
	FILE *out;

	response_clear(p);
	p->status = status;
	p->keep_alive = r->keep_alive;
	if ((out = open_memstream(&p->text, &p->text_len)) == NULL)
		return NULL;
	http_date(time(NULL), now);
	fprintf(out, "HTTP/1.1 %d %s\r\nDate: %s\r\nConnection: %s\r\n", status,
	    reason(status), now, p->keep_alive ? "keep-alive" : "close");
	return out;
}

/* The last ones. */
static void
end(struct response *p, FILE *out, const char *type, off_t length)
{
	if (type != NULL)
		fprintf(out, "Content-Type: %s\r\nContent-Length: %lld\r\n",
		    type, (long long)length);
	fputs("\r\n", out);
	fflush(out);
	p->head_len = p->text_len;
}

/* That was all: the text is whole, or there is none. */
static void
finish(struct response *p, FILE *out)
{
	bool failed = ferror(out) != 0;

	if (fclose(out) != 0 || failed) {
		free(p->text);
		p->text = NULL;
		p->text_len = 0;
	}
	if (p->nparts == 0)
		p->nparts = 1;
	p->parts[p->nparts - 1].text_end = p->text_len;
}

static void
end_with_body(struct response *p, const struct request *r, FILE *out,
    const char *type, const char *body, size_t len)
{
	end(p, out, type, (off_t)len);
	if (!r->is_head)
		fwrite(body, 1, len, out);
	finish(p, out);
}

/* A body that repeats the status. */
static void
end_with_status(struct response *p, const struct request *r, FILE *out)
{
	char body[64];
	int n;

	n = snprintf(body, sizeof(body), "%d %s\n", p->status,
	    reason(p->status));
	end_with_body(p, r, out, TEXT_TYPE, body, (size_t)n);
}

void
response_status(struct response *p, const struct request *r, int status)
{
	FILE *out;

	if ((out = begin(p, r, status)) == NULL)
		return;
	if (status == 405)
		fputs("Allow: GET, HEAD\r\n", out);
	end_with_status(p, r, out);
}

void
response_redirect(struct response *p, const struct request *r, int status,
    const char *url, const struct expansion *e)
{
	FILE *out;

	if ((out = begin(p, r, status)) == NULL)
		return;
	fputs("Location: ", out);
	expand(out, url, e);
	fputs("\r\n", out);
	end_with_status(p, r, out);
}

/* A directory was asked for without the slash that its files hang on. */
static void
redirect_to_slash(struct response *p, const struct request *r)
{
	FILE *out;

	if ((out = begin(p, r, 301)) == NULL)
		return;
	fputs("Location: ", out);
	escape_url(out, r->path);
	fputs("/\r\n", out);
	end_with_status(p, r, out);
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
	case ENAMETOOLONG:
	case ENXIO:
		return 404;
	default:
		return 500;
	}
}

/* --- files --- */

static void
validators(FILE *out, const struct stat *st)
{
	char text[ETAG_SIZE > DATE_SIZE ? ETAG_SIZE : DATE_SIZE];

	http_date(st->st_mtime, text);
	fprintf(out, "Last-Modified: %s\r\n", text);
	http_etag(st, text);
	fprintf(out, "ETag: %s\r\n", text);
}

static void
send_unchanged(struct response *p, const struct request *r,
    const struct stat *st)
{
	FILE *out;

	if ((out = begin(p, r, 304)) == NULL)
		return;
	validators(out, st);
	end(p, out, NULL, 0);
	finish(p, out);
}

static void
send_unsatisfiable(struct response *p, const struct request *r,
    const struct stat *st)
{
	FILE *out;

	if ((out = begin(p, r, 416)) == NULL)
		return;
	fprintf(out, "Content-Range: bytes */%lld\r\n", (long long)st->st_size);
	end_with_status(p, r, out);
}

/* All of a file, or one range of it. */
static void
send_one(struct response *p, const struct request *r, const struct stat *st,
    const char *type, int status, const struct range *range)
{
	FILE *out;

	if ((out = begin(p, r, status)) == NULL)
		return;
	validators(out, st);
	fputs("Accept-Ranges: bytes\r\n", out);
	if (status == 206)
		fprintf(out, "Content-Range: bytes %lld-%lld/%lld\r\n",
		    (long long)range->first,
		    (long long)(range->first + range->count - 1),
		    (long long)st->st_size);
	end(p, out, type, range->count);
	finish(p, out);
	if (!r->is_head) {
		p->parts[0].first = range->first;
		p->parts[0].count = range->count;
	}
}

static void
boundary_new(char boundary[33])
{
	uint64_t random[2] = { 0, 0 };

	/* Its length says where a part ends; this is for those who search. */
	(void)!getrandom(random, sizeof(random), GRND_NONBLOCK);
	snprintf(boundary, 33, "%016" PRIx64 "%016" PRIx64, random[0],
	    random[1]);
}

/* What stands before each range, and behind the last; ends tells where. */
static char *
multipart_text(const struct stat *st, const char *type, const char *boundary,
    const struct range *ranges, size_t n, size_t ends[RANGES_MAX + 1])
{
	char *text = NULL;
	size_t i, len;
	bool failed;
	FILE *out;

	if ((out = open_memstream(&text, &len)) == NULL)
		return NULL;
	for (i = 0; i < n; i++) {
		fprintf(out,
		    "\r\n--%s\r\nContent-Type: %s\r\n"
		    "Content-Range: bytes %lld-%lld/%lld\r\n\r\n",
		    boundary, type, (long long)ranges[i].first,
		    (long long)(ranges[i].first + ranges[i].count - 1),
		    (long long)st->st_size);
		fflush(out);
		ends[i] = len;
	}
	fprintf(out, "\r\n--%s--\r\n", boundary);
	fflush(out);
	ends[n] = len;
	failed = ferror(out) != 0;
	if (fclose(out) != 0 || failed) {
		free(text);
		return NULL;
	}
	return text;
}

static void
send_several(struct response *p, const struct request *r, const struct stat *st,
    const char *type, const struct range *ranges, size_t n)
{
	char boundary[33], whole[128], *text;
	size_t i, ends[RANGES_MAX + 1];
	FILE *out = NULL;
	off_t length;

	boundary_new(boundary);
	text = multipart_text(st, type, boundary, ranges, n, ends);
	if (text == NULL || (out = begin(p, r, 206)) == NULL)
		goto err;
	length = (off_t)ends[n];
	for (i = 0; i < n; i++)
		length += ranges[i].count;
	validators(out, st);
	snprintf(whole, sizeof(whole), "multipart/byteranges; boundary=%s",
	    boundary);
	end(p, out, whole, length);
	if (!r->is_head) {
		fwrite(text, 1, ends[n], out);
		p->nparts = n + 1;
		for (i = 0; i < n; i++) {
			p->parts[i].text_end = p->head_len + ends[i];
			p->parts[i].first = ranges[i].first;
			p->parts[i].count = ranges[i].count;
		}
	}
	finish(p, out);

err:
	free(text);
}

/* Answers with the file, and owns its descriptor. */
static void
send_file(struct response *p, const struct request *r, int fd,
    const struct stat *st, const char *type)
{
	struct range ranges[RANGES_MAX];
	int status;
	size_t n;

	if ((status = condition_check(r, st)) == 200)
		status = range_parse(condition_range(r, st) ? r->range : NULL,
		    st->st_size, ranges, &n);
	switch (status) {
	case 200:
		ranges[0].first = 0;
		ranges[0].count = st->st_size;
		n = 1;
		/* FALLTHROUGH */
	case 206:
		if (n == 1)
			send_one(p, r, st, type, status, ranges);
		else
			send_several(p, r, st, type, ranges, n);
		p->file = fd;
		return;
	case 304:
		send_unchanged(p, r, st);
		break;
	case 416:
		send_unsatisfiable(p, r, st);
		break;
	default:
		response_status(p, r, status);
	}
	close(fd);
}

static void
send_listing(struct response *p, const struct request *r, int dir,
    const char *root)
{
	char *page;
	size_t len;
	FILE *out;

	if ((page = file_listing(dir, root, r->path, &len)) == NULL) {
		response_status(p, r, status_of_errno());
		return;
	}
	if ((out = begin(p, r, 200)) != NULL)
		end_with_body(p, r, out, "text/html; charset=utf-8", page, len);
	free(page);
}

/* Takes the directory's descriptor over. */
static void
send_directory(struct response *p, const struct request *r, int dir,
    const struct config *config, const struct policy *policy)
{
	struct stat st;
	int fd = -1;

	if (r->path[strlen(r->path) - 1] != '/') {
		close(dir);
		redirect_to_slash(p, r);
		return;
	}
	errno = ENOENT;
	if (policy->index != NULL)
		fd = file_open_in(policy->root, r->path, policy->index);
	if (fd != -1 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode)) {
		close(dir);
		send_file(p, r, fd, &st, config_type(config, policy->index));
		return;
	}
	if (fd != -1) {
		close(fd);
		errno = ENOENT;
	}
	if (errno == ENOENT && policy->auto_index) {
		send_listing(p, r, dir, policy->root);
		return;
	}
	/* There is a directory, and nothing of it to be seen. */
	response_status(p, r, errno == ENOENT ? 403 : status_of_errno());
	close(dir);
}

void
response_file(struct response *p, const struct request *r,
    const struct config *config, const struct policy *policy)
{
	struct stat st;
	int fd;

	if ((fd = file_open(policy->root, r->path)) == -1) {
		response_status(p, r, status_of_errno());
		return;
	}
	if (fstat(fd, &st) == -1) {
		response_status(p, r, 500);
	} else if (S_ISDIR(st.st_mode)) {
		send_directory(p, r, fd, config, policy);
		return;
	} else if (!S_ISREG(st.st_mode)) {
		response_status(p, r, 404);
	} else {
		send_file(p, r, fd, &st, config_type(config, r->path));
		return;
	}
	close(fd);
}

/* --- sending --- */

bool
response_is_sent(const struct response *p)
{
	return p->part == p->nparts;
}

off_t
response_body_sent(const struct response *p)
{
	off_t head = (off_t)p->head_len;

	return p->sent < head ? 0 : p->sent - head;
}

/* Goes to the next part if this one has been sent. */
static void
advance(struct response *p)
{
	while (p->part < p->nparts &&
	       p->text_off == p->parts[p->part].text_end &&
	       p->file_off == p->parts[p->part].count) {
		p->part++;
		p->file_off = 0;
	}
}

static ssize_t
fill_from_file(struct response *p, char *buf, size_t size)
{
	const struct part *part = &p->parts[p->part];
	off_t left = part->count - p->file_off;
	ssize_t n;

	if (left < (off_t)size)
		size = (size_t)left;
	do
		n = pread(p->file, buf, size, part->first + p->file_off);
	while (n == -1 && errno == EINTR);
	if (n == 0) {
		errno = ESTALE; /* somebody made it shorter */
		n = -1;
	}
	if (n > 0)
		p->file_off += n;
	return n;
}

ssize_t
response_fill(struct response *p, char *buf, size_t size, bool sendfile)
{
	const struct part *part;
	size_t len = 0, count;
	ssize_t n;

	while (len < size && p->part < p->nparts) {
		part = &p->parts[p->part];
		if (p->text_off < part->text_end) {
			count = part->text_end - p->text_off;
			if (count > size - len)
				count = size - len;
			memcpy(buf + len, p->text + p->text_off, count);
			p->text_off += count;
			len += count;
		} else if (p->file_off < part->count) {
			if (sendfile &&
			    part->count - p->file_off >= SENDFILE_MIN)
				break;
			n = fill_from_file(p, buf + len, size - len);
			if (n == -1)
				return -1;
			len += (size_t)n;
		}
		advance(p);
	}
	p->sent += (off_t)len;
	return (ssize_t)len;
}

ssize_t
response_sendfile(struct response *p, int fd, size_t size)
{
	const struct part *part = &p->parts[p->part];
	off_t left = part->count - p->file_off;
	ssize_t n;

	if (left < (off_t)size)
		size = (size_t)left;
	n = transport_sendfile(fd, p->file, part->first + p->file_off, size);
	if (n == 0) {
		errno = ESTALE;
		return -1;
	}
	if (n > 0) {
		p->file_off += n;
		p->sent += n;
		advance(p);
	}
	return n;
}
