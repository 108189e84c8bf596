/* SPDX-License-Identifier: ISC */
/*
 * A program as others write it: no part of the harness, so that it can be
 * linked in each way, and do what it is told.
 *
 *	program return | _exit | abort	end so, without a call
 *	program wait			until standard input ends, without a
 *call program use			a connection with both ends here program
 *begin			a handshake that no one answers, which needs no file
 *
 * The last two print "used" or "begun", or why not.
 */

#include <sys/socket.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <tls.h>

static _Noreturn void
fail(const char *what, const char *why)
{
	printf("%s: %s\n", what, why == NULL ? "no error" : why);
	fflush(stdout);
	_exit(1);
}

/* Calls the handshake of one end, unless it is done. */
static int
step(struct tls *ctx, int *rv)
{
	if (*rv != 0)
		*rv = tls_handshake(ctx);
	return *rv;
}

static void
use(void)
{
	struct tls_config *cconfig, *sconfig;
	struct tls *client, *server, *conn = NULL;
	char ca[512], cert[512], key[512], c = 0;
	const char *dir = getenv("TEST_CERTS");
	struct pollfd pfd[2];
	int fds[2], crv = -2, srv = -2;
	ssize_t n;

	snprintf(ca, sizeof(ca), "%s/root.pem", dir == NULL ? "." : dir);
	snprintf(cert, sizeof(cert), "%s/rsa-chain.pem",
	    dir == NULL ? "." : dir);
	snprintf(key, sizeof(key), "%s/rsa.key", dir == NULL ? "." : dir);
	if (tls_init() == -1 || (cconfig = tls_config_new()) == NULL ||
	    (sconfig = tls_config_new()) == NULL ||
	    (client = tls_client()) == NULL || (server = tls_server()) == NULL)
		fail("new", NULL);
	if (tls_config_set_ca_file(cconfig, ca) == -1)
		fail(ca, tls_config_error(cconfig));
	if (tls_config_set_keypair_file(sconfig, cert, key) == -1)
		fail(key, tls_config_error(sconfig));
	if (tls_configure(client, cconfig) == -1)
		fail("tls_configure", tls_error(client));
	if (tls_configure(server, sconfig) == -1)
		fail("tls_configure", tls_error(server));
	tls_config_free(cconfig);
	tls_config_free(sconfig);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		fds) == -1)
		fail("socketpair", NULL);
	if (tls_connect_socket(client, fds[0], "localhost") == -1)
		fail("tls_connect_socket", tls_error(client));
	if (tls_accept_socket(server, &conn, fds[1]) == -1)
		fail("tls_accept_socket", tls_error(server));
	while (crv != 0 || srv != 0) {
		if (step(client, &crv) == -1)
			fail("client", tls_error(client));
		if (step(conn, &srv) == -1)
			fail("server", tls_error(conn));
		/* What is done has nothing more to wait for. */
		pfd[0].fd = crv == 0 ? -1 : fds[0];
		pfd[1].fd = srv == 0 ? -1 : fds[1];
		pfd[0].events = crv == TLS_WANT_POLLOUT ? POLLOUT : POLLIN;
		pfd[1].events = srv == TLS_WANT_POLLOUT ? POLLOUT : POLLIN;
		if ((crv != 0 || srv != 0) && poll(pfd, 2, 20000) < 1)
			fail("handshake", "takes too long");
	}
	if (tls_write(client, "x", 1) != 1)
		fail("tls_write", tls_error(client));
	pfd[1].fd = fds[1];
	pfd[1].events = POLLIN;
	while ((n = tls_read(conn, &c, 1)) == TLS_WANT_POLLIN) {
		if (poll(&pfd[1], 1, 20000) < 1)
			fail("tls_read", "takes too long");
	}
	if (n != 1 || c != 'x')
		fail("tls_read", tls_error(conn));
	tls_free(conn);
	tls_free(client);
	tls_free(server);
	close(fds[0]);
	close(fds[1]);
	printf("used\n");
}

static void
begin(void)
{
	struct tls_config *config;
	struct tls *client;
	int fds[2];

	if ((config = tls_config_new()) == NULL ||
	    (client = tls_client()) == NULL)
		fail("new", NULL);
	tls_config_insecure_noverifycert(config);
	tls_config_insecure_noverifyname(config);
	if (tls_configure(client, config) == -1)
		fail("tls_configure", tls_error(client));
	tls_config_free(config);
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		fds) == -1)
		fail("socketpair", NULL);
	if (tls_connect_socket(client, fds[0], "localhost") == -1)
		fail("tls_connect_socket", tls_error(client));
	if (tls_handshake(client) != TLS_WANT_POLLIN)
		fail("tls_handshake", tls_error(client));
	tls_free(client);
	close(fds[0]);
	close(fds[1]);
	printf("begun\n");
}

int
main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";
	char c;

	alarm(60);
	if (strcmp(what, "_exit") == 0)
		_exit(0);
	else if (strcmp(what, "abort") == 0)
		abort();
	else if (strcmp(what, "wait") == 0 && read(0, &c, 1) != 0)
		fail("wait", "there is something to read");
	else if (strcmp(what, "use") == 0)
		use();
	else if (strcmp(what, "begin") == 0)
		begin();
	return 0;
}
