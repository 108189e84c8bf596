/* SPDX-License-Identifier: ISC */

/*
 * Connects standard input and output with a TCP or TLS peer.
 *
 *	cc -o nc nc.c net.c starttls.c tlsopt.c -ltls
 */

#include <sys/types.h>
#include <sys/socket.h>

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
#include <time.h>
#include <unistd.h>

#include <tls.h>

#include "net.h"
#include "starttls.h"
#include "tlsopt.h"

#define TIMEOUT	    (30 * 1000) /* to connect, to shake hands, to close */
#define LINGER	    (5 * 1000)
#define BUFFER_SIZE (64 * 1024)

static struct options {
	bool tls;
	bool listen;
	bool half_close;
	bool quit;
	bool verbose;
	const char *cert, *key, *ca;
	const char *hash;
	const char *servername;
	const char *tls_options;
	const char *starttls;
	const char *port_file;
	int timeout; /* in milliseconds, -1 for none */
	const char *host, *port;
} opt = { .timeout = -1 };

struct buffer {
	size_t off, len;
	char data[BUFFER_SIZE];
};

struct peer {
	int fd;
	struct tls *tls; /* NULL in plaintext */
	char name[NET_NAME_MAX];
	/*
	 * Whether reading or writing may do something right now, and if not,
	 * what to poll for. libtls may hold data that poll(2) cannot see, so
	 * only TLS_WANT_* says that there is nothing more.
	 */
	bool can_read, can_write;
	short read_events, write_events;
};

static void
usage(void)
{
	fprintf(stderr,
	    "usage: nc [-cNqv] [-C cert] [-e name] [-H hash] [-K key] "
	    "[-P portfile]\n"
	    "          [-R cafile] [-s smtp|imap|pop3|ftp] [-T options] "
	    "[-w seconds]\n"
	    "          host port\n"
	    "       nc -l [-cNqv] ... [host] port\n");
	exit(1);
}

static int
timeout(void)
{
	return opt.timeout != -1 ? opt.timeout : TIMEOUT;
}

static const char *
tls_cause(struct tls *tls)
{
	const char *cause = tls_error(tls);

	return cause != NULL ? cause : "unknown error";
}

/* A context that no longer needs the files, or no return. */
static struct tls *
tls_setup(void)
{
	struct tls_config *config;
	struct tls *tls;
	char cause[512];

	if ((config = tls_config_new()) == NULL)
		errx(1, "tls_config_new");
	if (opt.ca != NULL && tls_config_set_ca_file(config, opt.ca) == -1)
		errx(1, "%s", tls_config_error(config));
	if (opt.cert != NULL &&
	    tls_config_set_cert_file(config, opt.cert) == -1)
		errx(1, "%s", tls_config_error(config));
	if (opt.key != NULL && tls_config_set_key_file(config, opt.key) == -1)
		errx(1, "%s", tls_config_error(config));
	if (opt.tls_options != NULL &&
	    tlsopt_apply(config, opt.tls_options, cause, sizeof(cause)) == -1)
		errx(1, "%s", cause);
	tls = opt.listen ? tls_server() : tls_client();
	if (tls == NULL)
		errx(1, "out of memory");
	if (tls_configure(tls, config) == -1)
		errx(1, "%s", tls_cause(tls));
	tls_config_free(config);
	return tls;
}

static void
peer_wait(struct peer *peer, int want, long long deadline)
{
	struct pollfd pfd;
	long long left;
	int n;

	pfd.fd = peer->fd;
	pfd.events = want == TLS_WANT_POLLIN ? POLLIN : POLLOUT;
	do {
		if ((left = deadline - net_now()) < 0)
			left = 0;
		n = poll(&pfd, 1, left > INT_MAX ? INT_MAX : (int)left);
	} while (n == -1 && errno == EINTR);
	if (n == -1)
		err(1, "poll");
	if (n == 0)
		errx(1, "%s: timed out", peer->name);
}

static void
print_time(const char *what, time_t t)
{
	struct tm tm;
	char text[64];

	if (t != (time_t)-1 && gmtime_r(&t, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		warnx("%s: %s", what, text);
}

static void
print_facts(struct peer *peer)
{
	const char *name;

	warnx("TLS handshake with %s: %s, %s", peer->name,
	    tls_conn_version(peer->tls), tls_conn_cipher(peer->tls));
	if ((name = tls_conn_servername(peer->tls)) != NULL)
		warnx("server name: %s", name);
	if (!tls_peer_cert_provided(peer->tls))
		return;
	warnx("subject: %s", tls_peer_cert_subject(peer->tls));
	warnx("issuer: %s", tls_peer_cert_issuer(peer->tls));
	print_time("valid from", tls_peer_cert_notbefore(peer->tls));
	print_time("valid until", tls_peer_cert_notafter(peer->tls));
	warnx("hash: %s", tls_peer_cert_hash(peer->tls));
}

static void
peer_start_tls(struct peer *peer, struct tls *tls)
{
	long long deadline = net_now() + timeout();
	const char *hash, *name;
	int n;

	if (opt.listen) {
		if (tls_accept_socket(tls, &peer->tls, peer->fd) == -1)
			errx(1, "%s: %s", peer->name, tls_cause(tls));
	} else {
		name = opt.servername != NULL ? opt.servername : opt.host;
		if (tls_connect_socket(tls, peer->fd, name) == -1)
			errx(1, "%s: %s", peer->name, tls_cause(tls));
		peer->tls = tls;
	}
	while ((n = tls_handshake(peer->tls)) != 0) {
		if (n == -1)
			errx(1, "%s: %s", peer->name, tls_cause(peer->tls));
		peer_wait(peer, n, deadline);
	}
	/* The handshake needs the server's context, the connection does not. */
	if (tls != peer->tls)
		tls_free(tls);
	if (opt.verbose)
		print_facts(peer);
	if (opt.hash != NULL) {
		hash = tls_peer_cert_hash(peer->tls);
		if (hash == NULL || strcmp(hash, opt.hash) != 0)
			errx(1, "%s: certificate hash is %s, not %s",
			    peer->name, hash != NULL ? hash : "missing",
			    opt.hash);
	}
}

/* Plaintext speaks libtls's language, so that the loop below sees but one. */
static ssize_t
plain_result(ssize_t n, ssize_t want)
{
	if (n == -1 &&
	    (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR))
		return want;
	return n;
}

static const char *
peer_cause(struct peer *peer)
{
	return peer->tls != NULL ? tls_cause(peer->tls) : strerror(errno);
}

static short
want_to_events(ssize_t want)
{
	return want == TLS_WANT_POLLIN ? POLLIN : POLLOUT;
}

/* Network to buffer: 1 while more may come, 0 at the end, -1 for an error. */
static int
peer_read(struct peer *peer, struct buffer *b)
{
	char *end;
	size_t room;
	ssize_t n;

	if (b->len == 0)
		b->off = 0;
	while (
	    peer->can_read && (room = sizeof(b->data) - b->off - b->len) > 0) {
		end = b->data + b->off + b->len;
		if (peer->tls != NULL)
			n = tls_read(peer->tls, end, room);
		else
			n = plain_result(read(peer->fd, end, room),
			    TLS_WANT_POLLIN);
		if (n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT) {
			peer->can_read = false;
			peer->read_events = want_to_events(n);
		} else if (n == 0) {
			return 0;
		} else if (n < 0) {
			warnx("%s: %s", peer->name, peer_cause(peer));
			return -1;
		} else {
			b->len += (size_t)n;
		}
	}
	return 1;
}

/* Buffer to network: 1, or -1 if the peer takes nothing more. */
static int
peer_write(struct peer *peer, struct buffer *b)
{
	const char *data;
	ssize_t n;

	while (peer->can_write && b->len > 0) {
		data = b->data + b->off;
		if (peer->tls != NULL)
			n = tls_write(peer->tls, data, b->len);
		else
			n = plain_result(write(peer->fd, data, b->len),
			    TLS_WANT_POLLOUT);
		if (n == TLS_WANT_POLLIN || n == TLS_WANT_POLLOUT) {
			peer->can_write = false;
			peer->write_events = want_to_events(n);
		} else if (n < 0) {
			warnx("%s: %s", peer->name, peer_cause(peer));
			return -1;
		} else {
			b->off += (size_t)n;
			b->len -= (size_t)n;
		}
	}
	return 1;
}

/* Standard input to buffer; false at its end. */
static bool
input_read(struct buffer *b)
{
	ssize_t n;

	b->off = 0;
	n = read(STDIN_FILENO, b->data, sizeof(b->data));
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return true;
	if (n == -1)
		err(1, "standard input");
	b->len = (size_t)n;
	return n > 0;
}

/*
 * A pipe that poll(2) calls writable takes PIPE_BUF bytes without blocking,
 * and blocking here would stop the other direction as well.
 */
static void
output_write(struct buffer *b)
{
	ssize_t n;

	n = write(STDOUT_FILENO, b->data + b->off,
	    b->len < PIPE_BUF ? b->len : PIPE_BUF);
	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n == -1)
		err(1, "standard output");
	b->off += (size_t)n;
	b->len -= (size_t)n;
}

/*
 * Copies both ways until there is nothing more to do. Without -N that is when
 * the peer has ended and everything is passed on. With it the directions end
 * one by one, and each end is passed on: *shut says that the socket was shut
 * down for writing, because libtls has no half-close of its own. With -q the
 * end of the input is the end of it all.
 */
static int
copy(struct peer *peer, bool *shut)
{
	static struct buffer up, down;
	enum { INPUT, OUTPUT, NETWORK, COUNT };
	struct pollfd set[COUNT];
	bool input = true, output = true;
	bool peer_takes = true, peer_sends = true;
	short events;
	int i, n, status = 0;

	peer->can_read = peer->can_write = true;
	for (;;) {
		if (peer_sends && (n = peer_read(peer, &down)) != 1) {
			peer_sends = false;
			if (n == -1) {
				peer_takes = false;
				status = 1;
			}
		}
		if (peer_takes && peer_write(peer, &up) == -1) {
			peer_takes = false;
			status = 1;
		}
		if (!peer_takes)
			up.len = 0;
		if (!peer_takes || (!peer_sends && !opt.half_close))
			input = false;
		if (!input && up.len == 0) {
			if (opt.quit)
				peer_sends = false;
			if (!peer_sends && down.len == 0)
				return status;
			if (opt.half_close && peer_sends && peer_takes) {
				shutdown(peer->fd, SHUT_WR);
				peer_takes = false;
				*shut = true;
			}
		}
		if (opt.half_close && !peer_sends && down.len == 0 && output) {
			close(STDOUT_FILENO);
			output = false;
		}

		memset(set, 0, sizeof(set));
		set[INPUT].fd = STDIN_FILENO;
		if (input && up.len == 0)
			set[INPUT].events = POLLIN;
		set[OUTPUT].fd = STDOUT_FILENO;
		if (down.len > 0)
			set[OUTPUT].events = POLLOUT;
		set[NETWORK].fd = peer->fd;
		if (peer_sends && !peer->can_read)
			set[NETWORK].events |= peer->read_events;
		if (up.len > 0 && !peer->can_write)
			set[NETWORK].events |= peer->write_events;
		/* Without events a POLLHUP would wake us for nothing. */
		for (i = 0; i < COUNT; i++)
			if (set[i].events == 0)
				set[i].fd = -1;
		if ((n = poll(set, COUNT, opt.timeout)) == -1) {
			if (errno == EINTR)
				continue;
			err(1, "poll");
		}
		if (n == 0)
			errx(1, "%s: timed out", peer->name);

		if (set[INPUT].revents != 0)
			input = input_read(&up);
		if (set[OUTPUT].revents != 0)
			output_write(&down);
		events = set[NETWORK].revents;
		if (events & (POLLERR | POLLHUP | POLLNVAL))
			events |= POLLIN | POLLOUT;
		if (events & peer->read_events)
			peer->can_read = true;
		if (events & peer->write_events)
			peer->can_write = true;
	}
}

/*
 * Data that was not read makes close(2) reset the connection, and what was
 * sent last may then be lost on its way. After tls_close the descriptor is the
 * socket again.
 */
static void
linger(int fd)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	long long left, deadline = net_now() + LINGER;
	char waste[4096];

	shutdown(fd, SHUT_WR);
	while ((left = deadline - net_now()) > 0 &&
	       poll(&pfd, 1, (int)left) == 1 &&
	       read(fd, waste, sizeof(waste)) > 0)
		continue;
}

static int
peer_close(struct peer *peer, bool shut)
{
	long long deadline = net_now() + timeout();
	int n = 0;

	if (peer->tls != NULL) {
		/* After shutdown(2) there is no way left for a close notify. */
		if (!shut)
			while ((n = tls_close(peer->tls)) == TLS_WANT_POLLIN ||
			       n == TLS_WANT_POLLOUT)
				peer_wait(peer, n, deadline);
		/* With -N one has agreed to ends that nothing protects. */
		if (opt.half_close)
			n = 0;
		if (n == -1)
			warnx("%s: %s", peer->name, tls_cause(peer->tls));
		tls_free(peer->tls);
	}
	if (opt.quit)
		linger(peer->fd);
	close(peer->fd);
	return n == 0 ? 0 : 1;
}

static void
peer_accept(struct peer *peer)
{
	union {
		struct sockaddr_storage storage;
		struct sockaddr sa;
	} addr;
	struct pollfd pfd = { .events = POLLIN };
	socklen_t len;

	if ((pfd.fd = net_listen(opt.host, opt.port)) == -1)
		exit(1);
	if (opt.port_file != NULL &&
	    net_write_number(opt.port_file, net_port(pfd.fd)) == -1)
		exit(1);
	if (opt.verbose)
		warnx("listening on port %d", net_port(pfd.fd));
	do {
		if (poll(&pfd, 1, opt.timeout) == 0)
			errx(1, "nobody has connected: timed out");
		len = sizeof(addr);
		peer->fd = accept(pfd.fd, &addr.sa, &len);
	} while (peer->fd == -1 &&
		 (errno == EINTR || errno == EAGAIN || errno == ECONNABORTED));
	if (peer->fd == -1)
		err(1, "accept");
	close(pfd.fd);
	if (net_set_nonblock(peer->fd, true) == -1)
		err(1, "fcntl");
	net_name(&addr.sa, len, peer->name);
	if (opt.verbose)
		warnx("connection from %s", peer->name);
}

static void
peer_connect(struct peer *peer)
{
	snprintf(peer->name, sizeof(peer->name), "%s port %s", opt.host,
	    opt.port);
	if ((peer->fd = net_connect(opt.host, opt.port, timeout())) == -1)
		exit(1);
	if (opt.verbose)
		warnx("connected to %s", peer->name);
}

static int
parse_timeout(const char *text)
{
	char *end;
	long seconds;

	errno = 0;
	seconds = strtol(text, &end, 10);
	if (end == text || *end != '\0' || errno != 0 || seconds < 1 ||
	    seconds > INT_MAX / 1000)
		errx(1, "invalid time-out '%s'", text);
	return (int)seconds * 1000;
}

static void
parse_options(int argc, char *argv[])
{
	int c;

	while ((c = getopt(argc, argv, "C:ce:H:K:lNP:qR:s:T:vw:")) != -1) {
		switch (c) {
		case 'C':
			opt.cert = optarg;
			break;
		case 'c':
			opt.tls = true;
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
		case 'l':
			opt.listen = true;
			break;
		case 'N':
			opt.half_close = true;
			break;
		case 'P':
			opt.port_file = optarg;
			break;
		case 'q':
			opt.quit = true;
			break;
		case 'R':
			opt.ca = optarg;
			break;
		case 's':
			opt.starttls = optarg;
			opt.tls = true;
			break;
		case 'T':
			opt.tls_options = optarg;
			break;
		case 'v':
			opt.verbose = true;
			break;
		case 'w':
			opt.timeout = parse_timeout(optarg);
			break;
		default:
			usage();
		}
	}
	argc -= optind;
	argv += optind;
	if (argc == 2)
		opt.host = *argv++;
	else if (argc != 1 || !opt.listen)
		usage();
	opt.port = *argv;

	if (!opt.tls && (opt.cert != NULL || opt.key != NULL ||
			    opt.ca != NULL || opt.hash != NULL ||
			    opt.servername != NULL || opt.tls_options != NULL))
		errx(1, "-C, -e, -H, -K, -R and -T need -c");
	if (opt.starttls != NULL && !starttls_known(opt.starttls))
		errx(1, "unknown STARTTLS protocol '%s'", opt.starttls);
	if (opt.listen && (opt.starttls != NULL || opt.servername != NULL))
		errx(1, "-e and -s are for clients");
	if (!opt.listen && opt.port_file != NULL)
		errx(1, "-P is for servers");
}

int
main(int argc, char *argv[])
{
	static struct peer peer;
	struct tls *tls = NULL;
	bool shut = false;
	int status;

	parse_options(argc, argv);
	/* A peer that has gone is an error of one write. */
	signal(SIGPIPE, SIG_IGN);

	if (opt.tls)
		tls = tls_setup();
	if (opt.listen)
		peer_accept(&peer);
	else
		peer_connect(&peer);
	if (opt.starttls != NULL &&
	    starttls(peer.fd, opt.starttls, timeout(), opt.verbose) == -1)
		exit(1);
	if (opt.tls)
		peer_start_tls(&peer, tls);
	status = copy(&peer, &shut);
	if (peer_close(&peer, shut) != 0)
		status = 1;
	return status;
}
