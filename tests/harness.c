/* SPDX-License-Identifier: ISC */
/* Checks, deadlines, sockets, and connections with both ends at hand. */

#include <sys/socket.h>
#include <sys/stat.h>

#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "harness.h"
#include "harness_process.h"

const char *h_case;
int h_proxy;
int h_app;
static int (*engine_fd)(struct tls *); /* NULL for another libtls */

static pid_t test_pid;
static int time_factor = 1;

void
h_fail(const char *file, int line, const char *fmt, ...)
{
	char text[1024];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	fprintf(stderr, "%s:%d: %s%s%s\n", file, line,
	    h_case != NULL ? h_case : "", h_case != NULL ? ": " : "", text);
	if (getpid() != test_pid)
		_exit(1);
	_fail(file, line);
	abort();
}

void
h_check_int(const char *file, int line, const char *what, intmax_t got,
    intmax_t want)
{
	if (got != want)
		h_fail(file, line, "%s: got %jd, want %jd", what, got, want);
}

void
h_check_str(const char *file, int line, const char *what, const char *got,
    const char *want)
{
	if (got == want ||
	    (got != NULL && want != NULL && strcmp(got, want) == 0))
		return;
	h_fail(file, line, "%s: got '%s', want '%s'", what,
	    got != NULL ? got : "(null)", want != NULL ? want : "(null)");
}

void
h_check_has(const char *file, int line, const char *what, const char *got,
    const char *want)
{
	if (got == NULL || strstr(got, want) == NULL)
		h_fail(file, line, "%s: got '%s', want something with '%s'",
		    what, got != NULL ? got : "(null)", want);
}

void
h_check_mem(const char *file, int line, const char *what, const void *got,
    const void *want, size_t len)
{
	size_t i;

	if (len == 0 || memcmp(got, want, len) == 0)
		return;
	for (i = 0; ((const uint8_t *)got)[i] == ((const uint8_t *)want)[i];)
		i++;
	h_fail(file, line,
	    "%s: differs at byte %zu of %zu: 0x%02x, want "
	    "0x%02x",
	    what, i, len, ((const uint8_t *)got)[i],
	    ((const uint8_t *)want)[i]);
}

void
h_check_tls(const char *file, int line, const char *what, struct tls *ctx,
    ssize_t rv)
{
	const char *error;

	if (rv == 0)
		return;
	error = tls_error(ctx);
	h_fail(file, line, "%s: got %zd (%s)", what, rv,
	    error != NULL ? error : "no error");
}

void
h_check_config(const char *file, int line, const char *what,
    struct tls_config *config, int rv)
{
	const char *error;

	if (rv == 0)
		return;
	error = tls_config_error(config);
	h_fail(file, line, "%s: got %d (%s)", what, rv,
	    error != NULL ? error : "no error");
}

static int
peer_main(int argc, char **argv, const struct h_peer *peers, size_t npeers)
{
	size_t i;

	if (strcmp(argv[0], "relay") == 0)
		return h_relay_peer(argc, argv);
	for (i = 0; i < npeers; i++) {
		if (peers[i].name != NULL &&
		    strcmp(argv[0], peers[i].name) == 0)
			return peers[i].fn(argc, argv);
	}
	fprintf(stderr, "no peer %s\n", argv[0]);
	return 2;
}

int
h_valgrind(void)
{
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload") != NULL;
}

int
h_sanitizer(void)
{
	return dlsym(RTLD_DEFAULT, "__asan_init") != NULL;
}

/* What else takes its time: valgrind, and the sanitizers. */
static int
slowness(void)
{
	const char *value;

	if ((value = getenv("TEST_SLOW")) != NULL && atoi(value) > 0)
		return atoi(value);
	if (h_valgrind())
		return 10;
	if (h_sanitizer())
		return 3;
	return 1;
}

int
h_main(int argc, char **argv, const struct CMUnitTest *tests, size_t ntests,
    const struct h_peer *peers, size_t npeers)
{
	int fd;

	time_factor = slowness();
	h_proxy = dlsym(RTLD_DEFAULT, "tls_proxy_version") != NULL;
	*(void **)&engine_fd = dlsym(RTLD_DEFAULT, "tls_engine_fd");
	h_app = h_proxy && getenv("LIBTLS_PROXY_TRANSPORT") != NULL &&
		strcmp(getenv("LIBTLS_PROXY_TRANSPORT"), "app") == 0;
	/* That ours raises no SIGPIPE is part of each test. */
	if (!h_proxy)
		signal(SIGPIPE, SIG_IGN);
	h_process_init();
	if (argc > 2 && strcmp(argv[1], "--peer") == 0)
		return peer_main(argc - 2, argv + 2, peers, npeers);

	/* What the shell or make left open is not to be counted. */
	for (fd = 3; fd < 1024; fd++) {
		if (fcntl(fd, F_GETFD) == 0)
			close(fd);
	}
	/* The last resort, where a deadline is missing. */
	alarm((unsigned int)(300 * time_factor));
	test_pid = getpid();
	if (getenv("TEST_CERTS") == NULL) {
		fprintf(stderr, "TEST_CERTS is not set\n");
		return 1;
	}
	if (argc > 1)
		cmocka_set_test_filter(argv[1]);
	return _cmocka_run_group_tests(argv[0], tests, ntests, NULL,
		   h_process_teardown) == 0
		   ? 0
		   : 1;
}

int64_t
h_now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int
h_ms(int ms)
{
	return ms * time_factor;
}

void
h_pause(int64_t deadline, const char *what)
{
	struct timespec ts = { 0, 1000000 };

	if (h_now() > deadline)
		FAIL("waited too long for %s", what);
	nanosleep(&ts, NULL);
}

short
h_poll(int fd, short events, int ms)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	int64_t deadline;
	int n;

	deadline = h_now() + ms;
	do
		n = poll(&pfd, 1, (int)(deadline - h_now()));
	while (n == -1 && errno == EINTR && h_now() < deadline);
	if (n != 1)
		FAIL("descriptor %d: no event of %#x within %d ms", fd,
		    (unsigned int)events, ms);
	return pfd.revents;
}

const char *
h_cert(const char *name)
{
	static _Thread_local char paths[8][512];
	static _Thread_local size_t next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", getenv("TEST_CERTS"), name);
	return path;
}

uint8_t *
h_load(const char *path, size_t *len)
{
	struct stat st;
	uint8_t *buf;
	ssize_t n;
	int fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    fstat(fd, &st) == -1)
		FAIL("%s: %s", path, strerror(errno));
	if ((buf = malloc((size_t)st.st_size + 1)) == NULL)
		FAIL("no memory");
	n = read(fd, buf, (size_t)st.st_size);
	CHECK_INT(n, st.st_size);
	close(fd);
	buf[n] = '\0';
	*len = (size_t)n;
	return buf;
}

void
h_fact(const char *name, int line, char *buf, size_t size)
{
	char file[64];
	FILE *f;

	snprintf(file, sizeof(file), "%s.facts", name);
	if ((f = fopen(h_cert(file), "re")) == NULL)
		FAIL("%s: %s", file, strerror(errno));
	do {
		if (fgets(buf, (int)size, f) == NULL)
			FAIL("%s: too short", file);
	} while (line-- > 0);
	fclose(f);
	buf[strcspn(buf, "\n")] = '\0';
}

int
h_listen(char *port, size_t size)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	socklen_t len = sizeof(sin);
	int fd;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if ((fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1 ||
	    bind(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1 ||
	    listen(fd, 1024) == -1 ||
	    getsockname(fd, (struct sockaddr *)&sin, &len) == -1)
		FAIL("listen: %s", strerror(errno));
	snprintf(port, size, "%d", ntohs(sin.sin_port));
	return fd;
}

int
h_accept(int fd)
{
	int s;

	h_poll(fd, POLLIN, H_WAIT);
	if ((s = accept4(fd, NULL, NULL, SOCK_CLOEXEC)) == -1)
		FAIL("accept: %s", strerror(errno));
	return s;
}

int
h_connect(const char *port)
{
	struct sockaddr_in sin = { .sin_family = AF_INET };
	int fd;

	sin.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	sin.sin_port = htons((in_port_t)atoi(port));
	if ((fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) == -1 ||
	    connect(fd, (struct sockaddr *)&sin, sizeof(sin)) == -1)
		FAIL("connect: %s", strerror(errno));
	return fd;
}

void
h_tcp_pair(int *a, int *b)
{
	char port[8];
	int fd;

	fd = h_listen(port, sizeof(port));
	*a = h_connect(port);
	*b = h_accept(fd);
	close(fd);
}

void
h_socketpair(int type, int *a, int *b)
{
	int s[2];

	if (socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, s) == -1)
		FAIL("socketpair: %s", strerror(errno));
	*a = s[0];
	*b = s[1];
}

void
h_nonblock(int fd, int on)
{
	int flags = fcntl(fd, F_GETFL);

	if (flags == -1 ||
	    fcntl(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) ==
		-1)
		FAIL("fcntl: %s", strerror(errno));
}

void
h_reset_on_close(int fd)
{
	struct linger linger = { .l_onoff = 1 };

	if (setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger)) ==
	    -1)
		FAIL("SO_LINGER: %s", strerror(errno));
}

void
h_send(int fd, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	ssize_t n;

	while (len > 0) {
		h_poll(fd, POLLOUT, H_WAIT);
		n = send(fd, p, len, MSG_NOSIGNAL | MSG_DONTWAIT);
		if (n == -1 && errno != EAGAIN)
			FAIL("send: %s", strerror(errno));
		if (n > 0) {
			p += n;
			len -= (size_t)n;
		}
	}
}

void
h_recv(int fd, void *buf, size_t len)
{
	uint8_t *p = buf;
	ssize_t n;

	while (len > 0) {
		h_poll(fd, POLLIN, H_WAIT);
		if ((n = recv(fd, p, len, MSG_DONTWAIT)) == 0)
			FAIL("end of file, %zu bytes too early", len);
		if (n == -1)
			FAIL("recv: %s", strerror(errno));
		p += n;
		len -= (size_t)n;
	}
}

struct tls_config *
h_client_config(void)
{
	struct tls_config *config;

	CHECK((config = tls_config_new()) != NULL);
	CHECK_CONFIG(config,
	    tls_config_set_ca_file(config, h_cert("root.pem")));
	return config;
}

struct tls_config *
h_server_config(const char *name)
{
	struct tls_config *config;
	char cert[64], key[64];

	snprintf(cert, sizeof(cert), "%s-chain.pem", name);
	snprintf(key, sizeof(key), "%s.key", name);
	CHECK((config = tls_config_new()) != NULL);
	CHECK_CONFIG(config,
	    tls_config_set_keypair_file(config, h_cert(cert), h_cert(key)));
	return config;
}

struct tls *
h_client(struct tls_config *config)
{
	struct tls *ctx;

	CHECK((ctx = tls_client()) != NULL);
	CHECK_TLS(ctx, tls_configure(ctx, config));
	return ctx;
}

struct tls *
h_server(struct tls_config *config)
{
	struct tls *ctx;

	CHECK((ctx = tls_server()) != NULL);
	CHECK_TLS(ctx, tls_configure(ctx, config));
	return ctx;
}

void
h_want(int fd, ssize_t rv)
{
	if (rv != TLS_WANT_POLLIN && rv != TLS_WANT_POLLOUT)
		FAIL("got %zd, want TLS_WANT_POLLIN or TLS_WANT_POLLOUT", rv);
	if (fd != -1)
		h_poll(fd, rv == TLS_WANT_POLLIN ? POLLIN : POLLOUT, H_WAIT);
}

int
h_wait_fd(struct tls *ctx, int fd)
{
	int engine = engine_fd != NULL ? engine_fd(ctx) : -1;

	return engine != -1 ? engine : fd;
}

/* What errno is before a call, so that one that leaves it alone shows. */
#define STALE_ERRNO EXDEV

int
h_handshake(struct tls *ctx, int fd)
{
	int rv;

	for (;;) {
		errno = STALE_ERRNO;
		rv = tls_handshake(ctx);
		CHECK_INT(errno, 0);
		if (rv == 0 || rv == -1)
			return rv;
		h_want(h_wait_fd(ctx, fd), rv);
	}
}

void
h_write(struct tls *ctx, int fd, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	ssize_t n;

	while (len > 0) {
		errno = STALE_ERRNO;
		n = tls_write(ctx, p, len);
		CHECK_INT(errno, 0);
		if (n == -1)
			FAIL("tls_write: %s", tls_error(ctx));
		if (n < 0) {
			h_want(fd, n);
			continue;
		}
		CHECK(n > 0 && (size_t)n <= len);
		p += n;
		len -= (size_t)n;
	}
}

ssize_t
h_read_some(struct tls *ctx, int fd, void *buf, size_t len)
{
	ssize_t n;

	for (;;) {
		errno = STALE_ERRNO;
		n = tls_read(ctx, buf, len);
		CHECK_INT(errno, 0);
		if (n >= -1)
			return n;
		h_want(fd, n);
	}
}

void
h_read(struct tls *ctx, int fd, void *buf, size_t len)
{
	uint8_t *p = buf;
	ssize_t n;

	while (len > 0) {
		n = h_read_some(ctx, fd, p, len);
		if (n == -1)
			FAIL("tls_read: %s", tls_error(ctx));
		if (n == 0)
			FAIL("end of file, %zu bytes too early", len);
		CHECK((size_t)n <= len);
		p += n;
		len -= (size_t)n;
	}
}

int
h_close(struct tls *ctx, int fd)
{
	int rv;

	for (;;) {
		errno = STALE_ERRNO;
		rv = tls_close(ctx);
		CHECK_INT(errno, 0);
		if (rv == 0 || rv == -1)
			return rv;
		h_want(fd, rv);
	}
}

static void
join_on(struct h_pair *p, struct tls_config *client, struct tls *base,
    const char *servername, int cfd, int sfd)
{
	memset(p, 0, sizeof(*p));
	p->cfd = cfd;
	p->sfd = sfd;
	h_nonblock(cfd, 1);
	h_nonblock(sfd, 1);
	p->client = h_client(client);
	CHECK_TLS(p->client, tls_connect_socket(p->client, cfd, servername));
	CHECK_TLS(base, tls_accept_socket(base, &p->server, sfd));
	CHECK(p->server != NULL);
}

void
h_pair_join(struct h_pair *p, struct tls_config *client, struct tls *base,
    const char *servername)
{
	int cfd, sfd;

	h_tcp_pair(&cfd, &sfd);
	join_on(p, client, base, servername, cfd, sfd);
}

void
h_pair_start_on(struct h_pair *p, struct tls_config *client,
    struct tls_config *server, const char *servername, int cfd, int sfd)
{
	struct tls *base = h_server(server);

	join_on(p, client, base, servername, cfd, sfd);
	p->base = base;
}

void
h_pair_start(struct h_pair *p, struct tls_config *client,
    struct tls_config *server, const char *servername)
{
	int cfd, sfd;

	h_tcp_pair(&cfd, &sfd);
	h_pair_start_on(p, client, server, servername, cfd, sfd);
}

/*
 * One step of an end that is not done. An end that failed says so on the
 * wire, as a program does that closes its socket.
 */
static void
step(struct tls *ctx, int fd, int *rv, struct pollfd *pfd)
{
	pfd->fd = -1;
	if (*rv == 0 || *rv == -1)
		return;
	errno = STALE_ERRNO;
	*rv = tls_handshake(ctx);
	CHECK_INT(errno, 0);
	if (*rv == -1)
		shutdown(fd, SHUT_WR);
	if (*rv == 0 || *rv == -1)
		return;
	pfd->fd = h_wait_fd(ctx, fd);
	pfd->events = *rv == TLS_WANT_POLLOUT ? POLLOUT : POLLIN;
}

void
h_pair_handshake(struct h_pair *p)
{
	struct pollfd pfd[2] = { 0 };
	int64_t deadline = h_now() + H_WAIT;

	errno = 0;
	p->crv = p->srv = TLS_WANT_POLLIN;
	for (;;) {
		step(p->client, p->cfd, &p->crv, &pfd[0]);
		step(p->server, p->sfd, &p->srv, &pfd[1]);
		if (pfd[0].fd == -1 && pfd[1].fd == -1)
			return;
		if (poll(pfd, 2, (int)(deadline - h_now())) < 1 &&
		    (errno != EINTR || h_now() >= deadline))
			FAIL("handshake takes too long: client %d, server %d",
			    p->crv, p->srv);
	}
}

void
h_pair_open(struct h_pair *p)
{
	struct tls_config *client, *server;

	client = h_client_config();
	server = h_server_config("rsa");
	h_pair_start(p, client, server, "localhost");
	tls_config_free(client);
	tls_config_free(server);
	CHECK_PAIR(p);
}

void
h_pair_echo(struct h_pair *p)
{
	char c = 'q', d = 0;

	h_write(p->client, p->cfd, &c, 1);
	h_read(p->server, p->sfd, &d, 1);
	CHECK_INT(d, c);
	h_write(p->server, p->sfd, "a", 1);
	h_read(p->client, p->cfd, &d, 1);
	CHECK_INT(d, 'a');
}

void
h_pair_free(struct h_pair *p)
{
	tls_free(p->client);
	tls_free(p->server);
	tls_free(p->base);
	close(p->cfd);
	close(p->sfd);
	memset(p, 0, sizeof(*p));
}

/* Word i of a stream (splitmix64, so that no state is carried along). */
static uint64_t
stream_word(uint64_t seed, uint64_t i)
{
	uint64_t z = seed + (i + 1) * 0x9e3779b97f4a7c15;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

void
h_stream_fill(struct h_stream *s, void *buf, size_t len)
{
	uint8_t *p = buf;
	uint64_t word;
	size_t at, n;

	while (len > 0) {
		word = stream_word(s->seed, s->pos / 8);
		at = s->pos % 8;
		n = 8 - at < len ? 8 - at : len;
		memcpy(p, (uint8_t *)&word + at, n);
		p += n;
		len -= n;
		s->pos += n;
	}
}

void
h_stream_check(struct h_stream *s, const void *buf, size_t len)
{
	const uint8_t *p = buf;
	uint8_t want[4096];
	uint64_t at;
	size_t n;

	while (len > 0) {
		n = len < sizeof(want) ? len : sizeof(want);
		at = s->pos;
		h_stream_fill(s, want, n);
		if (memcmp(p, want, n) != 0)
			FAIL("the data differ after byte %" PRIu64
			     " of stream %" PRIu64,
			    at, s->seed);
		p += n;
		len -= n;
	}
}

#define CLIENT_SEED 1
#define SERVER_SEED 2

void
h_transfer_init(struct h_transfer *t, struct tls *ctx, int fd, int is_server,
    uint64_t size)
{
	memset(t, 0, sizeof(*t));
	t->ctx = ctx;
	t->fd = fd;
	t->in.seed = is_server ? CLIENT_SEED : SERVER_SEED;
	t->out.seed = is_server ? SERVER_SEED : CLIENT_SEED;
	t->left_in = t->left_out = size;
	t->want_in = POLLIN;
	t->want_out = POLLOUT;
}

int
h_transfer_done(const struct h_transfer *t)
{
	return t->left_in == 0 && t->left_out == 0;
}

short
h_transfer_events(const struct h_transfer *t)
{
	return (short)((t->left_in > 0 ? t->want_in : 0) |
		       (t->left_out > 0 ? t->want_out : 0));
}

/* What to wait for after a call that did not fail. */
static short
awaited(ssize_t rv, short otherwise)
{
	if (rv > 0)
		return otherwise;
	CHECK(rv == TLS_WANT_POLLIN || rv == TLS_WANT_POLLOUT);
	return rv == TLS_WANT_POLLIN ? POLLIN : POLLOUT;
}

int
h_transfer_step(struct h_transfer *t, short events)
{
	static uint8_t buf[65536];
	ssize_t n;

	if (t->left_in > 0 && (events & (t->want_in | POLLHUP | POLLERR))) {
		errno = STALE_ERRNO;
		n = tls_read(t->ctx, buf, sizeof(buf));
		CHECK_INT(errno, 0);
		if (n == 0 || n == -1)
			return (int)n;
		if (n > 0) {
			CHECK((uint64_t)n <= t->left_in);
			h_stream_check(&t->in, buf, (size_t)n);
			t->left_in -= (uint64_t)n;
		}
		t->want_in = awaited(n, POLLIN);
	}
	if (t->left_out > 0 && (events & (t->want_out | POLLHUP | POLLERR))) {
		if (t->out_len == 0) {
			t->out_start = 0;
			t->out_len = t->left_out < sizeof(t->out_buf)
					 ? (size_t)t->left_out
					 : sizeof(t->out_buf);
			h_stream_fill(&t->out, t->out_buf, t->out_len);
		}
		errno = STALE_ERRNO;
		n = tls_write(t->ctx, t->out_buf + t->out_start, t->out_len);
		CHECK_INT(errno, 0);
		if (n == -1)
			return -1;
		if (n > 0) {
			CHECK((size_t)n <= t->out_len);
			t->out_start += (size_t)n;
			t->out_len -= (size_t)n;
			t->left_out -= (uint64_t)n;
		}
		t->want_out = awaited(n, POLLOUT);
	}
	return 1;
}
