/* SPDX-License-Identifier: ISC */

/*
 * A web server for static files, with and without TLS, on libevent. See
 * httpd(8) and httpd.conf(5) beside this file. Without a configuration file it
 * serves one directory as the options say.
 */

#include <sys/types.h>
#include <sys/resource.h>

#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "httpd_config.h"
#include "httpd_log.h"
#include "httpd_parent.h"
#include "httpd_serve.h"
#include "httpd_site.h"
#include "net.h"

static struct options {
	bool debug, check;
	const char *file;
	const char *cert, *key, *client_ca;
	const char *root;
	const char *addr, *port;
	const char *port_file, *pid_file;
	const char *tls_options;
} opt = { .root = ".", .addr = "127.0.0.1", .port = "443" };

static void
usage(void)
{
	fprintf(stderr,
	    "usage: httpd [-dn] [-i pidfile] [-P portfile] -f file\n"
	    "       httpd [-dn] [-C clientca] [-i pidfile] [-l address] "
	    "[-P portfile]\n"
	    "             [-p port] [-r docroot] [-T options] -c cert -k key\n");
	exit(1);
}

/* The configuration that the options are. */
static struct config *
config_of_options(char error[CONFIG_ERROR_MAX])
{
	struct config *config = config_new();
	struct server *server;

	config->has_prefork = true; /* one process */
	server = config_add_server(config, "*");
	config_add_endpoint(config, server, opt.addr, opt.port, true);
	server->policy.root = opt.root;
	server->policy.has_root = true;
	server->has_tls = true;
	server->tls.cert = opt.cert;
	server->tls.key = opt.key;
	server->tls.ca = opt.client_ca;
	server->tls.options = opt.tls_options;
	if (config_finish(config, error) == 0)
		return config;
	config_free(config);
	return NULL;
}

static struct config *
load(void)
{
	char error[CONFIG_ERROR_MAX];
	struct config *config;

	config = opt.file != NULL ? config_load(opt.file, error)
				  : config_of_options(error);
	if (config == NULL)
		logit(LOG_ERR, "%s", error);
	return config;
}

static struct site *
reload(const struct site *old)
{
	struct config *config;

	if ((config = load()) == NULL)
		return NULL;
	if (old != NULL &&
	    (config->prefork == 0) != (old->config->prefork == 0)) {
		logit(LOG_ERR, "prefork from 0 or to 0 takes a restart");
		config_free(config);
		return NULL;
	}
	return site_new(config, old);
}

/* One line for each listener. */
static int
write_ports(const struct site *site)
{
	const struct listener *l;
	char temporary[4096];
	FILE *f;
	int n;

	n = snprintf(temporary, sizeof(temporary), "%s.%ld", opt.port_file,
	    (long)getpid());
	if (n < 0 || (size_t)n >= sizeof(temporary) ||
	    (f = fopen(temporary, "we")) == NULL)
		goto err;
	STAILQ_FOREACH(l, &site->config->listeners, entry)
	fprintf(f, "%d\n", net_port(l->fd));
	n = ferror(f);
	if (fclose(f) != 0 || n != 0 ||
	    rename(temporary, opt.port_file) == -1) {
		unlink(temporary);
		goto err;
	}
	return 0;

err:
	logit(LOG_ERR, "%s: %s", opt.port_file, strerror(errno));
	return -1;
}

/* Who waits for these files may connect and send signals. */
static int
announce(struct site *site)
{
	const struct listener *l;

	if ((opt.pid_file != NULL &&
		net_write_number(opt.pid_file, getpid()) == -1) ||
	    (opt.port_file != NULL && write_ports(site) == -1))
		return -1;
	STAILQ_FOREACH(l, &site->config->listeners, entry)
	logit(LOG_NOTICE, "listening on %s port %d%s", l->address,
	    net_port(l->fd), l->tls ? " with TLS" : "");
	return 0;
}

static void
parse_options(int argc, char *argv[])
{
	bool single = false;
	int c;

	while ((c = getopt(argc, argv, "C:c:df:i:k:l:nP:p:r:T:")) != -1) {
		/* These are for a server without a file. */
		single = single || strchr("CcklprT", c) != NULL;
		switch (c) {
		case 'C':
			opt.client_ca = optarg;
			break;
		case 'c':
			opt.cert = optarg;
			break;
		case 'd':
			opt.debug = true;
			break;
		case 'f':
			opt.file = optarg;
			break;
		case 'i':
			opt.pid_file = optarg;
			break;
		case 'k':
			opt.key = optarg;
			break;
		case 'l':
			opt.addr = optarg;
			break;
		case 'n':
			opt.check = true;
			break;
		case 'P':
			opt.port_file = optarg;
			break;
		case 'p':
			opt.port = optarg;
			break;
		case 'r':
			opt.root = optarg;
			break;
		case 'T':
			opt.tls_options = optarg;
			break;
		default:
			usage();
		}
	}
	if (optind != argc || (opt.file != NULL) == single ||
	    (opt.file == NULL && (opt.cert == NULL || opt.key == NULL)))
		usage();
}

/* A client takes two descriptors, and more wait if there are too few. */
static void
raise_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
}

static int
check(void)
{
	struct config *config;

	if ((config = load()) == NULL || site_check(config) == -1)
		return 1;
	fprintf(stderr, "configuration OK\n");
	return 0;
}

int
main(int argc, char *argv[])
{
	struct site *site;
	int rv;

	parse_options(argc, argv);
	signal(SIGPIPE, SIG_IGN);
	if (opt.check)
		return check();
	raise_limit();
	if ((site = reload(NULL)) == NULL)
		return 1;
	if (!opt.debug) {
		/* The working directory stays: SIGHUP needs the files. */
		if (daemon(1, 0) == -1)
			err(1, "daemon");
		log_to_syslog();
	}
	if (site->config->prefork == 0)
		rv = serve_run(site, -1, announce, reload);
	else
		rv = parent_run(site, announce, reload);
	return rv == -1 ? 1 : 0;
}
