/*
 * network.h - a network of a test's own, in which it has many addresses (Linux). It includes
 * net.h.
 *
 * Define _GNU_SOURCE before it: unshare needs that.
 */
#ifndef NETWORK_H
#define NETWORK_H

#include "net.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>

/*
 * Makes a network of our own, in which all addresses of 192.0.2.0/24 are this machine's, and some
 * of IPv6.
 */
static void
make_network(void)
{
    static const char *const addresses[] = {"2001:db8::1", "2001:db8::2", "2001:db8::3", "fe80::1"};
    struct ifreq request = {.ifr_flags = 0};
    struct sockaddr_storage address;
    int fd;

    if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0)
        skip("no network of our own can be had here");
    fd = socket(AF_INET, SOCK_DGRAM, 0);
    check(fd >= 0);
    strcpy(request.ifr_name, "lo");
    check(ioctl(fd, SIOCGIFFLAGS, &request) == 0);
    request.ifr_flags |= IFF_UP;
    check(ioctl(fd, SIOCSIFFLAGS, &request) == 0);
    strcpy(request.ifr_name, "lo:1");
    socket_address(&address, "192.0.2.1", "0");
    memcpy(&request.ifr_addr, &address, sizeof request.ifr_addr);
    check(ioctl(fd, SIOCSIFADDR, &request) == 0);
    socket_address(&address, "255.255.255.0", "0");
    memcpy(&request.ifr_netmask, &address, sizeof request.ifr_netmask);
    check(ioctl(fd, SIOCSIFNETMASK, &request) == 0);
    close(fd);
    fd = socket(AF_INET6, SOCK_DGRAM, 0);
    for (size_t i = 0; fd >= 0 && i < sizeof addresses / sizeof *addresses; i++) {
        struct {
            struct in6_addr address;
            uint32_t prefix;
            int interface;
        } with = {/* in6_ifreq of linux/ipv6.h */
                  .prefix = 64,
                  .interface = (int)if_nametoindex("lo")};

        check(inet_pton(AF_INET6, addresses[i], &with.address) == 1);
        check(ioctl(fd, SIOCSIFADDR, &with) == 0);
    }
    if (fd >= 0)
        close(fd);
    for (size_t i = 0; fd >= 0 && i < 3; i++) {
        char port[8];

        await((fd = occupy(addresses[i], port)) >= 0);  /* it takes the system a moment */
        close(fd);
    }
}

/* Connects to the server's address i from another one. */
static struct client
connect_from(const struct server *s, int i, const char *from)
{
    struct sockaddr_storage to, at;
    socklen_t size = socket_address(&to, s->address[i], s->port[i]);
    struct client c = {.fd = socket(to.ss_family, SOCK_STREAM, 0)};

    check(c.fd >= 0);
    socket_address(&at, from, "0");
    check(bind(c.fd, (struct sockaddr *)&at, size) == 0);
    check(connect(c.fd, (struct sockaddr *)&to, size) == 0);
    return c;
}

#endif
