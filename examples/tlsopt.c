/* SPDX-License-Identifier: ISC */

/* The TLS options that the example programs share. */

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tlsopt.h"

enum option {
	CAFILE,
	CAPATH,
	CERT,
	CIPHERS,
	CLIENTCERT,
	CRL,
	CURVES,
	DEPTH,
	KEY,
	MUSTSTAPLE,
	NONAME,
	NOVERIFY,
	NOVERIFYCERT,
	NOVERIFYNAME,
	NOVERIFYTIME,
	PROTOCOLS,
};

static char *const names[] = {
	[CAFILE] = "cafile",
	[CAPATH] = "capath",
	[CERT] = "cert",
	[CIPHERS] = "ciphers",
	[CLIENTCERT] = "clientcert",
	[CRL] = "crl",
	[CURVES] = "curves",
	[DEPTH] = "depth",
	[KEY] = "key",
	[MUSTSTAPLE] = "muststaple",
	[NONAME] = "noname",
	[NOVERIFY] = "noverify",
	[NOVERIFYCERT] = "noverifycert",
	[NOVERIFYNAME] = "noverifyname",
	[NOVERIFYTIME] = "noverifytime",
	[PROTOCOLS] = "protocols",
	NULL,
};

static bool
takes_value(int option)
{
	return option == CAFILE || option == CAPATH || option == CERT ||
	       option == CIPHERS || option == CRL || option == CURVES ||
	       option == DEPTH || option == KEY || option == PROTOCOLS;
}

static int
set_depth(struct tls_config *config, const char *value)
{
	char *end;
	long depth;

	errno = 0;
	depth = strtol(value, &end, 10);
	if (end == value || *end != '\0' || errno != 0 || depth < 0 ||
	    depth > INT_MAX)
		return -1;
	return tls_config_set_verify_depth(config, (int)depth);
}

static int
apply(struct tls_config *config, int option, const char *value)
{
	uint32_t protocols;

	switch (option) {
	case CAFILE:
		return tls_config_set_ca_file(config, value);
	case CAPATH:
		return tls_config_set_ca_path(config, value);
	case CERT:
		return tls_config_set_cert_file(config, value);
	case CIPHERS:
		return tls_config_set_ciphers(config, value);
	case CLIENTCERT:
		tls_config_verify_client(config);
		return 0;
	case CRL:
		return tls_config_set_crl_file(config, value);
	case CURVES:
		return tls_config_set_ecdhecurves(config, value);
	case DEPTH:
		return set_depth(config, value);
	case KEY:
		return tls_config_set_key_file(config, value);
	case MUSTSTAPLE:
		tls_config_ocsp_require_stapling(config);
		return 0;
	case NOVERIFY:
		tls_config_insecure_noverifycert(config);
		tls_config_insecure_noverifyname(config);
		return 0;
	case NOVERIFYCERT:
		tls_config_insecure_noverifycert(config);
		return 0;
	case NONAME: /* as in OpenBSD's nc */
	case NOVERIFYNAME:
		tls_config_insecure_noverifyname(config);
		return 0;
	case NOVERIFYTIME:
		tls_config_insecure_noverifytime(config);
		return 0;
	case PROTOCOLS:
		if (tls_config_parse_protocols(&protocols, value) == -1)
			return -1;
		return tls_config_set_protocols(config, protocols);
	}
	return -1;
}

static int
apply_list(struct tls_config *config, const char *list, bool public,
    char *errbuf, size_t errlen)
{
	const char *cause;
	char *copy, *rest, *value;
	int option, rv = -1;

	if ((copy = strdup(list)) == NULL) {
		snprintf(errbuf, errlen, "out of memory");
		return -1;
	}
	rest = copy;
	while (*rest != '\0') {
		option = getsubopt(&rest, names, &value);
		if (option == -1) {
			/* The whole of what getsubopt did not recognise. */
			snprintf(errbuf, errlen, "unknown TLS option '%s'",
			    value);
			goto err;
		}
		if ((value != NULL) != takes_value(option)) {
			snprintf(errbuf, errlen, "TLS option '%s' takes %s",
			    names[option],
			    value == NULL ? "a value" : "no value");
			goto err;
		}
		if (public && (option == CERT || option == KEY))
			continue;
		if (apply(config, option, value) == -1) {
			if ((cause = tls_config_error(config)) == NULL)
				cause = "invalid value";
			snprintf(errbuf, errlen, "TLS option '%s%s%s': %s",
			    names[option], value != NULL ? "=" : "",
			    value != NULL ? value : "", cause);
			goto err;
		}
	}
	rv = 0;

err:
	free(copy);
	return rv;
}

int
tlsopt_apply(struct tls_config *config, const char *list, char *errbuf,
    size_t errlen)
{
	return apply_list(config, list, false, errbuf, errlen);
}

int
tlsopt_apply_public(struct tls_config *config, const char *list, char *errbuf,
    size_t errlen)
{
	return apply_list(config, list, true, errbuf, errlen);
}
