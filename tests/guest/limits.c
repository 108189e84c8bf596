/* SPDX-License-Identifier: ISC */
/*
 * Hosts with little: what a program allows itself is not goproxy's limit, and
 * where a limit is hard, an early start is before it.
 */

#include <sys/resource.h>
#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "guest.h"

static void
set_limit(unsigned int name, rlim_t value, int hard)
{
	struct rlimit limit;

	CHECK_INT(getrlimit(name, &limit), 0);
	limit.rlim_cur = value;
	if (hard)
		limit.rlim_max = value;
	CHECK_INT(setrlimit(name, &limit), 0);
}

/* Whether there is room for another n descriptors. */
static int
room_for(int n)
{
	int fd, rv;

	if (n == 0)
		return 1;
	if ((fd = fcntl(0, F_DUPFD_CLOEXEC, 3)) == -1) {
		CHECK_INT(errno, EMFILE);
		return 0;
	}
	rv = room_for(n - 1);
	close(fd);
	return rv;
}

static int
either_has(const char *a, const char *b, const char *text)
{
	return (a != NULL && strcasestr(a, text) != NULL) ||
	       (b != NULL && strcasestr(b, text) != NULL);
}

/*
 * Opens another pair of connections. -1 if there is no room, which one of them
 * says; nothing is left then.
 */
static int
open_pair(struct h_pair *p, struct tls *base, struct tls_config *config,
    int listener, const char *port)
{
	const char *error, *other = NULL;

	memset(p, 0, sizeof(*p));
	if (!room_for(2))
		return -1;
	p->client = h_client(config);
	p->cfd = h_connect(port);
	p->sfd = h_accept(listener);
	h_nonblock(p->cfd, 1);
	h_nonblock(p->sfd, 1);
	if (tls_connect_socket(p->client, p->cfd, "localhost") == -1)
		error = tls_error(p->client);
	else if (tls_accept_socket(base, &p->server, p->sfd) == -1)
		error = tls_error(base);
	else {
		h_pair_handshake(p);
		if (p->crv == 0 && p->srv == 0)
			return 0;
		error = tls_error(p->client);
		other = tls_error(p->server);
	}
	if (!either_has(error, other, "too many open files"))
		FAIL("errors '%s' and '%s'", error,
		    other != NULL ? other : "none");
	h_pair_free(p);
	return -1;
}

/*
 * Opens pairs until there is no room. All that there are work, and can be
 * closed, and their places can be used again. Returns how many there were.
 */
#define PAIRS 64

static int
fill_up(void)
{
	static struct h_pair pairs[PAIRS];
	struct tls_config *cconfig, *sconfig;
	struct tls *base;
	int listener, n, i, taken, others[64];
	int64_t deadline;
	char port[8];

	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	base = h_server(sconfig);
	listener = h_listen(port, sizeof(port));
	for (n = 0; n < PAIRS; n++) {
		if (open_pair(&pairs[n], base, cconfig, listener, port) == -1)
			break;
	}
	CHECK(n >= 2 && n < PAIRS);
	for (i = 0; i < n; i++)
		h_pair_echo(&pairs[i]);
	/* No more than they took to be opened: the library's own two. */
	for (taken = 0; room_for(3); taken++)
		CHECK((others[taken] = fcntl(0, F_DUPFD_CLOEXEC, 3)) != -1);
	for (i = 0; i < 2; i++) {
		CHECK_TLS(pairs[i].client,
		    h_close(pairs[i].client, pairs[i].cfd));
		CHECK_TLS(pairs[i].server,
		    h_close(pairs[i].server, pairs[i].sfd));
		h_pair_free(&pairs[i]);
	}
	while (taken > 0)
		close(others[--taken]);
	/* goproxy sees the end of a connection a moment later. */
	deadline = h_now() + h_ms(2000);
	while (open_pair(&pairs[0], base, cconfig, listener, port) == -1)
		h_pause(deadline, "room for another pair");
	h_pair_echo(&pairs[0]);
	h_pair_free(&pairs[0]);
	for (i = 2; i < n; i++) {
		h_pair_echo(&pairs[i]);
		h_pair_free(&pairs[i]);
	}
	tls_free(base);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	close(listener);
	return n;
}

/*
 * 64 less the standard three, the listener, and what the library keeps; there
 * are two descriptors for each pair, or four.
 */
#define PAIRS_WANTED (h_app ? 13 : 26)

static void
nofile_64(void)
{
	set_limit(RLIMIT_NOFILE, 64, 0);
	CHECK(fill_up() >= PAIRS_WANTED);
}

static void
nofile_64_hard(void)
{
	set_limit(RLIMIT_NOFILE, 64, 1);
	CHECK(fill_up() >= PAIRS_WANTED);
}

/* goproxy has 64 as well then: less connections, and errors that say why. */
static void
nofile_64_for_both(void)
{
	set_limit(RLIMIT_NOFILE, 64, 1);
	CHECK(fill_up() >= 8);
}

/* The network's socket comes back with the error, and finds no room. */
static void
nofile_64_failed_handshake(void)
{
	struct tls_config *cconfig, *sconfig;
	struct h_pair p;
	int taken, others[64];

	set_limit(RLIMIT_NOFILE, 64, 0);
	CHECK((cconfig = tls_config_new()) != NULL);
	CHECK_CONFIG(cconfig,
	    tls_config_set_ca_file(cconfig, h_cert("empty.pem")));
	sconfig = h_server_config("ecdsa");
	h_pair_start(&p, cconfig, sconfig, "localhost");
	for (taken = 0; room_for(1); taken++)
		CHECK((others[taken] = fcntl(0, F_DUPFD_CLOEXEC, 3)) != -1);
	h_pair_handshake(&p);
	CHECK_INT(p.crv, -1);
	/* Unless it was never away. */
	CHECK_HAS(tls_error(p.client),
	    h_app ? "certificate verification failed" : "Too many open files");
	while (taken > 0)
		close(others[--taken]);
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
}

/* titus forbids itself processes. Leak checkers cannot do without. */
static void
nproc_0_after_configure(void)
{
	struct guest_files files;
	struct tls_config *cconfig, *sconfig;
	struct h_pair p;

	guest_load(&files);
	if (geteuid() == 0)
		guest_change_user();
	guest_valgrind_reaches_goproxy();
	guest_configs(&files, &cconfig, &sconfig);
	set_limit(RLIMIT_NPROC, 0, 1);
	h_pair_start(&p, cconfig, sconfig, "localhost");
	CHECK_PAIR(&p);
	h_pair_echo(&p);
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	guest_unload(&files);
	GUEST_END();
}

static void
nproc_0_early(void)
{
	struct guest_files files;

	guest_load(&files);
	if (geteuid() == 0)
		guest_change_user();
	set_limit(RLIMIT_NPROC, 0, 1);
	guest_use_files(&files);
	guest_unload(&files);
	GUEST_END();
}

static void
check_cannot_start(const char *want)
{
	struct tls_config *config;
	struct tls *ctx;
	int a, b;

	CHECK((config = tls_config_new()) != NULL);
	CHECK((ctx = tls_client()) != NULL);
	tls_config_insecure_noverifycert(config);
	tls_config_insecure_noverifyname(config);
	CHECK_TLS(ctx, tls_configure(ctx, config));
	h_socketpair(SOCK_STREAM, &a, &b);
	CHECK_INT(tls_connect_socket(ctx, a, "localhost"), -1);
	CHECK_HAS(tls_error(ctx), "goproxy");
	CHECK_HAS(tls_error(ctx), want);
	close(a);
	close(b);
	tls_free(ctx);
	tls_config_free(config);
}

static void
nproc_0_before(void)
{
	if (geteuid() == 0)
		guest_change_user();
	set_limit(RLIMIT_NPROC, 0, 1);
	check_cannot_start("Resource temporarily unavailable");
	GUEST_END();
}

/* As much as this program needs and some megabytes, which is no room for Go. */
static rlim_t
little_memory(void)
{
	unsigned long pages = 0;
	FILE *f;

	CHECK((f = fopen("/proc/self/statm", "re")) != NULL);
	CHECK_INT(fscanf(f, "%lu", &pages), 1);
	fclose(f);
	if (pages > 1UL << 24)
		guest_skip("the sanitizer has taken all addresses");
	return (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + (32 << 20);
}

static void
limited_as(void)
{
	set_limit(RLIMIT_AS, little_memory(), 0);
	guest_use();
}

static void
limited_as_hard(void)
{
	set_limit(RLIMIT_AS, little_memory(), 1);
	guest_use();
}

static void
limited_as_for_both(void)
{
	set_limit(RLIMIT_AS, little_memory(), 1);
	check_cannot_start("");
}

static void
limited_data(void)
{
	set_limit(RLIMIT_DATA, little_memory(), 0);
	guest_use();
}

/*
 * Documents and keys travel in files of memory, for which there is no room
 * here: an error, but no SIGXFSZ.
 */
static void
fsize_0(void)
{
	struct tls_config *cconfig, *sconfig;
	struct h_pair p;

	cconfig = h_client_config();
	sconfig = h_server_config("ecdsa");
	h_pair_start(&p, cconfig, sconfig, "localhost");
	set_limit(RLIMIT_FSIZE, 0, 1);
	CHECK_PAIR(&p);
	h_pair_echo(&p);
	guest_use_server(p.base, cconfig);
	h_pair_free(&p);
	tls_config_free(cconfig);
	tls_config_free(sconfig);
}

static void
fsize_0_before(void)
{
	sigset_t pending;

	set_limit(RLIMIT_FSIZE, 0, 1);
	check_cannot_start("File too large");
	CHECK_INT(sigpending(&pending), 0);
	CHECK_INT(sigismember(&pending, SIGXFSZ), 0);
}

static const struct CMUnitTest tests[] = {
	/* Its idea of this limit is another. */
	GUEST_FLAGS(nofile_64, GUEST_NO_VALGRIND),
	GUEST_FLAGS(nofile_64_hard, GUEST_EARLY),
	GUEST_FLAGS(nofile_64_for_both, GUEST_NO_VALGRIND),
	GUEST_FLAGS(nofile_64_failed_handshake,
	    GUEST_PROXY | GUEST_NO_VALGRIND),
	GUEST(nproc_0_after_configure),
	GUEST_FLAGS(nproc_0_early, GUEST_EARLY),
	GUEST_FLAGS(nproc_0_before, GUEST_CANNOT_START | GUEST_NO_VALGRIND),
	GUEST(limited_as),
	GUEST_FLAGS(limited_as_hard, GUEST_EARLY),
	GUEST_FLAGS(limited_as_for_both, GUEST_CANNOT_START),
	GUEST(limited_data),
	GUEST(fsize_0),
	GUEST_FLAGS(fsize_0_before, GUEST_PROXY),
};

static const struct h_peer peers[] = { GUEST_PEER };

GUEST_MAIN(tests, peers)
