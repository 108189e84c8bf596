/* SPDX-License-Identifier: ISC */
/*
 * Each exported symbol is there, is in this table, and can be called: what is
 * not possible gives an error with a text. LIBTLS_MAP in the environment names
 * the list of the symbols.
 */

#include <sys/socket.h>

#include <dlfcn.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tls_proxy.h>

#include "harness.h"

/* Exported by libtls, but in no header of it. */
void tls_config_skip_private_key_check(struct tls_config *);
void tls_config_use_fake_private_key(struct tls_config *);

static struct tls_config *config;
static struct tls *client, *server, *conn;
static struct tls_signer *signer;
static uint8_t bytes[64], *signature;
static struct tls_proxy_info info;
static size_t length;

/* A handshake that waits, and what it asks. */
static struct h_pair pair;
static struct tls_request *request;

static struct tls_request *
asked(void)
{
	struct tls_config *to = h_client_config(), *from;

	from = h_server_config("rsa");
	CHECK_CONFIG(from,
	    tls_config_set_requests(from, TLS_REQUEST_CERTIFICATE, 60000));
	h_pair_start(&pair, to, from, "localhost");
	while ((request = tls_request_next(pair.base)) == NULL)
		h_poll(tls_request_fd(pair.base), POLLIN, H_WAIT);
	tls_config_free(to);
	tls_config_free(from);
	return request;
}

/* An answer that was taken leaves no request. */
static int
answered(int rv)
{
	if (rv == 0)
		request = NULL;
	return rv;
}

static ssize_t
no_read(struct tls *ctx, void *buf, size_t len, void *arg)
{
	(void)ctx;
	(void)buf;
	(void)len;
	(void)arg;
	return TLS_WANT_POLLIN;
}

static ssize_t
no_write(struct tls *ctx, const void *buf, size_t len, void *arg)
{
	(void)ctx;
	(void)buf;
	(void)len;
	(void)arg;
	return TLS_WANT_POLLOUT;
}

static int
no_sign(void *arg, const char *hash, const uint8_t *input, size_t len,
    int padding, uint8_t **out, size_t *out_len)
{
	(void)arg;
	(void)hash;
	(void)input;
	(void)len;
	(void)padding;
	(void)out;
	(void)out_len;
	return -1;
}

/* What a call may give, beside what it does to an object's error. */
enum kind {
	ANY,		/* or nothing */
	ZERO,		/* 0 */
	CONFIG,		/* 0, or -1 with tls_config_error(config) */
	CLIENT,		/* 0, or -1 or a want, with tls_error(client) for -1 */
	REFUSES_CLIENT, /* -1 with tls_error */
	REFUSES_SERVER,
	NOTHING, /* NULL, as a pointer */
	THERE,	 /* any other pointer */
};

#define CALL(name, kind, expression)                                           \
	static intmax_t call_##name(void)                                      \
	{                                                                      \
		return (intmax_t)(expression);                                 \
	}
#define TABLE                                                                  \
	X(tls_init, ZERO, tls_init())                                          \
	X(tls_config_error, NOTHING, tls_config_error(config))                 \
	X(tls_config_error_code, ZERO, tls_config_error_code(config))          \
	X(tls_error, NOTHING, tls_error(client))                               \
	X(tls_error_code, ZERO, tls_error_code(client))                        \
	X(tls_config_new, THERE, config = tls_config_new())                    \
	X(tls_config_free, ANY, (tls_config_free(NULL), 0))                    \
	X(tls_client, THERE, client = tls_client())                            \
	X(tls_server, THERE, server = tls_server())                            \
	X(tls_default_ca_cert_file, THERE, tls_default_ca_cert_file())         \
	X(tls_proxy_version, THERE, tls_proxy_version())                       \
	X(tls_proxy_info, ANY, tls_proxy_info(&info, sizeof(info), NULL))      \
	X(tls_config_set_isolation, ZERO,                                      \
	    tls_config_set_isolation(config, TLS_ISOLATION_CONFIG))            \
	X(tls_config_add_keypair_file, CONFIG,                                 \
	    tls_config_add_keypair_file(config, "/no/cert", "/no/key"))        \
	X(tls_config_add_keypair_mem, CONFIG,                                  \
	    tls_config_add_keypair_mem(config, bytes, 8, bytes, 8))            \
	X(tls_config_add_keypair_ocsp_file, CONFIG,                            \
	    tls_config_add_keypair_ocsp_file(config, "/no/cert", "/no/key",    \
		"/no/staple"))                                                 \
	X(tls_config_add_keypair_ocsp_mem, CONFIG,                             \
	    tls_config_add_keypair_ocsp_mem(config, bytes, 8, bytes, 8, bytes, \
		8))                                                            \
	X(tls_config_add_ticket_key, CONFIG,                                   \
	    tls_config_add_ticket_key(config, 1, bytes, 48))                   \
	X(tls_config_set_alpn, CONFIG, tls_config_set_alpn(config, "h2"))      \
	X(tls_config_set_ca_file, CONFIG,                                      \
	    tls_config_set_ca_file(config, "/no/ca"))                          \
	X(tls_config_set_ca_mem, CONFIG,                                       \
	    tls_config_set_ca_mem(config, bytes, 8))                           \
	X(tls_config_set_ca_path, CONFIG,                                      \
	    tls_config_set_ca_path(config, "/no/ca"))                          \
	X(tls_config_set_cert_file, CONFIG,                                    \
	    tls_config_set_cert_file(config, "/no/cert"))                      \
	X(tls_config_set_cert_mem, CONFIG,                                     \
	    tls_config_set_cert_mem(config, bytes, 8))                         \
	X(tls_config_set_ciphers, CONFIG,                                      \
	    tls_config_set_ciphers(config, "secure"))                          \
	X(tls_config_set_crl_file, CONFIG,                                     \
	    tls_config_set_crl_file(config, "/no/crl"))                        \
	X(tls_config_set_crl_mem, CONFIG,                                      \
	    tls_config_set_crl_mem(config, bytes, 8))                          \
	X(tls_config_set_dheparams, CONFIG,                                    \
	    tls_config_set_dheparams(config, "none"))                          \
	X(tls_config_set_ecdhecurve, CONFIG,                                   \
	    tls_config_set_ecdhecurve(config, "auto"))                         \
	X(tls_config_set_ecdhecurves, CONFIG,                                  \
	    tls_config_set_ecdhecurves(config, "P-256"))                       \
	X(tls_config_set_key_file, CONFIG,                                     \
	    tls_config_set_key_file(config, "/no/key"))                        \
	X(tls_config_set_key_mem, CONFIG,                                      \
	    tls_config_set_key_mem(config, bytes, 8))                          \
	X(tls_config_set_keypair_file, CONFIG,                                 \
	    tls_config_set_keypair_file(config, "/no/cert", "/no/key"))        \
	X(tls_config_set_keypair_mem, CONFIG,                                  \
	    tls_config_set_keypair_mem(config, bytes, 8, bytes, 8))            \
	X(tls_config_set_keypair_ocsp_file, CONFIG,                            \
	    tls_config_set_keypair_ocsp_file(config, "/no/cert", "/no/key",    \
		"/no/staple"))                                                 \
	X(tls_config_set_keypair_ocsp_mem, CONFIG,                             \
	    tls_config_set_keypair_ocsp_mem(config, bytes, 8, bytes, 8, bytes, \
		8))                                                            \
	X(tls_config_set_ocsp_staple_file, CONFIG,                             \
	    tls_config_set_ocsp_staple_file(config, "/no/staple"))             \
	X(tls_config_set_ocsp_staple_mem, CONFIG,                              \
	    tls_config_set_ocsp_staple_mem(config, bytes, 8))                  \
	X(tls_config_set_protocols, CONFIG,                                    \
	    tls_config_set_protocols(config, TLS_PROTOCOLS_DEFAULT))           \
	X(tls_config_set_session_fd, CONFIG,                                   \
	    tls_config_set_session_fd(config, -1))                             \
	X(tls_config_set_session_id, CONFIG,                                   \
	    tls_config_set_session_id(config, bytes, 8))                       \
	X(tls_config_set_session_lifetime, CONFIG,                             \
	    tls_config_set_session_lifetime(config, 3600))                     \
	X(tls_config_set_sign_cb, CONFIG,                                      \
	    tls_config_set_sign_cb(config, no_sign, NULL))                     \
	X(tls_config_set_requests, CONFIG,                                     \
	    tls_config_set_requests(config, TLS_REQUESTS_ALL, 1))              \
	X(tls_request_fd, ANY, tls_request_fd(client))                         \
	X(tls_request_next, NOTHING, tls_request_next(client))                 \
	X(tls_request_facts, THERE, tls_request_facts(asked()))                \
	X(tls_request_error, NOTHING, tls_request_error(asked()))              \
	X(tls_request_default, ZERO, answered(tls_request_default(asked())))   \
	X(tls_request_accept, ZERO, answered(tls_request_accept(asked())) + 1) \
	X(tls_request_refuse, ZERO,                                            \
	    answered(tls_request_refuse(asked(), "no")))                       \
	X(tls_request_answer, ZERO,                                            \
	    answered(tls_request_answer(asked(), bytes, 8)) + 1)               \
	X(tls_request_answer_pair, ZERO,                                       \
	    answered(tls_request_answer_pair(asked(), 0)))                     \
	X(tls_request_answer_keypair, ZERO,                                    \
	    answered(tls_request_answer_keypair(asked(), -1, -1)) + 1)         \
	X(tls_request_free, ANY,                                               \
	    (tls_request_free(asked()), tls_request_free(NULL), answered(0)))  \
	X(tls_signer_new, THERE, signer = tls_signer_new())                    \
	X(tls_signer_error, NOTHING, tls_signer_error(signer))                 \
	X(tls_signer_add_keypair_file, ZERO,                                   \
	    tls_signer_add_keypair_file(signer, "/no/cert", "/no/key") + 1)    \
	X(tls_signer_add_keypair_mem, ZERO,                                    \
	    tls_signer_add_keypair_mem(signer, bytes, 8, bytes, 8) + 1)        \
	X(tls_signer_sign, ZERO,                                               \
	    tls_signer_sign(signer, "SHA256:", bytes, 8, TLS_PADDING_NONE,     \
		&signature, &length) +                                         \
		1)                                                             \
	X(tls_signer_free, ANY, (tls_signer_free(NULL), 0))                    \
	X(tls_config_set_transport, CONFIG,                                    \
	    tls_config_set_transport(config, TLS_TRANSPORT_APP))               \
	X(tls_config_set_verify_depth, CONFIG,                                 \
	    tls_config_set_verify_depth(config, 6))                            \
	X(tls_config_prefer_ciphers_client, ANY,                               \
	    (tls_config_prefer_ciphers_client(config), 0))                     \
	X(tls_config_prefer_ciphers_server, ANY,                               \
	    (tls_config_prefer_ciphers_server(config), 0))                     \
	X(tls_config_insecure_noverifycert, ANY,                               \
	    (tls_config_insecure_noverifycert(config), 0))                     \
	X(tls_config_insecure_noverifyname, ANY,                               \
	    (tls_config_insecure_noverifyname(config), 0))                     \
	X(tls_config_insecure_noverifytime, ANY,                               \
	    (tls_config_insecure_noverifytime(config), 0))                     \
	X(tls_config_verify, ANY, (tls_config_verify(config), 0))              \
	X(tls_config_ocsp_require_stapling, ANY,                               \
	    (tls_config_ocsp_require_stapling(config), 0))                     \
	X(tls_config_verify_client, ANY,                                       \
	    (tls_config_verify_client(config), 0))                             \
	X(tls_config_verify_client_optional, ANY,                              \
	    (tls_config_verify_client_optional(config), 0))                    \
	X(tls_config_skip_private_key_check, ANY,                              \
	    (tls_config_skip_private_key_check(config), 0))                    \
	X(tls_config_use_fake_private_key, ANY,                                \
	    (tls_config_use_fake_private_key(config), 0))                      \
	X(tls_config_clear_keys, ANY, (tls_config_clear_keys(config), 0))      \
	X(tls_config_parse_protocols, ZERO,                                    \
	    tls_config_parse_protocols(&(uint32_t){ 0 }, "all"))               \
	X(tls_configure, REFUSES_SERVER, tls_configure(server, NULL))          \
	X(tls_reset, ANY, (tls_reset(client), 0))                              \
	X(tls_free, ANY, (tls_free(NULL), 0))                                  \
	X(tls_accept_fds, REFUSES_SERVER,                                      \
	    tls_accept_fds(server, &conn, -1, -1))                             \
	X(tls_accept_socket, REFUSES_SERVER,                                   \
	    tls_accept_socket(server, &conn, -1))                              \
	X(tls_accept_cbs, REFUSES_SERVER,                                      \
	    tls_accept_cbs(server, &conn, no_read, no_write, NULL))            \
	X(tls_connect, REFUSES_CLIENT, tls_connect(client, NULL, NULL))        \
	X(tls_connect_servername, REFUSES_CLIENT,                              \
	    tls_connect_servername(client, NULL, NULL, NULL))                  \
	X(tls_connect_fds, REFUSES_CLIENT,                                     \
	    tls_connect_fds(client, -1, -1, "localhost"))                      \
	X(tls_connect_socket, REFUSES_CLIENT,                                  \
	    tls_connect_socket(client, -1, "localhost"))                       \
	X(tls_connect_cbs, CLIENT,                                             \
	    tls_connect_cbs(client, no_read, no_write, NULL, "localhost"))     \
	X(tls_engine_set_nonblock, REFUSES_CLIENT,                             \
	    tls_engine_set_nonblock(client, 1))                                \
	X(tls_engine_fd, ZERO, tls_engine_fd(client) + 1)                      \
	X(tls_handshake, CLIENT, tls_handshake(client))                        \
	X(tls_read, CLIENT, tls_read(client, bytes, 1))                        \
	X(tls_write, CLIENT, tls_write(client, bytes, 1))                      \
	X(tls_close, CLIENT, tls_close(client))                                \
	X(tls_peer_cert_provided, ZERO, tls_peer_cert_provided(client))        \
	X(tls_peer_cert_contains_name, ZERO,                                   \
	    tls_peer_cert_contains_name(client, "localhost"))                  \
	X(tls_peer_cert_hash, NOTHING, tls_peer_cert_hash(client))             \
	X(tls_peer_cert_issuer, NOTHING, tls_peer_cert_issuer(client))         \
	X(tls_peer_cert_subject, NOTHING, tls_peer_cert_subject(client))       \
	X(tls_peer_cert_common_name, NOTHING,                                  \
	    tls_peer_cert_common_name(client))                                 \
	X(tls_peer_cert_notbefore, ZERO, tls_peer_cert_notbefore(client) + 1)  \
	X(tls_peer_cert_notafter, ZERO, tls_peer_cert_notafter(client) + 1)    \
	X(tls_peer_cert_chain_pem, NOTHING,                                    \
	    tls_peer_cert_chain_pem(client, &length))                          \
	X(tls_conn_alpn_selected, NOTHING, tls_conn_alpn_selected(client))     \
	X(tls_conn_cipher, NOTHING, tls_conn_cipher(client))                   \
	X(tls_conn_cipher_strength, ZERO, tls_conn_cipher_strength(client))    \
	X(tls_conn_servername, ANY, (tls_conn_servername(client), 0))          \
	X(tls_conn_session_resumed, ZERO, tls_conn_session_resumed(client))    \
	X(tls_conn_version, NOTHING, tls_conn_version(client))                 \
	X(tls_load_file, NOTHING, tls_load_file("/no/file", &length, NULL))    \
	X(tls_unload_file, ANY, (tls_unload_file(NULL, 0), 0))                 \
	X(tls_ocsp_process_response, ZERO,                                     \
	    tls_ocsp_process_response(client, bytes, 8) + 1)                   \
	X(tls_peer_ocsp_cert_status, ZERO,                                     \
	    tls_peer_ocsp_cert_status(client) + 1)                             \
	X(tls_peer_ocsp_crl_reason, ZERO,                                      \
	    tls_peer_ocsp_crl_reason(client) + 1)                              \
	X(tls_peer_ocsp_next_update, ZERO,                                     \
	    tls_peer_ocsp_next_update(client) + 1)                             \
	X(tls_peer_ocsp_response_status, ZERO,                                 \
	    tls_peer_ocsp_response_status(client) + 1)                         \
	X(tls_peer_ocsp_result, NOTHING, tls_peer_ocsp_result(client))         \
	X(tls_peer_ocsp_revocation_time, ZERO,                                 \
	    tls_peer_ocsp_revocation_time(client) + 1)                         \
	X(tls_peer_ocsp_this_update, ZERO,                                     \
	    tls_peer_ocsp_this_update(client) + 1)                             \
	X(tls_peer_ocsp_url, NOTHING, tls_peer_ocsp_url(client))

#define X(name, kind, expression) CALL(name, kind, expression)
TABLE
#undef X

static const struct {
	const char *name;
	enum kind kind;
	intmax_t (*call)(void);
} functions[] = {
#define X(name, kind, expression) { #name, kind, call_##name },
	TABLE
#undef X
};

#define NFUNCTIONS (sizeof(functions) / sizeof(functions[0]))

static void
every_call(void **state)
{
	struct tls *old_client, *old_server;
	struct tls_config *old_config;
	struct tls_signer *old_signer;
	intmax_t rv;
	size_t i;

	(void)state;
	for (i = 0; i < NFUNCTIONS; i++) {
		h_case = functions[i].name;
		/* Fresh objects, so that an error is this call's. */
		CHECK((config = old_config = tls_config_new()) != NULL);
		CHECK((client = old_client = tls_client()) != NULL);
		CHECK((server = old_server = tls_server()) != NULL);
		CHECK((signer = old_signer = tls_signer_new()) != NULL);

		rv = functions[i].call();
		switch (functions[i].kind) {
		case ANY:
			break;
		case ZERO:
			CHECK_INT(rv, 0);
			break;
		case CONFIG:
			CHECK(rv == 0 || rv == -1);
			if (rv == -1)
				CHECK(tls_config_error(config) != NULL &&
				      *tls_config_error(config) != '\0');
			break;
		case CLIENT:
			CHECK(rv >= -3 && rv <= 0);
			if (rv == -1)
				CHECK(tls_error(client) != NULL &&
				      *tls_error(client) != '\0');
			break;
		case REFUSES_CLIENT:
			CHECK_INT(rv, -1);
			CHECK(tls_error(client) != NULL &&
			      *tls_error(client) != '\0');
			break;
		case REFUSES_SERVER:
			CHECK_INT(rv, -1);
			CHECK(tls_error(server) != NULL &&
			      *tls_error(server) != '\0');
			break;
		case NOTHING:
			CHECK_INT(rv, 0);
			break;
		case THERE:
			CHECK(rv != 0);
			break;
		}
		if (config != old_config)
			tls_config_free(old_config);
		if (client != old_client)
			tls_free(old_client);
		if (server != old_server)
			tls_free(old_server);
		if (signer != old_signer)
			tls_signer_free(old_signer);
		tls_config_free(config);
		tls_free(client);
		tls_free(server);
		tls_signer_free(signer);
		tls_request_free(request);
		request = NULL;
		if (pair.base != NULL)
			h_pair_free(&pair);
	}
	h_case = NULL;
}

/* What a program can tell apart without reading the text. */
static void
error_codes(void **state)
{
#define CODE(call, error_code, want)                                           \
	do {                                                                   \
		h_case = #call;                                                \
		CHECK_INT(call, -1);                                           \
		CHECK_INT(error_code, want);                                   \
	} while (0)

	(void)state;
	CHECK((config = tls_config_new()) != NULL);
	CODE(tls_config_set_ca_file(config, "/no/ca"),
	    tls_config_error_code(config), TLS_ERROR_UNKNOWN);
	CODE(tls_config_set_alpn(config, ","), tls_config_error_code(config),
	    TLS_ERROR_INVALID_ARGUMENT);
	CODE(tls_config_set_ca_file(config, "/no/ca"),
	    tls_config_error_code(config), TLS_ERROR_UNKNOWN);
	tls_config_free(config);

	CHECK((client = tls_client()) != NULL);
	CODE(tls_handshake(client), tls_error_code(client), TLS_ERROR_UNKNOWN);
	CODE(tls_accept_socket(client, &conn, -1), tls_error_code(client),
	    TLS_ERROR_INVALID_CONTEXT);
	tls_reset(client);
	CHECK_INT(tls_error_code(client), 0);
	tls_free(client);
#undef CODE
	h_case = NULL;
}

/* The list of the linker and this table are the same. */
static void
every_symbol(void **state)
{
	const char *path;
	char line[256], name[256];
	size_t i, found = 0;
	FILE *f;

	(void)state;
	if ((path = getenv("LIBTLS_MAP")) == NULL)
		FAIL("LIBTLS_MAP is not set");
	if ((f = fopen(path, "re")) == NULL)
		FAIL("%s: %s", path, strerror(errno));
	while (fgets(line, sizeof(line), f) != NULL) {
		if (sscanf(line, " %200[a-z_0-9];", name) != 1 ||
		    strncmp(name, "tls_", 4) != 0)
			continue;
		h_case = name;
		CHECK(dlsym(RTLD_DEFAULT, name) != NULL);
		for (i = 0; i < NFUNCTIONS; i++) {
			if (strcmp(functions[i].name, name) == 0)
				break;
		}
		if (i == NFUNCTIONS)
			FAIL("is not called in this test");
		found++;
	}
	fclose(f);
	h_case = NULL;
	CHECK_INT(found, NFUNCTIONS);
}

/* What is no one's business stays inside. */
static void
nothing_else(void **state)
{
	static const char *const names[] = { "tlsp_wire_decode",
		"tlsp_channel_send", "tls_error_set", "tls_new", "tls_start" };
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		h_case = names[i];
		CHECK(dlsym(RTLD_DEFAULT, names[i]) == NULL);
	}
	h_case = NULL;
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test(every_symbol),
	cmocka_unit_test(nothing_else),
	cmocka_unit_test(every_call),
	cmocka_unit_test(error_codes),
};

static const struct h_peer peers[] = { { NULL, NULL } };

H_MAIN(tests, peers)
