/* SPDX-License-Identifier: ISC */
/*
 * Decisions that a handshake waits for: each kind, each answer, in any order
 * and from any thread, and what happens without one.
 */

#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tls_proxy.h>

#include "harness.h"

#define N(array) (sizeof(array) / sizeof((array)[0]))

#define TIMEOUT	 20000 /* longer than any test */
#define FDS	 1024  /* beyond all that are open */

/* Answers the requests of ctx; returns how many there were. */
typedef void (*answer_fn)(struct tls_request *, void *);

static int
answer_all(struct tls *ctx, answer_fn fn, void *arg)
{
	struct tls_request *request;
	int n = 0;

	while ((request = tls_request_next(ctx)) != NULL) {
		fn(request, arg);
		n++;
	}
	return n;
}

/* One step of an end that is not done, and what to wait for after it. */
static void
step_end(struct tls *ctx, int fd, int *rv, struct pollfd *pfd)
{
	if (*rv < -1)
		*rv = tls_handshake(ctx);
	pfd->fd = *rv < -1 ? h_wait_fd(ctx, fd) : -1;
	pfd->events = *rv == TLS_WANT_POLLOUT ? POLLOUT : POLLIN;
}

/* Returns whether one of both ends is not done. */
static int
step(struct h_pair *p, struct pollfd *pfds)
{
	step_end(p->client, p->cfd, &p->crv, &pfds[0]);
	step_end(p->server, p->sfd, &p->srv, &pfds[1]);
	return p->crv < -1 || p->srv < -1;
}

/* Runs both handshakes and answers the requests of asker meanwhile. */
static int
shake(struct h_pair *p, struct tls *asker, answer_fn fn, void *arg)
{
	struct pollfd pfds[3];
	int64_t deadline = h_now() + H_WAIT;
	int n = 0;

	p->crv = p->srv = TLS_WANT_POLLIN;
	pfds[2].fd = tls_request_fd(asker);
	pfds[2].events = POLLIN;
	CHECK(pfds[2].fd != -1);
	while (step(p, pfds)) {
		if (h_now() > deadline)
			FAIL("the handshake hangs");
		CHECK(poll(pfds, 3, H_WAIT) >= 0);
		n += answer_all(asker, fn, arg);
	}
	return n + answer_all(asker, fn, arg);
}

static void
ask(struct tls_config *config, uint32_t kinds)
{
	CHECK_CONFIG(config, tls_config_set_requests(config, kinds, TIMEOUT));
}

static void
must(struct tls_request *request, int rv)
{
	if (rv != 0)
		FAIL("%s", tls_request_error(request));
}

static void
check_subject(struct tls *ctx, const char *name)
{
	char subject[128];

	snprintf(subject, sizeof(subject), "/C=XX/O=libtls-proxy tests/CN=%s",
	    name);
	CHECK_STR(tls_peer_cert_subject(ctx), subject);
}

/* Certificates. */

struct certificate {
	const char *answer;  /* default, pair, new, refuse, mismatch, none */
	const char *subject; /* NULL for a failure */
	const char *error;
};

static int
open_cert(const char *name)
{
	int fd = open(h_cert(name), O_RDONLY | O_CLOEXEC);

	CHECK(fd != -1);
	return fd;
}

static void
answer_certificate(struct tls_request *request, void *arg)
{
	const struct certificate *c = arg;
	const struct tls_request_facts *facts = tls_request_facts(request);
	int cert, key, rv;

	CHECK(facts != NULL);
	CHECK_INT(facts->kind, TLS_REQUEST_CERTIFICATE);
	CHECK_STR(facts->servername, "localhost");
	CHECK_INT(facts->alpn_len, 3);
	CHECK_MEM(facts->alpn, "\x02h2", 3);
	CHECK(facts->nschemes > 0);
	CHECK(facts->nversions > 0);
	if (h_app) /* the network is the application's */
		CHECK(facts->peer_address == NULL);
	else
		CHECK_HAS(facts->peer_address, "127.0.0.1:");
	CHECK_INT(tls_request_accept(request), -1);
	CHECK_STR(tls_request_error(request), "not an answer to this request");
	CHECK_INT(tls_request_answer(request, "", 0), -1);
	if (strcmp(c->answer, "default") == 0)
		must(request, tls_request_default(request));
	else if (strcmp(c->answer, "pair") == 0)
		must(request, tls_request_answer_pair(request, 0));
	else if (strcmp(c->answer, "no pair") == 0)
		must(request, tls_request_answer_pair(request, 77));
	else if (strcmp(c->answer, "refuse") == 0)
		must(request, tls_request_refuse(request, "not today"));
	else if (strcmp(c->answer, "free") == 0)
		tls_request_free(request);
	else {
		cert = open_cert("a.test-chain.pem");
		key = open_cert(strcmp(c->answer, "new") == 0 ? "a.test.key"
							      : "b.test.key");
		rv = tls_request_answer_keypair(request, cert, key);
		close(cert);
		close(key);
		if (strcmp(c->answer, "mismatch") == 0) {
			CHECK_INT(rv, -1);
			CHECK_STR(tls_request_error(request),
			    "private/public key mismatch");
			tls_request_free(request);
		} else
			must(request, rv);
	}
}

static void
certificates(void **state)
{
	static const struct certificate cases[] = {
		{ "default", "ecdsa", NULL },
		{ "pair", "rsa", NULL },
		{ "new", "a.test", NULL },
		{ "no pair", NULL, "a key pair that does not exist" },
		{ "refuse", NULL, "handshake failed: not today" },
		{ "mismatch", NULL, "handshake failed: no answer" },
		{ "free", NULL, "handshake failed: no answer" },
	};
	static const uint32_t protocols[] = { TLS_PROTOCOL_TLSv1_2,
		TLS_PROTOCOL_TLSv1_3 };
	struct tls_config *client, *server;
	struct h_pair p;
	size_t i, j;

	(void)state;
	for (i = 0; i < N(cases) * 2; i++) {
		j = i / 2;
		h_case = cases[j].answer;
		client = h_client_config();
		tls_config_insecure_noverifyname(client);
		CHECK_CONFIG(client,
		    tls_config_set_protocols(client, protocols[i % 2]));
		CHECK_CONFIG(client, tls_config_set_alpn(client, "h2"));
		server = h_server_config("rsa");
		CHECK_CONFIG(server,
		    tls_config_add_keypair_file(server,
			h_cert("ecdsa-chain.pem"), h_cert("ecdsa.key")));
		ask(server, TLS_REQUEST_CERTIFICATE);
		h_pair_start(&p, client, server, "localhost");
		CHECK_INT(
		    shake(&p, p.base, answer_certificate, (void *)&cases[j]),
		    1);
		if (cases[j].subject == NULL) {
			CHECK_INT(p.crv, -1);
			CHECK_INT(p.srv, -1);
			CHECK_HAS(tls_error(p.server), cases[j].error);
		} else {
			CHECK_TLS(p.client, p.crv);
			CHECK_TLS(p.server, p.srv);
			check_subject(p.client, cases[j].subject);
			h_pair_echo(&p);
		}
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
	h_case = NULL;
}

/* A server that has no certificate at all until it is asked. */
static void
no_certificate_of_its_own(void **state)
{
	static const struct certificate c = { "new", "a.test", NULL };
	struct tls_config *client = h_client_config(), *server;
	struct h_pair p;
	int i;

	(void)state;
	tls_config_insecure_noverifyname(client);
	CHECK_CONFIG(client, tls_config_set_alpn(client, "h2"));
	CHECK((server = tls_config_new()) != NULL);
	ask(server, TLS_REQUEST_CERTIFICATE);
	for (i = 0; i < 3; i++) {
		h_pair_start(&p, client, server, "localhost");
		CHECK_INT(shake(&p, p.base, answer_certificate, (void *)&c), 1);
		CHECK_TLS(p.client, p.crv);
		check_subject(p.client, "a.test");
		h_pair_free(&p);
	}
	tls_config_free(client);
	tls_config_free(server);
}

/* Verification. */

struct verification {
	const char *name;
	uint32_t kinds;
	const char *cert; /* the server's */
	int accept;	  /* 1 yes, 0 no, -1 as usual */
	int asked;
	const char *verdict; /* what the question says */
	const char *error;   /* of the handshake */
	int depth;	     /* of the last question */
};

static void
answer_verification(struct tls_request *request, void *arg)
{
	const struct tls_request_facts *facts = tls_request_facts(request);
	struct verification *v = arg;

	CHECK_INT(facts->kind, TLS_REQUEST_VERIFY);
	CHECK(facts->nchain >= 1);
	CHECK(facts->chain[0].len > 100);
	CHECK_INT(facts->chain[0].der[0], 0x30);
	if (v->verdict == NULL)
		CHECK(facts->verdict == NULL);
	else
		CHECK_HAS(facts->verdict, v->verdict);
	v->depth = facts->depth;
	if (v->accept == 1)
		must(request, tls_request_accept(request));
	else if (v->accept == 0)
		must(request, tls_request_refuse(request, "not on the list"));
	else
		must(request, tls_request_default(request));
}

static void
verifications(void **state)
{
#define EXPIRED "certificate has expired"
	static const struct verification cases[] = {
		{ "good, accepted", TLS_REQUEST_VERIFY, "rsa", 1, 1, NULL, NULL,
		    0 },
		{ "good, refused", TLS_REQUEST_VERIFY, "rsa", 0, 1, NULL,
		    "handshake failed: not on the list", 0 },
		{ "good, as usual", TLS_REQUEST_VERIFY, "rsa", -1, 1, NULL,
		    NULL, 0 },
		{ "bad, accepted", TLS_REQUEST_VERIFY, "expired", 1, 1, EXPIRED,
		    NULL, 0 },
		{ "bad, refused", TLS_REQUEST_VERIFY, "expired", 0, 1, EXPIRED,
		    "handshake failed: not on the list", 0 },
		{ "bad, as usual", TLS_REQUEST_VERIFY, "expired", -1, 1,
		    EXPIRED, "certificate verification failed: " EXPIRED, 0 },
		{ "each, accepted", TLS_REQUEST_VERIFY_EACH, "rsa", 1, 2, NULL,
		    NULL, 0 },
		{ "each, refused", TLS_REQUEST_VERIFY_EACH, "rsa", 0, 1, NULL,
		    "handshake failed: not on the list", 1 },
	};
	struct tls_config *client, *server;
	struct verification v;
	struct h_pair p;
	size_t i;

	(void)state;
	for (i = 0; i < N(cases); i++) {
		v = cases[i];
		h_case = v.name;
		client = h_client_config();
		tls_config_insecure_noverifyname(client);
		ask(client, v.kinds);
		server = h_server_config(v.cert);
		h_pair_start(&p, client, server, "localhost");
		CHECK_INT(shake(&p, p.client, answer_verification, &v),
		    v.asked);
		CHECK_INT(v.depth, cases[i].depth);
		if (v.error == NULL) {
			CHECK_TLS(p.client, p.crv);
			h_pair_echo(&p);
		} else {
			CHECK_INT(p.crv, -1);
			CHECK_STR(tls_error(p.client), v.error);
		}
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
	h_case = NULL;
}

/* A server about its clients. */
static void
client_verification(void **state)
{
	struct verification v = { "client", TLS_REQUEST_VERIFY, NULL, 1, 1,
		"self signed certificate in certificate chain", NULL, 0 };
	struct tls_config *client, *server;
	struct h_pair p;

	(void)state;
	client = h_client_config();
	CHECK_CONFIG(client,
	    tls_config_set_keypair_file(client,
		h_cert("other-client-chain.pem"), h_cert("other-client.key")));
	server = h_server_config("rsa");
	CHECK_CONFIG(server,
	    tls_config_set_ca_file(server, h_cert("root.pem")));
	tls_config_verify_client(server);
	ask(server, TLS_REQUEST_VERIFY);
	h_pair_start(&p, client, server, "localhost");
	CHECK_INT(shake(&p, p.base, answer_verification, &v), 1);
	CHECK_TLS(p.server, p.srv);
	CHECK_TLS(p.client, p.crv);
	h_pair_echo(&p);
	h_pair_free(&p);
	tls_config_free(client);
	tls_config_free(server);
}

/* Sessions: a store in this process for two servers. */

static struct {
	uint8_t id[64], session[4096];
	size_t id_len, session_len;
	int stores, lookups, removes;
	int lose; /* what is looked up */
} store;

static void
answer_session(struct tls_request *request, void *arg)
{
	const struct tls_request_facts *f = tls_request_facts(request);

	(void)arg;
	CHECK_INT(f->kind, TLS_REQUEST_SESSION);
	switch (f->operation) {
	case TLS_SESSION_STORE:
		store.stores++;
		CHECK(f->session_id_len <= sizeof(store.id));
		CHECK(f->session_len <= sizeof(store.session));
		CHECK_INT(f->lifetime, 3600);
		memcpy(store.id, f->session_id, f->session_id_len);
		memcpy(store.session, f->session, f->session_len);
		store.id_len = f->session_id_len;
		store.session_len = f->session_len;
		CHECK_INT(tls_request_answer(request, "x", 1), -1);
		must(request, tls_request_default(request));
		break;
	case TLS_SESSION_LOOKUP:
		store.lookups++;
		if (!store.lose && f->session_id_len == store.id_len &&
		    memcmp(f->session_id, store.id, store.id_len) == 0)
			must(request, tls_request_answer(request, store.session,
					  store.session_len));
		else
			must(request, tls_request_default(request));
		break;
	default:
		CHECK_INT(f->operation, TLS_SESSION_REMOVE);
		store.removes++;
		must(request, tls_request_default(request));
	}
}

static struct tls_config *
session_server(int key_byte)
{
	struct tls_config *server = h_server_config("rsa");
	uint8_t key[TLS_TICKET_KEY_SIZE];

	memset(key, key_byte, sizeof(key));
	CHECK_CONFIG(server,
	    tls_config_set_session_id(server, (const uint8_t *)"shared", 6));
	CHECK_CONFIG(server, tls_config_set_session_lifetime(server, 3600));
	CHECK_CONFIG(server,
	    tls_config_add_ticket_key(server, 1, key, sizeof(key)));
	ask(server, TLS_REQUEST_SESSION);
	return server;
}

static void
sessions(void **state)
{
	static const struct {
		const char *name;
		int key, lose, resumed, lookups, removes;
	} steps[] = {
		{ "first", 1, 0, 0, 0, 0 },
		{ "same server", 1, 0, 1, 1, 0 },
		{ "another server", 1, 0, 1, 1, 0 },
		{ "lost", 1, 1, 0, 1, 0 },
		{ "found again", 1, 0, 1, 1, 0 },
		{ "another key", 2, 0, 0, 1, 1 },
	};
	static const uint32_t protocols[] = { TLS_PROTOCOL_TLSv1_2,
		TLS_PROTOCOL_TLSv1_3 };
	char path[] = "/tmp/test_requests.XXXXXX";
	struct tls_config *client, *servers[3];
	struct h_pair p;
	size_t i, j;
	char byte;
	int fd;

	(void)state;
	for (j = 0; j < 2; j++) {
		memset(&store, 0, sizeof(store));
		CHECK((fd = mkostemp(path, O_CLOEXEC)) != -1);
		client = h_client_config();
		CHECK_CONFIG(client, tls_config_set_session_fd(client, fd));
		CHECK_CONFIG(client,
		    tls_config_set_protocols(client, protocols[j]));
		servers[0] = session_server(1);
		servers[1] = session_server(1);
		servers[2] = session_server(2);
		for (i = 0; i < N(steps); i++) {
			h_case = steps[i].name;
			store.lookups = store.removes = 0;
			store.lose = steps[i].lose;
			h_pair_start(&p, client,
			    servers[steps[i].key == 2 ? 2 : i % 2],
			    "localhost");
			shake(&p, p.base, answer_session, NULL);
			CHECK_TLS(p.client, p.crv);
			CHECK_TLS(p.server, p.srv);
			CHECK_INT(tls_conn_session_resumed(p.server),
			    steps[i].resumed);
			CHECK_INT(store.lookups, steps[i].lookups);
			CHECK_INT(store.removes, steps[i].removes);
			/* The ticket of TLS 1.3 comes with it. */
			h_write(p.server, p.sfd, "x", 1);
			h_read(p.client, p.cfd, &byte, 1);
			h_pair_free(&p);
		}
		CHECK(store.stores > 0);
		/* Nothing of the session is readable there. */
		CHECK(store.session_len > 100);
		tls_config_free(client);
		for (i = 0; i < 3; i++)
			tls_config_free(servers[i]);
		close(fd);
		unlink(path);
		memcpy(path + strlen(path) - 6, "XXXXXX", 6);
	}
	h_case = NULL;
}

/* Signatures, made by a signer. */

static void
answer_sign(struct tls_request *request, void *arg)
{
	const struct tls_request_facts *f = tls_request_facts(request);
	uint8_t *signature;
	size_t len;

	CHECK_INT(f->kind, TLS_REQUEST_SIGN);
	CHECK_INT(f->scheme, 0x0403);
	CHECK_INT(f->digest_len, 32);
	if (tls_signer_sign(arg, f->key_hash, f->digest, f->digest_len,
		TLS_PADDING_NONE, &signature, &len) == -1)
		FAIL("%s", tls_signer_error(arg));
	must(request, tls_request_answer(request, signature, len));
	free(signature);
}

static void
refuse(struct tls_request *request, void *arg)
{
	(void)arg;
	must(request, tls_request_refuse(request, "no"));
}

static void
signatures(void **state)
{
	struct tls_config *client = h_client_config(), *server;
	struct tls_signer *signer = tls_signer_new();
	char cert[1024];
	struct h_pair p;

	(void)state;
	snprintf(cert, sizeof(cert), "%s", h_cert("ecdsa.pem"));
	CHECK(signer != NULL);
	CHECK_INT(
	    tls_signer_add_keypair_file(signer, cert, h_cert("ecdsa.key")), 0);
	CHECK((server = tls_config_new()) != NULL);
	CHECK_CONFIG(server,
	    tls_config_set_cert_file(server, h_cert("ecdsa-chain.pem")));
	ask(server, TLS_REQUEST_SIGN);
	h_pair_start(&p, client, server, "localhost");
	CHECK_INT(shake(&p, p.base, answer_sign, signer), 1);
	CHECK_TLS(p.server, p.srv);
	CHECK_TLS(p.client, p.crv);
	h_pair_echo(&p);
	h_pair_free(&p);
	h_pair_start(&p, client, server, "localhost");
	CHECK_INT(shake(&p, p.base, refuse, NULL), 1);
	CHECK_INT(p.srv, -1);
	CHECK_HAS(tls_error(p.server), "the application did not sign");
	h_pair_free(&p);
	tls_signer_free(signer);
	tls_config_free(client);
	tls_config_free(server);
}

/* Staples: what the client sees of them is enough. */

static void
answer_staple(struct tls_request *request, void *arg)
{
	const struct tls_request_facts *f = tls_request_facts(request);

	CHECK_INT(f->kind, TLS_REQUEST_STAPLE);
	CHECK_HAS(f->key_hash, "SHA256:");
	if (arg == NULL)
		must(request, tls_request_default(request));
	else
		must(request, tls_request_answer(request, arg, strlen(arg)));
}

static void
staples(void **state)
{
	struct tls_config *client, *server;
	struct h_pair p;
	int i;

	(void)state;
	for (i = 0; i < 3; i++) {
		client = h_client_config();
		tls_config_ocsp_require_stapling(client);
		server = h_server_config("rsa");
		if (i == 2)
			CHECK_CONFIG(server,
			    tls_config_set_ocsp_staple_mem(server,
				(const uint8_t *)"default", 7));
		ask(server, TLS_REQUEST_STAPLE);
		h_pair_start(&p, client, server, "localhost");
		CHECK_INT(
		    shake(&p, p.base, answer_staple, i == 0 ? "garbage" : NULL),
		    1);
		CHECK_INT(p.crv, -1);
		CHECK_STR(tls_error(p.client),
		    i == 1 ? "no stapled OCSP response provided"
			   : "unable to parse OCSP response");
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
}

/* Runs both handshakes until asker has a request. */
static void
wait_request(struct h_pair *p, struct tls *asker)
{
	struct pollfd pfds[3];
	int64_t deadline = h_now() + H_WAIT;

	p->crv = p->srv = TLS_WANT_POLLIN;
	pfds[2].fd = tls_request_fd(asker);
	pfds[2].events = POLLIN;
	pfds[2].revents = 0;
	while ((pfds[2].revents & POLLIN) == 0) {
		CHECK(step(p, pfds));
		CHECK_INT(p->crv, TLS_WANT_POLLIN);
		CHECK_INT(p->srv, TLS_WANT_POLLIN);
		if (h_now() > deadline)
			FAIL("no request");
		CHECK(poll(pfds, 3, H_WAIT) > 0);
	}
}

static struct tls_request *
next_request(struct h_pair *p, struct tls *asker)
{
	struct tls_request *request;

	while ((request = tls_request_next(asker)) == NULL)
		wait_request(p, asker);
	CHECK(tls_request_facts(request)->context == p->server);
	return request;
}

static struct tls_request *
first_request(struct h_pair *p)
{
	return next_request(p, p->base);
}

static void
check_cancelled(struct h_pair *p, struct tls_request *request)
{
	CHECK(tls_request_next(p->base) == NULL);
	CHECK_INT(tls_request_default(request), -1);
	CHECK_STR(tls_request_error(request), "request was cancelled");
	tls_request_free(request);
}

/* A server with two certificates that asks. */
static struct tls_config *
asking_server(uint32_t kinds, int timeout)
{
	struct tls_config *server = h_server_config("rsa");

	CHECK_CONFIG(server,
	    tls_config_add_keypair_file(server, h_cert("ecdsa-chain.pem"),
		h_cert("ecdsa.key")));
	CHECK_CONFIG(server, tls_config_set_requests(server, kinds, timeout));
	return server;
}

/* A connection from a client of that version to p->base. */
static void
connect_to(struct h_pair *p, uint32_t protocols)
{
	struct tls_config *client = h_client_config();
	struct tls *base = p->base;

	CHECK_CONFIG(client, tls_config_set_protocols(client, protocols));
	tls_config_insecure_noverifyname(client);
	h_pair_join(p, client, base, "localhost");
	p->base = base;
	tls_config_free(client);
}

static void
start_asking(struct h_pair *p, uint32_t protocols, uint32_t kinds, int timeout)
{
	struct tls_config *server = asking_server(kinds, timeout);

	memset(p, 0, sizeof(*p));
	p->base = h_server(server);
	tls_config_free(server);
	connect_to(p, protocols);
}

/* Ends all but the server itself. */
static void
disconnect(struct h_pair *p)
{
	tls_free(p->client);
	tls_free(p->server);
	close(p->cfd);
	close(p->sfd);
	p->client = p->server = NULL;
}

/* Both ends are done, and the server had the certificate with that name. */
static void
check_done(struct h_pair *p, const char *name)
{
	CHECK_PAIR(p);
	check_subject(p->client, name);
}

static const uint32_t versions[] = { TLS_PROTOCOL_TLSv1_2,
	TLS_PROTOCOL_TLSv1_3 };

static void
timeouts(void **state)
{
	struct tls_request *request;
	struct h_pair p;
	int64_t start;
	size_t i;

	(void)state;
	for (i = 0; i < N(versions); i++) {
		start = h_now();
		start_asking(&p, versions[i], TLS_REQUEST_CERTIFICATE, 50);
		request = first_request(&p);
		CHECK_INT(h_handshake(p.server, p.sfd), -1);
		CHECK_STR(tls_error(p.server),
		    "handshake failed: request timed out");
		CHECK(h_now() - start >= 50);
		check_cancelled(&p, request);
		h_pair_free(&p);
	}
}

/* A connection that is closed takes its requests along. */
static void
cancelled(void **state)
{
	struct tls_request *request;
	struct h_pair p;
	size_t i;

	(void)state;
	for (i = 0; i < N(versions); i++) {
		start_asking(&p, versions[i], TLS_REQUEST_CERTIFICATE, TIMEOUT);
		request = first_request(&p);
		close(p.sfd);
		if (h_app) { /* of whose descriptors goproxy does not know */
			tls_free(p.server);
			p.server = NULL;
		} else
			h_poll(tls_request_fd(p.base), POLLIN, H_WAIT);
		check_cancelled(&p, request);
		tls_free(p.server);
		tls_free(p.client);
		close(p.cfd);
		tls_free(p.base);
	}
}

/* The context is freed first, and its descriptor is closed late or never. */
static void
freed_connection(void **state)
{
	struct tls_request *request;
	struct h_pair p;
	size_t i;

	(void)state;
	for (i = 0; i < N(versions); i++) {
		start_asking(&p, versions[i], TLS_REQUEST_CERTIFICATE, TIMEOUT);
		request = first_request(&p);
		tls_free(p.server);
		p.server = NULL;
		CHECK_INT(tls_request_answer_pair(request, 0), -1);
		CHECK_STR(tls_request_error(request), "request was cancelled");
		tls_request_free(request);
		h_pair_free(&p);
	}
	/* Nobody has seen the request: it is refused at once. */
	for (i = 0; i < N(versions); i++) {
		start_asking(&p, versions[i], TLS_REQUEST_CERTIFICATE, TIMEOUT);
		wait_request(&p, p.base);
		tls_free(p.server);
		p.server = NULL;
		if (h_app) /* nobody is left who could send the alert */
			CHECK_INT(shutdown(p.sfd, SHUT_WR), 0);
		CHECK(tls_request_next(p.base) == NULL);
		CHECK_INT(h_handshake(p.client, p.cfd), -1);
		h_pair_free(&p);
	}
}

/* Connections and requests outlive the context that accepted them. */
static void
freed_base(void **state)
{
	struct tls_request *request;
	struct h_pair p;
	size_t i;
	int fds = 0, round;

	(void)state;
	for (round = 0; round < 2; round++) {
		for (i = 0; i < N(versions); i++) {
			start_asking(&p, versions[i],
			    TLS_REQUEST_CERTIFICATE | TLS_REQUEST_STAPLE,
			    TIMEOUT);
			request = first_request(&p);
			tls_free(p.base);
			p.base = NULL;
			must(request, tls_request_answer_pair(request, 1));
			/* The connection leads to those that follow. */
			request = next_request(&p, p.server);
			must(request, tls_request_default(request));
			check_done(&p, "ecdsa");
			h_pair_free(&p);
		}
		if (round == 0)
			fds = h_fds();
	}
	CHECK_INT(h_fds(), fds);
}

/* The worker takes its requests along, and the next one has others. */
static void
dead_worker(void **state)
{
	struct tls_request *request;
	struct h_pair p;
	pid_t worker;
	size_t i;
	int seen;

	(void)state;
	for (i = 0; i < N(versions) * 2; i++) {
		seen = i % 2 == 0;
		start_asking(&p, versions[i / 2], TLS_REQUEST_CERTIFICATE,
		    TIMEOUT);
		request = seen ? first_request(&p) : NULL;
		if (!seen)
			wait_request(&p, p.base);
		CHECK((worker = h_helper("worker")) != -1);
		CHECK_INT(kill(worker, SIGKILL), 0);
		CHECK_INT(h_handshake(p.server, p.sfd), -1);
		CHECK_HAS(tls_error(p.server), "goproxy");
		if (request != NULL) {
			CHECK_INT(tls_request_answer_pair(request, 0), -1);
			CHECK_STR(tls_request_error(request),
			    "request was cancelled");
			tls_request_free(request);
		}
		disconnect(&p);
		h_wait_helper("worker", worker);
		connect_to(&p, versions[i / 2]);
		request = first_request(&p);
		must(request, tls_request_answer_pair(request, 1));
		check_done(&p, "ecdsa");
		CHECK(tls_request_next(p.base) == NULL);
		h_pair_free(&p);
	}
}

/*
 * Prefork: the children share the configuration and have requests of their
 * own. What a child has of its parent's it can neither answer nor refuse.
 */
#define CHILDREN  2
#define PER_CHILD 5

static void
child(struct tls *base, struct tls_request *inherited, struct tls *conn,
    unsigned int number)
{
	struct tls_request *request;
	struct h_pair p = { .base = base };
	int i;

	CHECK_INT(tls_request_answer_pair(inherited, 0), -1);
	CHECK_STR(tls_request_error(inherited),
	    "request belongs to another process");
	tls_request_free(inherited);
	tls_free(conn);
	CHECK(tls_request_next(base) == NULL);
	for (i = 0; i < PER_CHILD; i++) {
		connect_to(&p, versions[i % 2]);
		request = first_request(&p);
		CHECK(tls_request_next(base) == NULL);
		must(request, tls_request_answer_pair(request, number));
		check_done(&p, number == 0 ? "rsa" : "ecdsa");
		disconnect(&p);
	}
	tls_free(base);
}

static void
children(void **state)
{
	struct tls_request *request;
	pid_t pids[CHILDREN];
	struct h_pair p;
	unsigned int i;
	int status;

	(void)state;
	start_asking(&p, versions[1], TLS_REQUEST_CERTIFICATE, TIMEOUT);
	request = first_request(&p);
	for (i = 0; i < CHILDREN; i++) {
		CHECK((pids[i] = fork()) != -1);
		if (pids[i] == 0) {
			child(p.base, request, p.server, i);
			_exit(0);
		}
	}
	for (i = 0; i < CHILDREN; i++) {
		while (waitpid(pids[i], &status, 0) == -1)
			CHECK_INT(errno, EINTR);
		CHECK_INT(status, 0);
	}
	CHECK(tls_request_next(p.base) == NULL);
	must(request, tls_request_answer_pair(request, 1));
	check_done(&p, "ecdsa");
	h_pair_free(&p);
}

/* A worker that does not read: each answer has room all the same. */
#define BURST 100

static void
stopped_worker(void **state)
{
	static struct h_pair p[BURST];
	static struct tls_request *requests[BURST];
	struct tls_config *server;
	struct tls *base;
	pid_t worker;
	int i;

	(void)state;
	server = asking_server(TLS_REQUEST_CERTIFICATE, TIMEOUT);
	base = h_server(server);
	tls_config_free(server);
	for (i = 0; i < BURST; i++) {
		p[i].base = base;
		connect_to(&p[i], versions[i % 2]);
		requests[i] = first_request(&p[i]);
	}
	CHECK((worker = h_helper("worker")) != -1);
	CHECK_INT(kill(worker, SIGSTOP), 0);
	for (i = 0; i < BURST; i++)
		must(requests[i], tls_request_refuse(requests[i], "no"));
	CHECK_INT(kill(worker, SIGCONT), 0);
	for (i = 0; i < BURST; i++) {
		CHECK_INT(h_handshake(p[i].server, p[i].sfd), -1);
		CHECK_STR(tls_error(p[i].server), "handshake failed: no");
		disconnect(&p[i]);
	}
	tls_free(base);
}

/*
 * A program that closes all descriptors and opens its own, be they of the same
 * kind, has new requests. Those of connections are still there.
 */
static void
closed_descriptors(void **state)
{
	struct tls_config *server;
	struct tls_request *request;
	struct h_pair p = { 0 };
	int others[2], before[FDS], fd, i;

	(void)state;
	server = asking_server(TLS_REQUEST_CERTIFICATE, TIMEOUT);
	p.base = h_server(server);
	tls_config_free(server);
	CHECK((others[0] = open("/dev/zero", O_RDONLY | O_CLOEXEC)) != -1);
	CHECK((others[1] = epoll_create1(EPOLL_CLOEXEC)) != -1);
	for (i = 0; i < 2; i++) {
		connect_to(&p, versions[1]);
		request = first_request(&p);
		fd = tls_request_fd(p.base);
		CHECK_INT(dup2(others[i], fd), fd);
		CHECK(tls_request_fd(p.base) != fd);
		must(request, tls_request_answer_pair(request, 1));
		check_done(&p, "ecdsa");
		disconnect(&p);
		/* It is the program's now. */
		CHECK_INT(close(fd), 0);
	}
	for (fd = 0; fd < FDS; fd++)
		before[fd] = fcntl(fd, F_GETFD);
	connect_to(&p, versions[1]);
	request = first_request(&p);
	for (fd = 0; fd < FDS; fd++)
		if (before[fd] == -1 && fcntl(fd, F_GETFD) != -1)
			CHECK_INT(dup2(others[0], fd), fd);
	CHECK_INT(tls_request_answer_pair(request, 1), -1);
	CHECK_STR(tls_request_error(request), "the request channel was closed");
	tls_request_free(request);
	disconnect(&p);
	for (fd = 0; fd < FDS; fd++)
		if (before[fd] == -1)
			close(fd);
	connect_to(&p, versions[1]);
	request = first_request(&p);
	must(request, tls_request_answer_pair(request, 1));
	check_done(&p, "ecdsa");
	for (i = 0; i < 2; i++)
		close(others[i]);
	h_pair_free(&p);
}

/* Many connections wait for answers, whichever workers they have. */

#define AT_ONCE 20

/* Runs the handshakes until each has asked; in the order of the pairs. */
static void
wait_all(struct h_pair *p, struct tls_request **requests)
{
	struct pollfd pfds[2 * AT_ONCE + 1];
	struct tls_request *request;
	int64_t deadline = h_now() + H_WAIT;
	int i, n = 0;

	pfds[2 * AT_ONCE].fd = tls_request_fd(p[0].base);
	pfds[2 * AT_ONCE].events = POLLIN;
	while (n < AT_ONCE) {
		for (i = 0; i < AT_ONCE; i++) {
			step(&p[i], &pfds[2 * i]);
			CHECK_INT(p[i].srv, TLS_WANT_POLLIN);
		}
		CHECK(h_now() < deadline);
		CHECK(poll(pfds, N(pfds), H_WAIT) > 0);
		while ((request = tls_request_next(p[0].base)) != NULL) {
			for (i = 0;
			     p[i].server != tls_request_facts(request)->context;
			     i++)
				CHECK(i < AT_ONCE - 1);
			CHECK(requests[i] == NULL);
			requests[i] = request;
			n++;
		}
	}
}

/* Each gets the answer that is meant for it. */
static void
at_once(struct tls *base, struct tls_config *reconfigure)
{
	struct tls_request *requests[AT_ONCE] = { NULL };
	struct h_pair p[AT_ONCE];
	int i;

	for (i = 0; i < AT_ONCE; i++) {
		p[i].base = base;
		if (i == AT_ONCE / 2 && reconfigure != NULL)
			CHECK_TLS(base, tls_configure(base, reconfigure));
		connect_to(&p[i], versions[i % 2]);
		p[i].crv = p[i].srv = TLS_WANT_POLLIN;
	}
	wait_all(p, requests);
	for (i = 0; i < AT_ONCE; i++)
		must(requests[i],
		    tls_request_answer_pair(requests[i], (unsigned)i / 2 % 2));
	for (i = 0; i < AT_ONCE; i++) {
		check_done(&p[i], i / 2 % 2 == 0 ? "rsa" : "ecdsa");
		disconnect(&p[i]);
	}
}

static void
isolated_workers(void **state)
{
	static const int isolations[] = { TLS_ISOLATION_PROCESS,
		TLS_ISOLATION_CONFIG, TLS_ISOLATION_CONNECTION };
	struct tls_config *server;
	struct tls *base;
	size_t i;
	int fds;

	(void)state;
	for (i = 0; i < N(isolations); i++) {
		server = asking_server(TLS_REQUEST_CERTIFICATE, TIMEOUT);
		CHECK_CONFIG(server,
		    tls_config_set_isolation(server, isolations[i]));
		base = h_server(server);
		CHECK(tls_request_fd(base) != -1);
		fds = h_fds();
		at_once(base, server);
		CHECK_INT(h_fds(), fds);
		tls_config_free(server);
		tls_free(base);
	}
}

/* Many at once, answered by another thread in the opposite order. */

#define MANY 50

struct many {
	struct tls *base;
	struct tls_request *requests[MANY];
};

static void *
answer_backwards(void *arg)
{
	struct many *m = arg;
	struct tls_request *request;
	int i, n = 0;

	while (n < MANY) {
		while (
		    n < MANY && (request = tls_request_next(m->base)) != NULL)
			m->requests[n++] = request;
		if (n < MANY)
			h_poll(tls_request_fd(m->base), POLLIN, H_WAIT);
	}
	for (i = MANY - 1; i >= 0; i--)
		if (tls_request_answer_pair(m->requests[i], (unsigned)i % 2) ==
		    -1)
			return m;
	return NULL;
}

static int
threads_peer(int argc, char **argv)
{
	struct tls_config *client = h_client_config(), *server;
	struct pollfd pfds[2 * MANY];
	struct h_pair p[MANY];
	struct many m;
	pthread_t thread;
	void *result;
	int i, busy, rsa = 0;

	(void)argc;
	(void)argv;
	tls_config_insecure_noverifyname(client);
	server = h_server_config("rsa");
	CHECK_CONFIG(server,
	    tls_config_add_keypair_file(server, h_cert("ecdsa-chain.pem"),
		h_cert("ecdsa.key")));
	ask(server, TLS_REQUEST_CERTIFICATE);
	m.base = h_server(server);
	CHECK(tls_request_fd(m.base) != -1);
	CHECK_INT(pthread_create(&thread, NULL, answer_backwards, &m), 0);
	for (i = 0; i < MANY; i++) {
		h_pair_join(&p[i], client, m.base, "localhost");
		p[i].crv = p[i].srv = TLS_WANT_POLLIN;
	}
	do {
		for (i = 0, busy = 0; i < MANY; i++)
			busy |= step(&p[i], &pfds[2 * i]);
		if (busy)
			CHECK(poll(pfds, N(pfds), H_WAIT) > 0);
	} while (busy);
	for (i = 0; i < MANY; i++) {
		CHECK_TLS(p[i].client, p[i].crv);
		CHECK_TLS(p[i].server, p[i].srv);
		rsa += strstr(tls_peer_cert_subject(p[i].client), "CN=rsa") !=
		       NULL;
		h_pair_free(&p[i]);
	}
	CHECK_INT(pthread_join(thread, &result), 0);
	CHECK(result == NULL);
	CHECK_INT(rsa, MANY / 2);
	tls_free(m.base);
	tls_config_free(client);
	tls_config_free(server);
	return 0;
}

static void
from_a_thread(void **state)
{
	(void)state;
	/* In another process: valgrind takes the cached stacks for leaks. */
	CHECK_INT(h_wait_exit(h_start(NULL, 0, "threads", (char *)NULL)), 0);
}

/* Threads accept at the same time on a server that nobody has asked yet. */

#define ACCEPTING 8

struct accepting {
	struct tls *base, *conn;
	pthread_barrier_t *barrier;
	int fd;
};

static void *
accept_one(void *arg)
{
	struct accepting *a = arg;

	pthread_barrier_wait(a->barrier);
	return tls_accept_socket(a->base, &a->conn, a->fd) == 0 ? NULL : a;
}

static int
accepting_peer(int argc, char **argv)
{
	struct tls_config *server =
	    asking_server(TLS_REQUEST_CERTIFICATE, TIMEOUT);
	struct accepting a[ACCEPTING];
	pthread_t threads[ACCEPTING];
	pthread_barrier_t barrier;
	void *result;
	int cfds[ACCEPTING], fds = 0, i, round;

	(void)argc;
	(void)argv;
	CHECK_INT(pthread_barrier_init(&barrier, NULL, ACCEPTING), 0);
	for (round = 0; round < 50; round++) {
		a[0].base = h_server(server);
		for (i = 0; i < ACCEPTING; i++) {
			a[i].base = a[0].base;
			a[i].barrier = &barrier;
			h_tcp_pair(&cfds[i], &a[i].fd);
			CHECK_INT(pthread_create(&threads[i], NULL, accept_one,
				      &a[i]),
			    0);
		}
		for (i = 0; i < ACCEPTING; i++) {
			CHECK_INT(pthread_join(threads[i], &result), 0);
			CHECK(result == NULL);
			tls_free(a[i].conn);
			close(a[i].fd);
			close(cfds[i]);
		}
		tls_free(a[0].base);
		if (round == 0)
			fds = h_fds();
	}
	CHECK_INT(h_fds(), fds);
	tls_config_free(server);
	return 0;
}

static void
accepting_threads(void **state)
{
	(void)state;
	CHECK_INT(h_wait_exit(h_start(NULL, 0, "accepting", (char *)NULL)), 0);
}

static void
bad_arguments(void **state)
{
	struct tls_config *config = tls_config_new();

	(void)state;
	CHECK(config != NULL);
	CHECK_INT(tls_config_set_requests(config, 64, 1), -1);
	CHECK_STR(tls_config_error(config), "invalid requests");
	CHECK_INT(tls_config_set_requests(config, 1, 0), -1);
	CHECK_STR(tls_config_error(config), "invalid request timeout");
	CHECK_CONFIG(config, tls_config_set_requests(config, 0, 0));
	tls_request_free(NULL);
	tls_config_free(config);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(certificates),
	cmocka_unit_test(no_certificate_of_its_own),
	cmocka_unit_test(verifications),
	cmocka_unit_test(client_verification),
	cmocka_unit_test(sessions),
	cmocka_unit_test(signatures),
	cmocka_unit_test(staples),
	cmocka_unit_test(timeouts),
	cmocka_unit_test(cancelled),
	cmocka_unit_test(freed_connection),
	cmocka_unit_test(freed_base),
	cmocka_unit_test(dead_worker),
	cmocka_unit_test(children),
	cmocka_unit_test(stopped_worker),
	cmocka_unit_test(closed_descriptors),
	cmocka_unit_test(isolated_workers),
	cmocka_unit_test(from_a_thread),
	cmocka_unit_test(accepting_threads),
	cmocka_unit_test(bad_arguments),
};

static const struct h_peer peers[] = {
	{ "threads", threads_peer },
	{ "accepting", accepting_peer },
	{ NULL, NULL },
};

H_MAIN(tests, peers)
