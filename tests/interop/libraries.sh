# libraries.sh - mail libraries, with our server; read by interop.sh
#
# Most libraries return a message unchanged, so they show more than a mail program. The programs
# beside this file have the arguments HOST PORT USER PASSWORD yes|no and do what fetch() expects.

programs=$top/tests/interop

# unpack_packages DIRECTORY PACKAGE...: downloads packages without their dependencies, and unpacks
# them into the directory.
unpack_packages() {
    unpack_to=$1
    shift
    mkdir -p "$unpack_to/debs" && (
        cd "$unpack_to/debs" && ${limit:+timeout --foreground -k 9 60} apt-get download -q "$@" &&
            for package in *.deb; do
                dpkg -x "$package" "$unpack_to" || exit
            done
    ) >/dev/null 2>&1
}

# ---- Java ----------------------------------------------------------------------------------------

# Both run as a single source file, which needs a JDK.
jdk='java --list-modules | grep jdk.compiler'
jars=/usr/share/java

get_jakarta_mail() {
    $limit java -cp $jars/jakarta-mail.jar:$jars/jakarta-activation.jar \
        "$programs/JakartaMail.java" "$host" "$port" "$user" "$password" $delete
}
fetch 'Jakarta Mail' get_jakarta_mail "$jdk && test -e $jars/jakarta-mail.jar" \
    "ls $jars | grep ^jakarta-mail-[0-9]" '' 'uses every command'

get_commons_net() {
    $limit java -cp $jars/commons-net.jar "$programs/CommonsNet.java" \
        "$host" "$port" "$user" "$password" $delete
}
fetch 'Commons Net' get_commons_net "$jdk && test -e $jars/commons-net.jar" \
    "ls $jars | grep ^commons-net-[0-9]" '' 'uses every command'

# ---- C and PHP -----------------------------------------------------------------------------------

get_php_imap() { $limit php "$programs/imap.php" "$host" "$port" "$user" "$password" $delete; }
fetch 'PHP imap' get_php_imap 'php --ri imap' 'php --version' 'lf cut-at-nul crlf' \
    'cuts a line at a NUL'

get_libetpan() {
    $limit "$python" "$programs/etpan.py" "$host" "$port" "$user" "$password" $delete
}
fetch libetpan get_libetpan "$python $programs/etpan.py" "$python $programs/etpan.py" \
    'lf cut-at-nul crlf' 'cuts a line at a NUL'

# Camel needs two packages that depend on most of a desktop.
camel=$work/camel
schemas=$camel/usr/share/glib-2.0/schemas
has_camel='import gi; gi.require_version("Camel", "1.2")'
if wanted Camel && available "/usr/bin/python3 -c '$has_camel'" &&
    unpack_packages "$camel" evolution-data-server evolution-data-server-common; then
    glib-compile-schemas "$schemas" 2>/dev/null
fi
get_camel() {
    EDS_CAMEL_PROVIDER_DIR=$camel/usr/lib/evolution-data-server/camel-providers \
        GSETTINGS_BACKEND=memory GSETTINGS_SCHEMA_DIR=$schemas \
        $limit /usr/bin/python3 "$programs/camel.py" "$host" "$port" "$user" "$password" $delete
}
fetch Camel get_camel "/usr/bin/python3 -c '$has_camel' && test -e $schemas/gschemas.compiled" \
    "ls $camel/debs" 'any-order lf no-cr' \
    'the library of Evolution; pipelines RETR; drops every CR; LF'

# ---- Emacs ---------------------------------------------------------------------------------------

emacs_batch() {
    HOST=$host PORT=$port POP_USER=$user PASSWORD=$password DELETE=$delete \
        $limit emacs --no-init-file --batch "$@"
}
get_pop3_el() { emacs_batch --no-site-file -l "$programs/pop3.el"; }
fetch 'Emacs pop3.el' get_pop3_el 'emacs --version' 'emacs --version' lf \
    'pipelines RETR and DELE; LF'

get_wanderlust() { emacs_batch -l "$programs/wanderlust.el"; }
emacs_eval='emacs --no-init-file --batch --eval'
fetch Wanderlust get_wanderlust "$emacs_eval \"(require 'elmo-pop3)\"" \
    "$emacs_eval \"(progn (require 'elmo-version) (princ (elmo-version)))\" | grep ELMO" lf LF
