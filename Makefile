# A POP3 server and client. "make" builds both, "make run" holds a first session, "make test" tests them.

CC = cc
CFLAGS = -O2 -g
PREFIX = /usr/local

STD = -std=c11
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
COMPILE = $(CC) $(STD) $(WARN) $(CPPFLAGS) $(CFLAGS)
LINK = $(CC) $(CFLAGS) $(LDFLAGS)

all: server client

# A session costs a fork, and a program that brings all of its code along, in few pieces, forks quicker: it is linked
# like that where the machine can and what comes out runs, else as usual (with a sanitizer, for one).
ONE_PIECE = -static-pie -Wl,-z,noseparate-code,-z,max-page-size=65536
server: server.c pop3.h
	@mkdir -p tests/build
	$(COMPILE) -fPIE -c -o tests/build/server.o server.c
	@$(LINK) $(ONE_PIECE) -o $@ tests/build/server.o 2>/dev/null && ./$@ -V >/dev/null 2>&1 || \
	$(LINK) -o $@ tests/build/server.o

client: client.c pop3.h
	$(COMPILE) $(LDFLAGS) -o $@ client.c

# A first session, on a copy of mail/: what is removed there is still here.
run: all
	@sh tests/first.sh

# Seconds: the conversations and the units, on the programs as they were built.
test: all
	@CC='$(CC)' sh tests/run.sh

# Minutes: the same under sanitizers, and the mail programs of others as far as they are installed.
check: test
	@CC='$(CC)' sh tests/check.sh

# Minutes: speeds and sizes as ratios to floors in the same run; "sh tests/bench/bench.sh quick" takes half of one.
bench: all
	@CC='$(CC)' sh tests/bench/bench.sh

# With -f a server that runs is replaced: it goes on as it was until it is started anew.
install: all
	mkdir -p $(DESTDIR)$(PREFIX)/bin
	cp -f server $(DESTDIR)$(PREFIX)/bin/pop3-server
	cp -f client $(DESTDIR)$(PREFIX)/bin/pop3-client
	chmod 755 $(DESTDIR)$(PREFIX)/bin/pop3-server $(DESTDIR)$(PREFIX)/bin/pop3-client

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/pop3-server $(DESTDIR)$(PREFIX)/bin/pop3-client

clean:
	rm -rf server client tests/build

.PHONY: all run test check bench install uninstall clean
