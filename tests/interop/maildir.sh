# maildir.sh - other programs use a Maildir while our server serves it; read by interop.sh
#
# During one session with our server, Dovecot moves new messages to cur, mutt sets flags and removes
# messages, and Dovecot's LDA delivers more. After that the session retrieves and removes messages.

# dovecot_moves_new: a session with Dovecot, which moves the messages of new to cur.
dovecot_moves_new() {
    $limit curl -sS --user "$user:secret" -o listing "pop3://127.0.0.1:$dovecot_port/" >said 2>&1 ||
        echo "curl ended with status $?, with Dovecot"
}

# mutt_does KEYS: types keys at mutt, in the Maildir, in the order of our server.
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

# session COMMANDS: a session of our client with our server. Prints what is wrong.
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
    mv log dovecot.log          # Dovecot still writes to it
    start_server
    our_port=$port
    unique_ids_now >ids.1

    mkfifo typed
    $limit "$CLIENT" -d got 127.0.0.1 $our_port <typed >said.open 2>errors.open &
    helper_pids=$!
    exec 4>typed
    echo STAT >&4
    wait_for grep '^+OK [0-9]* [0-9]*$' said.open || echo 'the session does not begin'

    dovecot_moves_new
    [ ! "$(ls Maildir/new)" ] || echo 'Dovecot left mail in new'
    mutt_does '<tag-pattern>~A<enter><tag-prefix><flag-message>'
    [ "$(ls Maildir/cur | grep -c ':2,F')" -eq $(ls all | wc -l) ] || echo 'mutt did not flag all'
    unique_ids_now >ids.2
    cmp ids.1 ids.2 || echo 'unique-ids changed with the flags'
    mutt_does '<tag-pattern>~i dot<enter><tag-prefix><delete-message>'
    gone=$(($(ls all | wc -l) - $(ls Maildir/cur | wc -l)))
    [ $gone -eq 3 ] || echo "mutt removed $gone messages, not 3"
    rm mail/1.eml mail/dots mail/dot-no-end      # mutt removed those with "dot" in the Message-ID
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
    succeeds mail delivered 3 Maildir/new
    rm -rf got
    session 'RETR *\nDELE *\nQUIT\n'
    succeeds mail delivered 3 got
    [ ! "$(ls Maildir/cur Maildir/new | grep -v :$)" ] || echo 'left:' $(ls Maildir/cur Maildir/new)
    stop_server || echo 'our server did not end properly'
    stop_dovecot
}

check maildir 'Dovecot and mutt use it while a session runs' \
    "$dovecot && mutt -v && curl --version | grep pop3 && test -x $dovecot_lda" beside_others
