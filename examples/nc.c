/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Connects standard input and output with a peer, with TLS or without; see
 * nc.1.
 */

#include <sys/types.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <err.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tls.h>

#include "peer.h"
#include "relay.h"
#include "report.h"
#include "starttls.h"
#include "tlsopt.h"

#define TIMEOUT (30 * 1000) /* to connect, to shake hands, to close */

static struct options {
	bool tls;
	bool listen, keep_listening;
	bool unix_socket;
	bool scan;
	int verbose;
	const char *cert, *key, *ca, *staple;
	const char *hash;
	const char *servername;
	const char *chain_file;
	const char *port_file;
	char *starttls;
	int timeout; /* in milliseconds, -1 for none */
	const char *host, *port;
	struct net_options net;
	struct relay_options relay;
} opt = { .timeout = -1 };

/* TLS options come before it is known whether there is TLS. */
static struct tls_config *config;
static bool configured;

static void
usage(void)
{
	fprintf(stderr,
	    "usage: nc [-46cdNnqUvz] [-C certfile] [-e name] [-H hash] "
	    "[-K keyfile]\n"
	    "          [-p source_port] [-R CAfile] [-s sourceaddr] "
	    "[-T keyword]\n"
	    "          [-w timeout] [-Z peercertfile] destination [port]\n"
	    "       nc -l [-46cdkNnqUv] [-C certfile] [-H hash] [-K keyfile]\n"
	    "          [-o staplefile] [-P portfile] [-R CAfile] "
	    "[-T keyword]\n"
	    "          [-w timeout] [-Z peercertfile] [address] port\n");
	exit(1);
}

static int
timeout(void)
{
	return opt.timeout != -1 ? opt.timeout : TIMEOUT;
}

static void
check_config(int rv)
{
	if (rv == -1)
		errx(1, "%s", tls_config_error(config));
}

/* A context that no longer needs the files, or no return. */
static struct tls *
tls_setup(void)
{
	struct tls *tls;

	if (opt.ca != NULL)
		check_config(tls_config_set_ca_file(config, opt.ca));
	if (opt.cert != NULL)
		check_config(tls_config_set_cert_file(config, opt.cert));
	if (opt.key != NULL)
		check_config(tls_config_set_key_file(config, opt.key));
	if (opt.staple != NULL)
		check_config(
		    tls_config_set_ocsp_staple_file(config, opt.staple));
	tls = opt.listen ? tls_server() : tls_client();
	if (tls == NULL)
		errx(1, "out of memory");
	if (tls_configure(tls, config) == -1)
		errx(1, "%s", tls_error(tls));
	return tls;
}

static int
save_chain(struct tls *tls)
{
	const uint8_t *chain;
	size_t len;
	FILE *file;

	if ((chain = tls_peer_cert_chain_pem(tls, &len)) == NULL) {
		warnx("%s: the peer has no certificate", opt.chain_file);
		return -1;
	}
	if ((file = fopen(opt.chain_file, "we")) == NULL) {
		warn("%s", opt.chain_file);
		return -1;
	}
	fwrite(chain, 1, len, file);
	if (ferror(file) | fclose(file)) {
		warn("%s", opt.chain_file);
		return -1;
	}
	return 0;
}

/* After the handshake: who is it? */
static int
check_peer(struct peer *peer)
{
	const char *hash;

	if (opt.verbose > 0)
		report(peer->tls, peer->name, opt.verbose > 1);
	if (opt.hash != NULL) {
		hash = tls_peer_cert_hash(peer->tls);
		if (hash == NULL || strcmp(hash, opt.hash) != 0) {
			warnx("%s: certificate hash is %s, not %s", peer->name,
			    hash != NULL ? hash : "missing", opt.hash);
			return -1;
		}
	}
	return opt.chain_file != NULL ? save_chain(peer->tls) : 0;
}

/* All that is done with a connection, which is closed then; -1 or 0. */
static int
serve(struct peer *peer, struct tls *tls)
{
	const char *name = NULL;
	int rv;

	if (!opt.listen)
		name = opt.servername != NULL ? opt.servername : opt.host;
	peer->unprotected = opt.relay.half_close;
	/* Only clients ask for it, whose context nobody else needs. */
	if (opt.starttls != NULL && starttls(peer->fd, opt.starttls, name,
					timeout(), opt.verbose > 0) == -1) {
		tls_free(tls);
		peer_abandon(peer);
		return -1;
	}
	if (opt.tls && (peer_start_tls(peer, tls, name, timeout()) == -1 ||
			   check_peer(peer) == -1)) {
		peer_abandon(peer);
		return -1;
	}
	rv = opt.scan ? 0 : relay(peer, &opt.relay);
	if (peer_close(peer, timeout(), opt.relay.quit) == -1)
		rv = -1;
	return rv;
}

static void
unix_address(struct sockaddr_un *addr)
{
	memset(addr, 0, sizeof(*addr));
	addr->sun_family = AF_UNIX;
	if (strlen(opt.host) >= sizeof(addr->sun_path))
		errx(1, "%s: path too long", opt.host);
	snprintf(addr->sun_path, sizeof(addr->sun_path), "%s", opt.host);
}

static int
unix_socket(void)
{
	int fd;

	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd == -1)
		err(1, "socket");
	return fd;
}

static void
connect_peer(struct peer *peer)
{
	struct sockaddr_un addr;

	if (opt.unix_socket) {
		snprintf(peer->name, sizeof(peer->name), "%s", opt.host);
		unix_address(&addr);
		peer->fd = unix_socket();
		if (connect(peer->fd, (struct sockaddr *)&addr, sizeof(addr)) ==
		    -1)
			err(1, "%s", opt.host);
	} else {
		snprintf(peer->name, sizeof(peer->name), "%s port %s", opt.host,
		    opt.port);
		peer->fd =
		    net_connect_with(&opt.net, opt.host, opt.port, timeout());
		if (peer->fd == -1)
			exit(1);
	}
	if (opt.verbose > 0)
		warnx("connected to %s", peer->name);
}

static int
listen_somewhere(void)
{
	struct sockaddr_un addr;
	int fd;

	if (opt.unix_socket) {
		unix_address(&addr);
		fd = unix_socket();
		if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) == -1 ||
		    listen(fd, 8) == -1)
			err(1, "%s", opt.host);
		if (opt.verbose > 0)
			warnx("listening on %s", opt.host);
		return fd;
	}
	if ((fd = net_listen_with(&opt.net, opt.host, opt.port)) == -1)
		exit(1);
	if (opt.port_file != NULL &&
	    net_write_number(opt.port_file, net_port(fd)) == -1)
		exit(1);
	if (opt.verbose > 0)
		warnx("listening on port %d", net_port(fd));
	return fd;
}

static void
accept_peer(struct peer *peer, int listener)
{
	union {
		struct sockaddr_storage storage;
		struct sockaddr sa;
	} addr;
	struct pollfd pfd = { .fd = listener, .events = POLLIN };
	socklen_t len;

	do {
		if (poll(&pfd, 1, opt.timeout) == 0)
			errx(1, "nobody has connected: timed out");
		len = sizeof(addr);
		peer->fd = accept4(listener, &addr.sa, &len,
		    SOCK_CLOEXEC | SOCK_NONBLOCK);
	} while (peer->fd == -1 &&
		 (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED));
	if (peer->fd == -1)
		err(1, "accept");
	if (opt.unix_socket)
		snprintf(peer->name, sizeof(peer->name), "client of %s",
		    opt.host);
	else
		net_name(&addr.sa, len, peer->name);
	if (opt.verbose > 0)
		warnx("connection from %s", peer->name);
}

static int
run_client(struct tls *tls)
{
	static struct peer peer;

	connect_peer(&peer);
	return serve(&peer, tls);
}

/* One connection, or with -k one after the other for ever. */
static int
run_server(struct tls *tls)
{
	static struct peer peer;
	int listener, rv;

	listener = listen_somewhere();
	do {
		memset(&peer, 0, sizeof(peer));
		accept_peer(&peer, listener);
		if (!opt.keep_listening) {
			close(listener);
			if (opt.unix_socket)
				unlink(opt.host);
		}
		rv = serve(&peer, tls);
	} while (opt.keep_listening);
	tls_free(tls);
	return rv;
}

static int
parse_timeout(const char *text)
{
	int seconds = net_seconds(text);

	if (seconds == -1)
		errx(1, "invalid time-out '%s'", text);
	return seconds * 1000;
}

/* STARTTLS comes before TLS, and so is none of its options. */
static void
parse_keywords(const char *list)
{
	char cause[512], *copy, *rest, *word;

	if ((rest = copy = strdup(list)) == NULL)
		errx(1, "out of memory");
	while ((word = strsep(&rest, ",")) != NULL) {
		if (strncmp(word, "starttls=", 9) == 0) {
			word += 9;
			if (!starttls_known(word))
				errx(1, "unknown STARTTLS protocol '%s'", word);
			free(opt.starttls);
			if ((opt.starttls = strdup(word)) == NULL)
				errx(1, "out of memory");
		} else if (tlsopt_apply(config, word, cause, sizeof(cause)) ==
			   -1) {
			errx(1, "%s", cause);
		}
	}
	free(copy);
}

/* Options of TLS; false if it is none. */
static bool
parse_tls_option(int c)
{
	switch (c) {
	case 'C':
		opt.cert = optarg;
		break;
	case 'e':
		opt.servername = optarg;
		break;
	case 'H':
		opt.hash = optarg;
		break;
	case 'K':
		opt.key = optarg;
		break;
	case 'o':
		opt.staple = optarg;
		break;
	case 'R':
		opt.ca = optarg;
		break;
	case 'T':
		parse_keywords(optarg);
		break;
	case 'Z':
		opt.chain_file = optarg;
		break;
	default:
		return false;
	}
	configured = true;
	return true;
}

static bool
parse_option(int c)
{
	switch (c) {
	case '4':
		opt.net.family = AF_INET;
		break;
	case '6':
		opt.net.family = AF_INET6;
		break;
	case 'c':
		opt.tls = true;
		break;
	case 'd':
		opt.relay.no_input = true;
		break;
	case 'k':
		opt.keep_listening = true;
		break;
	case 'l':
		opt.listen = true;
		break;
	case 'N':
		opt.relay.half_close = true;
		break;
	case 'n':
		opt.net.numeric = true;
		break;
	case 'P':
		opt.port_file = optarg;
		break;
	case 'p':
		opt.net.source_port = optarg;
		break;
	case 'q':
		opt.relay.quit = true;
		break;
	case 's':
		opt.net.source = optarg;
		break;
	case 'U':
		opt.unix_socket = true;
		break;
	case 'v':
		opt.verbose++;
		break;
	case 'w':
		opt.timeout = parse_timeout(optarg);
		break;
	case 'z':
		opt.scan = true;
		break;
	default:
		return parse_tls_option(c);
	}
	return true;
}

static void
check_options(void)
{
	if (configured && !opt.tls)
		errx(1, "-C, -e, -H, -K, -o, -R, -T and -Z need -c");
	if (opt.listen &&
	    (opt.starttls != NULL || opt.servername != NULL || opt.scan ||
		opt.net.source != NULL || opt.net.source_port != NULL))
		errx(1, "-e, -p, -s, -z and starttls are for clients");
	if (!opt.listen &&
	    (opt.port_file != NULL || opt.staple != NULL || opt.keep_listening))
		errx(1, "-k, -o and -P need -l");
	if (opt.unix_socket &&
	    (opt.port_file != NULL || opt.net.source != NULL ||
		opt.net.source_port != NULL || opt.net.family != 0))
		errx(1, "-4, -6, -P, -p and -s are not for -U");
	/* Its path is no name that a certificate could have. */
	if (opt.unix_socket && opt.tls && !opt.listen && opt.servername == NULL)
		errx(1, "-U and -c need -e");
	opt.relay.more = opt.keep_listening;
	opt.relay.timeout = opt.timeout;
}

static void
parse_options(int argc, char *argv[])
{
	static const char options[] = "46C:cde:H:hK:klNno:P:p:qR:s:T:Uvw:Z:z";
	int c;

	while ((c = getopt(argc, argv, options)) != -1)
		if (!parse_option(c))
			usage();
	argc -= optind;
	argv += optind;
	if (argc == 2 && !opt.unix_socket)
		opt.host = *argv++;
	else if (argc != 1 || (!opt.listen && !opt.unix_socket))
		usage();
	if (opt.unix_socket)
		opt.host = *argv;
	else
		opt.port = *argv;
	check_options();
}

int
main(int argc, char *argv[])
{
	struct tls *tls = NULL;
	int rv;

	if ((config = tls_config_new()) == NULL)
		errx(1, "out of memory");
	parse_options(argc, argv);
	/* A peer that has gone is an error of one write. */
	signal(SIGPIPE, SIG_IGN);
	if (opt.tls)
		tls = tls_setup();
	tls_config_free(config);
	rv = opt.listen ? run_server(tls) : run_client(tls);
	free(opt.starttls);
	return rv == 0 ? 0 : 1;
}
