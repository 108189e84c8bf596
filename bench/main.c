/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * One end of what is measured; scripts/bench runs one on each side. What it
 * has to say goes to standard output, a line each:
 *
 *	configured SEC	a server has its configurations, after so many seconds
 *	port N		a server listens
 *	ready FACTS	connections stand, or one was tried; now "go" is awaited
 *	held N ERRORS	of the activity hold
 *	result JSON	at the end
 *
 * Standard input has "go" for those that are ready, which servers with many
 * configurations are before those, "burst" for hold, and ends when the program
 * shall end. Nothing here runs without a limit.
 */

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

#define LIMIT_SECONDS 300
#define PLACES	      (INADDR_LOOPBACK - 1 + (1 << 16))
#define MAX_PLACES    (1 << 16)

static const char *const activities[] = { "send", "recv", "echo", "fork",
	"ping", "shake", "hold", "once" };

struct options opt = { .conns = 1, .seconds = 1, .size = 16384 };
struct stats stats;
char buffer[BUFFER];
uint64_t started, deadline;
int listener = -1;

_Noreturn void
fail(const char *fmt, ...)
{
	va_list ap;

	fprintf(stderr, "bench: ");
	va_start(ap, fmt);
	vfprintf(stderr, fmt, ap);
	va_end(ap);
	fprintf(stderr, "\n");
	exit(1);
}

void
complain(struct io *io)
{
	fprintf(stderr, "bench: %s\n", io_error(io));
}

uint64_t
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * NSEC + (uint64_t)ts.tv_nsec;
}

void
say(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	if (fflush(stdout) == EOF)
		fail("nobody listens");
}

int
command(char *line, size_t size)
{
	size_t n = 0;

	for (;;) {
		switch (read(STDIN_FILENO, line + n, 1)) {
		case 1:
			if (line[n] == '\n') {
				line[n] = '\0';
				return 1;
			}
			if (++n < size)
				break;
			/* FALLTHROUGH */
		case 0:
			return 0;
		default:
			if (errno != EINTR)
				fail("stdin: %s", strerror(errno));
		}
	}
}

void
begin(void)
{
	stats.begin = now();
	deadline = stats.begin + (uint64_t)(opt.seconds * (double)NSEC);
}

void
await_go(struct io *io)
{
	char line[16], facts[128] = "";

	if (io != NULL)
		io_facts(io, facts, sizeof(facts));
	say("ready %s\n", facts);
	if (!command(line, sizeof(line)) || strcmp(line, "go") != 0)
		exit(0);
	begin();
}

/* Samples. */

void
sample(uint64_t nsec)
{
	if (stats.nsamples == stats.room) {
		stats.room = stats.room == 0 ? 4096 : 2 * stats.room;
		stats.samples =
		    realloc(stats.samples, stats.room * sizeof(*stats.samples));
		if (stats.samples == NULL)
			fail("out of memory");
	}
	stats.samples[stats.nsamples++] = (double)nsec / (double)NSEC;
}

static int
compare(const void *a, const void *b)
{
	const double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* The sample that a share of all is not greater than. */
static double
quantile(double share)
{
	if (stats.nsamples == 0)
		return 0;
	return stats.samples[(size_t)(share * (double)(stats.nsamples - 1))];
}

static double
seconds(struct timeval tv)
{
	return (double)tv.tv_sec + (double)tv.tv_usec / 1e6;
}

static void
report(void)
{
	struct rusage children;

	if (stats.end == 0)
		stats.end = now();
	if (stats.nsamples > 0)
		qsort(stats.samples, stats.nsamples, sizeof(*stats.samples),
		    compare);
	getrusage(RUSAGE_CHILDREN, &children);
	say("result {\"bytes\": %llu, \"count\": %llu, \"resumed\": %llu, "
	    "\"errors\": %llu, "
	    "\"seconds\": %.9f, \"p50\": %.9f, \"p99\": %.9f, "
	    "\"pause\": %.9f, \"children\": %.6f}\n",
	    (unsigned long long)stats.bytes, (unsigned long long)stats.count,
	    (unsigned long long)stats.resumed, (unsigned long long)stats.errors,
	    (double)(stats.end - stats.begin) / (double)NSEC, quantile(0.5),
	    quantile(0.99), (double)stats.pause / (double)NSEC,
	    seconds(children.ru_utime) + seconds(children.ru_stime));
}

/* Sockets. */

void
no_delay(int fd)
{
	const int on = 1;

	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static void
listen_on_loopback(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (listener == -1 ||
	    bind(listener, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(listener, SOMAXCONN) == -1 ||
	    getsockname(listener, (struct sockaddr *)&sin, &len) == -1)
		fail("cannot listen: %s", strerror(errno));
	say("port %d\n", ntohs(sin.sin_port));
}

/* Configuration N is for those who come from 127.1.0.0 + N. */

static void
take_place(int fd)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	const int on = 1;

	sin.sin_addr.s_addr =
	    htonl(PLACES + (uint32_t)(random() % opt.io.configs));
	/* A port may then be in use with another server. */
	(void)setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on,
	    sizeof(on));
	if (bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		fail("bind: %s", strerror(errno));
}

int
place(int fd, int other_end)
{
	struct sockaddr_in sin = { 0 };
	socklen_t len = sizeof(sin);
	uint32_t n;

	if ((other_end ? getpeername : getsockname)(fd, (struct sockaddr *)&sin,
		&len) == -1)
		fail("no address: %s", strerror(errno));
	n = ntohl(sin.sin_addr.s_addr) - PLACES;
	if (n >= (uint32_t)opt.io.configs)
		fail("a connection from nowhere");
	return (int)n;
}

int
connect_to_server(void)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons((uint16_t)opt.port);
	if ((fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1)
		return -1;
	no_delay(fd);
	if (opt.io.configs > 0)
		take_place(fd);
	if (connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == 0)
		return fd;
	close(fd);
	return -1;
}

int
wanted(ssize_t rv)
{
	return rv == IO_WANT_IN || rv == IO_WANT_OUT;
}

static void
configure(void)
{
	uint64_t start;

	await_go(NULL);
	start = now();
	io_configure(&opt.io);
	say("configured %.9f\n", (double)(now() - start) / (double)NSEC);
}

static void
run_client(void)
{
	switch (opt.activity) {
	case PING:
		client_ping();
		break;
	case HOLD:
		client_hold();
		break;
	case ONCE:
		client_once();
		break;
	case SHAKE:
		if (opt.blocking)
			client_shake();
		else
			run_loop();
		break;
	default:
		if (opt.blocking)
			client_blocking();
		else
			run_loop();
	}
}

static _Noreturn void
usage(void)
{
	fprintf(stderr,
	    "usage: bench-PROGRAM [-2br] [-C certs] [-c connections] "
	    "[-d seconds] [-g group]\n"
	    "\t[-k key] [-N directory] [-n names] [-o configurations] "
	    "[-s size]\n"
	    "\tserver send | recv | echo | fork\n"
	    "       bench-PROGRAM [-2br] [-C certs] [-c connections] "
	    "[-d seconds] [-g group]\n"
	    "\t[-n names] [-o configurations] [-s size] -p port\n"
	    "\tclient send | recv | ping | shake | hold | once\n");
	exit(2);
}

static void
parse(int argc, char **argv)
{
	size_t i;
	int ch;

	opt.io.key = "ecdsa";
	while ((ch = getopt(argc, argv, "2bC:c:d:g:k:N:n:o:p:rs:")) != -1) {
		switch (ch) {
		case '2':
			opt.io.tls12 = 1;
			break;
		case 'b':
			opt.blocking = 1;
			break;
		case 'C':
			opt.io.certs = optarg;
			break;
		case 'c':
			opt.conns = atoi(optarg);
			break;
		case 'd':
			opt.seconds = atof(optarg);
			break;
		case 'g':
			opt.io.group = optarg;
			break;
		case 'k':
			opt.io.key = optarg;
			break;
		case 'N':
			opt.io.named = optarg;
			break;
		case 'n':
			opt.io.names = atoi(optarg);
			break;
		case 'o':
			opt.io.configs = atoi(optarg);
			break;
		case 'p':
			opt.port = atoi(optarg);
			break;
		case 'r':
			opt.io.resume = 1;
			break;
		case 's':
			opt.size = (size_t)atol(optarg);
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 2 || opt.conns < 1 || opt.size < 1 ||
	    opt.size > BUFFER || opt.seconds > LIMIT_SECONDS ||
	    opt.io.configs < 0 || opt.io.configs > MAX_PLACES ||
	    (opt.io.configs > 0 && opt.io.names < 1))
		usage();
	opt.io.server = strcmp(argv[optind], "server") == 0;
	if (opt.io.server && opt.io.configs > 0 && opt.io.named == NULL)
		usage();
	for (i = 0; strcmp(argv[optind + 1], activities[i]) != 0; i++) {
		if (i == ONCE)
			usage();
	}
	opt.activity = (enum activity)i;
	opt.io.bulk = opt.activity == SEND || opt.activity == RECV;
}

int
main(int argc, char **argv)
{
	struct rlimit limit;
	char line[16];

	/* Whatever happens, nothing is left behind. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	alarm(LIMIT_SECONDS);
	signal(SIGPIPE, SIG_IGN);
	parse(argc, argv);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &limit);
	}
	memset(buffer, 'x', sizeof(buffer));
	started = now();
	io_init(&opt.io);
	if (!opt.io.server) {
		run_client();
	} else {
		if (opt.io.configs > 0)
			configure();
		listen_on_loopback();
		if (opt.blocking)
			server_blocking();
		else
			run_loop();
	}
	report();
	/* As a process it is still counted. */
	while (command(line, sizeof(line)))
		;
	return 0;
}
