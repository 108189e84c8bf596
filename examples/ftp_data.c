/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The connections of FTP that carry files and listings. */

#include <sys/socket.h>

#include <ctype.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ftp_data.h"
#include "http_head.h"
#include "progress.h"

/* 229 Extended passive mode (|||6446|) */
int
ftp_data_epsv_port(const char *reply)
{
	const char *s = strchr(reply, '(');
	off_t port;
	char bar;

	if (s == NULL || (bar = s[1]) == '\0' || isdigit((unsigned char)bar) ||
	    s[2] != bar || s[3] != bar)
		return 0;
	s += 4;
	if (!http_number(&s, 10, &port) || *s != bar || port > 65535)
		return 0;
	return (int)port;
}

/*
 * 227 Entering passive mode (127,0,0,1,25,46). The address is not looked at:
 * the server is where it was, and not where it says that somebody else is.
 */
int
ftp_data_pasv_port(const char *reply)
{
	const char *s = reply + strcspn(reply, " ");
	off_t n[6];
	int i;

	s += strcspn(s, "0123456789");
	for (i = 0; i < 6; i++) {
		if ((i > 0 && *s++ != ',') || !http_number(&s, 10, &n[i]) ||
		    n[i] > 255)
			return 0;
	}
	return (int)(n[4] * 256 + n[5]);
}

static enum fetch_result
passive_port(struct ftp_control *c, int *port)
{
	bool v4 = strchr(c->conn->peer, ':') == NULL;
	enum fetch_result result;

	if (!c->no_epsv) {
		result = ftp_control_command(c, "EPSV", NULL);
		if (result != FETCH_DONE)
			return result;
		c->no_epsv = v4 && c->code / 100 == 5;
	}
	if (c->no_epsv) {
		result = ftp_control_expect(c, '2', "PASV", NULL);
		if (result != FETCH_DONE)
			return result;
		*port = ftp_data_pasv_port(c->text);
	} else {
		if (c->code / 100 != 2)
			return ftp_control_refused(c);
		*port = ftp_data_epsv_port(c->text);
	}
	if (*port != 0)
		return FETCH_DONE;
	complain("%s: no port in: %s", c->server.host, c->text);
	return FETCH_NETWORK;
}

static enum fetch_result
connect_passive(struct ftp_control *c, struct conn **data)
{
	enum fetch_result result;
	char text[8];
	int port = 0;

	if ((result = passive_port(c, &port)) != FETCH_DONE)
		return result;
	snprintf(text, sizeof(text), "%d", port);
	*data =
	    conn_open(&c->fetch->net, c->conn->peer, text, c->fetch->timeout);
	return *data != NULL ? FETCH_DONE : FETCH_NETWORK;
}

static enum fetch_result
listen_active(struct ftp_control *c, int *listener)
{
	struct net_options numeric = { .numeric = true };
	enum fetch_result result;
	char argument[NET_ADDRESS_MAX + 16];

	*listener = net_listen_with(&numeric, c->conn->local, "0");
	if (*listener == -1)
		return FETCH_NETWORK;
	snprintf(argument, sizeof(argument), "|%d|%s|%d|",
	    strchr(c->conn->local, ':') != NULL ? 2 : 1, c->conn->local,
	    net_port(*listener));
	result = ftp_control_expect(c, '2', "EPRT", argument);
	if (result != FETCH_DONE) {
		close(*listener);
		*listener = -1;
	}
	return result;
}

static enum fetch_result
accept_active(struct ftp_control *c, int listener, struct conn **data)
{
	long long deadline = net_now() + c->fetch->timeout * 1000LL;
	int fd;

	if (net_wait(listener, POLLIN, deadline) == -1 ||
	    (fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) == -1) {
		complain("%s: no data connection: %s", c->server.host,
		    strerror(errno));
		return FETCH_NETWORK;
	}
	if ((*data = conn_new(fd, c->server.host, c->fetch->timeout)) == NULL)
		return FETCH_NETWORK;
	if (strcmp((*data)->peer, c->conn->peer) == 0)
		return FETCH_DONE;
	complain("%s: a data connection from %s", c->server.host,
	    (*data)->peer);
	return FETCH_NETWORK;
}

/* With the same certificate: it is the server itself, and nobody between. */
static enum fetch_result
start_tls(struct ftp_control *c, struct conn *data)
{
	const char *hash;

	snprintf(data->host, sizeof(data->host), "%s", c->server.host);
	if (secure_start(&c->fetch->secure, data, true) == -1)
		return FETCH_NETWORK;
	hash = tls_peer_cert_hash(data->tls);
	if (strcmp(c->hash, hash != NULL ? hash : "") == 0)
		return FETCH_DONE;
	complain("%s: data with another certificate", c->server.host);
	return FETCH_NETWORK;
}

enum fetch_result
ftp_data_open(struct ftp_control *c, const char *command, const char *argument,
    off_t start, struct conn **data)
{
	enum fetch_result result;
	char number[24];
	int listener = -1;

	*data = NULL;
	result = c->fetch->active ? listen_active(c, &listener)
				  : connect_passive(c, data);
	if (result != FETCH_DONE)
		return result;
	if (start > 0) {
		snprintf(number, sizeof(number), "%lld", (long long)start);
		result = ftp_control_expect(c, '3', "REST", number);
		if (result != FETCH_DONE)
			goto err;
	}
	result = ftp_control_expect(c, '1', command, argument);
	if (result == FETCH_DONE && listener != -1)
		result = accept_active(c, listener, data);
	if (result == FETCH_DONE && c->protected)
		result = start_tls(c, *data);

err:
	if (listener != -1)
		close(listener);
	if (result != FETCH_DONE) {
		conn_free(*data);
		*data = NULL;
	}
	return result;
}

enum fetch_result
ftp_data_close(struct ftp_control *c, struct conn *data)
{
	enum fetch_result result = ftp_control_reply(c);

	conn_free(data);
	if (result == FETCH_DONE && c->code / 100 != 2)
		result = ftp_control_refused(c);
	return result;
}
