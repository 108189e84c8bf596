/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#ifndef FTP_CONTROL_H
#define FTP_CONTROL_H

#include <sys/types.h>

#include <stdbool.h>

#include "conn.h"
#include "fetch.h"
#include "url.h"

/* Where a client of FTP gives its commands. */
struct ftp_control {
	struct fetch *fetch;
	struct conn *conn; /* NULL if there is none */
	struct url server;
	char *home;    /* the directory after the login */
	char hash[80]; /* of the server's certificate */
	int code;      /* of the last reply */
	char text[CONN_LINE];
	bool protected; /* data connections have TLS */
	bool has_mlsd;
	bool no_epsv;
};

/*
 * Those that return fetch_result have told what went wrong.
 *
 * ftp_control_open connects and logs in, unless c is logged in there already.
 */
enum fetch_result ftp_control_open(struct ftp_control *c, struct fetch *f,
    const struct url *url);
void ftp_control_close(struct ftp_control *c);

/*
 * Sends a command, with an argument unless that is NULL, and reads the reply
 * to c->code and c->text.
 */
enum fetch_result ftp_control_command(struct ftp_control *c,
    const char *command, const char *argument);
enum fetch_result ftp_control_reply(struct ftp_control *c);
/* The same for a reply that has to begin with that digit. */
enum fetch_result ftp_control_expect(struct ftp_control *c, char digit,
    const char *command, const char *argument);
/* FETCH_REFUSED, with the last reply. */
enum fetch_result ftp_control_refused(struct ftp_control *c);

/* Whether it is the code, or the first line, of a reply. */
bool ftp_control_code(const char *line, int *code);

#endif
