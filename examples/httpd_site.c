/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* Puts a configuration to work: directories, keys, listeners, logs. */

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <netinet/in.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tls.h>

#include "httpd_log.h"
#include "httpd_site.h"
#include "httpd_transport.h"
#include "tlsopt.h"

#define BACKLOG 511

static LIST_HEAD(, site) sites = LIST_HEAD_INITIALIZER(sites);

/* --- what must be there --- */

static int
check_root(const struct config *config, const char *root)
{
	const char *chroot = config->chroot == NULL ? "" : config->chroot;
	char path[PATH_MAX];
	struct stat st;
	int n;

	n = snprintf(path, sizeof(path), "%s%s%s", chroot,
	    *chroot != '\0' && *root != '/' ? "/" : "", root);
	errno = ENAMETOOLONG;
	if (n >= 0 && (size_t)n < sizeof(path) && stat(path, &st) == 0) {
		if (S_ISDIR(st.st_mode))
			return 0;
		errno = ENOTDIR;
	}
	logit(LOG_ERR, "root %s: %s", path, strerror(errno));
	return -1;
}

static int
check_user(const struct config *config)
{
	if (geteuid() != 0 &&
	    (config->user != NULL || config->chroot != NULL)) {
		logit(LOG_ERR, "chroot and user are for root to set");
		return -1;
	}
	if (geteuid() == 0 && config->user == NULL && config->prefork > 0) {
		logit(LOG_ERR, "user must be set, as this is root");
		return -1;
	}
	errno = 0;
	if (config->user != NULL && getpwnam(config->user) == NULL) {
		logit(LOG_ERR, "user %s: %s", config->user,
		    errno == 0 ? "not known" : strerror(errno));
		return -1;
	}
	return 0;
}

static int
check_roots(const struct config *config)
{
	const struct server *server;
	const struct location *location;
	const struct policy *policy;

	STAILQ_FOREACH(server, &config->servers, entry)
	{
		policy = &server->policy;
		if (policy->block == BLOCK_NOT &&
		    check_root(config, policy->root) == -1)
			return -1;
		STAILQ_FOREACH(location, &server->locations, entry)
		{
			policy = &location->policy;
			if (policy->block == BLOCK_NOT &&
			    check_root(config, policy->root) == -1)
				return -1;
		}
	}
	return 0;
}

/* --- keys --- */

/* Certificate and key of a server; the first one's are the default. */
static int
add_keypair(struct tls_config *config, const struct tls_settings *tls,
    bool first)
{
	if (first)
		return tls_config_set_keypair_ocsp_file(config, tls->cert,
		    tls->key, tls->ocsp);
	return tls_config_add_keypair_ocsp_file(config, tls->cert, tls->key,
	    tls->ocsp);
}

/* Those that all servers of a listener have in common. */
static int
set_common(struct tls_config *config, const struct tls_settings *tls)
{
	uint32_t protocols;

	if (tls->protocols != NULL &&
	    (tls_config_parse_protocols(&protocols, tls->protocols) == -1 ||
		tls_config_set_protocols(config, protocols) == -1))
		return -1;
	if (tls->ciphers != NULL &&
	    tls_config_set_ciphers(config, tls->ciphers) == -1)
		return -1;
	if (tls->curves != NULL &&
	    tls_config_set_ecdhecurves(config, tls->curves) == -1)
		return -1;
	if (tls->has_lifetime &&
	    tls_config_set_session_lifetime(config, tls->lifetime) == -1)
		return -1;
	return tls_config_set_alpn(config, "http/1.1,http/1.0");
}

/*
 * Which server the client means is not known before it has been asked for a
 * certificate: unless all servers need one it is asked for, and requests are
 * looked at.
 */
static int
set_client_ca(struct tls_config *config, const struct listener *l)
{
	const struct tls_settings *ca = NULL;
	const struct shared_server *shared;
	bool required = true;

	STAILQ_FOREACH(shared, &l->servers, entry)
	{
		if (shared->server->tls.ca == NULL ||
		    shared->server->tls.ca_optional)
			required = false;
		if (shared->server->tls.ca != NULL)
			ca = &shared->server->tls;
	}
	if (ca == NULL)
		return 0;
	if (tls_config_set_ca_file(config, ca->ca) == -1 ||
	    (ca->crl != NULL && tls_config_set_crl_file(config, ca->crl) == -1))
		return -1;
	if (required)
		tls_config_verify_client(config);
	else
		tls_config_verify_client_optional(config);
	return 0;
}

static int
set_options(struct tls_config *config, const struct listener *l)
{
	const char *options = STAILQ_FIRST(&l->servers)->server->tls.options;
	char cause[512];

	if (options == NULL ||
	    tlsopt_apply(config, options, cause, sizeof(cause)) == 0)
		return 0;
	logit(LOG_ERR, "%s", cause);
	return -1;
}

static struct tls *
context_new(const struct listener *l, bool *sendfile)
{
	const struct shared_server *shared;
	struct tls_config *config;
	struct tls *tls = NULL;
	const char *cause;

	if ((config = tls_config_new()) == NULL ||
	    (tls = tls_server()) == NULL) {
		logit(LOG_ERR, "TLS: out of memory");
		goto err;
	}
	STAILQ_FOREACH(shared, &l->servers, entry)
	{
		if (add_keypair(config, &shared->server->tls,
			shared == STAILQ_FIRST(&l->servers)) == -1)
			goto config_err;
	}
	if (set_common(config, &STAILQ_FIRST(&l->servers)->server->tls) == -1 ||
	    set_client_ca(config, l) == -1)
		goto config_err;
	if (set_options(config, l) == -1)
		goto err;
	*sendfile = transport_set_plaintext(config);
	if (tls_configure(tls, config) == -1) {
		cause = tls_error(tls);
		logit(LOG_ERR, "TLS for %s port %s: %s", l->address, l->port,
		    cause == NULL ? "unknown error" : cause);
		goto err;
	}
	tls_config_free(config);
	return tls;

config_err:
	cause = tls_config_error(config);
	logit(LOG_ERR, "TLS for %s port %s: %s", l->address, l->port,
	    cause == NULL ? "unknown error" : cause);
err:
	tls_config_free(config);
	tls_free(tls);
	return NULL;
}

/* --- sockets --- */

static int
listen_at(const struct addrinfo *ai)
{
	int fd, on = 1, saved;

	fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK,
	    ai->ai_protocol);
	if (fd == -1)
		return -1;
	/* "::" leaves IPv4 to a line of its own. */
	if (ai->ai_family == AF_INET6 &&
	    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof(on)) == -1)
		goto err;
	if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == -1 ||
	    bind(fd, ai->ai_addr, ai->ai_addrlen) == -1 ||
	    listen(fd, BACKLOG) == -1)
		goto err;
	return fd;

err:
	saved = errno;
	close(fd);
	errno = saved;
	return -1;
}

static int
listener_open(const struct listener *l)
{
	const char *address =
	    strcmp(l->address, "*") == 0 ? "0.0.0.0" : l->address;
	struct addrinfo hints = { .ai_flags = AI_PASSIVE }, *list, *ai;
	const char *cause;
	int error, fd = -1;

	hints.ai_socktype = SOCK_STREAM;
	if ((error = getaddrinfo(address, l->port, &hints, &list)) != 0) {
		cause = gai_strerror(error);
	} else {
		for (ai = list; ai != NULL && fd == -1; ai = ai->ai_next)
			fd = listen_at(ai);
		cause = strerror(errno);
		freeaddrinfo(list);
	}
	if (fd == -1)
		logit(LOG_ERR, "listen on %s port %s: %s", l->address, l->port,
		    cause);
	return fd;
}

static int
open_listeners(struct config *config, const struct site *old)
{
	struct listener *l, *other;

	STAILQ_FOREACH(l, &config->listeners, entry)
	{
		if (old != NULL)
			STAILQ_FOREACH(other, &old->config->listeners, entry)
		if (strcmp(other->address, l->address) == 0 &&
		    strcmp(other->port, l->port) == 0)
			l->fd = fcntl(other->fd, F_DUPFD_CLOEXEC, 0);
		if (l->fd == -1 && (l->fd = listener_open(l)) == -1)
			return -1;
	}
	return 0;
}

void
site_close_listeners(struct site *site)
{
	struct listener *l;

	STAILQ_FOREACH(l, &site->config->listeners, entry)
	{
		if (l->fd != -1)
			close(l->fd);
		l->fd = -1;
	}
}

/* --- life --- */

static int
open_contexts(struct site *site)
{
	struct listener *l;
	size_t n = 0;

	STAILQ_FOREACH(l, &site->config->listeners, entry)
	n++;
	if ((site->contexts = calloc(n, sizeof(*site->contexts))) == NULL) {
		logit(LOG_ERR, "out of memory");
		return -1;
	}
	n = 0;
	STAILQ_FOREACH(l, &site->config->listeners, entry)
	{
		if (l->tls && (site->contexts[n] =
				      context_new(l, &site->sendfile)) == NULL)
			return -1;
		n++;
	}
	return 0;
}

/* Without what would be seen outside; it takes the configuration. */
static struct site *
site_prepare(struct config *config)
{
	struct site *site;

	if ((site = calloc(1, sizeof(*site))) == NULL) {
		logit(LOG_ERR, "out of memory");
		config_free(config);
		return NULL;
	}
	site->config = config;
	site->users = 1;
	LIST_INSERT_HEAD(&sites, site, entry);
	if (check_user(config) == -1 || check_roots(config) == -1 ||
	    open_contexts(site) == -1) {
		site_unref(site);
		return NULL;
	}
	return site;
}

struct site *
site_new(struct config *config, const struct site *old)
{
	struct site *site;

	if ((site = site_prepare(config)) == NULL)
		return NULL;
	if (log_open(config) == -1 || open_listeners(config, old) == -1) {
		site_unref(site);
		return NULL;
	}
	return site;
}

int
site_check(struct config *config)
{
	struct site *site;

	if ((site = site_prepare(config)) == NULL)
		return -1;
	site_unref(site);
	return 0;
}

void
site_ref(struct site *site)
{
	site->users++;
}

static void
site_free(struct site *site)
{
	struct listener *l;
	size_t i = 0;

	LIST_REMOVE(site, entry);
	if (site->contexts != NULL)
		STAILQ_FOREACH(l, &site->config->listeners, entry)
	tls_free(site->contexts[i++]);
	free(site->contexts);
	site_close_listeners(site);
	log_close(site->config);
	config_free(site->config);
	free(site);
}

void
site_unref(struct site *site)
{
	if (site != NULL && --site->users == 0)
		site_free(site);
}

void
site_keep_only(const struct site *site)
{
	struct site *other, *next;

	for (other = LIST_FIRST(&sites); other != NULL; other = next) {
		next = LIST_NEXT(other, entry);
		if (other != site)
			site_free(other);
	}
}

void
site_reopen_logs(void)
{
	struct site *site;

	LIST_FOREACH(site, &sites, entry)
	log_reopen(site->config);
}
