# A POP3 server and client. "make" builds both, "make run" tries them, "make test" tests them.

CC = cc
CFLAGS = -O2 -g
PREFIX = /usr/local

STD = -std=c11
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
COMPILE = $(CC) $(STD) $(WARN) $(CPPFLAGS) $(CFLAGS)
LINK = $(CC) $(CFLAGS) $(LDFLAGS)

all: server client

# Each session of the server is a fork. A static program in few pieces forks faster, so it is linked
# like that where it can be; with a sanitizer it cannot run.
STATIC = -static-pie -Wl,-z,noseparate-code,-z,max-page-size=65536
server: server.c pop3.h
	@mkdir -p tests/build
	$(COMPILE) -fPIE -c -o tests/build/server.o server.c
	@case '$(CFLAGS) $(LDFLAGS)' in *-fsanitize*) false ;; esac && \
	$(LINK) $(STATIC) -o $@ tests/build/server.o $(LDLIBS) 2>/dev/null || \
	$(LINK) -o $@ tests/build/server.o $(LDLIBS)

client: client.c pop3.h
	$(COMPILE) $(LDFLAGS) -o $@ client.c $(LDLIBS)

# A first session, on a copy of mail/.
run: all
	@sh tests/first.sh

# Seconds: conversations, unit tests, sockets and terminals.
test: all
	@CC='$(CC)' sh tests/run.sh

# Minutes: the same under sanitizers, fuzzers, faults, load, and other people's mail programs.
check: test
	@CC='$(CC)' sh tests/check.sh

# Minutes: speed and memory, as ratios; "sh tests/bench/bench.sh quick" takes half a minute.
bench: all
	@CC='$(CC)' sh tests/bench/bench.sh

# Removes a program before it replaces it: one that runs goes on until it is started again.
install: all
	mkdir -p '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(PREFIX)/share/doc/pop3'
	for p in server client; do \
	    rm -f '$(DESTDIR)$(PREFIX)'/bin/pop3-$$p && cp $$p '$(DESTDIR)$(PREFIX)'/bin/pop3-$$p && \
	    chmod 755 '$(DESTDIR)$(PREFIX)'/bin/pop3-$$p || exit 1; \
	done
	cp README.md LICENSE '$(DESTDIR)$(PREFIX)/share/doc/pop3/'

uninstall:
	rm -f '$(DESTDIR)$(PREFIX)/bin/pop3-server' '$(DESTDIR)$(PREFIX)/bin/pop3-client'
	rm -rf '$(DESTDIR)$(PREFIX)/share/doc/pop3'

clean:
	rm -rf server client tests/build

.PHONY: all run test check bench install uninstall clean
