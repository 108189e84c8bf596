/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* FTP's dialogue, from the greeting to the login. */

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "auth.h"
#include "ftp_control.h"
#include "progress.h"

#define LINES_MAX 1000 /* in a reply */

bool
ftp_control_code(const char *line, int *code)
{
	if (strspn(line, "0123456789") != 3 || line[0] < '1' || line[0] > '5' ||
	    (line[3] != '\0' && line[3] != ' ' && line[3] != '-'))
		return false;
	*code = (line[0] - '0') * 100 + (line[1] - '0') * 10 + line[2] - '0';
	return true;
}

/* A line that stands between the first and the last one of a reply. */
static void
note_feature(struct ftp_control *c, const char *line)
{
	if (strncasecmp(line, " MLST", 5) == 0)
		c->has_mlsd = true;
}

static enum fetch_result
read_line(struct ftp_control *c, char *line)
{
	int n = conn_line(c->conn, line, false);

	if (n == 0)
		complain("%s: the server ended the connection", c->server.host);
	else if (n == 1 && c->fetch->verbose)
		complain("%s: %s", c->server.host, line);
	return n == 1 ? FETCH_DONE : FETCH_NETWORK;
}

enum fetch_result
ftp_control_reply(struct ftp_control *c)
{
	char line[CONN_LINE];
	int code, i;

	c->code = 0;
	if (read_line(c, c->text) != FETCH_DONE)
		return FETCH_NETWORK;
	if (!ftp_control_code(c->text, &c->code)) {
		complain("%s: not a reply of FTP: %s", c->server.host, c->text);
		return FETCH_NETWORK;
	}
	if (c->text[3] != '-')
		return FETCH_DONE;
	for (i = 0; i < LINES_MAX; i++) {
		if (read_line(c, line) != FETCH_DONE)
			break;
		if (ftp_control_code(line, &code) && code == c->code &&
		    line[3] != '-')
			return FETCH_DONE;
		note_feature(c, line);
	}
	if (i == LINES_MAX)
		complain("%s: a reply that is too long", c->server.host);
	c->code = 0;
	return FETCH_NETWORK;
}

/* In Telnet, which FTP speaks, the last byte of all begins a command. */
static bool
is_argument(const char *s)
{
	for (; *s != '\0'; s++)
		if (iscntrl((unsigned char)*s) || (unsigned char)*s == 0xff)
			return false;
	return true;
}

enum fetch_result
ftp_control_command(struct ftp_control *c, const char *command,
    const char *argument)
{
	char line[CONN_LINE];
	int len, rv;

	len = snprintf(line, sizeof(line), "%s%s%s\r\n", command,
	    argument != NULL ? " " : "", argument != NULL ? argument : "");
	if (len < 0 || (size_t)len >= sizeof(line) ||
	    (argument != NULL && !is_argument(argument))) {
		complain("%s: no argument for a command of FTP", argument);
		return FETCH_USAGE;
	}
	if (c->fetch->verbose)
		complain("-> %s %s", command,
		    strcmp(command, "PASS") == 0 ? "..."
		    : argument != NULL		 ? argument
						 : "");
	rv = conn_write(c->conn, line, (size_t)len);
	explicit_bzero(line, sizeof(line));
	return rv == 0 ? ftp_control_reply(c) : FETCH_NETWORK;
}

enum fetch_result
ftp_control_refused(struct ftp_control *c)
{
	complain("%s: the server says: %s", c->server.host, c->text);
	return FETCH_REFUSED;
}

enum fetch_result
ftp_control_expect(struct ftp_control *c, char digit, const char *command,
    const char *argument)
{
	enum fetch_result result;

	result = ftp_control_command(c, command, argument);
	if (result == FETCH_DONE && c->code / 100 != digit - '0')
		result = ftp_control_refused(c);
	return result;
}

static enum fetch_result
start_tls(struct ftp_control *c)
{
	const char *hash;

	if (secure_start(&c->fetch->secure, c->conn, true) == -1) {
		c->code = 0;
		return FETCH_NETWORK;
	}
	if ((hash = tls_peer_cert_hash(c->conn->tls)) != NULL)
		snprintf(c->hash, sizeof(c->hash), "%s", hash);
	c->protected = true;
	return FETCH_DONE;
}

static enum fetch_result
greet(struct ftp_control *c)
{
	enum fetch_result result;
	int i;

	if (c->server.scheme == URL_FTPS &&
	    (result = start_tls(c)) != FETCH_DONE)
		return result;
	/* 1yz: wait for the real one. */
	for (i = 0; i < 3; i++) {
		if ((result = ftp_control_reply(c)) != FETCH_DONE)
			return result;
		if (c->code >= 200)
			break;
	}
	if (c->code / 100 != 2)
		return ftp_control_refused(c);
	if (c->server.scheme == URL_FTPS || c->fetch->plaintext)
		return FETCH_DONE;
	if ((result = ftp_control_expect(c, '2', "AUTH", "TLS")) != FETCH_DONE)
		return result;
	return start_tls(c);
}

static enum fetch_result
log_in(struct ftp_control *c)
{
	const struct url *url = &c->server;
	const char *user = "anonymous", *password = "anonymous@";
	enum fetch_result result;

	if (url->user[0] != '\0') {
		user = url->user;
		password = url->password;
	}
	if ((result = ftp_control_command(c, "USER", user)) != FETCH_DONE)
		return result;
	if (c->code == 331 &&
	    (result = ftp_control_command(c, "PASS", password)) != FETCH_DONE)
		return result;
	return c->code / 100 == 2 ? FETCH_DONE : ftp_control_refused(c);
}

/* 257 "/home/a""b", where a quote is two. */
static enum fetch_result
find_home(struct ftp_control *c)
{
	enum fetch_result result;
	char *in, *out;

	if ((result = ftp_control_command(c, "PWD", NULL)) != FETCH_DONE)
		return result;
	if (c->code != 257 || (in = strchr(c->text, '"')) == NULL ||
	    (c->home = strdup(in + 1)) == NULL)
		return ftp_control_refused(c);
	for (in = out = c->home; *in != '\0'; *out++ = *in++)
		if (*in == '"' && *++in != '"')
			break;
	*out = '\0';
	return FETCH_DONE;
}

/* What every transfer needs. */
static enum fetch_result
prepare(struct ftp_control *c)
{
	enum fetch_result result;

	if (c->protected) {
		result = ftp_control_expect(c, '2', "PBSZ", "0");
		if (result == FETCH_DONE)
			result = ftp_control_expect(c, '2', "PROT", "P");
		if (result != FETCH_DONE)
			return result;
	}
	/* Who does not know it has no features. */
	if ((result = ftp_control_command(c, "FEAT", NULL)) != FETCH_DONE ||
	    (result = ftp_control_expect(c, '2', "TYPE", "I")) != FETCH_DONE ||
	    (result = find_home(c)) != FETCH_DONE)
		return result;
	if (!c->fetch->clear || !c->protected)
		return FETCH_DONE;
	if ((result = ftp_control_expect(c, '2', "CCC", NULL)) != FETCH_DONE)
		return result;
	return conn_stop_tls(c->conn) == 0 ? FETCH_DONE : FETCH_NETWORK;
}

enum fetch_result
ftp_control_open(struct ftp_control *c, struct fetch *f, const struct url *url)
{
	enum fetch_result result;
	struct url server = *url;

	if (auth_netrc(f->netrc, &server) == -1)
		return FETCH_USAGE;
	if (c->conn != NULL && c->code != 0 &&
	    url_same_server(&c->server, &server) &&
	    strcmp(c->server.user, server.user) == 0)
		return FETCH_DONE;
	ftp_control_close(c);
	c->fetch = f;
	c->server = server;
	/* Servers ask that data connections take up the control's session. */
	if (secure_session(&f->secure, url, true, true) == -1)
		return FETCH_FILE;
	c->conn = conn_open(&f->net, url->host, url->port, f->timeout);
	if (c->conn == NULL)
		return FETCH_NETWORK;
	if ((result = greet(c)) != FETCH_DONE ||
	    (result = log_in(c)) != FETCH_DONE ||
	    (result = prepare(c)) != FETCH_DONE)
		ftp_control_close(c);
	return result;
}

void
ftp_control_close(struct ftp_control *c)
{
	static const char quit[] = "QUIT\r\n";

	if (c->conn != NULL) {
		/* Unless the dialogue has broken down. */
		if (c->code != 0 &&
		    conn_write(c->conn, quit, strlen(quit)) == 0)
			conn_goodbye(c->conn);
		conn_free(c->conn);
	}
	free(c->home);
	explicit_bzero(c, sizeof(*c));
}
