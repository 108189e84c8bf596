/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* The messages REPORT and its answers of goproxy-protocol(7). */

#include <sys/socket.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "channel.h"
#include "status.h"
#include "wire.h"

/* How long everything may take, and how long silence may last. */
#define REPORT_MS  10000
#define SILENCE_MS 3000
/* goproxy answers one at a time; another one waits so long, so often. */
#define PAUSE_MS 50
#define ATTEMPTS 40
/* Whatever claims to be goproxy does not fill our memory. */
#define MAX_MESSAGES (1 << 20)
#define MAX_BYTES    (64 << 20)

static char *
copy(const struct tlsp_string *string)
{
	char *s;

	if ((s = strndup((const char *)string->data, string->len)) == NULL)
		abort();
	return s;
}

static struct worker *
find_worker(struct report *report, pid_t pid)
{
	size_t i;

	for (i = 0; i < report->workers_len; i++) {
		if (report->workers[i].process.pid == pid)
			return &report->workers[i];
	}
	return NULL;
}

static int
take_keeper(struct report *report, const struct tlsp_info_reply *m, pid_t pid)
{
	if (report->release != NULL)
		return -1;
	report->release = copy(&m->release);
	report->refused_last = copy(&m->refused_last);
	report->nworkers = m->workers;
	report->deaths = m->deaths;
	report->configs = m->configs;
	report->keys = m->keys;
	report->signatures = m->signatures;
	report->refused = m->refused;
	process_get(&report->keeper, pid);
	process_get(&report->supervisor, report->keeper.parent);
	return 0;
}

static int
take_worker(struct report *report, const struct tlsp_worker_state *m, pid_t pid)
{
	struct worker *worker;

	if (find_worker(report, pid) != NULL)
		return -1;
	report->workers = grow(report->workers, report->workers_len,
	    sizeof(*report->workers));
	worker = &report->workers[report->workers_len++];
	memset(worker, 0, sizeof(*worker));
	process_get(&worker->process, pid);
	worker->age = m->age;
	worker->full = m->full;
	worker->resumed = m->resumed;
	worker->failed = m->failed;
	worker->broken = m->broken;
	worker->want_connections = m->connections;
	worker->want_causes = m->causes;
	return 0;
}

static int
take_connection(struct worker *worker, const struct tlsp_connection_state *m)
{
	struct connection *c;

	if (worker == NULL || worker->nconnections >= worker->want_connections)
		return -1;
	worker->connections = grow(worker->connections, worker->nconnections,
	    sizeof(*worker->connections));
	c = &worker->connections[worker->nconnections++];
	c->role = m->role;
	c->state = m->state;
	c->transport = m->transport;
	c->resumed = m->resumed;
	c->age = m->age;
	c->received = m->received;
	c->sent = m->sent;
	c->version = copy(&m->version);
	c->cipher = copy(&m->cipher);
	c->alpn = copy(&m->alpn);
	c->servername = copy(&m->servername);
	c->common_name = copy(&m->common_name);
	c->address = copy(&m->address);
	return 0;
}

static int
take_failure(struct worker *worker, const struct tlsp_failure_state *m)
{
	struct failure *failure;

	if (worker == NULL || worker->nfailures >= worker->want_causes)
		return -1;
	worker->failures = grow(worker->failures, worker->nfailures,
	    sizeof(*worker->failures));
	failure = &worker->failures[worker->nfailures++];
	failure->cause = copy(&m->cause);
	failure->count = m->count;
	return 0;
}

/* Takes a message of a process. Returns -1 for one that should not be there. */
static int
take(struct report *report, const uint8_t *buf, size_t len, pid_t pid,
    unsigned int *version)
{
	union {
		struct tlsp_info_reply info;
		struct tlsp_worker_state worker;
		struct tlsp_connection_state connection;
		struct tlsp_failure_state failure;
	} m;
	unsigned int number;

	if (tlsp_wire_header(buf, len, version, &number) == -1)
		return -1;
	if (*version != TLSP_WIRE_VERSION ||
	    (number != TLSP_INFO_REPLY && number != TLSP_WORKER_STATE &&
		number != TLSP_CONNECTION_STATE &&
		number != TLSP_FAILURE_STATE) ||
	    tlsp_wire_decode(buf, len, 0, number, &m) == -1)
		return -1;
	switch (number) {
	case TLSP_INFO_REPLY:
		return take_keeper(report, &m.info, pid);
	case TLSP_WORKER_STATE:
		return take_worker(report, &m.worker, pid);
	case TLSP_CONNECTION_STATE:
		return take_connection(find_worker(report, pid), &m.connection);
	default:
		return take_failure(find_worker(report, pid), &m.failure);
	}
}

/*
 * Receives a message and the process that sent it. Returns its length, 0 at
 * the end, or -1 with errno.
 */
static ssize_t
receive(int fd, uint8_t *buf, size_t size, pid_t *pid)
{
	union {
		struct cmsghdr align;
		char buf[CMSG_SPACE(sizeof(struct ucred)) +
			 CMSG_SPACE(TLSP_WIRE_FDS_MAX * sizeof(int))];
	} control;
	struct iovec iov = { .iov_base = buf, .iov_len = size };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *cmsg;
	struct ucred cred;
	int fds[TLSP_WIRE_FDS_MAX + 1], stray = 0;
	size_t nfds;
	ssize_t n;

	msg.msg_control = control.buf;
	msg.msg_controllen = sizeof(control.buf);
	*pid = -1;
	do
		n = tlsp_channel_recvmsg(fd, &msg,
		    MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	while (n == -1 && errno == EINTR);
	if (n == -1)
		return -1;
	for (cmsg = CMSG_FIRSTHDR(&msg); cmsg != NULL;
	     cmsg = CMSG_NXTHDR(&msg, cmsg)) {
		if (cmsg->cmsg_level != SOL_SOCKET)
			continue;
		if (cmsg->cmsg_type == SCM_CREDENTIALS) {
			memcpy(&cred, CMSG_DATA(cmsg), sizeof(cred));
			*pid = cred.pid;
		} else if (cmsg->cmsg_type == SCM_RIGHTS) {
			nfds = (cmsg->cmsg_len - CMSG_LEN(0)) / sizeof(int);
			if (nfds > sizeof(fds) / sizeof(fds[0]))
				nfds = sizeof(fds) / sizeof(fds[0]);
			memcpy(fds, CMSG_DATA(cmsg), nfds * sizeof(int));
			tlsp_fds_close(fds, nfds);
			stray = 1;
		}
	}
	if (n > 0 && (stray || *pid <= 0 ||
			 (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)) {
		errno = EPROTO;
		return -1;
	}
	return n;
}

static int
is_complete(const struct report *report)
{
	size_t i;

	if (report->workers_len < report->nworkers)
		return 0;
	for (i = 0; i < report->workers_len; i++) {
		const struct worker *worker = &report->workers[i];

		if (worker->nconnections < worker->want_connections ||
		    worker->nfailures < worker->want_causes)
			return 0;
	}
	return 1;
}

/*
 * Collects what comes until the channel ends. Returns 0, 1 where there was
 * nothing, or -1 with errno.
 */
static int
collect(struct report *report, int fd, unsigned int *version)
{
	static uint8_t buf[TLSP_WIRE_MESSAGE_MAX];
	tlsp_deadline end = tlsp_deadline_in(REPORT_MS), silence;
	int messages, ready;
	size_t bytes = 0;
	ssize_t n;
	pid_t pid;

	for (messages = 0; messages < MAX_MESSAGES; messages++) {
		silence = tlsp_deadline_in(SILENCE_MS);
		ready = tlsp_wait(fd, POLLIN, silence < end ? silence : end);
		if (ready == -1)
			return -1;
		if (ready == 0)
			break;
		n = receive(fd, buf, sizeof(buf), &pid);
		if (n == -1)
			return -1;
		if (n == 0) {
			if (messages == 0)
				return 1;
			report->complete = is_complete(report);
			return 0;
		}
		bytes += (size_t)n;
		if (bytes > MAX_BYTES ||
		    take(report, buf, (size_t)n, pid, version) == -1) {
			errno = EPROTO;
			return -1;
		}
	}
	if (report->release == NULL) {
		errno = ETIMEDOUT;
		return -1;
	}
	return 0;
}

/* Asks once; returns as collect() does. */
static int
ask(struct report *report, int control, unsigned int *version)
{
	const struct tlsp_report request = { 0 };
	uint8_t buf[TLSP_WIRE_HEADER];
	int one = 1, pair[2], rv, saved;

	if (tlsp_channel_pair(SOCK_SEQPACKET, pair) == -1)
		return -1;
	if (setsockopt(pair[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)) ==
		-1 ||
	    tlsp_wire_encode(buf, sizeof(buf), TLSP_REPORT, &request) !=
		sizeof(buf) ||
	    tlsp_channel_send(control, buf, sizeof(buf), &pair[1], 1,
		tlsp_deadline_in(SILENCE_MS)) == -1)
		rv = -1;
	else {
		tlsp_fd_close(&pair[1]);
		rv = collect(report, pair[0], version);
	}
	saved = errno;
	tlsp_fd_close(&pair[0]);
	tlsp_fd_close(&pair[1]);
	errno = saved;
	return rv;
}

int
report_get(struct report *report, int control, char *buf, size_t size,
    const char **errstr)
{
	unsigned int version = 0;
	int i, rv;

	for (i = 0; i < ATTEMPTS; i++) {
		memset(report, 0, sizeof(*report));
		rv = ask(report, control, &version);
		if (rv == 0 && report->release != NULL)
			return 0;
		if (rv != 1)
			break;
		/* Somebody else has asked a moment ago. */
		(void)poll(NULL, 0, PAUSE_MS);
	}
	if (version != 0 && version != TLSP_WIRE_VERSION) {
		(void)snprintf(buf, size,
		    "goproxy speaks protocol version %u, tls-proxy-status "
		    "version %u: use those of one release",
		    version, TLSP_WIRE_VERSION);
		*errstr = buf;
	} else if (rv == 1)
		*errstr = "goproxy is busy with reports for others";
	else if (rv == 0 || errno == EPROTO)
		*errstr = "not an answer of goproxy's";
	else if (errno == ETIMEDOUT)
		*errstr = "goproxy does not answer";
	else if (errno == EPIPE || errno == ECONNRESET)
		*errstr = "goproxy has ended";
	else
		*errstr = strerror(errno);
	report_free(report);
	return -1;
}

void
report_free(struct report *report)
{
	struct worker *worker;
	size_t i, j;

	for (i = 0; i < report->workers_len; i++) {
		worker = &report->workers[i];
		for (j = 0; j < worker->nconnections; j++) {
			free(worker->connections[j].version);
			free(worker->connections[j].cipher);
			free(worker->connections[j].alpn);
			free(worker->connections[j].servername);
			free(worker->connections[j].common_name);
			free(worker->connections[j].address);
		}
		for (j = 0; j < worker->nfailures; j++)
			free(worker->failures[j].cause);
		free(worker->connections);
		free(worker->failures);
	}
	free(report->workers);
	free(report->release);
	free(report->refused_last);
	memset(report, 0, sizeof(*report));
}
