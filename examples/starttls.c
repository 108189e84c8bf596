/* SPDX-License-Identifier: ISC */

/* The plaintext dialogues that end with a connection ready for TLS. */

#include <sys/types.h>
#include <sys/socket.h>

#include <ctype.h>
#include <err.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "net.h"
#include "starttls.h"

#define LINE_MAX_BYTES	2048
#define REPLY_MAX_LINES 100
#define STEPS_MAX	3

/* How one sees which line of a reply is its last. */
enum style {
	CODE, /* three digits and a space; a hyphen means that more follows */
	LINE, /* all replies have one line */
	TAG,  /* the line that does not begin with "* " */
};

struct step {
	const char *command; /* NULL for the greeting */
	const char *expect;  /* what the last line begins with */
};

static const struct dialogue {
	const char *protocol;
	enum style style;
	struct step steps[STEPS_MAX];
} dialogues[] = {
	{ "smtp", CODE,
	    { { NULL, "220 " }, { "EHLO", "250 " }, { "STARTTLS", "220 " } } },
	{ "imap", TAG, { { NULL, "* OK" }, { "a STARTTLS", "a OK" } } },
	{ "pop3", LINE, { { NULL, "+OK" }, { "STLS", "+OK" } } },
	{ "ftp", CODE, { { NULL, "220 " }, { "AUTH TLS", "234 " } } },
};

struct reader {
	int fd;
	long long deadline;
	size_t len;
	char buf[LINE_MAX_BYTES];
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

static int
wait_for(int fd, short events, long long deadline)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	long long left;
	int n;

	do {
		if ((left = deadline - net_now()) < 0)
			left = 0;
		n = poll(&pfd, 1, left > INT_MAX ? INT_MAX : (int)left);
	} while (n == -1 && errno == EINTR);
	if (n == 0)
		errno = ETIMEDOUT;
	return n == 1 ? 0 : -1;
}

/* Takes one line, without its end, from the connection. */
static int
read_line(struct reader *r, char *line)
{
	char *end;
	size_t len;
	ssize_t n;

	while ((end = memchr(r->buf, '\n', r->len)) == NULL) {
		if (r->len == sizeof(r->buf)) {
			warnx("starttls: line too long");
			return -1;
		}
		n = recv(r->fd, r->buf + r->len, sizeof(r->buf) - r->len, 0);
		if (n == 0) {
			warnx("starttls: connection closed by the server");
			return -1;
		}
		if (n > 0) {
			r->len += (size_t)n;
			continue;
		}
		if (errno == EINTR)
			continue;
		if ((errno != EAGAIN && errno != EWOULDBLOCK) ||
		    wait_for(r->fd, POLLIN, r->deadline) == -1) {
			warn("starttls: read");
			return -1;
		}
	}
	len = (size_t)(end - r->buf);
	memcpy(line, r->buf, len);
	line[len > 0 && line[len - 1] == '\r' ? len - 1 : len] = '\0';
	r->len -= len + 1;
	memmove(r->buf, end + 1, r->len);
	/* The texts go to a terminal. */
	for (; *line != '\0'; line++)
		if (!isprint((unsigned char)*line))
			*line = '?';
	return 0;
}

static int
send_line(struct reader *r, const char *line)
{
	size_t len = strlen(line);
	ssize_t n;

	while (len > 0) {
		n = send(r->fd, line, len, MSG_NOSIGNAL);
		if (n >= 0) {
			line += n;
			len -= (size_t)n;
		} else if (errno == EAGAIN || errno == EWOULDBLOCK) {
			if (wait_for(r->fd, POLLOUT, r->deadline) == -1)
				break;
		} else if (errno != EINTR) {
			break;
		}
	}
	if (len > 0)
		warn("starttls: write");
	return len == 0 ? 0 : -1;
}

static bool
is_last(const char *line, const struct dialogue *d, const struct step *step)
{
	switch (d->style) {
	case CODE:
		return isdigit((unsigned char)line[0]) &&
		       isdigit((unsigned char)line[1]) &&
		       isdigit((unsigned char)line[2]) &&
		       (line[3] == ' ' || line[3] == '\0');
	case LINE:
		break;
	case TAG:
		return step->command == NULL || strncmp(line, "* ", 2) != 0;
	}
	return true;
}

static int
run_step(struct reader *r, const struct dialogue *d, const struct step *step,
    bool verbose)
{
	char command[LINE_MAX_BYTES], line[LINE_MAX_BYTES];
	char host[256] = "";
	int i;

	if (step->command != NULL) {
		/* Of the commands here only EHLO has an argument. */
		if (strcmp(step->command, "EHLO") == 0 &&
		    (gethostname(host, sizeof(host) - 1) == -1 ||
			host[0] == '\0'))
			snprintf(host, sizeof(host), "localhost");
		snprintf(command, sizeof(command), "%s%s%s\r\n", step->command,
		    host[0] != '\0' ? " " : "", host);
		if (send_line(r, command) == -1)
			return -1;
	}
	for (i = 0; i < REPLY_MAX_LINES; i++) {
		if (read_line(r, line) == -1)
			return -1;
		if (verbose)
			warnx("%s: %s", d->protocol, line);
		if (!is_last(line, d, step))
			continue;
		if (strncasecmp(line, step->expect, strlen(step->expect)) == 0)
			return 0;
		/* A code may stand alone on its line. */
		if (d->style == CODE && strlen(line) == 3 &&
		    strncmp(line, step->expect, 3) == 0)
			return 0;
		warnx("starttls: the server refuses %s: %s",
		    step->command != NULL ? step->command : "the connection",
		    line);
		return -1;
	}
	warnx("starttls: reply too long");
	return -1;
}

int
starttls(int fd, const char *protocol, int timeout, bool verbose)
{
	const struct dialogue *d = find(protocol);
	struct reader r = { .fd = fd };
	size_t i;

	r.deadline = net_now() + timeout;
	for (i = 0; i < STEPS_MAX && d->steps[i].expect != NULL; i++)
		if (run_step(&r, d, &d->steps[i], verbose) == -1)
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
