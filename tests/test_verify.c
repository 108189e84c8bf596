/* SPDX-License-Identifier: ISC */
/*
 * Who is believed: chains, times, names, revocation lists and OCSP, by a
 * client about its server and by a server about its client.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "verify_table.h"

static const struct {
	uint32_t bits;
	const char *name;
} versions[] = {
	{ TLS_PROTOCOL_TLSv1_2, "TLSv1.2" },
	{ TLS_PROTOCOL_TLSv1_3, "TLSv1.3" },
};

#define NELEMS(a) (sizeof(a) / sizeof((a)[0]))

/* A file that mkodd made. */
static const char *
odd(const char *name, const char *suffix)
{
	static char paths[8][512];
	static size_t next;
	char *path = paths[next++ % NELEMS(paths)];

	snprintf(path, sizeof(paths[0]), "%s/%s%s", getenv("TEST_ODD"), name,
	    suffix);
	return path;
}

/* A table tells of all its rows that are wrong, not of the first alone. */
static int wrong;

static void
differs(const char *what, const char *got, const char *want)
{
	fprintf(stderr, "%s: %s: got '%s', want '%s'\n", h_case, what,
	    got != NULL ? got : "(success)", want != NULL ? want : "(success)");
	wrong++;
}

static void
begin(void)
{
	wrong = 0;
}

static void
end(void)
{
	h_case = NULL;
	if (wrong > 0)
		FAIL("%d rows are wrong", wrong);
}

static void
set_switches(struct tls_config *config, const struct row *r)
{
	char ca[64];

	snprintf(ca, sizeof(ca), "%s-ca", r->ca != NULL ? r->ca : "root");
	CHECK_CONFIG(config, tls_config_set_ca_file(config, odd(ca, ".pem")));
	if (r->crl != NULL)
		CHECK_CONFIG(config,
		    tls_config_set_crl_file(config, odd(r->crl, ".crl")));
	if (r->flags & NOCERT)
		tls_config_insecure_noverifycert(config);
	if (r->flags & NONAME)
		tls_config_insecure_noverifyname(config);
	if (r->flags & NOTIME)
		tls_config_insecure_noverifytime(config);
	if (r->flags & STAPLING)
		tls_config_ocsp_require_stapling(config);
	if (r->depth != 0)
		CHECK_CONFIG(config, tls_config_set_verify_depth(config,
					 r->depth == DEPTH_0 ? 0 : r->depth));
}

static void
set_identity(struct tls_config *config, const char *chain, const char *staple)
{
	if (staple == NULL)
		CHECK_CONFIG(config,
		    tls_config_set_keypair_file(config, odd(chain, ".pem"),
			odd(chain, ".pem")));
	else
		CHECK_CONFIG(config,
		    tls_config_set_keypair_ocsp_file(config, odd(chain, ".pem"),
			odd(chain, ".pem"), odd(staple, ".der")));
}

static int
is_wanted(const char *got, const char *want, int flags)
{
	/* The texts are LibreSSL's, and not OpenSSL's. */
	if (got == NULL || want == NULL || !h_proxy)
		return (got == NULL) == (want == NULL);
	if (flags & PART)
		return strstr(got, want) != NULL;
	return strcmp(got, want) == 0;
}

static const char *
result(struct tls *ctx, int rv)
{
	const char *error = tls_error(ctx);

	if (rv == 0)
		return NULL;
	return error != NULL ? error : "no error";
}

/* A client that verifies a server that shows this. */
static void
client_verifies(const struct row *r, uint32_t protocol)
{
	struct tls_config *client, *server;
	const char *got;
	struct h_pair p;

	CHECK((client = tls_config_new()) != NULL);
	CHECK((server = tls_config_new()) != NULL);
	CHECK_CONFIG(client, tls_config_set_protocols(client, protocol));
	set_switches(client, r);
	set_identity(server, r->chain, r->staple);
	h_pair_start(&p, client, server,
	    r->servername != NULL ? r->servername : "localhost");
	h_pair_handshake(&p);
	got = result(p.client, p.crv);
	if (!is_wanted(got, r->want, r->flags))
		differs("client", got, r->want);
	else if (got == NULL) {
		CHECK_TLS(p.server, p.srv);
		h_pair_echo(&p);
	} else if (h_proxy)
		CHECK_STR(tls_peer_cert_hash(p.client), NULL);
	h_pair_free(&p);
	tls_config_free(client);
	tls_config_free(server);
}

/* A server that verifies a client that shows this. */
static void
server_verifies(const struct row *r, uint32_t protocol)
{
	struct tls_config *client, *server;
	struct h_pair p;
	const char *got;
	char c;

	CHECK((client = tls_config_new()) != NULL);
	CHECK((server = tls_config_new()) != NULL);
	CHECK_CONFIG(client, tls_config_set_protocols(client, protocol));
	tls_config_insecure_noverifycert(client);
	set_identity(client, r->chain, NULL);
	set_switches(server, r);
	set_identity(server, "good", NULL);
	tls_config_verify_client(server);
	h_pair_start(&p, client, server, "localhost");
	h_pair_handshake(&p);
	got = result(p.server, p.srv);
	if (!is_wanted(got, r->want, r->flags))
		differs("server", got, r->want);
	else if (got == NULL) {
		CHECK_TLS(p.client, p.crv);
		CHECK_INT(tls_peer_cert_provided(p.server), 1);
		h_pair_echo(&p);
	} else {
		/* In TLS 1.3 the client has been done with its handshake. */
		if (protocol == TLS_PROTOCOL_TLSv1_2)
			CHECK_INT(p.crv, -1);
		if (p.crv == 0)
			CHECK_INT(h_read_some(p.client, p.cfd, &c, 1), -1);
		CHECK_HAS(tls_error(p.client), "alert");
	}
	h_pair_free(&p);
	tls_config_free(client);
	tls_config_free(server);
}

static void
verify_table(void (*verifies)(const struct row *, uint32_t), int other)
{
	char name[128];
	size_t i, v;

	begin();
	for (i = 0; i < NELEMS(rows); i++) {
		if (rows[i].flags & (other | (h_proxy ? 0 : OURS)))
			continue;
		for (v = 0; v < NELEMS(versions); v++) {
			snprintf(name, sizeof(name), "%s, %s", rows[i].name,
			    versions[v].name);
			h_case = name;
			verifies(&rows[i], versions[v].bits);
		}
	}
	end();
}

static void
clients(void **state)
{
	(void)state;
	verify_table(client_verifies, SERVER);
}

static void
servers(void **state)
{
	(void)state;
	verify_table(server_verifies, CLIENT);
}

/* A client without a certificate is none that fails where it is optional. */
static void
optional(void **state)
{
	static const struct {
		const char *name, *chain, *crl;
		const char *want;
	} cases[] = {
		{ "none", NULL, "good-set", NULL },
		{ "good", "good", "good-set", NULL },
		{ "revoked", "good", "leaf-revoked-set", REVOKED },
		{ "old", "old-leaf", NULL, EXPIRED },
	};
	struct tls_config *client, *server;
	struct h_pair p;
	const char *got;
	size_t i;

	(void)state;
	begin();
	for (i = 0; i < NELEMS(cases); i++) {
		h_case = cases[i].name;
		CHECK((client = tls_config_new()) != NULL);
		CHECK((server = tls_config_new()) != NULL);
		tls_config_insecure_noverifycert(client);
		if (cases[i].chain != NULL)
			set_identity(client, cases[i].chain, NULL);
		set_identity(server, "good", NULL);
		CHECK_CONFIG(server,
		    tls_config_set_ca_file(server, odd("root-ca", ".pem")));
		if (cases[i].crl != NULL)
			CHECK_CONFIG(server, tls_config_set_crl_file(server,
						 odd(cases[i].crl, ".crl")));
		tls_config_verify_client_optional(server);
		h_pair_start(&p, client, server, "localhost");
		h_pair_handshake(&p);
		got = result(p.server, p.srv);
		if (!is_wanted(got, cases[i].want, 0))
			differs("server", got, cases[i].want);
		else if (got == NULL)
			CHECK_INT(tls_peer_cert_provided(p.server),
			    cases[i].chain != NULL);
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
	end();
}

/* What a file can hold, memory can. */
static void
in_memory(void **state)
{
	static const struct {
		const char *ca, *crl;
		const char *want;
	} cases[] = {
		{ "root", NULL, NULL },
		{ "other", NULL, LOCAL },
		{ "root", "good-set", NULL },
		{ "root", "leaf-revoked-set", REVOKED },
	};
	struct tls_config *client, *server;
	char name[128], ca[64];
	struct h_pair p;
	const char *got;
	uint8_t *mem;
	size_t i, len;

	(void)state;
	begin();
	for (i = 0; i < NELEMS(cases); i++) {
		snprintf(name, sizeof(name), "%s, %s", cases[i].ca,
		    cases[i].crl != NULL ? cases[i].crl : "no list");
		h_case = name;
		CHECK((client = tls_config_new()) != NULL);
		CHECK((server = tls_config_new()) != NULL);
		snprintf(ca, sizeof(ca), "%s-ca", cases[i].ca);
		mem = h_load(odd(ca, ".pem"), &len);
		CHECK_CONFIG(client, tls_config_set_ca_mem(client, mem, len));
		free(mem);
		if (cases[i].crl != NULL) {
			mem = h_load(odd(cases[i].crl, ".crl"), &len);
			CHECK_CONFIG(client,
			    tls_config_set_crl_mem(client, mem, len));
			free(mem);
		}
		set_identity(server, "good", NULL);
		h_pair_start(&p, client, server, "localhost");
		h_pair_handshake(&p);
		got = result(p.client, p.crv);
		if (!is_wanted(got, cases[i].want, 0))
			differs("client", got, cases[i].want);
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
	end();
}

/* Lists that cannot be read are an error before there is a connection. */
static void
unreadable_lists(void **state)
{
	static const char *const lists[] = {
		"garbage-der",
		/* LibreSSL reads version 1. */
		"ica-v1-set",
	};
	struct tls_config *config;
	struct tls *ctx;
	int a, b;

	(void)state;
	PROXY_ONLY();
	for (size_t i = 0; i < NELEMS(lists); i++) {
		h_case = lists[i];
		CHECK((config = tls_config_new()) != NULL);
		CHECK_CONFIG(config,
		    tls_config_set_ca_file(config, odd("root-ca", ".pem")));
		CHECK_CONFIG(config,
		    tls_config_set_crl_file(config, odd(lists[i], ".crl")));
		ctx = h_client(config);
		h_tcp_pair(&a, &b);
		CHECK_INT(tls_connect_socket(ctx, a, "localhost"), -1);
		CHECK_STR(tls_error(ctx), "failed to parse crl");
		tls_free(ctx);
		close(a);
		close(b);

		set_identity(config, "good", NULL);
		CHECK((ctx = tls_server()) != NULL);
		CHECK_INT(tls_configure(ctx, config), -1);
		CHECK_STR(tls_error(ctx), "failed to parse crl");
		tls_free(ctx);
		tls_config_free(config);
	}
	h_case = NULL;
}

static void
ca_paths(void **state)
{
	static const struct {
		const char *path, *ca, *chain;
		const char *want;
	} cases[] = {
		{ "hashed", NULL, "good", NULL },
		{ "hashed", NULL, "other-leaf", NULL },
		{ "hashed", NULL, "self", SELF },
		{ "second", NULL, "good", NULL },
		{ "empty", NULL, "good", LOCAL },
		{ "unhashed", NULL, "good", LOCAL },
		{ "missing", NULL, "good", LOCAL },
		{ "missing", NULL, "self", SELF },
		/* LibreSSL looks for the hash. */
		{ "wrong", NULL, "good", NULL },
		/* A file makes the directory nothing. */
		{ "hashed", "other", "good", LOCAL },
		{ "missing", "root", "good", NULL },
	};
	struct tls_config *client, *server;
	char name[128], path[64], ca[64];
	struct h_pair p;
	const char *got;
	size_t i;

	(void)state;
	begin();
	for (i = 0; i < NELEMS(cases); i++) {
		snprintf(name, sizeof(name), "%s, %s, %s", cases[i].path,
		    cases[i].ca != NULL ? cases[i].ca : "no file",
		    cases[i].chain);
		h_case = name;
		if (!h_proxy && strcmp(cases[i].path, "wrong") == 0)
			continue;
		CHECK((client = tls_config_new()) != NULL);
		CHECK((server = tls_config_new()) != NULL);
		snprintf(path, sizeof(path), "path/%s", cases[i].path);
		CHECK_CONFIG(client,
		    tls_config_set_ca_path(client, odd(path, "")));
		if (cases[i].ca != NULL) {
			snprintf(ca, sizeof(ca), "%s-ca", cases[i].ca);
			CHECK_CONFIG(client,
			    tls_config_set_ca_file(client, odd(ca, ".pem")));
		}
		set_identity(server, cases[i].chain, NULL);
		h_pair_start(&p, client, server, "localhost");
		h_pair_handshake(&p);
		got = result(p.client, p.crv);
		if (!is_wanted(got, cases[i].want, 0))
			differs("client", got, cases[i].want);
		h_pair_free(&p);
		tls_config_free(client);
		tls_config_free(server);
	}
	end();
}

/* Authorities that were not needed before are looked for. */
static void
verified_later(void **state)
{
	char dir[] = "/tmp/libtls-proxy-test-XXXXXX", path[64];
	struct tls_config *client, *server;
	struct h_pair p;
	int i;

	(void)state;
	CHECK(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/path", dir);
	CHECK((client = tls_config_new()) != NULL);
	CHECK((server = tls_config_new()) != NULL);
	CHECK_CONFIG(client, tls_config_set_ca_path(client, path));
	tls_config_insecure_noverifycert(client);
	set_identity(server, "good", NULL);
	for (i = 0; i < 2; i++) {
		h_pair_start(&p, client, server, "localhost");
		CHECK_PAIR(&p);
		h_pair_free(&p);
		if (i == 0)
			CHECK_INT(symlink(odd("path/hashed", ""), path), 0);
		tls_config_verify(client);
	}
	tls_config_free(client);
	tls_config_free(server);
	CHECK_INT(unlink(path), 0);
	CHECK_INT(rmdir(dir), 0);
}

/* Of a peer whose name wasn't looked at. */
static void
contains_name(void **state)
{
	struct tls_config *client, *server;
	const char *chain = NULL;
	struct h_pair p = { 0 };
	char name[128];
	size_t i;
	int got;

	(void)state;
	begin();
	CHECK((client = tls_config_new()) != NULL);
	CHECK_CONFIG(client,
	    tls_config_set_ca_file(client, odd("root-ca", ".pem")));
	tls_config_insecure_noverifyname(client);
	for (i = 0; i < NELEMS(names); i++) {
		if (names[i].ask == OURS && !h_proxy)
			continue;
		if (chain == NULL || strcmp(chain, names[i].chain) != 0) {
			if (chain != NULL)
				h_pair_free(&p);
			chain = names[i].chain;
			h_case = chain;
			CHECK((server = tls_config_new()) != NULL);
			set_identity(server, chain, NULL);
			h_pair_start(&p, client, server, NULL);
			tls_config_free(server);
			h_pair_handshake(&p);
			CHECK_TLS(p.client, p.crv);
		}
		snprintf(name, sizeof(name), "%s, '%s'", chain, names[i].name);
		h_case = name;
		got = tls_peer_cert_contains_name(p.client, names[i].name);
		if (got != names[i].want)
			differs("contains", got == 1 ? "yes" : "no",
			    names[i].want ? "yes" : "no");
	}
	h_pair_free(&p);
	tls_config_free(client);
	end();
}

/* By their handshakes, the names are the same. */
static void
handshake_names(void **state)
{
	struct tls_config *client, *server;
	struct h_pair p;
	char name[128];
	size_t i;

	(void)state;
	begin();
	CHECK((client = tls_config_new()) != NULL);
	CHECK_CONFIG(client,
	    tls_config_set_ca_file(client, odd("root-ca", ".pem")));
	for (i = 0; i < NELEMS(names); i++) {
		if (names[i].ask != 1)
			continue;
		snprintf(name, sizeof(name), "%s, '%s'", names[i].chain,
		    names[i].name);
		h_case = name;
		CHECK((server = tls_config_new()) != NULL);
		set_identity(server, names[i].chain, NULL);
		h_pair_start(&p, client, server, names[i].name);
		tls_config_free(server);
		h_pair_handshake(&p);
		if ((p.crv == 0) != names[i].want)
			differs("handshake", result(p.client, p.crv),
			    names[i].want ? NULL : "a failure");
		h_pair_free(&p);
	}
	tls_config_free(client);
	end();
}

/* What is known about a peer without a response. */
static void
check_no_ocsp(struct tls *ctx)
{
	CHECK_STR(tls_peer_ocsp_result(ctx), NULL);
	CHECK_INT(tls_peer_ocsp_response_status(ctx), -1);
	CHECK_INT(tls_peer_ocsp_cert_status(ctx), -1);
	CHECK_INT(tls_peer_ocsp_crl_reason(ctx), -1);
	CHECK_INT(tls_peer_ocsp_this_update(ctx), -1);
	CHECK_INT(tls_peer_ocsp_next_update(ctx), -1);
	CHECK_INT(tls_peer_ocsp_revocation_time(ctx), -1);
}

static void
fact(const char *name, int line, time_t *t)
{
	char path[128], buf[64] = "";
	FILE *f;

	snprintf(path, sizeof(path), "%s", odd(name, ".facts"));
	CHECK((f = fopen(path, "re")) != NULL);
	do
		CHECK(fgets(buf, sizeof(buf), f) != NULL);
	while (line-- > 0);
	fclose(f);
	*t = (time_t)strtoll(buf, NULL, 10);
}

static void
check_times(struct tls *ctx, const char *name)
{
	time_t t;

	fact(name, 0, &t);
	CHECK_INT(tls_peer_ocsp_this_update(ctx), t);
	fact(name, 1, &t);
	CHECK_INT(tls_peer_ocsp_next_update(ctx), t);
	fact(name, 2, &t);
	CHECK_INT(tls_peer_ocsp_revocation_time(ctx), t);
}

static void
check_response(struct tls *ctx, const struct response *r)
{
	if (r->result == NULL) {
		/* LibreSSL keeps what it knew from another response. */
		if (h_proxy)
			check_no_ocsp(ctx);
		return;
	}
	CHECK_STR(tls_peer_ocsp_result(ctx), r->result);
	CHECK_INT(tls_peer_ocsp_response_status(ctx),
	    TLS_OCSP_RESPONSE_SUCCESSFUL);
	CHECK_INT(tls_peer_ocsp_cert_status(ctx), r->cert_status);
	CHECK_INT(tls_peer_ocsp_crl_reason(ctx), r->crl_reason);
	CHECK(tls_peer_ocsp_this_update(ctx) > 0);
	if (r->cert_status == TLS_OCSP_CERT_REVOKED)
		CHECK(tls_peer_ocsp_revocation_time(ctx) > 0);
	else
		CHECK_INT(tls_peer_ocsp_revocation_time(ctx), -1);
	if (r->more == FACTS)
		check_times(ctx, r->name);
}

/* A connection with a peer that shows chain, without a staple. */
static void
open_pair(struct h_pair *p, const char *chain, int flags)
{
	struct tls_config *client, *server;
	struct row r = { .flags = flags };

	CHECK((client = tls_config_new()) != NULL);
	CHECK((server = tls_config_new()) != NULL);
	set_switches(client, &r);
	set_identity(server, chain, NULL);
	h_pair_start(p, client, server, "localhost");
	tls_config_free(client);
	tls_config_free(server);
	CHECK_PAIR(p);
}

static int
process(struct tls *ctx, const char *response)
{
	uint8_t *der;
	size_t len;
	int rv;

	der = h_load(odd(response, ".der"), &len);
	rv = tls_ocsp_process_response(ctx, der, len);
	free(der);
	return rv;
}

static void
ocsp_responses(void **state)
{
	const char *got;
	struct h_pair p;
	size_t i;

	(void)state;
	begin();
	open_pair(&p, "ocsp", 0);
	CHECK_STR(tls_peer_ocsp_url(p.client), "http://ocsp.test/");
	check_no_ocsp(p.client);
	for (i = 0; i < NELEMS(responses); i++) {
		if (responses[i].more == OURS && !h_proxy)
			continue;
		/* It crashes with the next one. */
		if (!h_proxy && responses[i].want != NULL &&
		    strncmp(responses[i].want, "unable", 6) == 0)
			continue;
		h_case = responses[i].name;
		got = result(p.client, process(p.client, responses[i].name));
		if (!is_wanted(got, responses[i].want, 0))
			differs("response", got, responses[i].want);
		else
			check_response(p.client, &responses[i]);
		/* What follows starts from a result. */
		CHECK_TLS(p.client, process(p.client, "again"));
		CHECK_STR(tls_peer_ocsp_result(p.client), "good");
	}
	h_case = NULL;
	if (h_proxy) {
		CHECK_INT(process(p.client, "empty"), -1);
		CHECK_STR(tls_error(p.client), "unable to parse OCSP response");
	}
	/* The connection is none the worse. */
	h_pair_echo(&p);
	h_pair_free(&p);
	end();
}

static void
staples(void **state)
{
	struct tls_config *client, *server;
	struct row row = { .flags = 0 };
	const char *got;
	struct h_pair p;
	size_t i;

	(void)state;
	begin();
	CHECK((client = tls_config_new()) != NULL);
	set_switches(client, &row);
	for (i = 0; i < NELEMS(responses); i++) {
		if (responses[i].more == OURS && !h_proxy)
			continue;
		h_case = responses[i].name;
		CHECK((server = tls_config_new()) != NULL);
		set_identity(server, "ocsp", responses[i].name);
		CHECK_CONFIG(client,
		    tls_config_set_protocols(client, versions[i % 2].bits));
		h_pair_start(&p, client, server, "localhost");
		h_pair_handshake(&p);
		got = result(p.client, p.crv);
		if (!is_wanted(got, responses[i].want, 0))
			differs("staple", got, responses[i].want);
		else if (got == NULL) {
			CHECK_STR(tls_peer_ocsp_url(p.client),
			    "http://ocsp.test/");
			check_response(p.client, &responses[i]);
			/* The server has no peer. */
			CHECK_STR(tls_peer_ocsp_url(p.server), NULL);
			check_no_ocsp(p.server);
		}
		h_pair_free(&p);
		tls_config_free(server);
	}
	tls_config_free(client);
	end();
}

/* Each setter that takes a staple. An added pair is the one for the name. */

static int
set_pair_file(struct tls_config *config, const char *chain, const char *staple)
{
	return tls_config_set_keypair_ocsp_file(config, chain, chain, staple);
}

static int
add_pair_file(struct tls_config *config, const char *chain, const char *staple)
{
	set_identity(config, "good", NULL);
	return tls_config_add_keypair_ocsp_file(config, chain, chain, staple);
}

static int
set_staple_file(struct tls_config *config, const char *chain,
    const char *staple)
{
	CHECK_CONFIG(config, tls_config_set_keypair_file(config, chain, chain));
	return tls_config_set_ocsp_staple_file(config, staple);
}

static int
set_pair_mem(struct tls_config *config, const char *chain, const char *staple)
{
	uint8_t *pem, *der;
	size_t pem_len, der_len;
	int rv;

	pem = h_load(chain, &pem_len);
	der = h_load(staple, &der_len);
	rv = tls_config_set_keypair_ocsp_mem(config, pem, pem_len, pem, pem_len,
	    der, der_len);
	free(pem);
	free(der);
	return rv;
}

static int
add_pair_mem(struct tls_config *config, const char *chain, const char *staple)
{
	uint8_t *pem, *der;
	size_t pem_len, der_len;
	int rv;

	set_identity(config, "good", NULL);
	pem = h_load(chain, &pem_len);
	der = h_load(staple, &der_len);
	rv = tls_config_add_keypair_ocsp_mem(config, pem, pem_len, pem, pem_len,
	    der, der_len);
	free(pem);
	free(der);
	return rv;
}

static int
set_staple_mem(struct tls_config *config, const char *chain, const char *staple)
{
	uint8_t *der;
	size_t len;
	int rv;

	CHECK_CONFIG(config, tls_config_set_keypair_file(config, chain, chain));
	der = h_load(staple, &len);
	rv = tls_config_set_ocsp_staple_mem(config, der, len);
	free(der);
	return rv;
}

static void
stapled_pairs(void **state)
{
	static const struct {
		const char *name;
		int (*set)(struct tls_config *, const char *, const char *);
	} cases[] = {
		{ "tls_config_set_keypair_ocsp_file", set_pair_file },
		{ "tls_config_set_keypair_ocsp_mem", set_pair_mem },
		{ "tls_config_add_keypair_ocsp_file", add_pair_file },
		{ "tls_config_add_keypair_ocsp_mem", add_pair_mem },
		{ "tls_config_set_ocsp_staple_file", set_staple_file },
		{ "tls_config_set_ocsp_staple_mem", set_staple_mem },
	};
	struct tls_config *client, *server;
	struct row row = { .flags = STAPLING };
	struct h_pair p;
	size_t i, v;

	(void)state;
	CHECK((client = tls_config_new()) != NULL);
	set_switches(client, &row);
	for (i = 0; i < NELEMS(cases); i++) {
		h_case = cases[i].name;
		CHECK((server = tls_config_new()) != NULL);
		CHECK_CONFIG(server, cases[i].set(server, odd("ocsp", ".pem"),
					 odd("good", ".der")));
		for (v = 0; v < NELEMS(versions); v++) {
			CHECK_CONFIG(client,
			    tls_config_set_protocols(client, versions[v].bits));
			h_pair_start(&p, client, server, "localhost");
			CHECK_PAIR(&p);
			CHECK_STR(tls_peer_ocsp_result(p.client), "good");
			h_pair_free(&p);
		}
		tls_config_free(server);
	}
	h_case = NULL;
	tls_config_free(client);
}

/* A connection to a server that is configured, as far as it comes. */
static void
connect_to(struct h_pair *p, struct tls *base, struct tls_config *client)
{
	h_pair_join(p, client, base, "localhost");
	h_pair_handshake(p);
}

/* A staple of a live configuration counts from the next handshake on. */
static void
live_staples(void **state)
{
	static const struct {
		const char *staple; /* NULL to take it away */
		const char *want, *result;
	} cases[] = {
		{ NULL, NULL, NULL },
		{ "good", NULL, "good" },
		{ "revoked-superseded", BY("superseded"), NULL },
		{ "unknown", NULL, "unknown" },
		{ NULL, NULL, NULL },
	};
	struct tls_config *client, *server;
	struct row row = { .flags = 0 };
	struct h_pair p;
	struct tls *base;
	const char *got;
	size_t i;

	(void)state;
	begin();
	CHECK((client = tls_config_new()) != NULL);
	CHECK((server = tls_config_new()) != NULL);
	set_switches(client, &row);
	set_identity(server, "ocsp", NULL);
	base = h_server(server);
	for (i = 0; i < NELEMS(cases); i++) {
		h_case = cases[i].staple != NULL ? cases[i].staple : "none";
		if (cases[i].staple != NULL)
			CHECK_CONFIG(server,
			    tls_config_set_ocsp_staple_file(server,
				odd(cases[i].staple, ".der")));
		else
			CHECK_CONFIG(server,
			    tls_config_set_ocsp_staple_mem(server, NULL, 0));
		connect_to(&p, base, client);
		got = result(p.client, p.crv);
		if (!is_wanted(got, cases[i].want, 0))
			differs("staple", got, cases[i].want);
		else if (got == NULL)
			CHECK_STR(tls_peer_ocsp_result(p.client),
			    cases[i].result);
		h_pair_free(&p);
	}
	tls_free(base);
	tls_config_free(client);
	tls_config_free(server);
	end();
}

/*
 * A live change is about the pairs that the server has, and not about those
 * that its configuration got later.
 */
static void
live_pairs(void **state)
{
	static const struct {
		const char *name;
		int (*later)(struct tls_config *, const char *, const char *);
	} cases[] = {
		{ "one before", set_pair_file },
		{ "one before and one behind", add_pair_file },
	};
	struct tls_config *client, *server;
	struct row row = { .flags = STAPLING };
	struct h_pair p;
	struct tls *base;
	size_t i;

	(void)state;
	PROXY_ONLY();
	CHECK((client = tls_config_new()) != NULL);
	set_switches(client, &row);
	for (i = 0; i < NELEMS(cases); i++) {
		h_case = cases[i].name;
		/* Its first pair stays empty. */
		CHECK((server = tls_config_new()) != NULL);
		CHECK_CONFIG(server,
		    tls_config_add_keypair_ocsp_file(server,
			odd("ocsp", ".pem"), odd("ocsp", ".pem"),
			odd("good", ".der")));
		base = h_server(server);
		CHECK_CONFIG(server, cases[i].later(server, odd("ocsp", ".pem"),
					 odd("unknown", ".der")));
		CHECK_CONFIG(server, tls_config_set_alpn(server, "live"));
		connect_to(&p, base, client);
		CHECK_TLS(p.client, p.crv);
		CHECK_TLS(p.server, p.srv);
		CHECK_STR(tls_peer_ocsp_result(p.client), "good");
		h_pair_free(&p);
		/* From then on they are its own. */
		CHECK_TLS(base, tls_configure(base, server));
		connect_to(&p, base, client);
		CHECK_TLS(p.client, p.crv);
		h_pair_free(&p);
		tls_free(base);
		tls_config_free(server);
	}
	h_case = NULL;
	tls_config_free(client);
}

/* tls_ocsp_process_response where there is little to go by. */
static void
ocsp_without(void **state)
{
	struct tls_config *client, *server;
	struct h_pair p;

	(void)state;
	PROXY_ONLY();
	/* Before the handshake. */
	CHECK((client = tls_config_new()) != NULL);
	CHECK((server = tls_config_new()) != NULL);
	set_identity(server, "ocsp", NULL);
	tls_config_insecure_noverifycert(client);
	h_pair_start(&p, client, server, "localhost");
	CHECK_INT(process(p.client, "good"), -1);
	CHECK_STR(tls_peer_ocsp_url(p.client), NULL);
	check_no_ocsp(p.client);
	h_pair_free(&p);
	tls_config_free(client);
	tls_config_free(server);

	/* Of a chain that was not verified, but could be. */
	open_pair(&p, "ocsp", NOCERT);
	CHECK_TLS(p.client, process(p.client, "good"));
	CHECK_STR(tls_peer_ocsp_result(p.client), "good");
	/* A server that has no peer certificate. */
	CHECK_INT(process(p.server, "good"), -1);
	CHECK(tls_error(p.server) != NULL);
	check_no_ocsp(p.server);
	h_pair_free(&p);

	/* Nobody who could have signed it. */
	open_pair(&p, "ocsp-alone", NOCERT);
	CHECK_INT(process(p.client, "good"), -1);
	CHECK_STR(tls_error(p.client), "ocsp verify failed: no issuer cert");
	check_no_ocsp(p.client);
	h_pair_free(&p);

	/* Without a URL there may still be a response. */
	open_pair(&p, "good", 0);
	CHECK_STR(tls_peer_ocsp_url(p.client), NULL);
	CHECK_TLS(p.client, process(p.client, "other-serial"));
	CHECK_STR(tls_peer_ocsp_result(p.client), "good");
	h_pair_free(&p);

	/* Of several, the first. */
	open_pair(&p, "ocsp2", 0);
	CHECK_STR(tls_peer_ocsp_url(p.client), "http://a.test/");
	h_pair_free(&p);
}

/* A server may ask about its client. */
static void
ocsp_of_client(void **state)
{
	struct tls_config *client, *server;
	struct row row = { .flags = 0 };
	struct h_pair p;

	(void)state;
	PROXY_ONLY();
	CHECK((client = tls_config_new()) != NULL);
	CHECK((server = tls_config_new()) != NULL);
	set_switches(client, &row);
	set_switches(server, &row);
	set_identity(client, "ocsp", NULL);
	set_identity(server, "good", NULL);
	tls_config_verify_client(server);
	h_pair_start(&p, client, server, "localhost");
	tls_config_free(client);
	tls_config_free(server);
	CHECK_PAIR(&p);
	CHECK_STR(tls_peer_ocsp_url(p.server), "http://ocsp.test/");
	check_no_ocsp(p.server);
	CHECK_TLS(p.server, process(p.server, "good"));
	CHECK_STR(tls_peer_ocsp_result(p.server), "good");
	CHECK_INT(process(p.server, "revoked-keyCompromise"), -1);
	CHECK_STR(tls_error(p.server), BY("keyCompromise"));
	CHECK_INT(tls_peer_ocsp_crl_reason(p.server),
	    TLS_CRL_REASON_KEY_COMPROMISE);
	h_pair_free(&p);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(clients),
	cmocka_unit_test(servers),
	cmocka_unit_test(optional),
	cmocka_unit_test(in_memory),
	cmocka_unit_test(unreadable_lists),
	cmocka_unit_test(ca_paths),
	cmocka_unit_test(verified_later),
	cmocka_unit_test(contains_name),
	cmocka_unit_test(handshake_names),
	cmocka_unit_test(ocsp_responses),
	cmocka_unit_test(staples),
	cmocka_unit_test(stapled_pairs),
	cmocka_unit_test(live_staples),
	cmocka_unit_test(live_pairs),
	cmocka_unit_test(ocsp_without),
	cmocka_unit_test(ocsp_of_client),
};

static const struct h_peer peers[] = { { NULL, NULL } };

H_MAIN(tests, peers)
