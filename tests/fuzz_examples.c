/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */
/*
 * What servers send to the examples ftp and nc: any bytes, and bytes that are
 * nearly right. The first byte says who is to read them. For libFuzzer, or
 * fuzzer.c.
 */

#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "auth.h"
#include "cert.h"
#include "conn.h"
#include "ftp_control.h"
#include "ftp_data.h"
#include "ftp_list.h"
#include "fuzzer.h"
#include "http_body.h"
#include "http_head.h"
#include "output.h"
#include "progress.h"
#include "proxy.h"
#include "url.h"

#define TEXT_MAX 32768 /* fits into a socket */

static void
require(int cond)
{
	if (!cond)
		abort();
}

/* In place of progress.c and output.c: nothing is shown or written. */

void
complain(const char *format, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, format);
	vsnprintf(text, sizeof(text), format, ap);
	va_end(ap);
}

int
output_write(struct output *o, const char *data, size_t len)
{
	size_t i, sum = 0;

	for (i = 0; i < len; i++)
		sum += (unsigned char)data[i];
	o->have += (off_t)len;
	return sum == SIZE_MAX ? -1 : 0;
}

/* A connection on which all of text has arrived, and its end. */
static struct conn *
connection(const char *text, size_t len)
{
	struct conn *c;
	int fds[2];

	require(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	require(send(fds[1], text, len, 0) == (ssize_t)len);
	close(fds[1]);
	require((c = calloc(1, sizeof(*c))) != NULL);
	c->fd = fds[0];
	c->timeout = 1;
	return c;
}

static void
check_url(const struct url *url)
{
	char text[4096];

	require(url->host[0] != '\0' && url->path[0] == '/');
	require(strpbrk(url->host, "/@ \r\n") == NULL);
	require(strpbrk(url->path, " \t\r\n") == NULL);
	url_host(url, text, sizeof(text));
	(void)url_has_default_port(url);
	if (url_file_name(url, text, sizeof(text)))
		require(strchr(text, '/') == NULL && strcmp(text, "..") != 0);
	(void)proxy_excepts(url->path + 1, url);
}

static void
fuzz_url(char *text)
{
	struct url base, url;

	memset(&url, 0, sizeof(url));
	if (url_parse(&url, text) == NULL)
		check_url(&url);
	require(url_parse(&base, "https://u:p@a.example/b/c?d") == NULL);
	url = base;
	if (url_follow(&url, text) == NULL) {
		check_url(&url);
		/* Nobody else gets the password. */
		require(url_same_server(&url, &base) == (url.user[0] != '\0'));
	}
	url_hide_user(text);
	(void)proxy_excepts(text, &base);
}

static void
fuzz_http(const char *text, size_t len)
{
	struct conn *c = connection(text, len);
	struct output o = { .name = "file" };
	struct http_head *h;

	require((h = calloc(1, sizeof(*h))) != NULL);
	while (http_head_read(c, h, false) == 1) {
		require(h->status >= 200 && h->status <= 999);
		require(h->length >= -1 && h->first >= -1 && h->total >= -1);
		o.have = 0;
		o.total = h->length;
		if (http_body_copy(c, h, &o) != FETCH_DONE)
			break;
		/* All that was announced, and no more than has come. */
		require(o.total == -1 || o.have == o.total);
		require(o.have <= (off_t)len);
	}
	free(h);
	conn_free(c);
}

static void
fuzz_control(const char *text, size_t len)
{
	static struct fetch fetch;
	struct ftp_control *c;
	int port;

	require((c = calloc(1, sizeof(*c))) != NULL);
	c->fetch = &fetch;
	c->conn = connection(text, len);
	while (ftp_control_reply(c) == FETCH_DONE) {
		require(c->code >= 100 && c->code <= 599);
		port = ftp_data_epsv_port(c->text);
		require(port >= 0 && port <= 65535);
		port = ftp_data_pasv_port(c->text);
		require(port >= 0 && port <= 65535);
	}
	conn_free(c->conn);
	free(c);
}

/* Lines are changed in place, and names point into them. */
static void
fuzz_list(char *text)
{
	struct ftp_list_entry e;
	char *copy, *line, *rest = text;

	while ((line = strsep(&rest, "\n")) != NULL) {
		require((copy = strdup(line)) != NULL);
		if (ftp_list_mlsd(&e, copy))
			require(e.size >= -1 && e.name > copy &&
				e.name < copy + strlen(line) + 1);
		if (ftp_list_is_name(line))
			require(strchr(line, '/') == NULL &&
				strcmp(line, "..") != 0 && *line != '\0');
		free(copy);
		if (ftp_list_list(&e, line))
			require(e.size >= -1 && strlen(e.name) <= strlen(line));
	}
}

static void
fuzz_cert(const char *text, size_t len)
{
	struct cert c;
	char *copy, *pem;
	uint8_t *der;
	size_t der_len, left = len;

	(void)cert_parse(&c, (const uint8_t *)text, len);
	require((copy = malloc(len + 1)) != NULL);
	memcpy(copy, text, len);
	pem = copy;
	while (cert_next(&pem, &left, &der, &der_len)) {
		require(der_len < len);
		if (cert_parse(&c, der, der_len))
			require(strlen(c.names) < sizeof(c.names) &&
				strlen(c.subject) < sizeof(c.subject));
	}
	free(copy);
}

static void
fuzz_netrc(const char *text, size_t len)
{
	struct url url;
	char path[32];
	int fd;

	require((fd = memfd_create("netrc", MFD_CLOEXEC)) != -1);
	require(fchmod(fd, 0600) == 0);
	require(write(fd, text, len) == (ssize_t)len);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	require(url_parse(&url, "https://a.example/") == NULL);
	(void)auth_netrc(path, &url);
	close(fd);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text;

	if (size == 0 || size > TEXT_MAX)
		return 0;
	/* A string, and not a byte more than that. */
	require((text = malloc(size)) != NULL);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = '\0';
	switch (data[0] % 6) {
	case 0:
		fuzz_url(text);
		break;
	case 1:
		fuzz_http(text, size - 1);
		break;
	case 2:
		fuzz_control(text, size - 1);
		break;
	case 3:
		fuzz_list(text);
		break;
	case 4:
		fuzz_cert(text, size - 1);
		break;
	case 5:
		fuzz_netrc(text, size - 1);
		break;
	}
	free(text);
	return 0;
}

#ifdef FUZZ_STANDALONE

/* What one begins with; the certificate is that of a name and an address. */
static const struct {
	const char *text;
	size_t len;
} samples[] = {
#define SAMPLE(s)                                                              \
	{                                                                      \
		s, sizeof(s) - 1                                               \
	}
	SAMPLE("\0https://user:pass%20word@[::1]:8443/a/../b?c#d"),
	SAMPLE("\0//b.example/%2e"),
	SAMPLE("\0../../x/./y"),
	SAMPLE("\0localhost, .example:443 [::1]:8443,*"),
	SAMPLE("\1HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n"
	       "Transfer-Encoding: chunked\r\n"
	       "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\r\n\r\n"
	       "a;x=y\r\n1234567890\r\n0\r\nTrailer: x\r\n\r\n"
	       "HTTP/1.1 206 Partial\r\nContent-Length: 3\r\n"
	       "Content-Range: bytes 7-9/10\r\n\r\nabc"),
	SAMPLE("\1HTTP/1.0 302 Found\r\nConnection: close, x\r\n"
	       "Location: /a\r\n\r\nbody"),
	SAMPLE("\2"
	       "220-hello\r\n220 there\r\n211-Features\r\n MLST x\r\n"
	       "211 end\r\n229 Extended (|||6446|)\r\n"
	       "227 Passive (127,0,0,1,25,46)\r\n"),
	SAMPLE("\3type=file;size=12;modify=20260131235959.1; name\n"
	       "-rw-r--r--  1 a b 1234 Jan 31 23:59 name\n"
	       "01-31-26  11:59PM  <DIR> name\ntotal 8\n"),
	SAMPLE("\4\x30\x50\x30\x4e\xa0\x03\x02\x01\x02\x02\x01\x01\x30\x00"
	       "\x30\x0e\x31\x0c\x30\x0a\x06\x03\x55\x04\x03\x0c\x03\x61\x2f"
	       "\x62\x30\x00\x30\x00\x30\x00\xa3\x2b\x30\x29\x30\x27\x06\x03"
	       "\x55\x1d\x11\x01\x01\xff\x04\x1d\x30\x1b\x82\x09\x6c\x6f\x63"
	       "\x61\x6c\x68\x6f\x73\x74\x87\x04\x7f\x00\x00\x01\x81\x08\x61"
	       "\x40\x62"),
	SAMPLE("\4-----BEGIN CERTIFICATE-----\nMAoxCDAGBgNVBAMMAA==\n"
	       "-----END CERTIFICATE-----\n"),
	SAMPLE("\5machine a.example login user password word\n"
	       "macdef x\ny z\n\ndefault login a account b\n"),
};

/* A sample with a few bytes changed, left out, doubled or cut off. */
static size_t
make_input(uint8_t *buf, size_t size)
{
	size_t i = fuzz_below(sizeof(samples) / sizeof(samples[0]));
	size_t at, len = samples[i].len, n, part;

	memcpy(buf, samples[i].text, len);
	for (n = fuzz_below(5); n > 0 && len > 2; n--) {
		at = 1 + fuzz_below(len - 1);
		part = 1 + fuzz_below(len - at);
		switch (fuzz_below(4)) {
		case 0:
			buf[at] = (uint8_t)fuzz_below(256);
			break;
		case 1:
			memmove(buf + at, buf + at + part, len - at - part);
			len -= part;
			break;
		case 2:
			if (len + part > size)
				break;
			memmove(buf + at + part, buf + at, len - at);
			len += part;
			break;
		case 3:
			len = at;
			break;
		}
	}
	return len;
}

void
fuzz_round(void)
{
	static uint8_t buf[TEXT_MAX];

	fuzz_run(buf, make_input(buf, sizeof(buf)));
}

#endif
