/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What nc tells about a TLS connection. */

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "cert.h"
#include "printable.h"
#include "report.h"

static void
print_time(const char *what, time_t t)
{
	struct tm tm;
	char text[64];

	if (t != (time_t)-1 && gmtime_r(&t, &tm) != NULL &&
	    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S UTC", &tm) > 0)
		warnx("%s: %s", what, text);
}

/* What the peer has written is not for the terminal to obey. */
static void
print_if(const char *what, const char *text)
{
	char *copy;

	if (text == NULL || *text == '\0')
		return;
	if ((copy = strdup(text)) == NULL) {
		warnx("out of memory");
		return;
	}
	make_printable(copy);
	warnx("%s: %s", what, copy);
	free(copy);
}

static void
print_certificate(struct tls *tls)
{
	warnx("subject: %s", tls_peer_cert_subject(tls));
	warnx("issuer: %s", tls_peer_cert_issuer(tls));
	print_time("valid from", tls_peer_cert_notbefore(tls));
	print_time("valid until", tls_peer_cert_notafter(tls));
	warnx("hash: %s", tls_peer_cert_hash(tls));
}

/* The first certificate is the peer's own, of which all but names is known. */
static void
print_chain(struct tls *tls)
{
	const uint8_t *chain;
	uint8_t *der;
	struct cert c;
	char *copy, *pem;
	size_t der_len, len = 0;
	int i;

	if ((chain = tls_peer_cert_chain_pem(tls, &len)) == NULL)
		return;
	if ((copy = malloc(len)) == NULL) {
		warnx("out of memory");
		return;
	}
	memcpy(copy, chain, len);
	pem = copy;
	for (i = 0; cert_next(&pem, &len, &der, &der_len); i++) {
		if (!cert_parse(&c, der, der_len)) {
			warnx("chain %d: cannot be read", i);
			continue;
		}
		if (i > 0) {
			warnx("chain %d subject: %s", i, c.subject);
			warnx("chain %d issuer: %s", i, c.issuer);
			print_time("  valid from", c.not_before);
			print_time("  valid until", c.not_after);
		}
		print_if("names", c.names);
	}
	warnx("certificates sent: %d", i);
	free(copy);
}

static void
print_ocsp(struct tls *tls)
{
	const char *result = tls_peer_ocsp_result(tls);

	print_if("OCSP responder", tls_peer_ocsp_url(tls));
	warnx("OCSP staple: %s", result != NULL ? result : "none");
	if (result == NULL)
		return;
	print_time("OCSP response from", tls_peer_ocsp_this_update(tls));
	print_time("OCSP response until", tls_peer_ocsp_next_update(tls));
	print_time("OCSP revocation", tls_peer_ocsp_revocation_time(tls));
}

void
report(struct tls *tls, const char *peer, int full)
{
	warnx("TLS handshake with %s: %s, %s", peer, tls_conn_version(tls),
	    tls_conn_cipher(tls));
	print_if("server name", tls_conn_servername(tls));
	if (full) {
		warnx("cipher strength: %d bits",
		    tls_conn_cipher_strength(tls));
		print_if("application protocol", tls_conn_alpn_selected(tls));
		warnx("session: %s",
		    tls_conn_session_resumed(tls) ? "resumed" : "new");
	}
	if (!tls_peer_cert_provided(tls)) {
		if (full)
			warnx("no certificate");
		return;
	}
	print_certificate(tls);
	if (full) {
		print_chain(tls);
		print_ocsp(tls);
	}
}
