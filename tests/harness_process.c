/* SPDX-License-Identifier: ISC */
/* Peers, the relay, and what is left behind. */

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "harness_process.h"

static char self[512];

/* What h_start and h_exec started and nobody has waited for. */
static pid_t started[256];
static size_t nstarted;

void
h_process_init(void)
{
	ssize_t n;

	if ((n = readlink("/proc/self/exe", self, sizeof(self) - 1)) == -1)
		FAIL("/proc/self/exe: %s", strerror(errno));
	self[n] = '\0';
	if (prctl(PR_SET_CHILD_SUBREAPER, 1) == -1)
		FAIL("PR_SET_CHILD_SUBREAPER: %s", strerror(errno));
}

int
h_process_teardown(void **state)
{
	(void)state;
	while (nstarted > 0)
		h_kill(started[0]);
	return 0;
}

static int
is_started(pid_t pid)
{
	size_t i;

	for (i = 0; i < nstarted; i++) {
		if (started[i] == pid)
			return 1;
	}
	return 0;
}

static void
forget(pid_t pid)
{
	size_t i;

	for (i = 0; i < nstarted; i++) {
		if (started[i] == pid) {
			started[i] = started[--nstarted];
			return;
		}
	}
}

pid_t
h_fork(void)
{
	pid_t pid;

	CHECK(nstarted < sizeof(started) / sizeof(started[0]));
	if ((pid = fork()) == -1)
		FAIL("fork: %s", strerror(errno));
	if (pid != 0)
		started[nstarted++] = pid;
	else
		prctl(PR_SET_PDEATHSIG, SIGKILL);
	return pid;
}

pid_t
h_exec(int *keep, size_t nkeep, char *const *argv, char *const *envp)
{
	int high[8];
	size_t i;
	pid_t pid;

	CHECK(nkeep <= sizeof(high) / sizeof(high[0]));
	if ((pid = h_fork()) != 0)
		return pid;
	/* Not in the way of each other, then to their places. */
	for (i = 0; i < nkeep; i++)
		high[i] = fcntl(keep[i], F_DUPFD_CLOEXEC, 100);
	for (i = 0; i < nkeep; i++) {
		if (dup2(high[i], H_KEPT + (int)i) == -1)
			_exit(126);
	}
	execve(argv[0], argv, envp);
	_exit(127);
}

pid_t
h_start(int *keep, size_t nkeep, const char *peer, ...)
{
	char option[] = "--peer", name[64];
	char *argv[16] = { self, option, name };
	size_t n = 3;
	va_list ap;
	char *arg;

	snprintf(name, sizeof(name), "%s", peer);
	va_start(ap, peer);
	do {
		CHECK(n < sizeof(argv) / sizeof(argv[0]));
		arg = va_arg(ap, char *);
		argv[n++] = arg;
	} while (arg != NULL);
	va_end(ap);
	return h_exec(keep, nkeep, argv, environ);
}

int
h_wait_exit(pid_t pid)
{
	int64_t deadline = h_now() + 3 * H_WAIT;
	int status;
	pid_t got;

	while ((got = waitpid(pid, &status, WNOHANG)) != pid) {
		if (got == -1 && errno != EINTR)
			FAIL("waitpid: %s", strerror(errno));
		h_pause(deadline, "the end of a process");
	}
	forget(pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void
h_kill(pid_t pid)
{
	kill(pid, SIGKILL);
	while (waitpid(pid, NULL, 0) == -1 && errno == EINTR)
		;
	forget(pid);
}

/* Relay. */

struct half {
	struct h_relay_direction *d;
	int from, to;
	int ended;
	uint8_t buf[65536];
	size_t start, len;
	uint8_t header[5];
	size_t nheader, body;
};

static void
count_records(struct half *h, const uint8_t *p, size_t len)
{
	size_t n;

	while (len > 0) {
		if (h->nheader < sizeof(h->header)) {
			h->header[h->nheader++] = *p++;
			len--;
			if (h->nheader < sizeof(h->header))
				continue;
			h->body = (size_t)h->header[3] << 8 | h->header[4];
		}
		n = len < h->body ? len : h->body;
		p += n;
		len -= n;
		if ((h->body -= n) > 0)
			continue;
		h->nheader = 0;
		atomic_store(&h->d->last_type, h->header[0]);
		atomic_store(&h->d->last_length,
		    h->header[3] << 8 | h->header[4]);
		atomic_fetch_add(&h->d->records, 1);
	}
}

static int
is_held(const struct half *h)
{
	int hold = atomic_load(&h->d->hold);
	char c;

	if (hold == 0 || h->nheader > 0 ||
	    atomic_load(&h->d->records) < hold - 1)
		return 0;
	if (recv(h->from, &c, 1, MSG_PEEK | MSG_DONTWAIT) == 1)
		atomic_store(&h->d->pending, 1);
	return 1;
}

/* How much may be read: no byte of the record that is to be held. */
static size_t
room(const struct half *h)
{
	if (atomic_load(&h->d->hold) == 0)
		return sizeof(h->buf);
	if (h->nheader < sizeof(h->header))
		return sizeof(h->header) - h->nheader;
	return h->body;
}

/* Ends both connections; returns -1 if the relay has nothing left to do. */
static int
act(struct half *halves, enum h_relay_action action)
{
	int i;

	if (action == H_RELAY_RST) {
		for (i = 0; i < 2; i++)
			h_reset_on_close(halves[i].from);
		return -1;
	}
	for (i = 0; i < 2; i++) {
		shutdown(halves[i].to, SHUT_WR);
		halves[i].len = 0;
		halves[i].ended = 1;
	}
	return 0;
}

static int
take(struct half *h, struct half *halves)
{
	unsigned long long at, limit;
	ssize_t n;

	n = recv(h->from, h->buf, room(h), MSG_DONTWAIT);
	if (n == -1 && errno == EAGAIN)
		return 0;
	if (n <= 0) {
		atomic_store(&h->d->fin, 1);
		shutdown(h->to, SHUT_WR);
		h->ended = 1;
		return 0;
	}
	h->start = 0;
	h->len = (size_t)n;
	at = atomic_load(&h->d->bytes);
	limit = atomic_load(&h->d->limit);
	if (at + h->len >= limit && limit >= at) {
		switch (atomic_load(&h->d->action)) {
		case H_RELAY_FLIP:
			if (at + h->len > limit) {
				h->buf[limit - at] ^= 1;
				atomic_store(&h->d->limit, ~0ULL);
			}
			break;
		default:
			/* What is before the limit still gets through. */
			h->len = (size_t)(limit - at);
			count_records(h, h->buf, h->len);
			if (h->len > 0)
				send(h->to, h->buf, h->len, MSG_NOSIGNAL);
			atomic_store(&h->d->bytes, limit);
			h->len = 0;
			return act(halves,
			    (enum h_relay_action)atomic_load(&h->d->action));
		}
	}
	count_records(h, h->buf, h->len);
	atomic_fetch_add(&h->d->bytes, h->len);
	return 0;
}

static void
give(struct half *h)
{
	ssize_t n;

	n = send(h->to, h->buf + h->start, h->len, MSG_DONTWAIT | MSG_NOSIGNAL);
	if (n == -1 && errno == EAGAIN)
		return;
	if (n == -1)
		n = (ssize_t)h->len; /* nobody is there to get it */
	h->start += (size_t)n;
	h->len -= (size_t)n;
}

/* Descriptors: client, server, control, shared memory. */
int
h_relay_peer(int argc, char **argv)
{
	static struct half halves[2];
	struct h_relay_direction *d;
	struct pollfd pfd[5];
	char command;
	int i;

	(void)argc;
	(void)argv;
	d = mmap(NULL, 2 * sizeof(*d), PROT_READ | PROT_WRITE, MAP_SHARED,
	    H_KEPT + 3, 0);
	if (d == MAP_FAILED)
		return 1;
	for (i = 0; i < 2; i++) {
		halves[i].d = &d[i];
		halves[i].from = H_KEPT + i;
		halves[i].to = H_KEPT + 1 - i;
	}
	for (;;) {
		for (i = 0; i < 2; i++) {
			pfd[2 * i].fd = halves[i].ended || halves[i].len > 0 ||
						is_held(&halves[i])
					    ? -1
					    : halves[i].from;
			pfd[2 * i].events = POLLIN;
			pfd[2 * i + 1].fd =
			    halves[i].len > 0 ? halves[i].to : -1;
			pfd[2 * i + 1].events = POLLOUT;
		}
		pfd[4].fd = H_KEPT + 2;
		pfd[4].events = POLLIN;
		/* What is held may be let go without a word. */
		if (poll(pfd, 5,
			is_held(&halves[0]) || is_held(&halves[1]) ? 5 : -1) ==
		    -1)
			continue;
		for (i = 0; i < 2; i++) {
			if (pfd[2 * i + 1].revents != 0)
				give(&halves[i]);
			if (pfd[2 * i].revents != 0 &&
			    take(&halves[i], halves) == -1)
				return 0;
		}
		if (pfd[4].revents != 0) {
			if (read(H_KEPT + 2, &command, 1) != 1)
				return 0;
			if (act(halves, (enum h_relay_action)command) == -1)
				return 0;
		}
	}
}

void
h_relay_start(struct h_relay *r, int *cfd, int *sfd)
{
	struct h_relay_direction *d;
	int keep[4];
	int i;

	h_tcp_pair(cfd, &keep[0]);
	h_tcp_pair(sfd, &keep[1]);
	h_socketpair(SOCK_STREAM, &r->control, &keep[2]);
	if ((keep[3] = memfd_create("relay", MFD_CLOEXEC)) == -1 ||
	    ftruncate(keep[3], 2 * sizeof(*d)) == -1)
		FAIL("memfd_create: %s", strerror(errno));
	d = mmap(NULL, 2 * sizeof(*d), PROT_READ | PROT_WRITE, MAP_SHARED,
	    keep[3], 0);
	if (d == MAP_FAILED)
		FAIL("mmap: %s", strerror(errno));
	r->to_server = &d[0];
	r->to_client = &d[1];
	atomic_store(&d[0].limit, ~0ULL);
	atomic_store(&d[1].limit, ~0ULL);
	r->pid = h_start(keep, 4, "relay", (char *)NULL);
	for (i = 0; i < 4; i++)
		close(keep[i]);
}

void
h_relay_limit(struct h_relay_direction *d, unsigned long long bytes,
    enum h_relay_action action)
{
	atomic_store(&d->action, action);
	atomic_store(&d->limit, bytes);
}

void
h_relay_hold(struct h_relay_direction *d, int records)
{
	atomic_store(&d->hold, records + 1);
}

void
h_relay_now(struct h_relay *r, enum h_relay_action action)
{
	char command = (char)action;

	h_send(r->control, &command, 1);
	/* Nothing gets through after this call. */
	if (action == H_RELAY_RST)
		CHECK_INT(h_wait_exit(r->pid), 0);
}

void
h_relay_stop(struct h_relay *r)
{
	close(r->control);
	if (is_started(r->pid))
		CHECK_INT(h_wait_exit(r->pid), 0);
	munmap(r->to_server, 2 * sizeof(*r->to_server));
}

/* What is left behind. */

int
h_fds(void)
{
	struct dirent *e;
	int n = 0;
	DIR *dir;

	if ((dir = opendir("/proc/self/fd")) == NULL)
		FAIL("/proc/self/fd: %s", strerror(errno));
	while ((e = readdir(dir)) != NULL)
		n += e->d_name[0] != '.';
	closedir(dir);
	return n - 1;
}

void
h_print_fds(void)
{
	char path[300], target[256];
	struct dirent *e;
	ssize_t n;
	DIR *dir;

	if ((dir = opendir("/proc/self/fd")) == NULL)
		return;
	while ((e = readdir(dir)) != NULL) {
		snprintf(path, sizeof(path), "/proc/self/fd/%s", e->d_name);
		n = readlink(path, target, sizeof(target) - 1);
		if (n == -1)
			continue;
		target[n] = '\0';
		fprintf(stderr, "descriptor %s: %s\n", e->d_name, target);
	}
	closedir(dir);
}

struct process {
	pid_t pid, parent;
	char state;
	char argv0[64], argv1[64]; /* argv0 without its directory */
};

static int
read_file(pid_t pid, const char *file, char *buf, size_t size)
{
	char path[64];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1)
		return -1;
	n = read(fd, buf, size - 1);
	close(fd);
	if (n < 0)
		return -1;
	buf[n] = '\0';
	return (int)n;
}

/* What runs now; a process that ends meanwhile is left out. */
static size_t
processes(struct process *list, size_t max)
{
	char buf[4096];
	struct dirent *e;
	struct process *p;
	size_t n = 0;
	int parent, len;
	const char *s;
	DIR *dir;

	if ((dir = opendir("/proc")) == NULL)
		FAIL("/proc: %s", strerror(errno));
	while ((e = readdir(dir)) != NULL && n < max) {
		p = &list[n];
		memset(p, 0, sizeof(*p));
		if ((p->pid = atoi(e->d_name)) <= 0 ||
		    read_file(p->pid, "stat", buf, sizeof(buf)) <= 0)
			continue;
		/* The second field is in brackets and may hold anything. */
		if ((s = strrchr(buf, ')')) == NULL ||
		    sscanf(s + 1, " %c %d", &p->state, &parent) != 2)
			continue;
		p->parent = parent;
		len = read_file(p->pid, "cmdline", buf, sizeof(buf));
		if (len > 0) {
			s = strrchr(buf, '/');
			snprintf(p->argv0, sizeof(p->argv0), "%.63s",
			    s != NULL ? s + 1 : buf);
			if (strlen(buf) + 1 < (size_t)len)
				snprintf(p->argv1, sizeof(p->argv1), "%.63s",
				    buf + strlen(buf) + 1);
		}
		n++;
	}
	closedir(dir);
	return n;
}

static int
is_helper(const struct process *p)
{
	return p->state != 'Z' && p->state != 'X' &&
	       strncmp(p->argv0, "goproxy", strlen("goproxy")) == 0;
}

/* Whether p is ours, by helpers only: not below a program that lives. */
static int
is_ours(const struct process *p, const struct process *list, size_t n)
{
	size_t i, depth;

	for (depth = 0; depth < 16; depth++) {
		if (p->parent == getpid())
			return 1;
		for (i = 0; i < n && list[i].pid != p->parent; i++)
			;
		if (i == n || !is_helper(&list[i]))
			return 0;
		p = &list[i];
	}
	return 0;
}

/* Our live helpers; those of a role where it is not NULL. */
static size_t
helpers(const char *role, pid_t *pids, size_t max)
{
	static struct process list[4096];
	size_t i, n, found = 0;

	n = processes(list, sizeof(list) / sizeof(list[0]));
	for (i = 0; i < n; i++) {
		if (list[i].state == 'Z' && list[i].parent == getpid() &&
		    !is_started(list[i].pid))
			waitpid(list[i].pid, NULL, WNOHANG);
		if (!is_helper(&list[i]) || !is_ours(&list[i], list, n) ||
		    (role != NULL && strcmp(list[i].argv1, role) != 0))
			continue;
		if (found < max)
			pids[found] = list[i].pid;
		found++;
	}
	return found;
}

int
h_helpers(void)
{
	return (int)helpers(NULL, NULL, 0);
}

size_t
h_helper_list(const char *role, pid_t *pids, size_t max)
{
	return helpers(role, pids, max);
}

static int
zombies(void)
{
	static struct process list[4096];
	size_t i, j, n;
	int found = 0;

	n = processes(list, sizeof(list) / sizeof(list[0]));
	for (i = 0; i < n; i++) {
		if (list[i].state != 'Z')
			continue;
		for (j = 0; j < n; j++)
			found += list[j].pid == list[i].parent &&
				 is_helper(&list[j]) &&
				 is_ours(&list[j], list, n);
	}
	return found;
}

void
h_wait_no_zombies(int ms)
{
	int64_t deadline = h_now() + ms;

	while (zombies() > 0)
		h_pause(deadline, "dead helpers to be reaped");
}

int
h_long(void)
{
	const char *value = getenv("TEST_LONG");

	return value != NULL && *value != '\0' && strcmp(value, "0") != 0;
}

int
h_raise_nofile(void)
{
	struct rlimit limit;

	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), 0);
	limit.rlim_cur = limit.rlim_max;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), 0);
	return limit.rlim_max > INT_MAX ? INT_MAX : (int)limit.rlim_max;
}

void
h_wait_no_helpers(int ms)
{
	int64_t deadline = h_now() + ms;

	while (h_helpers() > 0)
		h_pause(deadline, "the end of the helpers");
}

pid_t
h_helper(const char *role)
{
	pid_t pid;

	return helpers(role, &pid, 1) == 1 ? pid : -1;
}

pid_t
h_wait_helper(const char *role, pid_t other_than)
{
	int64_t deadline = h_now() + H_WAIT;
	pid_t pid;

	while ((pid = h_helper(role)) == -1 || pid == other_than)
		h_pause(deadline, role);
	return pid;
}

void
h_wait_gone(pid_t pid)
{
	int64_t deadline = h_now() + H_WAIT;

	/* Where it was left to us, counting reaps it. */
	while (h_helpers() >= 0 && kill(pid, 0) == 0)
		h_pause(deadline, "the end of a helper");
	CHECK_INT(errno, ESRCH);
}

/* Whether all threads of a process are stopped. */
static int
is_stopped(pid_t pid)
{
	struct dirent *entry;
	char path[300], state;
	int stopped = 1;
	DIR *dir;
	FILE *fp;

	snprintf(path, sizeof(path), "/proc/%d/task", (int)pid);
	CHECK((dir = opendir(path)) != NULL);
	while ((entry = readdir(dir)) != NULL) {
		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "/proc/%d/task/%s/stat", (int)pid,
		    entry->d_name);
		/* The thread may have ended. */
		if ((fp = fopen(path, "r")) == NULL)
			continue;
		if (fscanf(fp, "%*d (%*[^)]) %c", &state) == 1 && state != 'T')
			stopped = 0;
		fclose(fp);
	}
	closedir(dir);
	return stopped;
}

void
h_stop(pid_t pid)
{
	int64_t deadline = h_now() + H_WAIT;

	CHECK_INT(kill(pid, SIGSTOP), 0);
	while (!is_stopped(pid))
		h_pause(deadline, "a process that has not stopped");
}
