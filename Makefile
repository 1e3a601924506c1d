# A POP3 server and client. "make" builds both, "make run" holds a first session, "make test" tests them.

CC = cc
CFLAGS = -O2 -g
PREFIX = /usr/local

STD = -std=c11
WARN = -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes -Wmissing-prototypes -Wvla
COMPILE = $(CC) $(STD) $(WARN) $(CPPFLAGS) $(CFLAGS) $(LDFLAGS)

all: server client

server: server.c pop3.h
	$(COMPILE) -o $@ server.c

client: client.c pop3.h
	$(COMPILE) -o $@ client.c

# A first session, on a copy of mail/: what is removed there is still here.
run: all
	@sh tests/first.sh

# Seconds: the conversations and the units, on the programs as they were built.
test: all
	@CC='$(CC)' sh tests/run.sh

# Minutes: the same under sanitizers, and the mail programs of others as far as they are installed.
check: test
	@CC='$(CC)' sh tests/check.sh

# Minutes: speeds and sizes as ratios to floors in the same run; "sh tests/bench.sh quick" takes half of one.
bench: all
	@CC='$(CC)' sh tests/bench.sh

install: all
	mkdir -p $(DESTDIR)$(PREFIX)/bin
	cp server $(DESTDIR)$(PREFIX)/bin/pop3-server
	cp client $(DESTDIR)$(PREFIX)/bin/pop3-client

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/bin/pop3-server $(DESTDIR)$(PREFIX)/bin/pop3-client

clean:
	rm -rf server client tests/build

.PHONY: all run test check bench install uninstall clean
