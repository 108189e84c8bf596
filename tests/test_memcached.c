/* SPDX-License-Identifier: ISC */
/*
 * Two server processes that share sessions through a memcached, in event loops
 * that never wait for it: answers come late, many handshakes are in flight at
 * once, and without memcached all of them are full ones. The loops are of
 * poll(2), as a library's does not say when a turn begins, which is measured.
 */

#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <tls_proxy.h>

#include "harness.h"

#define MANY	    200 /* handshakes in flight */
#define DELAY	    50	/* of each answer, in milliseconds */
#define BATCH	    8	/* of each kind of work in one turn of the loop */
#define PAUSE	    5.0 /* the longest turn may take less, in milliseconds */
#define SLOTS	    (2 * MANY) /* there may be some of the round before */
#define ID_MAX	    64
#define SESSION_MAX 4096

/* What a server did since it was asked the last time. */
struct report {
	int handshakes, resumed, failed;
	int in_flight; /* the most */
	int stores, lookups, hits;
	double pause, wall; /* milliseconds */
};

/* The server. */

/* A question to memcached, and then an answer that waits until it is due. */
struct op {
	struct op *next;
	struct tls_request *request;
	const struct tls_request_facts *facts;
	char key[2 * ID_MAX + 1];
	uint8_t session[SESSION_MAX];
	size_t session_len; /* 0 for none */
	int64_t due;
};

struct queue {
	struct op *first, **last;
};

struct peer {
	struct tls *tls;
	int fd;
	int shaken; /* the handshake is over, */
	int done;   /* and so is everything else */
	int want;   /* TLS_WANT_* */
};

static struct {
	struct tls *base;
	struct report report;
	const char *path;
	int in_flight;
	int wanted; /* handshakes in flight before answers are on their way */
	struct peer peers[SLOTS];
	struct queue asked, answers;

	int fd; /* to memcached, or -1 */
	char in[2 * SESSION_MAX], out[MANY * 2 * SESSION_MAX];
	size_t in_len, out_len;
} server;

static void
push(struct queue *q, struct op *op)
{
	if (q->first == NULL)
		q->last = &q->first;
	op->next = NULL;
	*q->last = op;
	q->last = &op->next;
}

static struct op *
pop(struct queue *q)
{
	struct op *op = q->first;

	if (op != NULL)
		q->first = op->next;
	return op;
}

static void
delay(struct op *op)
{
	op->due = h_now() + DELAY;
	push(&server.answers, op);
}

/* What is not known is answered like what is not there. */
static void
store_close(void)
{
	struct op *op;

	if (server.fd != -1)
		close(server.fd);
	server.fd = -1;
	server.in_len = server.out_len = 0;
	while ((op = pop(&server.asked)) != NULL)
		delay(op);
}

static int
store_connect(const char *path)
{
	struct sockaddr_un sun = { .sun_family = AF_UNIX };
	int fd;

	snprintf(sun.sun_path, sizeof(sun.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	CHECK(fd != -1);
	if (connect(fd, (struct sockaddr *)&sun, sizeof(sun)) == -1) {
		close(fd);
		return -1;
	}
	return fd;
}

static void
store_send(void)
{
	ssize_t n;

	if (server.fd == -1 || server.out_len == 0)
		return;
	n = send(server.fd, server.out, server.out_len, MSG_NOSIGNAL);
	if (n == -1 && errno != EAGAIN)
		store_close();
	if (n <= 0)
		return;
	server.out_len -= (size_t)n;
	memmove(server.out, server.out + n, server.out_len);
}

static void
store_ask(struct op *op)
{
	const struct tls_request_facts *f = op->facts;
	char *end = server.out + server.out_len;
	size_t room = sizeof(server.out) - server.out_len, i;
	int n;

	if (server.fd == -1)
		server.fd = store_connect(server.path);
	if (server.fd == -1 || f->session_id_len > ID_MAX ||
	    f->session_len > SESSION_MAX ||
	    room < f->session_len + sizeof(op->key) + 64) {
		delay(op);
		return;
	}
	for (i = 0; i < f->session_id_len; i++)
		snprintf(op->key + 2 * i, 3, "%02x", f->session_id[i]);
	switch (f->operation) {
	case TLS_SESSION_STORE:
		server.report.stores++;
		n = snprintf(end, room, "set %s 0 %u %zu\r\n", op->key,
		    f->lifetime, f->session_len);
		memcpy(end + n, f->session, f->session_len);
		n += (int)f->session_len;
		memcpy(end + n, "\r\n", 2);
		n += 2;
		break;
	case TLS_SESSION_LOOKUP:
		server.report.lookups++;
		n = snprintf(end, room, "get %s\r\n", op->key);
		break;
	default:
		n = snprintf(end, room, "delete %s\r\n", op->key);
	}
	server.out_len += (size_t)n;
	push(&server.asked, op);
	store_send();
}

/*
 * Takes the first reply out of what has come. Returns 1, 0 if it is not there
 * yet, or -1 if it is none.
 */
static int
store_reply(void)
{
	struct op *op = server.asked.first;
	char *line_end, key[sizeof(op->key)];
	size_t line, size = 0, len = 0;

	server.in[server.in_len] = '\0';
	if ((line_end = strstr(server.in, "\r\n")) == NULL)
		return server.in_len == sizeof(server.in) - 1 ? -1 : 0;
	if (op == NULL)
		return -1;
	size = line = (size_t)(line_end + 2 - server.in);
	if (op->facts->operation == TLS_SESSION_LOOKUP &&
	    sscanf(server.in, "VALUE %128s %*u %zu", key, &len) == 2) {
		if (strcmp(key, op->key) != 0 || len > SESSION_MAX)
			return -1;
		size = line + len + strlen("\r\nEND\r\n");
		if (server.in_len < size)
			return 0;
		if (memcmp(server.in + line + len, "\r\nEND\r\n", 7) != 0)
			return -1;
		memcpy(op->session, server.in + line, len);
		op->session_len = len;
		server.report.hits++;
	}
	server.in_len -= size;
	memmove(server.in, server.in + size, server.in_len);
	delay(pop(&server.asked));
	return 1;
}

static void
store_receive(void)
{
	size_t room = sizeof(server.in) - 1 - server.in_len;
	ssize_t n;
	int i, rv = 1;

	if (room > 0) {
		n = recv(server.fd, server.in + server.in_len, room, 0);
		if (n == 0 || (n == -1 && errno != EAGAIN)) {
			store_close();
			return;
		}
		if (n > 0)
			server.in_len += (size_t)n;
	}
	for (i = 0; i < BATCH && rv == 1 && server.in_len > 0; i++)
		rv = store_reply();
	if (rv == -1)
		store_close();
}

static void
ask(void)
{
	struct tls_request *request;
	struct op *op;
	int i;

	for (i = 0; i < BATCH; i++) {
		if ((request = tls_request_next(server.base)) == NULL)
			return;
		CHECK((op = calloc(1, sizeof(*op))) != NULL);
		op->request = request;
		op->facts = tls_request_facts(request);
		CHECK_INT(op->facts->kind, TLS_REQUEST_SESSION);
		store_ask(op);
	}
}

/* Answers what is due. */
static void
answer(void)
{
	int64_t now = h_now();
	struct op *op;
	int i, rv;

	/* On a slow machine, too, shall they be in flight at the same time. */
	if (server.report.in_flight < server.wanted)
		return;
	for (i = 0; i < BATCH; i++) {
		op = server.answers.first;
		if (op == NULL || op->due > now)
			return;
		if (op->session_len > 0)
			rv = tls_request_answer(op->request, op->session,
			    op->session_len);
		else
			rv = tls_request_default(op->request);
		if (rv == -1) {
			CHECK_STR(tls_request_error(op->request),
			    "request was cancelled");
			tls_request_free(op->request);
		}
		free(pop(&server.answers));
	}
}

static void
accept_some(int fd)
{
	struct peer *p;
	int i, s, slot;

	for (i = 0; i < BATCH; i++) {
		for (slot = 0; server.peers[slot].tls != NULL;) {
			if (++slot == SLOTS)
				return;
		}
		s = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (s == -1)
			return;
		p = &server.peers[slot];
		CHECK_TLS(server.base,
		    tls_accept_socket(server.base, &p->tls, s));
		/* With the network here, the engine is waited for as well. */
		if (h_app)
			CHECK_TLS(p->tls, tls_engine_set_nonblock(p->tls, 1));
		p->fd = s;
		p->shaken = p->done = 0;
		p->want = TLS_WANT_POLLIN;
		if (++server.in_flight > server.report.in_flight)
			server.report.in_flight = server.in_flight;
	}
}

static void
drop(struct peer *p)
{
	tls_free(p->tls);
	close(p->fd);
	p->tls = NULL;
}

/* Whether it is to be repeated. */
static int
wants(struct peer *p, ssize_t rv)
{
	if (rv != TLS_WANT_POLLIN && rv != TLS_WANT_POLLOUT)
		return 0;
	p->want = (int)rv;
	return 1;
}

static void
serve_peer(struct peer *p)
{
	ssize_t rv;

	if (p->done) {
		/*
		 * The client ends it, and how does not matter: tls_read would
		 * ask goproxy, and wait for the answer.
		 */
		drop(p);
		return;
	}
	if (!p->shaken) {
		if (wants(p, rv = tls_handshake(p->tls)))
			return;
		server.in_flight--;
		if (rv == -1) {
			fprintf(stderr, "server: %s\n", tls_error(p->tls));
			server.report.failed++;
			drop(p);
			return;
		}
		p->shaken = 1;
		server.report.handshakes++;
		server.report.resumed += tls_conn_session_resumed(p->tls);
	}
	/* What follows the ticket of TLS 1.3 shows that it has come. */
	if (wants(p, rv = tls_write(p->tls, "x", 1)))
		return;
	CHECK_INT(rv, 1);
	p->done = 1;
	p->want = TLS_WANT_POLLIN;
}

/*
 * The loop's pauses. On a busy machine a turn of the loop takes longer than the
 * loop is to blame for: the kernel counts for how long the thread could run
 * and others did. A turn in which the thread never gave the processor away by
 * itself has waited for nothing, and is as long as it computed.
 */
struct moment {
	double wall, computed, displaced; /* milliseconds */
	long waits;
};

static double
clock_ms(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return (double)ts.tv_sec * 1e3 + (double)ts.tv_nsec / 1e6;
}

static struct moment
moment(int schedstat)
{
	unsigned long long delay = 0;
	struct moment m = { 0 };
	struct rusage usage;
	char buf[128];
	ssize_t n;

	n = pread(schedstat, buf, sizeof(buf) - 1, 0);
	if (n > 0) {
		buf[n] = '\0';
		if (sscanf(buf, "%*u %llu", &delay) == 1)
			m.displaced = (double)delay / 1e6;
	}
	CHECK_INT(getrusage(RUSAGE_THREAD, &usage), 0);
	m.waits = usage.ru_nvcsw;
	m.computed = clock_ms(CLOCK_THREAD_CPUTIME_ID);
	m.wall = clock_ms(CLOCK_MONOTONIC);
	return m;
}

static void
measure(const struct moment *from, const struct moment *to)
{
	double wall = to->wall - from->wall, pause;

	pause = to->waits == from->waits
		    ? to->computed - from->computed
		    : wall - (to->displaced - from->displaced);
	if (wall > server.report.wall)
		server.report.wall = wall;
	if (pause > server.report.pause)
		server.report.pause = pause;
}

/* Of the server of this process: the answer to the test. */
static int
control(int fd)
{
	int wanted;
	ssize_t n = recv(fd, &wanted, sizeof(wanted), 0);

	if (n <= 0)
		return -1;
	CHECK_INT(n, sizeof(wanted));
	CHECK_INT(send(fd, &server.report, sizeof(server.report), MSG_NOSIGNAL),
	    sizeof(server.report));
	memset(&server.report, 0, sizeof(server.report));
	server.wanted = wanted;
	return 0;
}

static struct tls_config *
server_config(const char *timeout)
{
	struct tls_config *config = h_server_config("ecdsa");
	uint8_t key[TLS_TICKET_KEY_SIZE];

	memset(key, 7, sizeof(key));
	CHECK_CONFIG(config,
	    tls_config_set_session_id(config, (const uint8_t *)"shared", 6));
	CHECK_CONFIG(config, tls_config_set_session_lifetime(config, 3600));
	CHECK_CONFIG(config,
	    tls_config_add_ticket_key(config, 1, key, sizeof(key)));
	CHECK_CONFIG(config, tls_config_set_requests(config,
				 TLS_REQUEST_SESSION, atoi(timeout)));
	return config;
}

enum { LISTEN, CONTROL, REQUESTS, STORE, PEERS };

/* server PATH TIMEOUT: descriptors 10 to listen on and 11 for control(). */
static int
server_peer(int argc, char **argv)
{
	static struct pollfd pfds[PEERS + SLOTS];
	struct tls_config *config;
	struct moment woken, now;
	int64_t left;
	int i, turn, sched, wait;

	CHECK_INT(argc, 3);
	server.path = argv[1];
	server.fd = -1;
	config = server_config(argv[2]);
	server.base = h_server(config);
	tls_config_free(config);
	h_nonblock(H_KEPT, 1);
	sched = open("/proc/thread-self/schedstat", O_RDONLY | O_CLOEXEC);
	for (turn = 0;; turn++) {
		pfds[LISTEN].fd = H_KEPT;
		pfds[CONTROL].fd = H_KEPT + 1;
		pfds[REQUESTS].fd = tls_request_fd(server.base);
		pfds[STORE].fd = server.fd;
		for (i = 0; i < PEERS; i++)
			pfds[i].events = POLLIN;
		if (server.out_len > 0)
			pfds[STORE].events |= POLLOUT;
		for (i = 0; i < SLOTS; i++) {
			struct peer *p = &server.peers[i];

			pfds[PEERS + i].fd =
			    p->tls == NULL ? -1 : h_wait_fd(p->tls, p->fd);
			pfds[PEERS + i].events =
			    p->want == TLS_WANT_POLLOUT ? POLLOUT : POLLIN;
		}
		wait = -1;
		if (server.answers.first != NULL &&
		    server.report.in_flight >= server.wanted) {
			left = server.answers.first->due - h_now();
			wait = left < 0 ? 0 : (int)left;
		} else if (server.in_len > 0 && server.asked.first != NULL &&
			   strstr(server.in, "\r\n") != NULL)
			wait = 0;
		if (poll(pfds, PEERS + SLOTS, wait) == -1) {
			CHECK_INT(errno, EINTR);
			continue;
		}
		woken = moment(sched);

		if (pfds[CONTROL].revents != 0 && control(H_KEPT + 1) == -1)
			break;
		if (pfds[LISTEN].revents != 0)
			accept_some(H_KEPT);
		if ((pfds[REQUESTS].revents & POLLIN) != 0)
			ask();
		if (server.fd != -1) {
			store_send();
			if (server.fd != -1)
				store_receive();
		}
		answer();
		/* Another one comes first in each turn. */
		for (i = 0, wait = 0; i < SLOTS && wait < BATCH; i++) {
			int slot = (i + turn * BATCH) % SLOTS;

			if (server.peers[slot].tls == NULL ||
			    pfds[PEERS + slot].fd == -1 ||
			    pfds[PEERS + slot].revents == 0)
				continue;
			serve_peer(&server.peers[slot]);
			wait++;
		}

		now = moment(sched);
		measure(&woken, &now);
	}
	for (i = 0; i < SLOTS; i++) {
		if (server.peers[i].tls != NULL)
			drop(&server.peers[i]);
	}
	tls_free(server.base);
	return 0;
}

/* The test. */

struct process {
	pid_t pid;
	int control;
	char port[8];
};

static void
process_start(struct process *p, const char *path, const char *timeout)
{
	int keep[2], own;

	keep[0] = h_listen(p->port, sizeof(p->port));
	h_socketpair(SOCK_SEQPACKET, &own, &keep[1]);
	p->control = own;
	p->pid = h_start(keep, 2, "server", path, timeout, (char *)NULL);
	close(keep[0]);
	close(keep[1]);
}

/* What it did up to now; so many handshakes shall be in flight next. */
static struct report
process_report(struct process *p, int wanted)
{
	struct report r;

	CHECK_INT(send(p->control, &wanted, sizeof(wanted), MSG_NOSIGNAL),
	    sizeof(wanted));
	h_poll(p->control, POLLIN, H_WAIT);
	CHECK_INT(recv(p->control, &r, sizeof(r), 0), sizeof(r));
	return r;
}

static void
process_stop(struct process *p)
{
	close(p->control);
	CHECK_INT(h_wait_exit(p->pid), 0);
}

static const char *
find_memcached(void)
{
	static const char *const names[] = { "/usr/bin/memcached",
		"/usr/local/bin/memcached" };
	size_t i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (access(names[i], X_OK) == 0)
			return names[i];
	}
	return NULL;
}

static pid_t
memcached(const char *program, const char *path)
{
	char *argv[] = { (char *)program, "-s", (char *)path, "-a", "0600",
		"-m", "16", "-t", "1", NULL, NULL, NULL };
	char *envp[] = { NULL };
	int64_t deadline = h_now() + H_WAIT;
	pid_t pid;
	int fd;

	/* It insists on being told so. */
	if (geteuid() == 0) {
		argv[9] = "-u";
		argv[10] = "root";
	}
	unlink(path);
	pid = h_exec(NULL, 0, argv, envp);
	while ((fd = store_connect(path)) == -1)
		h_pause(deadline, "memcached");
	close(fd);
	return pid;
}

static struct tls_config *clients[MANY];
static int session_fds[MANY];

static void
clients_new(const char *dir, uint32_t protocols)
{
	char path[128];
	int i;

	for (i = 0; i < MANY; i++) {
		snprintf(path, sizeof(path), "%s/session.XXXXXX", dir);
		CHECK((session_fds[i] = mkostemp(path, O_CLOEXEC)) != -1);
		CHECK_INT(unlink(path), 0);
		clients[i] = h_client_config();
		CHECK_CONFIG(clients[i],
		    tls_config_set_protocols(clients[i], protocols));
		CHECK_CONFIG(clients[i],
		    tls_config_set_session_fd(clients[i], session_fds[i]));
	}
}

static void
clients_free(void)
{
	int i;

	for (i = 0; i < MANY; i++) {
		tls_config_free(clients[i]);
		close(session_fds[i]);
	}
}

/*
 * The shortest of the longest turns in each round. Time that a hypervisor takes
 * is not to be told from computation; but what the loop itself waits for, it
 * waits for each time.
 */
#define ROUNDS_MAX 8
#define RUNS	   3

static double pauses[ROUNDS_MAX];
static int round_number;

static void
pauses_init(void)
{
	int i;

	for (i = 0; i < ROUNDS_MAX; i++)
		pauses[i] = -1;
	round_number = 0;
}

/* Whether a run of all rounds was enough to see that none has to pause. */
static int
pauses_are_short(int run)
{
	int i;

	for (i = 0; i < round_number; i++) {
		if (pauses[i] < PAUSE)
			continue;
		if (run == RUNS - 1)
			FAIL("the loop paused for %.2f ms at least in round %d",
			    pauses[i], i);
		round_number = 0;
		return 0;
	}
	return 1;
}

/* All of them at the same time. */
static void
handshakes(struct tls **tls, const int *fds)
{
	int64_t deadline = h_now() + H_WAIT;
	struct pollfd pfds[MANY];
	int rv[MANY], i, busy;

	for (i = 0; i < MANY; i++)
		rv[i] = TLS_WANT_POLLIN;
	do {
		for (i = 0, busy = 0; i < MANY; i++) {
			if (rv[i] < -1)
				rv[i] = tls_handshake(tls[i]);
			if (rv[i] == -1)
				FAIL("client %d: %s", i, tls_error(tls[i]));
			busy += rv[i] != 0;
			pfds[i].fd =
			    rv[i] == 0 ? -1 : h_wait_fd(tls[i], fds[i]);
			pfds[i].events =
			    rv[i] == TLS_WANT_POLLOUT ? POLLOUT : POLLIN;
		}
		if (h_now() > deadline)
			FAIL("%d handshakes hang", busy);
		if (busy > 0)
			CHECK(poll(pfds, MANY, H_WAIT) > 0);
	} while (busy > 0);
}

/*
 * All clients connect at the same time, and in_flight handshakes at least are
 * under way at once. Checks what the server says then.
 */
static void
round_of_clients(struct process *p, const char *name, int in_flight,
    int resumed)
{
	double *pause = &pauses[round_number++];
	struct tls *tls[MANY];
	int fds[MANY], i;
	struct report r;
	char byte;

	h_case = name;
	process_report(p, in_flight);
	for (i = 0; i < MANY; i++) {
		fds[i] = h_connect(p->port);
		h_nonblock(fds[i], 1);
		tls[i] = h_client(clients[i]);
		CHECK_TLS(tls[i],
		    tls_connect_socket(tls[i], fds[i], "localhost"));
	}
	handshakes(tls, fds);
	for (i = 0; i < MANY; i++) {
		h_read(tls[i], fds[i], &byte, 1);
		CHECK_INT(tls_conn_session_resumed(tls[i]), resumed);
		tls_free(tls[i]);
		close(fds[i]);
	}
	r = process_report(p, 0);
	printf("# %s: %d resumed, %d in flight, longest turn %.2f ms"
	       " (%.2f ms with others on the processor)\n",
	    name, r.resumed, r.in_flight, r.pause, r.wall);
	CHECK_INT(r.failed, 0);
	CHECK_INT(r.handshakes, MANY);
	CHECK_INT(r.resumed, resumed * MANY);
	CHECK(r.in_flight >= in_flight);
	if (*pause < 0 || *pause > r.pause)
		*pause = r.pause;
	h_case = NULL;
}

static void
raise_limit(void)
{
	struct rlimit limit;

	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

struct fixture {
	char dir[64], path[80];
	const char *program;
	pid_t store;
	struct process a, b;
};

static void
setup(struct fixture *f, const char *timeout)
{
	if ((f->program = find_memcached()) == NULL)
		skip();
	raise_limit();
	snprintf(f->dir, sizeof(f->dir), "/tmp/test_memcached.XXXXXX");
	CHECK(mkdtemp(f->dir) != NULL);
	snprintf(f->path, sizeof(f->path), "%s/socket", f->dir);
	f->store = memcached(f->program, f->path);
	process_start(&f->a, f->path, timeout);
	process_start(&f->b, f->path, timeout);
}

static void
teardown(struct fixture *f)
{
	process_stop(&f->a);
	process_stop(&f->b);
	h_kill(f->store);
	unlink(f->path);
	CHECK_INT(rmdir(f->dir), 0);
}

static const struct {
	const char *name;
	uint32_t protocols;
} versions[] = { { "TLS 1.2", TLS_PROTOCOL_TLSv1_2 },
	{ "TLS 1.3", TLS_PROTOCOL_TLSv1_3 } };

static void
share(struct fixture *f)
{
	round_of_clients(&f->a, "first", MANY, 0);
	round_of_clients(&f->b, "another process", MANY, 1);
	round_of_clients(&f->a, "and back", MANY, 1);
	h_kill(f->store);
	round_of_clients(&f->b, "memcached stopped", MANY, 0);
	round_of_clients(&f->a, "still stopped", MANY, 0);
	f->store = memcached(f->program, f->path);
	round_of_clients(&f->a, "an empty memcached", MANY, 0);
	round_of_clients(&f->b, "which is full again", MANY, 1);
}

/* A memcached that says nothing costs no more than the requests' time. */
static void
be_silent(struct fixture *f)
{
	CHECK_INT(kill(f->store, SIGSTOP), 0);
	round_of_clients(&f->a, "memcached is silent", 0, 0);
	round_of_clients(&f->a, "and goes on being so", 0, 0);
	CHECK_INT(kill(f->store, SIGCONT), 0);
}

static void
run(const char *timeout, void (*rounds)(struct fixture *))
{
	struct fixture f;
	size_t i;
	int n, enough;

	setup(&f, timeout);
	for (i = 0; i < 2; i++) {
		printf("# %s\n", versions[i].name);
		pauses_init();
		for (n = 0, enough = 0; !enough; n++) {
			clients_new(f.dir, versions[i].protocols);
			rounds(&f);
			clients_free();
			enough = pauses_are_short(n);
		}
	}
	teardown(&f);
}

static void
shared_sessions(void **state)
{
	(void)state;
	run("60000", share);
}

static void
silent_store(void **state)
{
	(void)state;
	run("200", be_silent);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(shared_sessions),
	cmocka_unit_test(silent_store),
};

static const struct h_peer peers[] = {
	{ "server", server_peer },
	{ NULL, NULL },
};

H_MAIN(tests, peers)
