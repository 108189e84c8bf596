/* SPDX-License-Identifier: ISC */

/*
 * Fetches a https URL to a file.
 *
 *	cc -o ftp ftp.c net.c output.c tlsopt.c url.c -ltls
 *
 * Exit status: 0 all of it is there, 1 usage or TLS options, 2 the network,
 * TLS or what the server says, 3 the server refuses, 4 the local file, 5 the
 * data ended before its end.
 */

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <tls.h>

#include "net.h"
#include "output.h"
#include "tlsopt.h"
#include "url.h"

enum {
	EXIT_NETWORK = 2,
	EXIT_REFUSED = 3,
	EXIT_FILE = 4,
	EXIT_TRUNCATED = 5,
};

#define BUFFER_SIZE   16384
#define LINE_SIZE     4096
#define HEADERS_MAX   100
#define REDIRECTS_MAX 10
#define REPLIES_MAX   10 /* 1xx before the real one */
#define TIMEOUT	      60 /* seconds */

struct conn {
	struct tls *tls;
	int fd;
	long long since; /* what goes on at the moment */
	size_t off, len;
	char buf[BUFFER_SIZE];
};

struct reply {
	int status;
	char reason[128];
	char location[LINE_SIZE];
	bool chunked;
	off_t length;		  /* of the body, -1 if unknown */
	off_t range_first, total; /* from Content-Range, -1 if unknown */
};

static struct options {
	bool resume;
	bool verbose;
	const char *output;
	int timeout; /* seconds */
} opt = { .timeout = TIMEOUT };

static void
usage(void)
{
	fprintf(stderr, "usage: ftp [-Cv] [-o file] [-S options] [-w seconds] "
			"https://host[:port]/path\n");
	exit(1);
}

static const char *
tls_cause(struct tls *tls)
{
	const char *cause = tls_error(tls);

	return cause != NULL ? cause : "unknown error";
}

/* Connections: blocking, with time-outs of the socket */

/*
 * On a blocking descriptor TLS_WANT_* means that the socket's time-out has
 * passed, or that there was no more than a signal; the clock knows which.
 */
static bool
try_again(struct conn *c, ssize_t n)
{
	if (n != TLS_WANT_POLLIN && n != TLS_WANT_POLLOUT)
		return false;
	if (net_now() - c->since < (long long)opt.timeout * 1000)
		return true;
	complain("stalled for %d seconds", opt.timeout);
	return false;
}

static void
conn_warn(struct conn *c, ssize_t n, const char *what)
{
	/* try_again has told about stalls. */
	if (n == -1)
		complain("%s: %s", what, tls_cause(c->tls));
}

static void
conn_close(struct conn *c)
{
	tls_free(c->tls);
	c->tls = NULL;
	if (c->fd != -1)
		close(c->fd);
	c->fd = -1;
}

static int
conn_open(struct conn *c, struct tls_config *config, const struct url *url)
{
	struct timeval tv = { .tv_sec = opt.timeout };
	int n;

	c->off = c->len = 0;
	c->tls = NULL;
	c->fd = net_connect(url->host, url->port, opt.timeout * 1000);
	if (c->fd == -1)
		return -1;
	if (net_set_nonblock(c->fd, false) == -1 ||
	    setsockopt(c->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) == -1 ||
	    setsockopt(c->fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof(tv)) == -1) {
		complain("socket: %s", strerror(errno));
		goto err;
	}
	if ((c->tls = tls_client()) == NULL) {
		complain("out of memory");
		goto err;
	}
	if (tls_configure(c->tls, config) == -1 ||
	    tls_connect_socket(c->tls, c->fd, url->host) == -1) {
		conn_warn(c, -1, url->host);
		goto err;
	}
	c->since = net_now();
	do
		n = tls_handshake(c->tls);
	while (try_again(c, n));
	if (n != 0) {
		conn_warn(c, n, url->host);
		goto err;
	}
	if (opt.verbose)
		complain("%s: %s %s, %s", url->host, tls_conn_version(c->tls),
		    tls_conn_cipher(c->tls), tls_peer_cert_subject(c->tls));
	return 0;

err:
	conn_close(c);
	return -1;
}

static int
conn_write(struct conn *c, const char *data, size_t len)
{
	ssize_t n;

	while (len > 0) {
		c->since = net_now();
		do
			n = tls_write(c->tls, data, len);
		while (try_again(c, n));
		if (n < 0) {
			conn_warn(c, n, "write");
			return -1;
		}
		data += n;
		len -= (size_t)n;
	}
	return 0;
}

/* Makes sure that there is something in the buffer: 1, 0 for EOF, or -1. */
static int
conn_fill(struct conn *c)
{
	ssize_t n;

	if (c->len > 0)
		return 1;
	c->since = net_now();
	do
		n = tls_read(c->tls, c->buf, sizeof(c->buf));
	while (try_again(c, n));
	if (n < 0) {
		conn_warn(c, n, "read");
		return -1;
	}
	c->off = 0;
	c->len = (size_t)n;
	return n > 0;
}

/* Says that all is said; -1 also if the server just broke off. */
static int
conn_finish(struct conn *c)
{
	int n;

	c->since = net_now();
	do
		n = tls_close(c->tls);
	while (try_again(c, n));
	return n;
}

static char *
conn_take(struct conn *c, size_t *len)
{
	char *data = c->buf + c->off;

	if (*len > c->len)
		*len = c->len;
	c->off += *len;
	c->len -= *len;
	return data;
}

/* A line without its end: 1, or 0 for EOF, or -1. */
static int
conn_line(struct conn *c, char *line)
{
	size_t len = 0, one;
	int n;

	for (;;) {
		if ((n = conn_fill(c)) != 1)
			return n;
		one = 1;
		line[len] = *conn_take(c, &one);
		if (line[len] == '\n')
			break;
		if (++len == LINE_SIZE) {
			complain("the server sends a line that is too long");
			return -1;
		}
	}
	if (len > 0 && line[len - 1] == '\r')
		len--;
	line[len] = '\0';
	return 1;
}

/* HTTP */

static int
send_request(struct conn *c, const struct url *url, off_t start)
{
	char request[LINE_SIZE + 1024], host[300], range[64] = "";
	bool address = strchr(url->host, ':') != NULL;

	snprintf(host, sizeof(host), "%s%s%s%s%s", address ? "[" : "",
	    url->host, address ? "]" : "",
	    strcmp(url->port, "443") != 0 ? ":" : "",
	    strcmp(url->port, "443") != 0 ? url->port : "");
	if (start > 0)
		snprintf(range, sizeof(range), "Range: bytes=%lld-\r\n",
		    (long long)start);
	snprintf(request, sizeof(request),
	    "GET %s HTTP/1.1\r\n"
	    "Host: %s\r\n"
	    "User-Agent: libtls-ftp\r\n"
	    "Accept: */*\r\n"
	    "Accept-Encoding: identity\r\n"
	    "Connection: close\r\n"
	    "%s\r\n",
	    url->path, host, range);
	return conn_write(c, request, strlen(request));
}

static bool
parse_number(const char **s, int base, off_t *number)
{
	static const char digits[] = "0123456789abcdef";
	const char *p, *digit;
	off_t n = 0;

	for (p = *s; *p != '\0'; p++) {
		digit = strchr(digits, tolower((unsigned char)*p));
		if (digit == NULL || digit - digits >= base)
			break;
		if (n > (INT64_MAX - (digit - digits)) / base)
			return false;
		n = n * base + (digit - digits);
	}
	if (p == *s)
		return false;
	*s = p;
	*number = n;
	return true;
}

/* "bytes first-last/total" or "bytes * /total" without the blank */
static bool
parse_content_range(struct reply *r, const char *s)
{
	off_t last;

	if (strncasecmp(s, "bytes ", 6) != 0)
		return false;
	s += 6;
	if (*s == '*')
		s++;
	else if (!parse_number(&s, 10, &r->range_first) || *s++ != '-' ||
		 !parse_number(&s, 10, &last) || last < r->range_first)
		return false;
	if (*s++ != '/')
		return false;
	if (strcmp(s, "*") == 0)
		return true;
	return parse_number(&s, 10, &r->total) && *s == '\0';
}

static bool
parse_header(struct reply *r, char *line)
{
	char *value;
	const char *s;
	size_t len;
	off_t length;

	if ((value = strchr(line, ':')) == NULL)
		return false;
	*value++ = '\0';
	value += strspn(value, " \t");
	len = strlen(value);
	while (len > 0 && (value[len - 1] == ' ' || value[len - 1] == '\t'))
		value[--len] = '\0';

	if (strcasecmp(line, "Content-Length") == 0) {
		s = value;
		if (!parse_number(&s, 10, &length) || *s != '\0' ||
		    (r->length != -1 && r->length != length))
			return false;
		r->length = length;
	} else if (strcasecmp(line, "Transfer-Encoding") == 0) {
		if (strcasecmp(value, "chunked") != 0)
			return false;
		r->chunked = true;
	} else if (strcasecmp(line, "Content-Range") == 0) {
		return parse_content_range(r, value);
	} else if (strcasecmp(line, "Location") == 0) {
		snprintf(r->location, sizeof(r->location), "%s", value);
	}
	return true;
}

static int
read_head(struct conn *c, struct reply *r)
{
	char line[LINE_SIZE];
	int i, n;

	memset(r, 0, sizeof(*r));
	r->length = r->range_first = r->total = -1;
	if ((n = conn_line(c, line)) != 1)
		goto err;
	if (strncmp(line, "HTTP/1.", 7) != 0 ||
	    !isdigit((unsigned char)line[7]) ||
	    sscanf(line + 8, " %3d %127[ -~]", &r->status, r->reason) < 1) {
		complain("the server does not speak HTTP/1.1");
		return -1;
	}
	if (opt.verbose)
		complain("%d %s", r->status, r->reason);
	for (i = 0; i < HEADERS_MAX; i++) {
		if ((n = conn_line(c, line)) != 1)
			goto err;
		if (line[0] == '\0')
			return 0;
		if (!parse_header(r, line)) {
			complain("the server sends an invalid %s header", line);
			return -1;
		}
	}
	complain("the server sends too many headers");
	return -1;

err:
	if (n == 0)
		complain("the server ended the connection early");
	return -1;
}

static int
read_reply(struct conn *c, struct reply *r)
{
	int i;

	for (i = 0; i < REPLIES_MAX; i++) {
		if (read_head(c, r) == -1)
			return -1;
		if (r->status >= 200)
			return 0;
	}
	complain("the server sends no final reply");
	return -1;
}

static int
truncated(const struct output *o)
{
	if (o->total >= 0)
		complain("truncated: %lld of %lld bytes", (long long)o->have,
		    (long long)o->total);
	else
		complain("truncated: %lld bytes and no proper end",
		    (long long)o->have);
	return EXIT_TRUNCATED;
}

static int
copy_bytes(struct conn *c, struct output *o, off_t left)
{
	const char *data;
	size_t len;

	while (left > 0) {
		if (conn_fill(c) != 1)
			return truncated(o);
		len = left < BUFFER_SIZE ? (size_t)left : BUFFER_SIZE;
		data = conn_take(c, &len);
		if (output_write(o, data, len) == -1)
			return EXIT_FILE;
		left -= (off_t)len;
	}
	return 0;
}

static int
copy_chunks(struct conn *c, struct output *o)
{
	char line[LINE_SIZE];
	const char *s;
	off_t size;
	int error, i;

	for (;;) {
		if (conn_line(c, line) != 1)
			return truncated(o);
		s = line;
		if (!parse_number(&s, 16, &size) ||
		    (*s != '\0' && strchr("; \t", *s) == NULL)) {
			complain("the server sends an invalid chunk");
			return EXIT_NETWORK;
		}
		if (size == 0)
			break;
		if ((error = copy_bytes(c, o, size)) != 0)
			return error;
		if (conn_line(c, line) != 1)
			return truncated(o);
		if (line[0] != '\0') {
			complain("the server sends an invalid chunk");
			return EXIT_NETWORK;
		}
	}
	for (i = 0; i < HEADERS_MAX; i++) {
		if (conn_line(c, line) != 1)
			return truncated(o);
		if (line[0] == '\0')
			return 0;
	}
	complain("the server sends too many trailers");
	return EXIT_NETWORK;
}

/*
 * The end of the connection ends the data: then only a close notify, which
 * tls_close knows about, tells the end from a connection that was cut.
 */
static int
copy_rest(struct conn *c, struct output *o)
{
	const char *data;
	size_t len;
	int n;

	while ((n = conn_fill(c)) == 1) {
		len = BUFFER_SIZE;
		data = conn_take(c, &len);
		if (output_write(o, data, len) == -1)
			return EXIT_FILE;
	}
	if (n == 0) {
		if ((n = conn_finish(c)) == 0)
			return 0;
		conn_warn(c, n, "close");
	}
	return truncated(o);
}

static int
copy_body(struct conn *c, struct output *o, const struct reply *r)
{
	int error;

	if (r->chunked)
		error = copy_chunks(c, o);
	else if (r->length >= 0)
		error = copy_bytes(c, o, r->length);
	else
		return copy_rest(c, o);
	if (error == 0 && o->total >= 0 && o->have < o->total)
		error = truncated(o);
	/* Mere politeness: the length says that this is the end. */
	if (error == 0)
		(void)conn_finish(c);
	return error;
}

/* What the reply means for the file: *copy if there is something to copy. */
static int
judge(struct output *o, struct reply *r, bool *copy)
{
	*copy = false;
	if (r->status == 416 && o->start > 0 && r->total == o->start) {
		complain("%s: nothing is missing", o->name);
		return 0;
	}
	if (r->status == 206 && o->start > 0) {
		if (r->range_first != o->start) {
			complain("the server sends another range");
			return EXIT_NETWORK;
		}
		o->total = r->total;
	} else if (r->status == 200) {
		if (o->start > 0)
			complain("the server cannot resume: starting again");
		o->start = o->have = 0;
		o->total = r->chunked ? -1 : r->length;
	} else {
		complain("the server says: %d %s", r->status, r->reason);
		return EXIT_REFUSED;
	}
	*copy = true;
	return 0;
}

static bool
is_redirect(const struct reply *r)
{
	return r->status == 301 || r->status == 302 || r->status == 303 ||
	       r->status == 307 || r->status == 308;
}

static int
fetch(struct tls_config *config, struct url *url, struct output *o)
{
	static struct conn c;
	static struct reply r;
	const char *cause;
	bool copy;
	int error, i;

	for (i = 0; i <= REDIRECTS_MAX; i++) {
		if (conn_open(&c, config, url) == -1)
			return EXIT_NETWORK;
		error = EXIT_NETWORK;
		if (send_request(&c, url, o->start) == -1 ||
		    read_reply(&c, &r) == -1)
			goto done;
		if (!is_redirect(&r)) {
			error = judge(o, &r, &copy);
			if (error == 0 && copy)
				error = output_open(o) == -1
					    ? EXIT_FILE
					    : copy_body(&c, o, &r);
			goto done;
		}
		conn_close(&c);
		if ((cause = url_follow(url, r.location)) != NULL) {
			complain("redirection to '%s': %s", r.location, cause);
			return EXIT_NETWORK;
		}
		if (opt.verbose)
			complain("redirection to %s", r.location);
	}
	complain("too many redirections");
	return EXIT_NETWORK;

done:
	conn_close(&c);
	return error;
}

static void
parse_options(int argc, char *argv[], struct tls_config *config)
{
	char cause[512], *end;
	long seconds;
	int c;

	while ((c = getopt(argc, argv, "Co:S:vw:")) != -1) {
		switch (c) {
		case 'C':
			opt.resume = true;
			break;
		case 'o':
			opt.output = optarg;
			break;
		case 'S':
			if (tlsopt_apply(config, optarg, cause,
				sizeof(cause)) == -1)
				errx(1, "%s", cause);
			break;
		case 'v':
			opt.verbose = true;
			break;
		case 'w':
			errno = 0;
			seconds = strtol(optarg, &end, 10);
			if (end == optarg || *end != '\0' || errno != 0 ||
			    seconds < 1 || seconds > INT_MAX / 1000)
				errx(1, "invalid time-out '%s'", optarg);
			opt.timeout = (int)seconds;
			break;
		default:
			usage();
		}
	}
	if (optind + 1 != argc)
		usage();
}

int
main(int argc, char *argv[])
{
	static struct url url;
	struct output o;
	struct tls_config *config;
	const char *cause;
	char *name = NULL;
	int error;

	signal(SIGPIPE, SIG_IGN);
	if ((config = tls_config_new()) == NULL)
		errx(1, "out of memory");
	parse_options(argc, argv, config);
	if ((cause = url_follow(&url, argv[optind])) != NULL)
		errx(1, "%s: %s", argv[optind], cause);
	if (opt.output == NULL) {
		if ((name = url_file_name(&url)) == NULL)
			errx(1, "out of memory");
		if (*name == '\0')
			errx(1, "%s: names no file, use -o", argv[optind]);
	}
	output_init(&o, name != NULL ? name : opt.output);
	if (opt.resume && strcmp(o.name, "-") == 0)
		errx(1, "cannot resume to standard output");

	if (opt.resume && output_measure(&o) == -1)
		error = EXIT_FILE;
	else
		error = fetch(config, &url, &o);
	if (error == 0 && o.fd != -1)
		output_progress(&o, true);
	if (output_close(&o) == -1 && error == 0)
		error = EXIT_FILE;
	tls_config_free(config);
	free(name);
	return error;
}
