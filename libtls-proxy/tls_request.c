/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Decisions that the application makes while a handshake in the worker waits.
 * Each connection has a channel of its own, as each may have a worker of its
 * own. A context and the connections that it accepts share the descriptor that
 * tells of all their channels; its thread or any other may read and answer.
 */

#include <sys/socket.h>

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform.h"
#include "tls_internal.h"
#include "trace.h"

/* So many messages that are no requests may come in one call. */
#define OTHERS_MAX 256

/* A connection whose handshake may ask, until its channel ends. */
struct request_context {
	struct request_context *next;
	uint64_t id;
	struct tlsp_handle channel;
	struct tls *ctx;
	struct tls_config *config; /* a reference */
};

/*
 * A child has a copy of its parent's, and only gives it up: the mutex may have
 * been another thread's, and the answers would be somebody else's.
 */
struct tls_requests {
	pthread_mutex_t mutex; /* the lists and last */
	atomic_int refcount;
	pid_t pid;
	int poller; /* of all channels */
	struct tlsp_handle mark;
	uint64_t last;
	struct request_context *contexts;
	struct tls_request *unanswered;
};

struct tls_request {
	struct tls_request *next;
	struct tls_requests *requests; /* a reference */
	struct tls_request_facts facts;
	unsigned int number; /* of the message */
	uint64_t id;
	uint64_t context;
	uint32_t config; /* goproxy's number for it */
	uint32_t slot;	 /* of a key that was attached, or 0 */
	int cancelled;
	struct tls_error error;
	char *strings[3];
	void *arrays[2];
	uint8_t message[];
};

/* Threads may accept on one server: which requests a context has. */
static pthread_mutex_t owner_mutex = PTHREAD_MUTEX_INITIALIZER;

static void
lock(void)
{
	pthread_mutex_lock(&owner_mutex);
}

static void
unlock(void)
{
	pthread_mutex_unlock(&owner_mutex);
}

__attribute__((constructor)) static void
load(void)
{
	/* A child must not inherit the mutex locked by another thread. */
	(void)pthread_atfork(lock, unlock, unlock);
}

static struct tls_requests *
requests_new(void)
{
	struct tls_requests *requests;
	int mark;

	if ((requests = calloc(1, sizeof(*requests))) == NULL)
		return NULL;
	if ((requests->poller = tlsp_platform_poller(&mark)) == -1) {
		free(requests);
		return NULL;
	}
	tlsp_handle_set(&requests->mark, mark);
	pthread_mutex_init(&requests->mutex, NULL);
	requests->pid = getpid();
	requests->refcount = 1;
	return requests;
}

static void
requests_ref(struct tls_requests *requests)
{
	atomic_fetch_add(&requests->refcount, 1);
}

/* The descriptor, or -1 if it is not ours any more. */
static int
poller_fd(const struct tls_requests *requests)
{
	int mark = tlsp_handle_fd(&requests->mark);

	return mark != -1 && tlsp_platform_poller_has(requests->poller, mark)
		   ? requests->poller
		   : -1;
}

static void
context_free(struct request_context *entry)
{
	if (entry == NULL)
		return;
	tlsp_handle_close(&entry->channel);
	tls_config_free(entry->config);
	free(entry);
}

static void
requests_unref(struct tls_requests *requests)
{
	struct request_context *entry;
	int fd;

	if (atomic_fetch_sub(&requests->refcount, 1) > 1)
		return;
	while ((entry = requests->contexts) != NULL) {
		requests->contexts = entry->next;
		context_free(entry);
	}
	fd = poller_fd(requests);
	tlsp_fd_close(&fd);
	tlsp_handle_close(&requests->mark);
	free(requests);
}

static int
is_ours(const struct tls_requests *requests)
{
	return requests->pid == getpid();
}

/*
 * Those of a context in this process; NULL with errno. A program that closes
 * all descriptors gets others.
 */
static struct tls_requests *
requests_of(struct tls *ctx)
{
	struct tls_requests *requests;

	lock();
	if (ctx->requests != NULL &&
	    (!is_ours(ctx->requests) || poller_fd(ctx->requests) == -1))
		tls_requests_leave(ctx);
	if (ctx->requests == NULL)
		ctx->requests = requests_new();
	requests = ctx->requests;
	unlock();
	return requests;
}

/* Where the connection's entry is, or the end of the list. */
static struct request_context **
context_link(struct tls_requests *requests, uint64_t id)
{
	struct request_context **link = &requests->contexts;

	while (*link != NULL && (*link)->id != id)
		link = &(*link)->next;
	return link;
}

/*
 * Takes a connection off the list, and cancels what it has asked. Returns its
 * entry for context_free(), or NULL; called with the mutex held.
 */
static struct request_context *
context_remove(struct tls_requests *requests, uint64_t id)
{
	struct request_context **link = context_link(requests, id);
	struct request_context *entry = *link;
	struct tls_request *request;
	int fd;

	if (entry == NULL)
		return NULL;
	*link = entry->next;
	/* To be closed is not enough where a child has a copy. */
	if ((fd = tlsp_handle_fd(&entry->channel)) != -1)
		tlsp_platform_poller_remove(requests->poller, fd);
	for (request = requests->unanswered; request != NULL;
	     request = request->next) {
		if (request->context == id)
			request->cancelled = 1;
	}
	return entry;
}

static int
set_channel_error(struct tls *ctx)
{
	tls_set_error(ctx, TLS_ERROR_UNKNOWN,
	    "failed to create a request channel");
	return -1;
}

int
tls_requests_inherit(struct tls *conn, struct tls *server)
{
	struct tls_requests *requests;

	if (!tlsp_config_channel_asks(server->channel))
		return 0;
	if ((requests = requests_of(server)) == NULL)
		return set_channel_error(server);
	requests_ref(requests);
	conn->requests = requests;
	return 0;
}

int
tls_requests_enter(struct tls *ctx)
{
	struct request_context *entry;
	struct tls_requests *requests;
	int pair[2], rv;

	if ((requests = requests_of(ctx)) == NULL ||
	    (entry = calloc(1, sizeof(*entry))) == NULL)
		return set_channel_error(ctx);
	if (tlsp_channel_pair(SOCK_SEQPACKET, pair) == -1) {
		free(entry);
		return set_channel_error(ctx);
	}
	tlsp_handle_set(&entry->channel, tlsp_fd_move_high(pair[0]));
	entry->ctx = ctx;
	entry->config = tls_config_ref(ctx->config);
	pthread_mutex_lock(&requests->mutex);
	entry->id = ++requests->last;
	rv = tlsp_platform_poller_add(requests->poller, entry->channel.fd,
	    entry->id);
	if (rv == 0) {
		ctx->request_context = entry->id;
		entry->next = requests->contexts;
		requests->contexts = entry;
	}
	pthread_mutex_unlock(&requests->mutex);
	if (rv == -1) {
		tlsp_fd_close(&pair[1]);
		(void)set_channel_error(ctx);
		context_free(entry);
		return -1;
	}
	return pair[1];
}

int
tls_requests_join(struct tls *ctx, int *fd)
{
	*fd = -1;
	if (!tlsp_config_channel_asks(ctx->channel))
		return 0;
	*fd = tls_requests_enter(ctx);
	return *fd == -1 ? -1 : 0;
}

void
tls_requests_part(struct tls *ctx)
{
	struct request_context *entry;
	uint64_t id = ctx->request_context;

	ctx->request_context = 0;
	if (ctx->requests == NULL || id == 0 || !is_ours(ctx->requests))
		return;
	pthread_mutex_lock(&ctx->requests->mutex);
	entry = context_remove(ctx->requests, id);
	pthread_mutex_unlock(&ctx->requests->mutex);
	context_free(entry);
}

void
tls_requests_leave(struct tls *ctx)
{
	if (ctx->requests == NULL)
		return;
	tls_requests_part(ctx);
	requests_unref(ctx->requests);
	ctx->requests = NULL;
}

int
tls_request_fd(struct tls *ctx)
{
	struct tls_requests *requests;

	if ((requests = requests_of(ctx)) == NULL)
		return set_channel_error(ctx);
	return requests->poller;
}

/* Reading. */

static int
copy_string(struct tls_request *request, size_t i, const struct tlsp_string *s,
    const char **to)
{
	if (s->len == 0)
		return 0;
	request->strings[i] = strndup(s->data, s->len);
	*to = request->strings[i];
	return *to == NULL ? -1 : 0;
}

static int
copy_u16s(struct tls_request *request, size_t i, const struct tlsp_string *s,
    const uint16_t **to, size_t *n)
{
	const uint8_t *p = s->data;
	uint16_t *values;
	size_t j;

	if (s->len % 2 != 0)
		return -1;
	if ((values = calloc(s->len / 2 + 1, sizeof(*values))) == NULL)
		return -1;
	request->arrays[i] = values;
	for (j = 0; j < s->len / 2; j++)
		values[j] = (uint16_t)(p[2 * j] << 8 | p[2 * j + 1]);
	*to = values;
	*n = s->len / 2;
	return 0;
}

/* Whether each name has its length before it. */
static int
is_name_list(const struct tlsp_string *s)
{
	const uint8_t *p = s->data;
	size_t left = s->len;

	while (left > 0) {
		if (p[0] == 0 || p[0] > left - 1)
			return 0;
		left -= 1 + (size_t)p[0];
		p += 1 + p[0];
	}
	return 1;
}

/* Certificates with their lengths before them. */
static int
copy_chain(struct tls_request *request, const struct tlsp_string *s)
{
	struct tls_request_facts *facts = &request->facts;
	struct tls_request_cert *certs;
	const uint8_t *p = s->data;
	size_t left = s->len, len;

	/* None is shorter than its length. */
	if ((certs = calloc(s->len / 4 + 1, sizeof(*certs))) == NULL)
		return -1;
	request->arrays[0] = certs;
	while (left >= 4) {
		len = tlsp_get_u32(p);
		if (len > left - 4)
			return -1;
		certs[facts->nchain].der = p + 4;
		certs[facts->nchain++].len = len;
		p += 4 + len;
		left -= 4 + len;
	}
	facts->chain = certs;
	return left == 0 ? 0 : -1;
}

/* Fills in what the message says. 0, or -1 for what goproxy does not send. */
static int
parse_request(struct tls_request *request, size_t len)
{
	struct tls_request_facts *facts = &request->facts;
	union {
		struct tlsp_ask_certificate certificate;
		struct tlsp_ask_verify verify;
		struct tlsp_ask_session session;
		struct tlsp_ask_staple staple;
		struct tlsp_ask_sign sign;
	} m;

	/* The worker can send any message, and not all fit m. */
	switch (request->number) {
	case TLSP_ASK_CERTIFICATE:
	case TLSP_ASK_VERIFY:
	case TLSP_ASK_SESSION:
	case TLSP_ASK_STAPLE:
	case TLSP_ASK_SIGN:
		break;
	default:
		return -1;
	}
	if (tlsp_wire_decode(request->message, len, 0, request->number, &m) ==
	    -1)
		return -1;
	switch (request->number) {
	case TLSP_ASK_CERTIFICATE:
		facts->kind = TLS_REQUEST_CERTIFICATE;
		request->id = m.certificate.request;
		request->config = m.certificate.config;
		facts->alpn = m.certificate.alpn.data;
		facts->alpn_len = m.certificate.alpn.len;
		if (!is_name_list(&m.certificate.alpn) ||
		    copy_string(request, 0, &m.certificate.servername,
			&facts->servername) == -1 ||
		    copy_string(request, 1, &m.certificate.address,
			&facts->peer_address) == -1 ||
		    copy_u16s(request, 0, &m.certificate.schemes,
			&facts->schemes, &facts->nschemes) == -1)
			return -1;
		return copy_u16s(request, 1, &m.certificate.versions,
		    &facts->versions, &facts->nversions);
	case TLSP_ASK_VERIFY:
		facts->kind = TLS_REQUEST_VERIFY;
		request->id = m.verify.request;
		if (m.verify.depth > INT32_MAX)
			return -1;
		facts->depth = (int)m.verify.depth;
		if (copy_string(request, 0, &m.verify.verdict,
			&facts->verdict) == -1 ||
		    copy_chain(request, &m.verify.chain) == -1)
			return -1;
		return facts->depth < (int)facts->nchain ? 0 : -1;
	case TLSP_ASK_SESSION:
		facts->kind = TLS_REQUEST_SESSION;
		request->id = m.session.request;
		facts->operation = m.session.operation;
		facts->session_id = m.session.id.data;
		facts->session_id_len = m.session.id.len;
		facts->session = m.session.session.data;
		facts->session_len = m.session.session.len;
		facts->lifetime = m.session.lifetime;
		return facts->operation >= TLS_SESSION_STORE &&
			       facts->operation <= TLS_SESSION_REMOVE
			   ? 0
			   : -1;
	case TLSP_ASK_STAPLE:
		facts->kind = TLS_REQUEST_STAPLE;
		request->id = m.staple.request;
		return copy_string(request, 0, &m.staple.hash,
		    &facts->key_hash);
	case TLSP_ASK_SIGN:
		facts->kind = TLS_REQUEST_SIGN;
		request->id = m.sign.request;
		facts->scheme = m.sign.scheme;
		facts->digest = m.sign.digest.data;
		facts->digest_len = m.sign.digest.len;
		return copy_string(request, 0, &m.sign.hash, &facts->key_hash);
	}
	return -1;
}

static void
request_free(struct tls_request *request)
{
	size_t i;

	for (i = 0; i < 3; i++)
		free(request->strings[i]);
	for (i = 0; i < 2; i++)
		free(request->arrays[i]);
	tls_error_clear(&request->error);
	free(request);
}

/* With the mutex held. */
static void
cancel(struct tls_requests *requests, const struct request_context *entry,
    const uint8_t *message, size_t len)
{
	struct tlsp_cancel m;
	struct tls_request *request;

	if (tlsp_wire_decode(message, len, 0, TLSP_CANCEL, &m) == -1)
		return;
	for (request = requests->unanswered; request != NULL;
	     request = request->next) {
		if (request->context == entry->id && request->id == m.request)
			request->cancelled = 1;
	}
}

/*
 * Reads a message of the connection into the request. Returns its length, 0 if
 * it was none, or -1 if the channel has ended; called with the mutex held.
 */
static ssize_t
receive(struct tls_requests *requests, const struct request_context *entry,
    struct tls_request *request)
{
	unsigned int version;
	size_t none = 0;
	ssize_t n;

	memset(request, 0, sizeof(*request));
	n = tlsp_channel_recv(tlsp_handle_fd(&entry->channel), request->message,
	    TLSP_WIRE_MESSAGE_MAX, NULL, &none, MSG_DONTWAIT);
	if (n == -1 && (errno == EAGAIN || errno == EINTR || errno == EMFILE ||
			   errno == EPROTO))
		return 0;
	if (n <= 0)
		return -1;
	if (tlsp_wire_header(request->message, (size_t)n, &version,
		&request->number) == -1)
		return 0;
	if (request->number == TLSP_CANCEL) {
		cancel(requests, entry, request->message, (size_t)n);
		return 0;
	}
	return n;
}

/* The connection's next request; NULL where it was something else. */
static struct tls_request *
next_of(struct tls_requests *requests, uint64_t id)
{
	struct request_context *entry, *ended = NULL;
	struct tls_request *request, *smaller;
	ssize_t n = 0;

	request = malloc(sizeof(*request) + TLSP_WIRE_MESSAGE_MAX);
	if (request == NULL)
		return NULL;
	pthread_mutex_lock(&requests->mutex);
	/* Another thread may just have freed the connection. */
	if ((entry = *context_link(requests, id)) != NULL &&
	    (n = receive(requests, entry, request)) == -1)
		ended = context_remove(requests, id);
	if (n <= 0) {
		free(request);
		request = NULL;
	} else {
		smaller = realloc(request, sizeof(*request) + (size_t)n);
		if (smaller != NULL)
			request = smaller;
		if (parse_request(request, (size_t)n) == -1) {
			request_free(request);
			request = NULL;
		}
	}
	if (request != NULL) {
		requests_ref(requests);
		request->requests = requests;
		request->context = id;
		request->facts.context = entry->ctx;
		request->next = requests->unanswered;
		requests->unanswered = request;
	}
	pthread_mutex_unlock(&requests->mutex);
	context_free(ended);
	return request;
}

struct tls_request *
tls_request_next(struct tls *ctx)
{
	struct tls_requests *requests;
	struct tls_request *request = NULL;
	uint64_t id;
	int i;

	if ((requests = requests_of(ctx)) == NULL)
		return NULL;
	for (i = 0; i < OTHERS_MAX && request == NULL; i++) {
		if ((id = tlsp_platform_poller_ready(requests->poller)) == 0)
			break;
		request = next_of(requests, id);
	}
	return request;
}

const struct tls_request_facts *
tls_request_facts(const struct tls_request *request)
{
	return &request->facts;
}

const char *
tls_request_error(const struct tls_request *request)
{
	return request->error.msg;
}

/* Answering. */

/* Takes the request off the list, and frees it. */
static void
finish(struct tls_request *request)
{
	struct tls_requests *requests = request->requests;
	struct tls_request **link;

	if (is_ours(requests)) {
		pthread_mutex_lock(&requests->mutex);
		for (link = &requests->unanswered; *link != NULL;
		     link = &(*link)->next) {
			if (*link == request) {
				*link = request->next;
				break;
			}
		}
		pthread_mutex_unlock(&requests->mutex);
	}
	request_free(request);
	requests_unref(requests);
}

/* Whether the worker waits no more, as errno has it. */
static int
is_gone(void)
{
	return errno == EPIPE || errno == ECONNRESET;
}

static void
set_cancelled(struct tls_request *request)
{
	tls_set_errorx(request, TLS_ERROR_UNKNOWN, "request was cancelled");
}

/* Sends the answer and frees the request. A failure leaves it as it was. */
static int
answer(struct tls_request *request, unsigned int number, const void *message,
    int fd)
{
	struct tls_requests *requests = request->requests;
	const struct request_context *entry;
	int channel = -1, rv = -1;
	uint8_t *buf;
	size_t len;

	len = tlsp_wire_encode(NULL, 0, number, message);
	if (len == 0 || len > TLSP_WIRE_MESSAGE_MAX) {
		tls_set_errorx(request, TLS_ERROR_INVALID_ARGUMENT,
		    "answer too large");
		return -1;
	}
	if ((buf = malloc(len)) == NULL) {
		tls_set_errorx(request, TLS_ERROR_OUT_OF_MEMORY,
		    "out of memory");
		return -1;
	}
	tlsp_wire_encode(buf, len, number, message);
	pthread_mutex_lock(&requests->mutex);
	entry = *context_link(requests, request->context);
	if (entry != NULL &&
	    (channel = tlsp_handle_fd(&entry->channel)) != -1) {
		/* It is the only answer there, so it has room. */
		rv = tlsp_channel_send(channel, buf, len, &fd, fd == -1 ? 0 : 1,
		    tlsp_deadline_in(0));
		tlsp_trace_sent(channel, number, message, len, fd == -1 ? 0 : 1,
		    rv);
	}
	pthread_mutex_unlock(&requests->mutex);
	if (rv == 0) {
		finish(request);
	} else if (entry == NULL || (channel != -1 && is_gone())) {
		set_cancelled(request);
	} else if (channel == -1) {
		tls_set_errorx(request, TLS_ERROR_UNKNOWN,
		    "the request channel was closed");
	} else {
		tls_set_error(request, TLS_ERROR_UNKNOWN,
		    "failed to answer the request");
	}
	tls_wipe(buf, len);
	free(buf);
	return rv;
}

/* Whether it is too late for an answer, or not for this process to say. */
static int
is_cancelled(struct tls_request *request)
{
	int cancelled;

	if (!is_ours(request->requests)) {
		tls_set_errorx(request, TLS_ERROR_UNKNOWN,
		    "request belongs to another process");
		return 1;
	}
	pthread_mutex_lock(&request->requests->mutex);
	cancelled = request->cancelled;
	pthread_mutex_unlock(&request->requests->mutex);
	if (cancelled)
		set_cancelled(request);
	return cancelled;
}

static int
wrong_kind(struct tls_request *request)
{
	tls_set_errorx(request, TLS_ERROR_INVALID_ARGUMENT,
	    "not an answer to this request");
	return -1;
}

static int
answer_certificate(struct tls_request *request, uint8_t action, uint32_t number,
    const char *error, int fd)
{
	struct tlsp_ask_certificate_reply reply = { 0 };

	reply.request = request->id;
	reply.action = action;
	reply.number = number;
	reply.error = tlsp_string(error);
	return answer(request, TLSP_ASK_CERTIFICATE_REPLY, &reply, fd);
}

static int
answer_verify(struct tls_request *request, const char *error)
{
	struct tlsp_ask_verify_reply reply = { 0 };

	reply.request = request->id;
	reply.error = tlsp_string(error);
	return answer(request, TLSP_ASK_VERIFY_REPLY, &reply, -1);
}

static int
answer_bytes(struct tls_request *request, int use, const void *data, size_t len)
{
	struct tlsp_ask_session_reply session = { 0 };
	struct tlsp_ask_staple_reply staple = { 0 };
	struct tlsp_ask_sign_reply sign = { 0 };
	const struct tlsp_string bytes = { data, len };

	switch (request->facts.kind) {
	case TLS_REQUEST_SESSION:
		session.request = request->id;
		session.session = bytes;
		return answer(request, TLSP_ASK_SESSION_REPLY, &session, -1);
	case TLS_REQUEST_STAPLE:
		staple.request = request->id;
		staple.action = use != 0;
		staple.response = bytes;
		return answer(request, TLSP_ASK_STAPLE_REPLY, &staple, -1);
	case TLS_REQUEST_SIGN:
		sign.request = request->id;
		sign.signature = bytes;
		return answer(request, TLSP_ASK_SIGN_REPLY, &sign, -1);
	}
	return wrong_kind(request);
}

int
tls_request_default(struct tls_request *request)
{
	if (is_cancelled(request))
		return -1;
	switch (request->facts.kind) {
	case TLS_REQUEST_CERTIFICATE:
		return answer_certificate(request, TLSP_CERTIFICATE_DEFAULT, 0,
		    NULL, -1);
	case TLS_REQUEST_VERIFY:
		return answer_verify(request, request->facts.verdict);
	}
	return answer_bytes(request, 0, NULL, 0);
}

int
tls_request_accept(struct tls_request *request)
{
	if (request->facts.kind != TLS_REQUEST_VERIFY)
		return wrong_kind(request);
	if (is_cancelled(request))
		return -1;
	return answer_verify(request, NULL);
}

int
tls_request_refuse(struct tls_request *request, const char *reason)
{
	if (is_cancelled(request))
		return -1;
	if (reason == NULL || *reason == '\0')
		reason = "refused";
	switch (request->facts.kind) {
	case TLS_REQUEST_CERTIFICATE:
		return answer_certificate(request, TLSP_CERTIFICATE_REFUSE, 0,
		    reason, -1);
	case TLS_REQUEST_VERIFY:
		return answer_verify(request, reason);
	case TLS_REQUEST_SIGN:
		return answer_bytes(request, 0, NULL, 0);
	}
	return wrong_kind(request);
}

int
tls_request_answer(struct tls_request *request, const void *data, size_t len)
{
	if (is_cancelled(request))
		return -1;
	if (request->facts.kind == TLS_REQUEST_SESSION &&
	    request->facts.operation != TLS_SESSION_LOOKUP)
		return wrong_kind(request);
	return answer_bytes(request, 1, data, len);
}

int
tls_request_answer_pair(struct tls_request *request, unsigned int pair)
{
	if (request->facts.kind != TLS_REQUEST_CERTIFICATE)
		return wrong_kind(request);
	if (is_cancelled(request))
		return -1;
	return answer_certificate(request, TLSP_CERTIFICATE_PAIR, pair, NULL,
	    -1);
}

/* The configuration of the request's connection, referenced, or NULL. */
static struct tls_config *
config_of(struct tls_request *request)
{
	const struct request_context *entry;
	struct tls_config *config = NULL;

	pthread_mutex_lock(&request->requests->mutex);
	entry = *context_link(request->requests, request->context);
	if (entry != NULL)
		config = tls_config_ref(entry->config);
	pthread_mutex_unlock(&request->requests->mutex);
	return config;
}

int
tls_request_answer_keypair(struct tls_request *request, int cert_fd, int key_fd)
{
	struct tls_config *config;
	uint8_t *cert = NULL;
	size_t len = 0;
	int fd = -1, rv = -1;

	if (request->facts.kind != TLS_REQUEST_CERTIFICATE)
		return wrong_kind(request);
	if (is_cancelled(request))
		return -1;
	if ((config = config_of(request)) == NULL) {
		set_cancelled(request);
		return -1;
	}
	/* A copy that cannot change between the keeper and the worker. */
	if (tls_read_fd(cert_fd, &cert, &len) == -1 ||
	    (fd = tlsp_memory_fd(cert, len)) == -1) {
		tls_set_error(request, TLS_ERROR_UNKNOWN,
		    "failed to read certificate");
		goto err;
	}
	if (request->slot == 0 &&
	    tls_config_attach_key(config, request->config, fd, key_fd,
		&request->slot, &request->error) == -1)
		goto err;
	rv = answer_certificate(request, TLSP_CERTIFICATE_NEW, request->slot,
	    NULL, fd);

err:
	free(cert);
	tlsp_fd_close(&fd);
	tls_config_free(config);
	return rv;
}

void
tls_request_free(struct tls_request *request)
{
	int rv;

	if (request == NULL)
		return;
	if (!is_cancelled(request)) {
		/* A session or a staple can't be refused. */
		if ((rv = tls_request_refuse(request, "no answer")) == -1)
			rv = tls_request_default(request);
		if (rv == 0)
			return;
	}
	finish(request);
}
