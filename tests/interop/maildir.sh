# maildir.sh - others use a Maildir while our server serves it: a part of interop.sh, and read by it
#
# One session of ours stays open. Meanwhile Dovecot takes new messages in, mutt sets flags and
# removes messages, and Dovecot's LDA delivers more. What the session fetches and removes after that
# must be right.

# dovecot_takes_in: a session with Dovecot, which moves what is in new to cur.
dovecot_takes_in() {
    $limit curl -sS --user "$user:secret" -o listing "pop3://127.0.0.1:$dovecot_port/" >said 2>&1 ||
        echo "curl ended with status $?, with Dovecot"
}

# mutt_does KEYS: in that Maildir, on a terminal that nobody sees; sorted as our server does.
mutt_does() {
    cat >muttrc <<EOT
set sort=mailbox-order delete=yes quit=yes mark_old=no wait_key=no sleep_time=0
set folder="$PWD" tmpdir="$PWD"
push "$1<quit>"
EOT
    $limit "$python" "$top/tests/interop/mail.py" terminal '' '' \
        mutt -n -F muttrc -f "$PWD/Maildir" \
        >mutt.log 2>&1 || echo "mutt ended with status $?"
}

# session COMMANDS: one of our client with our server. Prints what is wrong.
session() { talk "$1" 127.0.0.1 $our_port; }

unique_ids_now() {
    session 'uidl\nquit\n'
    grep '^[0-9]* [!-~]*$' said
}

beside_others() {
    start_dovecot || echo 'Dovecot does not start'
    dovecot_port=$port
    for message in Maildir/cur/10[01]*; do
        new=${message#Maildir/cur/}
        mv "$message" "Maildir/new/${new%:2,S}"
    done
    cp -R mail all
    rm -rf store
    ln -s Maildir store
    mv log dovecot.log          # Dovecot goes on writing to it
    start_server
    our_port=$port
    unique_ids_now >ids.1

    mkfifo typed
    $limit "$CLIENT" -d got 127.0.0.1 $our_port <typed >said.open 2>errors.open &
    helper_pids=$!
    exec 4>typed
    echo STAT >&4
    wait_for grep '^+OK [0-9]* [0-9]*$' said.open || echo 'the session does not begin'

    dovecot_takes_in
    [ ! "$(ls Maildir/new)" ] || echo 'Dovecot left mail in new'
    mutt_does '<tag-pattern>~A<enter><tag-prefix><flag-message>'
    [ "$(ls Maildir/cur | grep -c ':2,F')" -eq $(ls all | wc -l) ] || echo 'mutt did not flag all'
    unique_ids_now >ids.2
    cmp ids.1 ids.2 || echo 'unique-ids changed with the flags'
    mutt_does '<tag-pattern>~i dot<enter><tag-prefix><delete-message>'
    gone=$(($(ls all | wc -l) - $(ls Maildir/cur | wc -l)))
    [ $gone -eq 3 ] || echo "mutt removed $gone messages, not 3"
    rm mail/1.eml mail/dots mail/dot-no-end      # what has "dot" in its Message-ID
    sed 's,/log$,/lda.log,' dovecot.conf >lda.conf
    chmod a+r lda.conf
    mail deliver 1 3 $as env HOME="$PWD" USER="$who" $dovecot_lda -c "$PWD/lda.conf" 2>delivery ||
        cat delivery

    printf 'RETR *\nDELE *\nQUIT\n' >&4
    exec 4>&-
    wait $helper_pids
    helper_pids=
    arrived lf
    [ "$(grep -c '^-ERR' said.open)" -eq 3 ] || echo 'our server answers +OK for what mutt removed'
    right mail delivered 3 Maildir/new
    rm -rf got
    session 'RETR *\nDELE *\nQUIT\n'
    right mail delivered 3 got
    [ ! "$(ls Maildir/cur Maildir/new | grep -v :$)" ] || echo 'left:' $(ls Maildir/cur Maildir/new)
    stop_server || echo 'our server did not end well'
    stop_dovecot
}

check maildir 'Dovecot and mutt use it while a session runs' \
    "$dovecot && mutt -v && curl --version | grep pop3 && test -x $dovecot_lda" beside_others
