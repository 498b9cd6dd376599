/*
 * One end of an SCTP association in user space (libusrsctp over raw IP), for kernels without SCTP.
 *
 *   sctp serve ADDRESS PORT              echoes every message
 *   sctp ask OWN ADDRESS PORT COUNT      sends COUNT messages and compares what comes back
 *
 * Each end is bound to one address, so that the association has one path: the addresses that an
 * end lists in its INIT chunk are no business of a load balancer.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <usrsctp.h>

/* No message of ours is longer. */
#define LEN 1200

/* Seconds that a client lives: an association that is not established is a failure. */
#define PATIENCE 3

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static socklen_t parse(const char *address, const char *port, struct sockaddr_storage *to)
{
	struct sockaddr_in *v4 = (struct sockaddr_in *)to;
	struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)to;

	memset(to, 0, sizeof(*to));
	if (inet_pton(AF_INET, address, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons((unsigned short)atoi(port));
		return sizeof(*v4);
	}
	if (inet_pton(AF_INET6, address, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons((unsigned short)atoi(port));
		return sizeof(*v6);
	}
	fprintf(stderr, "%s is not an address\n", address);
	exit(1);
}

static struct socket *bound(const char *address, const char *port)
{
	struct sockaddr_storage own;
	socklen_t len = parse(address, port, &own);
	struct socket *sock =
	    usrsctp_socket(own.ss_family, SOCK_STREAM, IPPROTO_SCTP, NULL, NULL, 0, NULL);

	if (sock == NULL)
		die("usrsctp_socket");
	if (usrsctp_bind(sock, (struct sockaddr *)&own, len) < 0)
		die("usrsctp_bind");
	return sock;
}

/* Bytes of the next message; 0: the other end has closed. */
static ssize_t receive(struct socket *sock, char *message)
{
	struct sctp_rcvinfo info;
	socklen_t len = sizeof(info);
	unsigned int kind;
	int flags = 0;

	return usrsctp_recvv(sock, message, LEN, NULL, NULL, &info, &len, &kind, &flags);
}

static void *echo(void *arg)
{
	struct socket *sock = arg;
	char message[LEN];
	ssize_t len;

	while ((len = receive(sock, message)) > 0)
		usrsctp_sendv(sock, message, (size_t)len, NULL, 0, NULL, 0, SCTP_SENDV_NOINFO, 0);
	usrsctp_close(sock);
	return NULL;
}

static void serve(struct socket *sock)
{
	struct socket *client;
	pthread_t thread;

	if (usrsctp_listen(sock, 16) < 0)
		die("usrsctp_listen");
	puts("ready");
	fflush(stdout);
	while ((client = usrsctp_accept(sock, NULL, NULL)) != NULL) {
		if (pthread_create(&thread, NULL, echo, client) != 0)
			die("pthread_create");
		pthread_detach(thread);
	}
	die("usrsctp_accept");
}

static void ask(struct socket *sock, int count)
{
	char question[LEN], answer[LEN];

	for (int number = 0; number < count; number++) {
		/* Lengths of all residues, so that every padding is seen. */
		size_t len = 1 + (size_t)number * 7 % (LEN - 1);

		memset(question, 'a' + number % 26, len);
		if (usrsctp_sendv(sock, question, len, NULL, 0, NULL, 0, SCTP_SENDV_NOINFO, 0) < 0)
			die("usrsctp_sendv");
		if (receive(sock, answer) != (ssize_t)len || memcmp(question, answer, len) != 0) {
			fprintf(stderr, "message %d of %d came back changed\n", number, count);
			exit(1);
		}
	}
	printf("%d messages\n", count);
	usrsctp_close(sock);
}

int main(int argc, char **argv)
{
	struct sockaddr_storage to;

	/* Port 0: no UDP below, protocol 132 itself. */
	usrsctp_init(0, NULL, NULL);
	/* Every such process of a host sees every packet: what is nobody's here is another's. */
	usrsctp_sysctl_set_sctp_blackhole(2);
	if (argc == 4 && strcmp(argv[1], "serve") == 0) {
		serve(bound(argv[2], argv[3]));
	} else if (argc == 6 && strcmp(argv[1], "ask") == 0) {
		struct socket *sock = bound(argv[2], "0");

		alarm(PATIENCE);
		if (usrsctp_connect(sock, (struct sockaddr *)&to, parse(argv[3], argv[4], &to)) < 0)
			die("usrsctp_connect");
		ask(sock, atoi(argv[5]));
		return 0;
	}
	fprintf(stderr, "usage: sctp serve ADDRESS PORT | sctp ask OWN ADDRESS PORT COUNT\n");
	return 2;
}
