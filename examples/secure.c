/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* How ftp speaks TLS. */

#include <sys/types.h>
#include <sys/file.h>

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "progress.h"
#include "secure.h"
#include "tlsopt.h"

int
secure_init(struct secure *s)
{
	memset(s, 0, sizeof(*s));
	s->session_fd = -1;
	s->user = tls_config_new();
	s->stranger = tls_config_new();
	if (s->user != NULL && s->stranger != NULL)
		return 0;
	complain("out of memory");
	secure_clear(s);
	return -1;
}

void
secure_clear(struct secure *s)
{
	tls_config_free(s->user);
	tls_config_free(s->stranger);
	s->user = s->stranger = NULL;
	if (s->session_fd != -1)
		close(s->session_fd);
	s->session_fd = -1;
}

int
secure_options(struct secure *s, const char *list)
{
	char cause[512];

	if (tlsopt_apply(s->user, list, cause, sizeof(cause)) == 0 &&
	    tlsopt_apply_public(s->stranger, list, cause, sizeof(cause)) == 0)
		return 0;
	complain("%s", cause);
	return -1;
}

int
secure_pin(struct secure *s, const char *hash)
{
	if (strncmp(hash, "SHA256:", 7) != 0 || strlen(hash) != 7 + 64 ||
	    strspn(hash + 7, "0123456789abcdef") != 64) {
		complain("%s: not SHA256: and 64 digits of 0-9 and a-f", hash);
		return -1;
	}
	if (s->npins == SECURE_PINS) {
		complain("more than %d hashes", SECURE_PINS);
		return -1;
	}
	s->pins[s->npins++] = hash;
	return 0;
}

/*
 * A file for each server, as a session is no other server's business; and
 * another one for strangers, as a session has the client's certificate in it.
 */
static int
open_session(struct secure *s, const struct url *url, bool user)
{
	char path[PATH_MAX];
	char *p;
	int n;

	n = snprintf(path, sizeof(path), "%s/%s,%s%s", s->sessions, url->host,
	    url->port, user ? "" : ",stranger");
	if (n < 0 || (size_t)n >= sizeof(path)) {
		complain("%s: name too long", s->sessions);
		return -1;
	}
	for (p = path + strlen(s->sessions); *p != '\0'; p++)
		*p = (char)tolower((unsigned char)*p);
	s->session_fd =
	    open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (s->session_fd == -1) {
		complain("%s: %s", path, strerror(errno));
		return -1;
	}
	/* One writer is enough; the others do without. */
	if (flock(s->session_fd, LOCK_EX | LOCK_NB) == -1) {
		close(s->session_fd);
		s->session_fd = -1;
	}
	return 0;
}

static int
open_unnamed(struct secure *s)
{
	char path[] = "/tmp/ftp.XXXXXX";

	s->session_fd = mkostemp(path, O_CLOEXEC);
	if (s->session_fd == -1) {
		complain("%s: %s", path, strerror(errno));
		return -1;
	}
	unlink(path);
	return 0;
}

int
secure_session(struct secure *s, const struct url *url, bool user, bool always)
{
	struct tls_config *config = user ? s->user : s->stranger;

	if (s->session_fd != -1)
		close(s->session_fd);
	s->session_fd = -1;
	if (s->sessions != NULL ? open_session(s, url, user) == -1
				: always && open_unnamed(s) == -1)
		return -1;
	if (tls_config_set_session_fd(config, s->session_fd) == -1) {
		complain("session: %s", tls_config_error(config));
		return -1;
	}
	return 0;
}

static int
check_pins(struct secure *s, struct conn *c)
{
	const char *hash = tls_peer_cert_hash(c->tls);
	size_t i;

	for (i = 0; hash != NULL && i < s->npins; i++)
		if (strcmp(s->pins[i], hash) == 0)
			return 0;
	if (s->npins == 0)
		return 0;
	complain("%s: the certificate has another hash: %s", c->host,
	    hash != NULL ? hash : "none");
	return -1;
}

int
secure_start(struct secure *s, struct conn *c, bool user)
{
	struct tls_config *config = user ? s->user : s->stranger;
	struct tls *ctx;

	if ((ctx = tls_client()) == NULL) {
		complain("out of memory");
		return -1;
	}
	if (tls_configure(ctx, config) == -1) {
		complain("%s", tls_error(ctx));
		tls_free(ctx);
		return -1;
	}
	if (conn_start_tls(c, ctx) == -1 || check_pins(s, c) == -1)
		return -1;
	if (s->verbose)
		complain("%s: %s %s, %s%s", c->host, tls_conn_version(c->tls),
		    tls_conn_cipher(c->tls), tls_peer_cert_subject(c->tls),
		    tls_conn_session_resumed(c->tls) ? ", resumed" : "");
	return 0;
}
