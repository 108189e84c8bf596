/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * Files go into a TLS connection without passing through this program, where
 * the connection's descriptor is a channel for plaintext: with libtls-proxy,
 * whatever this was built with.
 */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#ifdef __linux__
#include <sys/sendfile.h>
#endif

#include "httpd_transport.h"

/* As in <tls_proxy.h>, which no other libtls has. */
#ifndef TLS_TRANSPORT_PROXY
#define TLS_TRANSPORT_PROXY 1
#endif

bool
transport_has_sendfile(void)
{
#ifdef __linux__
	return true;
#else
	return false;
#endif
}

bool
transport_set_plaintext(struct tls_config *config)
{
	int (*set_transport)(struct tls_config *, int);
	const char *name = getenv("LIBTLS_PROXY_TRANSPORT");
	void *symbol;

	/* Somebody may want to keep the sockets what they are. */
	if (name != NULL && strcmp(name, "proxy") != 0)
		return false;
	symbol = dlsym(RTLD_DEFAULT, "tls_config_set_transport");
	if (symbol == NULL || !transport_has_sendfile())
		return false;
	memcpy(&set_transport, &symbol, sizeof(set_transport));
	return set_transport(config, TLS_TRANSPORT_PROXY) == 0;
}

ssize_t
transport_sendfile(int to, int from, off_t offset, size_t size)
{
#ifdef __linux__
	return sendfile(to, from, &offset, size);
#else
	(void)to;
	(void)from;
	(void)offset;
	(void)size;
	errno = ENOSYS;
	return -1;
#endif
}
