/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The plaintext dialogues that end with a connection ready for TLS. */

#include <sys/types.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "der.h"
#include "net.h"
#include "printable.h"
#include "starttls.h"

#define LINE_MAX_BYTES	2048
#define BUFFER_BYTES	16384
#define REPLY_MAX_LINES 100
#define STEPS_MAX	3

struct reader {
	int fd;
	long long deadline;
	bool verbose;
	size_t len;
	char buf[BUFFER_BYTES];
};

/* How one sees which line of a reply is its last. */
enum style {
	CODE, /* three digits and a space; a hyphen means that more follows */
	LINE, /* all replies have one line */
	TAG,  /* the line that does not begin with "* " */
	WORD, /* the line that does not begin with a quote */
};

struct step {
	const char *command; /* NULL for the greeting */
	const char *expect;  /* what the last line begins with */
};

static int start_ldap(struct reader *r, const char *name);
static int start_postgres(struct reader *r, const char *name);
static int start_xmpp(struct reader *r, const char *name);

static const struct dialogue {
	const char *protocol;
	int (*start)(struct reader *r, const char *name); /* or steps */
	enum style style;
	struct step steps[STEPS_MAX];
} dialogues[] = {
	{ "ftp", NULL, CODE, { { NULL, "220" }, { "AUTH TLS", "234" } } },
	{ "imap", NULL, TAG, { { NULL, "* OK" }, { "a STARTTLS", "a OK" } } },
	{ "ldap", start_ldap, LINE, { { 0 } } },
	{ "lmtp", NULL, CODE,
	    { { NULL, "220" }, { "LHLO", "250" }, { "STARTTLS", "220" } } },
	{ "nntp", NULL, CODE, { { NULL, "20" }, { "STARTTLS", "382" } } },
	{ "pop3", NULL, LINE, { { NULL, "+OK" }, { "STLS", "+OK" } } },
	{ "postgres", start_postgres, LINE, { { 0 } } },
	{ "sieve", NULL, WORD, { { NULL, "OK" }, { "STARTTLS", "OK" } } },
	{ "smtp", NULL, CODE,
	    { { NULL, "220" }, { "EHLO", "250" }, { "STARTTLS", "220" } } },
	{ "xmpp", start_xmpp, LINE, { { 0 } } },
};

static const struct dialogue *
find(const char *protocol)
{
	size_t i;

	for (i = 0; i < sizeof(dialogues) / sizeof(dialogues[0]); i++)
		if (strcmp(dialogues[i].protocol, protocol) == 0)
			return &dialogues[i];
	return NULL;
}

bool
starttls_known(const char *protocol)
{
	return find(protocol) != NULL;
}

/* More of what the server says. */
static int
fill(struct reader *r)
{
	ssize_t n;

	if (r->len == sizeof(r->buf)) {
		warnx("starttls: reply too long");
		return -1;
	}
	for (;;) {
		n = recv(r->fd, r->buf + r->len, sizeof(r->buf) - r->len, 0);
		if (n > 0) {
			r->len += (size_t)n;
			return 0;
		}
		if (n == 0) {
			warnx("starttls: connection closed by the server");
			return -1;
		}
		if (errno == EINTR)
			continue;
		if ((errno != EAGAIN && errno != EWOULDBLOCK) ||
		    net_wait(r->fd, POLLIN, r->deadline) == -1) {
			warn("starttls: read");
			return -1;
		}
	}
}

static void
drop(struct reader *r, size_t len)
{
	r->len -= len;
	memmove(r->buf, r->buf + len, r->len);
}

static int
send_all(struct reader *r, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len > 0) {
		n = send(r->fd, p, len, MSG_NOSIGNAL);
		if (n >= 0) {
			p += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			if (net_wait(r->fd, POLLOUT, r->deadline) == -1)
				break;
		} else if (errno != EINTR) {
			break;
		}
	}
	if (len > 0)
		warn("starttls: write");
	return len == 0 ? 0 : -1;
}

/* Takes one line, without its end, from the connection. */
static int
read_line(struct reader *r, char *line)
{
	char *end;
	size_t len;

	while ((end = memchr(r->buf, '\n', r->len)) == NULL) {
		if (r->len >= LINE_MAX_BYTES) {
			warnx("starttls: line too long");
			return -1;
		}
		if (fill(r) == -1)
			return -1;
	}
	len = (size_t)(end - r->buf);
	if (len >= LINE_MAX_BYTES) {
		warnx("starttls: line too long");
		return -1;
	}
	memcpy(line, r->buf, len);
	line[len > 0 && line[len - 1] == '\r' ? len - 1 : len] = '\0';
	drop(r, len + 1);
	make_printable(line);
	return 0;
}

static bool
is_last(const char *line, const struct dialogue *d, const struct step *step)
{
	switch (d->style) {
	case CODE:
		return strspn(line, "0123456789") == 3 &&
		       (line[3] == ' ' || line[3] == '\0');
	case LINE:
		break;
	case TAG:
		return step->command == NULL || strncmp(line, "* ", 2) != 0;
	case WORD:
		return line[0] != '"';
	}
	return true;
}

static int
run_step(struct reader *r, const struct dialogue *d, const struct step *step)
{
	char command[LINE_MAX_BYTES], line[LINE_MAX_BYTES];
	char host[256] = "";
	int i;

	if (step->command != NULL) {
		/* Of the commands here only these have an argument. */
		if ((strcmp(step->command, "EHLO") == 0 ||
			strcmp(step->command, "LHLO") == 0) &&
		    (gethostname(host, sizeof(host) - 1) == -1 ||
			host[0] == '\0'))
			snprintf(host, sizeof(host), "localhost");
		snprintf(command, sizeof(command), "%s%s%s\r\n", step->command,
		    host[0] != '\0' ? " " : "", host);
		if (send_all(r, command, strlen(command)) == -1)
			return -1;
	}
	for (i = 0; i < REPLY_MAX_LINES; i++) {
		if (read_line(r, line) == -1)
			return -1;
		if (r->verbose)
			warnx("%s: %s", d->protocol, line);
		if (!is_last(line, d, step))
			continue;
		if (strncasecmp(line, step->expect, strlen(step->expect)) == 0)
			return 0;
		warnx("starttls: the server refuses %s: %s",
		    step->command != NULL ? step->command : "the connection",
		    line);
		return -1;
	}
	warnx("starttls: reply too long");
	return -1;
}

/*
 * ExtendedRequest with the object identifier of StartTLS, RFC 4511, and an
 * ExtendedResponse whose result is 0.
 */
static int
start_ldap(struct reader *r, const char *name)
{
	static const uint8_t request[] = "\x30\x1d\x02\x01\x01\x77\x18\x80\x16"
					 "1.3.6.1.4.1.1466.20037";
	struct der in, message, id, response, result;

	(void)name;
	if (send_all(r, request, sizeof(request) - 1) == -1)
		return -1;
	do {
		if (fill(r) == -1)
			return -1;
		in.data = (uint8_t *)r->buf;
		in.len = r->len;
		if (in.data[0] != 0x30) {
			warnx("starttls: not a reply of LDAP");
			return -1;
		}
	} while (!der_expect(&in, 0x30, &message));
	if (!der_expect(&message, 0x02, &id) || !der_equals(&id, "\1", 1) ||
	    !der_expect(&message, 0x78, &response) ||
	    !der_expect(&response, 0x0a, &result) || result.len != 1) {
		warnx("starttls: not a reply of LDAP");
		return -1;
	}
	if (result.data[0] != 0) {
		warnx("starttls: the server refuses StartTLS: result %d",
		    result.data[0]);
		return -1;
	}
	drop(r, (size_t)(in.data - (uint8_t *)r->buf));
	return 0;
}

/* SSLRequest, which is answered with a single byte. */
static int
start_postgres(struct reader *r, const char *name)
{
	static const uint8_t request[] = { 0, 0, 0, 8, 4, 210, 22, 47 };

	(void)name;
	if (send_all(r, request, sizeof(request)) == -1 || fill(r) == -1)
		return -1;
	if (r->buf[0] != 'S') {
		warnx("starttls: the server refuses SSLRequest");
		return -1;
	}
	drop(r, 1);
	return 0;
}

/* Takes all until the text has come, or fails at the other one. */
static int
read_until(struct reader *r, const char *text, const char *bad)
{
	char line[128], *end;

	while ((end = memmem(r->buf, r->len, text, strlen(text))) == NULL) {
		if (memmem(r->buf, r->len, bad, strlen(bad)) != NULL) {
			snprintf(line, sizeof(line), "%.*s", (int)r->len,
			    r->buf);
			make_printable(line);
			warnx("starttls: the server refuses: %s", line);
			return -1;
		}
		if (fill(r) == -1)
			return -1;
	}
	drop(r, (size_t)(end - r->buf) + strlen(text));
	return 0;
}

static int
start_xmpp(struct reader *r, const char *name)
{
	static const char start[] =
	    "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>";
	char open[1024];

	if (strpbrk(name, "<>&'\"") != NULL) {
		warnx("starttls: '%s' is no domain", name);
		return -1;
	}
	snprintf(open, sizeof(open),
	    "<?xml version='1.0'?><stream:stream to='%.255s' "
	    "xmlns='jabber:client' "
	    "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>",
	    name);
	if (send_all(r, open, strlen(open)) == -1 ||
	    read_until(r, "<starttls", "</stream:features>") == -1 ||
	    read_until(r, "</stream:features>", "<stream:error") == -1 ||
	    send_all(r, start, strlen(start)) == -1 ||
	    read_until(r, "<proceed", "<failure") == -1)
		return -1;
	return read_until(r, ">", "<");
}

int
starttls(int fd, const char *protocol, const char *name, int timeout,
    bool verbose)
{
	const struct dialogue *d = find(protocol);
	struct reader r = { .fd = fd, .verbose = verbose };
	size_t i;

	r.deadline = net_now() + timeout;
	if (d->start != NULL && d->start(&r, name) == -1)
		return -1;
	for (i = 0; i < STEPS_MAX && d->steps[i].expect != NULL; i++)
		if (run_step(&r, d, &d->steps[i]) == -1)
			return -1;
	/*
	 * A client speaks first in TLS. What is here already was put in by
	 * somebody who wants it to be taken for a part of the session.
	 */
	if (r.len > 0) {
		warnx("starttls: the server goes on in plaintext");
		return -1;
	}
	return 0;
}
